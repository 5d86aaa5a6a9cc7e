//! Volumes that go: `volume cleanup`, and `volume restore --delete-old-volumes`.

use std::sync::{Arc, Mutex};

use crate::fake_aws::{Fault, Snapshot};
use crate::volume_world::{World, changes, is_for};

const RESTORE: &str = "volume restore plan.json --yes";
const ROLLBACK: &str = "volume rollback plan.json --yes";
const DELETING: &str = "volume restore plan.json --yes --delete-old-volumes";
const CLEANUP: &str = "volume cleanup plan.json --older-than 0 --yes";

/// How many volumes of the first state are left.
fn old_volumes(world: &World) -> usize {
    world.fake.state(|state| world.first.volumes.keys().filter(|id| state.volumes.contains_key(*id)).count())
}

/// How many snapshots a restore has marked.
fn marked(world: &World) -> usize {
    let marked = |snapshot: &&Snapshot| snapshot.tags.contains_key("etcdbackup/restored-by");
    world.fake.state(|state| state.snapshots.values().filter(marked).count())
}

#[test]
fn cleanup_deletes_what_was_put_aside_long_enough_and_nothing_else() {
    let world = World::new();
    let aside: Vec<String> = world.first.volumes.keys().cloned().collect();
    world.ok(RESTORE);
    world.fake.forget();
    let list = world.ok("volume cleanup --cluster-name k.example.com");
    assert!(String::from_utf8_lossy(&list.stdout).matches("stays: it is younger").count() == 2, "{list}");
    let young = world.ok("volume cleanup plan.json --yes");
    assert!(young.stdout.is_empty() && young.stderr.contains("stays: it is younger"), "{young}");
    let shown = world.ok("volume cleanup plan.json --older-than 0");
    assert!(String::from_utf8_lossy(&shown.stdout).matches("goes").count() == 2, "{shown}");
    assert!(!world.fake.requests().iter().any(changes));
    let done = world.ok("volume cleanup plan.json --older-than 0 --yes");
    let deleted: String = aside.iter().map(|id| format!("volume/{id} deleted\n")).collect();
    assert_eq!(String::from_utf8_lossy(&done.stdout), deleted);
    assert!(world.fake.state(|state| aside.iter().all(|id| !state.volumes.contains_key(id))));
    world.assert_restored();
    assert_eq!(marked(&world), 0);
    let late = world.sandbox.run(ROLLBACK);
    assert_eq!(late.code, Some(1), "{late}");
    assert!(late.stderr.contains("--set pre-restore-"), "{late}");
}

#[test]
fn cleanup_leaves_what_a_restore_that_has_not_ended_needs() {
    let world = World::new();
    // after the volume of the first disk was put aside
    world.fake.before({
        let mut tagged = 0;
        move |request, _| {
            tagged += usize::from(request.action == "DeleteTags" && changes(request));
            if tagged == 2 && request.action == "DeleteTags" && changes(request) {
                return Fault::Refuse(400, "InvalidParameterValue", "no".to_owned());
            }
            Fault::None
        }
    });
    let broken = world.sandbox.run(RESTORE);
    assert_eq!(broken.code, Some(1), "{broken}");
    world.fake.before(|_, _| Fault::None);
    let output = world.ok("volume cleanup plan.json --older-than 0 --yes");
    assert!(output.stdout.is_empty() && output.stderr.contains("stays: its restore has not ended"), "{output}");
    world.ok(ROLLBACK);
    world.assert_as_at_first();
}

#[test]
fn cleanup_leaves_a_volume_of_which_no_snapshot_was_completed_first() {
    let world = World::new();
    world.ok(RESTORE);
    let old = world.first.volumes.keys().next().unwrap().clone();
    let set = |status: &str| {
        world.fake.state(|state| {
            let of_it = state.snapshots.values_mut().filter(|snapshot| snapshot.volume == old);
            of_it.filter(|snapshot| is_for(snapshot, "pre-restore")).for_each(|it| it.status = status.to_owned());
        });
    };
    set("error");
    let output = world.sandbox.run(CLEANUP);
    assert!(output.stderr.contains(&format!("{old} stays: its snapshot snap-")), "{output}");
    assert!(world.fake.state(|state| state.volumes.contains_key(&old)), "{output}");
    set("completed");
    world.ok(CLEANUP);
    assert_eq!(old_volumes(&world), 0);
}

