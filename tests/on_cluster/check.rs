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

    namespace.etcd("etcd-a");
    let installed = namespace.run(&format!("install --image {}", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    assert_eq!(namespace.run("credentials").code, Some(0));
    let store = namespace.s3.flags(&namespace.name);
    let created = namespace.run(&format!("create etcd-a {store} --wait --timeout 2m"));
    assert_eq!(created.code, Some(0), "{created}");
    namespace.kubectl(&["rollout", "status", "deployment/etcd-a-backup-sidecar", "--timeout=60s"]);
    let after = namespace.run("check");
    assert_eq!(after.code, Some(0), "{after}");
    let shown = after.to_string();
    for ok in [
        "ok       CRD: etcdbackups.etcd.database.coreos.com, installed by this program",
        "ok       operator: registry.local/",
        "ok       etcd-a: Secret aws-credential: has keys config, credentials",
        "ok       etcd-a: bucket: ",
        "ok       etcd-a: etcd: Service etcd-a-client, 1 running pods",
        "ok       etcd-a: sidecar: serves 3.",
    ] {
        assert!(shown.lines().any(|line| line.starts_with(ok)), "{ok}: {shown}");
    }
    let secret = namespace.s3.get("S3_BACKUP_SECRET_KEY");
    assert!(!shown.contains(secret), "{shown}");

    let nobody = namespace.run("check etcd-a --as nobody --for get -o json");
    assert_eq!(nobody.code, Some(5), "{nobody}");
    let value: serde_json::Value = serde_json::from_slice(&nobody.stdout).unwrap();
    let get = &value["checks"].as_array().unwrap().iter().find(|check| check["name"] == "permissions for get").unwrap();
    assert_eq!((&get["state"], &get["exitCode"]), (&"failed".into(), &5.into()));
    assert!(get["message"].as_str().unwrap().contains("create on pods/portforward"), "{value}");
}
