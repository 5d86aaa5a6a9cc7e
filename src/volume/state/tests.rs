use super::*;
use crate::volume::plan::tests::{plan, tags, volume};

/// The new volume of the first disk, with these tags beside the marks of the run.
fn made(id: &str, marks: &[(&str, &str)]) -> Volume {
    let of_disk = [(tags::CLUSTER, "k"), (tags::ETCD, "main"), (tags::MEMBER, "a"), (tags::RESTORE, "r1")];
    let mut tags = tags(&of_disk);
    tags.extend(self::tags(marks));
    Volume {
        id: id.to_owned(),
        disk: None,
        state: "available".to_owned(),
        attachments: Vec::new(),
        tags,
        snapshot: Some("snap-a".to_owned()),
        ..volume(id, "main", "a")
    }
}

fn live(id: &str) -> Volume {
    Volume { snapshot: Some("snap-a".to_owned()), ..volume(id, "main", "a") }
}

fn first(volumes: &[Volume]) -> DiskNow {
    of(&plan(), volumes).remove(0)
}

#[test]
fn before_anything_happened_there_is_the_old_volume_only() {
    let now = first(&[volume("vol-a", "main", "a")]);
    assert_eq!(now.old.as_ref().unwrap().id, "vol-a");
    assert!(now.new.is_none() && now.is_untouched() && !now.is_restored() && now.is_rolled_back("r1"));
}

#[test]
fn a_staged_volume_is_found_by_its_marks_and_one_in_use_by_what_it_was_made_of() {
    let staged = first(&[volume("vol-a", "main", "a"), made("vol-n", &[])]);
    assert_eq!(staged.new.as_ref().unwrap().id, "vol-n");
    assert!(staged.is_untouched() && !staged.is_rolled_back("r1"));
    let mut aside = made("vol-a", &[(tags::REPLACED_BY, "vol-n")]);
    aside.snapshot = None;
    let restored = first(&[aside, live("vol-n")]);
    assert_eq!(
        (restored.old.as_ref().unwrap().id.as_str(), restored.new.as_ref().unwrap().id.as_str()),
        ("vol-a", "vol-n")
    );
    assert!(restored.is_restored() && !restored.is_untouched());
}

#[test]
fn of_two_volumes_that_a_repeated_call_made_every_run_takes_the_same() {
    let two = [made("vol-1", &[]), made("vol-2", &[])];
    assert_eq!(first(&two).new.unwrap().id, "vol-1");
    let mut aside = made("vol-a", &[(tags::REPLACED_BY, "vol-2")]);
    aside.snapshot = None;
    assert_eq!(first(&[two[0].clone(), two[1].clone(), aside]).new.unwrap().id, "vol-2");
    assert_eq!(first(&[two[0].clone(), live("vol-3")]).new.unwrap().id, "vol-3");
}

#[test]
fn marks_of_another_restore_are_not_of_this_one() {
    let other = made("vol-n", &[(tags::RESTORE, "r0")]);
    assert!(first(&[volume("vol-a", "main", "a"), other]).new.is_none());
}

#[test]
fn a_volume_in_use_that_still_carries_marks_is_not_done() {
    let mut half = live("vol-n");
    half.tags.extend(made("vol-n", &[]).tags);
    assert!(!first(&[half]).is_restored());
}

#[test]
fn a_restore_that_was_rolled_back_is_not_done_again() {
    let plan = plan();
    let spent = made("vol-n", &[(tags::ROLLED_BACK, "r1")]);
    let disks = of(&plan, &[volume("vol-a", "main", "a"), volume("vol-b", "main", "b"), spent]);
    assert!(disks[0].is_rolled_back("r1"));
    assert!(may_restore(&plan, &disks).unwrap_err().message().contains("used up"));
    assert!(may_roll_back(&plan, &disks).is_ok());
}

#[test]
fn there_is_no_going_back_to_a_volume_that_is_gone() {
    let plan = plan();
    let disks = of(&plan, &[live("vol-n"), volume("vol-b", "main", "b")]);
    let refused = may_roll_back(&plan, &disks).unwrap_err();
    assert!(refused.to_string().contains("--set pre-restore-r1"), "{refused}");
}

#[test]
fn a_stranger_in_the_place_of_a_disk_stops_both_ways() {
    let plan = plan();
    let disks = of(&plan, &[volume("vol-a", "main", "a"), volume("vol-x", "main", "a"), volume("vol-b", "main", "b")]);
    for refused in [may_restore(&plan, &disks), may_roll_back(&plan, &disks)] {
        assert!(refused.unwrap_err().message().starts_with("vol-x passes for the volume of a.etcd-main.k"));
    }
}

#[test]
fn a_volume_that_another_restore_has_put_aside_stops_both_ways() {
    let plan = plan();
    let mut aside = made("vol-a", &[(tags::RESTORE, "r0"), (tags::REPLACED_BY, "vol-x")]);
    aside.snapshot = None;
    let disks = of(&plan, &[aside, made("vol-n", &[]), volume("vol-b", "main", "b")]);
    for refused in [may_restore(&plan, &disks), may_roll_back(&plan, &disks)] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.message(), "vol-a was put aside by another restore, r0, which has not ended");
    }
}
