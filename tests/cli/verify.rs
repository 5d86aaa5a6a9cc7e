//! `verify`: snapshots of real etcds, from every place, and names that do not say the truth.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::etcd::{Etcd, etcdutl_status, succeed};
use crate::faults::{Fate, Network};
use crate::get_from_dir::run_as_nobody;
use crate::pages::prove_again;
use crate::sandbox::{Output, Sandbox};
use crate::servers::{READER, STORE, free_ports, snapshot};

const NAME: &str = "3.5.21_000000000000000f_etcd.backup";

/// The snapshot of this etcd as it is now.
fn save(etcd: &Etcd, to: &Path) {
    let _ = std::fs::remove_file(to);
    succeed(&mut etcd.ctl(&["snapshot", "save", &to.display().to_string()]));
}

/// What `verify -o json` says of a file that must be right.
pub fn verified(sandbox: &Sandbox, file: &str) -> serde_json::Value {
    let output = sandbox.run(&format!("verify {file} -o json"));
    assert_eq!(output.code, Some(0), "{output}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let glance = sandbox.run(&format!("verify --quick {file} -o json"));
    let seen: serde_json::Value = serde_json::from_slice(&glance.stdout).unwrap();
    assert_eq!(seen["revision"], value["revision"], "{glance}");
    value
}

/// Compares with etcdutl, which says the revision of the `last` change that is stored: it does not look at the records
/// of compactions and knows no revision of an empty etcd.
fn same_as_etcdutl(sandbox: &Sandbox, etcd: &Etcd, revision: u64, last: u64) {
    let path = sandbox.path().join("saved");
    save(etcd, &path);
    let (value, (status, keys)) = (verified(sandbox, "saved"), etcdutl_status(&path));
    assert_eq!((&value["revision"], &value["keys"]), (&revision.into(), &keys.into()), "etcdutl: {status}");
    assert_eq!(status, last);
    assert_eq!(value["bytes"], std::fs::metadata(&path).unwrap().len());
}

/// The snapshots of one version: empty, small, with leases and users, deleted and compacted, defragmented.
fn of_version(program: &str) {
    let (sandbox, etcd) = (Sandbox::new(), Etcd::start_version(program, free_ports()));
    etcd.wait_for_quorum();
    same_as_etcdutl(&sandbox, &etcd, 1, 0);

    (0..300).for_each(|n| etcd.put(&format!("key{}", n % 200), &"v".repeat(n * 20)));
    let granted = etcd.ctl(&["lease", "grant", "600", "-w", "json"]).output().unwrap();
    let granted: serde_json::Value = serde_json::from_slice(&granted.stdout).unwrap();
    let lease = format!("--lease={:x}", granted["ID"].as_u64().unwrap());
    succeed(&mut etcd.ctl(&["put", "leased", "v", &lease]));
    same_as_etcdutl(&sandbox, &etcd, 302, 302);
    assert_eq!(etcdutl_status(&sandbox.path().join("saved")), (302, 201));

    succeed(&mut etcd.ctl(&["del", "--prefix", "key1"]));
    same_as_etcdutl(&sandbox, &etcd, 303, 303);
    succeed(&mut etcd.ctl(&["compaction", "303", "--physical"]));
    // a compaction at the revision of a deletion takes the deletion away too; newer etcds keep it (mvcc/key_index.go)
    let last = if program == "etcd-3.4" { 302 } else { 303 };
    same_as_etcdutl(&sandbox, &etcd, 303, last);
    let before = verified(&sandbox, "saved");
    succeed(&mut etcd.ctl(&["defrag"]));
    same_as_etcdutl(&sandbox, &etcd, 303, last);
    let after = verified(&sandbox, "saved");
    assert!(after["bytes"].as_u64() < before["bytes"].as_u64(), "{before} {after}");
    assert!(before["sizeInUse"].as_u64() < before["bytes"].as_u64(), "{before}");
    assert_eq!(after["storageVersion"], if program == "etcd" { "3.6".into() } else { serde_json::Value::Null });

    for words in [&["user", "add", "root:x"][..], &["role", "add", "root"], &["user", "grant-role", "root", "root"]] {
        succeed(&mut etcd.ctl(words));
    }
    same_as_etcdutl(&sandbox, &etcd, 303, last);
}

#[test]
fn snapshots_of_etcd_3_4_are_read_as_etcdutl_reads_them() {
    of_version("etcd-3.4");
}

#[test]
fn snapshots_of_etcd_3_5_are_read_as_etcdutl_reads_them() {
    of_version("etcd-3.5");
}

#[test]
fn snapshots_of_etcd_3_6_are_read_as_etcdutl_reads_them() {
    of_version("etcd");
}

#[test]
fn everything_that_was_found_is_told_in_words_and_for_scripts() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path().join(NAME), snapshot(8, 1)).unwrap();
    std::fs::write(sandbox.path().join("3.5.4_0f_etcd.backup"), snapshot(8, 1)).unwrap();
    assert_snapshot!("words", sandbox.run(&format!("verify {NAME}")));
    assert_snapshot!("json", sandbox.run(&format!("verify {NAME} -o json")));
    assert_snapshot!("quick", sandbox.run(&format!("verify {NAME} --quick")));
    assert_snapshot!("incidents", sandbox.run("verify 3.5.4_0f_etcd.backup -o yaml"));
}

