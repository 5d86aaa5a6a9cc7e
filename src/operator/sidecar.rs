//! The sidecar's Deployment and what belongs to it, and which EtcdBackup of a cluster decides over them: pure.
//!
//! Names, labels and port are those of etcd-operator v0.2.0 to v0.6.1 (doc/user/download_backup.md at v0.2.5).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, PodTemplateSpec, Probe, Service, ServiceAccount, ServicePort, ServiceSpec,
};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::argv;
use super::plan::{Credentials, Plan, Store};
use super::pod::{self, Role, SIDECAR_APP};
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::names::{self, SIDECAR_PORT};

/// The annotation of the Deployment that says which store it serves.
pub const STORE: &str = "etcd.database.coreos.com/store";

/// Name of the port, of the Service as of the container.
const PORT: &str = "backup-service";

/// An EtcdBackup that wants a sidecar and whose layout is known.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub owner: OwnerReference,
    pub created: Option<Timestamp>,
    pub plan: Plan,
}

impl Candidate {
    /// The directory that it wants served, as one word; equal for all that mean the same place.
    pub fn store(&self) -> String {
        self.plan.store.word(&self.plan.namespace, &self.plan.cluster)
    }
}

/// The sidecar of one cluster: whose plan it follows, and by whom it is owned.
#[derive(Debug)]
pub struct Elected<'a> {
    pub leader: &'a Candidate,
    pub owners: Vec<OwnerReference>,
    pub store: String,
}

/// Chooses among `candidates`: the store that is served already stays, else that of the oldest is taken; the
/// oldest with that store leads. Every operator and every reconcile chooses alike.
pub fn elect<'a>(candidates: &'a [Candidate], served: Option<&str>) -> Option<Elected<'a>> {
    let age = |candidate: &&Candidate| (candidate.created, candidate.owner.uid.clone());
    let serves = |candidate: &&Candidate| served == Some(candidate.store().as_str());
    let leader = candidates.iter().filter(serves).min_by_key(age).or_else(|| candidates.iter().min_by_key(age))?;
    let store = leader.store();
    let same = candidates.iter().filter(|candidate| candidate.store() == store);
    let mut owners: Vec<OwnerReference> = same.map(|candidate| candidate.owner.clone()).collect();
    owners.sort_by(|one, other| one.uid.cmp(&other.uid));
    Some(Elected { leader, owners, store })
}

/// The Deployment, for server-side apply: what it leaves out, such as `replicas`, is other people's. `one_node` is
/// whether all pods with the claim have to be on one node.
pub fn deployment(elected: &Elected<'_>, image: &str, one_node: bool) -> Deployment {
    let plan = &elected.leader.plan;
    let mut deployment = Deployment {
        metadata: ObjectMeta {
            annotations: Some(BTreeMap::from([(STORE.to_owned(), elected.store.clone())])),
            ..metadata(elected)
        },
        spec: Some(DeploymentSpec {
            selector: LabelSelector { match_labels: Some(selector(&plan.cluster)), match_expressions: None },
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
            template: template(plan, image, one_node),
            ..Default::default()
        }),
        status: None,
    };
    deployment.metadata.annotations = Some(pod::applied(&deployment));
    deployment
}

fn template(plan: &Plan, image: &str, one_node: bool) -> PodTemplateSpec {
    let role = Role {
        app: SIDECAR_APP,
        argv: argv::serve(plan),
        reaches_etcd: false,
        one_node,
        container: container(),
        restart_policy: "Always",
    };
    let mut template = pod::template(plan, image, role);
    if let Some(spec) = &mut template.spec {
        spec.service_account_name = Some(account(plan).0);
        // to ask the API server about the tokens of others
        spec.automount_service_account_token = Some(!plan.sidecar.anonymous);
    }
    template
}

/// Whether the pods of a sidecar are kept on the node of the others with their claim.
pub fn is_on_one_node(deployment: &Deployment) -> bool {
    pod::is_on_one_node(deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()))
}

