//! The plan of a restore: every volume, snapshot and group by name before anything changes. It is written once and
//! never changed; how far a restore is, the tags of the volumes say.

pub mod choose;
pub mod file;
mod found;
mod make;
pub mod obstacles;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use found::{Found, find, volumes};
pub use make::{Wish, make};

use super::scaling::{Group, Size};
use super::tags::{self, Disk, Tags};

/// The version of the file's format.
pub const VERSION: u32 = 1;

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    pub version: u32,
    /// The name of this restore, on all that it makes.
    pub run: String,
    pub made: Timestamp,
    pub account: String,
    pub region: String,
    pub cluster: String,
    /// The set of snapshots that comes back.
    pub set: String,
    pub disks: Vec<DiskPlan>,
    /// The sizes that the groups have again in the end.
    pub groups: BTreeMap<String, Size>,
    pub warnings: Vec<String>,
}

/// What becomes of the disk of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskPlan {
    pub etcd: String,
    pub member: String,
    pub snapshot: String,
    pub started: Option<Timestamp>,
    /// The volume in use; none when it is gone.
    pub old: Option<OldVolume>,
    pub new: NewVolume,
    /// The tags by which etcd's manager and kops know the volume.
    pub tags: Tags,
}

/// The volume that goes out of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OldVolume {
    pub id: String,
    pub zone: String,
}

/// How the new volume is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewVolume {
    pub zone: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// GiB.
    pub size: i32,
    pub iops: Option<i32>,
    /// MiB per second.
    pub throughput: Option<i32>,
    pub encrypted: bool,
    pub kms_key: Option<String>,
}

impl Plan {
    /// The disk of which `disk` is the plan.
    pub fn disk(&self, disk: &DiskPlan) -> Disk {
        Disk { cluster: self.cluster.clone(), etcd: disk.etcd.clone(), member: disk.member.clone() }
    }

    /// The names of all groups.
    pub fn group_names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }

    /// The groups that have instances by the plan and are not among `groups`: somebody has deleted them.
    pub fn groups_gone(&self, groups: &[Group]) -> Vec<&str> {
        let is_there = |name: &str| groups.iter().any(|group| group.name == name);
        let gone = self.groups.iter().filter(|(name, size)| !size.is_stopped() && !is_there(name));
        gone.map(|(name, _)| name.as_str()).collect()
    }

    /// The set of the snapshots that this run takes of the volumes that go out of use, for one of the reasons in
    /// [`tags::SAFETY`].
    pub fn safety_set(&self, reason: &str) -> String {
        format!("{reason}-{}", self.run)
    }

    /// What is said of this run on each volume that it makes or puts aside.
    pub fn marks(&self, disk: &Disk) -> Tags {
        let mark = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Tags::from([
            mark(tags::CLUSTER, &disk.cluster),
            mark(tags::ETCD, &disk.etcd),
            mark(tags::MEMBER, &disk.member),
            mark(tags::RESTORE, &self.run),
            mark(tags::RESTORED_SET, &self.set),
        ])
    }
}

/// A name for a restore that begins now: its time, and letters against two in one second.
pub fn new_run(now: Timestamp) -> String {
    let letters: String = std::iter::repeat_with(fastrand::lowercase).take(4).collect();
    format!("{}-{letters}", now.strftime("%Y%m%d-%H%M%S"))
}

#[cfg(test)]
pub(super) mod tests;
