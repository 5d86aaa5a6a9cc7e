//! How far a restore is: what the tags of the volumes say. Pure.

use super::inventory::Volume;
use super::plan::{DiskPlan, Plan};
use super::tags::{self, Disk, Tags};
use crate::error::{Error, Result};

/// One disk of a plan, and its volumes as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskNow {
    pub disk: Disk,
    pub plan: DiskPlan,
    /// The volume that the plan takes out of use, if it is still there.
    pub old: Option<Volume>,
    /// The volume that the restore made.
    pub new: Option<Volume>,
    /// Others that pass for the volume of this disk.
    pub strangers: Vec<String>,
}

/// Whether etcd's manager would take `volume` for that of `disk`.
pub fn is_live(volume: &Volume, disk: &Disk) -> bool {
    volume.disk.as_ref() == Some(disk)
}

/// Whether the tag is one by which etcd's manager or kops know a volume.
pub fn is_live_key(key: &str) -> bool {
    key == tags::KOPS_CLUSTER || [tags::KOPS_ETCD, tags::KOPS_ROLE, tags::KOPS_OWNED].iter().any(|p| key.starts_with(p))
}

/// Whether `volume` carries no tag of ours.
fn is_clean(volume: &Volume) -> bool {
    !volume.tags.keys().any(|key| key.starts_with(tags::OURS))
}

/// Whether `volume` is in use as that of `disk` as if nothing had ever happened to it.
pub fn is_settled(volume: &Volume, disk: &Disk) -> bool {
    is_live(volume, disk) && is_clean(volume)
}

fn has(tags: &Tags, key: &str, value: &str) -> bool {
    tags.get(key).is_some_and(|found| found == value)
}

impl DiskNow {
    /// Whether the new volume is in use and the old one is not.
    pub fn is_restored(&self) -> bool {
        let out = self.old.as_ref().is_none_or(|old| !is_live(old, &self.disk));
        out && self.new.as_ref().is_some_and(|new| is_settled(new, &self.disk))
    }

    /// Whether the old volume is in use and the new one, if any, is marked as rolled back.
    pub fn is_rolled_back(&self, run: &str) -> bool {
        let aside = |new: &Volume| !is_live(new, &self.disk) && has(&new.tags, tags::ROLLED_BACK, run);
        self.is_untouched() && self.new.as_ref().is_none_or(aside)
    }

    /// Whether the old volume is in use, and nothing has been done to it.
    pub fn is_untouched(&self) -> bool {
        let back = match &self.old {
            Some(old) => is_settled(old, &self.disk),
            None => self.plan.old.is_none(),
        };
        back && self.new.as_ref().is_none_or(|new| !is_live(new, &self.disk))
    }

    /// Whether the new volume has begun to be, or is, rolled back.
    fn is_spent(&self, run: &str) -> bool {
        self.new.as_ref().is_some_and(|new| has(&new.tags, tags::ROLLED_BACK, run))
    }
}

/// The disks of `plan` as they are now. `volumes` are all of the cluster.
pub fn of(plan: &Plan, volumes: &[Volume]) -> Vec<DiskNow> {
    plan.disks.iter().map(|disk| disk_now(plan, disk, volumes)).collect()
}

