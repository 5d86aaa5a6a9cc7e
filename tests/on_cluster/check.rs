//! `check` on a real cluster: what is missing is said, and what is there is seen.

use crate::cluster::{Namespace, image};

#[test]
fn what_is_missing_is_said_and_what_is_there_is_seen() {
    let namespace = Namespace::new("check");
    let before = namespace.run("check etcd-a");
    assert_eq!(before.code, Some(3), "{before}");
    let shown = before.to_string();
    assert!(shown.contains("ok       API server: v1."), "{shown}");
    for (failed, hint) in [
        ("failed   operator: none in namespace", format!("; kubectl etcdbackup install -n {}", namespace.name)),
        ("failed   etcd-a: etcd: no Service etcd-a-client", String::new()),
        ("skipped  etcd-a: bucket: no EtcdBackup names one", "; name it with --bucket".to_owned()),
        ("ok       permissions for create", String::new()),
    ] {
        assert!(shown.lines().any(|line| line.starts_with(failed) && line.ends_with(&hint)), "{failed}: {shown}");
    }

    waits_are_no_failures(&namespace);
    namespace.etcd("etcd-a");
    let wide = format!("--backup-s3-bucket {} --backup-aws-secret aws-credential", namespace.s3.get("S3_BUCKET"));
    let installed = namespace.run(&format!("install --image {} {wide} --backup-aws-config aws-config", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    assert_eq!(namespace.run("credentials").code, Some(0));
    let store = namespace.s3.flags(&namespace.name);
    let created = namespace.run(&format!("create etcd-a {store} --wait --timeout 2m"));
    assert_eq!(created.code, Some(0), "{created}");
    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    let after = namespace.run("check");
    assert_eq!(after.code, Some(0), "{after}");
    let shown = after.to_string();
    for ok in [
        "ok       CRD: etcdbackups.etcd.database.coreos.com, installed by this program",
        "ok       operator: registry.local/",
        "ok       etcd-a: Secret aws-credential: has keys config, credentials",
        "ok       etcd-a: bucket: ",
        "ok       etcd-a: list: s3://",
        "ok       etcd-a: get: s3://",
        "skipped  etcd-a: put: nothing is written without --write",
        "ok       etcd-a: etcd: Service etcd-a-client, 1 running pods",
        "ok       etcd-a: sidecar: serves 3.",
    ] {
        assert!(shown.lines().any(|line| line.starts_with(ok)), "{ok}: {shown}");
    }
    let secret = namespace.s3.get("S3_BACKUP_SECRET_KEY");
    assert!(!shown.contains(secret), "{shown}");

    in_buckets(&namespace);
    the_operators_place_is_found(&namespace);
    own_credentials_stay_at_home(&namespace);

    let nobody = namespace.run("check etcd-a --as nobody --for get -o json");
    assert_eq!(nobody.code, Some(5), "{nobody}");
    let value: serde_json::Value = serde_json::from_slice(&nobody.stdout).unwrap();
    let get = &value["checks"].as_array().unwrap().iter().find(|check| check["name"] == "permissions for get").unwrap();
    assert_eq!((&get["state"], &get["exitCode"]), (&"failed".into(), &5.into()));
    assert!(get["message"].as_str().unwrap().contains("create on pods/portforward"), "{value}");
}

fn has(shown: &str, begin: &str) {
    assert!(shown.lines().any(|line| line.starts_with(begin)), "{begin}: {shown}");
}

/// What is written when asked for, an object that leaves everything to the operator, and one with a path.
fn in_buckets(namespace: &Namespace) {
    let written = namespace.run("check etcd-a --write");
    assert_eq!(written.code, Some(0), "{written}");
    has(&written.to_string(), &format!("ok       etcd-a: put: s3://etcd-backups/{}/v1/etcd-a/", namespace.name));

    let (name, endpoint) = (&namespace.name, namespace.s3.get("S3_ENDPOINT"));
    for (cluster, place) in [
        ("wide", format!("prefix: {name}-wide")),
        ("path", format!("path: etcd-backups/{name}-path/etcd.backup, awsSecret: aws-credential")),
    ] {
        let manifest = format!(
            "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {cluster}}}\n\
             spec:\n  clusterName: {cluster}\n  storageType: S3\n  \
             backupPolicy: {{schedule: \"0 0 1 1 *\", suspend: true}}\n  \
             s3: {{endpoint: {endpoint:?}, forcePathStyle: true, {place}}}\n"
        );
        namespace.apply(&manifest).unwrap();
        let shown = namespace.run(&format!("check {cluster}")).to_string();
        has(&shown, &format!("ok       {cluster}: Secret aws-credential: has keys config, credentials"));
        has(&shown, &format!("ok       {cluster}: bucket: etcd-backups in region us-east-1, with secret {name}/aws-"));
        has(&shown, &format!("ok       {cluster}: list: s3://etcd-backups/{name}-{cluster}/: 0 objects"));
        has(&shown, &format!("skipped  {cluster}: get: no object to read"));
        let object = namespace.run(&format!("check {cluster}"));
        has(&object.to_string(), &format!("skipped  {cluster}: EtcdBackup: {cluster} has not run"));
    }
}

/// An object that no operator has taken up yet, and whose Secret is not there: that is said once.
fn waits_are_no_failures(namespace: &Namespace) {
    let installed = namespace.run("install --image registry.local/absent:1 --wait=false");
    assert_eq!(installed.code, Some(0), "{installed}");
    namespace.kubectl(&["delete", "deployment", "etcdbackup-operator"]);
    let manifest = "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {name: waits}\n\
                    spec: {clusterName: waits, storageType: S3, s3: {s3Bucket: etcd-backups, awsSecret: nowhere}}\n";
    namespace.apply(manifest).unwrap();
    let shown = namespace.run("check waits").to_string();
    has(&shown, "skipped  waits: EtcdBackup: waits has not run yet");
    let secret = shown.lines().find(|line| line.starts_with("failed   waits: Secret nowhere")).unwrap();
    assert_eq!(secret.matches("kubectl etcdbackup credentials -n").count(), 1, "{secret}");
    namespace.kubectl(&["delete", "etcdbackups.etcd.database.coreos.com", "waits"]);
}

/// `get` and `list` take what an object leaves out from the operator's flags, as its pods do.
fn the_operators_place_is_found(namespace: &Namespace) {
    for line in ["get wide --from s3 -O wide", "list wide"] {
        let output = namespace.run(line);
        let uses = format!("credentials from secret {}/aws-credential", namespace.name);
        assert!(output.stderr.contains("s3: bucket etcd-backups at ") && output.stderr.contains(&uses), "{output}");
    }
}

/// An endpoint that stands in an object only does not get a person's own credentials.
fn own_credentials_stay_at_home(namespace: &Namespace) {
    let endpoint = namespace.s3.get("S3_ENDPOINT");
    let refused = namespace.run("get etcd-a --from s3 --profile default -O mine");
    assert_eq!(refused.code, Some(5), "{refused}");
    let shown = refused.to_string();
    assert!(shown.contains(&format!("your own AWS credentials are not sent to {endpoint:?}")), "{shown}");
    assert!(shown.contains(&format!("hint: add --endpoint-url {endpoint} ")), "{shown}");
    let agreed = namespace.run(&format!("get etcd-a --from s3 --profile default -O mine --endpoint-url {endpoint}"));
    assert_eq!(agreed.code, Some(0), "{agreed}");
}
