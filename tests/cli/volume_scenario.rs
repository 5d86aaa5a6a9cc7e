//! The way of a cluster from its first set of snapshots through a restore and back, against moto.

use std::collections::BTreeMap;

use crate::aws::{Aws, Kops};
use crate::sandbox::Sandbox;
use crate::volume_snapshot::value;
use crate::volume_world::Shape;

fn ok(sandbox: &Sandbox, line: &str) -> String {
    let output = sandbox.run(line);
    assert_eq!(output.code, Some(0), "{line}: {output}");
    output.to_string()
}

/// The volume in use of each disk, and the snapshot that it was made of.
fn origins(aws: &Aws) -> Vec<String> {
    let live: Vec<String> = Shape::of(aws).live().into_values().flatten().collect();
    let volumes = aws.volumes();
    let of = |id: &String| volumes.iter().find(|volume| volume.volume_id() == Some(id)).unwrap();
    live.iter().map(|id| of(id).snapshot_id().unwrap_or_default().to_owned()).collect()
}

/// The snapshots of each set, by the names of the sets.
fn sets(aws: &Aws) -> BTreeMap<String, Vec<String>> {
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for snapshot in aws.snapshots() {
        let set = value(&snapshot, "etcdbackup/set").unwrap_or_default().to_owned();
        sets.entry(set).or_default().push(snapshot.snapshot_id().unwrap().to_owned());
    }
    sets
}

/// Asserts that each disk has one volume, made of `set`, and each group its size.
fn assert_restored(aws: &Aws, first: &Shape, set: &[String]) {
    let now = Shape::of(aws);
    assert_eq!(now.groups, first.groups);
    assert_eq!(now.live().keys().collect::<Vec<_>>(), first.live().keys().collect::<Vec<_>>());
    assert!(now.live().values().all(|volumes| volumes.len() == 1), "{now:?}");
    assert!(origins(aws).iter().all(|snapshot| set.contains(snapshot)), "{:?}", origins(aws));
}

#[test]
fn a_cluster_is_snapshotted_restored_rolled_back_restored_again_and_cleaned_up() {
    let (aws, kops) = (Aws::moto(), Kops::of_three("k.example.com"));
    kops.make(&aws);
    let (sandbox, first) = (aws.sandbox(), Shape::of(&aws));
    for set in ["s1", "s2", "s3", "s4"] {
        ok(&sandbox, &format!("volume snapshot --set {set} --wait"));
    }
    ok(&sandbox, "volume prune --keep-last 3");
    let taken = sets(&aws);
    assert_eq!(taken.keys().collect::<Vec<_>>(), ["s2", "s3", "s4"]);
    assert!(taken.values().all(|set| set.len() == 6), "{taken:?}");
    ok(&sandbox, "volume plan --cluster-name k.example.com");
    ok(&sandbox, "volume restore plan.json --yes");
    assert_restored(&aws, &first, &taken["s4"]);
    ok(&sandbox, "volume rollback plan.json --yes");
    assert_eq!(Shape::of(&aws).as_far_as(&first), first);
    assert_eq!(Shape::of(&aws).live(), first.live());
    ok(&sandbox, "volume plan --set s3 --out second.json");
    ok(&sandbox, "volume restore second.json --yes");
    assert_restored(&aws, &first, &taken["s3"]);
    ok(&sandbox, "volume cleanup --cluster-name k.example.com --older-than 0 --yes");
    assert_eq!(Shape::of(&aws).volumes.len(), 6);
    assert_restored(&aws, &first, &taken["s3"]);
    // what was restored and what was left are still there as snapshots
    let end = sets(&aws);
    assert_eq!((end.len(), end.values().map(Vec::len).sum()), (3 + 3, 6 * 6), "{end:?}");
    // and expire as all others, although the volumes in use were made of them
    ok(&sandbox, "volume prune --keep-last 1");
    let left = sets(&aws);
    assert_eq!(left.keys().filter(|set| !set.starts_with("pre-")).collect::<Vec<_>>(), ["s4"]);
    assert_restored(&aws, &first, &taken["s3"]);
}
