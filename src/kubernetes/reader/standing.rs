//! How a helper stands, and what is in its way: pure.
//!
//! Source of the words: kubernetes/kubernetes, pkg/kubelet (waiting reasons, `FailedMount`), pkg/controller/job
//! (`FailedCreate`, `Error creating: …`) and pkg/controller/volume/attachdetach (`FailedAttachVolume`), v1.34.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStateWaiting, Event, Pod};

use crate::error::{Error, ErrorKind};
use crate::kubernetes::Session;

/// What may pass: another try of a pull, a node that is being added, a disk that is being moved.
const PULL: Duration = Duration::from_secs(15);
const SCHEDULING: Duration = Duration::from_secs(20);
const MOUNTING: Duration = Duration::from_secs(90);

/// How a helper stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Starting,
    Hindered(Trouble),
    /// In this pod.
    Running(String),
    /// Before anybody came.
    Ended(Trouble),
}

/// Something in a helper's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A word as Kubernetes uses it.
    pub reason: String,
    message: String,
    /// How long it may last before it is an error.
    pub(super) patience: Duration,
}

impl Trouble {
    fn new(reason: &str, message: impl Into<String>, patience: Duration) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), patience }
    }

    /// In one line.
    pub fn text(&self) -> String {
        format!("{}: {}", self.reason, self.message)
    }

    /// The error that it is, with what to do.
    pub(super) fn into_error(self, helper: &str, session: &Session) -> Error {
        let kind = match self.reason.as_str() {
            REFUSED | QUOTA | INSECURE => ErrorKind::Denied,
            _ => ErrorKind::General,
        };
        let error = Error::new(kind, format!("the helper {helper} cannot run: {}", self.text()));
        self.advice(&session.namespace).into_iter().fold(error, Error::hint)
    }

    fn advice(&self, namespace: &str) -> Vec<String> {
        let manual = "--print-manual says how to read the disk without a helper".to_owned();
        match self.reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                vec!["name an image that the node can pull with --helper-image".to_owned()]
            }
            QUOTA => vec![format!("kubectl describe quota -n {namespace}; the helper asks for 50m CPU and 64Mi")],
            INSECURE => vec![
                format!("kubectl get namespace {namespace} --show-labels shows pod-security.kubernetes.io/enforce"),
                manual,
            ],
            "Unschedulable" => vec!["kubectl get nodes shows which are Ready".to_owned(), manual],
            "FailedMount" | "FailedAttachVolume" => {
                vec![format!("kubectl get volumeattachments; {}", events(namespace)), manual]
            }
            ENDED => {
                vec!["an image of another version may not know this role: name one with --helper-image".to_owned()]
            }
            _ => vec![events(namespace), manual],
        }
    }
}

/// The command that shows what was in the way. The helper itself is gone by then.
pub(super) fn events(namespace: &str) -> String {
    format!("kubectl get events -n {namespace} --sort-by=.lastTimestamp")
}

const REFUSED: &str = "FailedCreate";
const QUOTA: &str = "QuotaExceeded";
const INSECURE: &str = "PodSecurity";
const ENDED: &str = "Ended";

/// How the helper stands whose only pod and whose events, or those of its Job without one, these are.
pub(super) fn standing(pod: Option<&Pod>, events: &[Event]) -> Standing {
    let Some(pod) = pod else {
        return newest(events, &["FailedCreate"])
            .map_or(Standing::Starting, |(_, said)| Standing::Hindered(refused(&said)));
    };
    let status = pod.status.clone().unwrap_or_default();
    let state = status.container_statuses.iter().flatten().find_map(|container| container.state.as_ref());
    if let Some(state) = state {
        if state.running.is_some() {
            return Standing::Running(pod.metadata.name.clone().unwrap_or_default());
        }
        if let Some(ended) = &state.terminated {
            let said = ended.message.as_deref().map(str::trim).filter(|said| !said.is_empty());
            let code = format!("exit code {}", ended.exit_code);
            let why = said.map_or(code.clone(), |said| format!("{code}: {said}"));
            return Standing::Ended(Trouble::new(ENDED, why, Duration::ZERO));
        }
    }
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let said = [status.reason, status.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return Standing::Ended(Trouble::new(ENDED, said, Duration::ZERO));
    }
    let waiting = state.and_then(|state| state.waiting.as_ref()).and_then(of_container);
    let trouble = waiting.or_else(|| unscheduled(pod)).or_else(|| unmounted(events));
    trouble.map_or(Standing::Starting, Standing::Hindered)
}

fn of_container(state: &ContainerStateWaiting) -> Option<Trouble> {
    let reason = state.reason.as_deref().unwrap_or_default();
    let message = state.message.as_deref().unwrap_or("no more is said");
    match reason {
        "ErrImagePull" => Some(Trouble::new(reason, message, PULL)),
        "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError" => Some(Trouble::new(reason, message, Duration::ZERO)),
        _ => None,
    }
}

