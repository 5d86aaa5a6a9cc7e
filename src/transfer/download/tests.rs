use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;

use super::blocks::BLOCK;
use super::*;
use crate::sha256::Sha256;
use crate::source::Body;
use crate::source::origin::{Opening, Ranges, Stream};

/// Small parts and short patience.
const HOW: How = How {
    part_size: 2 * BLOCK,
    concurrency: 3,
    stall_timeout: Duration::from_millis(200),
    first_pause: Duration::from_millis(5),
    ..How::NEAR
};

/// A snapshot whose blocks all differ.
fn snapshot(bytes: u64) -> Vec<u8> {
    let mut all: Vec<u8> =
        (0..bytes / 8).flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
    let sha = Sha256::of(&all);
    all.extend_from_slice(&sha);
    all
}

/// What goes wrong with one request.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// The connection breaks after so many bytes.
    BreaksAfter(u64),
    /// The answer ends politely after so many bytes.
    EndsAfter(u64),
    /// Nothing more comes after so many bytes.
    StallsAfter(u64),
    /// A chunk of 100 kB comes every 30 ms.
    Slow,
    /// The server is busy.
    Busy,
    /// One more byte than was asked for.
    Endless,
    /// The object may not be read any more.
    Changed,
    /// The object is another by now.
    Replaced,
    /// Ranges are ignored.
    NoRanges,
}

/// An object in memory; each request takes the next fault.
struct Memory {
    bytes: Vec<u8>,
    faults: Mutex<Vec<Option<Fault>>>,
    requests: Mutex<Vec<Range<u64>>>,
}

impl Memory {
    fn new(bytes: Vec<u8>, faults: &[Option<Fault>]) -> Arc<Self> {
        let faults = faults.iter().rev().copied().collect();
        Arc::new(Self { bytes, faults: Mutex::new(faults), requests: Mutex::default() })
    }

    fn origin(self: &Arc<Self>) -> Origin {
        let size = self.bytes.len() as u64;
        Origin::Ranged { size, identity: "s3://b/k \"1\"".to_owned(), crc64: None, ranges: self.clone() }
    }

    fn requested(&self) -> u64 {
        self.requests.lock().unwrap().iter().map(|range| range.end - range.start).sum()
    }

    fn answer(&self, range: Range<u64>) -> Result<Body, Failure> {
        let bytes = &self.bytes[range.start as usize..range.end as usize];
        let fault = self.faults.lock().unwrap().pop().flatten();
        let (bytes, end): (Vec<u8>, _) = match fault {
            Some(Fault::Slow) => (bytes.to_vec(), stream::empty().boxed()),
            None => (bytes.to_vec(), stream::empty().boxed()),
            Some(Fault::BreaksAfter(some)) => {
                let broken = stream::once(async { Err(Error::general("connection reset")) });
                (cut(bytes, some), broken.boxed())
            }
            Some(Fault::EndsAfter(some)) => (cut(bytes, some), stream::empty().boxed()),
            Some(Fault::StallsAfter(some)) => (cut(bytes, some), stream::pending().boxed()),
            Some(Fault::Endless) => ([bytes, b"x"].concat(), stream::empty().boxed()),
            Some(Fault::Busy) => return Err(Failure::Passing(Error::general("503 SlowDown"))),
            Some(Fault::NoRanges) => return Err(Failure::NoRanges),
            Some(Fault::Changed) => return Err(Failure::Final(Error::general("changed"))),
            Some(Fault::Replaced) => return Err(Failure::Changed(Error::general("replaced"))),
        };
        let chunks: Vec<Result<Bytes>> = bytes.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let pause = Duration::from_millis(if fault == Some(Fault::Slow) { 30 } else { 0 });
        let chunks = stream::iter(chunks).then(move |chunk| async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            chunk
        });
        Ok(chunks.chain(end).boxed())
    }
}

fn cut(bytes: &[u8], after: u64) -> Vec<u8> {
    bytes[..bytes.len().min(after as usize)].to_vec()
}

