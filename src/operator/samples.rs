//! Objects for the unit tests of this module.

use std::time::Duration;

use super::argv::Run;
use super::plan::{Plan, plan};
use super::settings::{S3Defaults, Settings};
use crate::api::EtcdBackup;
use crate::snapshot::Layout;

/// An EtcdBackup as the API server returns it.
pub fn backup(spec: serde_json::Value) -> EtcdBackup {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
        "metadata": {"name": "etcd-a-1", "namespace": "default", "uid": "u-1", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7"},
        "spec": spec
    }))
    .unwrap()
}

/// The operator's settings, with or without the three S3 flags.
pub fn settings(s3: bool) -> Settings {
    Settings {
        image: "ghcr.io/etcdbackup/kubectl-etcdbackup:v0".to_owned(),
        s3: s3.then(|| S3Defaults {
            bucket: "etcd-backups".to_owned(),
            secret: "aws-credential".to_owned(),
            config_map: "aws-config".to_owned(),
        }),
        cluster_wide: false,
        selective: false,
        default_layout: Layout::Cluster,
        max_runs: std::num::NonZeroU16::MIN,
        kubeadm: None,
    }
}

/// A plan with everything set.
pub fn full_plan() -> Plan {
    let spec = serde_json::json!({
        "clusterName": "etcd-a", "storageType": "S3", "clientTLSSecret": "etcd-tls", "clientAuthSecret": "etcd-auth",
        "s3": {"s3Bucket": "own", "prefix": "-team/$(HOME)", "awsSecret": "aws", "endpoint": "https://s3.example:9000",
            "forcePathStyle": true, "region": "eu-1", "caSecret": "s3-ca", "layout": "Namespaced",
            "serverSideEncryption": "aws:kms", "kmsKeyID": "key"},
        "backupPolicy": {"timeoutInSecond": 300, "maxBackups": 7}, "serviceAccountName": "backup",
        "pod": {"labels": {"team": "x", "app": "mine"}, "annotations": {"linkerd.io/inject": "enabled"},
            "nodeSelector": {"disk": "ssd"}, "priorityClassName": "high", "imagePullSecrets": [{"name": "pull"}],
            "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "resources": {"limits": {"memory": "1Gi"}}},
        "sidecar": {"enabled": true, "anonymous": true}
    });
    plan(&backup(spec), &settings(true)).unwrap()
}

/// A plan whose snapshots go to the volume of a claim.
pub fn volume_plan(claim: &str) -> Plan {
    let spec = serde_json::json!({
        "clusterName": "etcd-a", "storageType": "PersistentVolume", "persistentVolume": {"claimName": claim},
        "backupPolicy": {"maxBackups": 7}
    });
    plan(&backup(spec), &settings(true)).unwrap()
}

/// One run with this many seconds.
pub fn run(seconds: u64) -> Run<'static> {
    static ENDPOINTS: std::sync::LazyLock<[String; 1]> = std::sync::LazyLock::new(|| ["https://a:2379".to_owned()]);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    Run { endpoints: &*ENDPOINTS, timeout: Duration::from_secs(seconds), stale_after: hours(24), one_node: false }
}

/// The time `seconds` after the sample objects were made.
pub fn at(seconds: i64) -> jiff::Timestamp {
    let made: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    made + jiff::SignedDuration::from_secs(seconds)
}

/// The report of a run that went well.
pub fn stored() -> crate::api::RunReport {
    crate::api::RunReport::Stored {
        s3_path: "own/v1/etcd-a/3.5.21_000000000000000f_etcd.backup".to_owned(),
        etcd_version: "3.5.21".to_owned(),
        etcd_revision: 15,
        size: 24608,
        sha256: "00".repeat(32),
        cluster_id: "cdf818182e3b5f18".to_owned(),
        member: "8e9e05c52164694d".to_owned(),
        hash_kv: None,
        quorum: true,
        layout: Some(Layout::Cluster),
        history: "first".to_owned(),
        already_stored: false,
        expired: 0,
        expiry_failed: None,
    }
}