fn disk_now(plan: &Plan, of: &DiskPlan, volumes: &[Volume]) -> DiskNow {
    let disk = plan.disk(of);
    let is_old = |volume: &&Volume| of.old.as_ref().is_some_and(|old| old.id == volume.id);
    let old = volumes.iter().find(is_old).cloned();
    let replaced_by = old.as_ref().filter(|old| has(&old.tags, tags::RESTORE, &plan.run));
    let replaced_by = replaced_by.and_then(|old| old.tags.get(tags::REPLACED_BY));
    let is_new = |volume: &&Volume| {
        let marked = has(&volume.tags, tags::RESTORE, &plan.run) && tags::of_ours(&volume.tags).as_ref() == Some(&disk);
        // one in use carries no mark of ours, but says what it was made from
        let in_use = is_live(volume, &disk) && volume.snapshot.as_ref() == Some(&of.snapshot);
        marked || in_use || replaced_by == Some(&volume.id)
    };
    let mut made: Vec<&Volume> = volumes.iter().filter(|volume| !is_old(volume)).filter(is_new).collect();
    // a call that was repeated has made two; the choice is the same in every run
    made.sort_by_key(|volume| {
        (!is_live(volume, &disk), replaced_by != Some(&volume.id), volume.created, volume.id.clone())
    });
    let new = made.first().map(|volume| (*volume).clone());
    let known = |volume: &&Volume| is_old(volume) || new.as_ref().is_some_and(|new| new.id == volume.id);
    let strangers = volumes.iter().filter(|volume| is_live(volume, &disk)).filter(|volume| !known(volume));
    let strangers = strangers.map(|volume| volume.id.clone()).collect();
    DiskNow { disk, plan: of.clone(), old, new, strangers }
}

/// Refuses to restore what has been rolled back, or where another volume or another restore has taken the place.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General).
pub fn may_restore(plan: &Plan, disks: &[DiskNow]) -> Result<()> {
    refuse_strangers(disks)?;
    refuse_others(plan, disks)?;
    match disks.iter().find(|disk| disk.is_spent(&plan.run)) {
        Some(spent) if disks.iter().all(|disk| disk.is_rolled_back(&plan.run)) => {
            let (run, cluster) = (&plan.run, &spent.disk.cluster);
            Err(Error::general(format!("the restore {run} was rolled back, and its plan is used up"))
                .hint(format!("kubectl etcdbackup volume plan --cluster-name {cluster} --out NEW.json makes another")))
        }
        Some(_) => Err(Error::general(format!("the restore {} is being rolled back", plan.run))
            .hint("end that with kubectl etcdbackup volume rollback and the same plan")),
        None => Ok(()),
    }
}

/// Refuses to roll back without the volumes to go back to, or where another volume or another restore has taken the
/// place.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General).
pub fn may_roll_back(plan: &Plan, disks: &[DiskNow]) -> Result<()> {
    refuse_strangers(disks)?;
    refuse_others(plan, disks)?;
    for disk in disks {
        if let (Some(gone), None) = (&disk.plan.old, &disk.old) {
            let (set, newer) = (plan.safety_set(tags::PRE_RESTORE), plan.safety_set(tags::PRE_DELETE));
            return Err(Error::general(format!("{}, the volume of {} before the restore, is gone", gone.id, disk.disk))
                .hint(format!(
                    "kubectl etcdbackup volume plan --cluster-name {} --set {set} plans to restore the snapshots that the restore took first",
                    plan.cluster
                ))
                .hint(format!("after restore --delete-old-volumes the set {newer} is the last state of the old volumes")));
        }
    }
    Ok(())
}

fn refuse_strangers(disks: &[DiskNow]) -> Result<()> {
    match disks.iter().find(|disk| !disk.strangers.is_empty()) {
        Some(disk) => Err(Error::general(format!(
            "{} passes for the volume of {}, and is neither the plan's old nor its new one",
            disk.strangers.join(" "),
            disk.disk
        ))
        .hint("kops update cluster makes blank volumes when some are missing: delete that volume's k8s.io/etcd/… tag if it is one")
        .hint("where a later restore made it, roll that one back first")),
        None => Ok(()),
    }
}

/// Two restores that exchange the same volumes would bring two into use for one disk.
fn refuse_others(plan: &Plan, disks: &[DiskNow]) -> Result<()> {
    let volumes = disks.iter().flat_map(|disk| disk.old.iter().chain(&disk.new).map(move |volume| (disk, volume)));
    let mut aside = volumes.filter(|(disk, volume)| !is_live(volume, &disk.disk));
    let other =
        aside.find_map(|(_, volume)| Some((volume, volume.tags.get(tags::RESTORE).filter(|run| **run != plan.run)?)));
    match other {
        Some((volume, run)) => {
            Err(Error::general(format!("{} was put aside by another restore, {run}, which has not ended", volume.id))
                .hint("end that one, or roll it back, with its own plan"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
