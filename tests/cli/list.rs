//! `list` and `get --path` without Kubernetes, against a real S3 server.

use insta::assert_snapshot;

use crate::sandbox::{Output, Sandbox};
use crate::servers::{Bucket, READER, STORE, free_ports, snapshot};

/// Normalised: the address of the server and the ages, with the width of their column, differ from run to run.
fn shown(output: &Output) -> String {
    let is_age = |word: &str| word.strip_suffix(['s', 'm', 'h', 'd', 'y']).is_some_and(|n| n.parse::<u32>().is_ok());
    let text = output.to_string().replace(&STORE.url, "http://s3");
    let words = |line: &str| {
        let words = line.split_whitespace().map(|word| if is_age(word) { "(age)" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

fn path_flags(bucket: &Bucket<'_>) -> String {
    let flags = bucket.flags();
    format!(
        "--path {}/a/etcd.backup {}",
        bucket.s3.bucket,
        flags.split_once("--endpoint-url").map(|(_, rest)| format!("--endpoint-url{rest}")).unwrap()
    )
}

#[test]
fn stored_snapshots_are_listed_newest_first_and_every_field_is_in_json() {
    let bucket = STORE.bucket("listed");
    bucket.put("v1/etcd-a/3.10.0_000000000000000f_etcd.backup", &snapshot(8, 1));
    bucket.put("v1/etcd-a/3.9.0_0000000000000010_etcd.backup", &snapshot(47, 2));
    bucket.put("v1/etcd-a/notes.txt", b"mine");
    let sandbox = Sandbox::with_keys(READER);
    let list = format!("list etcd-a --from s3 {}", bucket.flags());
    assert_snapshot!("snapshots", shown(&sandbox.run(&list)));
    assert_snapshot!("wide", shown(&sandbox.run(&format!("{list} -o wide --no-headers -q"))));
    assert_snapshot!("names", shown(&sandbox.run(&format!("{list} -o name -q"))));
    let json: serde_json::Value = serde_json::from_slice(&sandbox.run(&format!("{list} -o json -q")).stdout).unwrap();
    assert_eq!(json["etcdBackups"], serde_json::json!([]));
    let mut first = json["snapshots"][0].clone();
    assert!(first["lastModified"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
    first["lastModified"].take();
    assert_eq!(
        first,
        serde_json::json!({"name": "3.9.0_0000000000000010_etcd.backup", "etcdVersion": "3.9.0", "revision": 16,
            "history": "first", "size": 24096, "source": "s3", "bucket": "listed", "lastModified": null,
            "key": "v1/etcd-a/3.9.0_0000000000000010_etcd.backup", "layout": "Cluster"})
    );
}

#[test]
fn histories_and_layouts_are_all_shown_and_a_history_can_be_chosen() {
    let bucket = STORE.bucket("listed-histories");
    bucket.put("v1/etcd-a/3.5.0_000000000000000f_etcd.backup", &snapshot(8, 1));
    bucket.put("v1/etcd-a/history/20260102T030405Z_ab/3.5.0_0000000000000002_etcd.backup", &snapshot(8, 2));
    bucket.put("v1/default/etcd-a/3.5.0_0000000000000009_etcd.backup", &snapshot(8, 2));
    let sandbox = Sandbox::with_keys(READER);
    let list = format!("ls etcd-a --from s3 {}", bucket.flags());
    assert_snapshot!("histories", shown(&sandbox.run(&list)));
    let first = sandbox.run(&format!("{list} --layout cluster --history first -o name -q"));
    assert_eq!(first.to_string(), "3.5.0_000000000000000f_etcd.backup\n");
    let nope = sandbox.run(&format!("{list} --layout cluster --history nope -q"));
    assert_eq!(nope.code, Some(3), "{nope}");
}

#[test]
fn nothing_stored_is_no_error_and_an_unreachable_store_is_one() {
    let bucket = STORE.bucket("listed-nothing");
    let sandbox = Sandbox::with_keys(READER);
    let empty = sandbox.run(&format!("list etcd-a --from s3 -n databases {}", bucket.flags()));
    assert_eq!(empty.code, Some(0), "{empty}");
    assert_eq!(empty.stderr.lines().last(), Some("No resources found in databases namespace."));
    let aimless = sandbox.run(&format!("list {}", bucket.flags()));
    assert_eq!(aimless.code, Some(2), "{aimless}");
    let [port] = free_ports();
    let gone = sandbox
        .run(&format!("list etcd-a --from s3 --bucket bbb --endpoint-url http://127.0.0.1:{port} --force-path-style"));
    assert_eq!(gone.code, Some(1), "{gone}");
    assert!(gone.stderr.contains("could not reach the service") && !gone.stderr.contains("No resources"), "{gone}");
}

#[test]
fn a_path_holds_the_one_shot_and_the_periodic_ones_newest_by_time() {
    let bucket = STORE.bucket("path");
    let periodic = |revision: u64, day: u8| format!("a/etcd.backup_v{revision}_2026-01-{day:02}-10:00:00");
    bucket.put(&periodic(10, 1), &snapshot(8, 1));
    bucket.put(&periodic(9, 3), &snapshot(9, 2));
    bucket.put("a/etcd.backup2", b"mine");
    let sandbox = Sandbox::with_keys(READER);
    let flags = path_flags(&bucket);
    assert_snapshot!("path", shown(&sandbox.run(&format!("list {flags}"))));
    let newest = sandbox.run(&format!("get {flags}"));
    assert_snapshot!("path_newest", shown(&newest));
    let file = "etcd.backup_v9_2026-01-03-10:00:00";
    assert_eq!(std::fs::read(sandbox.path().join(file)).unwrap(), snapshot(9, 2));
    let older = sandbox.run(&format!("get {flags} --revision 10 -O older -q"));
    assert_eq!(older.to_string(), "older   revision 10   4128 bytes   sha256 verified\n");
    // uploaded last, so it is the newest
    bucket.put("a/etcd.backup", &snapshot(10, 3));
    let one_shot = sandbox.run(&format!("get {flags} -q"));
    assert_eq!(one_shot.to_string(), "etcd.backup   5152 bytes   sha256 verified\n");
    assert_eq!(sandbox.run(&format!("get {flags} --revision 11")).code, Some(3));
    let none = sandbox.run(&format!("get {} -q", flags.replace("a/etcd.backup", "a/none")));
    assert_eq!(none.code, Some(3), "{none}");
    assert_snapshot!("path_none", shown(&none));
}

#[test]
fn a_key_that_may_be_read_but_not_listed_is_found() {
    let bucket = STORE.bucket("path-unlisted");
    bucket.put("a/etcd.backup", &snapshot(8, 1));
    bucket.forbid_listing();
    let output = Sandbox::with_keys(READER).run(&format!("get {} -q", path_flags(&bucket)));
    assert_eq!(output.to_string(), "etcd.backup   4128 bytes   sha256 verified\n");
}

#[test]
fn an_etcd_version_must_suit_and_the_newest_that_does_is_named() {
    let bucket = STORE.bucket("suits");
    bucket.put("v1/etcd-a/3.4.9_0000000000000001_etcd.backup", &snapshot(8, 1));
    bucket.put("v1/etcd-a/3.6.0_0000000000000002_etcd.backup", &snapshot(8, 2));
    let sandbox = Sandbox::with_keys(READER);
    let get = format!("get etcd-a --from s3 -q {}", bucket.flags());
    let refused = sandbox.run(&format!("{get} --etcd-version 3.5.0"));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert_snapshot!("unsuitable", shown(&refused));
    assert_eq!(sandbox.run(&format!("{get} --etcd-version 3.5.0 --revision 1")).code, Some(0));
    assert_eq!(sandbox.run(&format!("{get} --etcd-version 3.5.0 --revision 2")).code, Some(1));
    assert_eq!(
        sandbox.run(&format!("{get} --etcd-version v3.7.2 -o name")).to_string(),
        "3.6.0_0000000000000002_etcd.backup\n"
    );
}
