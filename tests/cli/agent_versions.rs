//! `agent backup` of every version of etcd that is promised, and the way back by etcdutl.

use crate::agent_backup::stored;
use crate::etcd::{Etcd, etcdutl_status, succeed};
use crate::sandbox::Sandbox;
use crate::servers::{ROOT, STORE, free_ports};

/// Overwritten, deleted and compacted keys: a backup must not bring back what is gone.
fn write(etcd: &Etcd) {
    (0..20).for_each(|n| etcd.put(&format!("key{n}"), "first"));
    (0..10).for_each(|n| etcd.put(&format!("key{n}"), "second"));
    succeed(&mut etcd.ctl(&["del", "--prefix", "key1"]));
    succeed(&mut etcd.ctl(&["compaction", "25"]));
    etcd.put("last", "third");
}

fn keys(etcd: &Etcd) -> String {
    let output = etcd.ctl(&["get", "", "--from-key"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What etcdctl says of HashKV.
fn hash(etcd: &Etcd) -> serde_json::Value {
    let output = etcd.ctl(&["endpoint", "hashkv", "-w", "json"]).output().unwrap();
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    answers[0]["HashKV"]["hash"].clone()
}

fn there_and_back(program: &str, version: &str) {
    let (bucket, sandbox, ports) = (STORE.bucket(&program.replace('.', "-")), Sandbox::with_keys(ROOT), free_ports());
    let etcd = Etcd::start_version(program, ports);
    write(&etcd);
    let report = stored(&sandbox, &etcd, &bucket.flags());
    let found = report["etcdVersion"].as_str().unwrap();
    assert!(found.starts_with(version), "{report}");
    assert!(report["hashKV"]["hash"].is_number(), "{report}");
    assert_eq!(report["hashKV"]["hash"], hash(&etcd), "{report}");
    assert_eq!((&report["etcdRevision"], &report["quorum"]), (&33.into(), &true.into()), "{report}");
    assert_eq!(bucket.keys(), [format!("v1/etcd-a/{found}_0000000000000021_etcd.backup")]);

    let again = stored(&sandbox, &etcd, &bucket.flags());
    assert_eq!(again["alreadyStored"], true, "{again}");
    assert_eq!(bucket.keys().len(), 1);

    let get = sandbox.run(&format!("get etcd-a --from s3 -O back {}", bucket.flags()));
    assert_eq!(get.code, Some(0), "{get}");
    let snapshot = sandbox.path().join("back");
    assert_eq!(etcdutl_status(&snapshot).0, 33);
    let (had, had_hash) = (keys(&etcd), hash(&etcd));
    assert!(had.contains("third") && !had.contains("key1\n"), "{had}");
    drop(etcd);
    let restored = Etcd::restored(ports, &snapshot);
    assert_eq!(keys(&restored), had);
    assert_eq!(hash(&restored), had_hash);
}

#[test]
fn etcd_3_4_is_backed_up_and_restored() {
    there_and_back("etcd-3.4", "3.4.");
}

#[test]
fn etcd_3_5_is_backed_up_and_restored() {
    there_and_back("etcd-3.5", "3.5.");
}

#[test]
fn etcd_3_6_is_backed_up_and_restored() {
    there_and_back("etcd", "3.6.");
}
