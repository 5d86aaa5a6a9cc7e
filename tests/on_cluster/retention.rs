//! A run that may not delete what should expire, in a bucket of its own.

use std::process::Command;

use crate::cluster::{Namespace, eventually};

/// A request of the S3 server's root.
fn s3(namespace: &Namespace, words: &[&str]) {
    let user = format!("{}:{}", namespace.s3.get("S3_ROOT_ACCESS_KEY"), namespace.s3.get("S3_ROOT_SECRET_KEY"));
    let sign = format!("aws:amz:{}:s3", namespace.s3.get("S3_REGION"));
    let done = Command::new("curl")
        .args(["-sS", "--fail-with-body", "-m", "60", "--aws-sigv4", &sign, "--user", &user])
        .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
        .args(words)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// What the reader may do in the bucket of the namespace's name.
fn allow(namespace: &Namespace, actions: &[&str]) {
    let bucket = &namespace.name;
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": [namespace.s3.get("S3_READER_ACCESS_KEY")]}, "Action": actions,
        "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")]
    }]});
    let url = format!("{}/{bucket}?policy=", namespace.s3.get("S3_ENDPOINT"));
    s3(namespace, &["-X", "PUT", "--data-binary", &policy.to_string(), &url]);
}

/// `False ExpiryFailed`.
fn expired(namespace: &Namespace) -> String {
    let condition = ".status.conditions[?(@.type==\"Expired\")]";
    namespace.field("kept", &format!("{{{condition}.status}} {{{condition}.reason}}"))
}

/// A run of the schedule now, with something new to store.
fn run(namespace: &Namespace, name: &str) {
    namespace.etcdctl("etcd-a", &["put", "run", name]);
    let cron_job = namespace.kubectl(&["get", "cronjobs", "-o", "name"]);
    namespace.kubectl(&["create", "job", name, &format!("--from={}", cron_job.trim())]);
    eventually(name, || {
        let path = "jsonpath={.metadata.annotations.etcd\\.database\\.coreos\\.com/recorded}";
        namespace.kubectl(&["get", "job", name, "-o", path]) == "true"
    });
}

#[test]
fn a_run_that_may_not_delete_succeeds_and_says_so_until_it_may() {
    let namespace = Namespace::with_operator("retention");
    namespace.etcd("etcd-a");
    let (bucket, endpoint) = (&namespace.name, namespace.s3.get("S3_ENDPOINT"));
    s3(&namespace, &["-X", "PUT", &format!("{endpoint}/{bucket}")]);
    let mut actions = vec!["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"];
    allow(&namespace, &actions);
    let (id, secret) = (namespace.s3.get("S3_READER_ACCESS_KEY"), namespace.s3.get("S3_READER_SECRET_KEY"));
    let file = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    namespace.sandbox.write("reader", &file);
    let made = namespace.run("credentials --credentials-file reader --secret-name reader --no-configmap");
    assert_eq!(made.code, Some(0), "{made}");
    let manifest = format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: kept}}\n\
         spec: {{clusterName: etcd-a, storageType: S3, sidecar: {{enabled: false}}, \
         backupPolicy: {{schedule: \"0 0 1 1 *\", maxBackups: 1}}, \
         s3: {{s3Bucket: {bucket}, endpoint: \"{endpoint}\", forcePathStyle: true, awsSecret: reader}}}}\n"
    );
    namespace.apply(&manifest).unwrap();
    eventually("a CronJob", || !namespace.kubectl(&["get", "cronjobs", "-o", "name"]).is_empty());

    run(&namespace, "first");
    assert_eq!(expired(&namespace), "True Expired");
    run(&namespace, "second");
    assert_eq!(expired(&namespace), "False ExpiryFailed");
    assert_eq!(namespace.field("kept", "{.status.succeeded}"), "true");
    let message = namespace.field("kept", "{.status.conditions[?(@.type==\"Expired\")].message}");
    assert!(message.contains("AccessDenied") && message.contains("s3:DeleteObject"), "{message}");
    eventually("a Warning tells of it", || {
        let events = namespace.kubectl(&["get", "events", "--field-selector", "involvedObject.name=kept"]);
        events.lines().any(|line| line.contains("Warning") && line.contains("ExpiryFailed"))
    });
    let checked = namespace.run("check etcd-a");
    assert!(checked.to_string().contains("warning  etcd-a: retention: the snapshot is stored, but"), "{checked}");

    actions.push("s3:DeleteObject");
    allow(&namespace, &actions);
    run(&namespace, "third");
    assert_eq!(expired(&namespace), "True Expired");
}
