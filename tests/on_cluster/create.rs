//! `create` on a real API server with our own CRD: every form and flag is taken, and refusals come back in kubectl's words.

use crate::cluster::{Namespace, image};

#[test]
fn every_form_is_taken_by_the_api_server() {
    let namespace = Namespace::new("create");
    let installed = namespace.run(&format!("install --image {} --wait=false", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    namespace.kubectl(&["create", "service", "clusterip", "etcd-a-client", "--tcp=2379"]);
    for (line, says) in [
        ("etcd-a --bucket etcd-backups", "spec.clusterName; the served CRD knows clusterName and etcdEndpoints"),
        ("etcd-a --bucket etcd-backups --api endpoints", "http://etcd-a-client."),
        (
            "etcd-b --etcd-endpoints https://a:2379,https://b:2379 --client-tls-secret tls --path etcd-backups/k",
            "spec.etcdEndpoints",
        ),
        ("--kubeadm --bucket etcd-backups --every 6h --keep 4 --backup-timeout 1h", "spec.kubeadm"),
        ("etcd-a --volume-size 10Gi --storage-class fast", "spec.clusterName"),
        ("etcd-a --bucket etcd-backups --schedule @daily --time-zone Europe/Amsterdam --suspend", "spec.clusterName"),
        (
            "etcd-a --bucket etcd-backups --region r --ca-secret ca --server-side-encryption aws:kms --kms-key-id k \
             --service-account sa --client-auth-secret auth --layout namespaced",
            "spec.clusterName",
        ),
    ] {
        let access = if line.contains("--volume-size") { "" } else { "--ambient" };
        let output = namespace.run(&format!("create {line} {access} --dry-run=server"));
        assert_eq!(output.code, Some(0), "{line}: {output}");
        assert!(output.stderr.contains(says), "{line}: {output}");
    }
}

#[test]
fn a_schedule_is_made_once_and_then_applied() {
    let namespace = Namespace::new("create-schedule");
    let installed = namespace.run(&format!("install --image {} --wait=false", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    namespace.kubectl(&["delete", "deployment", "etcdbackup-operator"]);
    let create = |flags: &str| namespace.run(&format!("create etcd-a --bucket etcd-backups --ambient {flags}"));
    let made = create("--every 6h --keep 4");
    assert_eq!(String::from_utf8_lossy(&made.stdout), "etcdbackup.etcd.database.coreos.com/etcd-a created\n", "{made}");
    let taken = create("--every 6h");
    assert_eq!(taken.code, Some(1), "{taken}");
    assert!(taken.stderr.contains("AlreadyExists") && taken.stderr.contains("--apply"), "{taken}");
    let applied = create("--schedule @daily --apply");
    assert_eq!(
        String::from_utf8_lossy(&applied.stdout),
        "etcdbackup.etcd.database.coreos.com/etcd-a configured\n",
        "{applied}"
    );
    let policy = namespace.field("etcd-a", "{.spec.backupPolicy}");
    assert_eq!(policy, r#"{"schedule":"@daily"}"#, "what is no longer said is taken away");
    let again = create("--schedule @daily --apply");
    assert!(again.stdout.ends_with(b" unchanged\n"), "{again}");
    namespace.kubectl(&[
        "patch",
        "etcdbackups.etcd.database.coreos.com",
        "etcd-a",
        "--type=merge",
        "-p",
        r#"{"spec":{"backupPolicy":{"schedule":"@weekly"}}}"#,
    ]);
    let conflict = create("--schedule @daily --apply");
    assert!(conflict.stderr.contains("Conflict") && conflict.stderr.contains("--force-conflicts"), "{conflict}");
}

#[test]
fn refusals_are_the_api_servers_own_words() {
    let namespace = Namespace::new("create-refused");
    let installed = namespace.run(&format!("install --image {} --wait=false", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    let long = "k".repeat(1100);
    let invalid = namespace.run(&format!("create etcd-a --path etcd-backups/{long} --ambient --dry-run=server"));
    assert_eq!(invalid.code, Some(1), "{invalid}");
    assert!(
        invalid.stderr.contains("The EtcdBackup \"etcd-a-") && invalid.stderr.contains("spec.s3.path: "),
        "{invalid}"
    );
    // this user may read no CRDs, and OpenAPI tells the form all the same
    let forbidden = namespace.run("create etcd-a --bucket etcd-backups --ambient --dry-run=server --as nobody");
    assert_eq!(forbidden.code, Some(5), "{forbidden}");
    assert!(forbidden.stderr.contains("the served CRD knows clusterName and etcdEndpoints"), "{forbidden}");
    assert!(forbidden.stderr.contains("Error from server (Forbidden)"), "{forbidden}");
}
