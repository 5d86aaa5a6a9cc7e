use super::*;
use crate::volume::plan::tests::{tags, volume};
use crate::volume::tags::{PUT_ASIDE, RESTORE};

/// What EC2 does with a change.
fn after(mut volume: Volume, change: &Retag) -> Volume {
    volume.tags.extend(change.set.clone());
    volume.tags.retain(|key, _| !change.remove.contains(key));
    volume
}

fn marks() -> Tags {
    tags(&[(RESTORE, "r"), (PUT_ASIDE, "2026-01-01T00:00:00Z")])
}

#[test]
fn a_volume_put_aside_and_brought_back_is_as_it_was() {
    let volume = volume("vol-1", "main", "a");
    let change = aside(&volume, &marks(), "aside");
    let put = after(volume.clone(), &change);
    assert!(!put.tags.keys().any(|key| is_live_key(key)), "{put:?}");
    assert_eq!(put.tags["Name"], "aside");
    assert_eq!(put.tags["etcdbackup/orig/k8s.io/etcd/main"], "a/a,b");
    assert_eq!(put.tags["etcdbackup/orig/Name"], "a.etcd-main.k");
    assert_eq!(put.tags["Team"], "x");
    assert_eq!(after(put.clone(), &in_use(&put, &volume.tags)), volume);
}

#[test]
fn what_is_done_is_not_done_again() {
    let volume = volume("vol-1", "main", "a");
    let put = after(volume.clone(), &aside(&volume, &marks(), "aside"));
    let mut later = marks();
    later.insert(PUT_ASIDE.to_owned(), "2027-01-01T00:00:00Z".to_owned());
    assert_eq!(aside(&put, &later, "aside"), Retag::default());
    assert_eq!(in_use(&volume, &volume.tags), Retag::default());
}

#[test]
fn a_change_that_broke_off_between_its_two_calls_is_ended() {
    let volume = volume("vol-1", "main", "a");
    let change = aside(&volume, &marks(), "aside");
    let half = after(volume.clone(), &Retag { remove: vec![], ..change.clone() });
    let rest = aside(&half, &marks(), "aside");
    assert_eq!(rest, Retag { set: Tags::new(), remove: change.remove });
    let put = after(half, &rest);
    let change = in_use(&put, &volume.tags);
    let half = after(put, &Retag { remove: vec![], ..change.clone() });
    assert_eq!(in_use(&half, &volume.tags), Retag { set: Tags::new(), remove: change.remove });
}

#[test]
fn originals_are_kept_as_far_as_there_is_room() {
    let mut volume = volume("vol-1", "main", "a");
    for number in 0..MOST - volume.tags.len() {
        volume.tags.insert(format!("t{number}"), String::new());
    }
    let full = aside(&volume, &marks(), "aside");
    assert!(volume.tags.len() + new_keys(&volume, &full) <= tags::MOST_TAGS);
    assert!(full.set.contains_key(RESTORE));
    assert_eq!(full.set.keys().filter(|key| key.starts_with(tags::ORIGINAL)).count(), 3);
}

/// Leaves room for the two marks and three originals.
const MOST: usize = 45;

fn new_keys(volume: &Volume, change: &Retag) -> usize {
    change.set.keys().filter(|key| !volume.tags.contains_key(*key)).count()
}

#[test]
fn a_volume_that_had_no_name_has_none_again() {
    let mut volume = volume("vol-1", "main", "a");
    volume.tags.remove("Name");
    let put = after(volume.clone(), &aside(&volume, &marks(), "aside"));
    assert_eq!(put.tags["Name"], "aside");
    assert_eq!(after(put.clone(), &in_use(&put, &volume.tags)), volume);
}

#[test]
fn a_tag_that_somebody_changed_meanwhile_stays() {
    let mut volume = volume("vol-1", "main", "a");
    let planned = volume.tags.clone();
    volume.tags.insert("Team".to_owned(), "y".to_owned());
    let put = after(volume.clone(), &aside(&volume, &marks(), "aside"));
    assert_eq!(after(put.clone(), &in_use(&put, &planned)).tags["Team"], "y");
}
