//! Why a pod does not start: read from its status and from events, never from a Secret.
//!
//! Source of the words: kubernetes/kubernetes, pkg/kubelet (`secret "x" not found` of MountVolume.SetUp and of
//! CreateContainerConfigError, ErrImagePull, ImagePullBackOff) and pkg/controller/job (`Error creating: …`).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateWaiting, Event, Pod};

use super::claim;
use super::plan::{CLAIM, Plan, Store};

/// Something that keeps a run from starting: a word for the condition and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    pub message: String,
}

impl Trouble {
    /// A word and a sentence.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }

    /// The `Reason` of the status.
    pub fn text(&self) -> String {
        format!("{}: {}", self.reason, self.message)
    }
}

/// What keeps `pods` from running. `pod_events` are theirs, `owner_events` those of the Job or ReplicaSet.
pub fn find(plan: &Plan, pods: &[Pod], pod_events: &[Event], owner_events: &[Event]) -> Option<Trouble> {
    match newest(pods) {
        None => of_owner(owner_events),
        Some(pod) => waiting(pod)
            .and_then(|state| of_container(plan, state))
            .or_else(|| unscheduled(plan, pod))
            .or_else(|| if over(std::slice::from_ref(pod)) { None } else { unmounted(plan, pod_events) }),
    }
}

/// Why the owner of pods or of Jobs could not make one, from its events.
pub fn of_owner(events: &[Event]) -> Option<Trouble> {
    newest_event(events, "FailedCreate").map(|message| refused(&message))
}

fn newest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn waiting(pod: &Pod) -> Option<&ContainerStateWaiting> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find_map(|status| status.state.as_ref()?.waiting.as_ref())
}

/// Whether the container of one of `pods` runs: whatever was in the way is over.
pub fn over(pods: &[Pod]) -> bool {
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    statuses.filter_map(|status| status.state.as_ref()).any(|state| state.running.is_some())
}

fn of_container(plan: &Plan, state: &ContainerStateWaiting) -> Option<Trouble> {
    let reason = state.reason.as_deref().unwrap_or_default();
    let message = state.message.as_deref().unwrap_or(reason);
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable"
        | "ImageInspectError" => Some(Trouble::new("ImagePullFailed", message)),
        "CreateContainerConfigError" => {
            Some(missing(plan, message).unwrap_or_else(|| Trouble::new("ContainerConfigInvalid", message)))
        }
        "CreateContainerError" | "RunContainerError" => Some(Trouble::new("ContainerNotStarted", message)),
        "CrashLoopBackOff" => Some(Trouble::new("CrashLoop", message)),
        _ => None,
    }
}

/// Source of the words about claims: kubernetes/kubernetes, pkg/scheduler/framework/plugins/volumebinding, v1.34.
fn unscheduled(plan: &Plan, pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|found| found.type_ == "PodScheduled" && found.status == "False")?;
    let message = condition.message.clone().unwrap_or_else(|| "no node takes the pod".to_owned());
    (condition.reason.as_deref() == Some("Unschedulable")).then(|| match (&plan.store, missing(plan, &message)) {
        (_, Some(missing)) => missing,
        (Store::Volume(claim), None) if message.contains("unbound immediate PersistentVolumeClaims") => {
            let look = format!("kubectl -n {} describe persistentvolumeclaim {}", plan.namespace, claim.name);
            Trouble::new("ClaimPending", format!("claim {} has no volume yet; see why: {look}", claim.name))
        }
        _ => Trouble::new("Unschedulable", message),
    })
}

fn unmounted(plan: &Plan, events: &[Event]) -> Option<Trouble> {
    let attach = || newest_event(events, "FailedAttachVolume");
    let message = newest_event(events, "FailedMount").or_else(attach)?;
    Some(missing(plan, &message).unwrap_or_else(|| Trouble::new("VolumeNotMounted", message)))
}

/// `secret "x" not found`, and so for a ConfigMap and a claim, with the command that makes the object.
fn missing(plan: &Plan, message: &str) -> Option<Trouble> {
    let name = |kind: &str| {
        let rest = message.split_once(&format!("{kind} \""))?.1;
        rest.split_once("\" not found").map(|(name, _)| name.to_owned()).filter(|name| !name.contains('"'))
    };
    let of = |reason: &str, kind: &str, name: String| {
        let remedy = plan.remedy(kind, &name);
        Trouble::new(reason, format!("{name} in namespace {}; make it with: {remedy}", plan.namespace))
    };
    name("secret")
        .map(|found| of("SecretNotFound", "secret", found))
        .or_else(|| name("configmap").map(|found| of("ConfigMapNotFound", "configmap", found)))
        .or_else(|| name(CLAIM).map(|found| claim::missing(plan, &found)))
}

