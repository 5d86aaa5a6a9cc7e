//! From an EtcdBackup and the operator's settings to what its pods need: pure, and without Secrets' content.

use std::time::Duration;

use kube::ResourceExt;

use super::settings::Settings;
use crate::api::etcdbackup::{BackupPolicy, CLUSTER_LABEL, PodPolicy};
use crate::api::{EtcdBackup, S3Source, names};
use crate::snapshot::Layout;

/// Time for one backup with all its retries when `timeoutInSecond` is absent or 0.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// What the pods of an EtcdBackup need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the etcd cluster.
    pub cluster: String,
    pub namespace: String,
    pub source: Source,
    pub store: Store,
    /// Secret with the client certificate for etcd.
    pub tls_secret: Option<String>,
    /// Secret with user name and password for etcd.
    pub auth_secret: Option<String>,
    pub service_account: Option<String>,
    pub pod: PodPolicy,
    /// Time for the backup with all its retries.
    pub timeout: Duration,
    pub suspended: bool,
    /// Whether a sidecar is wanted, and whether it serves everybody.
    pub sidecar: crate::api::etcdbackup::Sidecar,
}

/// How to find the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// By its name: the client Service, else the pods.
    Name,
    /// By its client URLs.
    Endpoints(Vec<String>),
}

/// A place in S3 and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub bucket: String,
    pub prefix: Option<String>,
    /// `None` until the first run has decided.
    pub layout: Option<Layout>,
    /// Layout of a cluster that has no snapshot yet.
    pub default_layout: Layout,
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub force_path_style: bool,
    /// Secret with the key `ca.crt`.
    pub ca_secret: Option<String>,
    pub credentials: Credentials,
}

/// Where the AWS credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// IRSA, Pod Identity or the instance role.
    Ambient,
    /// One Secret with the keys `credentials` and `config`.
    Secret(String),
    /// The operator-wide pair.
    Pair { secret: String, config_map: String },
}

/// Why an EtcdBackup cannot be worked on as it is: the word of the condition and the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reason: &'static str,
    pub message: String,
}

impl Rejection {
    fn unsupported(field: &str) -> Self {
        Self { reason: "Unsupported", message: format!("this version of the operator does not know {field}") }
    }
}

/// Plans the pods of `backup`.
///
/// # Errors
/// A [`Rejection`] that only a change of the object, its labels or the operator's flags can lift.
pub fn plan(backup: &EtcdBackup, settings: &Settings) -> Result<Plan, Rejection> {
    let spec = &backup.spec;
    let cluster = cluster(backup)?;
    let policy = spec.backup_policy.clone().unwrap_or_default();
    refuse_unsupported(backup, &policy)?;
    let store = store(spec.s3.as_ref(), backup, settings)?;
    let seconds = policy.timeout_in_second.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Ok(Plan {
        cluster,
        namespace: backup.namespace().unwrap_or_default(),
        source: match spec.etcd_endpoints.as_slice() {
            [] => Source::Name,
            urls => Source::Endpoints(urls.to_vec()),
        },
        store,
        tls_secret: given(&spec.client_tls_secret),
        auth_secret: given(&spec.client_auth_secret),
        service_account: given(&spec.service_account_name),
        pod: spec.pod.clone().unwrap_or_default(),
        timeout: if seconds == 0 { DEFAULT_TIMEOUT } else { Duration::from_secs(seconds) },
        suspended: policy.suspend,
        sidecar: spec.sidecar.unwrap_or_default(),
    })
}

/// The name of the etcd cluster of `backup`, checked.
///
/// # Errors
/// `InvalidClusterName`: the name stands in directories, labels and names of objects.
pub fn cluster(backup: &EtcdBackup) -> Result<String, Rejection> {
    let cluster = names::cluster_of(backup);
    match names::check_cluster_name(&cluster) {
        Ok(()) => Ok(cluster),
        Err(error) => Err(Rejection {
            reason: "InvalidClusterName",
            message: format!("{}; name the cluster with the label {CLUSTER_LABEL}", error.message()),
        }),
    }
}

fn refuse_unsupported(backup: &EtcdBackup, policy: &BackupPolicy) -> Result<(), Rejection> {
    let s3 = backup.spec.s3.clone().unwrap_or_default();
    let positive = |number: Option<i64>| number.is_some_and(|number| number > 0);
    let later = [
        (backup.spec.kubeadm.is_some(), "spec.kubeadm"),
        (backup.spec.storage_type != "S3", "a spec.storageType other than S3"),
        (!policy.schedule.is_empty(), "spec.backupPolicy.schedule"),
        (positive(policy.backup_interval_in_second), "spec.backupPolicy.backupIntervalInSecond"),
        (positive(policy.max_backups), "spec.backupPolicy.maxBackups"),
        (!policy.drill_schedule.is_empty(), "spec.backupPolicy.drillSchedule"),
        (!s3.path.is_empty(), "spec.s3.path"),
        (!s3.server_side_encryption.is_empty(), "spec.s3.serverSideEncryption"),
        (!s3.kms_key_id.is_empty(), "spec.s3.kmsKeyID"),
    ];
    match later.iter().find(|(set, _)| *set) {
        Some((_, field)) => Err(Rejection::unsupported(field)),
        None => Ok(()),
    }
}

