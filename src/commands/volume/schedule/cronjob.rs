//! The objects of a schedule: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodSpec, PodTemplateSpec, ResourceRequirements,
    SecretVolumeSource, ServiceAccount, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::commands::install::manifests::{self, Manifest, ROLE_ARN};
use crate::error::Result;
use crate::kubernetes::FIELD_MANAGER;
use crate::operator::{MANAGED_BY, container_security, control_plane_only, control_plane_too, pod_security};

/// The name of the CronJob and of its ServiceAccount unless others are given.
pub const NAME: &str = "etcdbackup-volumes";

/// Name of the only container.
const CONTAINER: &str = "volumes";

/// kube2iam and kiam: which role a pod gets (jtblin/kube2iam, README.md).
const KUBE2IAM: &str = "iam.amazonaws.com/role";

/// Where the files of a Secret are.
const SECRET: &str = "/etc/etcdbackup/aws";

/// Seconds after which a run is given up: no set takes that long, and a stuck one would hold up all that follow.
const DEADLINE: i64 = 7200;

/// Where the pods' credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// What the SDK finds: EKS Pod Identity, or the role of the node.
    Ambient,
    /// The role of the ServiceAccount.
    Irsa(String),
    /// The role of the pods.
    Kube2iam(String),
    /// A Secret with the files `credentials` and `config`.
    Secret(String),
}

/// What is to run, when and as whom.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub namespace: String,
    pub name: String,
    pub service_account: String,
    pub image: String,
    /// Five fields of cron.
    pub cron: String,
    pub time_zone: Option<String>,
    pub cluster: String,
    /// All where empty.
    pub etcds: Vec<String>,
    /// Flags of `volume snapshot` that say which sets stay.
    pub keep: Vec<String>,
    pub credentials: Credentials,
    pub control_plane: bool,
    pub region: Option<String>,
    pub account: Option<String>,
    pub endpoint_url: Option<String>,
}

impl Schedule {
    /// The ServiceAccount and the CronJob.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when one cannot be serialised.
    pub fn manifests(&self) -> Result<Vec<Manifest>> {
        let mut account =
            ServiceAccount { metadata: self.metadata(&self.service_account), ..ServiceAccount::default() };
        if let Credentials::Irsa(arn) = &self.credentials {
            account.metadata.annotations = Some(owned(&[(ROLE_ARN, arn)]));
        }
        Ok(vec![Manifest::new(&account)?, Manifest::new(&self.cron_job())?])
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels()),
            ..Default::default()
        }
    }

    fn cron_job(&self) -> CronJob {
        let job = JobSpec {
            active_deadline_seconds: Some(DEADLINE),
            // the next run is soon
            backoff_limit: Some(1),
            template: self.pod(),
            ..Default::default()
        };
        let spec = CronJobSpec {
            schedule: self.cron.clone(),
            time_zone: self.time_zone.clone(),
            concurrency_policy: Some("Forbid".to_owned()),
            successful_jobs_history_limit: Some(3),
            failed_jobs_history_limit: Some(1),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels()), ..Default::default() }),
                spec: Some(job),
            },
            ..Default::default()
        };
        CronJob { metadata: self.metadata(&self.name), spec: Some(spec), status: None }
    }

    fn pod(&self) -> PodTemplateSpec {
        let mut annotations = owned(&[("sidecar.istio.io/inject", "false"), ("linkerd.io/inject", "disabled")]);
        if let Credentials::Kube2iam(role) = &self.credentials {
            annotations.insert(KUBE2IAM.to_owned(), role.clone());
        }
        let spec = PodSpec {
            service_account_name: Some(self.service_account.clone()),
            // IRSA and Pod Identity bring tokens of their own; Kubernetes itself is not asked
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(pod_security()),
            affinity: self.control_plane.then(control_plane_only),
            tolerations: self.control_plane.then(|| vec![control_plane_too()]),
            containers: vec![self.container()],
            volumes: self.volumes(),
            ..Default::default()
        };
        PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels()), annotations: Some(annotations), ..Default::default() }),
            spec: Some(spec),
        }
    }

    /// One command: the deletions come only when the whole set is complete.
    fn container(&self) -> Container {
        let mut words = vec!["volume".to_owned(), "snapshot".to_owned(), format!("--cluster-name={}", self.cluster)];
        words.extend(self.etcds.iter().map(|etcd| format!("--etcd={etcd}")));
        // a second try of a Job completes the set of the first
        words.extend(["--set=$(JOB_NAME)", "--wait"].map(str::to_owned));
        words.extend(self.keep.iter().cloned());
        words.extend(self.account.as_ref().map(|account| format!("--account={account}")));
        Container {
            name: CONTAINER.to_owned(),
            image: Some(self.image.clone()),
            args: Some(words),
            env: Some(self.environment()),
            resources: Some(resources()),
            security_context: Some(container_security()),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: self.secret().map(|_| vec![mount()]),
            ..Default::default()
        }
    }

    fn environment(&self) -> Vec<EnvVar> {
        let of_job = ObjectFieldSelector { api_version: None, field_path: "metadata.labels['job-name']".to_owned() };
        let job = EnvVar {
            name: "JOB_NAME".to_owned(),
            value: None,
            value_from: Some(EnvVarSource { field_ref: Some(of_job), ..Default::default() }),
        };
        let file = |name: &str| self.secret().map(|_| format!("{SECRET}/{name}"));
        let plain = [
            ("AWS_REGION", self.region.clone()),
            ("AWS_ENDPOINT_URL", self.endpoint_url.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", file("credentials")),
            ("AWS_CONFIG_FILE", file("config")),
        ];
        let plain = plain.into_iter().filter_map(|(name, value)| {
            value.map(|value| EnvVar { name: name.to_owned(), value: Some(value), value_from: None })
        });
        std::iter::once(job).chain(plain).collect()
    }

    fn secret(&self) -> Option<&String> {
        match &self.credentials {
            Credentials::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    fn volumes(&self) -> Option<Vec<Volume>> {
        let source = SecretVolumeSource {
            secret_name: Some(self.secret()?.clone()),
            // the pod's group reads them, nobody else
            default_mode: Some(0o440),
            ..Default::default()
        };
        Some(vec![Volume { name: "aws".to_owned(), secret: Some(source), ..Default::default() }])
    }
}

fn mount() -> VolumeMount {
    VolumeMount { name: "aws".to_owned(), mount_path: SECRET.to_owned(), read_only: Some(true), ..Default::default() }
}

/// Not those of what `install` makes: `uninstall` leaves a schedule alone.
fn labels() -> BTreeMap<String, String> {
    owned(&[(manifests::NAME, NAME), (MANAGED_BY, FIELD_MANAGER)])
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn resources() -> ResourceRequirements {
    let quantities =
        |pairs: &[(&str, &str)]| Some(owned(pairs).into_iter().map(|(key, value)| (key, Quantity(value))).collect());
    ResourceRequirements {
        requests: quantities(&[("cpu", "20m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        claims: None,
    }
}