fn unscheduled(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|found| found.type_ == "PodScheduled" && found.status == "False")?;
    let message = condition.message.clone().unwrap_or_else(|| "no node takes the pod".to_owned());
    (condition.reason.as_deref() == Some("Unschedulable")).then(|| Trouble::new("Unschedulable", message, SCHEDULING))
}

fn unmounted(events: &[Event]) -> Option<Trouble> {
    newest(events, &["FailedMount", "FailedAttachVolume"]).map(|(reason, said)| Trouble::new(&reason, said, MOUNTING))
}

/// Why the Job controller could not make the pod; it tries again, but the answer stays the same.
fn refused(message: &str) -> Trouble {
    let message = message.strip_prefix("Error creating: ").unwrap_or(message);
    let reason = if message.contains("exceeded quota") || message.contains("failed quota") {
        QUOTA
    } else if message.contains("violates PodSecurity") {
        INSECURE
    } else {
        REFUSED
    };
    Trouble::new(reason, message, Duration::ZERO)
}

/// Reason and message of the newest event of some reasons.
fn newest(events: &[Event], reasons: &[&str]) -> Option<(String, String)> {
    let of_reason =
        events.iter().filter(|event| event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason)));
    let seen = |event: &&Event| event.last_timestamp.as_ref().map(|time| time.0);
    let newest = of_reason.max_by_key(seen)?;
    Some((newest.reason.clone()?, newest.message.clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    fn in_state(state: Value) -> Pod {
        pod(json!({"phase": "Pending", "containerStatuses": [{"name": "reader", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": state}]}))
    }

    fn event(reason: &str, message: &str) -> Event {
        let event = json!({"metadata": {"name": "e"}, "involvedObject": {}, "reason": reason, "message": message,
            "lastTimestamp": "2026-01-01T00:00:00Z"});
        serde_json::from_value(event).unwrap()
    }

    /// Reason and patience in seconds.
    fn hindered(pod: Option<&Pod>, events: &[Event]) -> (String, u64) {
        match standing(pod, events) {
            Standing::Hindered(trouble) => (trouble.reason, trouble.patience.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_runs_it_starts_or_it_has_ended() {
        let running = in_state(json!({"running": {}}));
        assert_eq!(standing(Some(&running), &[event("FailedMount", "an old one")]), Standing::Running("p".to_owned()));
        assert_eq!(standing(None, &[]), Standing::Starting);
        assert_eq!(
            standing(Some(&in_state(json!({"waiting": {"reason": "ContainerCreating"}}))), &[]),
            Standing::Starting
        );
        let ended = in_state(json!({"terminated": {"exitCode": 2, "message": "unexpected argument '--volume-dir'\n"}}));
        let Standing::Ended(trouble) = standing(Some(&ended), &[]) else { panic!("has ended") };
        assert_eq!(trouble.text(), "Ended: exit code 2: unexpected argument '--volume-dir'");
        let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
        let Standing::Ended(trouble) = standing(Some(&evicted), &[]) else { panic!("has ended") };
        assert_eq!(trouble.text(), "Ended: Evicted: low on memory");
    }

    #[test]
    fn what_does_not_pass_is_an_error_at_once() {
        let security =
            "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsUser=0";
        assert_eq!(hindered(None, &[event("FailedCreate", security)]), ("PodSecurity".to_owned(), 0));
        let quota = "Error creating: pods \"x\" is forbidden: exceeded quota: q";
        assert_eq!(hindered(None, &[event("FailedCreate", quota)]), ("QuotaExceeded".to_owned(), 0));
        let waiting = |reason: &str| in_state(json!({"waiting": {"reason": reason, "message": "m"}}));
        assert_eq!(hindered(Some(&waiting("ImagePullBackOff")), &[]), ("ImagePullBackOff".to_owned(), 0));
    }

    #[test]
    fn the_hints_name_what_outlives_the_helper() {
        let hint = |reason: &str| Trouble::new(reason, "m", Duration::ZERO).advice("ns").swap_remove(0);
        let events = "kubectl get events -n ns --sort-by=.lastTimestamp";
        assert_eq!(hint("FailedMount"), format!("kubectl get volumeattachments; {events}"));
        assert_eq!(hint("CreateContainerError"), events);
    }

    #[test]
    fn what_may_pass_is_told_and_waited_for() {
        let waiting = |reason: &str| in_state(json!({"waiting": {"reason": reason, "message": "m"}}));
        assert_eq!(hindered(Some(&waiting("ErrImagePull")), &[]), ("ErrImagePull".to_owned(), 15));
        let full = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}));
        assert_eq!(hindered(Some(&full), &[]), ("Unschedulable".to_owned(), 20));
        let creating = waiting("ContainerCreating");
        let attach = event("FailedAttachVolume", "Multi-Attach error for volume \"pv-1\"");
        assert_eq!(hindered(Some(&creating), &[attach]), ("FailedAttachVolume".to_owned(), 90));
    }
}