/// The name of the sidecar's ServiceAccount, and whether it is the sidecar's own. Where credentials come with a
/// ServiceAccount (IRSA, Pod Identity), it is that of the Jobs.
pub fn account(plan: &Plan) -> (String, bool) {
    let is_ambient = |store: &Store| store.bucket().is_some_and(|bucket| bucket.credentials == Credentials::Ambient);
    match &plan.service_account {
        Some(name) => (name.clone(), false),
        None if is_ambient(&plan.store) => ("default".to_owned(), false),
        None => (names::sidecar(&plan.cluster), true),
    }
}

/// The ServiceAccount, for server-side apply; `None` where the sidecar uses that of the Jobs.
pub fn service_account(elected: &Elected<'_>) -> Option<ServiceAccount> {
    let (_, own) = account(&elected.leader.plan);
    own.then(|| ServiceAccount {
        metadata: metadata(elected),
        automount_service_account_token: Some(false),
        ..Default::default()
    })
}

/// The NetworkPolicy, for server-side apply: in by the sidecar's port and by no other.
pub fn network_policy(elected: &Elected<'_>) -> NetworkPolicy {
    let port = NetworkPolicyPort {
        port: Some(IntOrString::Int(SIDECAR_PORT.into())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    let selector = selector(&elected.leader.plan.cluster);
    NetworkPolicy {
        metadata: metadata(elected),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector { match_labels: Some(selector), match_expressions: None }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule { ports: Some(vec![port]), from: None }]),
            egress: None,
        }),
    }
}

