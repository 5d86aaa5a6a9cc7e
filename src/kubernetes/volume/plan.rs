//! Where a reader of a claim has to run, or why it cannot: pure.
//!
//! Source of the rules: Kubernetes, "Persistent Volumes" (access modes, phases, node affinity), v1.34.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::Found;
use crate::error::{Error, Result};
use crate::kubernetes::reader::APP;

/// A reader's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The node that it must run on; any that the scheduler finds when `None`.
    pub node: Option<String>,
    /// Why there.
    pub because: String,
}

/// Decides.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) with what to do, for a claim without a volume, one that is
/// being deleted, one that only one pod at a time may use and one does, a block device, and a volume whose nodes are lost.
pub fn plan(found: &Found) -> Result<Plan> {
    let name = found.claim.name_any();
    let phase = found.claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if found.claim.metadata.deletion_timestamp.is_some() {
        return Err(leaving(found, &name));
    }
    match phase {
        "Lost" => return Err(lost_volume(found, &name)),
        "Bound" => {}
        _ => return Err(unbound(found, &name)),
    }
    let spec = found.claim.spec.as_ref();
    if spec.and_then(|spec| spec.volume_mode.as_deref()) == Some("Block") {
        return Err(Error::general(format!("claim {name} is a raw block device, and holds no files"))
            .hint("--print-manual says where it is"));
    }
    let modes = access_modes(&found.claim);
    let has = |mode: &str| modes.iter().any(|one| one == mode);
    if has("ReadWriteOncePod") {
        // a pod without a node keeps no other from the claim
        return match found.users.iter().find(|pod| is_placed(pod)) {
            Some(user) => Err(taken(&name, user, &found.claim.namespace().unwrap_or_default())),
            None => by_volume(found, &name),
        };
    }
    if has("ReadWriteMany") || has("ReadOnlyMany") {
        return by_volume(found, &name);
    }
    match found.users.iter().filter(|pod| is_placed(pod)).max_by_key(|pod| is_running(pod)) {
        Some(user) => beside(found, &name, user),
        None => by_volume(found, &name),
    }
}

/// Whether a pod that has not ended names the claim.
pub(super) fn uses(pod: &Pod, claim: &str) -> bool {
    let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    // an earlier reader that is just going says nothing about where the volume belongs
    let leaving = pod.metadata.deletion_timestamp.is_some() && pod.labels().get("app").is_some_and(|app| app == APP);
    !leaving
        && !matches!(ended, Some("Succeeded" | "Failed"))
        && volumes.iter().any(|one| one.persistent_volume_claim.as_ref().is_some_and(|one| one.claim_name == claim))
}

