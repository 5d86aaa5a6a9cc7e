//! The CRD's rules, tried on a real API server.

use crate::cluster::{Namespace, eventually, image};

fn backup(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// What the API server must not take as `backupPolicy`, and what it says.
const BAD_POLICIES: [(&str, &str); 14] = [
    ("{maxBackups: -1}", "maxBackups"),
    ("{timeoutInSecond: -1}", "timeoutInSecond"),
    ("{backupIntervalInSecond: -60}", "backupIntervalInSecond"),
    ("{timeoutInSecond: 9223372036854775807}", "timeoutInSecond"),
    ("{backupIntervalInSecond: 99999999999999999999}", "backupIntervalInSecond"),
    ("{timeoutInSecond: 10m}", "timeoutInSecond"),
    ("{maxBackups: 1.5}", "maxBackups"),
    ("{maxBackups: \"5\"}", "maxBackups"),
    ("{suspend: \"yes\"}", "suspend"),
    ("{schedule: 5}", "schedule"),
    ("{schedule: [\"@daily\"]}", "schedule"),
    ("{schedule: \"@daily\", backupIntervalInSecond: 60}", "excludes"),
    ("[]", "backupPolicy"),
    ("often", "backupPolicy"),
];

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
        ("empty-storage", format!("{{clusterName: a, {s3}}}"), "storageType"),
        ("no-volume", "{clusterName: a, storageType: PersistentVolume}".to_owned(), "persistentVolume"),
        ("comma", format!("{{etcdEndpoints: [\"http://a:1,http://b:1\"], storageType: S3, {s3}}}"), "one URL"),
        ("no-spec", "7".to_owned(), "spec"),
        ("unknown-field", format!("{{clusterName: a, storageType: S3, {s3}, nonsense: 1}}"), "nonsense"),
    ] {
        let refused = namespace.apply(&backup(name, &spec)).expect_err(name);
        assert!(refused.contains(says), "{name}: {refused}");
    }
    let long = namespace.apply(&backup(&"a".repeat(254), &format!("{{clusterName: a, storageType: S3, {s3}}}")));
    assert!(long.unwrap_err().contains("metadata.name"));
    for (number, (policy, says)) in BAD_POLICIES.iter().enumerate() {
        let spec = format!("{{clusterName: a, storageType: S3, {s3}, backupPolicy: {policy}}}");
        let refused = namespace.apply(&backup(&format!("policy-{number}"), &spec)).expect_err(policy);
        assert!(refused.contains(says), "{policy}: {refused}");
    }
    let ours = namespace.run("create etcd-a --bucket etcd-backups --ambient --dry-run=server -o name");
    assert_eq!(ours.code, Some(0), "{ours}");
}

/// Taken by the API server although nothing can come of them: the rest of the spec, and the Reason.
const HOPELESS: [(&str, &str, &str); 13] = [
    ("volume", "storageType: PersistentVolume, persistentVolume: {claimName: c}", "Unsupported: "),
    ("drill", "storageType: S3, backupPolicy: {drillSchedule: \"@daily\"}", "Unsupported: "),
    ("minute", "storageType: S3, backupPolicy: {schedule: \"61 * * * *\"}", "InvalidSchedule: "),
    ("six-fields", "storageType: S3, backupPolicy: {schedule: \"0 0 3 * * *\"}", "InvalidSchedule: "),
    ("reboot", "storageType: S3, backupPolicy: {schedule: \"@reboot\"}", "InvalidSchedule: "),
    ("in-the-schedule", "storageType: S3, backupPolicy: {schedule: \"TZ=Mars 0 3 * * *\"}", "InvalidSchedule: "),
    ("zone", "storageType: S3, backupPolicy: {schedule: \"@daily\", timeZone: ../etc}", "InvalidSchedule: "),
    ("never", "storageType: S3, backupPolicy: {schedule: \"0 0 31 2 *\"}", "InvalidSchedule: "),
    ("secret", "storageType: S3, clientTLSSecret: \"no such/secret\"", "VolumeNotMounted: "),
    ("account", "storageType: S3, serviceAccountName: \"No One\"", "JobRefused: "),
    ("label", "storageType: S3, pod: {labels: {\"a b\": \"c d\"}}", "JobRefused: "),
    ("variable", "storageType: S3, pod: {env: [{name: \"=\", value: v}]}", "JobRefused: "),
    ("resources", "storageType: S3, pod: {resources: {limits: {cpu: 1}, requests: {cpu: 2}}}", "JobRefused: "),
];

#[test]
fn objects_of_which_nothing_can_come_say_so_and_the_operator_works_on() {
    let namespace = Namespace::with_operator("hopeless");
    namespace.etcd("etcd-a");
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let s3 = |name: &str| {
        format!(
            "s3: {{s3Bucket: {bucket}, prefix: {}/{name}, endpoint: \"{endpoint}\", forcePathStyle: true, \
             awsSecret: aws-credential}}",
            namespace.name
        )
    };
    for (name, rest, _) in HOPELESS {
        let spec = format!("{{clusterName: etcd-a, sidecar: {{enabled: false}}, {rest}, {}}}", s3(name));
        namespace.apply(&backup(name, &spec)).unwrap();
    }
    let endless = "n".repeat(250);
    let named = |source: &str| format!("{{{source}, storageType: S3, sidecar: {{enabled: false}}, {}}}", s3("endless"));
    namespace.apply(&backup(&endless, &named("etcdEndpoints: [\"http://etcd-a-client:2379\"]"))).unwrap();
    let url = format!("{{etcdEndpoints: [\"gopher://:0:0\"], storageType: S3, {}}}", s3("url"));
    namespace.apply(&backup("url", &url)).unwrap();
    let told = |name: &str, says: &str| {
        eventually(name, || namespace.field(name, "{.status.Reason}").contains(says));
        assert_ne!(namespace.field(name, "{.status.succeeded}"), "true", "{name}");
    };
    for (name, _, says) in HOPELESS {
        told(name, says);
    }
    assert!(namespace.kubectl(&["get", "cronjobs", "-o", "name"]).is_empty());
    told(&endless, "InvalidClusterName: ");
    told("url", "\"gopher://:0:0\" is not an etcd client URL: ");
    // the name of the object alone is no obstacle
    namespace.apply(&backup(&endless, &named("clusterName: etcd-a, etcdEndpoints: []"))).unwrap();
    eventually("a long name", || namespace.field(&endless, "{.status.succeeded}") == "true");
    let operator = "app.kubernetes.io/name=etcdbackup-operator";
    let restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    assert_eq!(namespace.kubectl(&["get", "pods", "-l", operator, "-o", restarts]), "0");
}
