//! From an EtcdBackup and the operator's settings to what its pods need: pure, and without Secrets' content.

mod store;

use std::time::Duration;

use kube::ResourceExt;

use super::endpoints;
use super::settings::Settings;
use crate::api::etcdbackup::{BackupPolicy, CLUSTER_LABEL, PERSISTENT_VOLUME, PodPolicy, S3};
use crate::api::{EtcdBackup, EtcdBackupSpec, names};
pub use store::{Bucket, Claim, Credentials, NewClaim, Store, named};

/// Time for one backup with all its retries when `timeoutInSecond` is absent or 0.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest time for one backup, as in our CRD: Kubernetes reckons a deadline in nanoseconds, and one that
/// overflows is over at once.
pub const LONGEST_TIMEOUT: u64 = 31_536_000;

/// kubectl's word for a claim.
pub const CLAIM: &str = "persistentvolumeclaim";

/// The time zone of schedules that name none.
pub const UTC: &str = "Etc/UTC";

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
    pub trigger: Trigger,
    /// Snapshots to keep; 0 keeps all.
    pub keep: u32,
    pub suspended: bool,
    /// Whether a sidecar is wanted, and whether it serves everybody.
    pub sidecar: crate::api::etcdbackup::Sidecar,
}

/// What starts the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// The object itself: one backup for each generation of its spec.
    Once,
    /// The operator, this long after the last start.
    Every(Duration),
    /// Kubernetes, by a CronJob.
    Cron { schedule: String, time_zone: String },
}

/// How to find the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// By its name: the client Service, else the pods.
    Name,
    /// By its client URLs.
    Endpoints(Vec<String>),
    /// On the control-plane node itself, with the certificate of kubeadm's health checks in this directory of it.
    Kubeadm { pki_directory: String },
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
    unsupported(spec).map_or(Ok(()), |field| Err(Rejection::unsupported(field)))?;
    let store = Store::of(backup, settings)?;
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
    let seconds = number(policy.timeout_in_second).min(LONGEST_TIMEOUT);
    Ok(Plan {
        cluster,
        namespace: backup.namespace().unwrap_or_default(),
        source: source(backup, settings)?,
        store,
        // the node's own certificate takes its place
        tls_secret: given(&spec.client_tls_secret).filter(|_| spec.kubeadm.is_none()),
        auth_secret: given(&spec.client_auth_secret),
        service_account: given(&spec.service_account_name),
        pod: spec.pod.clone().unwrap_or_default(),
        timeout: if seconds == 0 { DEFAULT_TIMEOUT } else { Duration::from_secs(seconds) },
        trigger: trigger(&policy)?,
        keep: u32::try_from(number(policy.max_backups)).unwrap_or(u32::MAX),
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

/// The first part of `spec` that the API has and this version of the operator refuses.
pub fn unsupported(spec: &EtcdBackupSpec) -> Option<&'static str> {
    let drills = spec.backup_policy.as_ref().is_some_and(|policy| !policy.drill_schedule.is_empty());
    let elsewhere = ![S3, PERSISTENT_VOLUME].contains(&spec.storage_type.as_str());
    let later = [
        (elsewhere, "a spec.storageType other than S3 and PersistentVolume"),
        (drills, "spec.backupPolicy.drillSchedule"),
    ];
    later.into_iter().find(|(set, _)| *set).map(|(_, field)| field)
}

fn source(backup: &EtcdBackup, settings: &Settings) -> Result<Source, Rejection> {
    if backup.spec.kubeadm.is_none() {
        return Ok(match backup.spec.etcd_endpoints.as_slice() {
            [] => Source::Name,
            urls => {
                urls.iter().try_for_each(|url| endpoints::check(url))?;
                Source::Endpoints(urls.to_vec())
            }
        });
    }
    let message = match &settings.kubeadm {
        Some(kubeadm) if backup.metadata.namespace.as_ref() == Some(&kubeadm.namespace) => {
            return Ok(Source::Kubeadm { pki_directory: kubeadm.pki_directory.clone() });
        }
        Some(kubeadm) => format!("the control plane's etcd is backed up from namespace {} only", kubeadm.namespace),
        None => "the operator runs without --kubeadm-namespace".to_owned(),
    };
    Err(Rejection { reason: "KubeadmNotAllowed", message })
}

fn trigger(policy: &BackupPolicy) -> Result<Trigger, Rejection> {
    let interval = policy.backup_interval_in_second.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    match (policy.schedule.as_str(), interval) {
        ("", 0) => Ok(Trigger::Once),
        ("", seconds) => Ok(Trigger::Every(Duration::from_secs(seconds))),
        (schedule, 0) => Ok(Trigger::Cron {
            schedule: schedule.to_owned(),
            // not the controller manager's own, which nobody sees
            time_zone: given(&policy.time_zone).unwrap_or_else(|| UTC.to_owned()),
        }),
        _ => Err(Rejection {
            reason: "InvalidSchedule",
            message: "spec.backupPolicy.schedule excludes backupIntervalInSecond".to_owned(),
        }),
    }
}

/// `""` is absent, as Go's `omitempty` wrote it.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Plan {
    /// Whether a sidecar is wanted and it is known what it is to serve.
    pub fn wants_sidecar(&self) -> bool {
        self.sidecar.enabled && self.store.is_known()
    }

    /// The command that makes a Secret, ConfigMap or claim which the pods miss; `kind` is kubectl's word for it.
    pub fn remedy(&self, kind: &str, name: &str) -> String {
        if kind == CLAIM {
            return claim_remedy(name, &self.namespace);
        }
        let is = |secret: &Option<String>| secret.as_deref() == Some(name);
        let ca_secret = self.store.bucket().and_then(|bucket| bucket.ca_secret.clone());
        let keys = if is(&self.tls_secret) {
            "--from-file=tls.crt --from-file=tls.key --from-file=ca.crt"
        } else if is(&self.auth_secret) {
            "--from-file=username --from-file=password"
        } else if is(&ca_secret) {
            "--from-file=ca.crt"
        } else {
            let flag = if kind == "configmap" { "configmap-name" } else { "secret-name" };
            return format!("kubectl etcdbackup credentials -n {} --{flag} {name}", self.namespace);
        };
        format!("kubectl -n {} create secret generic {name} {keys}", self.namespace)
    }
}

