//! EtcdBackup, `etcd.database.coreos.com/v1beta2`: a superset of the two dialects that were released
//! under this group and version.
//!
//! Dialect A (`clusterName`, `s3.s3Bucket`, `s3.prefix`) is etcd-operator v0.6.1 to v0.7.2; dialect B
//! (`etcdEndpoints`, `s3.path`) is v0.8.0 to v0.9.4. Empty strings and lists mean "absent", as Go's
//! `omitempty` wrote them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::snapshot::Layout;

/// The CustomResourceDefinition that `install` applies.
pub const CRD_YAML: &str = include_str!("etcdbackup-crd.yaml");

/// The label that names the etcd cluster on every object of this project and of etcd-operator's.
pub const CLUSTER_LABEL: &str = "etcd_cluster";

/// `storageType` for S3.
pub const S3: &str = "S3";

/// `storageType` for a volume.
pub const PERSISTENT_VOLUME: &str = "PersistentVolume";

/// What to back up and where to.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "etcd.database.coreos.com",
    version = "v1beta2",
    kind = "EtcdBackup",
    plural = "etcdbackups",
    namespaced,
    status = "EtcdBackupStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct EtcdBackupSpec {
    /// The etcd cluster by name: Service `<clusterName>-client`, else its Running pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster_name: String,
    /// The etcd cluster by client URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd_endpoints: Vec<String>,
    /// The control plane's own etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeadm: Option<Kubeadm>,
    /// Secret with the client certificate for etcd.
    #[serde(rename = "clientTLSSecret", default, skip_serializing_if = "String::is_empty")]
    pub client_tls_secret: String,
    /// Secret with the keys `username` and `password` for etcd.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_auth_secret: String,
    /// `S3` or `PersistentVolume`.
    pub storage_type: String,
    /// Where in S3; set when `storageType` is `S3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,
    /// Which volume; set when `storageType` is `PersistentVolume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume: Option<PersistentVolumeSource>,
    /// When, how often and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_policy: Option<BackupPolicy>,
    /// ServiceAccount of the Jobs, for IRSA and Pod Identity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// What the pods of the Jobs look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodPolicy>,
    /// The HTTP service over the stored snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
}

/// The control plane's own etcd; has no fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubeadm {}

/// A place in S3 and the way to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Source {
    /// Bucket; overrides the operator-wide one.
    #[serde(rename = "s3Bucket", default, skip_serializing_if = "String::is_empty")]
    pub s3_bucket: String,
    /// Put before the version and cluster directories.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Dialect B: `BUCKET/KEY`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Secret with the keys `credentials` and `config`, profile `default`; overrides the operator-wide one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub aws_secret: String,
    /// URL of an S3-compatible service; empty means AWS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// The bucket in the path of the URL, not in its host name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force_path_style: bool,
    /// AWS region; empty means the one of the credentials' `config`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Secret with the key `ca.crt` to trust for `endpoint`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca_secret: String,
    /// `AES256` or `aws:kms`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server_side_encryption: String,
    /// Key for `aws:kms`.
    #[serde(rename = "kmsKeyID", default, skip_serializing_if = "String::is_empty")]
    pub kms_key_id: String,
    /// Directory of the cluster below `prefix`; empty: decided once, by the first run.
    #[serde(default, with = "optional_layout", skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
}

/// A volume to keep snapshots on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolumeSource {
    /// An existing claim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim_name: String,
    /// Size in MiB of a claim to be made.
    #[serde(rename = "volumeSizeInMB", default, skip_serializing_if = "Option::is_none")]
    pub volume_size_in_mb: Option<i64>,
    /// StorageClass of a claim to be made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub storage_class: String,
}

/// When, how often and how many. Times are in seconds, as the field names say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicy {
    /// Time for one backup with all its retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_in_second: Option<i64>,
    /// From the start of one periodic backup to that of the next; below 60 counts as 60, 0 or absent means one backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_interval_in_second: Option<i64>,
    /// Cron schedule, of five fields or a name such as `@daily`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schedule: String,
    /// IANA time zone of the schedules; empty means UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time_zone: String,
    /// Snapshots to keep; 0 or absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backups: Option<i64>,
    /// Take no backups for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Cron schedule of restore rehearsals.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub drill_schedule: String,
}

/// What the pods of the Jobs look like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPolicy {
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the pods, besides ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Node selector of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations of the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Requests and limits; ours when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub priority_class_name: String,
    /// More environment for the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
}

