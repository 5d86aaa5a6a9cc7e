//! IAM, as far as the policies of `volume iam-policy` need it: actions, `StringEquals` and `StringLike` on tags.

use serde_json::Value;

use super::state::{State, Tags};
use super::{Refusal, Request, filter};

/// Refuses what the account's policy does not allow. STS tells everybody who they are.
pub fn check(state: &mut State, request: &Request) -> Result<(), Refusal> {
    let Some(policy) = state.policy.clone() else { return Ok(()) };
    if request.service == "sts" {
        return Ok(());
    }
    let action = format!("{}:{}", request.service, request.action);
    let mut allowed = allows(&policy, &action, &context(state, request, None));
    // tags of a new resource are a permission of their own
    if allowed && request.action.starts_with("Create") && request.get("TagSpecification.1.ResourceType").is_some() {
        allowed = allows(&policy, "ec2:CreateTags", &context(state, request, Some(&request.action)));
    }
    match (allowed, request.service.as_str()) {
        (true, _) => Ok(()),
        (false, "ec2") => Err(Refusal(
            403,
            "UnauthorizedOperation",
            unauthorized(&action) + " Encoded authorization failure message: bm90aGluZw",
        )),
        (false, _) => Err(Refusal(403, "AccessDenied", unauthorized(&action))),
    }
}

/// AWS's words for a missing permission.
pub fn unauthorized(action: &str) -> String {
    let who = "arn:aws:iam::123456789012:user/tester";
    format!(
        "You are not authorized to perform this operation. User: {who} is not authorized to perform: {action} on \
         resource: * because no identity-based policy allows the {action} action."
    )
}

/// Each resource of a request with the condition keys that it has.
fn context(state: &mut State, request: &Request, creating: Option<&str>) -> Vec<Tags> {
    let prefixes = ["ResourceId", "VolumeId", "SnapshotId"];
    let single = ["VolumeId", "SnapshotId"].iter().filter_map(|name| request.get(name).map(str::to_owned));
    let ids: Vec<String> = prefixes.iter().flat_map(|prefix| request.list(prefix)).chain(single).collect();
    let mut of_request = Tags::new();
    let new = request.tags("TagSpecification.1.Tag").into_iter().chain(request.tags("Tag"));
    of_request.extend(new.map(|(key, value)| (format!("aws:RequestTag/{key}"), value)));
    of_request.extend(creating.map(|action| ("ec2:CreateAction".to_owned(), action.to_owned())));
    if let Some(group) = request.get("AutoScalingGroupName").and_then(|name| state.groups.get(name)) {
        let keys = group.tags.iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), value.clone()));
        of_request.extend(keys);
    }
    if ids.is_empty() || creating.is_some() || request.action.starts_with("Create") && request.action != "CreateTags" {
        return vec![of_request];
    }
    let resource = |id: &String| {
        let mut keys = of_request.clone();
        let tags = state.tags_of(id).map(|tags| tags.clone()).unwrap_or_default();
        keys.extend(tags.into_iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), value)));
        keys
    };
    ids.iter().map(resource).collect()
}

/// Whether some statement allows the action, for each resource.
fn allows(policy: &Value, action: &str, resources: &[Tags]) -> bool {
    let statements: Vec<&Value> = policy["Statement"].as_array().into_iter().flatten().collect();
    let of_action = |statement: &&&Value| texts(&statement["Action"]).iter().any(|own| own == action);
    resources.iter().all(|keys| statements.iter().filter(of_action).any(|statement| met(&statement["Condition"], keys)))
}

fn met(condition: &Value, keys: &Tags) -> bool {
    let operators = condition.as_object().into_iter().flatten();
    operators
        .flat_map(|(operator, tests)| tests.as_object().into_iter().flatten().map(move |test| (operator, test)))
        .all(|(operator, (key, wanted))| {
            let wanted = texts(wanted);
            let has = keys.get(key);
            match (operator.as_str(), has) {
                ("StringEquals", Some(has)) => wanted.contains(has),
                ("StringLike", Some(has)) => {
                    wanted.iter().any(|pattern| filter::fits(pattern.as_bytes(), has.as_bytes()))
                }
                ("Null", has) => wanted.iter().all(|wanted| (wanted == "true") == has.is_none()),
                _ => false,
            }
        })
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => vec![],
    }
}