fn store(s3: Option<&S3Source>, backup: &EtcdBackup, settings: &Settings) -> Result<Store, Rejection> {
    let s3 = s3.cloned().unwrap_or_default();
    let defaults = settings.s3.as_ref();
    let bucket =
        given(&s3.s3_bucket).or_else(|| defaults.map(|defaults| defaults.bucket.clone())).ok_or(Rejection {
            reason: "BucketNotSet",
            message: "spec.s3.s3Bucket is empty and the operator has no --backup-s3-bucket".to_owned(),
        })?;
    let credentials = match (given(&s3.aws_secret), defaults) {
        (Some(secret), _) => Credentials::Secret(secret),
        (None, Some(defaults)) => {
            Credentials::Pair { secret: defaults.secret.clone(), config_map: defaults.config_map.clone() }
        }
        (None, None) => Credentials::Ambient,
    };
    Ok(Store {
        bucket,
        prefix: given(s3.prefix.trim_matches('/')),
        layout: s3.layout.or_else(|| backup.status.as_ref().and_then(|status| status.layout)),
        default_layout: settings.default_layout,
        region: given(&s3.region),
        endpoint: given(&s3.endpoint),
        force_path_style: s3.force_path_style,
        ca_secret: given(&s3.ca_secret),
        credentials,
    })
}

/// `""` is absent, as Go's `omitempty` wrote it.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Plan {
    /// The command that makes a Secret or ConfigMap which the pods miss; `kind` is kubectl's word for it.
    pub fn remedy(&self, kind: &str, name: &str) -> String {
        let is = |secret: &Option<String>| secret.as_deref() == Some(name);
        let keys = if is(&self.tls_secret) {
            "--from-file=tls.crt --from-file=tls.key --from-file=ca.crt"
        } else if is(&self.auth_secret) {
            "--from-file=username --from-file=password"
        } else if is(&self.store.ca_secret) {
            "--from-file=ca.crt"
        } else {
            let flag = if kind == "configmap" { "configmap-name" } else { "secret-name" };
            return format!("kubectl etcdbackup credentials -n {} --{flag} {name}", self.namespace);
        };
        format!("kubectl -n {} create secret generic {name} {keys}", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{backup, settings};
    use super::*;

    fn rejected(spec: serde_json::Value) -> String {
        let rejection = plan(&backup(spec), &settings(false)).unwrap_err();
        format!("{}: {}", rejection.reason, rejection.message)
    }

    #[test]
    fn the_object_wins_over_the_operators_flags() {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3",
            "s3": {"s3Bucket": "own", "awsSecret": "aws", "prefix": "/team//x/"}});
        let plan = plan(&backup(spec), &settings(true)).unwrap();
        assert_eq!((plan.store.bucket.as_str(), plan.store.prefix.as_deref()), ("own", Some("team//x")));
        assert_eq!(plan.store.credentials, Credentials::Secret("aws".to_owned()));
        assert_eq!(plan.timeout, DEFAULT_TIMEOUT);
    }

    #[test]
    fn the_operators_pair_or_ambient_credentials_otherwise() {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": ""}});
        let pair = Credentials::Pair { secret: "aws-credential".to_owned(), config_map: "aws-config".to_owned() };
        let found = plan(&backup(spec.clone()), &settings(true)).unwrap();
        assert_eq!((found.store.credentials, found.store.bucket.as_str()), (pair, "etcd-backups"));
        assert!(rejected(spec).starts_with("BucketNotSet: "));
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": "own"}});
        assert_eq!(plan(&backup(spec), &settings(false)).unwrap().store.credentials, Credentials::Ambient);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let with = |field: &str, value: serde_json::Value| {
            let mut spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": "own"}});
            spec[field] = value;
            rejected(spec)
        };
        assert!(with("backupPolicy", serde_json::json!({"schedule": "@daily"})).contains("spec.backupPolicy.schedule"));
        assert!(with("kubeadm", serde_json::json!({})).contains("spec.kubeadm"));
        assert!(with("storageType", "PersistentVolume".into()).starts_with("Unsupported: "));
        assert!(with("s3", serde_json::json!({"path": "b/k"})).contains("spec.s3.path"));
    }

    #[test]
    fn a_cluster_without_a_usable_name_is_refused() {
        let mut object = backup(serde_json::json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3", "s3": {}}));
        object.metadata.name = Some("1st".to_owned());
        let rejection = plan(&object, &settings(true)).unwrap_err();
        assert_eq!(rejection.reason, "InvalidClusterName");
        object.labels_mut().insert(CLUSTER_LABEL.to_owned(), "etcd-a".to_owned());
        assert_eq!(plan(&object, &settings(true)).unwrap().cluster, "etcd-a");
    }

    #[test]
    fn a_missing_secret_comes_with_its_command() {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "clientTLSSecret": "tls",
            "s3": {"s3Bucket": "own", "awsSecret": "aws"}});
        let plan = plan(&backup(spec), &settings(false)).unwrap();
        assert_eq!(plan.remedy("secret", "aws"), "kubectl etcdbackup credentials -n default --secret-name aws");
        assert!(plan.remedy("secret", "tls").ends_with("--from-file=ca.crt"));
    }
}
