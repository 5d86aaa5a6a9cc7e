//! Auto Scaling groups of control planes: their sizes, and what keeps them from changing.

use aws_config::retry::RetryConfig;
use aws_sdk_autoscaling::types;
use serde::{Deserialize, Serialize};

use super::inventory::filter;
use super::tags::{KOPS_CLUSTER, KOPS_ROLE};
use crate::aws::compute::Compute;
use crate::error::{Error, ErrorKind, Result};

/// Roles of kops whose instances run etcd or an API server, which must not outlive the state that it serves
/// (kubernetes/website#24911).
const ROLES: [&str; 3] = ["control-plane", "master", "apiserver"];
/// Of the instances, EC2's states before `terminated`.
const ALIVE: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];
/// Of instance refreshes, the states in which one replaces instances or may begin to.
const REFRESHING: [&str; 5] = ["Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"];
/// The tag that Auto Scaling puts on the instances of a group.
const GROUP_TAG: &str = "tag:aws:autoscaling:groupName";

/// Instances that a group keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Size {
    pub min: i32,
    pub max: i32,
    pub desired: i32,
}

impl Size {
    /// Whether the group keeps no instance.
    pub fn is_stopped(&self) -> bool {
        self.min == 0 && self.desired == 0
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "min {} max {} desired {}", self.min, self.max, self.desired)
    }
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub size: Size,
    pub zones: Vec<String>,
    pub instances: Vec<Instance>,
    /// Processes that somebody suspended, such as `Terminate`.
    pub suspended: Vec<String>,
    /// Hooks that delay the start or the end of an instance.
    pub hooks: Vec<String>,
    /// The state of an instance refresh that is under way.
    pub refresh: Option<String>,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    /// `InService`, `Terminating:Wait`, … in Auto Scaling's words.
    pub state: String,
    /// Protected from scale-in: the group cannot end it.
    pub protected: bool,
}

impl Group {
    /// Instances that do their work.
    pub fn in_service(&self) -> usize {
        self.instances.iter().filter(|instance| instance.state == "InService").count()
    }
}

/// The groups of the control plane of a cluster of kops, by name; without hooks and refresh.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn of_cluster(compute: &Compute, cluster: &str) -> Result<Vec<Group>> {
    let of_cluster = types::Filter::builder().name(format!("tag:{KOPS_CLUSTER}")).values(cluster).build();
    let request = compute.scaling.describe_auto_scaling_groups().filters(of_cluster);
    let found = request.into_paginator().items().send().try_collect().await;
    let found = found.map_err(|error| compute.explain(&error, "autoscaling", "describing Auto Scaling groups"))?;
    let of_control_plane = |group: &&types::AutoScalingGroup| {
        let mut roles = group.tags().iter().filter_map(|tag| tag.key()?.strip_prefix(KOPS_ROLE));
        roles.any(|role| ROLES.contains(&role))
    };
    Ok(sorted(found.iter().filter(of_control_plane).map(group).collect()))
}

/// Those of the groups of these names that are there, by name; without hooks and refresh.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn existing(compute: &Compute, names: &[String]) -> Result<Vec<Group>> {
    // without a name, Auto Scaling lists all
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request = compute.scaling.describe_auto_scaling_groups().set_auto_scaling_group_names(Some(names.to_vec()));
    let found = request.into_paginator().items().send().try_collect().await;
    let found = found.map_err(|error| compute.explain(&error, "autoscaling", "describing Auto Scaling groups"))?;
    Ok(sorted(found.iter().map(group).collect()))
}

/// The groups of these names, all of which must be there.
///
/// # Errors
/// [`ErrorKind::NotFound`] when one is not there; as [`Compute::explain`].
pub async fn named(compute: &Compute, names: &[String]) -> Result<Vec<Group>> {
    let found = existing(compute, names).await?;
    match names.iter().find(|name| !found.iter().any(|group| group.name == **name)) {
        Some(missing) => Err(Error::not_found(format!("there is no Auto Scaling group {missing:?}"))
            .hint("check --region and --account")),
        None => Ok(found),
    }
}

