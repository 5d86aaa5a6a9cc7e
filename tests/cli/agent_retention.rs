//! What a run clears away in a real store, a bucket or a volume: old snapshots and stale uploads of ours, and nobody
//! else's.

use crate::agent_backup::{etcd_version, stored};
use crate::etcd::Etcd;
use crate::faults::{Fate, Network};
use crate::sandbox::Sandbox;
use crate::servers::{READER, ROOT, STORE, snapshot};
use crate::shelf::{Disk, Shelf};

fn name(revision: u64) -> String {
    format!("v1/etcd-a/{}_{revision:016x}_etcd.backup", etcd_version())
}

#[test]
fn the_youngest_stay_and_other_tools_keep_what_is_theirs() {
    the_youngest_stay(&STORE.bucket("keep"));
    the_youngest_stay(&Disk::new());
}

fn the_youngest_stay(shelf: &dyn Shelf) {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::with_keys(ROOT));
    let foreign = ["v1/etcd-a/notes.txt", "v1/etcd-a/meta/x.json", "v1/etcd-ab/3.5.0_0000000000000001_etcd.backup"];
    let same_form = name(1);
    for key in foreign.iter().copied().chain([same_form.as_str()]) {
        shelf.put(key, &snapshot(8, 1));
    }
    let flags = format!("{} --keep 2", shelf.flags());
    let expired: Vec<_> = (0..5)
        .map(|run| {
            etcd.put(&format!("key{run}"), "value");
            stored(&sandbox, &etcd, &flags)["expired"].clone()
        })
        .collect();
    assert_eq!(expired, [0, 0, 1, 1, 1]);
    let mut expected: Vec<String> = foreign.iter().map(|key| (*key).to_owned()).collect();
    expected.extend([same_form, name(5), name(6)]);
    expected.sort();
    assert_eq!(shelf.keys(), expected);

    // nothing is new: no snapshot is taken, and what is old still goes
    let again = stored(&sandbox, &etcd, &format!("{} --keep 1", shelf.flags()));
    assert_eq!((&again["alreadyStored"], &again["expired"]), (&true.into(), &1.into()), "{again}");
    assert!(!shelf.keys().contains(&name(5)) && shelf.keys().contains(&name(6)));
}

#[test]
fn thousands_of_others_are_not_looked_at_one_by_one() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("many"), Sandbox::with_keys(ROOT));
    (0..200).for_each(|n| bucket.put(&format!("v1/etcd-a/3.1.{n}_0000000000000001_etcd.backup"), &[]));
    let network = Network::before(STORE.url.as_str(), |_, _| Fate::Deliver);
    let flags = format!("{} --keep 1", bucket.flags_through(&network.url));
    for run in ["1", "2"] {
        etcd.put("key", run);
        stored(&sandbox, &etcd, &flags);
    }
    let before = network.heads().len();
    etcd.put("key", "3");
    assert_eq!(stored(&sandbox, &etcd, &flags)["expired"], 1);
    let looks = network.heads()[before..].iter().filter(|head| head.starts_with("HEAD ")).count();
    assert!(looks < 130, "{looks} looks");
    assert_eq!(bucket.keys().len(), 201);
}

#[test]
fn a_copy_of_ours_under_another_name_is_not_ours() {
    a_copy_is_not_ours(&STORE.bucket("copied"));
    a_copy_is_not_ours(&Disk::new());
}

fn a_copy_is_not_ours(shelf: &dyn Shelf) {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::with_keys(ROOT));
    etcd.put("key", "1");
    let flags = format!("{} --keep 1", shelf.flags());
    stored(&sandbox, &etcd, &flags);
    shelf.copy(&name(2), &name(1));
    etcd.put("key", "2");
    assert_eq!(stored(&sandbox, &etcd, &flags)["expired"], 1);
    assert_eq!(shelf.keys(), [name(1), name(3)]);
}

#[test]
fn a_deletion_that_is_denied_fails_no_run() {
    let (etcd, bucket) = (Etcd::start(), STORE.bucket("no-delete"));
    let writer = Sandbox::with_keys(READER);
    bucket.allow_reader(&["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"]);
    let flags = format!("{} --keep 1", bucket.flags());
    etcd.put("key", "one");
    assert_eq!(stored(&writer, &etcd, &flags)["expiryFailed"], serde_json::Value::Null);
    etcd.put("key", "two");
    let report = stored(&writer, &etcd, &flags);
    assert!(report["expiryFailed"].as_str().unwrap().contains("AccessDenied"), "{report}");
    assert_eq!((&report["alreadyStored"], &report["expired"]), (&false.into(), &0.into()), "{report}");
    assert_eq!(bucket.keys().len(), 2);
}

#[test]
fn only_old_uploads_to_names_of_ours_are_aborted() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("stale"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    let foreign = ["notes.txt", "tmp/3.5.0_000000000000004d_etcd.backup", "3.5.0_4d_etcd.backup"];
    let mut foreign: Vec<String> = foreign.iter().map(|name| format!("v1/etcd-a/{name}")).collect();
    foreign.push("v1/etcd-ab/3.5.0_000000000000004d_etcd.backup".to_owned());
    foreign.sort();
    foreign.iter().chain([&name(77)]).for_each(|key| bucket.begin_upload(key));
    stored(&sandbox, &etcd, &format!("{} --stale-after 1h", bucket.flags()));
    assert_eq!(bucket.unfinished_uploads(), 5);
    stored(&sandbox, &etcd, &format!("{} --stale-after 0", bucket.flags()));
    assert_eq!(bucket.uploading(), foreign);
}
