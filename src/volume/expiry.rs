//! Expires sets of snapshots: what [`retention`](super::retention) says, less what a restore needs, deleted a set at a
//! time, the oldest first.

use std::collections::BTreeMap;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use jiff::Timestamp;

use super::inventory::{self, filter};
use super::retention::{self, Rules, Verdict};
use super::set::{self, Set};
use super::tags::{self, Disk};
use super::take::Tell;
use crate::aws::compute::Compute;
use crate::error::{Error, ErrorKind, Result};

/// Values of one filter (EC2 API reference, "List and filter using the CLI and API").
const MOST_VALUES: usize = 200;

/// A set and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub set: Set,
    pub verdict: Verdict,
}

/// All sets of this account, of one cluster where one is named, the newest first.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn sets(compute: &Compute, cluster: Option<&str>) -> Result<Vec<Set>> {
    Ok(set::of_all(inventory::ours(compute, cluster).await?))
}

/// Judges the sets with at least one disk in `scope`, the newest first. `current` is the set of this run, which stays.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn judge(
    compute: &Compute,
    cluster: Option<&str>,
    scope: impl Fn(&Disk) -> bool,
    rules: &Rules,
    current: Option<&str>,
) -> Result<Vec<Judged>> {
    let sets = sets(compute, cluster).await?;
    let verdicts = retention::judge(&sets, rules, Timestamp::now());
    let judged = sets.into_iter().zip(verdicts).map(|(set, verdict)| Judged { set, verdict });
    let mut judged: Vec<Judged> = judged.filter(|one| one.set.snapshots.keys().any(&scope)).collect();
    for one in judged.iter_mut().filter(|one| Some(one.set.id.as_str()) == current) {
        one.verdict = Verdict::Keep("taken by this run".to_owned());
    }
    let needed = needed(compute, &judged).await?;
    for one in judged.iter_mut().filter(|one| matches!(one.verdict, Verdict::Delete(_))) {
        if let Some(reason) = needed.get(&one.set.id) {
            one.verdict = Verdict::Keep(reason.clone());
        }
    }
    Ok(judged)
}

/// Sets that would go and that a restore names: by a mark on their snapshots, or by a volume that is not in use.
async fn needed(compute: &Compute, judged: &[Judged]) -> Result<BTreeMap<String, String>> {
    let mut needed = BTreeMap::new();
    let mut set_of: BTreeMap<&str, &str> = BTreeMap::new();
    for Judged { set, .. } in judged.iter().filter(|one| matches!(one.verdict, Verdict::Delete(_))) {
        for snapshot in set.all() {
            set_of.insert(&snapshot.id, &set.id);
            if let Some(run) = snapshot.tags.get(tags::RESTORED_BY) {
                needed.entry(set.id.clone()).or_insert_with(|| format!("restore {run} is not cleaned up"));
            }
        }
    }
    if set_of.is_empty() {
        return Ok(needed);
    }
    for volume in inventory::volumes(compute, vec![filter("tag-key", [tags::RESTORED_SET])]).await? {
        let set = volume.tags.get(tags::RESTORED_SET).cloned().unwrap_or_default();
        needed.entry(set).or_insert_with(|| format!("{} names it as what was restored", volume.id));
    }
    let ids: Vec<&str> = set_of.keys().copied().collect();
    for some in ids.chunks(MOST_VALUES) {
        for volume in inventory::volumes(compute, vec![filter("snapshot-id", some.iter().copied())]).await? {
            // one in use has none of ours: until the restore is cleaned up, the mark on the set keeps that
            if !volume.tags.keys().any(|key| key.starts_with(tags::OURS)) {
                continue;
            }
            let Some(set) = volume.snapshot.as_deref().and_then(|id| set_of.get(id)) else { continue };
            needed.entry((*set).to_owned()).or_insert_with(|| format!("{} was made of it", volume.id));
        }
    }
    Ok(needed)
}

/// What was deleted, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Ids.
    pub gone: Vec<String>,
    /// Ids of snapshots that EC2 would not delete: locked, or in use.
    pub refused: Vec<String>,
    /// Snapshots of sets that had no room in this run.
    pub left: usize,
}

