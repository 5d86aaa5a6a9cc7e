//! The Job of a reader: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Helper;
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::names::{CLAIM_LABEL, SIDECAR_PORT, claim_label};
use crate::kubernetes::FIELD_MANAGER;

/// `app` of the readers' pods.
pub const APP: &str = "etcd_backup_reader";

/// The port on the pod's loopback.
pub(super) const PORT: u16 = SIDECAR_PORT;

/// Where the claim is mounted: where the pods that write it have it.
const MOUNT: &str = "/var/etcd-backup";

/// A helper to which nobody was connected for so long ends.
const IDLE: &str = "60s";

/// Nobody in particular: the user and group of our pods.
const NOBODY: i64 = 65532;

/// Characters of a cluster's name in that of its helper: both are at most 63 long.
const MOST: usize = 43;

/// As whom the files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The user of our pods; fits every namespace.
    Nobody,
    /// Root without any capability: it may read root's own files, and little more.
    Root,
}

/// What is to be read, and how.
#[derive(Debug, Clone)]
pub struct Reader {
    pub cluster: String,
    pub claim: String,
    pub image: String,
    pub pull_secrets: Vec<LocalObjectReference>,
    /// The only node that will do.
    pub node: Option<String>,
    pub identity: Identity,
    /// After so long Kubernetes ends it, whoever is connected.
    pub deadline: Duration,
}

impl Reader {
    /// A name that nobody else uses: with five characters at random.
    pub fn helper(&self) -> Helper {
        let cut = self.cluster.get(..MOST).unwrap_or(&self.cluster).trim_end_matches(['-', '.', '_']);
        let tail: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(5).collect();
        Helper { name: format!("{cut}-backup-reader-{tail}") }
    }

    /// The Job of this name.
    pub(super) fn job(&self, name: &str, namespace: &str) -> Job {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(self.labels()),
            ..Default::default()
        };
        let off = [("sidecar.istio.io/inject", "false"), ("linkerd.io/inject", "disabled")];
        let annotations = off.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let template = PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(self.labels()),
                // a mesh's proxy would bring everybody's requests to the loopback
                annotations: Some(annotations.into()),
                ..Default::default()
            }),
            spec: Some(self.pod()),
        };
        let spec = JobSpec {
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(0),
            active_deadline_seconds: i64::try_from(self.deadline.as_secs().max(1)).ok(),
            template,
            ..Default::default()
        };
        Job { metadata, spec: Some(spec), status: None }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let claim = claim_label(&self.claim);
        let own = [
            ("app", APP),
            (CLUSTER_LABEL, &self.cluster),
            ("app.kubernetes.io/managed-by", FIELD_MANAGER),
            (CLAIM_LABEL, &claim),
        ];
        own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn pod(&self) -> PodSpec {
        let claim = PersistentVolumeClaimVolumeSource { claim_name: self.claim.clone(), read_only: Some(true) };
        PodSpec {
            containers: vec![self.container()],
            restart_policy: Some("Never".to_owned()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(self.security()),
            image_pull_secrets: (!self.pull_secrets.is_empty()).then(|| self.pull_secrets.clone()),
            affinity: self.node.as_deref().map(only_on),
            // the data is on that node whatever keeps other pods off it
            tolerations: self.node.as_ref().map(|_| ["NoSchedule", "NoExecute"].map(tolerate).to_vec()),
            termination_grace_period_seconds: Some(5),
            volumes: Some(vec![Volume {
                name: "backups".to_owned(),
                persistent_volume_claim: Some(claim),
                ..Default::default()
            }]),
            ..Default::default()
        }
    }

    fn container(&self) -> Container {
        let listen = format!("127.0.0.1:{PORT}");
        let words = ["agent", "serve", "--cluster-name", &self.cluster, "--volume-dir", MOUNT];
        let words = words.into_iter().chain(["--listen", &listen, "--idle-timeout", IDLE]);
        Container {
            name: "reader".to_owned(),
            image: Some(self.image.clone()),
            args: Some(words.map(str::to_owned).collect()),
            resources: Some(resources()),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
                ..Default::default()
            }),
            volume_mounts: Some(vec![VolumeMount {
                name: "backups".to_owned(),
                mount_path: MOUNT.to_owned(),
                read_only: Some(true),
                ..Default::default()
            }]),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..Default::default()
        }
    }

    /// Pod Security Standard `restricted`; for root `baseline`. No fsGroup: it would change the files' owners.
    fn security(&self) -> PodSecurityContext {
        let (user, root) = match self.identity {
            Identity::Nobody => (NOBODY, false),
            Identity::Root => (0, true),
        };
        PodSecurityContext {
            run_as_non_root: Some(!root),
            run_as_user: Some(user),
            run_as_group: Some(user),
            // volumes whose driver sets a group got that of our pods
            supplemental_groups: Some(vec![NOBODY]),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..Default::default()
        }
    }
}

