//! `agent backup --path`: one key, or a new key for each run, in a real store.

use crate::agent_backup::{failed, stored};
use crate::etcd::{Etcd, etcdutl_status};
use crate::sandbox::Sandbox;
use crate::servers::{ROOT, STORE, snapshot};

#[test]
fn one_backup_goes_to_exactly_the_path_and_never_over_another() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("path-once"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    let path = "100%s/%d/etcd.backup";
    let first = stored(&sandbox, &etcd, &bucket.path_flags(path));
    assert_eq!(first["s3Path"], format!("path-once/{path}"), "{first}");
    assert_eq!((&first["history"], first.get("layout")), (&"".into(), None), "{first}");
    std::fs::write(sandbox.path().join("back"), bucket.get(path)).unwrap();
    assert_eq!(etcdutl_status(&sandbox.path().join("back")), (2, 1));

    let again = stored(&sandbox, &etcd, &bucket.path_flags(path));
    assert_eq!((&again["alreadyStored"], &again["sha256"]), (&true.into(), &first["sha256"]), "{again}");
    etcd.put("key", "other");
    let reason = failed(&sandbox, &etcd, &bucket.path_flags(path), 1);
    assert!(reason.starts_with("KeyExists"), "{reason}");
    bucket.put("theirs", b"somebody else's");
    let reason = failed(&sandbox, &etcd, &bucket.path_flags("theirs"), 1);
    assert!(reason.starts_with("KeyExists"), "{reason}");
    assert_eq!((bucket.get("theirs"), bucket.unfinished_uploads()), (b"somebody else's".to_vec(), 0));
}

#[test]
fn each_periodic_run_has_a_key_of_its_own_and_the_youngest_stay() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("path-often"), Sandbox::with_keys(ROOT));
    let foreign = ["a/etcd.backup", "a/etcd.backup2", "a/etcd.backup_v7_2019-02-27-10:00:00", "a/etcd.backup_v8_old"];
    foreign.iter().for_each(|key| bucket.put(key, &snapshot(8, 1)));
    (0..6).for_each(|n| etcd.put(&format!("key{n}"), "value"));
    let flags = format!("{} --periodic --keep 2", bucket.path_flags("a/etcd.backup"));
    let reports: Vec<_> = (8..13)
        .map(|run| {
            etcd.put(&format!("run{run}"), "value");
            stored(&sandbox, &etcd, &flags)
        })
        .collect();
    // a digit more is no smaller number
    let last = reports[4]["s3Path"].as_str().unwrap();
    assert!(last.starts_with("path-often/a/etcd.backup_v12_20"), "{last}");
    let mut expected: Vec<String> = foreign.iter().map(|key| (*key).to_owned()).collect();
    for report in &reports[3..] {
        expected.push(report["s3Path"].as_str().unwrap().trim_start_matches("path-often/").to_owned());
    }
    expected.sort();
    assert_eq!(bucket.keys(), expected);

    let again = stored(&sandbox, &etcd, &flags);
    assert_eq!((&again["alreadyStored"], &again["s3Path"]), (&true.into(), &last.into()), "{again}");
    assert_eq!(bucket.keys(), expected);
}

#[test]
fn what_another_cluster_stored_at_the_path_does_not_expire() {
    let (bucket, sandbox) = (STORE.bucket("path-shared"), Sandbox::with_keys(ROOT));
    let (first, second) = (Etcd::start(), Etcd::start());
    let flags = format!("{} --periodic --keep 1", bucket.path_flags("a/etcd.backup"));
    let theirs = stored(&sandbox, &first, &flags)["s3Path"].clone();
    for run in ["1", "2", "3"] {
        second.put("key", run);
        stored(&sandbox, &second, &flags);
    }
    let keys = bucket.keys();
    assert!(keys.len() == 2 && theirs.as_str().unwrap().ends_with(&keys[0]), "{theirs} {keys:?}");
}

#[test]
fn a_later_run_has_the_later_key_whatever_the_clock_says() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("path-clock"), Sandbox::with_keys(ROOT));
    bucket.put("a/etcd.backup_v9_2999-01-01-00:00:00", &snapshot(8, 1));
    let flags = bucket.path_flags("a/etcd.backup");
    let report = stored(&sandbox, &etcd, &format!("{flags} --periodic"));
    assert_eq!(report["s3Path"], "path-clock/a/etcd.backup_v1_2999-01-01-00:00:01", "{report}");
    let get = sandbox.run(&format!("get -o name {flags}"));
    assert_eq!(get.stdout, b"etcd.backup_v1_2999-01-01-00:00:01\n", "{get}");
}

#[test]
fn to_keep_some_of_one_key_is_refused() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("path-keep"), Sandbox::with_keys(ROOT));
    let reason = failed(&sandbox, &etcd, &format!("{} --keep 3", bucket.path_flags("a/etcd.backup")), 2);
    assert!(reason.starts_with("--keep with --path is for --periodic runs"), "{reason}");
    assert_eq!(bucket.keys(), [""; 0]);
}
