use std::time::Duration;

use super::choose::Which;
use super::*;
use crate::error::ErrorKind;
use crate::volume::inventory::{Attachment, Snapshot, State, Volume};
use crate::volume::scaling::{Group, Instance};
use crate::volume::set;

pub fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn kops(etcd: &str, member: &str) -> Tags {
    tags(&[
        ("KubernetesCluster", "k"),
        ("Name", &format!("{member}.etcd-{etcd}.k")),
        (&format!("k8s.io/etcd/{etcd}"), &format!("{member}/a,b")),
        ("k8s.io/role/control-plane", "1"),
        ("kubernetes.io/cluster/k", "owned"),
        ("Team", "x"),
    ])
}

/// A volume in use at the instance of its member.
pub fn volume(id: &str, etcd: &str, member: &str) -> Volume {
    let tags = kops(etcd, member);
    let (disk, members) = tags::of_kops(&tags).unwrap();
    let attachment =
        Attachment { instance: format!("i-{member}"), device: "/dev/xvdu".to_owned(), delete_on_termination: false };
    Volume {
        id: id.to_owned(),
        disk: Some(disk),
        members,
        zone: format!("eu-west-1{member}"),
        kind: "gp3".to_owned(),
        size: 20,
        iops: Some(3000),
        throughput: Some(125),
        encrypted: false,
        kms_key: None,
        state: "in-use".to_owned(),
        attachments: vec![attachment],
        tags,
        snapshot: None,
        created: None,
    }
}

fn snapshot(id: &str, etcd: &str, member: &str, set: &str, second: i64) -> Snapshot {
    let mut all = kops(etcd, member);
    all.extend(tags(&[
        (tags::MANAGED, "1"),
        (tags::CLUSTER, "k"),
        (tags::ETCD, etcd),
        (tags::MEMBER, member),
        (tags::MEMBERS, "a,b"),
        (tags::ETCDS, etcd),
        (tags::SET, set),
        (tags::ZONE, &format!("eu-west-1{member}")),
        (tags::VOLUME_TYPE, "io2"),
        (tags::IOPS, "4000"),
        (tags::THROUGHPUT, "1"),
    ]));
    Snapshot {
        id: id.to_owned(),
        volume: "vol-x".to_owned(),
        owner: "1".to_owned(),
        state: State::Completed,
        progress: "100%".to_owned(),
        started: Timestamp::from_second(second).ok(),
        size: 10,
        encrypted: false,
        kms_key: None,
        tier: "standard".to_owned(),
        description: String::new(),
        tags: all,
    }
}

/// The group of one member.
pub fn group(member: &str) -> Group {
    let instance = Instance { id: format!("i-{member}"), state: "InService".to_owned(), protected: false };
    Group {
        name: format!("masters-{member}"),
        size: Size { min: 1, max: 2, desired: 1 },
        zones: vec![format!("eu-west-1{member}")],
        instances: vec![instance],
        suspended: Vec::new(),
        hooks: Vec::new(),
        refresh: None,
    }
}

struct World {
    snapshots: Vec<Snapshot>,
    found: Found,
    wish: Wish,
}

impl World {
    /// Two members of `main`, and one set of them.
    fn new() -> Self {
        let snapshots = vec![snapshot("snap-a", "main", "a", "s1", 100), snapshot("snap-b", "main", "b", "s1", 101)];
        let found = Found {
            account: "1".to_owned(),
            region: "eu-west-1".to_owned(),
            cluster: "k".to_owned(),
            sets: Vec::new(),
            volumes: vec![volume("vol-a", "main", "a"), volume("vol-b", "main", "b")],
            groups: vec![group("a"), group("b")],
            zones: ["a", "b", "c"].map(|zone| format!("eu-west-1{zone}")).to_vec(),
        };
        let wish = Wish { which: Which::Latest, max_spread: Duration::from_secs(60), zones: BTreeMap::new() };
        Self { snapshots, found, wish }
    }

    fn make(&self) -> crate::error::Result<Plan> {
        let found = Found { sets: set::of(&self.snapshots), ..self.found.clone() };
        make(&found, &self.wish, "r1".to_owned(), Timestamp::UNIX_EPOCH)
    }

    /// What is said no with.
    fn refused(&self) -> String {
        self.make().unwrap_err().to_string()
    }
}

/// The plan of the simplest world.
pub fn plan() -> Plan {
    World::new().make().unwrap()
}

#[test]
fn a_plan_has_every_id_and_the_parameters_of_the_volumes_in_use() {
    let plan = plan();
    assert_eq!((plan.set.as_str(), plan.disks.len(), plan.groups["masters-a"].max), ("s1", 2, 2));
    let disk = &plan.disks[1];
    assert_eq!((disk.snapshot.as_str(), disk.old.as_ref().unwrap().id.as_str()), ("snap-b", "vol-b"));
    let new = &disk.new;
    assert_eq!((new.zone.as_str(), new.kind.as_str(), new.size, new.iops), ("eu-west-1b", "gp3", 20, Some(3000)));
    assert_eq!(new.throughput, Some(125));
    assert_eq!(disk.tags, kops("main", "b"));
}

