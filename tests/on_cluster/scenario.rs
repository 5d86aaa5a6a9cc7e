//! The whole way: install, credentials, create, get by the service, get from S3, restore into a real etcd.

use std::process::{Command, Stdio};

use crate::cluster::{Namespace, eventually, image};
use crate::sandbox::binary;

/// etcdutl's own reading of a snapshot: revision and keys.
pub fn etcdutl_status(file: &std::path::Path) -> (u64, u64) {
    let status = Command::new(binary("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(file).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let value: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    (value["revision"].as_u64().unwrap(), value["totalKey"].as_u64().unwrap())
}

fn last_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn from_install_to_a_restored_etcd() {
    let namespace = Namespace::new("scenario");
    namespace.etcd("etcd-a");
    let store = namespace.s3.flags(&namespace.name);

    let installed = namespace.run(&format!("install --image {}", image()));
    assert_eq!(installed.code, Some(0), "{installed}");
    let again = namespace.run(&format!("install --image {}", image()));
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");

    let missing = namespace.run(&format!("create etcd-a {store}"));
    assert_eq!(missing.code, Some(5), "{missing}");
    assert!(missing.stderr.contains("hint: kubectl etcdbackup credentials -n"), "{missing}");
    let credentials = namespace.run("credentials");
    assert_eq!(last_line(&credentials.stdout), "configmap/aws-config created");

    let created = namespace.run(&format!("create etcd-a {store} --wait --timeout 2m"));
    assert_eq!(created.code, Some(0), "{created}");
    assert!(last_line(&created.stdout).contains(" succeeded  revision="), "{created}");

    namespace.etcdctl("etcd-a", &["put", "written-after", "the-first-backup"]);
    let created = namespace.run(&format!("create etcd-a --name second {store} --wait --timeout 2m"));
    assert_eq!(created.code, Some(0), "{created}");
    let revision: u64 = namespace.field("second", "{.status.etcdRevision}").parse().unwrap();
    let taken = namespace.run(&format!("create etcd-a --name second {store}"));
    assert_eq!(taken.code, Some(1), "{taken}");
    assert!(taken.stderr.contains("AlreadyExists") && taken.stderr.contains("--apply"), "{taken}");

    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    let by_service = namespace.run("get etcd-a -O by-service --from service");
    assert_eq!(by_service.code, Some(0), "{by_service}");

    namespace.kubectl(&["scale", "deployment/etcd-a-backup-sidecar", "--replicas=0"]);
    eventually("the sidecar's pod is gone", || {
        namespace.kubectl(&["get", "pods", "-l", "app=etcd_backup_tool", "-o", "name"]).is_empty()
    });
    let by_s3 = namespace.run("get etcd-a -O by-s3");
    assert_eq!(by_s3.code, Some(0), "{by_s3}");
    assert!(by_s3.stderr.contains("etcd-a-backup-sidecar: no ready endpoints; trying s3"), "{by_s3}");
    assert!(by_s3.stderr.contains("place taken from EtcdBackup second"), "{by_s3}");

    let read = |name: &str| std::fs::read(namespace.sandbox.path().join(name)).unwrap();
    assert!(read("by-service") == read("by-s3"), "the two ways gave different bytes");
    let (found, _) = etcdutl_status(&namespace.sandbox.path().join("by-s3"));
    assert_eq!(found, revision);
    no_secret_shows(&namespace);
    assert_eq!(
        asked_of_restored(&namespace, "by-s3", &["get", "", "--from-key"]),
        namespace.etcdctl("etcd-a", &["get", "", "--from-key"])
    );
}

/// Neither logs nor events nor objects hold the key that the Secret holds.
fn no_secret_shows(namespace: &Namespace) {
    let secret = namespace.s3.get("S3_BACKUP_SECRET_KEY");
    let agents = namespace.kubectl(&["logs", "-l", "app=etcd_backup_agent", "--tail=-1"]);
    assert!(agents.contains("snapshot begins"), "{agents}");
    for words in [
        &["logs", "deployment/etcdbackup-operator", "--tail=-1"][..],
        &["get", "events,etcdbackups,jobs,pods,deployments", "-o", "yaml"],
    ] {
        let shown = namespace.kubectl(words);
        assert!(!shown.is_empty() && !shown.contains(secret), "{words:?}");
    }
    assert!(!agents.contains(secret));
}

/// Restores the snapshot with etcdutl, starts a real etcd on it, and asks that.
pub fn asked_of_restored(namespace: &Namespace, snapshot: &str, words: &[&str]) -> String {
    let home = namespace.sandbox.path();
    let restored = Command::new(binary("etcdutl"))
        .args(["snapshot", "restore", snapshot, "--data-dir", "restored"])
        .current_dir(home)
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let [client, peer] = [(); 2].map(|()| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    });
    let mut etcd = Command::new(binary("etcd"))
        .args([
            "--data-dir=restored",
            &format!("--listen-client-urls={client}"),
            &format!("--advertise-client-urls={client}"),
        ])
        .arg(format!("--listen-peer-urls={peer}"))
        .current_dir(home)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let get = || Command::new(binary("etcdctl")).args(["--endpoints", &client]).args(words).output().unwrap();
    eventually("the restored etcd answers", || get().status.success());
    let keys = String::from_utf8(get().stdout).unwrap();
    etcd.kill().unwrap();
    etcd.wait().unwrap();
    keys
}
