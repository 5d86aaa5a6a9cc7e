//! Waits for what was installed: by looking, since whoever may apply need not be allowed to watch.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use tokio::time::Instant;

use super::TIMEOUT;
use super::manifests::{CRD, OPERATOR};
use crate::cli::Ui;
use crate::error::{Error, Result};
use crate::kubernetes::Session;

/// Between two looks.
const POLL: Duration = Duration::from_secs(1);

/// Waits until the CRD is served and the operator is ready.
///
/// # Errors
/// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) with what keeps the operator's pod; the API server's.
pub async fn until_running(session: &Session, timeout: Duration, ui: &Ui) -> Result<()> {
    let started = Instant::now();
    let crds = Api::<CustomResourceDefinition>::all(session.client.clone());
    while !is_established(&session.request(TIMEOUT, crds.get(CRD)).await?) {
        if started.elapsed() >= timeout {
            return Err(timed_out(&format!("customresourcedefinitions/{CRD}"))
                .hint(format!("kubectl describe customresourcedefinition {CRD}")));
        }
        tokio::time::sleep(POLL).await;
    }
    let deployments = Api::<Deployment>::namespaced(session.client.clone(), &session.namespace);
    let mut said = false;
    while !is_available(&session.request(TIMEOUT, deployments.get(OPERATOR)).await?) {
        if started.elapsed() >= timeout {
            return Err(explained(session).await);
        }
        if !said {
            ui.say(format!("Waiting for the operator in namespace {} to be ready.", session.namespace));
            said = true;
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn timed_out(what: &str) -> Error {
    Error::timed_out(format!("timed out waiting for the condition on {what}"))
}

/// The time-out with the pod's own words, if they can be had.
async fn explained(session: &Session) -> Error {
    let namespace = &session.namespace;
    let error = timed_out(&format!("deployments/{OPERATOR}"));
    let pods = Api::<Pod>::namespaced(session.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
    let pods = session.request(TIMEOUT, pods.list(&params)).await.map(|pods| pods.items).unwrap_or_default();
    let error = match pods.iter().find_map(said_by) {
        Some(words) => error.hint(words),
        None => error,
    };
    error.hint(format!("kubectl -n {namespace} describe deployment,pod -l app.kubernetes.io/name={OPERATOR}"))
}

/// Why a pod does not run, in the kubelet's or the scheduler's words.
fn said_by(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut containers = status.container_statuses.iter().flatten();
    let waiting = containers.find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(format!("{}: {}", waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
    });
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled = || {
        let condition = conditions.find(|found| found.type_ == "PodScheduled" && found.status == "False")?;
        condition.message.clone()
    };
    waiting.or_else(unscheduled)
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|found| found.type_ == "Established" && found.status == "True")
}

/// Whether the pods of the present generation are there and ready, and no older ones are.
pub fn is_available(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let count = |number: Option<i32>| number.unwrap_or_default();
    status.observed_generation >= deployment.metadata.generation
        && count(status.updated_replicas) == wanted
        && count(status.replicas) == wanted
        && count(status.available_replicas) == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available(observed: i64, updated: i32, available: i32) -> bool {
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"generation": 2}, "spec": {"replicas": 1, "selector": {}, "template": {}},
            "status": {"observedGeneration": observed, "replicas": 1, "updatedReplicas": updated, "availableReplicas": available}
        }))
        .unwrap();
        is_available(&deployment)
    }

    #[test]
    fn an_old_pod_does_not_count() {
        assert!(available(2, 1, 1));
        assert!(!available(1, 1, 1));
        assert!(!available(2, 0, 1));
        assert!(!available(2, 1, 0));
    }

    #[test]
    fn the_pods_own_words_explain() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {}, "status": {"containerStatuses": [{
            "name": "operator", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]}}))
        .unwrap();
        assert_eq!(said_by(&pod).as_deref(), Some("ImagePullBackOff: Back-off pulling image"));
    }
}