#[test]
fn a_volume_that_is_gone_is_made_as_its_snapshot_says() {
    let mut world = World::new();
    world.found.volumes.clear();
    let plan = world.make().unwrap();
    let new = &plan.disks[0].new;
    assert_eq!((new.zone.as_str(), new.kind.as_str(), new.size), ("eu-west-1a", "io2", 10));
    // io2 has no throughput of its own to ask for
    assert_eq!((new.iops, new.throughput), (Some(4000), None));
    assert_eq!(plan.disks[0].tags, kops("main", "a"));
    assert!(plan.warnings.iter().any(|warning| warning.contains("none to go back to")), "{:?}", plan.warnings);
}

#[test]
fn tags_of_ours_on_a_snapshot_take_no_room_on_the_volume_that_is_made_of_it() {
    let mut world = World::new();
    world.found.volumes.clear();
    // with the 11 of ours, more than a volume could have during the swap
    let more = (0..30).map(|number| (format!("t{number}"), String::new()));
    world.snapshots[0].tags.extend(more);
    assert_eq!(world.make().unwrap().disks[0].tags.len(), 36);
}

#[test]
fn a_volume_that_another_restore_has_renamed_has_its_own_name_in_the_plan() {
    let mut world = World::new();
    let half = &mut world.found.volumes[0].tags;
    let name = half.insert("Name".to_owned(), "a before restore r0".to_owned()).unwrap();
    half.insert(format!("{}Name", tags::ORIGINAL), name);
    half.insert(tags::RESTORE.to_owned(), "r0".to_owned());
    assert_eq!(world.make().unwrap().disks[0].tags, kops("main", "a"));
}

#[test]
fn the_newest_complete_set_is_taken_and_never_one_that_a_restore_took_first() {
    let mut world = World::new();
    world.snapshots.push(snapshot("snap-c", "main", "a", "s2", 200));
    let mut safety = [snapshot("snap-d", "main", "a", "s3", 300), snapshot("snap-e", "main", "b", "s3", 300)];
    for snapshot in &mut safety {
        snapshot.tags.insert(tags::REASON.to_owned(), tags::PRE_RESTORE.to_owned());
    }
    world.snapshots.extend(safety);
    let plan = world.make().unwrap();
    assert_eq!(plan.set, "s1");
    assert!(plan.warnings[0].contains("s2 is newer and not complete: no snapshot of b.etcd-main.k"), "{plan:?}");
    world.wish.which = Which::Id("s3".to_owned());
    assert_eq!(world.make().unwrap().set, "s3");
    world.wish.which = Which::Before(Timestamp::from_second(100).unwrap());
    assert_eq!(world.make().unwrap_err().kind(), ErrorKind::NotFound);
    world.wish.which = Which::Id("s4".to_owned());
    assert!(world.refused().contains("for --set: s3, s1"), "{}", world.refused());
    world.wish.which = Which::Id("s2".to_owned());
    assert_eq!(world.make().unwrap_err().kind(), ErrorKind::Unproved);
}

#[test]
fn what_cannot_end_well_is_refused_with_what_helps() {
    type Change = fn(&mut World);
    let cases: [(Change, &str); 16] = [
        (|world| world.snapshots[1].started = Timestamp::from_second(200).ok(), "--max-spread 100s"),
        (|world| world.snapshots[1].tier = "archive".to_owned(), "restore-snapshot-tier --snapshot-id snap-b"),
        (|world| drop(world.found.zones.remove(0)), "--az-map eu-west-1a=ZONE"),
        (|world| world.found.volumes[0].attachments[0].delete_on_termination = true, "modify-instance-attribute"),
        (|world| world.found.groups[1].instances[0].protected = true, "set-instance-protection"),
        (
            |world| world.found.groups[1].instances[0].state = "Standby".to_owned(),
            "exit-standby --auto-scaling-group-name masters-b --instance-ids i-b",
        ),
        (
            |world| world.found.groups[1].refresh = Some("InProgress".to_owned()),
            "cancel-instance-refresh --auto-scaling-group-name masters-b",
        ),
        (|world| world.found.volumes.push(volume("vol-c", "main", "a")), "more than one volume: vol-a vol-c"),
        (|world| world.found.volumes.push(volume("vol-c", "main", "c")), "vol-c is the volume of c.etcd-main.k"),
        (|world| drop(world.found.groups.remove(1)), "attached to i-b, which is in no Auto Scaling group"),
        (|world| world.found.groups.clear(), "--asg"),
        (
            |world| world.found.groups[1].suspended.push("Terminate".to_owned()),
            "resume-processes --auto-scaling-group-name masters-b --scaling-processes Terminate",
        ),
        (
            |world| drop(world.wish.zones.insert("eu-west-1x".to_owned(), "eu-west-1c".to_owned())),
            "no volume of the set was in the zone eu-west-1x",
        ),
        (
            |world| {
                world.found.volumes.clear();
                world.snapshots[0].tags.remove(tags::ZONE);
            },
            "does not say in which zone",
        ),
        (
            |world| {
                world.found.volumes.clear();
                world.snapshots[0].tags.insert(tags::SOURCE_VOLUME.to_owned(), "vol-of-others".to_owned());
            },
            "say it: --az-map eu-west-1a=ZONE",
        ),
        (
            |world| {
                let more = (0..40).map(|number| (format!("t{number}"), String::new()));
                world.found.volumes[0].tags.extend(more);
            },
            "has 46 tags; EC2 allows 50",
        ),
    ];
    for (change, wanted) in cases {
        let mut world = World::new();
        change(&mut world);
        assert!(world.refused().contains(wanted), "{wanted}: {}", world.refused());
    }
}

