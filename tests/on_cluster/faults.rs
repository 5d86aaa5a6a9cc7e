//! Backups that cannot work: the reason reaches the person, with the right exit code and no object stored.

use crate::cluster::{Namespace, eventually};

#[test]
fn the_reason_of_a_failure_reaches_the_person() {
    let namespace = Namespace::with_operator("faults");
    namespace.etcd("etcd-a");
    let store = namespace.s3.flags(&namespace.name);
    let wrong = namespace.s3.get("S3_READER_SECRET_KEY");
    namespace.sandbox.write("wrong", &format!("[default]\naws_access_key_id=backup\naws_secret_access_key={wrong}\n"));
    let made = namespace.run("credentials --credentials-file wrong --secret-name wrong --no-configmap");
    assert_eq!(made.code, Some(0), "{made}");

    let policy = |name: &str, spec: &str| {
        let manifest = format!(
            "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\n\
             spec: {{clusterName: etcd-a, storageType: S3, backupPolicy: {{timeoutInSecond: 120}}, {spec}}}\n"
        );
        namespace.apply(&manifest).unwrap();
    };
    let reader = format!("[default]\naws_access_key_id=reader\naws_secret_access_key={wrong}\n");
    namespace.sandbox.write("reader", &reader);
    let made = namespace.run("credentials --credentials-file reader --secret-name reader --no-configmap");
    assert_eq!(made.code, Some(0), "{made}");
    namespace.kubectl(&["create", "secret", "generic", "garbage", "--from-literal=credentials=\u{1}]no profile["]);
    namespace.kubectl(&["create", "secret", "generic", "other-keys", "--from-literal=password=none"]);
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let s3 = |secret: &str, bucket: &str| {
        format!(
            "s3: {{s3Bucket: {bucket}, prefix: {}, endpoint: \"{endpoint}\", forcePathStyle: true, awsSecret: {secret}}}",
            namespace.name
        )
    };
    policy("wrong-secret", &s3("wrong", bucket));
    policy("no-bucket", &s3("aws-credential", "no-such-bucket"));
    policy("no-secret", &s3("nowhere", bucket));
    policy("read-only", &s3("reader", bucket));
    policy("garbage", &s3("garbage", bucket));
    policy("other-keys", &s3("other-keys", bucket));
    for (name, says) in [
        ("read-only", "CredentialsRefused: s3: access denied starting the upload of "),
        ("garbage", "CredentialsInvalid: "),
        ("other-keys", "CredentialsInvalid: "),
        ("wrong-secret", "CredentialsRefused: s3: the credentials were refused"),
        ("no-bucket", "NoSuchBucket"),
        ("no-secret", "SecretNotFound: nowhere in namespace"),
    ] {
        eventually(name, || namespace.field(name, "{.status.Reason}").contains(says));
        assert_ne!(namespace.field(name, "{.status.succeeded}"), "true", "{name}");
        assert!(!namespace.field(name, "{.status}").contains(wrong), "{name}");
    }
    // each in the way that its Reason asks for
    for (name, spec) in [
        ("wrong-secret", s3("aws-credential", bucket)),
        ("no-bucket", s3("aws-credential", bucket)),
        ("read-only", s3("aws-credential", bucket)),
    ] {
        policy(name, &spec);
        eventually(name, || namespace.field(name, "{.status.succeeded}") == "true");
        assert_eq!(namespace.field(name, "{.status.Reason}"), "", "{name}");
    }
    for name in ["garbage", "nowhere"] {
        let made = namespace.run(&format!("credentials --secret-name {name} --no-configmap --force-conflicts"));
        assert_eq!(made.code, Some(0), "{made}");
        policy(&format!("{name}-again"), &s3(name, bucket));
    }
    for name in ["garbage-again", "nowhere-again"] {
        eventually(name, || namespace.field(name, "{.status.succeeded}") == "true");
    }
    let nobody = namespace.run(&format!("create nobody {store} --backup-timeout 1s --wait --timeout 2m"));
    assert_eq!(nobody.code, Some(7), "{nobody}");
    assert!(nobody.stderr.contains("EtcdNotFound"), "{nobody}");
    let nothing = namespace.run(&format!("get nobody --from s3 {store}"));
    assert_eq!(nothing.code, Some(3), "{nothing}");
}

#[test]
fn a_job_that_cannot_start_says_why() {
    let namespace = Namespace::with_operator("stuck");
    namespace.etcd("etcd-a");
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let apply = |name: &str, spec: &str| {
        let manifest = format!(
            "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\n\
             spec: {{clusterName: etcd-a, storageType: S3, {spec}, s3: {{s3Bucket: {bucket}, prefix: {}, \
             endpoint: \"{endpoint}\", forcePathStyle: true, awsSecret: aws-credential}}}}\n",
            namespace.name
        );
        namespace.apply(&manifest).unwrap();
    };
    let told = |name: &str, says: &str| {
        eventually(name, || namespace.field(name, "{.status.Reason}").contains(says));
    };
    apply("nowhere", "pod: {nodeSelector: {disk: none}}");
    apply("nowhere-hourly", "pod: {nodeSelector: {disk: none}}, backupPolicy: {backupIntervalInSecond: 3600}");
    told("nowhere", "Unschedulable: 0/");
    told("nowhere-hourly", "Unschedulable: 0/");
    apply("no-account", "serviceAccountName: nobody");
    told("no-account", "ServiceAccountNotFound: ");

    let image = "OPERATOR_IMAGE=registry.local/none:1";
    namespace.kubectl(&["set", "env", "deployment/etcdbackup-operator", image]);
    namespace.rolled_out("deployment/etcdbackup-operator");
    apply("no-image", "sidecar: {enabled: false}");
    told("no-image", "ImagePullFailed: ");

    namespace.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    let hard = ["get", "quota", "none", "-o", "jsonpath={.status.hard.pods}"];
    eventually("the quota counts", || namespace.kubectl(&hard) == "0");
    apply("no-quota", "sidecar: {enabled: false}");
    told("no-quota", "QuotaExceeded: ");
    let events = || namespace.kubectl(&["get", "events", "--field-selector", "involvedObject.name=no-quota"]);
    eventually("the events tell", || ["Started", "QuotaExceeded"].iter().all(|reason| events().contains(reason)));
}
