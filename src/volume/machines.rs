//! EC2 instances, as far as they say which volumes hang at them.

use aws_sdk_ec2::types;

use super::inventory::{Volume, filter, tags_of};
use super::tags::Tags;
use crate::aws::compute::Compute;
use crate::error::Result;

/// Results of one page; EC2 allows 1,000.
const PAGE: i32 = 1000;

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub id: String,
    /// `running`, `stopped`, `terminated`, … in EC2's words.
    pub state: String,
    /// The volume that it boots from.
    pub root: Option<String>,
    /// Device and volume id, the root too.
    pub devices: Vec<(String, String)>,
    pub tags: Tags,
}

impl Machine {
    /// Whether it runs; EC2 lists terminated ones for about an hour.
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }
}

/// All instances that match all `filters`, in any state.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn machines(compute: &Compute, filters: Vec<types::Filter>) -> Result<Vec<Machine>> {
    let request = compute.ec2.describe_instances().set_filters(Some(filters)).max_results(PAGE);
    let (mut items, mut found) = (request.into_paginator().items().send(), Vec::new());
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| compute.explain(&error, "ec2", "describing instances"))?;
        found.extend(item.instances().iter().map(machine));
    }
    Ok(found)
}

/// Of the instances that `volumes` are attached to, those that may still write to them; EC2 may know others no more.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn alive(compute: &Compute, volumes: &[&Volume]) -> Result<Vec<String>> {
    let at = volumes.iter().flat_map(|volume| &volume.attachments);
    let ids: Vec<String> = at.map(|attachment| attachment.instance.clone()).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = machines(compute, vec![filter("instance-id", ids)]).await?;
    let alive = found.into_iter().filter(|machine| !["stopped", "terminated"].contains(&machine.state.as_str()));
    Ok(alive.map(|machine| machine.id).collect())
}

fn machine(found: &types::Instance) -> Machine {
    let device = |mapping: &types::InstanceBlockDeviceMapping| {
        Some((mapping.device_name()?.to_owned(), mapping.ebs()?.volume_id()?.to_owned()))
    };
    let devices: Vec<_> = found.block_device_mappings().iter().filter_map(device).collect();
    let root = devices.iter().find(|(device, _)| Some(device.as_str()) == found.root_device_name());
    let state = found.state().and_then(types::InstanceState::name);
    Machine {
        id: found.instance_id().unwrap_or_default().to_owned(),
        state: state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        root: root.map(|(_, volume)| volume.clone()),
        devices,
        tags: tags_of(found.tags()),
    }
}
