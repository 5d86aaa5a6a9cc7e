//! Histories with real etcds: restored in place, and a member that lags behind when the quorum is gone.

use rustix::process::Signal;

use crate::agent_backup::{failed, stored};
use crate::etcd::Etcd;
use crate::sandbox::Sandbox;
use crate::servers::{ROOT, STORE, free_ports, snapshot};

#[test]
fn a_cluster_restored_in_place_keeps_its_id_and_begins_a_history() {
    let (bucket, sandbox, ports) = (STORE.bucket("in-place"), Sandbox::with_keys(ROOT), free_ports());
    let etcd = Etcd::start_with(ports);
    (0..3).for_each(|n| etcd.put(&format!("key{n}"), "value"));
    let first = stored(&sandbox, &etcd, &bucket.flags());
    let key = bucket.keys().pop().unwrap();
    std::fs::write(sandbox.path().join("back"), bucket.get(&key)).unwrap();
    (0..9).for_each(|n| etcd.put(&format!("later{n}"), "value"));
    let greatest = stored(&sandbox, &etcd, &bucket.flags());
    drop(etcd);

    let etcd = Etcd::restored(ports, &sandbox.path().join("back"));
    etcd.put("key", "after the restore");
    let fallen = stored(&sandbox, &etcd, &format!("{} --keep 1", bucket.flags()));
    assert_eq!((&fallen["etcdRevision"], &fallen["clusterID"]), (&5.into(), &first["clusterID"]), "{fallen}");
    assert_ne!(fallen["history"], "first", "{fallen}");
    // the history before is not this one's to expire
    assert_eq!((greatest["etcdRevision"].as_i64(), bucket.keys().len()), (Some(13), 3));
    let again = stored(&sandbox, &etcd, &bucket.flags());
    assert_eq!((&again["alreadyStored"], &again["history"]), (&true.into(), &fallen["history"]), "{again}");
}

#[test]
fn without_a_quorum_a_lower_revision_stays_in_its_history_and_is_marked() {
    let (bucket, sandbox, members) = (STORE.bucket("quorum"), Sandbox::with_keys(ROOT), Etcd::three());
    members[2].wait_for_quorum();
    members[0].put("key", "value");
    let [first, second, lagging] = members;
    lagging.wait_for_quorum();
    // more than the sockets between the members hold
    lagging.signal(Signal::STOP);
    first.wait_for_quorum();
    first.put_megabytes(40);
    let whole = stored(&sandbox, &first, &bucket.flags());
    assert_eq!((&whole["quorum"], &whole["etcdRevision"]), (&true.into(), &42.into()), "{whole}");

    drop((first, second));
    lagging.signal(Signal::CONT);
    let behind = stored(&sandbox, &lagging, &bucket.flags());
    assert!(behind["etcdRevision"].as_i64() < Some(42), "{behind}");
    assert_eq!((&behind["quorum"], &behind["history"]), (&false.into(), &"first".into()), "{behind}");
    let key = behind["s3Path"].as_str().unwrap().trim_start_matches("quorum/");
    assert_eq!(bucket.metadata(key, "etcdbackup-quorum").as_deref(), Some("false"));
    let key = whole["s3Path"].as_str().unwrap().trim_start_matches("quorum/");
    assert_eq!(bucket.metadata(key, "etcdbackup-quorum"), None);
}

#[test]
fn two_clusters_on_one_prefix_are_told_apart_below_a_foreign_object() {
    let (bucket, sandbox) = (STORE.bucket("shared-below"), Sandbox::with_keys(ROOT));
    let (first, second) = (Etcd::start(), Etcd::start());
    first.put("key", "value");
    stored(&sandbox, &first, &bucket.flags());
    stored(&sandbox, &second, &bucket.flags());
    bucket.put("v1/etcd-a/3.1.0_00000000000000ff_etcd.backup", &snapshot(8, 1));
    let reason = failed(&sandbox, &first, &bucket.flags(), 1);
    assert!(reason.starts_with("PrefixShared"), "{reason}");
}

#[test]
fn a_history_that_began_later_by_another_clock_is_not_passed_by() {
    let (bucket, sandbox, etcd) = (STORE.bucket("clock"), Sandbox::with_keys(ROOT), Etcd::start());
    let future = "v1/etcd-a/history/29991231T235958Z_ab/3.5.0_00000000000000ff_etcd.backup";
    bucket.put(future, &snapshot(8, 1));
    let report = stored(&sandbox, &etcd, &bucket.flags());
    assert!(report["history"].as_str().unwrap().starts_with("29991231T235959Z_"), "{report}");
    let get = sandbox.run(&format!("get etcd-a --from s3 --history latest -o json {}", bucket.flags()));
    assert!(String::from_utf8_lossy(&get.stdout).contains(report["history"].as_str().unwrap()), "{get}");
    let again = stored(&sandbox, &etcd, &bucket.flags());
    assert_eq!((&again["alreadyStored"], &again["history"]), (&true.into(), &report["history"]), "{again}");
}
