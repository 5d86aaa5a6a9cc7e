//! `agent backup` from a real etcd into a real S3 server, without Kubernetes, and back.

use std::process::{Command, Stdio};
use std::time::Duration;

use kubectl_etcdbackup::api::RunReport;
use tempfile::TempDir;

use crate::sandbox::{Output, Sandbox, binary};
use crate::servers::{READER, ROOT, STORE, Server, free_ports, wait_for_port};

/// A real etcd of one member.
struct Etcd {
    url: String,
    _server: Server,
    _directory: TempDir,
}

impl Etcd {
    fn start() -> Self {
        Self::start_with(free_ports())
    }

    /// With the same ports a new cluster gets the id of the old one.
    fn start_with(ports: [u16; 2]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [client, peer] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let flags = [
            ("--data-dir", "data".to_owned()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client.clone()),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer.clone()),
            ("--initial-cluster", format!("default={peer}")),
            // two tests must not take each other's members for their own
            ("--initial-cluster-token", client.clone()),
            ("--unsafe-no-fsync", "true".to_owned()),
        ];
        let arguments: Vec<String> = flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect();
        let server = Server::start(&binary("etcd"), &arguments, &[], directory.path());
        wait_for_port(client.rsplit(':').next().unwrap().parse().unwrap());
        Self { url: client, _server: server, _directory: directory }
    }

    fn put(&self, key: &str, value: &str) {
        let put = Command::new(binary("etcdctl")).args(["--endpoints", &self.url, "put", key, value]).output().unwrap();
        assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    }
}

/// etcdutl's own reading of a snapshot: revision and keys.
fn etcdutl_status(file: &std::path::Path) -> (u64, u64) {
    let status = Command::new(binary("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(file).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    (value["revision"].as_u64().unwrap(), value["totalKey"].as_u64().unwrap())
}

fn backup(sandbox: &Sandbox, etcd: &Etcd, flags: &str) -> (Output, Option<RunReport>) {
    let output =
        sandbox.run(&format!("agent backup --cluster-name etcd-a --endpoints {} --report report {flags}", etcd.url));
    let report = std::fs::read_to_string(sandbox.path().join("report")).ok();
    (output, report.and_then(|text| RunReport::from_message(&text)))
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
    let version = Command::new(binary("etcd")).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.lines().next().unwrap().trim_start_matches("etcd Version: ").to_owned();
    let key = format!("v1/etcd-a/{version}_0000000000000002_etcd.backup");
    bucket.put(&key, b"somebody else's");
    let (output, report) = backup(&sandbox, &etcd, &bucket.flags());
    assert_eq!(output.code, Some(1), "{output}");
    assert!(matches!(report, Some(RunReport::Failed { ref reason }) if reason.starts_with("KeyExists")), "{report:?}");
    let object = sandbox.run(&format!("get etcd-a --from s3 -O - {}", bucket.flags()));
    assert_eq!(object.stdout, b"somebody else's");
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
