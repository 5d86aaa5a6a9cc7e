//! A plan out of what was found: pure. All that stands in the way is said at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::choose::{self, Which};
use super::obstacles::{self, Problems};
use super::{DiskPlan, Found, NewVolume, OldVolume, Plan, VERSION};
use crate::error::Result;
use crate::volume::inventory::{Snapshot, Volume};
use crate::volume::scaling::Group;
use crate::volume::set::Set;
use crate::volume::tags::{self, Disk, Tags};

/// Tags that a swap adds to a volume before it takes others away.
const ROOM: usize = 8;

/// What the restore should be.
#[derive(Debug, Clone)]
pub struct Wish {
    pub which: Which,
    /// The longest time between the first and the last snapshot of the set.
    pub max_spread: Duration,
    /// Zones that are used instead of those that the volumes were in.
    pub zones: BTreeMap<String, String>,
}

/// Makes the plan of the restore `run`.
///
/// # Errors
/// As [`choose::set`]; [`ErrorKind::General`](crate::error::ErrorKind::General) with all that stands in the way.
pub fn make(found: &Found, wish: &Wish, run: String, now: Timestamp) -> Result<Plan> {
    let (set, passed) = choose::set(&found.sets, &found.cluster, &wish.which)?;
    let mut problems = Problems::default();
    check_set(set, wish, &mut problems);
    check_groups(found, &mut problems);
    let known: BTreeSet<Disk> = set.snapshots.keys().cloned().collect();
    obstacles::of_members(&found.volumes, &known, &mut problems);
    check_zones(found, wish, set, &mut problems);
    let disks: Vec<DiskPlan> = set
        .snapshots
        .iter()
        .filter_map(|(disk, snapshot)| disk_plan(found, wish, disk, snapshot, &mut problems))
        .collect();
    problems.refuse(&format!("the set {} cannot be restored now", set.id))?;
    let mut warnings = passed;
    warnings.extend(warnings_of(found, set, &disks));
    Ok(Plan {
        version: VERSION,
        run,
        made: now,
        account: found.account.clone(),
        region: found.region.clone(),
        cluster: found.cluster.clone(),
        set: set.id.clone(),
        disks,
        groups: found.groups.iter().map(|group| (group.name.clone(), group.size)).collect(),
        warnings,
    })
}

fn check_set(set: &Set, wish: &Wish, problems: &mut Problems) {
    let seconds = set.spread().as_secs().unsigned_abs();
    if seconds > wish.max_spread.as_secs() {
        problems.add(
            format!("its snapshots began within {seconds} s, so its members are not of one moment"),
            format!("choose another set, or accept it with --max-spread {seconds}s"),
        );
    }
    for snapshot in set.snapshots.values().filter(|snapshot| snapshot.tier != "standard") {
        problems.add(
            format!("{} is in the tier {}", snapshot.id, snapshot.tier),
            format!(
                "aws ec2 restore-snapshot-tier --snapshot-id {} --permanent-restore takes up to 3 days",
                snapshot.id
            ),
        );
    }
}

fn check_groups(found: &Found, problems: &mut Problems) {
    if found.groups.is_empty() {
        problems.add(
            format!("no Auto Scaling group has the tags of the control plane of {}", found.cluster),
            "name those of the control plane with --asg",
        );
    }
    found.groups.iter().for_each(|group| obstacles::of_group(group, problems));
}

/// A zone that is misspelt would be mapped to nothing.
fn check_zones(found: &Found, wish: &Wish, set: &Set, problems: &mut Problems) {
    let of_snapshots = set.snapshots.values().filter_map(|snapshot| snapshot.tags.get(tags::ZONE));
    let was: BTreeSet<&String> = found.volumes.iter().map(|volume| &volume.zone).chain(of_snapshots).collect();
    for unknown in wish.zones.keys().filter(|zone| !was.contains(zone)) {
        let there: Vec<&str> = was.iter().map(|zone| zone.as_str()).collect();
        problems.add(
            format!("no volume of the set was in the zone {unknown}"),
            format!("correct --az-map: there are {}", there.join(", ")),
        );
    }
}

