//! A look into a remote snapshot: a few ranges of it, read by position.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::runtime::Handle;

use super::origin::{Failure, Ranges};
use crate::error::{Error, Result};
use crate::snapshot::bolt::ReadAt;

/// Most requests of a look.
pub const MOST_REQUESTS: usize = 8;

/// Bytes of a request: both meta pages of the largest page size lie in the first one, and neighbours in the others.
const LENGTH: u64 = 128 * 1024;

/// Ranges of an origin. Reading blocks, so it belongs on a thread of its own.
pub struct Look {
    ranges: Arc<dyn Ranges>,
    size: u64,
    runtime: Handle,
    held: Mutex<Vec<(u64, Bytes)>>,
}

impl Look {
    /// A look into `size` bytes; to be made within a runtime.
    pub fn new(ranges: Arc<dyn Ranges>, size: u64) -> Self {
        Self { ranges, size, runtime: Handle::current(), held: Mutex::default() }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end - range.start).unwrap_or_default();
        let mut body = self.ranges.open(range).await.map_err(Failure::into_error)?;
        let mut bytes = Vec::with_capacity(length);
        while let Some(chunk) = body.try_next().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > length {
                break;
            }
        }
        match bytes.len() == length {
            true => Ok(bytes.into()),
            false => Err(Error::general(format!("asked for {length} bytes and was given {}", bytes.len()))),
        }
    }
}

impl ReadAt for Look {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let wanted = bytes.len();
        if at.checked_add(wanted as u64).is_none_or(|end| end > self.size) {
            return Err(Error::general(format!("the snapshot ends before byte {at}")));
        }
        let part = |(from, held): &(u64, Bytes)| {
            let offset = usize::try_from(at.checked_sub(*from)?).ok()?;
            held.get(offset..offset.checked_add(wanted)?).map(<[u8]>::to_vec)
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held.iter().find_map(part) {
            bytes.copy_from_slice(&found);
            return Ok(());
        }
        if held.len() == MOST_REQUESTS {
            return Err(
                Error::general(format!("the answer is not within {MOST_REQUESTS} requests")).hint("leave out --quick")
            );
        }
        let end = at.saturating_add(LENGTH.max(wanted as u64)).min(self.size);
        let fetched = self.runtime.block_on(self.fetch(at..end))?;
        bytes.copy_from_slice(&fetched[..wanted]);
        held.push((at, fetched));
        Ok(())
    }
}
