//! `create` against other projects' CRDs of the same name.

use serde_json::{Value, json};

use crate::fake_api::{Answers, FakeApi, crd, fork_schema};
use crate::sandbox::{Output, Sandbox};

/// The fork's CRD, with a Service of etcd-a and the usual Secret.
fn fork() -> Answers {
    Answers {
        crd: Some(crd(fork_schema())),
        objects: vec![("services/etcd-a-client", json!({})), ("secrets/aws-credential", json!({}))],
        ..Answers::default()
    }
}

fn run(api: &FakeApi, line: &str) -> Output {
    Sandbox::new().run(&format!("create {line} --server {}", api.url))
}

#[test]
fn a_fork_gets_what_its_crd_keeps_and_requires() {
    let api = FakeApi::start(fork());
    let output = run(&api, "etcd-a --bucket etcd-backups --name nightly --every 6h --keep 4");
    assert_eq!(output.code, Some(0), "{output}");
    let posted = api.posted();
    assert_eq!(
        posted[0]["spec"],
        json!({
            "etcdEndpoints": ["http://etcd-a-client.default.svc:2379"], "storageType": "S3",
            "allowSelfSignedCertificates": false,
            "s3": {"path": "etcd-backups/v1/etcd-a/etcd.backup", "awsSecret": "aws-credential", "forcePathStyle": false},
            "backupPolicy": {"backupIntervalInSecond": 21600, "maxBackups": 4}
        })
    );
    assert_eq!(posted[0]["metadata"]["labels"]["etcd_cluster"], "etcd-a");
    insta::assert_snapshot!("create_on_a_fork", output);
}

#[test]
fn the_schema_comes_from_openapi_where_crds_may_not_be_read() {
    let mut schema = fork_schema();
    let kind = json!({"group": "etcd.database.coreos.com", "version": "v1beta2", "kind": "EtcdBackup"});
    schema["x-kubernetes-group-version-kind"] = json!([kind]);
    let api = FakeApi::start(Answers {
        crd: None,
        openapi: Some(json!({"components": {"schemas": {"com.coreos.database.etcd.v1beta2.EtcdBackup": schema}}})),
        ..fork()
    });
    let output = run(&api, "etcd-a --path etcd-backups/mine");
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(api.posted()[0]["spec"]["s3"]["path"], "etcd-backups/mine");
}

#[test]
fn with_neither_readable_our_own_is_assumed_and_said() {
    let api = FakeApi::start(Answers { crd: None, ..fork() });
    let output = run(&api, "etcd-a --bucket etcd-backups");
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("this program's own is assumed"), "{output}");
    assert_eq!(api.posted()[0]["spec"]["clusterName"], "etcd-a");
}

#[test]
fn nothing_is_sent_that_the_crd_would_drop() {
    let api = FakeApi::start(fork());
    let output = run(&api, "etcd-a --bucket etcd-backups --schedule @daily --layout cluster --client-auth-secret x");
    assert_eq!(output.code, Some(1), "{output}");
    insta::assert_snapshot!("create_dropped_fields", output);
    assert_eq!(api.posted(), [Value::Null; 0]);
}

#[test]
fn a_cluster_without_a_service_is_told_before_anything_is_made() {
    let api = FakeApi::start(fork());
    let output = run(&api, "etcd-b --bucket etcd-backups");
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("hint: name the cluster's URLs with --etcd-endpoints"), "{output}");
    assert_eq!(api.posted(), [Value::Null; 0]);
}

#[test]
fn without_a_schema_the_flags_are_written_as_given() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let api = FakeApi::start(Answers { crd: Some(crd(open)), ..fork() });
    assert_eq!(run(&api, "etcd-a --bucket etcd-backups").code, Some(0));
    assert_eq!(run(&api, "etcd-a --name b --path bkt/k --etcd-endpoints http://e:2379").code, Some(0));
    let specs: Vec<Value> = api.posted().iter().map(|object| object["spec"].clone()).collect();
    let old = json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": "etcd-backups", "awsSecret": "aws-credential"}});
    let new = json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3", "s3": {"path": "bkt/k", "awsSecret": "aws-credential"}});
    assert_eq!(specs, [old, new]);
}

#[test]
fn a_crd_of_another_version_is_as_good_as_none() {
    let mut other = crd(fork_schema());
    other["spec"]["versions"][0]["name"] = json!("v1");
    let api = FakeApi::start(Answers { crd: Some(other), ..fork() });
    let output = run(&api, "etcd-a --bucket etcd-backups");
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("hint: kubectl etcdbackup install"), "{output}");
}

#[test]
fn a_taken_schedule_is_not_given_another_name() {
    let api = FakeApi::start(Answers { taken: vec!["etcd-a".to_owned()], ..fork() });
    let output = run(&api, "etcd-a --bucket etcd-backups --every 6h");
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("AlreadyExists") && output.stderr.contains("--apply"), "{output}");
}

#[test]
fn waiting_ends_with_the_two_fields_that_a_fork_writes() {
    let succeeded = json!({"succeeded": true, "etcdVersion": "3.5.21", "etcdRevision": 15});
    let api = FakeApi::start(Answers { status: succeeded, ..fork() });
    let output = run(&api, "etcd-a --name x --path etcd-backups/mine --wait");
    assert_eq!(output.code, Some(0), "{output}");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(stdout.ends_with("/x succeeded  revision=15 etcd=3.5.21  s3://etcd-backups/mine\n"), "{output}");

    let failed = json!({"succeeded": false, "Reason": "SignatureDoesNotMatch", "lastSuccessDate": null});
    let api = FakeApi::start(Answers { status: failed, ..fork() });
    let output = run(&api, "etcd-a --name x --path etcd-backups/mine --wait");
    assert_eq!(output.code, Some(7), "{output}");
    assert!(output.stderr.contains("backup \"x\" failed: SignatureDoesNotMatch"), "{output}");
}