fn disk_plan(
    found: &Found,
    wish: &Wish,
    disk: &Disk,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Option<DiskPlan> {
    let live: Vec<&Volume> = found.volumes.iter().filter(|volume| volume.disk.as_ref() == Some(disk)).collect();
    if let [_, _, ..] = live[..] {
        let ids: Vec<&str> = live.iter().map(|volume| volume.id.as_str()).collect();
        problems.add(
            format!("{disk} has more than one volume: {}", ids.join(" ")),
            "delete the tags k8s.io/etcd/… of those that are not in use",
        );
        return None;
    }
    let old = live.first().copied();
    if let Some(old) = old {
        obstacles::of_attachments(old, problems);
        obstacles::outsiders(old, &found.groups).for_each(|instance| obstacles::of_outsider(old, instance, problems));
    }
    let zone = zone(found, wish, disk, snapshot, old, problems)?;
    let tags = live_tags(disk, snapshot, old, problems)?;
    Some(DiskPlan {
        etcd: disk.etcd.clone(),
        member: disk.member.clone(),
        snapshot: snapshot.id.clone(),
        started: snapshot.started,
        old: old.map(|old| OldVolume { id: old.id.clone(), zone: old.zone.clone() }),
        new: new_volume(zone, snapshot, old),
        tags,
    })
}

fn zone(
    found: &Found,
    wish: &Wish,
    disk: &Disk,
    snapshot: &Snapshot,
    old: Option<&Volume>,
    problems: &mut Problems,
) -> Option<String> {
    let was = old.map(|old| old.zone.clone()).or_else(|| snapshot.tags.get(tags::ZONE).cloned());
    let Some(was) = was.filter(|zone| !zone.is_empty()) else {
        problems.add(
            format!("the volume of {disk} is gone, and {} does not say in which zone it was", snapshot.id),
            format!("aws ec2 create-tags --resources {} --tags Key={},Value=ZONE", snapshot.id, tags::ZONE),
        );
        return None;
    };
    let is_copy = snapshot.tags.get(tags::SOURCE_VOLUME).is_some_and(|source| *source != snapshot.volume);
    if old.is_none() && is_copy && !wish.zones.contains_key(&was) {
        problems.add(
            format!("{} is a copy: its zone may be another account's or region's", snapshot.id),
            format!("say it: --az-map {was}=ZONE"),
        );
    }
    let zone = wish.zones.get(&was).cloned().unwrap_or(was);
    if !found.zones.contains(&zone) {
        problems.add(
            format!("the zone {zone} of {disk} cannot be used"),
            format!("use another with --az-map {zone}=ZONE; there are {}", found.zones.join(", ")),
        );
    }
    Some(zone)
}

/// The tags that the volume of this disk has when it is in use.
fn live_tags(disk: &Disk, snapshot: &Snapshot, old: Option<&Volume>, problems: &mut Problems) -> Option<Tags> {
    let of = old.map_or(&snapshot.tags, |old| &old.tags);
    let foreign = |key: &&String| !key.starts_with(tags::OURS) && !key.starts_with(tags::RESERVED);
    let mut kept: Tags =
        of.iter().filter(|(key, _)| foreign(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    // a restore that broke off may have renamed it
    let original =
        |(key, value): (&String, &String)| Some((key.strip_prefix(tags::ORIGINAL)?.to_owned(), value.clone()));
    kept.extend(of.iter().filter_map(original));
    if tags::of_kops(&kept).map(|(found, _)| found).as_ref() != Some(disk) {
        problems.add(
            format!("the volume of {disk} is gone, and {} does not have its tags of kops", snapshot.id),
            "kops finds its volumes by tags: give them to the snapshot, or restore by hand",
        );
        return None;
    }
    if kept.len() + ROOM > tags::MOST_TAGS {
        problems.add(
            format!(
                "the volume of {disk} has {} tags; EC2 allows {}, and the swap needs {ROOM}",
                kept.len(),
                tags::MOST_TAGS
            ),
            "delete tags that nobody needs",
        );
    }
    Some(kept)
}

fn new_volume(zone: String, snapshot: &Snapshot, old: Option<&Volume>) -> NewVolume {
    let text = |key: &str| snapshot.tags.get(key).filter(|value| !value.is_empty()).cloned();
    let number = |key: &str| text(key).and_then(|value| value.parse::<i32>().ok());
    let kind = old.map(|old| old.kind.clone()).filter(|kind| !kind.is_empty()).or_else(|| text(tags::VOLUME_TYPE));
    let kind = kind.unwrap_or_else(|| "gp3".to_owned());
    // EC2 shows the figures of every type, and takes them back for some only (CreateVolume, "Iops", "Throughput")
    let (takes_iops, takes_throughput) = (["gp3", "io1", "io2"].contains(&kind.as_str()), kind == "gp3");
    let iops = old.map_or_else(|| number(tags::IOPS), |old| old.iops).filter(|_| takes_iops);
    let throughput = old.map_or_else(|| number(tags::THROUGHPUT), |old| old.throughput).filter(|_| takes_throughput);
    let of_old = old.filter(|old| old.encrypted).and_then(|old| old.kms_key.clone());
    let kms_key = of_old.or_else(|| text(tags::KMS_KEY)).or_else(|| snapshot.kms_key.clone());
    let encrypted = snapshot.encrypted || old.is_some_and(|old| old.encrypted);
    let size = old.map_or(snapshot.size, |old| old.size.max(snapshot.size));
    NewVolume { zone, kind, size, iops, throughput, encrypted, kms_key: kms_key.filter(|_| encrypted) }
}

fn warnings_of(found: &Found, set: &Set, disks: &[DiskPlan]) -> Vec<String> {
    let mut warnings = Vec::new();
    let seconds = set.spread().as_secs();
    if seconds > 0 {
        warnings.push(format!(
            "the snapshots began within {seconds} s of each other, while the members ran: etcd replays its log, and may lose the last writes"
        ));
    }
    for disk in disks.iter().filter(|disk| disk.old.is_none()) {
        warnings.push(format!("{}.etcd-{} has no volume now: there is none to go back to", disk.member, disk.etcd));
    }
    for disk in disks {
        let moved = disk.old.as_ref().filter(|old| old.zone != disk.new.zone);
        warnings.extend(moved.map(|old| format!("{} is replaced in another zone, {}", old.id, disk.new.zone)));
        let nobody = !found.groups.iter().any(|group| group.zones.contains(&disk.new.zone));
        if nobody {
            warnings.push(format!("no group of the control plane starts instances in {}", disk.new.zone));
        }
    }
    warnings.extend(crowded(found, disks));
    let unfinished = found.volumes.iter().filter(|volume| volume.tags.contains_key(tags::REPLACED_BY));
    for volume in unfinished.filter(|volume| is_gone(found, volume)) {
        let run = volume.tags.get(tags::RESTORE).map(String::as_str).unwrap_or_default();
        warnings.push(format!(
            "{} was put aside by the restore {run}, which has not ended: end it or roll it back first",
            volume.id
        ));
    }
    warnings.extend(found.groups.iter().flat_map(group_warnings));
    let csi =
        |volume: &&Volume| volume.tags.keys().any(|key| key.starts_with("ebs.csi.aws.com/") || key == "CSIVolumeName");
    for volume in found.volumes.iter().filter(csi).filter(|volume| volume.disk.is_some()) {
        warnings.push(format!("{} belongs to the EBS CSI driver, whose PersistentVolume keeps naming it", volume.id));
    }
    warnings.sort();
    warnings.dedup();
    warnings
}

/// Members of one etcd that come into one zone, where fewer instances run: etcd's manager looks for a volume of its
/// etcd and its zone, and not for one of a member.
fn crowded(found: &Found, disks: &[DiskPlan]) -> Vec<String> {
    let mut members: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for disk in disks {
        *members.entry((disk.etcd.as_str(), disk.new.zone.as_str())).or_default() += 1;
    }
    let warning = |((etcd, zone), count): ((&str, &str), usize)| {
        let here = found.groups.iter().filter(|group| group.zones.iter().any(|of| of == zone));
        let running = usize::try_from(here.map(|group| group.size.desired).sum::<i32>()).unwrap_or_default();
        let run = if running == 1 { "1 instance runs".to_owned() } else { format!("{running} instances run") };
        (count > running.max(1)).then(|| {
            format!("{count} members of etcd {etcd} are in {zone}, where {run}: etcd's manager may mount either")
        })
    };
    members.into_iter().filter_map(warning).collect()
}

/// Whether the disk of a volume that was put aside has no volume in use.
fn is_gone(found: &Found, aside: &Volume) -> bool {
    let disk = tags::of_ours(&aside.tags);
    disk.is_some() && !found.volumes.iter().any(|volume| volume.disk == disk)
}

fn group_warnings(group: &Group) -> Vec<String> {
    let name = &group.name;
    let mut warnings = Vec::new();
    if group.size.is_stopped() {
        warnings
            .push(format!("{name} has no instance now, and will have none in the end: set its size before you plan"));
    }
    if !group.hooks.is_empty() {
        warnings.push(format!("{name} has lifecycle hooks, which may delay its instances: {}", group.hooks.join(" ")));
    }
    warnings
}
