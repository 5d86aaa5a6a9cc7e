//! The pods of Jobs and sidecars: what they mount, and as whom they run.

mod claimed;
mod mounts;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, HostPathVolumeSource, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;

use super::argv::directory;
use super::plan::{Plan, Source, Store};
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::names::{CLAIM_LABEL, claim_label};
use crate::kubernetes::FIELD_MANAGER;
use crate::sha256::{Hex, Sha256};
pub use claimed::is_on_one_node;
use claimed::on_volume;
use mounts::{Mount, mounts};

/// Name of the only container.
pub const CONTAINER: &str = "agent";

/// `app` of the Jobs' pods.
pub const AGENT_APP: &str = "etcd_backup_agent";

/// `app` of the sidecars' pods (etcd-operator v0.2.0 to v0.6.1).
pub const SIDECAR_APP: &str = "etcd_backup_tool";

/// The label that says who keeps an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Nobody in particular: the user and group of all pods, as in distroless images.
const USER: i64 = 65532;

/// The label and the taint of control-plane nodes (kubernetes/kubernetes, cmd/kubeadm/app/constants, v1.34).
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The files of kubeadm's `pki/etcd` that a client needs, as volume and under the names of a TLS Secret.
const KUBEADM_FILES: [(&str, &str, &str); 3] = [
    ("kubeadm-ca", "ca.crt", "ca.crt"),
    ("kubeadm-certificate", "healthcheck-client.crt", "tls.crt"),
    ("kubeadm-key", "healthcheck-client.key", "tls.key"),
];

/// What a Job's pod and a sidecar's pod do not share.
#[derive(Debug, Clone)]
pub struct Role {
    /// Value of the label `app`.
    pub app: &'static str,
    /// Command line of the container, without the program.
    pub argv: Vec<String>,
    /// Whether the pod talks to etcd.
    pub reaches_etcd: bool,
    /// Whether all pods with the claim have to be on one node.
    pub one_node: bool,
    /// The container with ports, probes and what else is the role's own.
    pub container: Container,
    /// `Never` or `Always`.
    pub restart_policy: &'static str,
}

/// The labels by which objects of one cluster are found.
pub fn labels(app: &str, cluster: &str) -> BTreeMap<String, String> {
    let own = [("app", app), (CLUSTER_LABEL, cluster), (MANAGED_BY, FIELD_MANAGER)];
    own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The annotation by which an object's next form is told from the present one, with what it lacks.
const APPLIED: &str = "etcd.database.coreos.com/applied";

/// The annotations of an object that is to be applied: its own, and the hash of it.
pub fn applied<K: Resource + Serialize>(object: &K) -> BTreeMap<String, String> {
    let digest = Sha256::of(&serde_json::to_vec(object).unwrap_or_default());
    let mut annotations = object.meta().annotations.clone().unwrap_or_default();
    annotations.insert(APPLIED.to_owned(), Hex(&digest[..10]).to_string());
    annotations
}

/// The pod of `plan` in a role.
pub fn template(plan: &Plan, image: &str, role: Role) -> PodTemplateSpec {
    let policy = &plan.pod;
    let mut labels = policy.labels.clone();
    // ours last: Services, the operator and people find pods by them
    labels.extend(self::labels(role.app, &plan.cluster));
    if let Store::Volume(claim) = &plan.store {
        labels.insert(CLAIM_LABEL.to_owned(), claim_label(&claim.name));
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations(plan)), ..Default::default() }),
        spec: Some(spec(plan, image, role)),
    }
}

/// Ours last: a mesh's proxy never ends, so a Job with one never completes, and it would hand everybody's requests
/// to the sidecar as if they came from the pod itself.
fn annotations(plan: &Plan) -> BTreeMap<String, String> {
    let off = [("sidecar.istio.io/inject", "false"), ("linkerd.io/inject", "disabled")];
    let mut annotations = plan.pod.annotations.clone();
    annotations.extend(off.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    annotations
}

fn spec(plan: &Plan, image: &str, role: Role) -> PodSpec {
    let (reaches_etcd, one_node) = (role.reaches_etcd, role.one_node);
    let mut spec = ordinary(plan, image, role);
    match (&plan.source, &plan.store) {
        (Source::Kubeadm { pki_directory }, _) if reaches_etcd => {
            as_root_on_control_plane(&mut spec);
            with_files_of_the_node(&mut spec, pki_directory);
        }
        // what the Job wrote on a volume is root's
        (Source::Kubeadm { .. }, Store::Volume(_)) => as_root_on_control_plane(&mut spec),
        _ => {}
    }
    if let Store::Volume(claim) = &plan.store {
        on_volume(&mut spec, claim, one_node);
    }
    spec
}

fn ordinary(plan: &Plan, image: &str, role: Role) -> PodSpec {
    let policy = plan.pod.clone();
    let mounts = mounts(plan, role.reaches_etcd);
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        args: Some(role.argv),
        env: listed(policy.env),
        resources: Some(policy.resources.unwrap_or_else(resources)),
        security_context: Some(container_security()),
        volume_mounts: listed(mounts.iter().map(Mount::mount).collect()),
        // a panic leaves no report, but its last lines
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..role.container
    };
    PodSpec {
        containers: vec![container],
        restart_policy: Some(role.restart_policy.to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security()),
        service_account_name: plan.service_account.clone(),
        volumes: listed(mounts.iter().map(Mount::volume).collect()),
        node_selector: (!policy.node_selector.is_empty()).then_some(policy.node_selector),
        tolerations: listed(policy.tolerations),
        image_pull_secrets: listed(policy.image_pull_secrets),
        priority_class_name: (!policy.priority_class_name.is_empty()).then_some(policy.priority_class_name),
        ..Default::default()
    }
}

