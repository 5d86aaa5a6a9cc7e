//! EC2's actions, and what volumes, snapshots and instances have in common.

use std::fmt::Display;

use super::state::{Instance, State, Tags, missing};
use super::xml::{element, list, page, text};
use super::{Refusal, Request, filter, snapshots, volumes};

pub fn answer(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let body = match request.action.as_str() {
        "DescribeVolumes" => volumes::describe(state, request)?,
        "CreateVolume" => volumes::create(state, request)?,
        "DeleteVolume" => volumes::delete(state, request)?,
        "AttachVolume" => volumes::attach(state, request)?,
        "DetachVolume" => volumes::detach(state, request)?,
        "DescribeSnapshots" => snapshots::describe(state, request)?,
        "CreateSnapshot" => snapshots::create(state, request)?,
        "CreateSnapshots" => snapshots::create_of_instance(state, request)?,
        "DeleteSnapshot" => snapshots::delete(state, request)?,
        "DescribeInstances" => describe_instances(state, request)?,
        "DescribeAvailabilityZones" => describe_zones(state, request),
        "CreateTags" => create_tags(state, request)?,
        "DeleteTags" => delete_tags(state, request)?,
        other => {
            return Err(Refusal(400, "InvalidAction", format!("The action {other} is not valid for this web service")));
        }
    };
    Ok(element(&format!("{}Response", request.action), body))
}

/// EC2's limits on the tags of one resource.
pub fn checked(tags: &Tags) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal(400, "InvalidParameterValue", message));
    if let Some(key) = tags.keys().find(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return invalid(format!("Tag keys starting with 'aws:' are reserved for internal use: {key}"));
    }
    if let Some(key) = tags.keys().find(|key| key.chars().count() > 128 || key.is_empty()) {
        return invalid(format!("Tag key exceeds the maximum length of 128 characters: {key}"));
    }
    if let Some(value) = tags.values().find(|value| value.chars().count() > 256) {
        return invalid(format!("Tag value exceeds the maximum length of 256 characters: {value}"));
    }
    if tags.len() > 50 {
        return Err(Refusal(400, "TagLimitExceeded", "The maximum number of Tags for a resource is 50".to_owned()));
    }
    Ok(())
}

/// The tags that a new resource of this kind gets.
pub fn specified(request: &Request, kind: &str) -> Result<Tags, Refusal> {
    let of_kind = (1..9).filter(|n| request.is(&format!("TagSpecification.{n}.ResourceType"), kind));
    let tags: Tags = of_kind.flat_map(|n| request.tags(&format!("TagSpecification.{n}.Tag"))).collect();
    checked(&tags).map(|()| tags)
}

pub fn tag_set(tags: &Tags) -> String {
    list("tagSet", "item", tags.iter().map(|(key, value)| text("key", key) + &text("value", value)))
}

/// Seconds since 1970 as EC2 writes a time.
pub fn time(name: &str, seconds: i64) -> String {
    text(name, jiff::Timestamp::from_second(seconds).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000Z"))
}

pub fn done() -> String {
    text("return", true)
}

/// The values of a filter.
pub fn one(value: impl Display) -> Option<Vec<String>> {
    Some(vec![value.to_string()])
}

fn create_tags(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let (ids, added) = (request.list("ResourceId"), request.tags("Tag"));
    for id in &ids {
        let mut tags = state.tags_of(id)?.clone();
        tags.extend(added.clone());
        checked(&tags)?;
    }
    request.not_dry()?;
    for id in &ids {
        state.tags_of(id)?.extend(added.clone());
    }
    Ok(done())
}

fn delete_tags(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let (ids, removed) = (request.list("ResourceId"), request.pairs("Tag"));
    for id in &ids {
        state.tags_of(id)?;
    }
    request.not_dry()?;
    for id in &ids {
        // a key with a value goes only with that value
        let goes = |key: &String, value: &String| {
            removed.iter().any(|(gone, of)| gone == key && of.as_ref().is_none_or(|of| of == value))
        };
        state.tags_of(id)?.retain(|key, value| !goes(key, value));
    }
    Ok(done())
}

fn describe_zones(state: &State, request: &Request) -> String {
    let asked = request.list("ZoneName");
    let zones = state.zones.iter().filter(|(name, ..)| asked.is_empty() || asked.contains(name));
    let zones = zones.map(|(name, id, available)| {
        let status = if *available { "available" } else { "unavailable" };
        text("zoneName", name) + &text("zoneId", id) + &text("zoneState", status) + &text("regionName", &request.region)
    });
    list("availabilityZoneInfo", "item", zones)
}

fn describe_instances(state: &State, request: &Request) -> Result<String, Refusal> {
    let (ids, filters) = (request.list("InstanceId"), request.filters("Filter", "Value"));
    if let Some(id) = ids.iter().find(|id| !state.instances.contains_key(*id)) {
        return Err(missing(id));
    }
    let mut found = Vec::new();
    for (id, instance) in state.instances.iter().filter(|(id, _)| ids.is_empty() || ids.contains(id)) {
        let held = || {
            state.volumes.iter().filter(|(_, volume)| volume.attachment.as_ref().is_some_and(|at| at.instance == *id))
        };
        let field = |name: &str| match name {
            "instance-state-name" => one(&instance.status),
            "instance-id" => one(id),
            "availability-zone" => one(&instance.zone),
            "block-device-mapping.volume-id" => Some(held().map(|(volume, _)| volume.clone()).collect()),
            _ => None,
        };
        if filter::matches(&filters, &instance.tags, field)? {
            let devices = held().filter_map(|(volume, of)| {
                let at = of.attachment.as_ref()?;
                let ebs = text("volumeId", volume)
                    + &text("status", "attached")
                    + &text("deleteOnTermination", at.delete_on_termination);
                Some(text("deviceName", &at.device) + &element("ebs", ebs))
            });
            found.push(shown(id, instance, list("blockDeviceMapping", "item", devices), state));
        }
    }
    Ok(page(request, "MaxResults", ["reservationSet", "item", "nextToken"], found))
}

/// A reservation of one instance.
fn shown(id: &str, instance: &Instance, devices: String, state: &State) -> String {
    let code = match instance.status.as_str() {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        _ => 48,
    };
    let item = text("instanceId", id)
        + &element("instanceState", text("code", code) + &text("name", &instance.status))
        + &element("placement", text("availabilityZone", &instance.zone))
        + &text("rootDeviceName", "/dev/xvda")
        + &devices
        + &tag_set(&instance.tags);
    text("reservationId", format!("r-{id}")) + &text("ownerId", &state.account) + &list("instancesSet", "item", [item])
}
