//! From an origin to a file whose name says "complete and verified".
//!
//! Parts are fetched several at a time and in order, written where they belong, and hashed in order from memory by a
//! thread of its own; a window bounds what is held. What is written is recorded, so that a run that ended can be gone
//! on with. A source that has no ranges goes the same way as one part that begins again from zero.

mod blocks;
mod journal;
mod part;
mod part_file;
mod patience;
mod sequence;
mod target;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::blocks::Piece;
use self::part::{Busy, Never, Shared};
use self::part_file::{Of, PartFile};
use self::patience::Tries;
use self::sequence::{Next, Seen};
use super::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Proof;
use crate::source::origin::{Failure, Opening, Origin, Ranges, Stream};

pub use self::part_file::LeftOver;
pub use self::target::Target;

/// Is told of every arrival, in bytes; also of what an earlier run had brought.
pub type Advance = Arc<dyn Fn(u64) + Send + Sync>;

/// Tries of a stream that cannot be gone on with.
const STREAM_TRIES: u32 = 3;

/// More than any etcd has. What is announced decides how many parts are planned, and that takes memory.
const MOST_BYTES: u64 = 1 << 40;

/// Parts that may be done and wait for an earlier one.
const AHEAD: usize = 2;

/// How to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Bytes of a part.
    pub part_size: u64,
    /// Requests at a time.
    pub concurrency: usize,
    /// How long a request may send nothing, or less than `floor`, before it is cut and asked for again.
    pub stall_timeout: Duration,
    /// Bytes per second.
    pub floor: u64,
    /// How long the beginning of an answer may take.
    pub open_timeout: Duration,
    /// The longest first pause before a part is tried again.
    pub first_pause: Duration,
}

impl How {
    /// For a server that is many milliseconds away: requests hide each other's waiting.
    pub const NETWORK: Self =
        Self { part_size: 4 << 20, concurrency: 8, open_timeout: Duration::from_secs(10), ..Self::NEAR };

    /// For a server on the same machine or switch: more requests would only share the same processors. What answers
    /// may be a sidecar that has to ask its store first.
    pub const NEAR: Self = Self {
        part_size: 8 << 20,
        concurrency: 2,
        stall_timeout: Duration::from_secs(10),
        floor: 16 << 10,
        open_timeout: Duration::from_secs(30),
        first_pause: Duration::from_millis(400),
    };
}

/// Downloads a snapshot, and gives it its name only when its trailer matched.
///
/// # Errors
/// [`ErrorKind::Unproved`] for bytes that fail proof: nothing is left of them. What the origin refuses, a broken
/// network that trying again did not mend, and the disk: what has come by then stays for a later run, see [`Target::left_over`].
/// [`ErrorKind::Interrupted`] once `stop` is cancelled and nothing is being written any more.
pub async fn fetch(
    origin: Origin,
    target: &Target,
    how: &How,
    advance: Advance,
    stop: &CancellationToken,
) -> Result<Proof> {
    fetch_checked(origin, target, how, advance, stop, |_, _| Ok(())).await
}

/// As [`fetch`], with one more check of what came, proved or not, before a file gets its name; what went to stdout is
/// not checked.
///
/// # Errors
/// Those of [`fetch`] and of `check`; after [`ErrorKind::Unproved`] nothing is left.
pub async fn fetch_checked(
    origin: Origin,
    target: &Target,
    how: &How,
    advance: Advance,
    stop: &CancellationToken,
    check: impl FnOnce(&File, &Result<Proof>) -> Result<()> + Send + 'static,
) -> Result<Proof> {
    if let Some(size) = origin.size().filter(|size| *size > MOST_BYTES) {
        return Err(Error::unproved(format!("a snapshot of {size} bytes is announced, which no etcd has")));
    }
    match target {
        Target::Stdout => {
            let seen = receive(&origin, None, Vec::new(), how, advance, stop).await?;
            prove(seen, &origin)
        }
        Target::File { path, force } => {
            let (opened, force) = (open(path.clone(), origin.clone()).await?, *force);
            let (part, kept) = opened;
            let part = Arc::new(part);
            let seen = receive(&origin, Some(part.clone()), kept, how, advance, stop).await;
            let proved = match seen.and_then(|seen| prove(seen, &origin)) {
                Err(error) if error.kind() != ErrorKind::Unproved => Err(error),
                proved => {
                    let part = part.clone();
                    blocking(move || check(part.file(), &proved).and(proved)).await
                }
            };
            if proved.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unproved) {
                part.discard();
            }
            let proof = proved?;
            blocking(move || part.publish(proof.size, force).map(|()| proof)).await
        }
    }
}

async fn open(path: PathBuf, origin: Origin) -> Result<(PartFile, Vec<u64>)> {
    blocking(move || PartFile::open(&path, of(&origin), origin.size())).await
}