impl Ranges for Memory {
    fn open(&self, range: Range<u64>) -> Opening<'_> {
        self.requests.lock().unwrap().push(range.clone());
        Box::pin(async move { self.answer(range) })
    }
}

impl Stream for Memory {
    fn open(&self) -> Opening<'_> {
        self.requests.lock().unwrap().push(0..self.bytes.len() as u64);
        Box::pin(async move { self.answer(0..self.bytes.len() as u64) })
    }
}

fn nobody() -> Advance {
    Arc::new(|_| {})
}

async fn get(origin: Origin, path: &Path) -> Result<Proof> {
    fetch(origin, &Target::File { path: path.to_owned(), force: false }, &HOW, nobody(), &CancellationToken::new())
        .await
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn parts_become_one_proved_file_and_nothing_else_is_left() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let memory = Memory::new(snapshot(7 * BLOCK), &[]);
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let advance: Advance = Arc::new(move |bytes| {
        count.fetch_add(bytes, Ordering::Relaxed);
    });
    let proof = fetch(
        memory.origin(),
        &Target::File { path: path.clone(), force: false },
        &HOW,
        advance,
        &CancellationToken::new(),
    )
    .await
    .unwrap();
    assert_eq!(proof.size, 7 * BLOCK + 32);
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(directory.path()), ["a"]);
    assert_eq!(seen.load(Ordering::Relaxed), proof.size);
    assert_eq!(memory.requested(), proof.size);
    assert_eq!(memory.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn every_fault_that_passes_is_mended_by_asking_for_what_is_missing() {
    let half = Some(Fault::BreaksAfter(BLOCK / 2 + 7));
    let cases: [(&str, &[Option<Fault>]); 5] = [
        ("reset in each first answer", &[half, half, half, half]),
        ("polite ends", &[Some(Fault::EndsAfter(10)), None, Some(Fault::EndsAfter(0))]),
        ("busy twice a part", &[Some(Fault::Busy); 8]),
        ("a stall", &[None, Some(Fault::StallsAfter(BLOCK + 1))]),
        ("more than asked for", &[Some(Fault::Endless)]),
    ];
    for (what, faults) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let memory = Memory::new(snapshot(7 * BLOCK), faults);
        get(memory.origin(), &path).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(std::fs::read(&path).unwrap() == memory.bytes, "{what}");
    }
}

#[tokio::test]
async fn a_stalled_part_alone_is_asked_for_again_from_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(snapshot(6 * BLOCK), &[None, Some(Fault::StallsAfter(BLOCK + 500_000))]);
    get(memory.origin(), &directory.path().join("a")).await.unwrap();
    let requests = memory.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 5, "{requests:?}");
    assert!(requests.contains(&(3 * BLOCK + 500_000..4 * BLOCK)), "{requests:?}");
}

#[tokio::test]
async fn what_a_slow_line_cannot_bring_is_asked_of_no_other_part() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(snapshot(60 * BLOCK), &[Some(Fault::Slow); 400]);
    let target = Target::File { path: directory.path().join("a"), force: false };
    // five times what comes
    let how = How { floor: 16_000_000, ..HOW };
    fetch(memory.origin(), &target, &how, nobody(), &CancellationToken::new()).await.unwrap();
    let requests = memory.requests.lock().unwrap().len();
    assert!((31..50).contains(&requests), "{requests}");
}

#[tokio::test]
async fn a_run_that_ended_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let dead = Some(Fault::BreaksAfter(3 * BLOCK / 2));
    let memory = Memory::new(snapshot(20 * BLOCK), &[None, None, None, dead, Some(Fault::Changed)]);
    let error = get(memory.origin(), &path).await.unwrap_err();
    assert_eq!(error.message(), "changed");
    assert_eq!(files(directory.path()), ["a.part", "a.part.state"]);
    assert!(LeftOver::of(&path).is_some());
    let again = Memory::new(memory.bytes.clone(), &[]);
    let proof = get(again.origin(), &path).await.unwrap();
    assert!(again.requested() < proof.size, "everything was asked for again");
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
    assert_eq!(files(directory.path()), ["a"]);
    assert_eq!(LeftOver::of(&path), None);
}

