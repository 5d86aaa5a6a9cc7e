//! Which pods a cluster has now, by its StatefulSets.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt};

use super::objects::DATACENTER_LABEL;
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
    let pods: Vec<String> =
        sets(session, &ListParams::default().labels(labels)).await?.iter().flat_map(names).collect();
    match pods.is_empty() {
        true => Err(Error::not_found(format!(
            "no StatefulSet with labels {labels:?} in namespace {:?} has replicas",
            session.namespace
        ))
        .hint("kubectl get statefulsets --show-labels")),
        false => Ok(pods),
    }
}

/// Names of the pods of a datacenter's StatefulSets; none where there are none.
///
/// # Errors
/// Those of the API server.
pub async fn of_datacenter(session: &Session, datacenter: &DynamicObject) -> Result<Vec<String>> {
    let found = sets(session, &ListParams::default()).await?;
    Ok(found.iter().filter(|set| is_of(set, datacenter)).flat_map(names).collect())
}

/// Whether an operator made the StatefulSet for the datacenter: it is owned by it, and with Instaclustr's Java operator
/// it has its label alone.
///
/// Sources: strapdata/elassandra-operator at cccbc770, OperatorNames.java (`ownerReference`);
/// instaclustr/cassandra-operator at its end, statefulset.go, and at f615f67, DataCenterReconciliationController.java
/// (`dataCenterLabels`); k8ssandra/cass-operator, reconcile_racks.go.
fn is_of(set: &StatefulSet, datacenter: &DynamicObject) -> bool {
    let owners = set.owner_references();
    match owners.is_empty() {
        true => set.labels().get(DATACENTER_LABEL) == datacenter.metadata.name.as_ref(),
        false => owners.iter().any(|owner| Some(&owner.uid) == datacenter.metadata.uid.as_ref()),
    }
}

async fn sets(session: &Session, which: &ListParams) -> Result<Vec<StatefulSet>> {
    let api: Api<StatefulSet> = Api::namespaced(session.client.clone(), &session.namespace);
    Ok(session.request(TIMEOUT, api.list(which)).await?.items)
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
    fn a_datacenters_sets_are_owned_by_it_or_labelled_with_its_name() {
        let datacenter: DynamicObject = serde_json::from_value(serde_json::json!({
            "apiVersion": "x/v1", "kind": "X", "metadata": {"name": "dc1", "uid": "u1"}}))
        .unwrap();
        let set = |metadata: serde_json::Value| {
            is_of(&serde_json::from_value(serde_json::json!({"metadata": metadata})).unwrap(), &datacenter)
        };
        let owner = |uid: &str| serde_json::json!([{"apiVersion": "x/v1", "kind": "X", "name": "dc1", "uid": uid}]);
        let labels = |name: &str| serde_json::json!({DATACENTER_LABEL: name});
        assert!(set(serde_json::json!({"ownerReferences": owner("u1")})));
        assert!(set(serde_json::json!({"labels": labels("dc1")})));
        assert!(!set(serde_json::json!({"labels": labels("dc10")})));
        assert!(!set(serde_json::json!({"ownerReferences": owner("u2"), "labels": labels("dc1")})));
        assert!(!set(serde_json::json!({})));
    }

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
