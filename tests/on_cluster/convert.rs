//! `convert`: a manifest of etcd-operator's first days becomes an EtcdBackup that the operator runs.

use crate::cluster::{Namespace, eventually};

/// As doc/design/s3_backup.md of etcd-operator shows it, with its ellipses filled in.
const CLUSTER: &str = r#"
apiVersion: "etcd.coreos.com/v1beta1"
kind: "Cluster"
metadata:
  name: "etcd-a"
spec:
  size: 1
  version: "3.1.8"
  backup:
    backupIntervalInSecond: 60
    maxBackups: 5
    cleanupBackupsOnClusterDelete: true
    storageType: "S3"
"#;

#[test]
fn an_old_clusters_policy_is_converted_applied_run_and_brings_a_proved_snapshot() {
    let namespace = Namespace::with_operator("convert");
    namespace.etcd("etcd-a");
    namespace.sandbox.write("cluster.yaml", CLUSTER);
    let flags = format!(
        "--operator-flags=--backup-aws-secret aws-credential --backup-aws-config aws-config --backup-s3-bucket {}",
        namespace.s3.get("S3_BUCKET")
    );
    let words = ["convert", "-f", "cluster.yaml", &flags, "-n", &namespace.name, "-o", "json"];
    let converted = namespace.sandbox.run_words(&words);
    assert_eq!(converted.code, Some(0), "{converted}");
    assert!(converted.stderr.contains("not converted: spec.backup.cleanupBackupsOnClusterDelete: "), "{converted}");

    // etcd-operator knew only AWS itself
    let mut object: serde_json::Value = serde_json::from_slice(&converted.stdout).unwrap();
    object["spec"]["s3"]["endpoint"] = namespace.s3.get("S3_ENDPOINT").into();
    object["spec"]["s3"]["forcePathStyle"] = true.into();
    object["spec"]["s3"]["prefix"] = namespace.name.as_str().into();
    namespace.sandbox.write("backup.json", &object.to_string());
    let file = namespace.sandbox.path().join("backup.json").display().to_string();
    let applied = namespace.kubectl(&["apply", "-f", &file]);
    assert_eq!(applied, "etcdbackup.etcd.database.coreos.com/etcd-a created\n");

    eventually("a snapshot is stored", || namespace.field("etcd-a", "{.status.succeeded}") == "true");
    let got = namespace.run("get etcd-a --from s3 -O snapshot");
    assert_eq!(got.code, Some(0), "{got}");
    assert!(String::from_utf8_lossy(&got.stdout).contains("sha256 verified"), "{got}");
    let (revision, keys) = crate::scenario::etcdutl_status(&namespace.sandbox.path().join("snapshot"));
    assert!(keys > 0, "no keys at revision {revision}");
}
