//! Which pods a cluster has now, by its StatefulSets.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::ListParams;

use crate::error::{Error, Result};
use crate::kubernetes::Session;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Most pods of a StatefulSet that are thought possible.
const MOST: i32 = 1000;

/// Names of the pods of the StatefulSets with these labels, in the session's namespace.
///
/// # Errors
/// Those of the API server; [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where no StatefulSet has them.
pub async fn of(session: &Session, labels: &str) -> Result<Vec<String>> {
    let api: Api<StatefulSet> = Api::namespaced(session.client.clone(), &session.namespace);
    let found = session.request(TIMEOUT, api.list(&ListParams::default().labels(labels))).await?;
    let pods: Vec<String> = found.items.iter().flat_map(names).collect();
    match pods.is_empty() {
        true => Err(Error::not_found(format!(
            "no StatefulSet with labels {labels:?} in namespace {:?} has replicas",
            session.namespace
        ))
        .hint("kubectl get statefulsets --show-labels")),
        false => Ok(pods),
    }
}

/// Source: kubernetes/api, apps/v1 (`StatefulSetSpec.replicas` is 1 unless set, `ordinals.start` 0).
fn names(set: &StatefulSet) -> Vec<String> {
    let spec = set.spec.as_ref();
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1).clamp(0, MOST);
    let start = spec.and_then(|spec| spec.ordinals.as_ref()?.start).unwrap_or(0);
    let name = set.metadata.name.as_deref().unwrap_or_default();
    (0..replicas).map(|number| format!("{name}-{}", start.saturating_add(number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_numbered_from_where_the_set_starts() {
        let of = |spec: serde_json::Value| {
            let set = serde_json::json!({"metadata": {"name": "e-dc1-r1"}, "spec": spec});
            names(&serde_json::from_value(set).unwrap())
        };
        let base = |more: serde_json::Value| {
            let mut spec = serde_json::json!({"selector": {}, "serviceName": "x", "template": {}});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of(spec)
        };
        assert_eq!(base(serde_json::json!({"replicas": 2})), ["e-dc1-r1-0", "e-dc1-r1-1"]);
        assert_eq!(base(serde_json::json!({"replicas": 1, "ordinals": {"start": 5}})), ["e-dc1-r1-5"]);
        assert_eq!(base(serde_json::json!({})), ["e-dc1-r1-0"]);
        assert!(base(serde_json::json!({"replicas": 0})).is_empty());
    }
}
