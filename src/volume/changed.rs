//! What has changed since the plan: it may be days old, and others work in the same account. Looked at before the
//! control plane stops, while it is still up.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::Volume;
use super::machines;
use super::plan::Plan;
use super::plan::obstacles::{self, Problems};
use super::run::Run;
use super::scaling::{self, Group};
use super::tags::Disk;
use crate::error::Result;

/// AWS as it is now.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// All of the control plane, those of the plan and others.
    pub groups: Vec<Group>,
    /// All of the cluster's etcds.
    pub volumes: Vec<Volume>,
    /// Of the instances that volumes are attached to, those that may still write.
    pub alive: Vec<String>,
    /// Whether a run of this plan has changed something already.
    pub begun: bool,
}

/// Refuses to stop a control plane that is not the one of the plan any more. `begun` says whether a run of it has
/// changed something already.
///
/// # Errors
/// As [`since_plan`] and [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn refuse(run: &Run<'_>, begun: bool) -> Result<()> {
    let mut groups = scaling::of_cluster(run.compute, &run.plan.cluster).await?;
    groups.extend(scaling::existing(run.compute, &run.plan.group_names()).await?);
    let mut groups: BTreeMap<String, Group> = groups.into_iter().map(|group| (group.name.clone(), group)).collect();
    look_for_refreshes(run, &mut groups, begun).await?;
    let volumes = run.volumes().await?;
    let of_plan: Vec<&Volume> = volumes.iter().filter(|volume| is_of_plan(run.plan, volume)).collect();
    let alive = machines::alive(run.compute, &of_plan).await?;
    since_plan(run.plan, &Now { groups: groups.into_values().collect(), volumes, alive, begun })
}

/// Of the groups that are to be stopped.
async fn look_for_refreshes(run: &Run<'_>, groups: &mut BTreeMap<String, Group>, begun: bool) -> Result<()> {
    for (name, group) in groups.iter_mut().filter(|(_, group)| !group.size.is_stopped()) {
        if run.plan.groups.contains_key(name) {
            group.refresh = match scaling::refresh(run.compute, name).await {
                // what has begun must end, whoever may not look
                Err(_) if begun => None,
                looked => looked?,
            };
        }
    }
    Ok(())
}

/// What of `now` stands in the way of `plan`.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) with all of it.
pub fn since_plan(plan: &Plan, now: &Now) -> Result<()> {
    let mut problems = Problems::default();
    if !now.begun {
        for name in plan.groups_gone(&now.groups) {
            problems.add(format!("the group {name} of the plan is gone"), "make another plan");
        }
    }
    for group in &now.groups {
        match plan.groups.get(&group.name) {
            None => of_another_group(group, &mut problems),
            Some(_) if group.size.is_stopped() => {}
            Some(planned) => {
                if !now.begun && (planned.min, planned.desired) != (group.size.min, group.size.desired) {
                    problems.add(
                        format!("{} is of {}, and was of {planned} when the plan was made", group.name, group.size),
                        "make another plan: it gives the groups the sizes of now",
                    );
                }
                obstacles::of_group(group, &mut problems);
            }
        }
    }
    let known: BTreeSet<Disk> = plan.disks.iter().map(|disk| plan.disk(disk)).collect();
    obstacles::of_members(&now.volumes, &known, &mut problems);
    for volume in now.volumes.iter().filter(|volume| is_of_plan(plan, volume)) {
        obstacles::of_attachments(volume, &mut problems);
        let writers = obstacles::outsiders(volume, &now.groups).filter(|id| now.alive.iter().any(|alive| alive == id));
        writers.for_each(|instance| obstacles::of_outsider(volume, instance, &mut problems));
    }
    problems.refuse(&format!("the restore {} cannot go on now", plan.run))
}

/// The plan stops only its own groups: the instances of another would run on, or start between.
fn of_another_group(group: &Group, problems: &mut Problems) {
    if group.size.is_stopped() && group.instances.is_empty() {
        return;
    }
    let name = &group.name;
    problems.add(
        format!("the control plane has the group {name}, which the plan does not know"),
        format!(
            "make another plan, or stop that group by hand: aws autoscaling update-auto-scaling-group --auto-scaling-group-name {name} --min-size 0 --desired-capacity 0"
        ),
    );
}

/// Whether a volume is in use as one of the plan's disks, or goes out of use.
fn is_of_plan(plan: &Plan, volume: &Volume) -> bool {
    let is_old = plan.disks.iter().filter_map(|disk| disk.old.as_ref()).any(|old| old.id == volume.id);
    is_old || volume.disk.as_ref().is_some_and(|of| plan.disks.iter().any(|disk| plan.disk(disk) == *of))
}

#[cfg(test)]
mod tests;
