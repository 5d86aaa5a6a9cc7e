//! A look into a remote snapshot: a few ranges of it, read by position.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::runtime::Handle;

use super::origin::{Failure, Ranges};
use super::unless_silent;
use crate::error::{Error, Result};
use crate::snapshot::bolt::ReadAt;

/// Most requests of a look.
pub const MOST_REQUESTS: usize = 8;

/// Bytes of a request from the place that is read: both meta pages of the largest page size lie in the first one.
const LENGTH: u64 = 128 * 1024;

/// Bytes of a request before that place: where pages are written one after the other, children come before their
/// parents (etcd-io/bbolt v1.4.2, node.go, `spill`).
const BEFORE: u64 = LENGTH / 2;

/// Longest wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(30);

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
        let mut body = unless_silent(self.ranges.open(range).await.map_err(Failure::into_error)?, SILENCE);
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
        let from = at.saturating_sub(BEFORE);
        let end = at.saturating_add(LENGTH.max(wanted as u64)).min(self.size);
        let fetched = self.runtime.block_on(self.fetch(from..end))?;
        let offset = usize::try_from(at - from).unwrap_or_default();
        bytes.copy_from_slice(&fetched[offset..offset + wanted]);
        held.push((from, fetched));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;
    use crate::source::Body;
    use crate::source::origin::Opening;

    struct Memory(Vec<u8>);

    impl Ranges for Memory {
        fn open(&self, range: Range<u64>) -> Opening<'_> {
            let bytes = Bytes::copy_from_slice(&self.0[range.start as usize..range.end as usize]);
            let body: Body = stream::iter([Ok(bytes)]).boxed();
            Box::pin(async move { Ok(body) })
        }
    }

    #[tokio::test]
    async fn neighbours_on_both_sides_come_with_what_is_read() {
        let bytes: Vec<u8> = (0..8 * LENGTH).map(|at| (at / 1000) as u8).collect();
        let look = Look::new(Arc::new(Memory(bytes.clone())), bytes.len() as u64);
        let parent = 4 * LENGTH;
        let read = move |(at, length, requests): (u64, u64, usize)| {
            let mut found = vec![0; length as usize];
            look.read_at(at, &mut found).unwrap();
            assert!(found == bytes[at as usize..(at + length) as usize], "{at}");
            assert_eq!(look.requests(), requests, "{at}");
        };
        let reads = [
            (0, 80, 1),
            (LENGTH - 80, 80, 1),
            (parent, 4096, 2),
            (parent - 4096, 4096, 2),
            (parent - BEFORE, 4096, 2),
            (parent + LENGTH - 4096, 4096, 2),
            (parent - BEFORE - 1, 1, 3),
            (5 * LENGTH, 2 * LENGTH, 4),
            (8 * LENGTH - 1, 1, 5),
        ];
        tokio::task::spawn_blocking(move || reads.into_iter().for_each(read)).await.unwrap();
    }
}