/// Deletes the sets that are to go, the oldest first and only whole ones, at most `most` snapshots. `gone` is told of
/// each deleted one with its disk, `tell` of each that EC2 refuses to delete.
///
/// # Errors
/// [`ErrorKind::Denied`] and where EC2 cannot be reached: then nothing more is tried.
pub async fn delete(
    compute: &Compute,
    judged: &[Judged],
    most: usize,
    gone: impl Fn(&str, &Set) -> Result<()>,
    tell: Tell<'_>,
) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    let (chosen, left) = within(judged, most);
    deleted.left = left;
    for set in chosen {
        for snapshot in set.all() {
            match delete_one(compute, &snapshot.id).await? {
                None => {
                    gone(&snapshot.id, set)?;
                    deleted.gone.push(snapshot.id.clone());
                }
                Some(refusal) => {
                    tell(refusal.message().to_owned());
                    deleted.refused.push(snapshot.id.clone());
                }
            }
        }
    }
    Ok(deleted)
}

/// The sets that `most` snapshots have room for, the oldest first, and the number of snapshots in the others.
fn within(judged: &[Judged], most: usize) -> (Vec<&Set>, usize) {
    let doomed = judged.iter().rev().filter(|one| matches!(one.verdict, Verdict::Delete(_)));
    let (mut chosen, mut count, mut left) = (Vec::new(), 0, 0);
    for Judged { set, .. } in doomed {
        let size = set.all().count();
        match left == 0 && count + size <= most {
            true => {
                count += size;
                chosen.push(set);
            }
            false => left += size,
        }
    }
    (chosen, left)
}

/// `Some` where EC2 refuses this one, and may yet delete others.
async fn delete_one(compute: &Compute, id: &str) -> Result<Option<Error>> {
    let Err(error) = compute.ec2.delete_snapshot().snapshot_id(id).send().await else { return Ok(None) };
    let code = error.code().unwrap_or_default().to_owned();
    if code == "InvalidSnapshot.NotFound" {
        return Ok(None);
    }
    let client_error = error.raw_response().is_some_and(|answer| answer.status().is_client_error());
    let explained = compute.explain(&error, "ec2", &format!("deleting {id}"));
    // a retention lock is no lack of permission
    let locked = code.contains("Locked") || code.contains("InUse");
    match locked || client_error && explained.kind() != ErrorKind::Denied {
        true => Ok(Some(explained)),
        false => Err(explained),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::inventory::{Snapshot, State};

    fn judged(id: &str, size: usize, goes: bool) -> Judged {
        let snapshot = |n: usize| {
            let disk = Disk { cluster: "k".to_owned(), etcd: "main".to_owned(), member: n.to_string() };
            let snapshot = Snapshot {
                id: format!("snap-{id}-{n}"),
                volume: String::new(),
                owner: String::new(),
                state: State::Completed,
                progress: String::new(),
                started: None,
                size: 1,
                encrypted: false,
                kms_key: None,
                tier: String::new(),
                description: String::new(),
                tags: tags::Tags::new(),
            };
            (disk, snapshot)
        };
        let set = Set {
            id: id.to_owned(),
            cluster: "k".to_owned(),
            snapshots: (0..size).map(snapshot).collect(),
            doubles: Vec::new(),
            missing: Vec::new(),
        };
        let verdict = if goes { Verdict::Delete(String::new()) } else { Verdict::Keep(String::new()) };
        Judged { set, verdict }
    }

    #[test]
    fn the_oldest_sets_go_first_and_only_whole_ones() {
        let all = [judged("4", 3, false), judged("3", 1, true), judged("2", 3, true), judged("1", 3, true)];
        let of = |most| {
            let (sets, left) = within(&all, most);
            (sets.iter().map(|set| set.id.as_str()).collect::<Vec<_>>().join(" "), left)
        };
        assert_eq!(of(100), ("1 2 3".to_owned(), 0));
        assert_eq!(of(6), ("1 2".to_owned(), 1));
        // a younger one does not take the place of an older one
        assert_eq!(of(5), ("1".to_owned(), 4));
        assert_eq!(of(2), (String::new(), 7));
    }
}
