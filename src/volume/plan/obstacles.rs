//! What stands in the way of stopping a control plane and of exchanging its volumes: looked for when a restore is
//! planned, and again before it begins. Pure.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::volume::inventory::Volume;
use crate::volume::scaling::{Group, Instance};
use crate::volume::tags::Disk;

/// Of a group, the processes without which it does not change its size.
const NEEDED: [&str; 2] = ["Launch", "Terminate"];

/// What stands in the way, and what helps.
#[derive(Default)]
pub struct Problems(Vec<(String, String)>);

impl Problems {
    /// Notes one.
    pub fn add(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push((what.into(), hint.into()));
    }

    /// All of them at once, after `what` is said that they stand in the way of.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when there is one.
    pub fn refuse(self, what: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self.0.iter().map(|(what, _)| format!("  {what}")).collect();
        let error = Error::general(format!("{what}:\n{}", lines.join("\n")));
        let mut hints: Vec<&String> = self.0.iter().map(|(_, hint)| hint).collect();
        hints.dedup();
        Err(hints.into_iter().fold(error, |error, hint| error.hint(hint)))
    }
}

/// What keeps a group from ending its instances, or from starting others.
pub fn of_group(group: &Group, problems: &mut Problems) {
    of_instances(group, problems);
    let name = &group.name;
    if let Some(state) = &group.refresh {
        problems.add(
            format!("{name} replaces its instances: its instance refresh is {state}"),
            format!("aws autoscaling cancel-instance-refresh --auto-scaling-group-name {name}"),
        );
    }
    let stuck: Vec<&str> =
        group.suspended.iter().map(String::as_str).filter(|process| NEEDED.contains(process)).collect();
    if !stuck.is_empty() {
        problems.add(
            format!("{name} does not change its size while {} is suspended", stuck.join(" and ")),
            format!(
                "aws autoscaling resume-processes --auto-scaling-group-name {name} --scaling-processes {}",
                stuck.join(" ")
            ),
        );
    }
}

/// Instances that a group does not end, whatever its size is.
fn of_instances(group: &Group, problems: &mut Problems) {
    let name = &group.name;
    let ids = |test: fn(&Instance) -> bool| {
        let ids: Vec<&str> = group.instances.iter().filter(|one| test(one)).map(|one| one.id.as_str()).collect();
        ids.join(" ")
    };
    let protected = ids(|one| one.protected);
    if !protected.is_empty() {
        problems.add(
            format!("{protected} is protected from scale-in in {name}"),
            format!(
                "aws autoscaling set-instance-protection --no-protected-from-scale-in --auto-scaling-group-name {name} --instance-ids {protected}"
            ),
        );
    }
    // EnteringStandby too
    let standby = ids(|one| one.state.contains("Standby"));
    if !standby.is_empty() {
        problems.add(
            format!("{standby} is in standby in {name}, which does not end it"),
            format!("aws autoscaling exit-standby --auto-scaling-group-name {name} --instance-ids {standby}"),
        );
    }
}

/// A volume that would not outlive its instance.
pub fn of_attachments(volume: &Volume, problems: &mut Problems) {
    for attachment in volume.attachments.iter().filter(|attachment| attachment.delete_on_termination) {
        let (instance, device) = (&attachment.instance, &attachment.device);
        problems.add(
            format!("{} would be deleted with its instance {instance}", volume.id),
            format!(
                "aws ec2 modify-instance-attribute --instance-id {instance} --block-device-mappings '[{{\"DeviceName\": \"{device}\", \"Ebs\": {{\"DeleteOnTermination\": false}}}}]'"
            ),
        );
    }
}

/// The instances of a volume that none of `groups` ends.
pub fn outsiders<'a>(volume: &'a Volume, groups: &'a [Group]) -> impl Iterator<Item = &'a str> {
    let known = move |id: &str| groups.iter().flat_map(|group| &group.instances).any(|instance| instance.id == id);
    volume.attachments.iter().map(|attachment| attachment.instance.as_str()).filter(move |id| !known(id))
}

/// Notes a volume at an instance that no group ends.
pub fn of_outsider(volume: &Volume, instance: &str, problems: &mut Problems) {
    problems.add(
        format!("{} is attached to {instance}, which is in no Auto Scaling group of the control plane", volume.id),
        "name its group with --asg of volume plan, or detach the volume",
    );
}

/// A member that is not among `known` would run on beside a past of its etcd in which it does not exist.
pub fn of_members(volumes: &[Volume], known: &BTreeSet<Disk>, problems: &mut Problems) {
    let beside = |disk: &&Disk| known.iter().any(|one| one.cluster == disk.cluster && one.etcd == disk.etcd);
    for volume in volumes {
        if let Some(disk) = volume.disk.as_ref().filter(beside).filter(|disk| !known.contains(*disk)) {
            problems.add(
                format!("{} is the volume of {disk}, of which the set has no snapshot", volume.id),
                "choose a set of today's members, or take the tags of kops from that volume",
            );
        }
    }
}
