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

/// What is said of a name that no Secret, ConfigMap or ServiceAccount can have.
const NO_NAME: &str = "must be the name of an object of Kubernetes";

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
        ("endpoints", format!("{{etcdEndpoints: [\"a_b.c:2379\", \"HTTPS://[::1]:2379/\"], storageType: S3, {s3}}}")),
        (
            "names",
            "{clusterName: a, storageType: S3, clientTLSSecret: a.b-c.d, clientAuthSecret: \"\", serviceAccountName: \"\", \
             s3: {s3Bucket: etcd-backups, awsSecret: 1, caSecret: \"\"}}"
                .replace("awsSecret: 1", "awsSecret: \"1\""),
        ),
    ] {
        assert_eq!(namespace.apply(&backup(name, &spec)), Ok(()), "{name}");
    }
    let long = "n".repeat(254);
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
        (
            "two-claims",
            "{clusterName: a, storageType: PersistentVolume, persistentVolume: {claimName: c, volumeSizeInMB: 1}}"
                .to_owned(),
            "exactly one of claimName and volumeSizeInMB",
        ),
        (
            "two-stores",
            format!("{{clusterName: a, storageType: PersistentVolume, persistentVolume: {{claimName: c}}, {s3}}}"),
            "s3 cannot be set for storageType PersistentVolume",
        ),
        ("comma", format!("{{etcdEndpoints: [\"http://a:1,http://b:1\"], storageType: S3, {s3}}}"), "one URL"),
        ("no-port", format!("{{etcdEndpoints: [\"http://etcd\"], storageType: S3, {s3}}}"), "http://HOST:PORT"),
        ("gopher", format!("{{etcdEndpoints: [\"gopher://e:2379\"], storageType: S3, {s3}}}"), "http://HOST:PORT"),
        ("user", format!("{{etcdEndpoints: [\"http://u:p@e:2379\"], storageType: S3, {s3}}}"), "http://HOST:PORT"),
        ("no-spec", "7".to_owned(), "spec"),
        ("unknown-field", format!("{{clusterName: a, storageType: S3, {s3}, nonsense: 1}}"), "nonsense"),
    ] {
        let refused = namespace.apply(&backup(name, &spec)).expect_err(name);
        assert!(refused.contains(says), "{name}: {refused}");
    }
    for (number, field) in ["clientTLSSecret", "clientAuthSecret", "serviceAccountName"].into_iter().enumerate() {
        for (bad, says) in
            [("\"a b\"", NO_NAME), ("a/b", NO_NAME), ("Upper", NO_NAME), ("a..b", NO_NAME), (&long, "Too long")]
        {
            let spec = format!("{{clusterName: a, storageType: S3, {field}: {bad}, {s3}}}");
            let refused = namespace.apply(&backup(&format!("name-{number}"), &spec)).expect_err(bad);
            assert!(refused.contains(says) && refused.contains(field), "{field}: {bad}: {refused}");
        }
    }
    for (number, bad) in ["awsSecret: \"-a\"", "caSecret: a_b"].into_iter().enumerate() {
        let spec = format!("{{clusterName: a, storageType: S3, s3: {{s3Bucket: etcd-backups, {bad}}}}}");
        let refused = namespace.apply(&backup(&format!("s3-name-{number}"), &spec)).expect_err(bad);
        assert!(refused.contains(NO_NAME), "{bad}: {refused}");
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
const HOPELESS: [(&str, &str, &str); 10] = [
    ("drill", "storageType: S3, backupPolicy: {drillSchedule: \"@daily\"}", "Unsupported: "),
    ("minute", "storageType: S3, backupPolicy: {schedule: \"61 * * * *\"}", "InvalidSchedule: "),
    ("six-fields", "storageType: S3, backupPolicy: {schedule: \"0 0 3 * * *\"}", "InvalidSchedule: "),
    ("reboot", "storageType: S3, backupPolicy: {schedule: \"@reboot\"}", "InvalidSchedule: "),
    ("in-the-schedule", "storageType: S3, backupPolicy: {schedule: \"TZ=Mars 0 3 * * *\"}", "InvalidSchedule: "),
    ("zone", "storageType: S3, backupPolicy: {schedule: \"@daily\", timeZone: ../etc}", "InvalidSchedule: "),
    ("never", "storageType: S3, backupPolicy: {schedule: \"0 0 31 2 *\"}", "InvalidSchedule: "),
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
    // of the form of an address, and none
    let url = format!("{{etcdEndpoints: [\"http://127.1:2379\"], storageType: S3, {}}}", s3("url"));
    namespace.apply(&backup("url", &url)).unwrap();
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let path = format!("path: {bucket}/{}/one/etcd.backup, endpoint: \"{endpoint}\"", namespace.name);
    let one = format!(
        "{{clusterName: etcd-a, storageType: S3, backupPolicy: {{maxBackups: 3}}, \
         s3: {{{path}, forcePathStyle: true, awsSecret: aws-credential}}}}"
    );
    namespace.apply(&backup("one-key", &one)).unwrap();
    let told = |name: &str, says: &str| {
        eventually(name, || namespace.field(name, "{.status.Reason}").contains(says));
        assert_ne!(namespace.field(name, "{.status.succeeded}"), "true", "{name}");
    };
    for (name, _, says) in HOPELESS {
        told(name, says);
    }
    assert!(namespace.kubectl(&["get", "cronjobs", "-o", "name"]).is_empty());
    told(&endless, "InvalidClusterName: ");
    told("url", "InvalidEndpoint: spec.etcdEndpoints: \"http://127.1:2379\" is not an etcd client URL: ");
    let verdict = "{.status.conditions[?(@.type==\"Succeeded\")].status}";
    assert_eq!(namespace.field("url", verdict), "False", "it is final at once");
    // without a Job
    assert!(!namespace.kubectl(&["get", "jobs", "-o", "name"]).contains("/url-"));
    let columns = namespace.kubectl(&["get", "etcdbackups.etcd.database.coreos.com", "url", "--no-headers"]);
    assert!(columns.split_whitespace().take(2).eq(["url", "url"]), "{columns}");
    eventually("one key", || namespace.field("one-key", "{.status.succeeded}") == "true");
    let expired = "{.status.conditions[?(@.type==\"Expired\")].message}";
    let no_effect = namespace.field("one-key", expired);
    assert!(no_effect.starts_with("spec.backupPolicy.maxBackups has no effect: "), "{no_effect}");
    // the name of the object alone is no obstacle
    namespace.apply(&backup(&endless, &named("clusterName: etcd-a, etcdEndpoints: []"))).unwrap();
    eventually("a long name", || namespace.field(&endless, "{.status.succeeded}") == "true");
    let operator = "app.kubernetes.io/name=etcdbackup-operator";
    let restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    assert_eq!(namespace.kubectl(&["get", "pods", "-l", operator, "-o", restarts]), "0");
}
