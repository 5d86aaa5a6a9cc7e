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
