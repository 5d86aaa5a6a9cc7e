//! Volumes.

use super::ec2::{done, one, specified, tag_set, time};
use super::state::{Attachment, State, Volume, missing};
use super::xml::{list, optional, page, text};
use super::{Refusal, Request, filter};

pub fn describe(state: &State, request: &Request) -> Result<String, Refusal> {
    let (ids, filters) = (request.list("VolumeId"), request.filters("Filter", "Value"));
    if let Some(id) = ids.iter().find(|id| !state.volumes.contains_key(*id)) {
        return Err(missing(id));
    }
    let mut found = Vec::new();
    for (id, volume) in state.volumes.iter().filter(|(id, _)| ids.is_empty() || ids.contains(id)) {
        let at = volume.attachment.as_ref();
        let field = |name: &str| match name {
            "volume-id" => one(id),
            "status" => one(&volume.status),
            "availability-zone" => one(&volume.zone),
            "snapshot-id" => one(&volume.snapshot),
            "attachment.instance-id" => Some(at.map(|at| at.instance.clone()).into_iter().collect()),
            "attachment.device" => Some(at.map(|at| at.device.clone()).into_iter().collect()),
            _ => None,
        };
        if filter::matches(&filters, &volume.tags, field)? {
            found.push(shown(id, volume));
        }
    }
    Ok(page(request, "MaxResults", ["volumeSet", "item", "nextToken"], found))
}

pub fn create(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let zone = request.get("AvailabilityZone").unwrap_or_default();
    let zone_id = request.get("AvailabilityZoneId").unwrap_or_default();
    let zone = state.zones.iter().find(|(name, id, available)| *available && (name == zone || id == zone_id));
    let zone = zone.map(|(name, ..)| name.clone());
    let zone = zone.ok_or_else(|| Refusal(400, "InvalidZone.NotFound", "The zone does not exist.".to_owned()))?;
    let number = |name: &str| request.number(name);
    let token = request.get("ClientToken").map(str::to_owned);
    let mut volume = Volume {
        zone,
        size: number("Size").unwrap_or_default(),
        kind: request.get("VolumeType").unwrap_or("gp2").to_owned(),
        iops: number("Iops"),
        throughput: number("Throughput"),
        encrypted: request.is("Encrypted", "true"),
        kms_key: request.get("KmsKeyId").map(str::to_owned),
        snapshot: request.get("SnapshotId").unwrap_or_default().to_owned(),
        status: "creating".to_owned(),
        left: state.volume_takes,
        attachment: None,
        created: state.now,
        token,
        tags: specified(request, "volume")?,
    };
    inherit(state, &mut volume)?;
    request.not_dry()?;
    let same = state.volumes.iter().find(|(_, other)| volume.token.is_some() && other.token == volume.token);
    if let Some((id, other)) = same {
        let parameters = |volume: &Volume| (volume.zone.clone(), volume.snapshot.clone(), volume.size, volume.iops);
        return match parameters(other) == parameters(&volume) {
            true => Ok(shown(id, other)),
            false => Err(Refusal(400, "IdempotentParameterMismatch", "The client token was used before".to_owned())),
        };
    }
    let id = state.id("vol");
    let answer = shown(&id, &volume);
    state.volumes.insert(id, volume);
    Ok(answer)
}

/// What a new volume has from its snapshot.
fn inherit(state: &State, volume: &mut Volume) -> Result<(), Refusal> {
    if volume.snapshot.is_empty() {
        return Ok(());
    }
    let snapshot = state.snapshots.get(&volume.snapshot).ok_or_else(|| missing(&volume.snapshot))?;
    if snapshot.status != "completed" || snapshot.tier != "standard" {
        let message = format!("Snapshot is in invalid state - {}", snapshot.status);
        return Err(Refusal(400, "IncorrectState", message));
    }
    volume.size = volume.size.max(snapshot.size);
    volume.encrypted |= snapshot.encrypted;
    volume.kms_key = volume.kms_key.take().or_else(|| snapshot.kms_key.clone());
    Ok(())
}

/// The volume that a request names.
fn named<'a>(state: &'a mut State, request: &Request) -> Result<(String, &'a mut Volume), Refusal> {
    let id = request.get("VolumeId").unwrap_or_default();
    state.volumes.get_mut(id).map(|volume| (id.to_owned(), volume)).ok_or_else(|| missing(id))
}

pub fn delete(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let (id, volume) = named(state, request)?;
    if let Some(at) = &volume.attachment {
        let message = format!("Volume {id} is currently attached to {}", at.instance);
        return Err(Refusal(400, "VolumeInUse", message));
    }
    request.not_dry()?;
    state.volumes.remove(&id);
    Ok(done())
}

pub fn attach(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let text = |name| request.get(name).unwrap_or_default().to_owned();
    let (id, volume) = named(state, request)?;
    if volume.status != "available" {
        return Err(Refusal(400, "IncorrectState", format!("{id} is not 'available'.")));
    }
    request.not_dry()?;
    let (instance, device) = (text("InstanceId"), text("Device"));
    let at = Attachment { instance, device, delete_on_termination: false };
    let answer = attachment(&id, &at, "attaching");
    volume.status = "in-use".to_owned();
    volume.attachment = Some(at);
    Ok(answer)
}

pub fn detach(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let (id, volume) = named(state, request)?;
    let Some(at) = volume.attachment.clone() else {
        return Err(Refusal(400, "IncorrectState", format!("Volume '{id}' is in the 'available' state.")));
    };
    request.not_dry()?;
    volume.status = "available".to_owned();
    volume.attachment = None;
    Ok(attachment(&id, &at, "detaching"))
}

fn attachment(id: &str, at: &Attachment, status: &str) -> String {
    text("volumeId", id)
        + &text("instanceId", &at.instance)
        + &text("device", &at.device)
        + &text("status", status)
        + &text("deleteOnTermination", at.delete_on_termination)
}

fn shown(id: &str, volume: &Volume) -> String {
    let attached = volume.attachment.iter().map(|at| attachment(id, at, "attached"));
    text("volumeId", id)
        + &text("size", volume.size)
        + &text("snapshotId", &volume.snapshot)
        + &text("availabilityZone", &volume.zone)
        + &text("status", &volume.status)
        + &time("createTime", volume.created)
        + &list("attachmentSet", "item", attached)
        + &text("encrypted", volume.encrypted)
        + &optional("kmsKeyId", volume.kms_key.as_ref())
        + &optional("iops", volume.iops)
        + &optional("throughput", volume.throughput)
        + &text("volumeType", &volume.kind)
        + &tag_set(&volume.tags)
}