/// The Service, for server-side apply.
pub fn service(elected: &Elected<'_>) -> Service {
    Service {
        metadata: metadata(elected),
        spec: Some(ServiceSpec {
            selector: Some(selector(&elected.leader.plan.cluster)),
            ports: Some(vec![ServicePort {
                name: Some(PORT.to_owned()),
                port: SIDECAR_PORT.into(),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::Int(SIDECAR_PORT.into())),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        status: None,
    }
}

/// The labels by which the Service and the operator find the pods.
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    [("app", SIDECAR_APP), (CLUSTER_LABEL, cluster)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn metadata(elected: &Elected<'_>) -> ObjectMeta {
    let plan = &elected.leader.plan;
    ObjectMeta {
        name: Some(names::sidecar(&plan.cluster)),
        namespace: Some(plan.namespace.clone()),
        labels: Some(pod::labels(SIDECAR_APP, &plan.cluster)),
        owner_references: Some(elected.owners.clone()),
        ..Default::default()
    }
}

fn container() -> Container {
    Container {
        ports: Some(vec![ContainerPort {
            name: Some(PORT.to_owned()),
            container_port: SIDECAR_PORT.into(),
            protocol: Some("TCP".to_owned()),
            ..Default::default()
        }]),
        liveness_probe: Some(probe("/healthz", SIDECAR_PORT, 10)),
        readiness_probe: Some(probe("/readyz", SIDECAR_PORT, 5)),
        ..Default::default()
    }
}

/// An HTTP probe of the kubelet every `period` seconds.
pub fn probe(path: &str, port: u16, period: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(port.into()),
            ..Default::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Bucket;
    use super::super::samples::{self, at};
    use super::*;

    fn change(plan: &mut Plan, change: impl FnOnce(&mut Bucket)) {
        let Store::S3(bucket) = &mut plan.store else { panic!("not in S3") };
        change(bucket);
    }

    fn candidate(uid: &str, created: i64, bucket: &str) -> Candidate {
        let mut plan = samples::full_plan();
        change(&mut plan, |store| store.name = bucket.to_owned());
        let owner = OwnerReference { uid: uid.to_owned(), name: uid.to_owned(), ..Default::default() };
        Candidate { owner, created: Some(at(created)), plan }
    }

    #[test]
    fn the_oldest_leads_and_all_of_its_store_own() {
        let all = [candidate("c", 30, "x"), candidate("a", 20, "y"), candidate("b", 10, "x")];
        let elected = elect(&all, None).unwrap();
        assert_eq!(elected.leader.owner.uid, "b");
        let uids: Vec<&str> = elected.owners.iter().map(|owner| owner.uid.as_str()).collect();
        assert_eq!(uids, ["b", "c"]);
        let stays = all[1].store();
        assert_eq!(elect(&all, Some(&stays)).unwrap().leader.owner.uid, "a");
        assert_eq!(elect(&all, Some("gone")).unwrap().leader.owner.uid, "b");
        assert!(elect(&[], None).is_none());
    }

    #[test]
    fn two_spellings_of_one_store_are_one() {
        let (one, mut other) = (candidate("a", 1, "x"), candidate("b", 2, "x"));
        change(&mut other.plan, |store| {
            (store.endpoint, store.region) = (Some("https://s3.example:9000/".to_owned()), None);
        });
        assert_eq!(one.store(), other.store());
        change(&mut other.plan, |store| store.prefix = None);
        assert_ne!(one.store(), other.store());
    }

    #[test]
    fn deployment_and_service_are_as_people_know_them() {
        let all = [candidate("a", 1, "x")];
        let elected = elect(&all, None).unwrap();
        let deployment = serde_json::to_value(deployment(&elected, "image:1", false)).unwrap();
        assert_eq!(deployment["metadata"]["name"], "etcd-a-backup-sidecar");
        assert_eq!(deployment["metadata"]["ownerReferences"][0]["controller"], serde_json::Value::Null);
        let spec = &deployment["spec"];
        assert_eq!(spec["replicas"], serde_json::Value::Null);
        assert_eq!(spec["strategy"]["type"], "Recreate");
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!((&labels["app"], &labels["etcd_cluster"]), (&"etcd_backup_tool".into(), &"etcd-a".into()));
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        let service = serde_json::to_value(service(&elected)).unwrap();
        assert_eq!(service["spec"]["ports"][0]["name"], "backup-service");
        assert_eq!(service["spec"]["ports"][0]["port"], 19999);
        assert_eq!(
            service["spec"]["selector"],
            serde_json::json!({"app": "etcd_backup_tool", "etcd_cluster": "etcd-a"})
        );
    }
    #[test]
    fn the_network_policy_lets_the_one_port_in() {
        let all = [candidate("a", 1, "x")];
        let policy = serde_json::to_value(network_policy(&elect(&all, None).unwrap())).unwrap();
        let expected = serde_json::json!({
            "podSelector": {"matchLabels": {"app": "etcd_backup_tool", "etcd_cluster": "etcd-a"}},
            "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 19999, "protocol": "TCP"}]}]
        });
        assert_eq!(policy["spec"], expected);
        assert_eq!(policy["metadata"]["ownerReferences"][0]["uid"], "a");
    }

    #[test]
    fn the_token_is_mounted_where_tokens_are_reviewed() {
        let pod = |edit: fn(&mut Plan)| {
            let mut all = [candidate("a", 1, "x")];
            edit(&mut all[0].plan);
            let elected = elect(&all, None).unwrap();
            let spec = deployment(&elected, "image:1", false).spec.unwrap().template.spec.unwrap();
            let own = service_account(&elected).map(|account| account.metadata.name.unwrap());
            (spec.service_account_name.unwrap(), own, spec.automount_service_account_token)
        };
        let name = || "etcd-a-backup-sidecar".to_owned();
        let guarded = pod(|plan| (plan.service_account, plan.sidecar.anonymous) = (None, false));
        assert_eq!(guarded, (name(), Some(name()), Some(true)));
        let anonymous = pod(|plan| (plan.service_account, plan.sidecar.anonymous) = (None, true));
        assert_eq!(anonymous, (name(), Some(name()), Some(false)));
        let named = pod(|plan| plan.sidecar.anonymous = false);
        assert_eq!(named, ("backup".to_owned(), None, Some(true)));
        let ambient = pod(|plan| {
            plan.service_account = None;
            change(plan, |store| store.credentials = Credentials::Ambient);
        });
        assert_eq!((ambient.0.as_str(), ambient.1), ("default", None));
        let on_a_volume = pod(|plan| *plan = samples::volume_plan("disk-7"));
        assert_eq!((on_a_volume.0, on_a_volume.1), (name(), Some(name())));
    }
}
