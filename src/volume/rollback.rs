//! Back to the volumes before a restore, as long as they are there. What was written since the restore stays on the
//! volumes that go out of use, and in snapshots of them.

use std::time::Instant;

use jiff::Timestamp;

use super::inventory::Volume;
use super::permissions::{self, Wanted};
use super::run::Run;
use super::safety::{self, Kept};
use super::state::{self, DiskNow, is_live};
use super::swap::{self, Exchange};
use super::{changed, control_plane, tags};
use crate::error::{Error, Result};

/// Rolls the restore of the plan of `run` back, or what is left of that; the disks as they are then. One without a new
/// volume was not restored.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when a volume to go back to is gone, or others changed what
/// the plan is of; [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut); as
/// [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn run(run: &Run<'_>) -> Result<Vec<DiskNow>> {
    let down = control_plane::note_if_down(run).await?;
    let disks = run.look().await?;
    state::may_roll_back(run.plan, &disks)?;
    let mut since = None;
    if !disks.iter().all(|disk| disk.is_rolled_back(&run.plan.run)) {
        if !disks.iter().all(DiskNow::is_untouched) {
            changed::refuse(run, true).await?;
        }
        prepare(run, &disks).await?;
        // staged volumes are nobody's: to mark them needs no stop
        if !disks.iter().all(DiskNow::is_untouched) {
            since = (!down).then(Instant::now);
            control_plane::stop(run).await?;
        }
        exchange(run).await?;
    }
    control_plane::start(run, since).await?;
    run.look().await
}

async fn prepare(run: &Run<'_>, disks: &[DiskNow]) -> Result<()> {
    let volumes: Vec<&Volume> = disks.iter().flat_map(|disk| disk.old.iter().chain(&disk.new)).collect();
    let written = |disk: &DiskNow| disk.new.as_ref().is_some_and(|new| is_live(new, &disk.disk));
    let kept: Vec<Kept<'_>> = disks
        .iter()
        .filter(|disk| written(disk))
        .filter_map(|disk| Some(Kept { disk, volume: disk.new.as_ref()? }))
        .collect();
    let wanted = Wanted {
        make: Vec::new(),
        snapshots_of: kept.iter().map(|kept| kept.volume).collect(),
        retag: volumes,
        mark: Vec::new(),
        initialization_rate: None,
    };
    permissions::prove(run, &wanted).await?;
    run.talk.say("EC2 allows every step");
    safety::snapshots(run, &kept, tags::PRE_ROLLBACK).await.map(drop)
}

async fn exchange(run: &Run<'_>) -> Result<()> {
    let disks = run.look().await?;
    state::may_roll_back(run.plan, &disks)?;
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let of = |disk| of_rollback(run, disk, &now);
    let exchanges: Vec<Exchange<'_>> = disks.iter().map(of).collect();
    swap::volumes(run, &exchanges).await?;
    let disks = run.look().await?;
    match disks.iter().find(|disk| !disk.is_rolled_back(&run.plan.run)) {
        None => Ok(()),
        Some(disk) => Err(Error::general(format!("the volume of {} is not yet as it was", disk.disk))
            .hint("run the same command again")),
    }
}

fn of_rollback<'a>(run: &Run<'_>, disk: &'a DiskNow, now: &str) -> Exchange<'a> {
    let mut marks = run.plan.marks(&disk.disk);
    marks.insert(tags::PUT_ASIDE.to_owned(), now.to_owned());
    marks.insert(tags::ROLLED_BACK.to_owned(), run.plan.run.clone());
    let name = format!("{} rolled back, restore {}", disk.disk, run.plan.run);
    Exchange { disk, out: disk.new.as_ref(), marks, name, into: disk.old.as_ref() }
}
