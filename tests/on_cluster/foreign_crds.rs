//! `create` and `install` where another project's CRD of the same name is served, by a real API server.

use serde_json::{Value, json};

use crate::apiserver::{CRD, Turn};
use crate::cluster::eventually;
use crate::sandbox::Output;

/// A CRD of the name with this schema and, as the living fork's, without a status subresource.
pub fn crd(schema: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": CRD},
        "spec": {
            "group": "etcd.database.coreos.com", "scope": "Namespaced",
            "names": {"kind": "EtcdBackup", "listKind": "EtcdBackupList", "plural": "etcdbackups", "singular": "etcdbackup"},
            "versions": [{"name": "v1beta2", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]
        }
    })
}

/// The CRD that `install` applies.
pub fn our_crd() -> Value {
    serde_yaml::from_str(kubectl_etcdbackup::api::etcdbackup::CRD_YAML).unwrap()
}

/// The schema of the living fork (on2itsecurity/etcd-operator, example/crd, 1.2) without the stores that are not S3.
pub fn fork_schema() -> Value {
    let (text, truth) = (json!({"type": "string"}), json!({"type": "boolean"}));
    let (number, date) =
        (json!({"type": "integer", "format": "int64"}), json!({"type": "string", "format": "date-time"}));
    let s3 = json!({"type": "object", "required": ["awsSecret", "forcePathStyle", "path"], "properties": {
        "path": text, "awsSecret": text, "endpoint": text, "forcePathStyle": truth}});
    let policy = json!({"type": "object", "properties": {
        "timeoutInSecond": number, "backupIntervalInSecond": number, "maxBackups": {"type": "integer"}}});
    let spec = json!({"type": "object", "required": ["allowSelfSignedCertificates", "storageType"], "properties": {
        "etcdEndpoints": {"type": "array", "items": text}, "storageType": text, "clientTLSSecret": text,
        "allowSelfSignedCertificates": truth, "s3": s3, "backupPolicy": policy}});
    let status = json!({"type": "object", "required": ["succeeded"], "properties": {
        "succeeded": truth, "Reason": text, "etcdVersion": text, "etcdRevision": number,
        "lastSuccessDate": date, "lastExecutionDate": date}});
    json!({"type": "object", "required": ["metadata", "spec"], "properties": {
        "apiVersion": text, "kind": text, "metadata": {"type": "object"}, "spec": spec, "status": status}})
}

/// A schema that keeps everything, as that of the last release of etcd-operator (v0.9.4, pkg/util/k8sutil/crd.go).
fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A namespace with a Service of etcd-a and the usual Secret.
fn with_etcd(schema: Value, namespace: &str) -> Turn {
    let api = Turn::with(Some(&crd(schema)));
    api.namespace(namespace);
    api.kubectl(&format!("create service clusterip etcd-a-client --tcp=2379 -n {namespace}"));
    api.kubectl(&format!("create secret generic aws-credential --from-literal=credentials=none -n {namespace}"));
    api
}

fn names(api: &Turn, namespace: &str) -> String {
    api.kubectl(&format!("get {CRD} -n {namespace} -o name"))
}

#[test]
fn a_fork_gets_what_its_crd_keeps_and_requires() {
    let api = with_etcd(fork_schema(), "fork");
    let output = api.run("create etcd-a --bucket etcd-backups --name nightly --every 6h --keep 4 --api auto -n fork");
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "etcdbackup.etcd.database.coreos.com/nightly created\n");
    assert_eq!(
        output.stderr,
        "api: writing spec.etcdEndpoints; the served CRD knows etcdEndpoints but not clusterName\n\
         api: no --etcd-endpoints: http://etcd-a-client.fork.svc:2379 is taken for cluster etcd-a\n\
         api: no --path: s3.path is etcd-backups/v1/etcd-a/etcd.backup\n"
    );
    let made = api.backup("fork", "nightly");
    assert_eq!(
        made["spec"],
        json!({
            "etcdEndpoints": ["http://etcd-a-client.fork.svc:2379"], "storageType": "S3",
            "allowSelfSignedCertificates": false,
            "s3": {"path": "etcd-backups/v1/etcd-a/etcd.backup", "awsSecret": "aws-credential", "forcePathStyle": false},
            "backupPolicy": {"backupIntervalInSecond": 21600, "maxBackups": 4}
        })
    );
    assert_eq!(made["metadata"]["labels"]["etcd_cluster"], "etcd-a");
    let taken = api.run("create etcd-a --bucket etcd-backups --name nightly --every 6h -n fork");
    assert_eq!(taken.code, Some(1), "{taken}");
    assert!(taken.stderr.contains("AlreadyExists") && taken.stderr.contains("--apply"), "{taken}");
}

#[test]
fn whoever_may_not_read_crds_is_told_the_form_by_openapi() {
    let api = with_etcd(fork_schema(), "openapi");
    let kinds = "services,secrets,etcdbackups.etcd.database.coreos.com";
    api.kubectl(&format!("create role maker --verb=create,get --resource={kinds} -n openapi"));
    api.kubectl("create rolebinding maker --role=maker --user=jane -n openapi");
    let path = "/openapi/v3/apis/etcd.database.coreos.com/v1beta2";
    let published = || api.try_kubectl(&["get", "--raw", path]).is_ok_and(|text| text.contains("forcePathStyle"));
    eventually("the schema is published", published);
    let output = api.run("create etcd-a --name x --path etcd-backups/mine -n openapi --as jane");
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(api.backup("openapi", "x")["spec"]["s3"]["path"], "etcd-backups/mine");
}

