//! A restore and a rollback that are killed after each request that changes something. Between two of those the state
//! of AWS, which is all that counts, is the same, so a death before one is a death after the one before.

use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::process::{Pid, Signal, kill_process};

use crate::aws::Kops;
use crate::fake_aws::Fault;
use crate::sandbox::Output;
use crate::volume_snapshot::value;
use crate::volume_world::{World, changes};

/// Runs the plugin and sends it `signal` when the `nth` change is done and not yet answered; how it ended, or `None`
/// when there were fewer changes.
fn ended_at(world: &World, line: &str, nth: usize, signal: Signal) -> Option<Output> {
    let (process, struck) = (Arc::new(OnceLock::<i32>::new()), Arc::new(Mutex::new(false)));
    let (waiting, flag) = (Arc::clone(&process), Arc::clone(&struck));
    let (mut before, mut after) = (0, 0);
    world.fake.before(move |request, _| {
        before += usize::from(changes(request));
        if before == nth && changes(request) { Fault::CutAfter } else { Fault::None }
    });
    world.watch(move |request, _| {
        after += usize::from(changes(request));
        if after == nth && changes(request) {
            kill_process(Pid::from_raw(*waiting.wait()).unwrap(), signal).unwrap();
            *flag.lock().unwrap() = true;
        }
    });
    let words: Vec<&str> = line.split_whitespace().collect();
    let child = world.sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.set(i32::try_from(child.id()).unwrap()).unwrap();
    let output = Output::of(child.wait_with_output().unwrap(), &world.sandbox);
    world.fake.before(|_, _| Fault::None);
    world.watch(|_, _| ());
    struck.lock().unwrap().then_some(output)
}

/// Kills `line` at every change in a world of its own each, after `begin`; then `then` goes on. The number of changes.
fn kill_at_every_change(begin: &str, line: &str, then: impl Fn(&World, usize)) -> usize {
    for nth in 1.. {
        let world = World::new();
        if !begin.is_empty() {
            world.ok(begin);
        }
        let Some(killed) = ended_at(&world, line, nth, Signal::KILL) else { return nth - 1 };
        assert_eq!(killed.code, None, "{killed}");
        then(&world, nth);
        world.assert_never_broken();
    }
    unreachable!()
}

const RESTORE: &str = "volume restore plan.json --yes";
const ROLLBACK: &str = "volume rollback plan.json --yes";

#[test]
fn a_restore_that_is_killed_at_any_change_is_ended_by_the_same_command() {
    let changes = kill_at_every_change("", RESTORE, |world, _| {
        world.ok(RESTORE);
        world.assert_restored();
    });
    // two disks, two groups: snapshots, marks, volumes, two sizes each, two calls for each of four volumes
    assert_eq!(changes, 2 + 1 + 2 + 4 + 8);
}

#[test]
fn a_restore_that_is_killed_at_any_change_can_be_rolled_back() {
    kill_at_every_change("", RESTORE, |world, _| {
        world.ok(ROLLBACK);
        world.assert_as_at_first();
    });
}

#[test]
fn a_rollback_that_is_killed_at_any_change_is_ended_by_the_same_command() {
    let changes = kill_at_every_change(RESTORE, ROLLBACK, |world, _| {
        world.ok(ROLLBACK);
        world.assert_as_at_first();
    });
    assert_eq!(changes, 2 + 4 + 8);
}

#[test]
fn a_restore_that_was_killed_twice_is_ended_all_the_same() {
    kill_at_every_change("", RESTORE, |world, nth| {
        if let Some(killed) = ended_at(world, RESTORE, nth / 2 + 1, Signal::KILL) {
            assert_eq!(killed.code, None, "{killed}");
        }
        world.ok(RESTORE);
        world.assert_restored();
    });
}

#[test]
fn after_a_rollback_that_was_killed_a_restore_goes_on_or_says_that_the_rollback_must_end() {
    kill_at_every_change(RESTORE, ROLLBACK, |world, nth| {
        let output = world.sandbox.run(RESTORE);
        match output.code {
            Some(0) => world.assert_restored(),
            _ => assert!(output.stderr.contains("rolled back"), "{nth}: {output}"),
        }
    });
}

#[test]
fn whoever_presses_ctrl_c_in_a_snapshot_learns_that_it_goes_on_and_completes_it_with_the_same_name() {
    let world = World::new();
    let line = "volume snapshot --set s2 --wait";
    let output = ended_at(&world, line, 1, Signal::INT).unwrap();
    assert_eq!(output.code, Some(130), "{output}");
    let wanted =
        "error: interrupted; what had begun of set s2 goes on\nhint: look with: kubectl etcdbackup volume list\n";
    assert!(output.stderr.ends_with(wanted), "{output}");
    world.ok(line);
    assert_eq!(world.fake.snapshots().len(), 2 + 2);
}

#[test]
fn the_snapshots_of_one_instance_get_all_their_tags_from_the_same_command_after_a_death() {
    let line = "volume snapshot --set s2 --wait";
    for nth in 1.. {
        let world = World::of(&Kops::of_one("k.example.com"));
        let Some(killed) = ended_at(&world, line, nth, Signal::KILL) else {
            // one call for both volumes, and the tags of each
            assert_eq!(nth - 1, 1 + 2);
            return;
        };
        assert_eq!(killed.code, None, "{killed}");
        world.ok(line);
        let mut taken = world.fake.snapshots();
        taken.retain(|it| value(it, "etcdbackup/set") == Some("s2"));
        assert_eq!(taken.len(), 2);
        for it in &taken {
            assert_eq!(value(it, "etcdbackup/source-volume"), it.volume_id(), "{nth}: {it:?}");
            assert_eq!(value(it, "etcdbackup/az"), Some("eu-west-1a"), "{nth}: {it:?}");
        }
    }
}

#[test]
fn whoever_presses_ctrl_c_learns_where_it_stands() {
    let world = World::new();
    let staging = ended_at(&world, RESTORE, 4, Signal::INT).unwrap();
    assert_eq!(staging.code, Some(130), "{staging}");
    assert!(staging.stderr.contains("hint: the control plane runs as before\nhint: run the same command"), "{staging}");
    let down = ended_at(&world, RESTORE, 3, Signal::INT).unwrap();
    assert_eq!(down.code, Some(130), "{down}");
    let wanted = "hint: the control plane is down\nhint: run the same command again: it goes on from here\nhint: \
        kubectl etcdbackup volume rollback plan.json goes back instead\n";
    assert!(down.stderr.ends_with(wanted), "{down}");
    world.ok(RESTORE);
    world.assert_restored();
    world.assert_never_broken();
}
