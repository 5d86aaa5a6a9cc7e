//! Takes the snapshots of one set, all at once so that the members are as much of one moment as they can be.
//!
//! EC2's calls have no token that makes them safe to repeat (aws-sdk-net#1355). So each is sent once, and where its
//! reply was lost the set's tag, which is written with the snapshot, tells whether it was done.

mod calls;
mod send;

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use self::calls::Call;
use self::send::Sender;
use super::inventory::{self, Snapshot, State, filter};
use super::marks::{self, Run};
use super::selection::Wanted;
use super::tags::{self, Disk};
use super::{machines, retag};
use crate::aws::compute::Compute;
use crate::error::Result;

/// Calls at once.
const AT_ONCE: usize = 8;
/// How long the snapshot that a restore took first stands for a volume in use, which is written on.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

/// How the run tells of what it meets: sentences.
pub type Tell<'a> = &'a (dyn Fn(String) + Sync);

/// A snapshot that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub id: String,
    pub disk: Disk,
    pub volume: String,
    pub zone: String,
    /// Whether an earlier run of the same set had begun it.
    pub before: bool,
}

/// Begins the snapshots of all `volumes`; where the set is `resumed`, of those of which an earlier run has begun none
/// that counts, and the others get the tags that it had no time for.
///
/// # Errors
/// As [`Compute::explain`]; those that had begun then stay and go on.
pub async fn take(
    compute: &Compute,
    volumes: &[Wanted],
    run: Run<'_>,
    resumed: bool,
    tell: Tell<'_>,
) -> Result<Vec<Made>> {
    let before = match resumed {
        true => of_set(compute, run.set).await?,
        false => Vec::new(),
    };
    let mut made = begun(volumes, &before, run, Timestamp::now());
    mark_begun(compute, volumes, &before, &made, run).await?;
    let have: BTreeSet<&Disk> = made.iter().map(|made| &made.disk).collect();
    let wanted: Vec<&Wanted> = volumes.iter().filter(|one| !have.contains(&one.disk)).collect();
    let instances = calls::shared_instances(&wanted);
    let machines = match instances.is_empty() {
        true => Vec::new(),
        false => machines::machines(compute, vec![filter("instance-id", instances)]).await?,
    };
    left_out(&wanted, run, tell);
    let sender = Sender { compute, run, tell, before: &before };
    let calls = calls::plan(&wanted, &machines, run);
    let work = calls.into_iter().map(|call: Call<'_>| sender.send(call));
    let new: Vec<Vec<Made>> = futures::stream::iter(work).buffer_unordered(AT_ONCE).try_collect().await?;
    made.extend(new.into_iter().flatten());
    made.sort_by(|a, b| a.disk.cmp(&b.disk));
    Ok(made)
}

/// All snapshots that carry the set's tag.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn of_set(compute: &Compute, set: &str) -> Result<Vec<Snapshot>> {
    let filters = vec![
        filter(format!("tag:{}", tags::MANAGED), [tags::MANAGED_VALUE]),
        filter(format!("tag:{}", tags::SET), [set]),
    ];
    let mut found = inventory::snapshots(compute, filters).await?;
    found.retain(|snapshot| snapshot.is_ours(&compute.identity.account) && snapshot.set() == Some(set));
    Ok(found)
}

/// What an earlier run of the same set left, as far as it did not fail and still stands for the volume.
fn begun(volumes: &[Wanted], found: &[Snapshot], run: Run<'_>, now: Timestamp) -> Vec<Made> {
    let of = |one: &Wanted| {
        let snapshot = found.iter().find(|snapshot| {
            snapshot.disk().as_ref() == Some(&one.disk)
                && matches!(snapshot.state, State::Pending | State::Completed)
                && !is_outdated(one, snapshot, run, now)
        })?;
        Some(Made { before: true, ..made(one, &snapshot.id) })
    };
    volumes.iter().filter_map(of).collect()
}

/// Whether a restore took it first, and the volume may have been written for long since.
fn is_outdated(one: &Wanted, snapshot: &Snapshot, run: Run<'_>, now: Timestamp) -> bool {
    let is_fresh = snapshot.started.is_some_and(|started| now.duration_since(started) <= FRESH);
    run.reason.is_some() && one.volume.state == "in-use" && !is_fresh
}

/// Writes the tags that follow a call for several volumes, where the earlier run ended between the two.
async fn mark_begun(
    compute: &Compute,
    volumes: &[Wanted],
    found: &[Snapshot],
    begun: &[Made],
    run: Run<'_>,
) -> Result<()> {
    for made in begun {
        let lacks =
            |it: &&Snapshot| it.id == made.id && it.volume == made.volume && !it.tags.contains_key(tags::SOURCE_VOLUME);
        let one = volumes.iter().find(|one| one.disk == made.disk);
        if let (Some(snapshot), Some(one)) = (found.iter().find(lacks), one) {
            let marks = marks::of_snapshot(one, run).tags;
            retag::create(compute, std::slice::from_ref(&snapshot.id), &marks).await?;
        }
    }
    Ok(())
}

fn made(one: &Wanted, id: &str) -> Made {
    let (volume, zone) = (one.volume.id.clone(), one.volume.zone.clone());
    Made { id: id.to_owned(), disk: one.disk.clone(), volume, zone, before: false }
}

fn left_out(wanted: &[&Wanted], run: Run<'_>, tell: Tell<'_>) {
    for one in wanted {
        let left_out = marks::of_snapshot(one, run).left_out;
        if left_out > 0 {
            tell(format!("{left_out} tags of {} are not copied: EC2 allows {} in all", one.volume.id, tags::MOST_TAGS));
        }
    }
}