/// The pod on a node of the control plane, as root: without capabilities it may read its own files and little more.
fn as_root_on_control_plane(spec: &mut PodSpec) {
    let user = PodSecurityContext { run_as_non_root: Some(false), run_as_user: Some(0), ..pod_security() };
    spec.security_context = Some(PodSecurityContext { run_as_group: Some(0), ..user });
    spec.affinity = Some(control_plane_only());
    spec.tolerations.get_or_insert_default().push(control_plane_too());
}

/// The pod in the network of its node and with three of its files, which are root's alone.
fn with_files_of_the_node(spec: &mut PodSpec, pki_directory: &str) {
    spec.host_network = Some(true);
    spec.dns_policy = Some("ClusterFirstWithHostNet".to_owned());
    for (name, file, target) in KUBEADM_FILES {
        spec.volumes.get_or_insert_default().push(Volume {
            name: name.to_owned(),
            host_path: Some(HostPathVolumeSource {
                path: format!("{pki_directory}/{file}"),
                type_: Some("File".to_owned()),
            }),
            ..Default::default()
        });
        for container in &mut spec.containers {
            container.volume_mounts.get_or_insert_default().push(VolumeMount {
                name: name.to_owned(),
                mount_path: format!("{}/{target}", directory::TLS),
                read_only: Some(true),
                ..Default::default()
            });
        }
    }
}

/// Nodes of the control plane take the pod.
pub fn control_plane_too() -> Toleration {
    Toleration {
        key: Some(CONTROL_PLANE.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoSchedule".to_owned()),
        ..Default::default()
    }
}

/// Other nodes do not take the pod. By the label's presence: its value differs between distributions.
pub fn control_plane_only() -> Affinity {
    let has_label =
        NodeSelectorRequirement { key: CONTROL_PLANE.to_owned(), operator: "Exists".to_owned(), values: None };
    let term = NodeSelectorTerm { match_expressions: Some(vec![has_label]), match_fields: None };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: vec![term] }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Pod Security Standard `restricted`.
pub fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..Default::default()
    }
}

/// Pod Security Standard `restricted`, and a root file system that cannot be written.
pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..Default::default()
    }
}

/// Requests and limits of an agent that streams: its memory does not grow with the snapshot.
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

