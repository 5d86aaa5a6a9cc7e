//! `volume plan`, `restore`, `rollback` and `cleanup` where AWS says no, is slow, or loses a reply.

use insta::assert_snapshot;

use crate::aws::Kops;
use crate::create_terminal::Terminal;
use crate::fake_aws::{FakeAws, Fault, Request, State, throttled};
use crate::sandbox::Output;
use crate::volume_world::{World, changes};

const RESTORE: &str = "volume restore plan.json --yes";
const ROLLBACK: &str = "volume rollback plan.json --yes";

/// Without what differs in each run.
fn shown(output: &Output) -> String {
    let text = output.to_string();
    let words = text.split_inclusive([' ', '\n']).map(|word| {
        let (bare, end) = word.split_at(word.trim_end_matches([' ', '\n', ',']).len());
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        match bare.split('-').collect::<Vec<_>>()[..] {
            [day, time, letters] if day.len() == 8 && digits(day) && digits(time) && letters.len() == 4 => {
                format!("RUN{end}")
            }
            _ if bare.len() == 9 && bare.ends_with('Z') && bare.contains(':') => format!("TIME{end}"),
            _ if bare.len() == 20 && bare.ends_with('Z') && bare.contains('T') => format!("{:20}{end}", "DATE"),
            _ => word.to_owned(),
        }
    });
    let masked: String = words.collect();
    let lines = masked.lines().map(|line| {
        if let Some((start, _)) = line.split_once(" are in service after ") {
            return start.to_owned() + " are in service after SOME s";
        }
        // two are asked for at once, and either may come first
        match line.split_once(" is taken of ") {
            Some((_, volume)) => format!("TIME SNAPSHOT is taken of {volume}"),
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_names_everything_and_changes_nothing() {
    let world = World::new();
    world.fake.forget();
    let output = world.ok("volume plan --cluster-name k.example.com --set s1 --out again.json");
    assert_snapshot!(shown(&output));
    assert!(!world.fake.requests().iter().any(changes));
    let plan = std::fs::read_to_string(world.sandbox.path().join("again.json")).unwrap();
    for id in world.set.iter().chain(world.first.volumes.keys()).chain(world.first.groups.keys()) {
        assert!(plan.contains(id.as_str()), "{id}: {plan}");
    }
    let taken = world.sandbox.run("volume plan --out again.json");
    assert_eq!(taken.code, Some(1), "{taken}");
}

#[test]
fn a_restore_stages_swaps_and_starts_and_a_second_one_has_nothing_to_do() {
    let world = World::new();
    assert_snapshot!(shown(&world.ok(RESTORE)));
    world.assert_restored();
    world.fake.forget();
    world.ok(RESTORE);
    assert!(!world.fake.requests().iter().any(changes));
    world.assert_never_broken();
}

#[test]
fn a_rollback_brings_back_the_first_state_and_uses_the_plan_up() {
    let world = World::new();
    world.ok(RESTORE);
    assert_snapshot!(shown(&world.ok(ROLLBACK)));
    world.assert_as_at_first();
    let again = world.sandbox.run(RESTORE);
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.stderr.contains("its plan is used up\nhint: kubectl etcdbackup volume plan"), "{again}");
    world.ok("volume plan --set s1 --out second.json");
    world.ok("volume restore second.json --yes");
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn without_a_terminal_nothing_begins_unasked() {
    let world = World::new();
    world.fake.forget();
    for line in ["volume restore plan.json", "volume rollback plan.json"] {
        let output = world.sandbox.run(line);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.ends_with("hint: add --yes\n"), "{output}");
    }
    assert_eq!(world.fake.requests(), []);
}

/// Refuses `action` when it is tried without effect.
fn denied(action: &'static str) -> impl FnMut(&Request, &mut State) -> Fault + Send {
    move |request, _| match request.action == action && request.is("DryRun", "true") {
        true => Fault::Refuse(403, "UnauthorizedOperation", "You are not authorized".to_owned()),
        false => Fault::None,
    }
}

#[test]
fn what_will_not_be_allowed_is_found_before_anything_changes() {
    for action in ["CreateSnapshot", "CreateVolume", "CreateTags", "DeleteTags"] {
        let world = World::new();
        world.fake.forget();
        world.fake.before(denied(action));
        let output = world.sandbox.run(&format!("{RESTORE} --delete-old-volumes"));
        assert_eq!(output.code, Some(5), "{action}: {output}");
        assert!(output.stderr.ends_with("hint: nothing was changed\n"), "{action}: {output}");
        assert!(!world.fake.requests().iter().any(changes), "{action}");
    }
}

#[test]
fn a_deletion_that_will_not_be_allowed_is_found_before_the_control_plane_stops() {
    let world = World::new();
    world.fake.before(denied("DeleteVolume"));
    let output = world.sandbox.run(&format!("{RESTORE} --delete-old-volumes"));
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.stderr.contains("hint: the control plane runs as before"), "{output}");
    assert!(!world.fake.count().contains_key("UpdateAutoScalingGroup"));
    world.ok(RESTORE);
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn lost_replies_and_throttling_make_no_second_volume_or_snapshot() {
    let world = World::new();
    let (before, mut cut) = (world.fake.state(|state| (state.volumes.len(), state.snapshots.len())), 0);
    world.fake.before(move |request, _| {
        let first_two = ["CreateVolume", "CreateSnapshot"].contains(&request.action.as_str()) && changes(request);
        cut += usize::from(first_two);
        match (first_two, cut) {
            (true, 1) => Fault::CutAfter,
            (true, 2) => throttled(),
            (true, 4) => Fault::CutAfter,
            _ => Fault::None,
        }
    });
    world.ok(RESTORE);
    world.assert_restored();
    let after = world.fake.state(|state| (state.volumes.len(), state.snapshots.len()));
    assert_eq!(after, (before.0 + 2, before.1 + 2));
    world.assert_never_broken();
}

#[test]
fn a_key_that_may_not_be_used_is_found_before_the_control_plane_stops() {
    let world = World::new();
    world.fake.state(|state| {
        state.kms_fails = true;
        state.snapshots.values_mut().for_each(|snapshot| snapshot.encrypted = true);
    });
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("hint: an encrypted snapshot needs kms:CreateGrant"), "{output}");
    assert!(output.stderr.contains("hint: the control plane runs as before"), "{output}");
    world.assert_as_at_first();
}

#[test]
fn an_instance_that_does_not_end_is_exit_6_and_the_same_command_goes_on() {
    let world = World::new();
    world.fake.before(|request, state| {
        let stops = request.action == "UpdateAutoScalingGroup";
        state.instances.values_mut().for_each(|instance| instance.protected |= stops);
        Fault::None
    });
    let output = world.sandbox.run(&format!("{RESTORE} --timeout 0"));
    world.fake.before(|_, _| Fault::None);
    assert_eq!(output.code, Some(6), "{output}");
    assert!(output.stderr.contains("is protected from scale-in in control-plane-eu-west-1a"), "{output}");
    assert!(output.stderr.contains("hint: the control plane is down"), "{output}");
    world.fake.state(|state| {
        state.instances.values_mut().for_each(|instance| instance.protected = false);
        let names: Vec<String> = state.groups.keys().cloned().collect();
        names.iter().for_each(|name| state.scale(name));
    });
    world.ok(RESTORE);
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn a_lifecycle_hook_that_holds_instances_back_is_waited_for() {
    let world = World::new();
    world.fake.state(|state| state.groups.values_mut().for_each(|group| group.hooks = vec!["drain".to_owned()]));
    // a minute of requests in one
    world.fake.before(|_, state| {
        (0..4).for_each(|_| state.tick());
        Fault::None
    });
    let output = world.ok(RESTORE);
    assert!(output.stderr.contains("is Terminating:Wait in control-plane-eu-west-1a"), "{output}");
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn a_volume_that_stays_attached_is_detached_by_force_only_where_that_is_asked_for() {
    let world = World::new();
    let lost = world.fake.state(|state| {
        let (id, volume) = state.volumes.iter_mut().next().unwrap();
        volume.attachment.as_mut().unwrap().instance = "i-0123".to_owned();
        id.clone()
    });
    let output = world.sandbox.run(&format!("{RESTORE} --timeout 0"));
    assert_eq!(output.code, Some(6), "{output}");
    assert!(output.stderr.contains(&format!("still waiting: {lost} is in-use")), "{output}");
    assert!(!world.fake.count().contains_key("DetachVolume"));
    let output = world.ok(&format!("{RESTORE} --force-detach"));
    assert!(output.stderr.contains(&format!("{lost} is detached from i-0123 by force")), "{output}");
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn on_a_terminal_the_name_of_the_cluster_is_typed_first() {
    let world = World::new();
    world.fake.forget();
    for (name, code) in [("k.example.org", Some(1)), ("k.example.com", Some(0))] {
        let mut terminal = Terminal::run(world.sandbox.command(&["volume", "restore", "plan.json"]));
        terminal.answer("Type the name of the cluster to go on", &format!("{name}\r"));
        let (ended, _, screen) = terminal.end();
        assert_eq!(ended, code, "{screen}");
        assert_eq!(world.fake.requests().iter().any(changes), code == Some(0), "{screen}");
    }
    world.assert_restored();
}

#[test]
fn a_volume_that_somebody_else_made_meanwhile_stops_it() {
    let world = World::new();
    world.fake.state(|state| {
        let volume = state.volumes.values().next().unwrap().clone();
        state.volumes.insert("vol-blank".to_owned(), volume);
    });
    world.fake.forget();
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("vol-blank passes for the volume of a.etcd-main.k.example.com"), "{output}");
    assert!(!world.fake.requests().iter().any(changes));
}

#[test]
fn a_plan_of_another_account_or_region_is_refused() {
    let world = World::new();
    let region = world.sandbox.run(&format!("{RESTORE} --region us-east-1"));
    assert_eq!(region.code, Some(2), "{region}");
    world.fake.state(|state| state.account = "210987654321".to_owned());
    let account = world.sandbox.run(RESTORE);
    assert_eq!(account.code, Some(5), "{account}");
    assert!(account.stderr.contains("are for account 210987654321, not 123456789012"), "{account}");
}

#[test]
fn what_was_taken_first_is_taken_again_where_the_volume_was_written_for_long_since() {
    let world = World::new();
    let older = |minutes: i64| {
        world.fake.state(|state| state.snapshots.values_mut().for_each(|snapshot| snapshot.started -= minutes * 60));
    };
    let refuse = |action: &'static str| {
        world.fake.before(move |request, _| match request.action == action && changes(request) {
            true => Fault::Refuse(400, "InvalidParameterValue", "no".to_owned()),
            false => Fault::None,
        });
    };
    refuse("CreateVolume");
    for (minutes, taken) in [(0, 2), (5, 2), (60, 4)] {
        older(minutes);
        let output = world.sandbox.run(RESTORE);
        assert_eq!((output.code, world.taken_for("pre-restore")), (Some(1), taken), "{output}");
    }
    refuse("DeleteTags");
    assert_eq!(world.sandbox.run(RESTORE).code, Some(1));
    world.fake.before(|_, _| Fault::None);
    // nobody has written since the control plane went down
    older(60);
    world.ok(RESTORE);
    assert_eq!(world.taken_for("pre-restore"), 4);
    world.assert_restored();
    world.assert_never_broken();
}

#[test]
fn where_the_set_cannot_be_marked_it_is_not_said_that_nothing_was_changed() {
    let world = World::new();
    world.fake.before(|request, _| match request.action == "CreateTags" && changes(request) {
        true => Fault::Refuse(400, "InvalidParameterValue", "no".to_owned()),
        false => Fault::None,
    });
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("hint: the control plane runs as before"), "{output}");
    assert!(!output.stderr.contains("nothing was changed"), "{output}");
}

#[test]
fn a_snapshot_with_all_the_tags_that_fit_can_be_restored() {
    let fake = FakeAws::start();
    let labels = (0..36).map(|n| (format!("label-{n:02}"), "x".to_owned())).collect();
    Kops { labels, ..Kops::of_one("k.example.com") }.make(&fake);
    let sandbox = fake.sandbox();
    for line in ["volume snapshot --set s1 --wait", "volume plan", RESTORE] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(0), "{output}");
    }
    let full = fake.state(|state| state.snapshots.values().filter(|snapshot| snapshot.tags.len() == 50).count());
    assert_eq!(full, 2);
}
