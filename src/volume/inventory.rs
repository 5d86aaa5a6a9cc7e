//! Volumes and snapshots as EC2 describes them, in the terms of etcd.

use aws_sdk_ec2::types;
use jiff::Timestamp;

use super::tags::{self, Disk, Tags};
use crate::aws::compute::Compute;
use crate::error::Result;

/// Results of one page; EC2 allows 1,000 for snapshots and 500 for volumes with filters.
const PAGE: i32 = 1000;
const PAGE_OF_VOLUMES: i32 = 500;

/// One EBS volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: String,
    /// As its tags say; the plan may know better for a volume that a person named.
    pub disk: Option<Disk>,
    /// All members of that etcd, as its tags say.
    pub members: Vec<String>,
    pub zone: String,
    pub kind: String,
    /// GiB.
    pub size: i32,
    pub iops: Option<i32>,
    /// MiB per second.
    pub throughput: Option<i32>,
    pub encrypted: bool,
    pub kms_key: Option<String>,
    /// `available`, `in-use`, … in EC2's words.
    pub state: String,
    pub attachments: Vec<Attachment>,
    pub tags: Tags,
    /// The snapshot that it was made from.
    pub snapshot: Option<String>,
    pub created: Option<Timestamp>,
}

/// A volume at an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub instance: String,
    pub device: String,
    pub delete_on_termination: bool,
}

/// One EBS snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: String,
    /// Means nothing for a snapshot that was copied.
    pub volume: String,
    pub owner: String,
    pub state: State,
    /// EC2's words, as `45%`.
    pub progress: String,
    pub started: Option<Timestamp>,
    /// GiB of the volume.
    pub size: i32,
    pub encrypted: bool,
    pub kms_key: Option<String>,
    /// `standard` or `archive`.
    pub tier: String,
    pub description: String,
    pub tags: Tags,
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Pending,
    Completed,
    /// With EC2's reason, where it gives one.
    Failed(String),
    /// A state without meaning here (`recoverable`, `recovering`, …), in EC2's words.
    Other(String),
}

impl Snapshot {
    /// Whether it carries our mark and belongs to `account`. EC2 is asked for no other, but services that imitate it
    /// have answered with all.
    pub fn is_ours(&self, account: &str) -> bool {
        self.owner == account && self.tags.get(tags::MANAGED).is_some_and(|value| value == tags::MANAGED_VALUE)
    }

    /// Whose disk it is of, as our tags say; those of kops, until ours follow those that EC2 copies at creation.
    pub fn disk(&self) -> Option<Disk> {
        tags::of_ours(&self.tags).or_else(|| tags::of_kops(&self.tags).map(|(disk, _)| disk))
    }

    /// The run that took it.
    pub fn set(&self) -> Option<&str> {
        self.tags.get(tags::SET).map(String::as_str).filter(|set| !set.is_empty())
    }
}

/// A filter of a `Describe` call: `name` has one of `values`.
pub fn filter(name: impl Into<String>, values: impl IntoIterator<Item = impl Into<String>>) -> types::Filter {
    let values = values.into_iter().map(Into::into).collect();
    types::Filter::builder().name(name).set_values(Some(values)).build()
}

/// All volumes that match all `filters`.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn volumes(compute: &Compute, filters: Vec<types::Filter>) -> Result<Vec<Volume>> {
    let request = compute.ec2.describe_volumes().set_filters(Some(filters)).max_results(PAGE_OF_VOLUMES);
    let found = request.into_paginator().items().send().try_collect().await;
    let found = found.map_err(|error| compute.explain(&error, "ec2", "describing volumes"))?;
    Ok(found.iter().map(volume).collect())
}

/// All snapshots of this account that match all `filters`, newest first; EC2 promises no order.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn snapshots(compute: &Compute, filters: Vec<types::Filter>) -> Result<Vec<Snapshot>> {
    collect(compute, filters, |_| true).await
}

/// All snapshots with our mark, of one cluster where one is named, newest first. Of their tags only those that say
/// what they are: there may be thousands, with tens of tags each.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn ours(compute: &Compute, cluster: Option<&str>) -> Result<Vec<Snapshot>> {
    let mut filters = vec![filter(format!("tag:{}", tags::MANAGED), [tags::MANAGED_VALUE])];
    filters.extend(cluster.map(|cluster| filter(format!("tag:{}", tags::CLUSTER), [cluster])));
    let mut found = collect(compute, filters, |key| key.starts_with(tags::OURS) || tags::is_of_kops(key)).await?;
    found.retain(|snapshot| snapshot.is_ours(&compute.identity.account));
    Ok(found)
}

async fn collect(
    compute: &Compute,
    filters: Vec<types::Filter>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Snapshot>> {
    let request = compute.ec2.describe_snapshots().owner_ids("self").set_filters(Some(filters)).max_results(PAGE);
    // one by one: EC2's own form of thousands of them takes many times the memory
    let (mut items, mut found) = (request.into_paginator().items().send(), Vec::new());
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| compute.explain(&error, "ec2", "describing snapshots"))?;
        let mut snapshot = snapshot(&item);
        if snapshot.owner == compute.identity.account {
            snapshot.tags.retain(|key, _| wanted(key));
            found.push(snapshot);
        }
    }
    found.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.id.cmp(&b.id)));
    Ok(found)
}

/// What EC2 says of a volume.
pub fn volume(found: &types::Volume) -> Volume {
    let tags = tags_of(found.tags());
    let (disk, members) = tags::of_kops(&tags).unzip();
    Volume {
        id: text(found.volume_id()),
        disk,
        members: members.unwrap_or_default(),
        zone: text(found.availability_zone()),
        kind: found.volume_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        size: found.size().unwrap_or_default(),
        iops: found.iops(),
        throughput: found.throughput(),
        encrypted: found.encrypted().unwrap_or_default(),
        kms_key: found.kms_key_id().map(str::to_owned),
        state: found.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        attachments: found.attachments().iter().map(attachment).collect(),
        tags,
        snapshot: found.snapshot_id().filter(|id| !id.is_empty()).map(str::to_owned),
        created: found.create_time().and_then(timestamp),
    }
}

fn attachment(found: &types::VolumeAttachment) -> Attachment {
    Attachment {
        instance: text(found.instance_id()),
        device: text(found.device()),
        delete_on_termination: found.delete_on_termination().unwrap_or_default(),
    }
}

/// What EC2 says of a snapshot.
pub fn snapshot(found: &types::Snapshot) -> Snapshot {
    let state = match found.state() {
        Some(types::SnapshotState::Completed) => State::Completed,
        Some(types::SnapshotState::Error) => State::Failed(text(found.state_message())),
        Some(types::SnapshotState::Pending) | None => State::Pending,
        Some(other) => State::Other(other.as_str().to_owned()),
    };
    Snapshot {
        id: text(found.snapshot_id()),
        volume: text(found.volume_id()),
        owner: text(found.owner_id()),
        state,
        progress: text(found.progress()),
        started: found.start_time().and_then(timestamp),
        size: found.volume_size().unwrap_or_default(),
        encrypted: found.encrypted().unwrap_or_default(),
        kms_key: found.kms_key_id().map(str::to_owned),
        tier: found.storage_tier().map_or("standard", types::StorageTier::as_str).to_owned(),
        description: text(found.description()),
        tags: tags_of(found.tags()),
    }
}

/// Tags as EC2 gives them.
pub fn tags_of(tags: &[types::Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), text(tag.value())))).collect()
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn timestamp(time: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos().cast_signed()).ok()
}