/// The HTTP service over the stored snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Whether there is one.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether everybody in the cluster's network may read it, as with the old sidecar.
    #[serde(default)]
    pub anonymous: bool,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self { enabled: true, anonymous: false }
    }
}

fn yes() -> bool {
    true
}

/// What is known of the backups of one EtcdBackup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdBackupStatus {
    /// Name of the etcd cluster, as [`cluster_of`](crate::api::names::cluster_of) finds it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Whether the last finished run stored a proved snapshot.
    #[serde(default)]
    pub succeeded: bool,
    /// Why the last finished run failed; the capital is the wire name since v0.6.1.
    #[serde(rename = "Reason", default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Version of the member that the last snapshot came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub etcd_version: String,
    /// Revision of the last snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_revision: Option<i64>,
    /// When the last successful run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_date: Option<Time>,
    /// When the last run ended, successful or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_execution_date: Option<Time>,
    /// `BUCKET/KEY` of the last snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub s3_path: String,
    /// `CLAIM:PATH` of the last snapshot on a volume; the path is that in the pods that mount the claim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume_path: String,
    /// What the last snapshot is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotStatus>,
    /// The layout that the first run decided on.
    #[serde(default, with = "optional_layout", skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The history that the last snapshot went to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub history: String,
    /// `Succeeded`, `Scheduled`, `Expired`, `SidecarReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl EtcdBackupStatus {
    /// Where the last snapshot is: `BUCKET/KEY`, or `persistentvolumeclaim/CLAIM:PATH`; empty where there is none.
    pub fn path(&self) -> String {
        match (self.s3_path.as_str(), self.volume_path.as_str()) {
            ("", "") => String::new(),
            ("", path) => format!("persistentvolumeclaim/{path}"),
            (path, _) => path.to_owned(),
        }
    }

    /// The same, as a URL where it is in S3.
    pub fn url(&self) -> String {
        if self.s3_path.is_empty() { self.path() } else { format!("s3://{}", self.s3_path) }
    }
}

/// What a stored snapshot is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// Bytes, trailer included.
    pub size: i64,
    /// The trailer, in hex.
    pub sha256: String,
    /// etcd's cluster id, in hex.
    #[serde(rename = "clusterID")]
    pub cluster_id: String,
    /// etcd's member id, in hex.
    pub member: String,
    /// etcd's hash of all keys at the snapshot's revision, where it could tell.
    #[serde(rename = "hashKV", default, skip_serializing_if = "Option::is_none")]
    pub hash_kv: Option<HashKvStatus>,
}

/// etcd's hash of all keys between a compaction and a revision (etcd-io/etcd, api/etcdserverpb/rpc.proto,
/// `HashKVResponse`, v3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashKvStatus {
    /// Revision up to which it speaks.
    pub revision: i64,
    /// Revision of the last compaction.
    pub compact_revision: i64,
    /// CRC-32 (Castagnoli) of the keys and values.
    pub hash: i64,
}

/// `""` for "not decided".
mod optional_layout {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::snapshot::Layout;

    pub(super) fn serialize<S: Serializer>(layout: &Option<Layout>, serializer: S) -> Result<S::Ok, S::Error> {
        match layout {
            Some(layout) => layout.serialize(serializer),
            None => "".serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Layout>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(None),
            "Namespaced" => Ok(Some(Layout::Namespaced)),
            "Cluster" => Ok(Some(Layout::Cluster)),
            other => Err(serde::de::Error::unknown_variant(other, &["Namespaced", "Cluster"])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialect_a_reads_back_and_leaves_out_what_is_absent() {
        let yaml =
            "clusterName: etcd-a\ns3:\n  awsSecret: aws\n  layout: \"\"\n  prefix: p\n  s3Bucket: b\nstorageType: S3\n";
        let spec: EtcdBackupSpec = serde_yaml::from_str(yaml).unwrap();
        assert_eq!(spec.s3.as_ref().unwrap().layout, None);
        let back = serde_json::to_value(&spec).unwrap();
        let want = serde_json::json!({
            "clusterName": "etcd-a", "storageType": "S3",
            "s3": {"s3Bucket": "b", "prefix": "p", "awsSecret": "aws"}
        });
        assert_eq!(back, want);
    }

    #[test]
    fn status_keeps_the_wire_names() {
        let status = EtcdBackupStatus {
            reason: "no".to_owned(),
            etcd_revision: Some(15),
            layout: Some(Layout::Cluster),
            ..Default::default()
        };
        let want = serde_json::json!({"succeeded": false, "Reason": "no", "etcdRevision": 15, "layout": "Cluster"});
        assert_eq!(serde_json::to_value(status).unwrap(), want);
    }
}
