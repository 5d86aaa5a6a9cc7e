//! Damage to real snapshots: with the old trailer, which must always show, and under a right one, which must never
//! panic, nor be taken for whole where etcdutl does not take it.
//!
//! `FUZZ_SECONDS` makes the loop longer, `FUZZ_SEED` repeats one.

use std::io::Write;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kubectl_etcdbackup::error::ErrorKind;
use kubectl_etcdbackup::snapshot::proof::{Verdict, examine};

use crate::etcd::{Etcd, succeed};
use crate::pages::prove_again;
use crate::sandbox::{Sandbox, binary};
use crate::servers::free_ports;

/// Mutations of a run without `FUZZ_SECONDS`.
const ROUNDS: u32 = 1000;

/// Accepted mutations that etcdutl is shown without `FUZZ_SECONDS`, because each is a process.
const SHOWN: u32 = 40;

/// A snapshot with what a real one has: several levels, values of several pages, deletions, free pages, leases.
fn real(program: &str) -> Vec<u8> {
    let (directory, etcd) = (tempfile::tempdir().unwrap(), Etcd::start_version(program, free_ports()));
    etcd.wait_for_quorum();
    (0..150).for_each(|n| etcd.put(&format!("key{}", n % 100), &"v".repeat(n * 40)));
    succeed(&mut etcd.ctl(&["del", "--prefix", "key1"]));
    succeed(&mut etcd.ctl(&["lease", "grant", "600"]));
    succeed(&mut etcd.ctl(&["compaction", "100", "--physical"]));
    let path = directory.path().join("saved");
    succeed(&mut etcd.ctl(&["snapshot", "save", &path.display().to_string()]));
    std::fs::read(path).unwrap()
}

fn is_refused(verdict: &Verdict) -> bool {
    verdict.first_wrong().is_some_and(|error| error.kind() == ErrorKind::Unproved)
}

#[test]
fn damage_under_the_old_trailer_is_always_refused() {
    let bytes = real("etcd-3.5");
    assert_eq!(examine(&bytes[..], None).first_wrong(), None);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..1000 {
        let mut flipped = bytes.clone();
        let at = random.usize(..bytes.len());
        flipped[at] ^= 1 << random.u32(..8);
        assert!(is_refused(&examine(&flipped[..], None)), "a flip at {at}");
    }
    for end in (0..bytes.len()).step_by(4096) {
        assert!(is_refused(&examine(&bytes[..end], None)), "cut at {end}");
        assert!(is_refused(&examine(&bytes[..end + 32], None)) || end + 32 == bytes.len(), "cut at {end} + 32");
    }
    let without = &bytes[..bytes.len() - 32];
    let mut zeroed = bytes.clone();
    zeroed[bytes.len() - 32..].fill(0);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(bytes.len()).collect();
    for wrong in [without, &zeroed, &noise, &[], &[0; 544]] {
        assert!(is_refused(&examine(wrong, None)), "{} bytes", wrong.len());
    }
}

#[test]
fn the_first_thing_that_is_wrong_is_said_and_where() {
    let (sandbox, bytes) = (Sandbox::new(), real("etcd"));
    let write = |name: &str, bytes: &[u8]| std::fs::write(sandbox.path().join(name), bytes).unwrap();
    let mut page = bytes.clone();
    let root = root(&page);
    page[root * 4096] ^= 1;
    write("flipped", &page);
    prove_again(&mut page);
    write("proved", &page);
    write("cut", &bytes[..bytes.len() / 8192 * 4096]);
    let torn = format!("proved: page {root} (byte {}): says that it is page {}", root * 4096, root ^ 1);
    for (file, said) in [
        ("flipped", "flipped: sha256 mismatch: trailer "),
        ("proved", &torn),
        ("cut", "cut: snapshot has no sha256 trailer"),
    ] {
        let output = sandbox.run(&format!("verify {file}"));
        assert!(output.code == Some(4) && output.stderr.contains(said), "{output}");
        let json = sandbox.run(&format!("verify {file} -o json"));
        let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((json.code, &value["file"]), (Some(4), &file.into()), "{json}");
    }
}

/// The page at which all buckets begin, by the meta that was written last: in use, whatever etcd has freed by then.
fn root(snapshot: &[u8]) -> usize {
    let number = |at: usize| u64::from_le_bytes(snapshot[at..at + 8].try_into().unwrap());
    let newest = [0, 4096].into_iter().max_by_key(|meta| number(meta + 64)).unwrap();
    number(newest + 32).try_into().unwrap()
}

/// Changes a few bytes as disks, memory and mischief do.
fn mutate(bytes: &mut [u8], random: &mut fastrand::Rng) {
    let end = bytes.len() - 32;
    for _ in 0..random.u32(1..4) {
        let page = random.usize(..end / 4096) * 4096;
        // most of what can go wrong stands at the beginning of a page
        let at = if random.bool() { page + random.usize(..128) } else { random.usize(..end) };
        match random.u32(..5) {
            0 => bytes[at] ^= 1 << random.u32(..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes[at..(at + 8).min(end)].fill([0, 0xff][random.usize(..2)]),
            3 => bytes[page..page + 4096].fill(0),
            _ => bytes.copy_within(page..page + 4096, random.usize(..end / 4096) * 4096),
        }
    }
}

/// What etcdutl makes of it: revision and keys, or nothing where it refuses.
fn etcdutl(file: &Path) -> Option<(u64, u64)> {
    let status = Command::new(binary("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(file).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
    status.status.success().then(|| (value["revision"].as_u64().unwrap(), value["totalKey"].as_u64().unwrap()))
}

#[test]
fn damage_under_a_right_trailer_never_panics_and_is_never_taken_for_whole() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let seed = std::env::var("FUZZ_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let originals = [real("etcd-3.4"), real("etcd")];
    let (directory, started) = (tempfile::tempdir().unwrap(), Instant::now());
    let (mut rounds, mut accepted) = (0, 0);
    while seconds.map_or(rounds < ROUNDS, |seconds| started.elapsed() < Duration::from_secs(seconds)) {
        rounds += 1;
        let mut bytes = originals[random.usize(..2)].clone();
        mutate(&mut bytes, &mut random);
        prove_again(&mut bytes);
        let verdict = catch_unwind(|| examine(&bytes[..], None));
        let verdict = verdict.unwrap_or_else(|_| panic!("FUZZ_SEED={seed}: panicked in round {rounds}"));
        let Some(Ok(contents)) = verdict.bolt else {
            assert!(is_refused(&verdict), "FUZZ_SEED={seed}, round {rounds}: {verdict:?}");
            continue;
        };
        accepted += 1;
        if accepted <= SHOWN || seconds.is_some() {
            let file = directory.path().join("mutated");
            std::fs::write(&file, &bytes).unwrap();
            let (revision, keys) =
                etcdutl(&file).unwrap_or_else(|| panic!("FUZZ_SEED={seed}: accepted in round {rounds}"));
            assert!(contents.keys == keys && contents.glance.revision >= revision, "FUZZ_SEED={seed}, round {rounds}");
        }
    }
    if seconds.is_some() {
        let _ = writeln!(std::io::stderr(), "FUZZ_SEED={seed}: {rounds} mutations, {accepted} of them accepted");
    }
    assert!(accepted > 0 && accepted < rounds, "{accepted} of {rounds} accepted");
}