/// By name and not by the label `kubernetes.io/hostname`, which may be another.
fn only_on(node: &str) -> Affinity {
    let name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_expressions: None, match_fields: Some(vec![name]) };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: vec![term] }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn tolerate(effect: &str) -> Toleration {
    Toleration { operator: Some("Exists".to_owned()), effect: Some(effect.to_owned()), ..Default::default() }
}

/// Its memory does not grow with the snapshot.
fn resources() -> ResourceRequirements {
    let quantities = |list: &[(&str, &str)]| {
        Some(list.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "50m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "128Mi")]),
        claims: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reader(identity: Identity) -> Reader {
        Reader {
            cluster: "etcd-a".to_owned(),
            claim: "etcd-a-pvc".to_owned(),
            image: "image:1".to_owned(),
            pull_secrets: Vec::new(),
            node: Some("node1".to_owned()),
            identity,
            deadline: Duration::from_secs(3600),
        }
    }

    fn job(identity: Identity) -> Value {
        serde_json::to_value(reader(identity).job("etcd-a-backup-reader-abcde", "ns")).unwrap()
    }

    #[test]
    fn it_reads_only_ends_by_itself_and_listens_where_a_port_forward_arrives() {
        let job = job(Identity::Nobody);
        let spec = &job["spec"];
        assert_eq!((&spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]), (&json!(0), &json!(0)));
        assert_eq!(spec["activeDeadlineSeconds"], 3600);
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["volumes"][0]["persistentVolumeClaim"], json!({"claimName": "etcd-a-pvc", "readOnly": true}));
        let container = &pod["containers"][0];
        assert_eq!(container["volumeMounts"][0]["readOnly"], true);
        assert_eq!(
            container["args"],
            json!([
                "agent",
                "serve",
                "--cluster-name",
                "etcd-a",
                "--volume-dir",
                "/var/etcd-backup",
                "--listen",
                "127.0.0.1:19999",
                "--idle-timeout",
                "60s"
            ])
        );
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(spec["template"]["metadata"]["labels"]["app"], APP);
        let required = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(required["nodeSelectorTerms"][0]["matchFields"][0]["values"], json!(["node1"]));
        let tolerated = ["NoSchedule", "NoExecute"].map(|effect| json!({"operator": "Exists", "effect": effect}));
        assert_eq!(pod["tolerations"], json!(tolerated));
    }

    #[test]
    fn root_has_no_capabilities_and_nobody_is_restricted() {
        for (identity, user, non_root) in [(Identity::Nobody, 65532, true), (Identity::Root, 0, false)] {
            let pod = job(identity)["spec"]["template"]["spec"].clone();
            let security = &pod["securityContext"];
            assert_eq!((&security["runAsUser"], &security["runAsNonRoot"]), (&json!(user), &json!(non_root)));
            assert_eq!(
                (&security["seccompProfile"]["type"], &security["fsGroup"]),
                (&json!("RuntimeDefault"), &Value::Null)
            );
            assert_eq!(
                pod["containers"][0]["securityContext"],
                json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
            );
        }
    }

    #[test]
    fn names_are_different_and_fit() {
        let mut long = reader(Identity::Nobody);
        long.cluster = format!("{}-{}", "a".repeat(42), "b".repeat(40));
        let (one, other) = (long.helper().name, long.helper().name);
        assert!(one.len() <= 63 && one.starts_with(&format!("{}-backup-reader-", "a".repeat(42))), "{one}");
        assert_ne!(one, other);
    }
}
