//! Groups of the control plane that go away or cannot be looked at, and sets that are not what their name promises.

use crate::fake_aws::{Fault, State, unauthorized};
use crate::volume_snapshot::three_masters;
use crate::volume_world::{World, changes};

const PLAN: &str = "volume plan --out again.json";
const RESTORE: &str = "volume restore plan.json --yes";
const ROLLBACK: &str = "volume rollback plan.json --yes";

/// Does this to the state before tags are deleted: every instance is gone then, and no volume is exchanged.
fn before_the_exchange(world: &World, mut change: impl FnMut(&mut State) + Send + 'static) {
    world.fake.before(move |request, state| {
        if request.action == "DeleteTags" && changes(request) {
            change(state);
        }
        Fault::None
    });
}

/// Lets nobody ask for instance refreshes.
fn deny_refreshes(world: &World) {
    let message = unauthorized("autoscaling:DescribeInstanceRefreshes");
    world.fake.before(move |request, _| match request.action == "DescribeInstanceRefreshes" {
        true => Fault::Refuse(403, "AccessDenied", message.clone()),
        false => Fault::None,
    });
}

#[test]
fn a_plan_whose_group_is_gone_is_refused_before_anything_changes() {
    let world = World::new();
    let name = world.fake.state(|state| state.groups.pop_last().unwrap().0);
    world.fake.forget();
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains(&format!("the group {name} of the plan is gone")), "{output}");
    assert!(!world.fake.requests().iter().any(changes), "{output}");
}

#[test]
fn a_group_that_is_deleted_in_the_middle_stops_neither_the_exchange_nor_the_other_masters() {
    for (begin, line) in [("", RESTORE), (RESTORE, ROLLBACK)] {
        let world = World::new();
        if !begin.is_empty() {
            world.ok(begin);
        }
        let (name, group) = world.fake.state(|state| {
            let (name, group) = state.groups.last_key_value().unwrap();
            (name.clone(), group.clone())
        });
        let gone = name.clone();
        before_the_exchange(&world, move |state| drop(state.groups.remove(&gone)));
        let output = world.sandbox.run(line);
        assert_eq!(output.code, Some(1), "{output}");
        let wanted = format!("error: the group {name} is gone: its master was not started\nhint: kops update cluster");
        assert!(output.stderr.contains(&wanted), "{output}");
        assert!(output.stderr.contains("hint: the control plane is up\n"), "{output}");
        // as kops makes it again
        world.fake.before(|_, _| Fault::None);
        world.fake.state(|state| {
            state.groups.insert(name.clone(), group);
            state.scale(&name);
        });
        world.ok(line);
        match line {
            RESTORE => world.assert_restored(),
            _ => world.assert_as_at_first(),
        }
        world.assert_never_broken();
    }
}

#[test]
fn without_any_group_the_control_plane_is_said_to_be_down() {
    let world = World::new();
    before_the_exchange(&world, |state| state.groups.clear());
    let output = world.sandbox.run(RESTORE);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains(" are gone: their masters were not started\n"), "{output}");
    assert!(output.stderr.contains("hint: the control plane is down\n"), "{output}");
    assert!(!output.stderr.contains("are in service"), "{output}");
}

#[test]
fn a_service_that_knows_no_instance_refreshes_is_asked_once_a_group_and_stops_nobody() {
    let world = World::new();
    world.fake.forget();
    world.fake.before(|request, _| match request.action == "DescribeInstanceRefreshes" {
        true => Fault::Refuse(500, "InternalFailure", "not implemented".to_owned()),
        false => Fault::None,
    });
    world.ok(PLAN);
    assert_eq!(world.fake.count()["DescribeInstanceRefreshes"], 2);
    world.ok(RESTORE);
    assert_eq!(world.fake.count()["DescribeInstanceRefreshes"], 4);
}

#[test]
fn whoever_may_not_look_for_instance_refreshes_begins_no_restore_and_may_still_go_back() {
    let world = World::new();
    world.fake.forget();
    deny_refreshes(&world);
    for line in [PLAN, RESTORE] {
        let output = world.sandbox.run(line);
        assert_eq!(output.code, Some(5), "{output}");
        assert!(output.stderr.contains("no permission for autoscaling:DescribeInstanceRefreshes"), "{output}");
    }
    assert!(!world.fake.requests().iter().any(changes));
    world.fake.before(|_, _| Fault::None);
    world.ok(RESTORE);
    deny_refreshes(&world);
    world.ok(ROLLBACK);
    world.assert_as_at_first();
}

#[test]
fn of_the_volumes_of_a_cluster_only_those_of_etcd_and_of_restores_are_listed() {
    let world = World::new();
    world.fake.forget();
    for line in [PLAN, RESTORE, ROLLBACK, "volume cleanup plan.json"] {
        world.ok(line);
    }
    for request in world.fake.requests().iter().filter(|request| request.action == "DescribeVolumes") {
        let filters = request.filters("Filter", "Value");
        let is_narrow = |(name, values): &(String, Vec<String>)| match name.as_str() {
            "tag-key" => *values == ["k8s.io/etcd/*"],
            other => ["tag:etcdbackup/cluster", "volume-id"].contains(&other),
        };
        assert!(filters.iter().any(is_narrow), "{filters:?}");
    }
}

#[test]
fn a_set_without_all_its_members_is_said_to_be_of_no_use_to_a_restore() {
    let fake = three_masters();
    let wanted = "warning: set s1 lacks b.etcd-main.k.example.com, c.etcd-main.k.example.com: volume plan restores";
    let one = fake.sandbox().run("volume snapshot --set s1 --etcd main --member a --wait");
    assert!(one.code == Some(0) && one.stderr.contains(wanted), "{one}");
    assert!(!one.stderr.contains("s1 is complete"), "{one}");
    let all = fake.sandbox().run("volume snapshot --set s2 --etcd main --wait");
    assert!(all.code == Some(0) && !all.stderr.contains("warning: "), "{all}");
}

#[test]
fn whoever_takes_a_set_under_the_name_of_an_old_one_learns_that_nothing_was_taken() {
    let fake = three_masters();
    let wanted = "warning: nothing was taken: set nightly was there already\n";
    for (run, is_old) in [(1, false), (2, true)] {
        let output = fake.sandbox().run("volume snapshot --set nightly --wait");
        assert_eq!((output.code, output.stderr.contains(wanted)), (Some(0), is_old), "{run}: {output}");
    }
    assert_eq!(fake.snapshots().len(), 6);
}
