//! Snapshots of the volumes that go out of use, taken first: the state that somebody wanted to leave, and may want back.

use std::collections::BTreeSet;

use super::inventory::Volume;
use super::plan::Plan;
use super::run::{Run, Stage};
use super::selection::Wanted;
use super::state::DiskNow;
use super::take::{self, Made};
use super::{completion, marks};
use crate::error::Result;

/// A disk whose volume is to be kept as a snapshot.
pub struct Kept<'a> {
    pub disk: &'a DiskNow,
    pub volume: &'a Volume,
}

/// Takes a snapshot of each of `kept` that the set of `reason` lacks, or has only from long ago of a volume in use;
/// those of all. It is enough that they have begun: a snapshot is of the moment at which it begins.
///
/// # Errors
/// As [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn snapshots(run: &Run<'_>, kept: &[Kept<'_>], reason: &str) -> Result<Vec<Made>> {
    run.reached(Stage::Staging);
    let (plan, set) = (run.plan, run.plan.safety_set(reason));
    let etcds: BTreeSet<&str> = plan.disks.iter().map(|disk| disk.etcd.as_str()).collect();
    let wanted: Vec<Wanted> = kept.iter().map(|one| wanted(plan, one)).collect();
    let marks = marks::Run { set: &set, etcds: &etcds, reason: Some(reason) };
    let made = take::take(run.compute, &wanted, marks, true, &|what| run.talk.warn(&what)).await?;
    for made in made.iter().filter(|made| !made.before) {
        run.talk.say(&format!("{} is taken of {}, {}", made.id, made.volume, made.disk));
    }
    Ok(made)
}

/// The same, and waits until they are completed, so that what they are of may be deleted.
///
/// # Errors
/// As [`snapshots`] and [`completion::wait`].
pub async fn completed(run: &Run<'_>, kept: &[Kept<'_>], reason: &str) -> Result<()> {
    let made = snapshots(run, kept, reason).await?;
    let set = run.plan.safety_set(reason);
    let done = completion::wait(run.compute, &set, &made, run.timeout, &|how| run.talk.say(&how)).await;
    let later = "the old volumes stay; kubectl etcdbackup volume cleanup deletes them later";
    done.map(drop).map_err(|error| error.hint(later))
}

/// The volume with the tags of one in use, which one that is put aside has no more.
fn wanted(plan: &Plan, one: &Kept<'_>) -> Wanted {
    let disk = one.disk.disk.clone();
    let of_etcd = plan.disks.iter().filter(|other| other.etcd == disk.etcd);
    let members: BTreeSet<String> = of_etcd.map(|other| other.member.clone()).collect();
    // as if at no instance: a call for each volume is what was proved to be allowed
    let volume = Volume { tags: one.disk.plan.tags.clone(), attachments: Vec::new(), ..one.volume.clone() };
    Wanted { disk, members: members.into_iter().collect(), volume }
}