fn claim_remedy(name: &str, namespace: &str) -> String {
    let claim = serde_json::json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    format!("echo '{claim}' | kubectl apply -n {namespace} -f -")
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
    fn what_is_not_supported_is_named() {
        let with = |field: &str, value: serde_json::Value| {
            let mut spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": "own"}});
            spec[field] = value;
            rejected(spec)
        };
        let drills = with("backupPolicy", serde_json::json!({"drillSchedule": "@daily"}));
        assert!(drills.contains("spec.backupPolicy.drillSchedule"), "{drills}");
        assert!(with("storageType", "Floppy".into()).starts_with("Unsupported: "));
        assert!(with("storageType", "PersistentVolume".into()).starts_with("ClaimNotSet: "));
        let both = serde_json::json!({"schedule": "@daily", "backupIntervalInSecond": 60});
        assert!(with("backupPolicy", both).starts_with("InvalidSchedule: "));
    }

    #[test]
    fn the_control_plane_s_etcd_is_for_one_namespace() {
        let object = backup(serde_json::json!({"kubeadm": {}, "storageType": "S3", "s3": {"s3Bucket": "own"}}));
        let with = |namespace: Option<&str>| {
            let kubeadm = namespace.map(|namespace| super::super::settings::Kubeadm {
                namespace: namespace.to_owned(),
                pki_directory: "/etc/kubernetes/pki/etcd".to_owned(),
            });
            let planned = plan(&object, &Settings { kubeadm, ..settings(false) });
            planned.map(|plan| plan.source).map_err(|rejection| rejection.reason)
        };
        assert_eq!(with(None), Err("KubeadmNotAllowed"));
        assert_eq!(with(Some("other")), Err("KubeadmNotAllowed"));
        assert!(matches!(with(Some("default")), Ok(Source::Kubeadm { .. })));
    }

    #[test]
    fn what_is_no_address_of_etcd_is_refused_before_a_run() {
        let with = |url: &str| {
            let spec = serde_json::json!({"etcdEndpoints": ["http://e:2379", url], "storageType": "S3", "s3": {}});
            plan(&backup(spec), &settings(true)).map(|_| ()).map_err(|rejection| rejection.message)
        };
        assert_eq!([with("e:2379"), with("https://[::1]:2379/")], [Ok(()), Ok(())]);
        let refused = with("http://e:99999").unwrap_err();
        assert!(refused.starts_with("spec.etcdEndpoints: \"http://e:99999\" is not an etcd client URL"), "{refused}");
    }

    #[test]
    fn what_starts_the_runs() {
        let of = |policy: serde_json::Value| {
            let spec = serde_json::json!({"clusterName": "a", "storageType": "S3", "s3": {}, "backupPolicy": policy});
            plan(&backup(spec), &settings(true)).unwrap().trigger
        };
        assert_eq!(of(serde_json::json!({"backupIntervalInSecond": 0, "schedule": ""})), Trigger::Once);
        assert_eq!(of(serde_json::json!({"backupIntervalInSecond": 90})), Trigger::Every(Duration::from_secs(90)));
        let cron = |zone: &str| Trigger::Cron { schedule: "@daily".to_owned(), time_zone: zone.to_owned() };
        assert_eq!(of(serde_json::json!({"schedule": "@daily"})), cron(UTC));
        assert_eq!(of(serde_json::json!({"schedule": "@daily", "timeZone": "Europe/Berlin"})), cron("Europe/Berlin"));
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
        assert_eq!(plan.timeout, DEFAULT_TIMEOUT);
        assert_eq!(plan.remedy("secret", "aws"), "kubectl etcdbackup credentials -n default --secret-name aws");
        assert!(plan.remedy("secret", "tls").ends_with("--from-file=ca.crt"));
        let claim = plan.remedy(CLAIM, "disk-7");
        assert!(claim.contains(r#""metadata":{"name":"disk-7"}"#) && claim.ends_with("kubectl apply -n default -f -"));
    }
}
