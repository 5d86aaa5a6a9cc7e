//! `convert`: whole files, as people have them. Nothing is contacted, so nothing runs beside.

use std::io::Write;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const FLAGS: &str = "--operator-flags=--backup-aws-secret aws-credential --backup-aws-config aws-config \
                     --backup-s3-bucket etcd-backups --pv-provisioner=kubernetes.io/aws-ebs";

const CLUSTERS: &str = r#"
# as the design document of etcd-operator shows it
apiVersion: "etcd.coreos.com/v1beta1"
kind: "Cluster"
metadata:
  name: "etcd-cluster-with-backup"
spec:
  size: 3
  version: "3.1.8"
  backup:
    backupIntervalInSecond: 300
    maxBackups: 5
    cleanupBackupsOnClusterDelete: true
    storageType: "S3"
---
apiVersion: v1
kind: List
items:
- apiVersion: etcd.database.coreos.com/v1beta2
  kind: EtcdCluster
  metadata: {name: etcd-b, namespace: db, uid: 0c1d, resourceVersion: "7"}
  spec:
    size: 3
    TLS: {static: {operatorSecret: etcd-client-tls}}
    backup:
      storageType: S3
      pod: {nodeSelector: {disk: fast}, antiAffinity: true}
      s3: {s3Bucket: team, prefix: x, awsSecret: team-aws}
- apiVersion: etcd.database.coreos.com/v1beta2
  kind: EtcdCluster
  metadata: {name: etcd-c}
  spec: {size: 1}
"#;

const BACKUPS: &str = r#"
apiVersion: etcd.database.coreos.com/v1beta2
kind: EtcdBackup
metadata: {name: a, namespace: db}
spec: {clusterName: etcd-a, storageType: S3, s3: {s3Bucket: b1, prefix: p, awsSecret: aws}}
---
{"apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "b", "namespace": "db"},
 "spec": {"etcdEndpoints": ["http://etcd-b-client.db.svc:2379"], "storageType": "S3",
          "allowSelfSignedCertificates": false, "s3": {"path": "b1/deep/etcd.backup", "awsSecret": "aws"}}}
"#;

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("KUBECONFIG", "/nowhere/that/could/be/read");
    sandbox.write("clusters.yaml", CLUSTERS);
    sandbox.write("backups.yaml", BACKUPS);
    sandbox
}

#[test]
fn clusters_become_etcdbackups_and_what_has_no_place_is_told() {
    let sandbox = sandbox();
    assert_snapshot!("clusters", sandbox.run_words(&["convert", "-f", "clusters.yaml", FLAGS, "-n", "here"]));
    assert_snapshot!("clusters_without_flags", sandbox.run("convert -f clusters.yaml -o name"));
}

#[test]
fn either_form_of_an_etcdbackup_becomes_the_other() {
    let sandbox = sandbox();
    for form in ["auto", "cluster", "endpoints"] {
        assert_snapshot!(format!("form_{form}"), sandbox.run(&format!("convert -f backups.yaml --api {form}")));
    }
    let json = sandbox.run("convert -f backups.yaml -o json -q");
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&"List".into(), 2));
}

#[test]
fn stdin_is_read_and_its_own_output_is_taken_back_unchanged() {
    let sandbox = sandbox();
    let once = sandbox.run("convert -f backups.yaml -q").stdout;
    let mut command = sandbox.command(&["convert", "-f", "-"]);
    let mut again = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    again.stdin.take().unwrap().write_all(&once).unwrap();
    let output = again.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), String::from_utf8(once).unwrap());
    assert!(!String::from_utf8(output.stderr).unwrap().contains("not converted"));
}

#[test]
fn what_is_no_such_object_is_exit_2_with_its_kind_and_its_document() {
    let sandbox = sandbox();
    sandbox
        .write("mixed.yaml", &format!("{CLUSTERS}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x}}\n"));
    sandbox.write("azure.yaml", &CLUSTERS.replace("\"S3\"", "\"ABS\""));
    sandbox.write("elided.yaml", "apiVersion: etcd.coreos.com/v1beta1\nkind: Cluster\nspec:\n  ...\n  backup:\n");
    sandbox.write("name.yaml", &CLUSTERS.replace("etcd-cluster-with-backup", "Etcd_A"));
    sandbox.write("huge.yaml", &"#".repeat(5 << 20));
    for file in ["mixed", "azure", "elided", "name", "huge"] {
        let output = sandbox.run(&format!("convert -f {file}.yaml"));
        assert_eq!((output.code, output.stdout.as_slice()), (Some(2), &b""[..]), "{file}: {output}");
        assert_snapshot!(format!("refused_{file}"), output);
    }
    let some = sandbox.run_words(&["convert", "-f", "clusters.yaml", "--operator-flags", "--backup-s3-bucket b"]);
    assert_eq!(some.code, Some(2), "{some}");
    assert_eq!(sandbox.run("convert -f nowhere.yaml").code, Some(1));
    sandbox.write("bare.yaml", "apiVersion: etcd.coreos.com/v1beta1\nkind: Cluster\nmetadata: {name: a}\n");
    assert_eq!(sandbox.run("convert -f bare.yaml").code, Some(3));
}

#[test]
fn what_the_operator_does_not_run_yet_is_warned_of() {
    let sandbox = sandbox();
    let said = |file: &str| sandbox.run(&format!("convert -f {file}.yaml -q -o name")).stderr;
    let drills =
        "spec: {clusterName: a, storageType: S3, s3: {s3Bucket: bbb}, backupPolicy: {drillSchedule: '@daily'}}";
    let object = "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {name: a}";
    sandbox.write("drills.yaml", &format!("{object}\n{drills}\n"));
    assert_eq!(
        said("drills"),
        "warning: the operator of this version does not run it yet: it does not know spec.backupPolicy.drillSchedule\n"
    );
    assert_eq!(said("clusters"), "");
    sandbox.write("volume.yaml", &CLUSTERS.replace("\"S3\"", "\"PersistentVolume\""));
    assert_eq!(said("volume"), "");
}

#[test]
fn documents_are_to_the_byte_and_names_command_no_terminal() {
    let sandbox = sandbox();
    let (odd, written) = ("a\u{202e}b\u{9b}c", r"a\u202eb\u009bc");
    sandbox.write("odd.yaml", &BACKUPS.replace("name: a,", &format!("name: a, annotations: {{note: \"{written}\"}},")));
    let json = sandbox.run("convert -f odd.yaml -q -o json").stdout;
    let list: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(list["items"][0]["metadata"]["annotations"]["note"], odd);
    let yaml = String::from_utf8(sandbox.run("convert -f odd.yaml -q").stdout).unwrap();
    let objects: Vec<serde_json::Value> = serde_yaml::from_multiple(&yaml).unwrap();
    assert_eq!(objects[0]["metadata"]["annotations"]["note"], odd, "{yaml}");
    sandbox.write("odd.yaml", &BACKUPS.replace("name: a,", &format!("name: \"{written}\\nd\",")));
    let names = String::from_utf8(sandbox.run("convert -f odd.yaml -q -o name").stdout).unwrap();
    assert!(names.starts_with("etcdbackup.etcd.database.coreos.com/a\\u{202e}b\\u{9b}c d\n"), "{names}");
}
