//! One part: a request, repeated from where it broke off until its bytes are there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::blocks::BLOCK;
use super::part_file::PartFile;
use super::patience::{Tries, Watch};
use super::{Advance, How, MOST_BYTES, incomplete};
use crate::error::{Error, Result};
use crate::source::Body;
use crate::source::origin::{Failure, Opening};

/// Chunks of fewer bytes are copied together: each costs as much again to hold, and a server may send them one by one.
const SMALL: usize = 4096;

/// What all parts of a download share.
pub(super) struct Shared {
    pub file: Option<Arc<PartFile>>,
    pub how: How,
    pub advance: Advance,
    /// Tries that are left for the whole download.
    pub budget: AtomicU32,
    /// Bytes per second below which a request is cut: what was found too much for the line is asked of no other part.
    pub floor: AtomicU64,
    /// Whether something has gone to stdout.
    pub begun: Arc<AtomicBool>,
    /// Whether the server was found to ignore ranges.
    pub unranged: AtomicBool,
    /// Whether the store's checksum of the whole is known, so that one has to be computed.
    pub crc64: bool,
    /// Held by each thread that uses the file.
    pub busy: Busy,
}

/// Closed when the last thread has let go.
pub(super) type Busy = mpsc::Sender<Never>;

/// Nothing is ever sent.
pub(super) enum Never {}

impl Shared {
    fn spend(&self) -> bool {
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn watch(&self) -> Watch {
        Watch::new(self.how.stall_timeout, self.floor.load(Ordering::Relaxed), Instant::now())
    }
}

/// Brings the bytes of `range`; `open` is asked for what is missing of it.
///
/// # Errors
/// What the origin refuses; the last break when trying again was of no use; those of the disk.
pub(super) async fn fetch<'a>(
    range: Range<u64>,
    open: impl Fn(Range<u64>) -> Opening<'a>,
    shared: &Shared,
    blocks: mpsc::Sender<Vec<Bytes>>,
) -> Result<()> {
    let mut gather = Gather::new(range.start, Some(range.end), shared, blocks);
    let mut tries = Tries::new(shared.how.first_pause);
    while gather.at < range.end {
        let before = gather.at;
        let broken = match attempt(&mut gather, &open, range.end, shared).await {
            Ok(()) => continue,
            Err(Failure::Passing(error)) => error,
            Err(failure) => {
                shared.unranged.fetch_or(failure == Failure::NoRanges, Ordering::Relaxed);
                if let (Failure::Changed(_), Some(file)) = (&failure, &shared.file) {
                    file.discard();
                }
                return Err(failure.into_error());
            }
        };
        if gather.at > before {
            tries.progress();
        }
        let pause = tries.pause(fastrand::f64()).filter(|_| shared.spend());
        let Some(pause) = pause else { return Err(broken) };
        tracing::debug!(at = gather.at, end = range.end, "tried again: {}", broken.message());
        tokio::time::sleep(pause).await;
    }
    gather.finish().await
}

async fn attempt<'a>(
    gather: &mut Gather<'_>,
    open: &impl Fn(Range<u64>) -> Opening<'a>,
    end: u64,
    shared: &Shared,
) -> Result<(), Failure> {
    let opening = tokio::time::timeout(shared.how.open_timeout, open(gather.at..end));
    let mut body = opening.await.map_err(|_| Failure::Passing(silent(shared.how.open_timeout)))??;
    let mut watch = shared.watch();
    while let Some(chunk) = next(&mut body, &mut watch, shared).await? {
        if gather.take(chunk, end).await.map_err(Failure::Final)? {
            tracing::debug!(end, "the server sends more bytes than it was asked for");
            return Ok(());
        }
    }
    if gather.at < end {
        return Err(Failure::Passing(Error::general("the server ended the answer early")));
    }
    Ok(())
}

/// Brings a whole body in one try; `size` is that of the snapshot, where it is known.
///
/// # Errors
/// As [`fetch`]; [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for one that ends before its size.
pub(super) async fn pour(
    mut body: Body,
    size: Option<u64>,
    shared: &Shared,
    blocks: mpsc::Sender<Vec<Bytes>>,
) -> Result<(), Failure> {
    let mut gather = Gather::new(0, size, shared, blocks);
    let mut watch = shared.watch();
    let broken = loop {
        let chunk = match next(&mut body, &mut watch, shared).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => match size.filter(|size| gather.at < *size) {
                Some(size) => break Failure::Passing(incomplete(size, gather.at)),
                None => return gather.finish().await.map_err(Failure::Final),
            },
            Err(broken) => break broken,
        };
        if gather.take(chunk, size.unwrap_or(MOST_BYTES)).await.map_err(Failure::Final)? {
            match size {
                Some(size) => tracing::debug!(size, "the server sends more bytes than the snapshot has"),
                None => break Failure::Final(Error::unproved("the server sends more bytes than any etcd has")),
            }
            return gather.finish().await.map_err(Failure::Final);
        }
    };
    // the next try writes to the same places, and what is proved is what it brings
    gather.written().await.map_err(Failure::Final)?;
    Err(broken)
}

