//! Snapshots.

use super::ec2::{done, one, specified, tag_set, time};
use super::state::{Snapshot, State, Tags, missing, over};
use super::xml::{list, optional, page, text};
use super::{Refusal, Request, filter};

/// All that match, whoever owns them: moto does not look at the owner either, and the plugin must.
pub fn describe(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let ids = request.list("SnapshotId");
    let filters = request.filters("Filter", "Value");
    if let Some(id) = ids.iter().find(|id| !state.snapshots.contains_key(*id)) {
        return Err(missing(id));
    }
    let mut found = Vec::new();
    for (id, snapshot) in &mut state.snapshots {
        if !over(&mut snapshot.hidden) {
            continue;
        }
        let field = |name: &str| match name {
            "snapshot-id" => one(id),
            "status" => one(&snapshot.status),
            "volume-id" => one(&snapshot.volume),
            "owner-id" => one(&snapshot.owner),
            "description" => one(&snapshot.description),
            "storage-tier" => one(&snapshot.tier),
            _ => None,
        };
        let asked = ids.is_empty() || ids.contains(id);
        if asked && filter::matches(&filters, &snapshot.tags, field)? {
            found.push(shown(id, snapshot, "status"));
        }
    }
    Ok(page(request, "MaxResults", ["snapshotSet", "item", "nextToken"], found))
}

pub fn create(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let volume = request.get("VolumeId").unwrap_or_default();
    if !state.volumes.contains_key(volume) {
        return Err(missing(volume));
    }
    let tags = specified(request, "snapshot")?;
    request.not_dry()?;
    let id = take(state, volume, request.get("Description").unwrap_or_default(), tags);
    Ok(shown(&id, &state.snapshots[&id], "status"))
}

/// `CreateSnapshots`: of all volumes of an instance that are not excluded, at one moment.
pub fn create_of_instance(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let instance = request.get("InstanceSpecification.InstanceId").unwrap_or_default();
    if !state.instances.contains_key(instance) {
        return Err(missing(instance));
    }
    let excluded = request.list("InstanceSpecification.ExcludeDataVolumeId");
    let tags = specified(request, "snapshot")?;
    let volumes: Vec<(String, Tags)> = state
        .volumes
        .iter()
        .filter(|(id, volume)| {
            volume.attachment.as_ref().is_some_and(|at| at.instance == instance) && !excluded.contains(id)
        })
        .map(|(id, volume)| (id.clone(), volume.tags.clone()))
        .collect();
    request.not_dry()?;
    let (copies, at_once) = (request.is("CopyTagsFromSource", "volume"), state.now);
    let taken = volumes.into_iter().map(|(volume, of_volume)| {
        let mut all = if copies { of_volume } else { Tags::new() };
        all.extend(tags.clone());
        let id = take(state, &volume, request.get("Description").unwrap_or_default(), all);
        let snapshot = state.snapshots.get_mut(&id).unwrap();
        snapshot.started = at_once;
        shown(&id, snapshot, "state")
    });
    Ok(list("snapshotSet", "item", taken.collect::<Vec<_>>()))
}

fn take(state: &mut State, volume: &str, description: &str, tags: Tags) -> String {
    let (id, of) = (state.id("snap"), state.volumes[volume].clone());
    let snapshot = Snapshot {
        volume: volume.to_owned(),
        owner: state.account.clone(),
        status: "pending".to_owned(),
        message: None,
        left: state.snapshot_takes,
        hidden: state.snapshots_hide,
        started: state.now,
        size: of.size,
        encrypted: of.encrypted,
        kms_key: of.kms_key,
        tier: "standard".to_owned(),
        description: description.to_owned(),
        tags,
        locked: false,
        used_by: None,
    };
    state.snapshots.insert(id.clone(), snapshot);
    id
}

pub fn delete(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let id = request.get("SnapshotId").unwrap_or_default();
    let snapshot = state.snapshots.get(id).ok_or_else(|| missing(id))?;
    if snapshot.locked {
        let message = format!("The snapshot {id} is locked and cannot be deleted.");
        return Err(Refusal(400, "SnapshotLocked", message));
    }
    if let Some(image) = &snapshot.used_by {
        let message = format!("The snapshot {id} is currently in use by {image}");
        return Err(Refusal(400, "InvalidSnapshot.InUse", message));
    }
    request.not_dry()?;
    state.snapshots.remove(id);
    Ok(done())
}

/// `CreateSnapshots` calls the status `state`; all others do not.
fn shown(id: &str, snapshot: &Snapshot, status: &str) -> String {
    let progress = if snapshot.status == "completed" { "100%" } else { "45%" };
    text("snapshotId", id)
        + &text("volumeId", &snapshot.volume)
        + &text(status, &snapshot.status)
        + &optional("statusMessage", snapshot.message.as_ref())
        + &time("startTime", snapshot.started)
        + &text("progress", progress)
        + &text("ownerId", &snapshot.owner)
        + &text("volumeSize", snapshot.size)
        + &text("description", &snapshot.description)
        + &text("encrypted", snapshot.encrypted)
        + &optional("kmsKeyId", snapshot.kms_key.as_ref())
        + &text("storageTier", &snapshot.tier)
        + &tag_set(&snapshot.tags)
}