/// With stdin.
fn piped(sandbox: &Sandbox, line: &str, bytes: &[u8]) -> Output {
    let mut command = sandbox.command(&line.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // a command that ends early does not read all
    let _ = child.stdin.take().unwrap().write_all(bytes);
    Output::of(child.wait_with_output().unwrap(), sandbox)
}

#[test]
fn a_pipe_and_an_object_are_verified_like_a_file_and_nothing_is_left() {
    let (bucket, mut sandbox) = (STORE.bucket("verify"), Sandbox::with_keys(READER));
    let temporary = tempfile::tempdir().unwrap();
    sandbox.set("TMPDIR", &temporary.path().display().to_string());
    bucket.put(&format!("v1/etcd-a/{NAME}"), &snapshot(300, 1));
    let place = format!("s3://verify/v1/etcd-a/{NAME} --endpoint-url {} --force-path-style", STORE.url);
    let object = sandbox.run(&format!("verify {place}"));
    assert_eq!(object.code, Some(0), "{object}");
    let line = String::from_utf8(object.stdout).unwrap();
    assert!(line.contains("revision 1099511627776   etcd 3.5.21   153632 bytes   1 key   sha256 and pages"), "{line}");
    let pipe = piped(&sandbox, "verify -", &snapshot(300, 1));
    assert!(pipe.stdout.ends_with(b"153632 bytes   1 key   sha256 and pages verified\n"), "{pipe}");

    let mut flipped = snapshot(300, 1);
    // the number of the first page after the two metas
    flipped[1024] ^= 1;
    bucket.put("flipped", &flipped);
    let flags = place.split_once(' ').unwrap().1;
    for output in [
        piped(&sandbox, "verify - -o json", &flipped),
        sandbox.run(&format!("verify s3://verify/flipped {flags} -o json")),
    ] {
        assert!(output.code == Some(4) && output.stderr.contains("sha256 mismatch"), "{output}");
        let said = "page 2 (byte 1024): says that it is page 3";
        assert!(output.stderr.contains(&format!("hint: the damage shows at {said}")), "{output}");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = &value["checks"];
        assert_eq!((&value["bytes"], &checks["size"]), (&153_632.into(), &"ok".into()), "{output}");
        assert_eq!(checks["bolt"], said, "{output}");
        assert!(checks["sha256"].as_str().unwrap().starts_with("sha256 mismatch: trailer "), "{output}");
    }
    bucket.put("cut", &snapshot(300, 1)[..100_000]);
    let cut = sandbox.run(&format!("verify s3://verify/cut {flags} -o json"));
    let value: serde_json::Value = serde_json::from_slice(&cut.stdout).unwrap();
    assert_eq!((cut.code, &value["bytes"]), (Some(4), &100_000.into()), "{cut}");
    assert!(value["checks"]["size"].as_str().unwrap().starts_with("snapshot has no sha256 trailer"), "{cut}");
    assert!(!cut.stderr.contains("downloading"), "its size says enough: {cut}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    let missing = sandbox.run(&format!("verify {}", place.replace("v1/etcd-a", "v1/nobody")));
    assert_eq!(missing.code, Some(3), "{missing}");
}

#[test]
fn a_quick_look_at_a_large_object_needs_few_requests() {
    let etcd = Etcd::start();
    (0..40).for_each(|n| etcd.put(&format!("small{n}"), &"v".repeat(100)));
    etcd.put_megabytes(12);
    let (bucket, sandbox) = (STORE.bucket("quick"), Sandbox::with_keys(READER));
    save(&etcd, &sandbox.path().join("saved"));
    let bytes = std::fs::read(sandbox.path().join("saved")).unwrap();
    bucket.put("large", &bytes);
    let network = Network::before(&STORE.url, |_, _| Fate::Deliver);
    let line = format!("verify --quick s3://quick/large --endpoint-url {} --force-path-style -o json", network.url);
    let output = sandbox.run(&line);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["revision"], &value["checks"]["size"]), (&53.into(), &"ok".into()), "{output}");
    let gets = network.heads().iter().filter(|head| head.starts_with("GET ")).count();
    assert!((1..=8).contains(&gets), "{gets} requests");

    let mut cut = bytes.clone();
    cut.truncate(cut.len() - 4096);
    bucket.put("large", &cut);
    let output = sandbox.run(&line);
    assert!(output.code == Some(4) && output.stderr.contains("incomplete"), "{output}");

    let mut damaged = bytes;
    // both meta pages
    damaged[..2 * 4096].fill(0xff);
    bucket.put("large", &damaged);
    let output = sandbox.run(&line);
    let checks = &serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["checks"];
    assert_eq!((output.code, &checks["size"]), (Some(4), &"ok".into()), "{output}");
    assert!(checks["bolt"].is_string(), "{output}");
}