/// The next bytes, unless they are too long in coming.
async fn next(body: &mut Body, watch: &mut Watch, shared: &Shared) -> Result<Option<Bytes>, Failure> {
    watch.resume(Instant::now());
    let Ok(next) = tokio::time::timeout_at(watch.deadline(), body.next()).await else {
        return Err(Failure::Passing(silent(watch.timeout())));
    };
    let Some(chunk) = next.transpose().map_err(Failure::Passing)? else { return Ok(None) };
    if watch.too_slow(chunk.len() as u64, Instant::now()) {
        // the line itself may be slow, and cutting it makes nothing faster
        shared.floor.fetch_min(watch.floor() / 2, Ordering::Relaxed);
        return Err(Failure::Passing(Error::general("the server sends too slowly")));
    }
    Ok(Some(chunk))
}

fn silent(timeout: std::time::Duration) -> Error {
    Error::general(format!("the server sent nothing for {timeout:?}"))
}

/// Gathers chunks into blocks, which are written while the next one comes in.
struct Gather<'a> {
    shared: &'a Shared,
    blocks: mpsc::Sender<Vec<Bytes>>,
    /// Where the next chunk goes.
    at: u64,
    end: Option<u64>,
    chunks: Vec<Bytes>,
    /// The last chunks, of those that would take more memory than they hold.
    small: BytesMut,
    gathered: u64,
    writing: Option<JoinHandle<Result<()>>>,
}

impl<'a> Gather<'a> {
    fn new(at: u64, end: Option<u64>, shared: &'a Shared, blocks: mpsc::Sender<Vec<Bytes>>) -> Self {
        Self { shared, blocks, at, end, chunks: Vec::new(), small: BytesMut::new(), gathered: 0, writing: None }
    }

    /// Takes what of the chunk lies before `end`; whether there was more.
    async fn take(&mut self, mut chunk: Bytes, end: u64) -> Result<bool> {
        let came = chunk.len();
        chunk.truncate(usize::try_from(end - self.at).unwrap_or(usize::MAX));
        let kept = chunk.len();
        (self.shared.advance)(kept as u64);
        self.push(chunk).await?;
        Ok(kept < came)
    }

    async fn push(&mut self, mut chunk: Bytes) -> Result<()> {
        while !chunk.is_empty() {
            let room = BLOCK - self.at % BLOCK;
            let taken = chunk.split_to(usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len()));
            self.at += taken.len() as u64;
            self.gathered += taken.len() as u64;
            self.keep(taken);
            if self.at.is_multiple_of(BLOCK) || Some(self.at) == self.end {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, chunk: Bytes) {
        if chunk.len() < SMALL {
            return self.small.extend_from_slice(&chunk);
        }
        self.join_small();
        self.chunks.push(chunk);
    }

    fn join_small(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }

    async fn flush(&mut self) -> Result<()> {
        self.join_small();
        let chunks = std::mem::take(&mut self.chunks);
        let start = self.at - std::mem::take(&mut self.gathered);
        if chunks.is_empty() {
            return Ok(());
        }
        if let Some(file) = self.shared.file.clone() {
            self.written().await?;
            let (chunks, busy) = (chunks.clone(), self.shared.busy.clone());
            self.writing = Some(tokio::task::spawn_blocking(move || {
                let written = file.write(start, &chunks);
                drop((file, busy));
                written
            }));
        }
        // the reader only goes away with an error of its own, which is told in place of this one
        self.blocks.send(chunks).await.map_err(|_| Error::general("nobody takes the bytes any more"))
    }

    async fn written(&mut self) -> Result<()> {
        match self.writing.take() {
            Some(writing) => writing.await.map_err(|error| Error::general(format!("cannot write: {error}")))?,
            None => Ok(()),
        }
    }

    async fn finish(mut self) -> Result<()> {
        self.flush().await?;
        self.written().await
    }
}
