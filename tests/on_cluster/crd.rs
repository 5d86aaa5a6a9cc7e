//! The CRD's rules, tried on a real API server.

use crate::cluster::{Namespace, image};

fn backup(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

#[test]
fn good_objects_are_taken_and_bad_ones_refused() {
    let namespace = Namespace::new("crd");
    let installed = namespace.run(&format!("install --image {} --wait=false", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    namespace.kubectl(&["delete", "deployment", "etcdbackup-operator"]);
    let s3 = "s3: {s3Bucket: etcd-backups, awsSecret: aws}";
    for (name, spec) in [
        ("dialect-a", format!("{{clusterName: etcd-a, storageType: S3, {s3}}}")),
        (
            "dialect-b",
            "{etcdEndpoints: [\"https://e:2379\"], storageType: S3, s3: {path: bucket/key, awsSecret: aws}}".to_owned(),
        ),
        (
            "empty-is-absent",
            format!("{{clusterName: etcd-a, etcdEndpoints: [], clientTLSSecret: \"\", storageType: S3, {s3}}}"),
        ),
        ("kubeadm", format!("{{kubeadm: {{}}, storageType: S3, {s3}}}")),
    ] {
        assert_eq!(namespace.apply(&backup(name, &spec)), Ok(()), "{name}");
    }
    for (name, spec, says) in [
        ("two-sources", format!("{{clusterName: a, kubeadm: {{}}, storageType: S3, {s3}}}"), "exactly one of"),
        ("no-source", format!("{{storageType: S3, {s3}}}"), "exactly one of"),
        ("no-s3", "{clusterName: a, storageType: S3}".to_owned(), "s3"),
        ("unknown-storage", format!("{{clusterName: a, storageType: Floppy, {s3}}}"), "Unsupported value"),
        ("bad-name", format!("{{clusterName: Etcd_A, storageType: S3, {s3}}}"), "clusterName"),
        ("long-name", format!("{{clusterName: {}, storageType: S3, {s3}}}", "a".repeat(250)), "Too long"),
        ("bad-path", "{clusterName: a, storageType: S3, s3: {path: nokey}}".to_owned(), "BUCKET/KEY"),
        (
            "negative",
            format!("{{clusterName: a, storageType: S3, {s3}, backupPolicy: {{maxBackups: -1}}}}"),
            "maxBackups",
        ),
        ("unknown-field", format!("{{clusterName: a, storageType: S3, {s3}, nonsense: 1}}"), "nonsense"),
    ] {
        let refused = namespace.apply(&backup(name, &spec)).expect_err(name);
        assert!(refused.contains(says), "{name}: {refused}");
    }
    let ours = namespace.run("create etcd-a --bucket etcd-backups --ambient --dry-run=server -o name");
    assert_eq!(ours.code, Some(0), "{ours}");
}