#[test]
fn all_that_stands_in_the_way_is_said_at_once() {
    let mut world = World::new();
    world.snapshots[1].tier = "archive".to_owned();
    world.found.groups[0].instances[0].protected = true;
    let refused = world.refused();
    assert!(refused.contains("tier archive") && refused.contains("protected from scale-in"), "{refused}");
}

#[test]
fn a_zone_may_be_replaced_by_another() {
    let mut world = World::new();
    world.found.zones.remove(0);
    world.wish.zones = BTreeMap::from([("eu-west-1a".to_owned(), "eu-west-1c".to_owned())]);
    let plan = world.make().unwrap();
    assert_eq!([&plan.disks[0].new.zone, &plan.disks[1].new.zone], ["eu-west-1c", "eu-west-1b"]);
    let warned = |text: &str| plan.warnings.iter().any(|warning| warning.contains(text));
    assert!(warned("in another zone, eu-west-1c") && warned("no group of the control plane"), "{:?}", plan.warnings);
}

#[test]
fn the_zone_of_a_copy_is_the_one_that_somebody_says() {
    let mut world = World::new();
    world.snapshots[0].tags.insert(tags::SOURCE_VOLUME.to_owned(), "vol-of-others".to_owned());
    // the volume itself says where it is
    assert_eq!(world.make().unwrap().disks[0].new.zone, "eu-west-1a");
    world.found.volumes.clear();
    assert!(world.refused().contains("snap-a is a copy"), "{}", world.refused());
    world.wish.zones = BTreeMap::from([("eu-west-1a".to_owned(), "eu-west-1a".to_owned())]);
    assert_eq!(world.make().unwrap().disks[0].new.zone, "eu-west-1a");
}

#[test]
fn more_members_in_a_zone_than_masters_are_warned_of() {
    let mut world = World::new();
    let warned = |world: &World| {
        let wanted = "2 members of etcd main are in eu-west-1b, where 1 instance runs";
        world.make().unwrap().warnings.iter().any(|warning| warning.contains(wanted))
    };
    assert!(!warned(&world));
    world.wish.zones = BTreeMap::from([("eu-west-1a".to_owned(), "eu-west-1b".to_owned())]);
    assert!(warned(&world), "{:?}", world.make());
    // a cluster may have all its masters in one zone
    world.found.groups[0].zones = vec!["eu-west-1b".to_owned()];
    assert!(!warned(&world), "{:?}", world.make());
}

#[test]
fn the_field_is_warned_of_what_delays_or_surprises() {
    let mut world = World::new();
    world.found.groups[0].hooks.push("drain".to_owned());
    world.found.volumes[0].tags.insert("ebs.csi.aws.com/cluster".to_owned(), "true".to_owned());
    let warnings = world.make().unwrap().warnings.join("\n");
    for wanted in ["within 1 s", "lifecycle hooks", "EBS CSI"] {
        assert!(warnings.contains(wanted), "{wanted}: {warnings}");
    }
}

#[test]
fn the_key_of_an_encrypted_volume_is_used_again() {
    let mut world = World::new();
    world.snapshots[0].encrypted = true;
    world.snapshots[0].kms_key = Some("of-snapshot".to_owned());
    world.found.volumes[1].encrypted = true;
    world.found.volumes[1].kms_key = Some("of-volume".to_owned());
    let plan = world.make().unwrap();
    let keys: Vec<_> = plan.disks.iter().map(|disk| disk.new.kms_key.as_deref()).collect();
    assert_eq!(keys, [Some("of-snapshot"), Some("of-volume")]);
    assert!(plan.disks.iter().all(|disk| disk.new.encrypted));
}

#[test]
fn the_only_cluster_is_taken_and_of_several_one_must_be_named() {
    let mut snapshots = World::new().snapshots;
    assert_eq!(choose::cluster(&set::of(&snapshots), None).unwrap(), "k");
    snapshots[1].tags.insert(tags::CLUSTER.to_owned(), "other".to_owned());
    let several = choose::cluster(&set::of(&snapshots), None).unwrap_err();
    assert!(several.to_string().contains("--cluster-name: k, other"), "{several}");
    assert_eq!(choose::cluster(&[], Some("k")).unwrap_err().kind(), ErrorKind::NotFound);
}
