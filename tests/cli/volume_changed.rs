//! `volume restore` and `rollback` where others changed the account since the plan, or change it meanwhile.

use crate::fake_aws::{Fault, State};
use crate::sandbox::Output;
use crate::volume_world::{World, changes};

const RESTORE: &str = "volume restore plan.json --yes";
const ROLLBACK: &str = "volume rollback plan.json --yes";

/// Refuses the `nth` request of `action` that changes something.
fn refuse(world: &World, action: &'static str, nth: usize) {
    let mut seen = 0;
    world.fake.before(move |request, _| {
        seen += usize::from(request.action == action && changes(request));
        match request.action == action && changes(request) && seen == nth {
            true => Fault::Refuse(400, "InvalidParameterValue", "no".to_owned()),
            false => Fault::None,
        }
    });
}

/// Runs `line`, which must be refused with `wanted` before it changes anything.
fn refused(world: &World, line: &str, wanted: &str) -> Output {
    world.fake.forget();
    let output = world.sandbox.run(line);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains(wanted), "{wanted}: {output}");
    assert!(!world.fake.requests().iter().any(changes), "{output}");
    output
}

fn first_volume(state: &mut State) -> &mut crate::fake_aws::Volume {
    state.volumes.values_mut().next().unwrap()
}

#[test]
fn a_plan_of_which_others_changed_the_account_is_refused_before_anything_changes() {
    type Change = fn(&mut State);
    let cases: [(Change, &str); 4] = [
        (
            |state| {
                let group = state.groups.values_mut().next().unwrap();
                (group.max, group.desired) = (3, 3);
            },
            "and was of min 1 max 1 desired 1 when the plan was made",
        ),
        (
            |state| {
                let group = state.groups.values().next().unwrap().clone();
                state.groups.insert("control-plane-new".to_owned(), group);
            },
            "the control plane has the group control-plane-new, which the plan does not know",
        ),
        (
            |state| first_volume(state).attachment.as_mut().unwrap().delete_on_termination = true,
            "would be deleted with its instance",
        ),
        (
            |state| {
                let mut volume = first_volume(state).clone();
                volume.tags.insert("k8s.io/etcd/main".to_owned(), "c/a,b,c".to_owned());
                state.volumes.insert("vol-c".to_owned(), volume);
            },
            "vol-c is the volume of c.etcd-main.k.example.com, of which the set has no snapshot",
        ),
    ];
    for (change, wanted) in cases {
        let world = World::new();
        world.fake.state(change);
        refused(&world, RESTORE, wanted);
    }
}

#[test]
fn a_snapshot_of_another_disk_is_not_restored_as_this_one() {
    let world = World::new();
    let path = world.sandbox.path().join("plan.json");
    let [a, b] = &world.set[..] else { panic!("{:?}", world.set) };
    let plan = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, plan.replace(a, "%").replace(b, a).replace('%', b)).unwrap();
    refused(&world, RESTORE, "is a snapshot of b.etcd-main.k.example.com, not of a.etcd-main.k.example.com");
}

#[test]
fn of_two_restores_of_one_cluster_the_second_waits_for_the_first() {
    let world = World::new();
    world.ok("volume plan --set s1 --out other.json");
    // the first disk is put aside, the second not yet
    refuse(&world, "DeleteTags", 2);
    assert_eq!(world.sandbox.run(RESTORE).code, Some(1));
    for line in ["volume restore other.json --yes", "volume rollback other.json --yes"] {
        refused(&world, line, "was put aside by another restore, ");
    }
    world.ok(ROLLBACK);
    world.assert_as_at_first();
    world.assert_never_broken();
}

#[test]
fn whoever_loses_the_plan_half_way_plans_the_same_set_again() {
    let world = World::new();
    // the first disk is put aside, the second not yet
    refuse(&world, "DeleteTags", 2);
    assert_eq!(world.sandbox.run(RESTORE).code, Some(1));
    world.fake.before(|_, _| Fault::None);
    world.ok("volume plan --set s1 --out other.json");
    let output = world.ok("volume restore other.json --yes");
    let start = "aws autoscaling update-auto-scaling-group --auto-scaling-group-name control-plane-eu-west-1a";
    assert!(output.stderr.contains(start), "{output}");
    world.fake.state(|state| {
        state.groups.values_mut().for_each(|group| (group.min, group.desired) = (1, 1));
        let names: Vec<String> = state.groups.keys().cloned().collect();
        names.iter().for_each(|name| state.scale(name));
    });
    world.assert_restored();
    let names = world.fake.state(|state| {
        let live = state.volumes.values().filter(|volume| volume.tags.contains_key("k8s.io/etcd/main"));
        live.map(|volume| volume.tags["Name"].clone()).collect::<Vec<_>>()
    });
    assert!(names.iter().all(|name| name.ends_with(".etcd-main.k.example.com")), "{names:?}");
    world.assert_never_broken();
}