#[test]
fn cleanup_deletes_volumes_of_which_nobody_wanted_a_snapshot_first() {
    let world = World::new();
    world.ok(&format!("{RESTORE} --skip-safety-snapshot"));
    assert_eq!(world.taken_for("pre-restore"), 0);
    world.ok(CLEANUP);
    assert_eq!(old_volumes(&world), 0);
}

#[test]
fn cleanup_looks_again_before_each_volume() {
    let world = World::new();
    world.ok(RESTORE);
    let last = world.first.volumes.keys().last().unwrap().clone();
    // somebody takes it back while the first is deleted
    let taken_back = last.clone();
    world.fake.after(move |request, state| {
        let deleted = request.action == "DeleteVolume" && changes(request);
        if let Some(volume) = state.volumes.get_mut(&taken_back).filter(|_| deleted) {
            volume.tags.insert("KubernetesCluster".to_owned(), "k.example.com".to_owned());
        }
    });
    let output = world.sandbox.run(CLEANUP);
    assert_eq!((output.code, old_volumes(&world)), (Some(1), 1), "{output}");
    assert!(output.stderr.contains(&format!("error: {last} stays: it has tags of kops")), "{output}");
}

#[test]
fn old_volumes_can_be_deleted_as_the_last_step() {
    let world = World::new();
    world.fake.forget();
    world.ok(DELETING);
    world.assert_restored();
    let requests = world.fake.requests();
    let changed: Vec<&str> =
        requests.iter().filter(|request| changes(request)).map(|request| request.action.as_str()).collect();
    // the set may expire then
    assert_eq!(changed[changed.len() - 3..], ["DeleteVolume", "DeleteVolume", "DeleteTags"]);
    assert_eq!((old_volumes(&world), marked(&world)), (0, 0));
}

#[test]
fn an_old_volume_is_deleted_only_when_its_last_snapshot_is_seen_to_be_completed() {
    let world = World::new();
    world.ok(RESTORE);
    world.fake.state(|state| (state.snapshots_hide, state.snapshot_takes) = (2, 1000));
    let early = Arc::new(Mutex::new(Vec::new()));
    world.fake.before({
        let (early, mut listings) = (Arc::clone(&early), 0);
        move |request, state| {
            match request.action.as_str() {
                "CreateSnapshot" => listings = 0,
                "DescribeSnapshots" => listings += 1,
                "DeleteVolume" if listings < 3 => early.lock().unwrap().push(request.number),
                _ => {}
            }
            if listings == 3 {
                state.snapshots.values_mut().for_each(|snapshot| snapshot.status = "completed".to_owned());
            }
            Fault::None
        }
    });
    world.ok(DELETING);
    assert_eq!((early.lock().unwrap().len(), old_volumes(&world)), (0, 0));
}

#[test]
fn a_last_snapshot_that_failed_keeps_the_old_volume_and_is_taken_again() {
    let world = World::new();
    world.ok(RESTORE);
    world.fake.state(|state| state.snapshots_fail = true);
    let failed = world.sandbox.run(DELETING);
    assert_eq!((failed.code, old_volumes(&world)), (Some(7), 2), "{failed}");
    assert!(failed.stderr.contains("hint: the old volumes stay; kubectl etcdbackup volume cleanup"), "{failed}");
    world.fake.state(|state| state.snapshots_fail = false);
    // the one that failed is not what a call without a reply made
    let mut first = true;
    world.fake.before(move |request, _| {
        let cut = first && request.action == "CreateSnapshot" && changes(request);
        first &= !cut;
        if cut { Fault::CutBefore } else { Fault::None }
    });
    world.ok(DELETING);
    assert_eq!((old_volumes(&world), world.taken_for("pre-delete")), (0, 4));
}