/// What a later run can go on with; nothing of a stream.
fn of(origin: &Origin) -> Option<Of<'_>> {
    match origin {
        Origin::Ranged { size, identity, .. } => Some(Of { size: *size, identity }),
        Origin::Streamed { .. } => None,
    }
}

fn incomplete(expected: u64, received: u64) -> Error {
    Error::unproved(format!("snapshot is incomplete: expected {expected} bytes, received {received}"))
        .hint("run it again")
}

fn prove(seen: Seen, origin: &Origin) -> Result<Proof> {
    let received = seen.hasher.size();
    let (size, crc64) = match origin {
        Origin::Ranged { size, crc64, .. } => (Some(*size), *crc64),
        Origin::Streamed { size, .. } => (*size, None),
    };
    if let Some(expected) = size.filter(|expected| *expected != received) {
        return Err(incomplete(expected, received));
    }
    let proof = seen.hasher.finish()?;
    match crc64 {
        Some(stored) if seen.crc64 != Some(stored) => Err(Error::unproved(format!(
            "the store's checksum does not match: CRC-64/NVME {stored:016x}, computed {:016x}",
            seen.crc64.unwrap_or_default()
        ))),
        _ => Ok(proof),
    }
}

/// Receives everything, and returns when no thread uses the file any more.
async fn receive(
    origin: &Origin,
    file: Option<Arc<PartFile>>,
    kept: Vec<u64>,
    how: &How,
    advance: Advance,
    stop: &CancellationToken,
) -> Result<Seen> {
    let crc64 = matches!(origin, Origin::Ranged { crc64: Some(_), .. });
    let run = Run { file, how: *how, advance, crc64, stop };
    match origin {
        Origin::Streamed { size, stream } => run.in_one_go(stream.as_ref(), *size).await,
        Origin::Ranged { size, ranges, .. } => {
            let (shared, idle) = run.begin();
            let seen = run.unless_stopped(in_parts(*size, ranges, &kept, &shared)).await;
            let unranged = shared.unranged.load(Ordering::Relaxed);
            let begun = run.end(shared, idle).await;
            // what went to stdout cannot be taken back
            match unranged && !begun {
                true => run.in_one_go(&Whole { ranges, size: *size }, Some(*size)).await,
                false => seen,
            }
        }
    }
}

/// What stays the same when a download is begun again in another way.
struct Run<'a> {
    file: Option<Arc<PartFile>>,
    how: How,
    advance: Advance,
    crc64: bool,
    stop: &'a CancellationToken,
}

impl Run<'_> {
    async fn in_one_go(&self, stream: &dyn Stream, size: Option<u64>) -> Result<Seen> {
        let (shared, idle) = self.begin();
        let seen = self.unless_stopped(in_one_go(stream, size, &shared)).await;
        self.end(shared, idle).await;
        seen
    }

    fn begin(&self) -> (Arc<Shared>, mpsc::Receiver<Never>) {
        let (busy, idle) = mpsc::channel(1);
        let shared = Shared {
            file: self.file.clone(),
            how: self.how,
            advance: Arc::clone(&self.advance),
            budget: AtomicU32::new(32),
            floor: AtomicU64::new(self.how.floor),
            unranged: AtomicBool::new(false),
            begun: Arc::default(),
            crc64: self.crc64,
            busy,
        };
        (Arc::new(shared), idle)
    }

    async fn unless_stopped(&self, work: impl Future<Output = Result<Seen>>) -> Result<Seen> {
        tokio::select! {
            seen = work => seen,
            () = self.stop.cancelled() => Err(Error::interrupted("interrupted")),
        }
    }

    /// Waits until no thread works for `shared`; whether something has gone to stdout.
    async fn end(&self, shared: Arc<Shared>, mut idle: mpsc::Receiver<Never>) -> bool {
        let begun = Arc::clone(&shared.begun);
        drop(shared);
        tokio::select! {
            _ = idle.recv() => {}
            // whoever reads stdout may never do it
            () = self.stop.cancelled(), if self.file.is_none() => {}
        }
        begun.load(Ordering::Relaxed)
    }
}

/// An object of a server that ignores ranges.
struct Whole<'a> {
    ranges: &'a Arc<dyn Ranges>,
    size: u64,
}

impl Stream for Whole<'_> {
    fn open(&self) -> Opening<'_> {
        self.ranges.open(0..self.size)
    }
}

async fn in_parts(size: u64, ranges: &Arc<dyn Ranges>, kept: &[u64], shared: &Arc<Shared>) -> Result<Seen> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let sequence = spawn_sequence(receiver, shared);
    let pieces = blocks::pieces(size, shared.how.part_size, |block| kept.binary_search(&block).is_ok());
    let fetched = fetch_parts(pieces, ranges, shared, sender).await;
    // a disk or a stdout that takes no more ends the parts too, and is told in their place
    let seen = sequence.await?;
    fetched?;
    seen.ok_or_else(ended_early)
}

