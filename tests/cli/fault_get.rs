//! `get --from s3` while the network or the store does wrong: the right bytes, or an exit code and no file.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use insta::assert_snapshot;

use crate::fault_store::{AGAIN, End, Fault, KEYS, MIB, Request, Store, snapshot};
use crate::sandbox::{Output, Sandbox};

/// The names in the home directory that are not hidden.
pub fn files(sandbox: &Sandbox) -> Vec<String> {
    let names =
        std::fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Without the address of the server, which differs from run to run.
pub fn shown(output: &Output, store: &Store) -> String {
    output.to_string().replace(&store.url, "http://s3")
}

/// The download succeeded, and its bytes are those of the store.
pub fn assert_got(sandbox: &Sandbox, output: &Output, store: &Store) {
    assert_eq!(output.code, Some(0), "{output}");
    assert!(std::fs::read(sandbox.path().join("out")).unwrap() == store.bytes(), "other bytes");
    assert_eq!(files(sandbox), ["out"]);
}

/// The same download once more, with a key that tells its requests from those before; it must end well.
pub fn get_again(sandbox: &mut Sandbox, line: &str, store: &Store) -> Output {
    sandbox.set("AWS_ACCESS_KEY_ID", AGAIN);
    sandbox.set("AWS_SECRET_ACCESS_KEY", KEYS.1);
    let output = sandbox.run(line);
    assert_got(sandbox, &output, store);
    output
}

/// What is left of a download that a later run can go on with.
pub const LEFT: [&str; 2] = ["out.part", "out.part.state"];

/// Runs against a store of `bytes` bytes, which must end well.
fn got(bytes: u64, rule: impl Fn(&Request, &[Request]) -> Fault + Send + Sync + 'static) -> Store {
    got_with("60s", bytes, rule)
}

/// The same with a `--stall-timeout`: shorter than the five seconds after which the SDK itself breaks off, and long
/// enough for a busy machine.
fn got_with(stall: &str, bytes: u64, rule: impl Fn(&Request, &[Request]) -> Fault + Send + Sync + 'static) -> Store {
    let (store, sandbox) = (Store::new(snapshot(bytes), rule), Sandbox::with_keys(KEYS));
    let output = sandbox.run(&store.get().replace("60s", stall));
    assert_got(&sandbox, &output, &store);
    store
}

/// How often each range was asked for.
fn counted(store: &Store) -> HashMap<Range<u64>, usize> {
    let mut counted = HashMap::new();
    store.ranges().into_iter().for_each(|range| *counted.entry(range).or_default() += 1);
    counted
}

/// The first request that begins at `at` meets `fault`.
pub fn first_at(at: u64, fault: Fault) -> impl Fn(&Request, &[Request]) -> Fault + Send + Sync {
    move |request, before| match request.begins(at) && !before.iter().any(|before| before.begins(at)) {
        true => fault,
        false => Fault::None,
    }
}

#[test]
fn busy_twice_a_part_is_waited_out() {
    let busy = "x-amz-retry-after: 20\r\n";
    let store = got(4 * MIB, move |request, before| {
        let times = before.iter().filter(|before| before.range == request.range).count();
        match request.range.is_some() && times < 2 {
            true => Fault::Refuse(503, "SlowDown", "", busy),
            false => Fault::None,
        }
    });
    let counted = counted(&store);
    assert!(counted.len() == 5 && counted.values().all(|times| *times == 3), "{counted:?}");
}

#[test]
fn a_connection_that_ends_in_the_body_costs_what_it_had_not_brought() {
    for end in [End::Reset, End::Close] {
        // each part once, in its middle; the last has 32 bytes
        let store = got(4 * MIB, move |request, before| match &request.range {
            Some(range)
                if range.start < 4 * MIB && !before.iter().any(|before| before.begins(range.start / MIB * MIB)) =>
            {
                Fault::After(300_000, end)
            }
            _ => Fault::None,
        });
        let ranges = store.ranges();
        assert_eq!(ranges.len(), 9, "{ranges:?}");
        for pair in ranges[..8].chunks(2) {
            let kept = pair[1].start - pair[0].start;
            // a reset may take with it what was on its way
            assert!(kept == 300_000 || end == End::Reset && kept < 300_000, "{pair:?}");
        }
    }
}

#[test]
fn only_a_part_that_stalls_is_asked_for_again() {
    let store = got_with("3s", 6 * MIB, first_at(2 * MIB, Fault::After(400_000, End::Stall)));
    let ranges = store.ranges();
    assert_eq!(ranges.len(), 8, "{ranges:?}");
    assert!(ranges.contains(&(2 * MIB + 400_000..3 * MIB)), "{ranges:?}");
    assert!(counted(&store).values().all(|times| *times == 1), "{ranges:?}");
}

#[test]
fn a_drip_under_the_floor_is_cut_and_asked_for_again() {
    let store = got_with("3s", 4 * MIB, first_at(MIB, Fault::Drip));
    let ranges = store.ranges();
    assert_eq!(ranges.len(), 6, "{ranges:?}");
    let again = ranges.iter().find(|range| (MIB + 1..2 * MIB).contains(&range.start)).unwrap();
    assert!(again.start < MIB + 16 * 1024 && again.end == 2 * MIB, "{ranges:?}");
}

#[test]
fn a_length_that_is_not_the_ranges_is_not_believed() {
    // what is missing is asked for; all that was asked for is enough
    for (wrong, requests) in [(-1000, 6), (1000, 5)] {
        let store = got(4 * MIB, first_at(MIB, Fault::Announce(wrong)));
        assert_eq!(store.ranges().len(), requests, "{wrong}: {:?}", store.ranges());
    }
}

#[test]
fn a_body_without_an_end_is_not_read_beyond_the_range() {
    got(4 * MIB, first_at(MIB, Fault::Endless));
    let rule = |request: &Request, _: &[Request]| if request.range.is_some() { Fault::Endless } else { Fault::None };
    let (store, sandbox) = (Store::new(snapshot(4 * MIB + 512), rule), Sandbox::with_keys(KEYS));
    let output = sandbox.run(&store.get());
    assert_got(&sandbox, &output, &store);
    // nor beyond the snapshot, where ranges are ignored
    got(4 * MIB, |request, _| match request.head.contains("range: bytes=") {
        true => Fault::Whole,
        false if request.range.is_some() => Fault::Endless,
        false => Fault::None,
    });
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_its_first_byte() {
    let rule = |request: &Request, _: &[Request]| if request.range.is_some() { Fault::Whole } else { Fault::None };
    let store = got(4 * MIB, rule);
    assert!(store.requests().iter().any(|request| request.range.is_some() && !request.head.contains("range: bytes")));
    // one that does so later only, too
    got(4 * MIB, first_at(3 * MIB, Fault::Whole));
}

#[test]
fn an_object_that_is_replaced_meanwhile_is_not_mixed_with_the_old_one() {
    let (store, mut sandbox) =
        (Store::new(snapshot(6 * MIB), first_at(2 * MIB, Fault::After(1000, End::Held))), Sandbox::with_keys(KEYS));
    let output = std::thread::scope(|scope| {
        let run = scope.spawn(|| sandbox.run(&store.get()));
        store.wait(|requests| requests.iter().any(|request| request.begins(2 * MIB) && request.sent() == 1000));
        store.replace();
        store.release();
        run.join().unwrap()
    });
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(files(&sandbox), [""; 0], "the old one can never be completed");
    assert_snapshot!(shown(&output, &store));
    get_again(&mut sandbox, &store.get(), &store);
    assert_eq!(store.asked_again().1, store.bytes().len() as u64);
}

#[test]
fn one_flipped_bit_is_exit_4_and_nothing_is_kept() {
    for at in [7, 999_999] {
        let (store, sandbox) =
            (Store::new(snapshot(4 * MIB), first_at(MIB, Fault::Flip(at))), Sandbox::with_keys(KEYS));
        let output = sandbox.run(&store.get());
        assert_eq!(output.code, Some(4), "{output}");
        assert_eq!(files(&sandbox), [""; 0]);
        let mut settings = insta::Settings::clone_current();
        settings.add_filter("computed [0-9a-f]{64}", "computed SHA256");
        settings.bind(|| assert_snapshot!("flipped", shown(&output, &store)));
        assert_got(&sandbox, &sandbox.run(&store.get()), &store);
    }
}

#[test]
fn a_checksum_that_the_store_offers_is_compared() {
    // smaller ones are not asked for theirs
    let bytes = snapshot(64 * MIB);
    let mut crc64 = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    crc64.update(&bytes);
    let right = crc64.finalize();
    for (crc64, kind, code) in [(right, "FULL_OBJECT", 0), (right ^ 1, "FULL_OBJECT", 4), (right ^ 1, "COMPOSITE", 0)] {
        let store = Store::new(bytes.clone(), move |_, _| Fault::Offer(crc64, kind));
        let sandbox = Sandbox::with_keys(KEYS);
        let output = sandbox.run(&store.get().replace("--part-size 1", "--part-size 8"));
        assert_eq!(output.code, Some(code), "{output}");
        assert_eq!(output.stderr.contains("the store's checksum does not match"), code == 4, "{output}");
    }
}

#[test]
fn a_store_that_stays_broken_ends_the_run_and_not_what_it_brought() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let broken = move |request: &Request, _: &[Request]| match &request.range {
        Some(range) if range.start >= 4 * MIB && !is_mended.load(Ordering::Relaxed) => Fault::After(0, End::Reset),
        _ => Fault::None,
    };
    let (store, mut sandbox) = (Store::new(snapshot(6 * MIB), broken), Sandbox::with_keys(KEYS));
    let output = sandbox.run(&store.get());
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("reading s3://bbb/v1/etcd-a/") && output.stderr.contains("go on where it ended"));
    assert_eq!(files(&sandbox), LEFT);
    mended.store(true, Ordering::Relaxed);
    get_again(&mut sandbox, &store.get(), &store);
    assert_eq!(store.asked_again().1, 2 * MIB + 32);
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let (store, sandbox) = (Store::new(snapshot(4 * MIB), |_, _| Fault::None), Sandbox::with_keys(KEYS));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let line = store.get().replace("-O out", "-O -");
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = sandbox.command(&words).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write stdout: No space left on device"));
    assert_eq!(files(&sandbox), [""; 0]);
}