/// The names of the lifecycle hooks of a group.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn hooks(compute: &Compute, name: &str) -> Result<Vec<String>> {
    let answer = compute.scaling.describe_lifecycle_hooks().auto_scaling_group_name(name).send().await;
    let answer = answer.map_err(|error| compute.explain(&error, "autoscaling", "describing lifecycle hooks"))?;
    Ok(answer.lifecycle_hooks().iter().filter_map(|hook| hook.lifecycle_hook_name().map(str::to_owned)).collect())
}

/// The state of the instance refresh of a group that is under way: it would start and end instances in the middle of a
/// restore. `None` also where Auto Scaling cannot tell.
///
/// # Errors
/// [`ErrorKind::Denied`] where it may not be asked.
pub async fn refresh(compute: &Compute, name: &str) -> Result<Option<String>> {
    // services that imitate AWS lack the call, and answer as if they had failed
    let once = aws_sdk_autoscaling::config::Builder::new().retry_config(RetryConfig::disabled());
    let request = compute.scaling.describe_instance_refreshes().auto_scaling_group_name(name).max_records(1);
    let answer = request.customize().config_override(once).send().await;
    let answer = answer.map_err(|error| compute.explain(&error, "autoscaling", "describing instance refreshes"));
    let newest = match answer {
        Ok(found) => found.instance_refreshes().first().and_then(|it| Some(it.status()?.as_str().to_owned())),
        Err(error) if error.kind() == ErrorKind::Denied => return Err(error),
        Err(_) => None,
    };
    Ok(newest.filter(|state| REFRESHING.contains(&state.as_str())))
}

/// Sets the smallest and the desired number of instances; the greatest stays.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn resize(compute: &Compute, name: &str, min: i32, desired: i32) -> Result<()> {
    let request = compute.scaling.update_auto_scaling_group().auto_scaling_group_name(name);
    let answer = request.min_size(min).desired_capacity(desired).send().await;
    let doing = format!("setting the size of the Auto Scaling group {name}");
    answer.map(drop).map_err(|error| compute.explain(&error, "autoscaling", &doing))
}

/// Instances that these groups started and that are not terminated, as `i-1 shutting-down`; a group forgets an
/// instance before that is gone.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn alive(compute: &Compute, names: &[String]) -> Result<Vec<String>> {
    let filters = vec![filter(GROUP_TAG, names.iter().cloned()), filter("instance-state-name", ALIVE)];
    let request = compute.ec2.describe_instances().set_filters(Some(filters));
    let found = request.into_paginator().items().send().try_collect().await;
    let found = found.map_err(|error| compute.explain(&error, "ec2", "describing instances"))?;
    let instances = found.iter().flat_map(|reservation| reservation.instances());
    let state = |instance: &aws_sdk_ec2::types::Instance| {
        instance.state().and_then(|state| state.name()).map(|name| name.as_str().to_owned()).unwrap_or_default()
    };
    let mut alive: Vec<_> = instances
        .filter(|instance| ALIVE.contains(&state(instance).as_str()))
        .map(|instance| format!("{} {}", instance.instance_id().unwrap_or_default(), state(instance)))
        .collect();
    alive.sort();
    Ok(alive)
}

fn sorted(mut groups: Vec<Group>) -> Vec<Group> {
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    groups
}

fn group(found: &types::AutoScalingGroup) -> Group {
    let size = Size {
        min: found.min_size().unwrap_or_default(),
        max: found.max_size().unwrap_or_default(),
        desired: found.desired_capacity().unwrap_or_default(),
    };
    let instance = |found: &types::Instance| Instance {
        id: found.instance_id().unwrap_or_default().to_owned(),
        state: found.lifecycle_state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        protected: found.protected_from_scale_in().unwrap_or_default(),
    };
    let suspended = found.suspended_processes().iter().filter_map(|process| process.process_name());
    Group {
        name: found.auto_scaling_group_name().unwrap_or_default().to_owned(),
        size,
        zones: found.availability_zones().to_vec(),
        instances: found.instances().iter().map(instance).collect(),
        suspended: suspended.map(str::to_owned).collect(),
        hooks: Vec::new(),
        refresh: None,
    }
}