#[tokio::test]
async fn blocks_that_changed_on_the_disk_are_fetched_again() {
    use std::os::unix::fs::FileExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let memory = Memory::new(snapshot(8 * BLOCK), &[None, None, None, Some(Fault::Changed)]);
    get(memory.origin(), &path).await.unwrap_err();
    let part = std::fs::OpenOptions::new().write(true).open(directory.path().join("a.part")).unwrap();
    part.write_all_at(b"scribble", 5).unwrap();
    let again = Memory::new(memory.bytes.clone(), &[]);
    get(again.origin(), &path).await.unwrap();
    assert!(again.requests.lock().unwrap().iter().any(|range| range.start == 0));
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
}

#[tokio::test]
async fn what_another_object_has_left_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let memory = Memory::new(snapshot(8 * BLOCK), &[None, None, None, Some(Fault::Changed)]);
    get(memory.origin(), &path).await.unwrap_err();
    let other = Memory::new(snapshot(8 * BLOCK - 512), &[]);
    let size = other.bytes.len() as u64;
    let origin = Origin::Ranged { size, identity: "s3://b/k \"2\"".to_owned(), crc64: None, ranges: other.clone() };
    get(origin, &path).await.unwrap();
    assert_eq!(other.requested(), size);
    assert!(std::fs::read(&path).unwrap() == other.bytes);
}

#[tokio::test]
async fn of_an_object_that_was_replaced_nothing_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let memory = Memory::new(snapshot(20 * BLOCK), &[None, None, None, Some(Fault::Replaced)]);
    let error = get(memory.origin(), &path).await.unwrap_err();
    assert_eq!(error.message(), "replaced");
    assert_eq!(files(directory.path()), [""; 0]);
}

#[tokio::test]
async fn bytes_beyond_a_range_are_left_and_nothing_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let memory = Memory::new(snapshot(7 * BLOCK), &[Some(Fault::Endless); 4]);
    let proof = get(memory.origin(), &path).await.unwrap();
    assert_eq!(memory.requested(), proof.size);
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
}

#[tokio::test]
async fn a_size_that_no_snapshot_has_is_refused_before_parts_are_planned() {
    let ranges = Memory::new(Vec::new(), &[]);
    let origin = Origin::Ranged { size: 1 << 62, identity: "x".to_owned(), crc64: None, ranges };
    let error = fetch(origin, &Target::Stdout, &HOW, nobody(), &CancellationToken::new()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unproved);
}

#[tokio::test]
async fn bytes_that_fail_proof_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut flipped = snapshot(3 * BLOCK);
    flipped[1_000_000] ^= 1;
    let error = get(Memory::new(flipped, &[]).origin(), &path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unproved);
    let memory = Memory::new(snapshot(3 * BLOCK), &[]);
    let size = memory.bytes.len() as u64;
    let origin = Origin::Ranged { size, identity: "x".to_owned(), crc64: Some(1), ranges: memory };
    let error = get(origin, &path).await.unwrap_err();
    assert!(error.message().starts_with("the store's checksum does not match"), "{error}");
    assert_eq!(files(directory.path()), [""; 0]);
}

#[tokio::test]
async fn an_interrupted_run_keeps_what_can_be_gone_on_with_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (ranged, streamed) = (directory.path().join("a"), directory.path().join("b"));
    let memory = Memory::new(snapshot(7 * BLOCK), &[Some(Fault::StallsAfter(3 * BLOCK / 2)); 9]);
    let how = How { stall_timeout: Duration::from_secs(60), ..HOW };
    for (origin, path) in
        [(memory.origin(), &ranged), (Origin::Streamed { size: None, stream: memory.clone() }, &streamed)]
    {
        let stop = CancellationToken::new();
        let when = stop.clone();
        // a block has come, and nothing more will
        let advance: Advance = Arc::new(move |_| when.cancel());
        let target = Target::File { path: path.clone(), force: false };
        let error = fetch(origin, &target, &how, advance, &stop).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
    assert_eq!(files(directory.path()), ["a.part", "a.part.state"]);
    assert!(LeftOver::of(&ranged).is_some());
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_in_one_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let memory = Memory::new(snapshot(7 * BLOCK), &[Some(Fault::NoRanges); 3]);
    let proof = get(memory.origin(), &path).await.unwrap();
    assert_eq!(memory.requests.lock().unwrap().last(), Some(&(0..proof.size)));
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
}

