//! `agent backup` from a real etcd into a real S3 server, without Kubernetes, and back.

use std::process::{Command, Stdio};
use std::time::Duration;

use kubectl_etcdbackup::api::RunReport;

use crate::etcd::{Etcd, etcdutl_status};
use crate::sandbox::{Output, Sandbox, binary};
use crate::servers::{READER, ROOT, STORE, free_ports};

/// Runs `agent backup`, and reads its report.
pub fn backup(sandbox: &Sandbox, etcd: &Etcd, flags: &str) -> (Output, Option<RunReport>) {
    let output =
        sandbox.run(&format!("agent backup --cluster-name etcd-a --endpoints {} --report report {flags}", etcd.url));
    let report = std::fs::read_to_string(sandbox.path().join("report")).ok();
    (output, report.and_then(|text| RunReport::from_message(&text)))
}

/// A run that must succeed: its report as the operator reads it.
pub fn stored(sandbox: &Sandbox, etcd: &Etcd, flags: &str) -> serde_json::Value {
    let (output, report) = backup(sandbox, etcd, flags);
    assert_eq!(output.code, Some(0), "{output}");
    let report = serde_json::to_value(report).unwrap();
    assert_eq!(report["outcome"], "stored", "{report}");
    report
}

/// A run that must fail with this exit code: the reason in its report.
pub fn failed(sandbox: &Sandbox, etcd: &Etcd, flags: &str, code: i32) -> String {
    let (output, report) = backup(sandbox, etcd, flags);
    assert_eq!(output.code, Some(code), "{output}");
    match report {
        Some(RunReport::Failed { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

/// The etcd version in the names of snapshots.
pub fn etcd_version() -> String {
    let version = Command::new(binary("etcd")).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    version.lines().next().unwrap().trim_start_matches("etcd Version: ").to_owned()
}

#[test]
fn a_snapshot_goes_to_the_store_and_comes_back_as_etcd_made_it() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("agent"), Sandbox::with_keys(ROOT));
    (0..20).for_each(|n| etcd.put(&format!("key{n}"), "value"));
    let (output, report) = backup(&sandbox, &etcd, &bucket.flags());
    assert_eq!(output.code, Some(0), "{output}");
    let Some(RunReport::Stored { s3_path, etcd_revision: 21, already_stored: false, .. }) = report else {
        panic!("{report:?}")
    };
    assert!(
        s3_path.starts_with("agent/v1/etcd-a/3.") && s3_path.ends_with("_0000000000000015_etcd.backup"),
        "{s3_path}"
    );
    let get = sandbox.run(&format!("get etcd-a --from s3 -O back {}", bucket.flags()));
    assert_eq!(get.code, Some(0), "{get}");
    assert_eq!(etcdutl_status(&sandbox.path().join("back")), (21, 20));

    let (again, report) = backup(&sandbox, &etcd, &bucket.flags());
    assert_eq!(again.code, Some(0), "{again}");
    assert!(matches!(report, Some(RunReport::Stored { already_stored: true, size, .. }) if size > 1000), "{report:?}");
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (1, 0));
}

#[test]
fn a_recreated_cluster_begins_a_history_of_its_own() {
    let (bucket, sandbox) = (STORE.bucket("recreated"), Sandbox::with_keys(ROOT));
    let first = Etcd::start();
    (0..5).for_each(|n| first.put(&format!("key{n}"), "value"));
    assert_eq!(backup(&sandbox, &first, &bucket.flags()).0.code, Some(0));
    let second = Etcd::start();
    second.put("key", "value");
    let (output, report) = backup(&sandbox, &second, &bucket.flags());
    assert_eq!(output.code, Some(0), "{output}");
    assert!(
        matches!(report, Some(RunReport::Stored { etcd_revision: 2, ref history, .. }) if history != "first"),
        "{report:?}"
    );
    assert_eq!(sandbox.run(&format!("get etcd-a --from s3 {}", bucket.flags())).code, Some(3));
    // the first cluster comes back: two write to one place
    let (output, report) = backup(&sandbox, &first, &bucket.flags());
    assert_eq!(output.code, Some(1), "{output}");
    assert!(
        matches!(report, Some(RunReport::Failed { ref reason }) if reason.starts_with("PrefixShared")),
        "{report:?}"
    );
}

#[test]
fn a_foreign_object_under_the_key_is_never_overwritten() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("foreign"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    let key = format!("v1/etcd-a/{}_0000000000000002_etcd.backup", etcd_version());
    bucket.put(&key, b"somebody else's");
    let (output, report) = backup(&sandbox, &etcd, &bucket.flags());
    assert_eq!(output.code, Some(1), "{output}");
    assert!(matches!(report, Some(RunReport::Failed { ref reason }) if reason.starts_with("KeyExists")), "{report:?}");
    assert_eq!(bucket.get(&key), b"somebody else's");
    assert_eq!(bucket.unfinished_uploads(), 0);
}

#[test]
fn faults_are_reported_and_leave_nothing_in_the_store() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("faults"), Sandbox::with_keys(ROOT));
    let [port] = free_ports();
    let dead = format!("agent backup --cluster-name etcd-a --endpoints http://127.0.0.1:{port} {}", bucket.flags());
    let output = sandbox.run(&dead);
    assert_eq!(output.code, Some(1), "{output}");
    let reader = Sandbox::with_keys(READER);
    let (output, report) = backup(&reader, &etcd, &bucket.flags());
    assert_eq!(output.code, Some(5), "{output}");
    assert!(matches!(report, Some(RunReport::Failed { ref reason }) if reason.contains("denied")), "{report:?}");
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (0, 0));
}

#[test]
fn a_signal_aborts_the_upload() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("signal"), Sandbox::with_keys(ROOT));
    let value = "x".repeat(100_000);
    (0..400).for_each(|n| etcd.put(&format!("key{n}"), &value));
    let line = format!("agent backup --cluster-name etcd-a --endpoints {} {}", etcd.url, bucket.flags());
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut agent = sandbox.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&agent);
    while bucket.unfinished_uploads() == 0 && agent.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // done already on a fast machine: then the signal finds nobody, and a whole object is right
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let code = agent.wait().unwrap().code();
    let stored = bucket.keys().len();
    assert!((code, stored) == (Some(130), 0) || (code, stored) == (Some(0), 1), "exit {code:?}, {stored} stored");
    assert_eq!(bucket.unfinished_uploads(), 0);
}

#[test]
fn a_cluster_recreated_with_its_old_id_is_told_by_its_data() {
    let (bucket, sandbox, ports) = (STORE.bucket("same-id"), Sandbox::with_keys(ROOT), free_ports());
    let first = Etcd::start_with(ports);
    first.put("key", "one");
    assert_eq!(backup(&sandbox, &first, &bucket.flags()).0.code, Some(0));
    drop(first);
    let second = Etcd::start_with(ports);
    second.put("key", "two");
    let (output, report) = backup(&sandbox, &second, &bucket.flags());
    assert_eq!(output.code, Some(0), "{output}");
    let Some(RunReport::Stored { already_stored: false, etcd_revision: 2, history, .. }) = report else {
        panic!("{report:?}")
    };
    assert_ne!(history, "first");
    // the same data again is known as such
    let (_, report) = backup(&sandbox, &second, &bucket.flags());
    assert!(matches!(report, Some(RunReport::Stored { already_stored: true, .. })), "{report:?}");
}