async fn fetch_parts(
    pieces: Vec<Piece>,
    ranges: &Arc<dyn Ranges>,
    shared: &Arc<Shared>,
    sender: mpsc::UnboundedSender<Next>,
) -> Result<()> {
    let how = shared.how;
    shared.budget.fetch_add(u32::try_from(pieces.len()).unwrap_or(u32::MAX / 2), Ordering::Relaxed);
    let window = Arc::new(Semaphore::new(how.concurrency + AHEAD));
    let requests = Arc::new(Semaphore::new(how.concurrency));
    let mut parts = JoinSet::new();
    for piece in pieces {
        let range = match piece {
            Piece::Here(range) => {
                (shared.advance)(range.end - range.start);
                let _ = sender.send(Next::Here(range));
                continue;
            }
            Piece::Missing(range) => range,
        };
        let permits = async { tokio::try_join!(window.clone().acquire_owned(), requests.clone().acquire_owned()) };
        let Some((window, request)) = while_parts_go_well(&mut parts, permits).await? else { break };
        let length = Some(range.end - range.start);
        let (blocks, coming) = mpsc::channel(blocks::held(range.end - range.start));
        if sender.send(Next::Coming { length, blocks: coming, window: Some(window) }).is_err() {
            break;
        }
        let (ranges, shared) = (ranges.clone(), shared.clone());
        parts.spawn(async move {
            let done = part::fetch(range, |missing| ranges.open(missing), &shared, blocks).await;
            drop(request);
            done
        });
    }
    while let Some(done) = parts.join_next().await {
        joined(done)?;
    }
    Ok(())
}

fn ended_early() -> Error {
    Error::general("the download ended early")
}

/// Waits for the permits of the next part; the first part that fails ends the download. `None` if the semaphores are gone.
async fn while_parts_go_well<T>(
    parts: &mut JoinSet<Result<()>>,
    permits: impl Future<Output = Result<T, tokio::sync::AcquireError>>,
) -> Result<Option<T>> {
    tokio::pin!(permits);
    loop {
        tokio::select! {
            permits = &mut permits => return Ok(permits.ok()),
            Some(done) = parts.join_next() => joined(done)?,
        }
    }
}

fn joined(done: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    done.map_err(|error| Error::general(format!("a part of the download ended: {error}")))?
}

async fn in_one_go(stream: &dyn Stream, size: Option<u64>, shared: &Shared) -> Result<Seen> {
    // what went to stdout cannot be taken back
    let most = if shared.file.is_none() { 1 } else { STREAM_TRIES };
    let mut tries = Tries::new(shared.how.first_pause);
    let mut attempt = 1;
    loop {
        let (sender, receiver) = mpsc::unbounded_channel();
        let sequence = spawn_sequence(receiver, shared);
        let poured = async {
            let body = stream.open().await?;
            let (blocks, coming) = mpsc::channel(blocks::held(u64::MAX));
            let _ = sender.send(Next::Coming { length: None, blocks: coming, window: None });
            part::pour(body, size, shared, blocks).await
        };
        let poured = poured.await;
        drop(sender);
        let seen = sequence.await?;
        match poured {
            Ok(()) => return seen.ok_or_else(ended_early),
            Err(Failure::Passing(error)) if attempt < most => {
                tracing::info!("begun again: {}", error.message());
                attempt += 1;
                tokio::time::sleep(tries.pause(fastrand::f64()).unwrap_or_default()).await;
            }
            Err(failure) => return Err(failure.into_error()),
        }
    }
}

/// The thread that hashes; dropping what it reads from ends it. `None` when a piece ended early.
fn spawn_sequence(pieces: mpsc::UnboundedReceiver<Next>, shared: &Shared) -> BoxFuture<'static, Result<Option<Seen>>> {
    let (file, busy): (_, Busy) = (shared.file.clone(), shared.busy.clone());
    let out = file.is_none().then(|| Stdout { out: io::stdout(), begun: Arc::clone(&shared.begun) });
    let crc64 = shared.crc64;
    let thread = tokio::task::spawn_blocking(move || {
        let seen = sequence::run(pieces, file.as_ref(), out, crc64);
        drop((file, busy));
        seen
    });
    Box::pin(async move { thread.await.map_err(|error| Error::general(format!("cannot hash: {error}")))? })
}

/// Standard output, which tells when something has gone there.
struct Stdout {
    out: io::Stdout,
    begun: Arc<AtomicBool>,
}

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.store(true, Ordering::Relaxed);
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