#[tokio::test]
async fn a_server_that_stays_broken_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(snapshot(BLOCK), &[Some(Fault::Busy); 100]);
    let error = get(memory.origin(), &directory.path().join("a")).await.unwrap_err();
    assert_eq!(error.message(), "503 SlowDown");
    assert!(memory.requests.lock().unwrap().len() < 20);
}

#[tokio::test]
async fn a_stream_begins_again_from_zero_a_bounded_number_of_times() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let broken = Some(Fault::BreaksAfter(BLOCK + 5));
    let memory = Memory::new(snapshot(3 * BLOCK), &[broken, broken]);
    let origin = Origin::Streamed { size: None, stream: memory.clone() };
    get(origin, &path).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
    let memory = Memory::new(snapshot(3 * BLOCK), &[broken; 9]);
    let error = get(Origin::Streamed { size: None, stream: memory.clone() }, &directory.path().join("b")).await;
    assert_eq!(error.unwrap_err().message(), "connection reset");
    assert_eq!(memory.requests.lock().unwrap().len(), 3);
    assert_eq!(files(directory.path()), ["a"]);
}

#[tokio::test]
async fn a_stream_that_ends_politely_too_early_is_not_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(snapshot(3 * BLOCK), &[Some(Fault::EndsAfter(2 * BLOCK))]);
    let error = get(Origin::Streamed { size: None, stream: memory }, &directory.path().join("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unproved);
    assert_eq!(files(directory.path()), [""; 0]);
}

#[tokio::test]
async fn two_runs_into_one_target_do_not_meet_and_files_of_others_are_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let held = PartFile::open(&path, Some(Of { size: 1, identity: "x" }), Some(1)).unwrap();
    let memory = Memory::new(snapshot(BLOCK), &[]);
    let error = get(memory.origin(), &path).await.unwrap_err();
    assert!(error.message().starts_with("another download is writing"), "{error}");
    drop(held);
    std::fs::remove_file(directory.path().join("a.part")).unwrap();
    std::os::unix::fs::symlink("elsewhere", directory.path().join("a.part")).unwrap();
    get(memory.origin(), &path).await.unwrap_err();
    std::fs::remove_file(directory.path().join("a.part")).unwrap();
    std::fs::write(directory.path().join("a.part"), "readable by others").unwrap();
    let error = get(memory.origin(), &path).await.unwrap_err();
    assert!(error.message().contains("not made by a download of yours"), "{error}");
    assert_eq!(std::fs::read(directory.path().join("a.part")).unwrap(), b"readable by others");
}

#[tokio::test]
async fn a_target_that_came_to_exist_meanwhile_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    std::fs::write(&path, "mine").unwrap();
    let memory = Memory::new(snapshot(BLOCK), &[]);
    let error = get(memory.origin(), &path).await.unwrap_err();
    assert!(error.message().ends_with("exists"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let target = Target::File { path: path.clone(), force: true };
    let again = Memory::new(memory.bytes.clone(), &[]);
    fetch(again.origin(), &target, &HOW, nobody(), &CancellationToken::new()).await.unwrap();
    assert_eq!(again.requested(), 0, "what was proved needs not come again");
    assert!(std::fs::read(&path).unwrap() == memory.bytes);
}

#[test]
fn only_regular_files_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    for path in [link, PathBuf::from("/dev/null"), directory.path().to_owned()] {
        let error = Target::File { path, force: true }.check().unwrap_err();
        assert!(error.message().ends_with("is not a regular file"), "{error}");
    }
}