/// An empty list is left out.
fn listed<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn pod(plan: &Plan, reaches_etcd: bool) -> serde_json::Value {
        let role = Role {
            app: AGENT_APP,
            argv: vec!["agent".to_owned()],
            reaches_etcd,
            one_node: true,
            container: Container::default(),
            restart_policy: "Never",
        };
        serde_json::to_value(template(plan, "image:1", role)).unwrap()
    }

    #[test]
    fn runs_as_nobody_with_nothing() {
        let pod = pod(&samples::full_plan(), true);
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["securityContext"]["runAsUser"], 65532);
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &spec["containers"][0];
        assert_eq!(
            container["securityContext"],
            serde_json::json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
        );
    }

    #[test]
    fn on_the_control_plane_it_is_root_with_three_files_and_nothing_else() {
        let mut plan = samples::full_plan();
        (plan.tls_secret, plan.auth_secret) = (None, None);
        plan.source = Source::Kubeadm { pki_directory: "/etc/kubernetes/pki/etcd".to_owned() };
        let spec = pod(&plan, true)["spec"].clone();
        assert_eq!((&spec["hostNetwork"], &spec["dnsPolicy"]), (&true.into(), &"ClusterFirstWithHostNet".into()));
        let user = &spec["securityContext"];
        assert_eq!((&user["runAsUser"], &user["runAsNonRoot"]), (&0.into(), &false.into()));
        let container = &spec["containers"][0];
        assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let volumes = spec["volumes"].as_array().unwrap();
        let paths: Vec<&serde_json::Value> = volumes.iter().filter_map(|volume| volume.get("hostPath")).collect();
        let want = |file: &str| serde_json::json!({"path": format!("/etc/kubernetes/pki/etcd/{file}"), "type": "File"});
        assert_eq!(paths, [&want("ca.crt"), &want("healthcheck-client.crt"), &want("healthcheck-client.key")]);
        assert_eq!(spec["tolerations"][0]["key"], CONTROL_PLANE);
        let served = pod(&plan, false);
        assert_eq!(served["spec"]["hostNetwork"], serde_json::Value::Null);
        assert_eq!(served["spec"]["securityContext"]["runAsUser"], 65532);
    }

    #[test]
    fn mounts_what_the_command_line_names() {
        let names = |pod: &serde_json::Value| -> Vec<String> {
            let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
            mounts.iter().map(|mount| mount["mountPath"].as_str().unwrap().to_owned()).collect()
        };
        let with_etcd = pod(&samples::full_plan(), true);
        assert_eq!(names(&with_etcd), [directory::AWS_SECRET, directory::CA, directory::TLS, directory::AUTH]);
        assert_eq!(with_etcd["spec"]["volumes"][0]["secret"]["secretName"], "aws");
        assert_eq!(names(&pod(&samples::full_plan(), false)), [directory::AWS_SECRET, directory::CA]);
    }

    #[test]
    fn a_claim_is_written_by_jobs_and_only_read_by_the_sidecar() {
        let plan = samples::volume_plan("disk-7");
        let (job, sidecar) = (pod(&plan, true), pod(&plan, false));
        for pod in [&job, &sidecar] {
            assert_eq!(
                pod["spec"]["volumes"],
                serde_json::json!([{"name": "backups", "persistentVolumeClaim": {"claimName": "disk-7"}}])
            );
            assert_eq!(pod["spec"]["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch");
        }
        let mount = |pod: &serde_json::Value| pod["spec"]["containers"][0]["volumeMounts"][0].clone();
        assert_eq!(mount(&job), serde_json::json!({"name": "backups", "mountPath": "/var/etcd-backup"}));
        assert_eq!(mount(&sidecar)["readOnly"], true);
    }

    #[test]
    fn pods_with_a_disk_of_one_node_seek_each_other_by_a_label_that_they_have() {
        let spec = pod(&samples::volume_plan("disk-7"), true);
        let terms = &spec["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let label = serde_json::json!({CLAIM_LABEL: "disk-7"});
        assert_eq!(terms[0]["labelSelector"]["matchLabels"], label);
        assert_eq!(terms[0]["topologyKey"], "kubernetes.io/hostname");
        assert_eq!(spec["metadata"]["labels"][CLAIM_LABEL], "disk-7");
        let long = "c".repeat(200);
        let labelled = pod(&samples::volume_plan(&long), true)["metadata"]["labels"][CLAIM_LABEL].clone();
        assert!(labelled.as_str().unwrap().len() <= 63, "{labelled}");
        let of = |pod: serde_json::Value| serde_json::from_value::<PodSpec>(pod["spec"].clone()).unwrap();
        assert!(is_on_one_node(Some(&of(spec))));
        assert!(!is_on_one_node(Some(&of(pod(&samples::full_plan(), true)))));
    }

    #[test]
    fn what_root_wrote_on_a_volume_is_served_by_root_on_the_same_nodes() {
        let mut plan = samples::volume_plan("disk-7");
        plan.source = Source::Kubeadm { pki_directory: "/etc/kubernetes/pki/etcd".to_owned() };
        let spec = pod(&plan, false)["spec"].clone();
        assert_eq!(
            (&spec["securityContext"]["runAsUser"], &spec["hostNetwork"]),
            (&0.into(), &serde_json::Value::Null)
        );
        let affinity = &spec["affinity"];
        assert!(affinity["nodeAffinity"].is_object() && affinity["podAffinity"].is_object(), "{affinity}");
        assert!(!spec["volumes"].to_string().contains("hostPath"), "{spec}");
    }

    #[test]
    fn the_pod_policy_is_applied_but_our_labels_and_annotations_stay() {
        let pod = pod(&samples::full_plan(), true);
        let meta = &pod["metadata"];
        assert_eq!((&meta["labels"]["team"], &meta["labels"]["app"]), (&"x".into(), &AGENT_APP.into()));
        assert_eq!(meta["annotations"]["linkerd.io/inject"], "disabled");
        assert_eq!(meta["annotations"]["sidecar.istio.io/inject"], "false");
        let spec = &pod["spec"];
        assert_eq!(spec["serviceAccountName"], "backup");
        assert_eq!(spec["nodeSelector"]["disk"], "ssd");
        assert_eq!(spec["imagePullSecrets"][0]["name"], "pull");
        assert_eq!(spec["priorityClassName"], "high");
        assert_eq!(spec["containers"][0]["resources"], serde_json::json!({"limits": {"memory": "1Gi"}}));
        assert_eq!(spec["containers"][0]["env"][0]["name"], "HTTPS_PROXY");
    }
}
