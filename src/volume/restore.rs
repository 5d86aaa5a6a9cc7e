//! A restore: each step looks at what is there and does what is left, so that the same plan run again goes on where a
//! crash left it. New volumes are made and ready before the control plane stops; the old ones stay, out of use.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;

use super::inventory::{self, State, Volume, filter};
use super::permissions::{self, Wanted};
use super::run::{Run, Stage};
use super::safety::{self, Kept};
use super::state::{self, DiskNow, is_live};
use super::swap::{self, Exchange};
use super::tags::{self, Tags};
use super::{changed, cleanup, control_plane, retag, stage};
use crate::error::{Error, Result};

/// How a restore is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// MiB per second at which a new volume is filled; without it a block comes when it is first read.
    pub initialization_rate: Option<i32>,
    /// Take no snapshots of the old volumes first.
    pub skip_safety: bool,
    /// Delete the old volumes in the end.
    pub delete_old: bool,
}

/// Restores the plan of `run`, or what is left of it; the disks as they are then.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when the plan is used up or others changed what it is of;
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when a snapshot is gone;
/// [`ErrorKind::BackupFailed`](crate::error::ErrorKind::BackupFailed) when the last snapshot of a volume that is to be
/// deleted fails; [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut); as
/// [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn run(run: &Run<'_>, options: &Options) -> Result<Vec<DiskNow>> {
    let down = control_plane::note_if_down(run).await?;
    let disks = run.look().await?;
    state::may_restore(run.plan, &disks)?;
    let mut since = None;
    if !disks.iter().all(DiskNow::is_restored) {
        changed::refuse(run, down || !disks.iter().all(DiskNow::is_untouched)).await?;
        prepare(run, &disks, options).await?;
        since = (!down).then(Instant::now);
        control_plane::stop(run).await?;
        exchange(run).await?;
    }
    control_plane::start(run, since).await?;
    if options.delete_old {
        delete_old(run, options).await?;
    }
    run.look().await
}

/// Everything that can be done while the control plane runs.
async fn prepare(run: &Run<'_>, disks: &[DiskNow], options: &Options) -> Result<()> {
    let gone = disks.iter().filter_map(|disk| disk.plan.old.as_ref().filter(|_| disk.old.is_none()));
    gone.for_each(|old| run.talk.warn(&format!("{} is gone: there is no going back to it", old.id)));
    let unmarked = check_snapshots(run).await?;
    let kept: Vec<Kept<'_>> = disks.iter().filter_map(|disk| Some(Kept { disk, volume: disk.old.as_ref()? })).collect();
    let old: Vec<&Volume> = kept.iter().map(|kept| kept.volume).collect();
    let wanted = Wanted {
        make: disks.iter().filter(|disk| disk.new.is_none()).collect(),
        snapshots_of: if options.skip_safety { Vec::new() } else { old.clone() },
        retag: old,
        mark: unmarked.clone(),
        initialization_rate: options.initialization_rate,
    };
    permissions::prove(run, &wanted).await?;
    run.talk.say("EC2 allows every step");
    run.reached(Stage::Staging);
    if !unmarked.is_empty() {
        // before anything is made of them: retention deletes no set that is marked
        let mark = Tags::from([(tags::RESTORED_BY.to_owned(), run.plan.run.clone())]);
        retag::create(run.compute, &unmarked, &mark).await?;
    }
    if !options.skip_safety {
        safety::snapshots(run, &kept, tags::PRE_RESTORE).await?;
    }
    stage::volumes(run, disks, options.initialization_rate).await?;
    match options.delete_old {
        true => permissions::prove_delete(run).await,
        false => Ok(()),
    }
}

/// The snapshots of the plan that this run has not marked yet; all must be there.
async fn check_snapshots(run: &Run<'_>) -> Result<Vec<String>> {
    let ids: Vec<String> = run.plan.disks.iter().map(|disk| disk.snapshot.clone()).collect();
    let found = inventory::snapshots(run.compute, vec![filter("snapshot-id", ids.iter().cloned())]).await?;
    for (id, disk) in ids.iter().zip(&run.plan.disks) {
        match found.iter().find(|snapshot| snapshot.id == *id) {
            Some(snapshot) if snapshot.disk().as_ref() != Some(&run.plan.disk(disk)) => {
                let of = snapshot.disk().map_or("no disk that is known".to_owned(), |of| of.to_string());
                return Err(Error::general(format!("{id} is a snapshot of {of}, not of {}", run.plan.disk(disk)))
                    .hint("somebody changed the plan or the tags of the snapshot: make another plan"));
            }
            Some(snapshot) if snapshot.state == State::Completed => {}
            Some(_) => return Err(Error::general(format!("the snapshot {id} of the plan is not complete any more"))),
            None => {
                return Err(Error::not_found(format!("the snapshot {id} of the plan is gone"))
                    .hint("make another plan; kubectl etcdbackup volume list shows what there is"));
            }
        }
    }
    let marked = |id: &String| {
        let snapshot = found.iter().find(|snapshot| snapshot.id == *id);
        snapshot.and_then(|found| found.tags.get(tags::RESTORED_BY)) == Some(&run.plan.run)
    };
    Ok(ids.into_iter().filter(|id| !marked(id)).collect())
}

async fn exchange(run: &Run<'_>) -> Result<()> {
    let disks = run.look().await?;
    state::may_restore(run.plan, &disks)?;
    if let Some(lost) = disks.iter().find(|disk| disk.new.is_none()) {
        return Err(
            Error::general(format!("the new volume of {} is gone", lost.disk)).hint("run the same command again")
        );
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let exchanges: Vec<Exchange<'_>> = disks.iter().map(|disk| of_restore(run, disk, &now)).collect();
    swap::volumes(run, &exchanges).await
}

fn of_restore<'a>(run: &Run<'_>, disk: &'a DiskNow, now: &str) -> Exchange<'a> {
    let mut marks = run.plan.marks(&disk.disk);
    marks.insert(tags::PUT_ASIDE.to_owned(), now.to_owned());
    marks.extend(disk.new.as_ref().map(|new| (tags::REPLACED_BY.to_owned(), new.id.clone())));
    let name = format!("{} before restore {}", disk.disk, run.plan.run);
    Exchange { disk, out: disk.old.as_ref(), marks, name, into: disk.new.as_ref() }
}

/// What seed 004 does first: here it is the last step, with the control plane up.
async fn delete_old(run: &Run<'_>, options: &Options) -> Result<()> {
    let mut volumes = run.volumes().await?;
    let disks = state::of(run.plan, &volumes);
    let restored = disks.iter().filter(|disk| disk.is_restored());
    let old = restored
        .filter_map(|disk| Some(Kept { disk, volume: disk.old.as_ref().filter(|old| !is_live(old, &disk.disk))? }));
    let old: Vec<Kept<'_>> = old.collect();
    if !options.skip_safety && !old.is_empty() {
        // those of before are of a control plane that ran on, perhaps for days when an earlier run broke off
        safety::completed(run, &old, tags::PRE_DELETE).await?;
    }
    for Kept { volume, .. } in old {
        cleanup::delete(run.compute, &volume.id).await?;
        run.talk.say(&format!("{} is deleted", volume.id));
        volumes.retain(|other| other.id != volume.id);
    }
    cleanup::release(run.compute, &BTreeSet::from([run.plan.run.clone()]), &volumes).await
}
