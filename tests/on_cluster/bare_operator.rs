//! The operator on a bare API server: with and without its CRD, and in all namespaces.

use serde_json::{Value, json};

use crate::apiserver::{CRD, Turn};
use crate::cluster::eventually;
use crate::foreign_crds::{crd, fork_schema, our_crd};

/// An EtcdBackup of an etcd that nobody reaches.
fn backup(name: &str, policy: &str) -> String {
    format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\n\
         metadata: {{name: {name}, labels: {{etcd_cluster: etcd-a}}}}\n\
         spec: {{etcdEndpoints: [\"http://e:2379\"], storageType: S3, s3: {{s3Bucket: bkt}}, backupPolicy: {policy}}}\n"
    )
}

/// The names of the EtcdBackups of a namespace that own an object at `path`.
fn owners(api: &Turn, path: &str, namespace: &str) -> Vec<String> {
    let (group, kind) = path.rsplit_once('/').unwrap();
    let found = api.read(&format!("{group}/namespaces/{namespace}/{kind}"));
    let items = found["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["ownerReferences"][0]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn without_the_crd_it_waits_and_makes_it_only_when_told() {
    let api = Turn::with(None);
    api.namespace("crd");
    let operator = api.operator("-n crd");
    operator.says("the CRD is not installed: kubectl etcdbackup install");
    assert!(!operator.ready());
    assert_eq!(api.crd(), Value::Null);
    drop(operator);

    let operator = api.operator("-n crd --create-crd");
    operator.says("made the CRD");
    eventually("the operator is ready", || operator.ready());
    assert_eq!(operator.log().matches("made the CRD").count(), 1, "{}", operator.log());
    assert_eq!(api.crd()["metadata"]["name"], CRD);
    api.apply(&backup("now, namespace: crd", "{}")).unwrap();
    eventually("a Job is made", || owners(&api, "/apis/batch/v1/jobs", "crd") == ["now"]);
    // it is the one that `install` would have made
    let installed = api.run("install -n crd --dry-run=server");
    assert_eq!(installed.code, Some(0), "{installed}");
    let line = format!("customresourcedefinition.apiextensions.k8s.io/{CRD} ");
    let shown = installed.to_string();
    assert!(shown.lines().any(|shown| shown.starts_with(&line)), "{shown}");
}

#[test]
fn a_crd_of_another_project_is_left_as_it_is() {
    let mut other = crd(fork_schema());
    other["spec"]["versions"][0]["name"] = json!("v1");
    for (foreign, served) in [(crd(fork_schema()), true), (other, false)] {
        let api = Turn::with(Some(&foreign));
        let before = api.crd();
        let operator = api.operator("-n default --create-crd");
        if served {
            eventually("it works", || operator.ready());
        } else {
            operator.says("a CRD of that name is left as it is");
            assert!(!operator.ready());
        }
        assert!(!operator.log().contains("made the CRD"), "{}", operator.log());
        let after = api.crd();
        assert_eq!((&after["metadata"]["uid"], &after["spec"]), (&before["metadata"]["uid"], &before["spec"]));
    }
}

#[test]
fn without_a_selector_it_works_in_every_namespace_by_its_own_permissions() {
    let api = Turn::with(Some(&our_crd()));
    api.namespace("etcd-system");
    let installed = api.run("install -n etcd-system --cluster-wide --image none --wait=false");
    assert_eq!(installed.code, Some(0), "{installed}");
    let endless = "n".repeat(250);
    for namespace in ["team-a", "team-b"] {
        api.namespace(namespace);
        let within = |name: &str| format!("{name}, namespace: {namespace}");
        api.apply(&backup(&within("before"), "{}")).unwrap();
        api.apply(&backup(&within(&endless), "{schedule: \"@daily\"}")).unwrap();
    }
    let operator =
        api.operator("-n etcd-system --cluster-wide --as system:serviceaccount:etcd-system:etcdbackup-operator");
    for namespace in ["team-a", "team-b"] {
        eventually(namespace, || owners(&api, "/apis/batch/v1/jobs", namespace) == ["before"]);
        eventually(namespace, || owners(&api, "/apis/batch/v1/cronjobs", namespace) == [endless.as_str()]);
        eventually("its status", || {
            api.backup(namespace, &endless)["status"]["conditions"].to_string().contains("\"Scheduled\"")
        });
        api.apply(&backup(&format!("later, namespace: {namespace}"), "{}")).unwrap();
        eventually(namespace, || owners(&api, "/apis/batch/v1/jobs", namespace).contains(&"later".to_owned()));
    }
    assert!(!operator.log().contains("orbidden"), "{}", operator.log());
}

/// The status of an EtcdBackup in `default` once it holds `what`.
fn told(api: &Turn, name: &str, what: &str) {
    eventually(name, || api.backup("default", name)["status"].to_string().contains(what));
}

#[test]
fn an_older_crd_gets_all_of_the_status_that_it_knows() {
    let mut older = our_crd();
    let schema = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = schema["properties"]["status"]["properties"].as_object_mut().unwrap();
    assert!(fields.remove("cluster").is_some());
    let api = Turn::with(Some(&older));
    for name in ["one", "two"] {
        api.apply(&backup(name, "{drillSchedule: \"@daily\"}")).unwrap();
    }
    let operator = api.operator("-n default");
    for name in ["one", "two"] {
        told(&api, name, "Unsupported: ");
    }
    assert_eq!(operator.log().matches("the CRD that is served lacks").count(), 1, "{}", operator.log());
    assert!(!operator.log().contains("could not work on"), "{}", operator.log());
    drop(operator);

    api.apply(&our_crd().to_string()).unwrap();
    let body = r#"{"status": {"cluster": "x"}}"#;
    let shown = "jsonpath={.status.cluster}";
    let words =
        ["patch", CRD, "one", "--subresource=status", "--type=merge", "--dry-run=server", "-p", body, "-o", shown];
    eventually("the field is served", || api.try_kubectl(&words).is_ok_and(|cluster| cluster == "x"));
    let _operator = api.operator("-n default");
    told(&api, "one", "\"cluster\":\"etcd-a\"");
}

#[test]
fn a_crd_without_a_status_is_said_instead_of_asked_again_and_again() {
    let api = Turn::with(Some(&crd(fork_schema())));
    api.apply(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {name: forked}\n\
         spec: {etcdEndpoints: [e], storageType: ABS, allowSelfSignedCertificates: false}\n",
    )
    .unwrap();
    let operator = api.operator("-n default");
    operator.says("the CRD that is served has no status subresource");
}
