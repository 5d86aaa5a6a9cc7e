//! Which sets of snapshots stay, and why: pure.
//!
//! The rules count for each disk (cluster, etcd, member), and only its completed snapshots. A set goes as a whole, once
//! no disk of it has a reason to keep it. Whatever the rules are, the newest completed snapshot of each disk and the
//! newest complete set of each etcd stay. The sets that a restore takes first are the state that somebody wanted to
//! leave: they count for themselves, so that they push no backup out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Snapshot, State};
use super::set::Set;
use super::tags::{self, Disk};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// 1970-01-01 was a Thursday; weeks begin on Mondays (ISO 8601).
const THURSDAY: i64 = 3 * DAY;

/// What stays. A rule that keeps 0 is no rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The newest.
    pub last: usize,
    /// The newest of each of the latest hours, days and weeks (UTC) that have any.
    pub hourly: usize,
    pub daily: usize,
    pub weekly: usize,
    /// All that are not older.
    pub within: Option<SignedDuration>,
}

/// What becomes of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// With the reason.
    Keep(String),
    /// With the reason.
    Delete(String),
}

/// Judges `sets`, the newest first, each by its place in the list.
pub fn judge(sets: &[Set], rules: &Rules, now: Timestamp) -> Vec<Verdict> {
    let mut reasons = Reasons { of: vec![None; sets.len()] };
    for (index, set) in sets.iter().enumerate() {
        if let Some(reason) = unsettled(set) {
            reasons.keep(index, reason);
        }
    }
    let completed = by_disk(sets);
    for ((disk, _), of_disk) in &completed {
        if let Some((index, _)) = of_disk.first() {
            reasons.keep(*index, format!("the newest of {disk}"));
        }
    }
    for (index, etcd) in newest_complete(sets) {
        reasons.keep(index, format!("the newest complete set of etcd {etcd}"));
    }
    for of_disk in completed.values() {
        reasons.of_rules(of_disk, rules, now);
    }
    let outlived = |index: usize, disk: &Disk| {
        let newest = completed.get(&(disk, false)).and_then(|of_disk| of_disk.first());
        newest.is_some_and(|(newest, _)| *newest < index)
    };
    let verdict = |(index, (set, reason)): (usize, (&Set, Option<String>))| match reason {
        Some(reason) => Verdict::Keep(reason),
        None if set.all().any(is_completed) => Verdict::Delete("no rule keeps it".to_owned()),
        None if set.snapshots.keys().all(|disk| outlived(index, disk)) => {
            Verdict::Delete("it failed, and a later one did not".to_owned())
        }
        None => Verdict::Keep("it failed, and no later one is there".to_owned()),
    };
    sets.iter().zip(reasons.of).enumerate().map(verdict).collect()
}

/// The first reason for each set.
struct Reasons {
    of: Vec<Option<String>>,
}

impl Reasons {
    fn keep(&mut self, index: usize, reason: String) {
        if let Some(place) = self.of.get_mut(index) {
            place.get_or_insert(reason);
        }
    }

    /// `completed`: sets and times of one disk, the newest first.
    fn of_rules(&mut self, completed: &[(usize, Timestamp)], rules: &Rules, now: Timestamp) {
        for (rank, (index, _)) in completed.iter().enumerate().take(rules.last) {
            self.keep(*index, format!("number {} of the last {}", rank + 1, rules.last));
        }
        let buckets = [
            ("hourly", rules.hourly, HOUR, 0),
            ("daily", rules.daily, DAY, 0),
            ("weekly", rules.weekly, WEEK, THURSDAY),
        ];
        for (name, most, length, offset) in buckets {
            let mut seen = BTreeSet::new();
            for (index, started) in completed {
                let bucket = (started.as_second() + offset).div_euclid(length);
                if seen.len() < most && seen.insert(bucket) {
                    self.keep(*index, format!("{name}, number {} of {most}", seen.len()));
                }
            }
        }
        let within = |started: &Timestamp| rules.within.is_some_and(|most| now.duration_since(*started) <= most);
        for (index, _) in completed.iter().filter(|(_, started)| within(started)) {
            self.keep(*index, "young enough".to_owned());
        }
    }
}

/// Why a set cannot be judged yet: it may still become a backup, or nobody knows how old it is.
fn unsettled(set: &Set) -> Option<String> {
    set.all().find_map(|snapshot| match &snapshot.state {
        State::Pending => Some(format!("{} is not completed yet", snapshot.id)),
        State::Other(state) => Some(format!("{} is {state}", snapshot.id)),
        State::Completed if snapshot.started.is_none() => Some(format!("nobody knows how old {} is", snapshot.id)),
        State::Completed | State::Failed(_) => None,
    })
}

/// Whether a restore took it first.
fn is_safety(set: &Set) -> bool {
    let reason = |snapshot: &Snapshot| snapshot.tags.get(tags::REASON).cloned().unwrap_or_default();
    set.snapshots.values().any(|snapshot| tags::SAFETY.contains(&reason(snapshot).as_str()))
}

/// The completed snapshots of each disk, those that a restore took first apart: set and time, the newest first.
fn by_disk(sets: &[Set]) -> BTreeMap<(&Disk, bool), Vec<(usize, Timestamp)>> {
    let mut of: BTreeMap<(&Disk, bool), Vec<(usize, Timestamp)>> = BTreeMap::new();
    for (index, set) in sets.iter().enumerate() {
        for (disk, snapshot) in set.snapshots.iter().filter(|(_, snapshot)| is_completed(snapshot)) {
            of.entry((disk, is_safety(set))).or_default().extend(snapshot.started.map(|started| (index, started)));
        }
    }
    // stable: of two of one moment the one whose set came first is the newer
    of.values_mut().for_each(|completed| completed.sort_by_key(|(_, started)| std::cmp::Reverse(*started)));
    of
}

/// For each etcd of each cluster the newest set with all its members, completed, and the newest of which all other
/// etcds are too: only that one can be restored by its name.
fn newest_complete(sets: &[Set]) -> Vec<(usize, String)> {
    let (mut seen, mut newest) = (BTreeSet::new(), Vec::new());
    for (index, set) in sets.iter().enumerate() {
        let is_whole = |of: &dyn Fn(&Disk) -> bool| {
            !set.missing.iter().any(of)
                && set.snapshots.iter().filter(|(disk, _)| of(disk)).all(|(_, snapshot)| is_completed(snapshot))
        };
        for etcd in set.etcds() {
            let of_etcd = |disk: &Disk| disk.etcd == etcd;
            for (all, whole) in [(false, is_whole(&of_etcd)), (true, is_whole(&|_| true))] {
                if whole && seen.insert((set.cluster.clone(), etcd.to_owned(), is_safety(set), all)) {
                    newest.push((index, etcd.to_owned()));
                }
            }
        }
    }
    newest
}

fn is_completed(snapshot: &Snapshot) -> bool {
    snapshot.state == State::Completed && snapshot.started.is_some()
}
