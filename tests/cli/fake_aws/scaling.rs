//! Auto Scaling groups.

use super::state::{Group, Instance, State};
use super::xml::{element, list, page, text};
use super::{Refusal, Request, filter};

pub fn answer(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let action = request.action.as_str();
    let result = match action {
        "DescribeAutoScalingGroups" => describe(state, request)?,
        "CreateLaunchConfiguration" => String::new(),
        "CreateAutoScalingGroup" => create(state, request),
        "UpdateAutoScalingGroup" => update(state, request)?,
        "DescribeLifecycleHooks" => hooks(state, request)?,
        "DescribeInstanceRefreshes" => list("InstanceRefreshes", "member", []),
        "DescribeScalingActivities" => list("Activities", "member", []),
        other => return Err(Refusal(400, "InvalidAction", format!("Could not find operation {other}"))),
    };
    Ok(element(&format!("{action}Response"), element(&format!("{action}Result"), result)))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal(400, "ValidationError", message.into())
}

fn name(request: &Request) -> String {
    request.get("AutoScalingGroupName").unwrap_or_default().to_owned()
}

fn describe(state: &State, request: &Request) -> Result<String, Refusal> {
    let asked = request.list("AutoScalingGroupNames.member");
    let filters = request.filters("Filters.member", "Values.member");
    let mut found = Vec::new();
    for (name, group) in state.groups.iter().filter(|(name, _)| asked.is_empty() || asked.contains(name)) {
        let field = |name: &str| match name {
            "tag-value" => Some(group.tags.values().cloned().collect()),
            _ => None,
        };
        if filter::matches(&filters, &group.tags, field)? {
            found.push(shown(state, name, group));
        }
    }
    Ok(page(request, "MaxRecords", ["AutoScalingGroups", "member", "NextToken"], found))
}

fn create(state: &mut State, request: &Request) -> String {
    let name = name(request);
    let number = |name| request.number(name).unwrap_or_default();
    let group = Group {
        zone: request.get("AvailabilityZones.member.1").unwrap_or_default().to_owned(),
        min: number("MinSize"),
        max: number("MaxSize"),
        desired: request.number("DesiredCapacity").unwrap_or_else(|| number("MinSize")),
        tags: request.tags("Tags.member"),
        hooks: vec![],
        suspended: vec![],
    };
    state.groups.insert(name.clone(), group);
    state.scale(&name);
    String::new()
}

fn update(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let name = name(request);
    let not_there =
        || invalid("AutoScalingGroup name not found - AutoScalingGroup '".to_owned() + &name + "' not found");
    let group = state.groups.get_mut(&name).ok_or_else(not_there)?;
    let min = request.number("MinSize").unwrap_or(group.min);
    let max = request.number("MaxSize").unwrap_or(group.max);
    let desired = request.number("DesiredCapacity").unwrap_or_else(|| group.desired.max(min).min(max));
    if min > max || desired < min || desired > max {
        return Err(invalid(format!(
            "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
        )));
    }
    (group.min, group.max, group.desired) = (min, max, desired);
    state.scale(&name);
    Ok(String::new())
}

fn hooks(state: &State, request: &Request) -> Result<String, Refusal> {
    let name = name(request);
    let group = state.groups.get(&name).ok_or_else(|| invalid(format!("Group {name} not found")))?;
    let hooks = group.hooks.iter().map(|hook| {
        text("LifecycleHookName", hook)
            + &text("AutoScalingGroupName", &name)
            + &text("LifecycleTransition", "autoscaling:EC2_INSTANCE_TERMINATING")
            + &text("DefaultResult", "CONTINUE")
    });
    Ok(list("LifecycleHooks", "member", hooks))
}

fn shown(state: &State, name: &str, group: &Group) -> String {
    let of_group = |(_, instance): &(&String, &Instance)| instance.group == name && instance.status != "terminated";
    let instances = state.instances.iter().filter(of_group).map(|(id, instance)| {
        let lifecycle = match (instance.status.as_str(), group.hooks.is_empty()) {
            ("pending", _) => "Pending",
            ("running", _) => "InService",
            (_, true) => "Terminating",
            (_, false) => "Terminating:Wait",
        };
        text("InstanceId", id)
            + &text("AvailabilityZone", &instance.zone)
            + &text("LifecycleState", lifecycle)
            + &text("HealthStatus", "Healthy")
            + &text("ProtectedFromScaleIn", instance.protected)
    });
    let tags = group.tags.iter().map(|(key, value)| {
        text("Key", key)
            + &text("Value", value)
            + &text("ResourceId", name)
            + &text("ResourceType", "auto-scaling-group")
            + &text("PropagateAtLaunch", true)
    });
    let suspended = group
        .suspended
        .iter()
        .map(|process| text("ProcessName", process) + &text("SuspensionReason", "User suspended"));
    text("AutoScalingGroupName", name)
        + &text("MinSize", group.min)
        + &text("MaxSize", group.max)
        + &text("DesiredCapacity", group.desired)
        + &text("DefaultCooldown", 300)
        + &list("AvailabilityZones", "member", [group.zone.clone()])
        + &text("HealthCheckType", "EC2")
        + &text("CreatedTime", "2026-01-01T00:00:00Z")
        + &list("Instances", "member", instances)
        + &list("Tags", "member", tags)
        + &list("SuspendedProcesses", "member", suspended)
}
