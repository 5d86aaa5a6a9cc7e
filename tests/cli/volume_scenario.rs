//! The way of a cluster through a restore and back, against moto.

use crate::aws::{Aws, Kops};
use crate::sandbox::Sandbox;
use crate::volume_world::{Shape, take_set};

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

#[test]
fn a_cluster_is_restored_rolled_back_restored_again_and_cleaned_up() {
    let (aws, kops) = (Aws::moto(), Kops::of_three("k.example.com"));
    kops.make(&aws);
    let sets: Vec<Vec<String>> = (1..=4).map(|number| take_set(&aws, &kops, &format!("s{number}"))).collect();
    let (sandbox, first) = (aws.sandbox(), Shape::of(&aws));
    ok(&sandbox, "volume plan --set s4");
    ok(&sandbox, "volume restore plan.json --yes");
    let restored = Shape::of(&aws);
    assert_eq!(restored.groups, first.groups);
    assert!(restored.live().values().all(|volumes| volumes.len() == 1), "{restored:?}");
    assert_eq!(restored.live().keys().collect::<Vec<_>>(), first.live().keys().collect::<Vec<_>>());
    assert!(origins(&aws).iter().all(|snapshot| sets[3].contains(snapshot)));
    ok(&sandbox, "volume rollback plan.json --yes");
    assert_eq!(Shape::of(&aws).as_far_as(&first), first);
    assert_eq!(Shape::of(&aws).live(), first.live());
    ok(&sandbox, "volume plan --set s3 --out second.json");
    ok(&sandbox, "volume restore second.json --yes");
    assert!(origins(&aws).iter().all(|snapshot| sets[2].contains(snapshot)));
    ok(&sandbox, "volume cleanup --cluster-name k.example.com --older-than 0 --yes");
    let end = Shape::of(&aws);
    assert_eq!((end.volumes.len(), &end.groups), (6, &first.groups));
    assert!(end.live().values().all(|volumes| volumes.len() == 1));
    // what was restored and what was left are still there as snapshots
    assert_eq!(aws.snapshots().len(), 4 * 6 + 3 * 6);
}
