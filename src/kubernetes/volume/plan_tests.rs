use serde_json::{Value, json};

use super::*;

fn found(phase: &str, mode: &str) -> Found {
    let claim = json!({"metadata": {"name": "c", "namespace": "ns"},
        "spec": {"accessModes": [mode], "volumeName": "pv-1"}, "status": {"phase": phase, "accessModes": [mode]}});
    Found {
        claim: serde_json::from_value(claim).unwrap(),
        nodes: Some(vec![node("a", "east", "True"), node("b", "west", "True")]),
        ..Found::default()
    }
}

fn node(name: &str, zone: &str, ready: &str) -> Node {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"zone": zone, "kubernetes.io/hostname": name}},
        "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
    .unwrap()
}

fn pod(name: &str, node: &str, phase: &str, owner: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owner}, "status": {"phase": phase},
        "spec": {"nodeName": node, "containers": [],
                 "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}))
    .unwrap()
}

fn with_affinity(mut found: Found, key: &str, values: &[&str]) -> Found {
    let required =
        json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": values}]}]});
    let volume = json!({"metadata": {"name": "pv-1"}, "spec": {"nodeAffinity": {"required": required}}});
    found.volume = Some(serde_json::from_value(volume).unwrap());
    found
}

fn node_of_plan(found: &Found) -> Result<Option<String>> {
    plan(found).map(|plan| plan.node)
}

fn on(node: &str) -> Result<Option<String>> {
    Ok(Some(node.to_owned()))
}

#[test]
fn a_volume_of_one_node_is_read_where_a_pod_has_it() {
    let mut found = found("Bound", "ReadWriteOnce");
    assert_eq!(node_of_plan(&found), Ok(None));
    found.users = vec![pod("waits", "a", "Pending", json!([])), pod("runs", "b", "Running", json!([]))];
    assert_eq!(node_of_plan(&found), on("b"));
    assert_eq!(plan(&found).unwrap().because, "pod runs has the volume there");
    found.users.pop();
    assert_eq!(node_of_plan(&found), on("a"));
    found.users = vec![pod("unplaced", "", "Pending", json!([]))];
    assert_eq!(node_of_plan(&found), Ok(None));
}

#[test]
fn a_volume_of_many_nodes_is_read_anywhere() {
    for mode in ["ReadWriteMany", "ReadOnlyMany"] {
        let mut found = found("Bound", mode);
        found.users = vec![pod("runs", "b", "Running", json!([]))];
        assert_eq!(node_of_plan(&found), Ok(None), "{mode}");
    }
}

#[test]
fn a_volume_of_one_pod_is_read_only_while_no_pod_has_it() {
    let mut found = found("Bound", "ReadWriteOncePod");
    assert_eq!(node_of_plan(&found), Ok(None));
    let owned = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}]);
    for (owner, hint) in [
        (
            owned("ReplicaSet", "backup-5d9c"),
            "scale its owner down: kubectl scale deployment backup -n ns --replicas=0",
        ),
        (owned("StatefulSet", "etcd-a"), "scale its owner down: kubectl scale statefulset etcd-a -n ns --replicas=0"),
        (owned("Job", "backup-1"), "wait for its owner, job backup-1, to end"),
        (json!([]), "wait for it to end, or kubectl delete pod runs -n ns"),
    ] {
        found.users = vec![pod("runs", "b", "Running", owner)];
        assert_eq!(plan(&found).unwrap_err().hints(), [hint]);
    }
    found.users.insert(0, pod("unplaced", "", "Pending", json!([])));
    assert!(plan(&found).unwrap_err().message().contains("in use by pod runs"));
    found.users.pop();
    assert_eq!(node_of_plan(&found), Ok(None));
}

