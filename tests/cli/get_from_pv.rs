//! `get --from pv` against an API server that lets nobody make a helper: which image it would have had, and what is
//! said of it.

use serde_json::json;

use crate::fake_api::{Answers, FakeApi, refusal};
use crate::sandbox::Sandbox;

/// What is said of a volume that is bound, by an API server that gives these answers and allows no Jobs.
fn get(mut faults: Vec<(&'static str, u16, String)>) -> String {
    let forbidden = || refusal(403, "Forbidden", "jobs.batch is forbidden");
    faults.push(("POST /apis/batch/v1/namespaces/default/jobs", 403, forbidden()));
    faults.push(("DELETE /apis/batch/v1/namespaces/default/jobs", 403, forbidden()));
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}});
    let objects = vec![("persistentvolumeclaims/etcd-a-pvc", claim)];
    let api = FakeApi::start(Answers { objects, faults, ..Answers::default() });
    let got = Sandbox::new().run(&format!("get etcd-a --from pv --server {}", api.url));
    assert_eq!(got.code, Some(5), "{got}");
    assert!(got.stderr.contains("Error from server (Forbidden): jobs.batch is forbidden"), "{got}");
    got.stderr
}

#[test]
fn a_helper_that_was_refused_is_not_said_to_be_left() {
    let stderr = get(Vec::new());
    let image = "pv: no operator in namespace default, and no cluster-wide one: helper image ";
    assert!(stderr.contains(image), "{stderr}");
    assert!(!stderr.contains("was not deleted"), "{stderr}");
}

#[test]
fn the_image_is_that_of_a_cluster_wide_operator_that_the_cluster_names() {
    let binding = |namespace: &str| {
        json!({
            "metadata": {"name": "etcdbackup-operator", "labels": {"app.kubernetes.io/part-of": "kubectl-etcdbackup"}},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "etcdbackup-operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "etcdbackup-operator", "namespace": namespace}]
        })
    };
    let args = ["operator", "--cluster-wide"];
    let operator = json!({
        "metadata": {"name": "etcdbackup-operator", "namespace": "operators"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [
            {"name": "operator", "image": "registry.local/own:1", "args": args}]}}}
    });
    let list = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": [operator]});
    let path = "GET /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/etcdbackup-operator";
    for (namespace, image) in [
        ("operators", "pv: helper image registry.local/own:1 of the operator in namespace operators"),
        ("others", "pv: no ClusterRoleBinding that you may get names the operator: helper image ghcr.io/"),
    ] {
        let deployments = ("GET /apis/apps/v1/deployments", 200, list.to_string());
        let stderr = get(vec![deployments, (path, 200, binding(namespace).to_string())]);
        assert!(stderr.contains(image), "{stderr}");
    }
}

#[test]
fn who_may_not_look_for_the_operator_gets_this_versions_image() {
    let denied = || refusal(403, "Forbidden", "deployments.apps is forbidden");
    for path in ["GET /apis/apps/v1/namespaces/default/deployments", "GET /apis/apps/v1/deployments"] {
        let stderr = get(vec![(path, 403, denied())]);
        assert!(stderr.contains("): helper image ghcr.io/"), "{path}: {stderr}");
    }
}
