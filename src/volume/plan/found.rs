//! What a plan is made of, as AWS has it now.

use super::super::inventory::{self, Volume, filter};
use super::super::scaling::{self, Group};
use super::super::set::{self, Set};
use super::super::tags;
use super::choose;
use crate::aws::compute::Compute;
use crate::error::Result;

/// All that a plan depends on.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub account: String,
    pub region: String,
    pub cluster: String,
    pub sets: Vec<Set>,
    /// Volumes of the etcds of the cluster, in use and put aside.
    pub volumes: Vec<Volume>,
    pub groups: Vec<Group>,
    /// Availability zones that can be used.
    pub zones: Vec<String>,
}

/// Looks at everything that a plan depends on. `groups` are used beside those that the tags of kops name.
///
/// # Errors
/// As [`choose::cluster`], [`scaling::named`] and [`Compute::explain`].
pub async fn find(compute: &Compute, cluster: Option<&str>, groups: &[String]) -> Result<Found> {
    let mut filters = vec![filter(format!("tag:{}", tags::MANAGED), [tags::MANAGED_VALUE])];
    filters.extend(cluster.map(|cluster| filter(format!("tag:{}", tags::CLUSTER), [cluster])));
    let mut snapshots = inventory::snapshots(compute, filters).await?;
    snapshots.retain(|snapshot| snapshot.is_ours(&compute.identity.account));
    let sets = set::of(&snapshots);
    let cluster = choose::cluster(&sets, cluster)?;
    let volumes = volumes(compute, &cluster, &[]).await?;
    let mut found = scaling::of_cluster(compute, &cluster).await?;
    found.extend(scaling::named(compute, groups).await?);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    for group in &mut found {
        group.hooks = scaling::hooks(compute, &group.name).await?;
        group.refresh = scaling::refresh(compute, &group.name).await?;
    }
    let zones = zones(compute).await?;
    let (account, region) = (compute.identity.account.clone(), compute.region.clone());
    Ok(Found { account, region, cluster, sets, volumes, groups: found, zones })
}

/// The volumes of the etcds of a cluster: in use by the tags of kops, staged or put aside by ours, or one of `ids`.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn volumes(compute: &Compute, cluster: &str, ids: &[String]) -> Result<Vec<Volume>> {
    // those of PersistentVolumes, which are many, have the cluster's tags too
    let mut asked =
        vec![filter("tag-key", [format!("{}*", tags::KOPS_ETCD)]), filter(format!("tag:{}", tags::CLUSTER), [cluster])];
    if !ids.is_empty() {
        asked.push(filter("volume-id", ids.iter().cloned()));
    }
    let mut found = Vec::new();
    for filter in asked {
        found.extend(inventory::volumes(compute, vec![filter]).await?);
    }
    // others of this account have etcds too, and EC2 takes * and ? in a name for any
    found.retain(|volume| is_of(volume, cluster) || ids.contains(&volume.id));
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

fn is_of(volume: &Volume, cluster: &str) -> bool {
    let named = |key: &str| volume.tags.get(key).is_some_and(|name| name == cluster);
    let owned = || volume.tags.contains_key(&format!("{}{cluster}", tags::KOPS_OWNED));
    named(tags::KOPS_CLUSTER) || named(tags::CLUSTER) || owned()
}

async fn zones(compute: &Compute) -> Result<Vec<String>> {
    let answer = compute.ec2.describe_availability_zones().send().await;
    let answer = answer.map_err(|error| compute.explain(&error, "ec2", "describing availability zones"))?;
    let usable = answer
        .availability_zones()
        .iter()
        .filter(|zone| zone.state().is_none_or(|state| *state == aws_sdk_ec2::types::AvailabilityZoneState::Available));
    Ok(usable.filter_map(|zone| zone.zone_name().map(str::to_owned)).collect())
}