/// The access modes of a claim: those of its volume, else those that it asks for.
pub fn access_modes(claim: &PersistentVolumeClaim) -> Vec<String> {
    let of_status = claim.status.as_ref().and_then(|status| status.access_modes.clone());
    let of_spec = || claim.spec.as_ref().and_then(|spec| spec.access_modes.clone());
    of_status.filter(|modes| !modes.is_empty()).or_else(of_spec).unwrap_or_default()
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

fn is_placed(pod: &Pod) -> bool {
    node_of(pod).is_some()
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

/// On the node that has the volume already.
fn beside(found: &Found, claim: &str, user: &Pod) -> Result<Plan> {
    let (pod, node) = (user.name_any(), node_of(user).unwrap_or_default().to_owned());
    let state = found.nodes.as_ref().map(|nodes| nodes.iter().find(|one| one.name_any() == node).map(is_ready));
    if matches!(state, Some(None | Some(false))) {
        let namespace = found.claim.namespace().unwrap_or_default();
        return Err(Error::general(format!(
            "claim {claim} is in use by pod {pod} on node {node}, which is lost: no other node gets the volume before \
             that one gives it up"
        ))
        .hint(format!("bring node {node} back: kubectl describe node {node}"))
        .hint(format!(
            "or, only if that machine is really off: kubectl delete pod {pod} -n {namespace} --force --grace-period=0"
        ))
        .hint("or take the disk out and mount it elsewhere: --print-manual"));
    }
    Ok(Plan { because: format!("pod {pod} has the volume there"), node: Some(node) })
}

/// Where the volume itself lets pods be.
fn by_volume(found: &Found, claim: &str) -> Result<Plan> {
    let anywhere = |because: &str| Plan { node: None, because: because.to_owned() };
    let terms =
        found.volume.as_ref().and_then(|volume| volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref());
    let (Some(terms), Some(nodes)) = (terms.map(|terms| &terms.node_selector_terms), &found.nodes) else {
        return Ok(anywhere("the scheduler knows where the volume can be"));
    };
    let fitting: Vec<&Node> = nodes.iter().filter(|node| terms.iter().any(|term| fits(node, term))).collect();
    let ready: Vec<&&Node> = fitting.iter().filter(|node| is_ready(node)).collect();
    match (ready.as_slice(), fitting.as_slice()) {
        ([only], [_]) => {
            let because = "the volume is on that node".to_owned();
            Ok(Plan { node: Some(only.name_any()), because })
        }
        ([_, ..], _) => Ok(anywhere("any node that the volume fits")),
        ([], fitting) => Err(lost_nodes(claim, &shown(terms), fitting)),
    }
}

fn fits(node: &Node, term: &NodeSelectorTerm) -> bool {
    let labels = |key: &str| node.labels().get(key).cloned();
    let fields = |key: &str| (key == "metadata.name").then(|| node.name_any());
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let by_field = term.match_fields.as_deref().unwrap_or_default();
    expressions.iter().all(|one| holds(one, labels(&one.key)))
        && by_field.iter().all(|one| holds(one, fields(&one.key)))
        && !(expressions.is_empty() && by_field.is_empty())
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = values.first().and_then(|text| number(text));
    let own = value.as_deref().and_then(number);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(&value)),
        "NotIn" => value.is_none_or(|value| !values.contains(&value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => matches!((own, bound), (Some(own), Some(bound)) if own > bound),
        "Lt" => matches!((own, bound), (Some(own), Some(bound)) if own < bound),
        _ => false,
    }
}

/// The terms as a person reads them: `topology.kubernetes.io/zone in (a, b)`.
fn shown(terms: &[NodeSelectorTerm]) -> String {
    let requirement = |one: &NodeSelectorRequirement| {
        let values = one.values.as_deref().unwrap_or_default().join(", ");
        format!("{} {} ({values})", one.key, one.operator.to_lowercase())
    };
    let term = |term: &NodeSelectorTerm| {
        let all = term.match_expressions.iter().flatten().chain(term.match_fields.iter().flatten());
        all.map(requirement).collect::<Vec<_>>().join(" and ")
    };
    terms.iter().map(term).collect::<Vec<_>>().join(", or ")
}

fn lost_nodes(claim: &str, terms: &str, fitting: &[&Node]) -> Error {
    let manual = "or mount the disk elsewhere: --print-manual";
    match fitting.first() {
        None => {
            Error::general(format!("no node of this cluster can have the volume of claim {claim}: it wants {terms}"))
                .hint("bring such a node back, or add one in the same zone: kubectl get nodes --show-labels")
                .hint(manual)
        }
        Some(node) => {
            let name = node.name_any();
            Error::general(format!("node {name}, which can have the volume of claim {claim}, is not Ready ({terms})"))
                .hint(format!("kubectl describe node {name}"))
                .hint(manual)
        }
    }
}

/// Source of the rule: kubernetes/kubernetes, pkg/scheduler/framework/plugins/volumebinding (`is being deleted`), v1.34.
fn leaving(found: &Found, claim: &str) -> Error {
    let users: Vec<String> = found.users.iter().map(ResourceExt::name_any).collect();
    let until = if users.is_empty() { String::new() } else { format!(" when it is left by {}", users.join(", ")) };
    let error = Error::general(format!("claim {claim} is being deleted{until}, and no new pod gets it"));
    let error = match found.claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
        Some(volume) => error.hint(format!("keep what is on it, first of all: {}", retain(volume))),
        None => error,
    };
    error
        .hint("a sidecar that has it still serves it: --from service")
        .hint("--print-manual says where the disk is; once the claim is gone, this command says how to bind it again")
}

/// The command after which a volume outlives its claim.
pub fn retain(volume: &str) -> String {
    format!("kubectl patch pv {volume} -p '{{\"spec\":{{\"persistentVolumeReclaimPolicy\":\"Retain\"}}}}'")
}

fn lost_volume(found: &Found, claim: &str) -> Error {
    let volume = found.claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
    Error::general(format!("claim {claim} is Lost: its volume {volume} is no longer in the cluster"))
        .hint("the disk itself may be there: make a PersistentVolume of that name for it, and the claim is bound again")
        .hint("or read another copy: --from s3, or --from dir with the disk mounted by hand")
}

fn unbound(found: &Found, claim: &str) -> Error {
    let namespace = found.claim.namespace().unwrap_or_default();
    let class = found.claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
    let class = if class.is_empty() { "without a StorageClass".to_owned() } else { format!("StorageClass {class}") };
    Error::general(format!("claim {claim} is Pending: it has no volume yet, so nothing can be stored in it ({class})"))
        .hint(format!("kubectl describe pvc {claim} -n {namespace}"))
}

/// Who has to let go of a claim that only one pod at a time may use.
fn taken(claim: &str, user: &Pod, namespace: &str) -> Error {
    let pod = user.name_any();
    let error = Error::general(format!(
        "claim {claim} is ReadWriteOncePod and in use by pod {pod}: Kubernetes lets no second pod read it"
    ));
    let owner = user.owner_references().iter().find(|owner| owner.controller == Some(true));
    match owner.map(|owner| (owner.kind.as_str(), owner.name.as_str())) {
        Some(("ReplicaSet", name)) => {
            let deployment = name.rsplit_once('-').map_or(name, |(deployment, _)| deployment);
            error.hint(format!(
                "scale its owner down: kubectl scale deployment {deployment} -n {namespace} --replicas=0"
            ))
        }
        Some(("StatefulSet", name)) => {
            error.hint(format!("scale its owner down: kubectl scale statefulset {name} -n {namespace} --replicas=0"))
        }
        Some((kind, name)) => error.hint(format!("wait for its owner, {} {name}, to end", kind.to_lowercase())),
        None => error.hint(format!("wait for it to end, or kubectl delete pod {pod} -n {namespace}")),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
