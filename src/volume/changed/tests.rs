use super::*;
use crate::volume::plan::tests::{group, plan, volume};

/// Everything as it was when the plan was made.
fn same() -> Now {
    let volumes = vec![volume("vol-a", "main", "a"), volume("vol-b", "main", "b")];
    Now { groups: vec![group("a"), group("b")], volumes, alive: vec!["i-a".to_owned(), "i-b".to_owned()], begun: false }
}

#[test]
fn what_is_as_it_was_planned_stands_in_nobodys_way() {
    assert!(since_plan(&plan(), &same()).is_ok());
}

#[test]
fn what_others_changed_since_the_plan_is_refused_with_what_helps() {
    type Change = fn(&mut Now);
    let cases: [(Change, &str); 9] = [
        (|now| now.groups[0].size.desired = 3, "was of min 1 max 2 desired 1 when the plan was made"),
        (|now| now.groups.push(group("c")), "has the group masters-c, which the plan does not know"),
        (|now| drop(now.groups.remove(1)), "the group masters-b of the plan is gone"),
        (|now| now.groups[0].refresh = Some("Baking".to_owned()), "cancel-instance-refresh"),
        (|now| now.groups[0].instances[0].protected = true, "set-instance-protection"),
        (|now| now.groups[1].suspended.push("Launch".to_owned()), "--scaling-processes Launch"),
        (|now| now.volumes.push(volume("vol-c", "main", "c")), "vol-c is the volume of c.etcd-main.k"),
        (|now| now.volumes[0].attachments[0].delete_on_termination = true, "vol-a would be deleted with its instance"),
        (
            |now| {
                now.volumes[1].attachments[0].instance = "i-x".to_owned();
                now.alive.push("i-x".to_owned());
            },
            "vol-b is attached to i-x, which is in no Auto Scaling group",
        ),
    ];
    for (change, wanted) in cases {
        let mut now = same();
        change(&mut now);
        let refused = since_plan(&plan(), &now).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
}

#[test]
fn a_run_that_goes_on_finds_its_own_changes_and_no_others() {
    let mut now = same();
    now.begun = true;
    // as the run left it, and as somebody gave it another size since
    (now.groups[0].size.min, now.groups[0].size.desired) = (0, 0);
    now.groups[0].instances[0].protected = true;
    now.groups[1].size.desired = 2;
    // of an instance that is gone
    now.volumes[0].attachments[0].instance = "i-gone".to_owned();
    assert!(since_plan(&plan(), &now).is_ok());
}

#[test]
fn a_run_that_goes_on_does_without_a_group_that_is_gone() {
    let mut now = Now { begun: true, alive: Vec::new(), ..same() };
    now.groups.pop();
    assert!(since_plan(&plan(), &now).is_ok());
}

#[test]
fn a_group_of_nobody_is_in_nobodys_way() {
    let mut now = same();
    let mut empty = group("c");
    (empty.size.min, empty.size.desired) = (0, 0);
    empty.instances.clear();
    now.groups.push(empty);
    // another etcd has members of its own
    now.volumes.push(volume("vol-e", "events", "c"));
    assert!(since_plan(&plan(), &now).is_ok());
}
