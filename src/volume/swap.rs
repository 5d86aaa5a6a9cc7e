//! The exchange of volumes while the control plane is down. At no moment do two volumes pass for one disk: all that go
//! out of use lose their tags before one that comes into use gets them.

use super::inventory::Volume;
use super::retag;
use super::run::{Run, Seen};
use super::state::{DiskNow, is_live};
use super::tags::Tags;
use crate::error::{Error, Result};

/// What is exchanged of one disk.
pub struct Exchange<'a> {
    pub disk: &'a DiskNow,
    pub out: Option<&'a Volume>,
    /// What is written on `out`, and its name from now on.
    pub marks: Tags,
    pub name: String,
    pub into: Option<&'a Volume>,
}

/// Exchanges the volumes, and proves by another look that each disk has the one volume that it should have.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when one that goes out of use is attached again;
/// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) when EC2 does not show it in time;
/// as [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn volumes(run: &Run<'_>, exchanges: &[Exchange<'_>]) -> Result<()> {
    for exchange in exchanges {
        if let Some(out) = exchange.out {
            retag::apply(run.compute, &out.id, &retag::aside(out, &exchange.marks, &exchange.name)).await?;
            run.talk.say(&format!("{} is put aside, {}", out.id, exchange.disk.disk));
        }
    }
    run.until(|| none_in_use(run, exchanges)).await?;
    for exchange in exchanges {
        if let Some(into) = exchange.into {
            retag::apply(run.compute, &into.id, &retag::in_use(into, &exchange.disk.plan.tags)).await?;
            run.talk.say(&format!("{} is {}", into.id, exchange.disk.disk));
        }
    }
    run.until(|| only_the_right(run, exchanges)).await
}

/// All that pass for the volume of the disk.
fn live(disk: &DiskNow) -> Vec<String> {
    let ours = disk.old.iter().chain(&disk.new).filter(|volume| is_live(volume, &disk.disk));
    ours.map(|volume| volume.id.clone()).chain(disk.strangers.iter().cloned()).collect()
}

/// None but those that an earlier run has brought into use already.
async fn none_in_use(run: &Run<'_>, exchanges: &[Exchange<'_>]) -> Result<Seen<()>> {
    let disks = run.look().await?;
    refuse_attached(&disks, exchanges)?;
    let mut wrong = Vec::new();
    for (disk, exchange) in disks.iter().zip(exchanges) {
        let already = exchange.into.map(|into| into.id.clone());
        let others = live(disk).into_iter().filter(|id| Some(id) != already.as_ref());
        wrong.extend(others.map(|id| format!("{id} still passes for the volume of {}", disk.disk)));
    }
    Ok(if wrong.is_empty() { Seen::Done(()) } else { Seen::Waiting(wrong.join(", ")) })
}

/// A master that started meanwhile has mounted what goes out of use, and would go on with it. Without its tags nobody
/// can find it any more, so this is the last moment at which it can happen.
fn refuse_attached(disks: &[DiskNow], exchanges: &[Exchange<'_>]) -> Result<()> {
    let out = |id: &str| exchanges.iter().filter_map(|exchange| exchange.out).any(|out| out.id == id);
    let mut volumes = disks.iter().flat_map(|disk| disk.old.iter().chain(&disk.new)).filter(|volume| out(&volume.id));
    match volumes.find_map(|volume| Some((&volume.id, volume.attachments.first()?))) {
        Some((id, at)) => Err(Error::general(format!("{id} was attached to {} during the exchange", at.instance))
            .hint("somebody starts the control plane, as kops update cluster does: stop that first")),
        None => Ok(()),
    }
}

/// Exactly one a disk, or none where there is none to come into use.
async fn only_the_right(run: &Run<'_>, exchanges: &[Exchange<'_>]) -> Result<Seen<()>> {
    let disks = run.look().await?;
    let mut wrong = Vec::new();
    for (disk, exchange) in disks.iter().zip(exchanges) {
        let wanted: Vec<String> = exchange.into.iter().map(|into| into.id.clone()).collect();
        let found = live(disk);
        if found != wanted {
            let shown = |ids: &[String]| if ids.is_empty() { "none".to_owned() } else { ids.join(" ") };
            wrong.push(format!("the volume of {} is {} and should be {}", disk.disk, shown(&found), shown(&wanted)));
        }
    }
    Ok(if wrong.is_empty() { Seen::Done(()) } else { Seen::Waiting(wrong.join(", ")) })
}