/// Why the Job controller could not make a pod.
fn refused(message: &str) -> Trouble {
    let ours = ["Error creating: ", "Error creating job: "].iter().find_map(|prefix| message.strip_prefix(prefix));
    let message = ours.unwrap_or(message);
    let reason = if message.contains("exceeded quota") {
        "QuotaExceeded"
    } else if message.contains("violates PodSecurity") {
        "PodSecurityViolated"
    } else if message.contains("error looking up service account") {
        "ServiceAccountNotFound"
    } else {
        "PodRefused"
    };
    Trouble::new(reason, message)
}

/// The message of the newest event of a reason.
fn newest_event(events: &[Event], reason: &str) -> Option<String> {
    let of_reason = events.iter().filter(|event| event.reason.as_deref() == Some(reason));
    of_reason.max_by_key(|event| seen(event)).and_then(|event| event.message.clone())
}

fn seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let times =
        [series, event.last_timestamp.as_ref().map(|time| time.0), event.event_time.as_ref().map(|time| time.0)];
    times.into_iter().flatten().max()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn pods(status: serde_json::Value) -> Vec<Pod> {
        vec![serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "status": status})).unwrap()]
    }

    fn event(reason: &str, message: &str, time: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "e"}, "involvedObject": {}, "reason": reason, "message": message, "lastTimestamp": time
        }))
        .unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Vec<Pod> {
        pods(serde_json::json!({"containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}]}))
    }

    #[test]
    fn a_missing_secret_is_named_with_the_command_that_makes_it() {
        let plan = samples::full_plan();
        let events = [
            event(
                "FailedMount",
                "MountVolume.SetUp failed for volume \"aws-secret\" : secret \"aws\" not found",
                "2026-01-01T00:00:09Z",
            ),
            event("FailedMount", "an older one", "2026-01-01T00:00:01Z"),
        ];
        let trouble = find(&plan, &waiting("ContainerCreating", ""), &events, &[]).unwrap();
        assert_eq!(
            trouble.text(),
            "SecretNotFound: aws in namespace default; make it with: kubectl etcdbackup credentials -n default \
             --secret-name aws"
        );
        let configured = waiting("CreateContainerConfigError", "secret \"aws\" not found");
        assert_eq!(find(&plan, &configured, &[], &[]).unwrap().reason, "SecretNotFound");
        let map = [event("FailedMount", "configmap \"aws-config\" not found", "2026-01-01T00:00:09Z")];
        assert_eq!(find(&plan, &waiting("ContainerCreating", ""), &map, &[]).unwrap().reason, "ConfigMapNotFound");
    }

    #[test]
    fn a_claim_that_is_missing_or_has_no_volume_is_told_from_a_full_node() {
        let plan = samples::volume_plan("disk-7");
        let told = |message: &str| {
            let pods = pods(serde_json::json!({"conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}));
            find(&plan, &pods, &[], &[]).unwrap().text()
        };
        let missing = told("0/1 nodes are available: persistentvolumeclaim \"disk-7\" not found. preemption: none");
        assert!(missing.starts_with("ClaimNotFound: disk-7 in namespace default; make it with: "), "{missing}");
        let pending =
            told("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: none");
        assert!(pending.ends_with("kubectl -n default describe persistentvolumeclaim disk-7"), "{pending}");
        assert!(told("0/1 nodes are available: 1 Insufficient memory.").starts_with("Unschedulable: "));
    }

    #[test]
    fn old_events_do_not_matter_once_it_runs() {
        let running = pods(serde_json::json!({"containerStatuses": [{"name": "agent", "image": "", "imageID": "",
            "ready": true, "restartCount": 0, "state": {"running": {}}}]}));
        let events = [event("FailedMount", "secret \"aws\" not found", "2026-01-01T00:00:09Z")];
        assert_eq!(find(&samples::full_plan(), &running, &events, &[]), None);
        assert_eq!(find(&samples::full_plan(), &waiting("ContainerCreating", ""), &[], &[]), None);
    }

    #[test]
    fn images_nodes_and_quotas() {
        let plan = samples::full_plan();
        let reason = |pods: &[Pod], events: &[Event]| find(&plan, pods, &[], events).unwrap().reason;
        assert_eq!(reason(&waiting("ImagePullBackOff", "Back-off pulling image"), &[]), "ImagePullFailed");
        let full = pods(serde_json::json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}));
        assert_eq!(reason(&full, &[]), "Unschedulable");
        let quota = "Error creating: pods \"x\" is forbidden: exceeded quota: q";
        assert_eq!(reason(&[], &[event("FailedCreate", quota, "2026-01-01T00:00:00Z")]), "QuotaExceeded");
        let account = "Error creating: pods \"x\" is forbidden: error looking up service account default/a: not found";
        assert_eq!(reason(&[], &[event("FailedCreate", account, "2026-01-01T00:00:00Z")]), "ServiceAccountNotFound");
    }
}