#[test]
fn a_master_that_starts_during_the_exchange_stops_it_before_a_second_volume_is_in_use() {
    let world = World::new();
    world.fake.before({
        let mut mounted = None;
        move |request, state| {
            let volume = first_volume(state);
            mounted = mounted.take().or_else(|| volume.attachment.clone());
            if request.action == "DeleteTags" && changes(request) && volume.attachment.is_none() {
                (volume.attachment, volume.status) = (mounted.clone(), "in-use".to_owned());
            }
            Fault::None
        }
    });
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("during the exchange\nhint: somebody starts the control plane"), "{output}");
    assert!(output.stderr.contains("hint: the control plane is down"), "{output}");
    assert_eq!(world.fake.state(|state| state.live().len()), 0);
    world.fake.before(|_, _| Fault::None);
    let output = world.ok(&format!("{RESTORE} --force-detach"));
    assert!(output.stderr.contains("by force"), "{output}");
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn what_an_instance_may_still_write_to_is_not_detached_by_force() {
    let world = World::new();
    // it does not end, although its group has forgotten it
    world.fake.before(|request, state| {
        if request.action == "UpdateAutoScalingGroup" {
            state.instances.values_mut().next().unwrap().group.clear();
        }
        Fault::None
    });
    let output = world.sandbox.run(&format!("{RESTORE} --force-detach --timeout 0"));
    assert_eq!(output.code, Some(6), "{output}");
    assert!(output.stderr.contains(", which runs"), "{output}");
    let detached = |request: &crate::fake_aws::Request| request.action == "DetachVolume" && changes(request);
    assert!(!world.fake.requests().iter().any(detached));
}

#[test]
fn groups_that_may_not_be_changed_leave_the_control_plane_up_and_it_is_said() {
    let world = World::new();
    world.fake.before(|request, _| match request.action == "UpdateAutoScalingGroup" {
        true => Fault::Refuse(403, "AccessDenied", "User is not authorized".to_owned()),
        false => Fault::None,
    });
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.stderr.contains("hint: the control plane runs as before"), "{output}");
    assert!(!output.stderr.contains("the control plane is down"), "{output}");
}

#[test]
fn whoever_is_refused_while_the_control_plane_is_down_is_told_that_it_is() {
    let world = World::new();
    refuse(&world, "DeleteTags", 1);
    assert_eq!(world.sandbox.run(RESTORE).code, Some(1));
    world.fake.state(|state| {
        let mut blank = first_volume(state).clone();
        blank.tags.retain(|key, _| !key.starts_with("etcdbackup/"));
        state.volumes.insert("vol-blank".to_owned(), blank);
    });
    for line in [RESTORE, ROLLBACK] {
        let output = refused(&world, line, "vol-blank passes for the volume of a.etcd-main.k.example.com");
        assert!(output.stderr.contains("hint: the control plane is down"), "{output}");
        assert!(!output.stderr.contains("nothing was changed"), "{output}");
    }
}

#[test]
fn what_is_deleted_at_once_is_kept_as_it_was_when_nobody_wrote_any_more() {
    let world = World::new();
    // an attempt of days ago took its snapshots, and broke off
    refuse(&world, "CreateVolume", 1);
    assert_eq!(world.sandbox.run(RESTORE).code, Some(1));
    world.fake.state(|state| state.snapshots.values_mut().for_each(|snapshot| snapshot.started -= 3 * 86_400));
    world.fake.before(|_, _| Fault::None);
    world.ok(&format!("{RESTORE} --delete-old-volumes"));
    let taken = world.fake.state(|state| {
        let of = |volume: &String| {
            let of_it = state.snapshots.values().filter(|snapshot| snapshot.volume == *volume);
            of_it.map(|snapshot| snapshot.started).max().unwrap()
        };
        world.first.volumes.keys().map(|volume| state.now - of(volume)).collect::<Vec<_>>()
    });
    assert!(taken.iter().all(|age| *age < 3600), "{taken:?}");
    assert!(world.fake.state(|state| world.first.volumes.keys().all(|id| !state.volumes.contains_key(id))));
}
