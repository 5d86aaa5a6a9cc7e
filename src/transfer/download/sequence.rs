//! The bytes of a download in their order: hashed once, from memory as they arrive.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::blocks::BLOCK;
use super::part_file::PartFile;
use crate::error::{Error, Result};
use crate::snapshot::TrailerHasher;

/// Where the next bytes of the snapshot are.
pub(super) enum Next {
    /// On the disk, from an earlier run.
    Here(Range<u64>),
    /// Coming from the network, block by block; the permit is its share of the window.
    Coming { length: Option<u64>, blocks: mpsc::Receiver<Vec<Bytes>>, window: Option<OwnedSemaphorePermit> },
}

/// What was seen of the whole.
pub(super) struct Seen {
    pub hasher: TrailerHasher,
    /// CRC-64/NVME, where it was asked for.
    pub crc64: Option<u64>,
}

/// Hashes everything in order, and writes it to `out` if there is one. Blocks; belongs on a thread of its own.
/// `crc64` asks for that checksum too, which only a store that has it can be compared with.
///
/// Returns `None` when a piece ended early: whoever was to bring it says why.
///
/// # Errors
/// Those of the disk and of `out`.
pub(super) fn run(
    mut pieces: mpsc::UnboundedReceiver<Next>,
    file: Option<&Arc<PartFile>>,
    mut out: Option<impl Write>,
    crc64: bool,
) -> Result<Option<Seen>> {
    let mut hasher = TrailerHasher::default();
    let mut crc = crc64.then(|| crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme));
    let mut take = |bytes: &Bytes| {
        hasher.update(bytes);
        if let Some(crc) = &mut crc {
            crc.update(bytes);
        }
        match &mut out {
            Some(out) => out.write_all(bytes).map_err(|error| Error::general(format!("cannot write stdout: {error}"))),
            None => Ok(()),
        }
    };
    while let Some(next) = pieces.blocking_recv() {
        match next {
            Next::Here(range) => {
                let Some(file) = file else { return Ok(None) };
                for start in (range.start..range.end).step_by(BLOCK as usize) {
                    take(&file.read(start..(start + BLOCK).min(range.end))?)?;
                }
            }
            Next::Coming { length, mut blocks, window } => {
                let mut seen = 0;
                while let Some(block) = blocks.blocking_recv() {
                    for chunk in &block {
                        take(chunk)?;
                        seen += chunk.len() as u64;
                    }
                }
                drop(window);
                if length.is_some_and(|length| length != seen) {
                    return Ok(None);
                }
            }
        }
    }
    if let Some(out) = &mut out {
        out.flush().map_err(|error| Error::general(format!("cannot write stdout: {error}")))?;
    }
    Ok(Some(Seen { hasher, crc64: crc.map(|crc| crc.finalize()) }))
}
