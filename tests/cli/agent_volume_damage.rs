//! `agent backup` on a volume where a killed run left something, or where the disk has rotted.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::agent_backup::{etcd_version, failed, stored};
use crate::etcd::Etcd;
use crate::sandbox::Sandbox;

const FLAGS: &str = "--volume-dir volume";

fn volume() -> (Etcd, Sandbox) {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path().join("volume")).unwrap();
    (Etcd::start(), sandbox)
}

fn name(revision: u64) -> String {
    format!("{}_{revision:016x}_etcd.backup", etcd_version())
}

fn cluster(sandbox: &Sandbox) -> PathBuf {
    sandbox.path().join("volume/v1/etcd-a")
}

fn names(directory: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_rotted_on_the_volume_fails_the_next_run() {
    let (etcd, sandbox) = volume();
    etcd.put("key", "value");
    stored(&sandbox, &etcd, FLAGS);
    assert_eq!(stored(&sandbox, &etcd, FLAGS)["alreadyStored"], true);
    let file = cluster(&sandbox).join(name(2));
    let mut bytes = fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let reason = failed(&sandbox, &etcd, FLAGS, 4);
    assert!(reason.starts_with("Damaged: ") && reason.contains(&name(2)), "{reason}");
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn what_a_killed_run_left_does_not_take_the_room_for_a_day() {
    let (etcd, sandbox) = volume();
    stored(&sandbox, &etcd, FLAGS);
    let tmp = cluster(&sandbox).join("tmp");
    let left = |id: u32, seconds| {
        let file = File::create(tmp.join(format!("{}.{id:016x}", name(1)))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        file
    };
    let (_killed, alive, _young) = (left(1, 600), left(2, 600), left(3, 0));
    alive.lock().unwrap();
    etcd.put("key", "value");
    stored(&sandbox, &etcd, FLAGS);
    assert_eq!(names(tmp), [2, 3].map(|id| format!("{}.{id:016x}", name(1))));
}