#[test]
fn nothing_is_sent_that_the_crd_would_drop() {
    let api = with_etcd(fork_schema(), "drop");
    let output = api
        .run("create etcd-a --bucket etcd-backups --schedule @daily --layout cluster --client-auth-secret x -n drop");
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(
        output.stderr,
        "error: the API server would drop spec.backupPolicy.schedule, spec.clientAuthSecret: the served CRD knows \
         etcdEndpoints but not clusterName and lacks these fields\n\
         hint: leave out: --schedule, --client-auth-secret\n\
         hint: or put this program's CRD in its place: kubectl etcdbackup install --help\n"
    );
    let nobody = api.run("create etcd-b --bucket etcd-backups -n drop");
    assert_eq!(nobody.code, Some(3), "{nobody}");
    assert!(nobody.stderr.contains("hint: name the cluster's URLs with --etcd-endpoints"), "{nobody}");
    assert_eq!(names(&api, "drop"), "");
}

#[test]
fn what_the_crd_requires_beyond_that_is_refused_in_kubectls_words() {
    let api = with_etcd(fork_schema(), "invalid");
    let output = api.run("create etcd-a --name x --path etcd-backups/mine --ambient -q -n invalid");
    assert_eq!(output.code, Some(1), "{output}");
    let says = "The EtcdBackup \"x\" is invalid: spec.s3.awsSecret: Required value\n";
    assert!(output.stderr.starts_with(says), "{output}");
    assert_eq!(names(&api, "invalid"), "");
}

#[test]
fn without_a_schema_the_flags_are_written_as_given() {
    let api = with_etcd(open(), "open");
    for line in ["etcd-a --name a --bucket etcd-backups", "etcd-a --name b --path bkt/k --etcd-endpoints http://e:2379"]
    {
        let output = api.run(&format!("create {line} -n open"));
        assert_eq!(output.code, Some(0), "{output}");
    }
    let spec = |name: &str| api.backup("open", name)["spec"].clone();
    let s3 = |field: &str, value: &str| json!({field: value, "awsSecret": "aws-credential"});
    let old = json!({"clusterName": "etcd-a", "storageType": "S3", "s3": s3("s3Bucket", "etcd-backups")});
    let new = json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3", "s3": s3("path", "bkt/k")});
    assert_eq!((spec("a"), spec("b")), (old, new));
}

#[test]
fn a_crd_of_another_version_is_as_good_as_none() {
    let mut other = crd(fork_schema());
    other["spec"]["versions"][0]["name"] = json!("v1");
    let api = Turn::with(Some(&other));
    let output = api.run("create etcd-a --bucket etcd-backups --ambient");
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("hint: kubectl etcdbackup install"), "{output}");
}

/// Makes a backup with `--wait`, and writes this status for the operator of the fork.
fn waited(api: &Turn, name: &str, status: Value) -> Output {
    let line = format!("create etcd-a --name {name} --path etcd-backups/mine --wait --timeout 2m -n wait");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| api.run(&line));
        eventually("the object is made", || !api.backup("wait", name).is_null());
        let patch = json!({"status": status}).to_string();
        api.try_kubectl(&["patch", CRD, name, "-n", "wait", "--type=merge", "-p", &patch]).unwrap();
        waits.join().unwrap()
    })
}

#[test]
fn waiting_ends_with_the_two_fields_that_a_fork_writes() {
    let api = with_etcd(fork_schema(), "wait");
    let output = waited(&api, "good", json!({"succeeded": true, "etcdVersion": "3.5.21", "etcdRevision": 15}));
    assert_eq!(output.code, Some(0), "{output}");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(stdout.ends_with("/good succeeded  revision=15 etcd=3.5.21  s3://etcd-backups/mine\n"), "{output}");

    let output = waited(&api, "bad", json!({"succeeded": false, "Reason": "SignatureDoesNotMatch"}));
    assert_eq!(output.code, Some(7), "{output}");
    assert!(output.stderr.contains("backup \"bad\" failed: SignatureDoesNotMatch"), "{output}");
}

#[test]
fn install_replaces_a_foreign_crd_only_by_force() {
    for (name, schema) in [("fork", fork_schema()), ("open", open())] {
        let api = Turn::with(Some(&crd(schema)));
        let before = api.crd();
        let refused = api.run("install --image none --wait=false");
        assert_eq!((refused.code, refused.stdout.len()), (Some(1), 0), "{refused}");
        assert!(refused.stderr.contains(&format!("{CRD:?} exists and was not installed by this program")), "{refused}");
        assert!(refused.stderr.contains("hint: add --force to replace it"), "{refused}");
        assert_eq!(api.crd()["spec"], before["spec"]);

        let forced = api.run("install --image none --wait=false --force");
        assert_eq!(forced.code, Some(0), "{name}: {forced}");
        let ours = || api.run("create etcd-a --bucket etcd-backups --ambient --dry-run=server -o name");
        eventually(&format!("in place of {name} ours is served"), || ours().code == Some(0));
        assert_eq!(api.crd()["metadata"]["uid"], before["metadata"]["uid"]);
    }
}

#[test]
fn install_replaces_a_newer_crd_only_by_force() {
    let mut newer = our_crd();
    newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["later"] =
        json!({"type": "string"});
    let api = Turn::with(Some(&newer));
    let refused = api.run("install --image none --wait=false");
    assert_eq!((refused.code, refused.stdout.len()), (Some(1), 0), "{refused}");
    assert!(
        refused.stderr.contains("is of a newer version of this program: this one does not know spec.later"),
        "{refused}"
    );
    let forced = api.run("install --image none --wait=false --force");
    assert_eq!(forced.code, Some(0), "{forced}");
}