#[test]
fn what_cannot_be_asked_for_is_a_usage_error() {
    let sandbox = Sandbox::new();
    for line in [
        "verify",
        "verify s3://bucket/",
        "verify a --region x",
        "verify s3://bucket/a --bucket other",
        "verify - --quick",
        "verify a -o name",
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output}");
    }
    assert_eq!(sandbox.run("verify nothing").code, Some(3));
    assert_eq!(sandbox.run("verify .").code, Some(1));
}

#[test]
fn a_file_that_may_not_be_read_is_exit_5() {
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("closed");
    std::fs::write(&path, snapshot(8, 1)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    for line in ["verify closed", "verify --quick closed"] {
        let (code, stderr) = run_as_nobody(&sandbox, line);
        assert_eq!(code, Some(5), "{stderr}");
        assert!(stderr.contains("cannot read closed: ") && stderr.contains("sudo"), "{stderr}");
    }
}

#[test]
fn a_name_that_does_not_say_the_truth_is_exit_4() {
    let (sandbox, etcd) = (Sandbox::new(), Etcd::start());
    etcd.put("a", "b");
    let saved = sandbox.path().join("saved");
    // etcd writes the version of its format a while after it started
    let says_its_format = (0..500).any(|_| {
        save(&etcd, &saved);
        !verified(&sandbox, "saved")["storageVersion"].is_null()
    });
    assert!(says_its_format);
    for (name, code, said) in [
        ("3.6.4_0000000000000002_etcd.backup", 0, ""),
        ("3.6.4_0000000000000001_etcd.backup", 0, ""),
        ("3.6.4_0000000000000003_etcd.backup", 4, "the name says revision 3, but the database ends at revision 2"),
        (
            "3.5.4_0000000000000002_etcd.backup",
            4,
            "the name says etcd 3.5.4, but the database is in the format of etcd 3.6",
        ),
        ("etcd.backup_v2_2026-01-02-03:04:05", 0, ""),
        ("etcd.backup_v3_2026-01-02-03:04:05", 4, "the name says revision 3, but the database ends at revision 2"),
    ] {
        std::fs::copy(&saved, sandbox.path().join(name)).unwrap();
        let output = sandbox.run(&format!("verify {name}"));
        assert!(output.code == Some(code) && output.stderr.contains(said), "{name}: {output}");
    }
}

#[test]
fn get_gives_no_name_to_a_snapshot_that_ends_before_it() {
    let (bucket, sandbox, etcd) = (STORE.bucket("untrue"), Sandbox::with_keys(READER), Etcd::start());
    etcd.put("a", "b");
    let saved = sandbox.path().join("saved");
    save(&etcd, &saved);
    let bytes = std::fs::read(&saved).unwrap();
    let mut foreign = vec![7; 4096 + 32];
    prove_again(&mut foreign);
    for (cluster, revision, bytes, code) in
        [("true", "2", &bytes, 0), ("untrue", "3", &bytes, 4), ("foreign", "2", &foreign, 4)]
    {
        bucket.put(&format!("v1/{cluster}/3.6.4_{revision}_etcd.backup"), bytes);
        let output = sandbox.run(&format!("get {cluster} --from s3 {} -O {cluster}", bucket.flags()));
        assert_eq!(output.code, Some(code), "{output}");
        assert_eq!(sandbox.path().join(cluster).exists(), code == 0);
        assert!(!sandbox.path().join(format!("{cluster}.part")).exists(), "{output}");
    }
}

#[test]
fn the_report_for_programs_is_to_the_byte() {
    let sandbox = Sandbox::new();
    let odd = "a\u{202e}b\u{9b}c";
    std::fs::write(sandbox.path().join(odd), snapshot(8, 1)).unwrap();
    assert_eq!(verified(&sandbox, odd)["file"], odd);
}