#[test]
fn zones_and_local_disks_decide_where_nobody_has_the_volume() {
    let bound = || found("Bound", "ReadWriteOnce");
    assert_eq!(node_of_plan(&with_affinity(bound(), "zone", &["west"])), on("b"));
    assert_eq!(node_of_plan(&with_affinity(bound(), "zone", &["west", "east"])), Ok(None));
    assert_eq!(node_of_plan(&with_affinity(bound(), "kubernetes.io/hostname", &["a"])), on("a"));
    let unlisted = Found { nodes: None, ..with_affinity(bound(), "zone", &["north"]) };
    assert_eq!(node_of_plan(&unlisted), Ok(None));
}

#[test]
fn a_lost_node_is_explained() {
    let mut found = found("Bound", "ReadWriteOnce");
    let nowhere = plan(&with_affinity(found.clone(), "zone", &["north"])).unwrap_err();
    assert!(nowhere.message().ends_with("it wants zone in (north)"), "{nowhere}");
    found.nodes = Some(vec![node("a", "east", "Unknown"), node("b", "west", "True")]);
    let dead = plan(&with_affinity(found.clone(), "zone", &["east"])).unwrap_err();
    assert!(dead.message().starts_with("node a, which can have the volume of claim c, is not Ready"), "{dead}");
    for node in ["a", "deleted"] {
        found.users = vec![pod("stuck", node, "Running", json!([]))];
        let error = plan(&found).unwrap_err();
        assert!(error.message().contains(&format!("on node {node}, which is lost")), "{error}");
        assert!(error.hints()[1].contains("delete pod stuck -n ns --force"), "{error}");
    }
}

#[test]
fn a_claim_without_a_volume_is_explained() {
    assert!(plan(&found("Pending", "ReadWriteOnce")).unwrap_err().message().starts_with("claim c is Pending"));
    assert!(plan(&found("Lost", "ReadWriteOnce")).unwrap_err().message().contains("its volume pv-1 is no longer"));
    let mut block = found("Bound", "ReadWriteOnce");
    block.claim.spec.as_mut().unwrap().volume_mode = Some("Block".to_owned());
    assert!(plan(&block).is_err());
}

#[test]
fn pods_that_have_ended_do_not_count() {
    assert!(uses(&pod("p", "a", "Running", json!([])), "c") && uses(&pod("p", "a", "Pending", json!([])), "c"));
    assert!(!uses(&pod("p", "a", "Succeeded", json!([])), "c") && !uses(&pod("p", "a", "Running", json!([])), "d"));
    let mut reader = pod("p", "a", "Running", json!([]));
    reader.metadata.labels = Some([("app".to_owned(), APP.to_owned())].into());
    assert!(uses(&reader, "c"));
    reader.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    assert!(!uses(&reader, "c"));
}

#[test]
fn requirements_are_those_of_the_scheduler() {
    let holds = |operator: &str, values: &[&str], value: Option<&str>| {
        let requirement = json!({"key": "k", "operator": operator, "values": values});
        super::holds(&serde_json::from_value(requirement).unwrap(), value.map(str::to_owned))
    };
    assert!(holds("NotIn", &["a"], None) && holds("NotIn", &["a"], Some("b")) && !holds("NotIn", &["a"], Some("a")));
    assert!(holds("Exists", &[], Some("")) && holds("DoesNotExist", &[], None) && !holds("In", &["a"], None));
    assert!(holds("Gt", &["3"], Some("4")) && !holds("Gt", &["4"], Some("4")) && holds("Lt", &["4"], Some("3")));
    assert!(!holds("Near", &[], Some("a")));
    assert!(!fits(&node("a", "east", "True"), &NodeSelectorTerm::default()));
}

#[test]
fn a_claim_that_is_being_deleted_is_told_with_how_to_keep_what_is_on_it() {
    let mut found = found("Bound", "ReadWriteOnce");
    found.users = vec![pod("sidecar", "a", "Running", json!([]))];
    found.claim.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-02T03:04:05Z")).unwrap());
    let error = plan(&found).unwrap_err();
    assert_eq!(error.message(), "claim c is being deleted when it is left by sidecar, and no new pod gets it");
    assert!(error.hints()[0].contains("kubectl patch pv pv-1 -p "), "{error}");
    assert!(error.hints()[1].ends_with("--from service"), "{error}");
}
