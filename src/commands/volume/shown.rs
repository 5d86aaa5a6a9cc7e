//! A set as the `volume` commands show it: one shape for tables, JSON and YAML.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::volume::inventory::{Snapshot, State};
use crate::volume::set::Set;
use crate::volume::tags::{self, Disk};

/// A set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetShown {
    pub set: String,
    pub cluster: String,
    pub status: &'static str,
    pub etcds: Vec<String>,
    pub members: Vec<String>,
    /// Of the volumes.
    pub availability_zones: Vec<String>,
    /// GiB of all volumes; what is stored of them is less.
    #[serde(rename = "sizeGiB")]
    pub size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Seconds between the first and the last snapshot.
    pub spread_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Disks without a snapshot.
    pub missing: Vec<String>,
    pub snapshots: Vec<SnapshotShown>,
}

/// A snapshot of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotShown {
    pub id: String,
    pub etcd: String,
    pub member: String,
    pub state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    pub volume: String,
    #[serde(rename = "sizeGiB")]
    pub size: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<String>,
    pub encrypted: bool,
    #[serde(rename = "kmsKeyID", skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    pub tier: String,
    /// Whether another snapshot of the same disk in the set counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub double: bool,
}

impl SetShown {
    pub fn of(set: &Set) -> Self {
        let names = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
        let zones: BTreeSet<&str> =
            set.snapshots.values().filter_map(|it| it.tags.get(tags::ZONE)).map(String::as_str).collect();
        let one = |(disk, snapshot)| SnapshotShown::of(Some(disk), snapshot, false);
        let doubles = set.doubles.iter().map(|snapshot| SnapshotShown::of(snapshot.disk().as_ref(), snapshot, true));
        Self {
            set: set.id.clone(),
            cluster: set.cluster.clone(),
            status: status(set),
            etcds: names(set.etcds()),
            members: names(set.members()),
            availability_zones: names(zones),
            size: set.snapshots.values().map(|snapshot| i64::from(snapshot.size)).sum(),
            started: set.started(),
            spread_seconds: set.spread().as_secs(),
            reason: set.snapshots.values().find_map(|snapshot| snapshot.tags.get(tags::REASON).cloned()),
            missing: set.missing.iter().map(ToString::to_string).collect(),
            snapshots: set.snapshots.iter().map(one).chain(doubles).collect(),
        }
    }

    /// Completed snapshots of all that the set should have.
    pub fn count(&self) -> String {
        let counted = self.snapshots.iter().filter(|snapshot| !snapshot.double);
        let completed = counted.clone().filter(|snapshot| snapshot.state == "completed").count();
        format!("{completed}/{}", counted.count() + self.missing.len())
    }

    /// The zones of one region in short: `eu-west-1a,b,c`.
    pub fn zones(&self) -> String {
        let Some(first) = self.availability_zones.first() else { return String::new() };
        let region = first.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
        match self.availability_zones.iter().map(|zone| zone.strip_prefix(region)).collect::<Option<Vec<&str>>>() {
            Some(letters) => format!("{region}{}", letters.join(",")),
            None => self.availability_zones.join(","),
        }
    }
}

impl SnapshotShown {
    fn of(disk: Option<&Disk>, snapshot: &Snapshot, double: bool) -> Self {
        let tag = |key: &str| snapshot.tags.get(key).cloned();
        let name = |name: fn(&Disk) -> &String| disk.map(name).cloned().unwrap_or_default();
        Self {
            id: snapshot.id.clone(),
            etcd: name(|disk| &disk.etcd),
            member: name(|disk| &disk.member),
            state: match &snapshot.state {
                State::Pending => "pending".to_owned(),
                State::Completed => "completed".to_owned(),
                State::Failed(why) if why.is_empty() => "error".to_owned(),
                State::Failed(why) => format!("error: {why}"),
                State::Other(state) => state.clone(),
            },
            progress: snapshot.progress.clone(),
            started: snapshot.started,
            volume: snapshot.volume.clone(),
            size: snapshot.size,
            availability_zone: tag(tags::ZONE),
            volume_type: tag(tags::VOLUME_TYPE),
            iops: tag(tags::IOPS),
            throughput: tag(tags::THROUGHPUT),
            encrypted: snapshot.encrypted,
            kms_key: snapshot.kms_key.clone().or_else(|| tag(tags::KMS_KEY)),
            tier: snapshot.tier.clone(),
            double,
        }
    }
}

/// `1 snapshot`, `2 snapshots`.
pub(super) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// One word for the whole set, the worst that is true of it.
fn status(set: &Set) -> &'static str {
    let any = |test: fn(&State) -> bool| set.snapshots.values().any(|snapshot| test(&snapshot.state));
    if any(|state| matches!(state, State::Failed(_))) {
        "Failed"
    } else if !set.missing.is_empty() || any(|state| matches!(state, State::Other(_))) {
        "Incomplete"
    } else if any(|state| *state == State::Pending) {
        "Pending"
    } else {
        "Complete"
    }
}
