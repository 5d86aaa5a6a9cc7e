//! The objects that `install` applies: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, PodSpec, PodTemplateSpec,
    ResourceRequirements, ServiceAccount,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::rbac;
use crate::api::etcdbackup::CRD_YAML;
use crate::error::{Error, Result};
use crate::kubernetes::{FIELD_MANAGER, Session};
use crate::operator::{CONTAINER, MANAGED_BY, container_security, pod_security, probe};

/// Name of the CRD.
pub const CRD: &str = "etcdbackups.etcd.database.coreos.com";

/// Name of the operator's Deployment, ServiceAccount and role.
pub const OPERATOR: &str = "etcdbackup-operator";

/// The label of what an object is.
pub const NAME: &str = "app.kubernetes.io/name";
/// The label of everything that `install` makes.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// IRSA (aws/amazon-eks-pod-identity-webhook, README.md).
pub const ROLE_ARN: &str = "eks.amazonaws.com/role-arn";

/// Port of the operator's probes: the default of `operator --health-port`.
const HEALTH_PORT: u16 = 8080;

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Install {
    pub namespace: String,
    pub image: String,
    pub cluster_wide: bool,
    /// Flags that are passed through to the operator.
    pub operator_flags: Vec<String>,
    /// A ServiceAccount for Jobs and sidecars.
    pub agent_account: Option<AgentAccount>,
}

/// A ServiceAccount that EtcdBackups may name in `serviceAccountName`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAccount {
    pub name: String,
    /// The role of AWS that its pods get.
    pub role_arn: Option<String>,
}

/// One object and the resource that it is.
#[derive(Debug)]
pub struct Manifest {
    pub object: DynamicObject,
    resource: ApiResource,
}

impl Manifest {
    /// Of an object whose type is known.
    pub(in crate::commands) fn new<K>(object: &K) -> Result<Self>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let value = serde_json::to_value(object).map_err(|error| unreadable(&error))?;
        let object = serde_json::from_value(value).map_err(|error| unreadable(&error))?;
        Ok(Self { object, resource: ApiResource::erase::<K>(&()) })
    }

    /// The CRD, not by way of its type, which would write whole numbers as `600.0`.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when the built-in text is unusable.
    pub fn crd() -> Result<Self> {
        let object = serde_yaml::from_str(CRD_YAML).map_err(|error| unreadable(&error))?;
        Ok(Self { object, resource: ApiResource::erase::<CustomResourceDefinition>(&()) })
    }

    /// `deployment.apps/etcdbackup-operator`, as kubectl names it.
    pub fn shown(&self) -> String {
        let (kind, group) = (self.resource.kind.to_lowercase(), &self.resource.group);
        let name = self.object.name_any();
        if group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{group}/{name}") }
    }

    /// The object for printing.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when it cannot be serialised.
    pub fn value(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.object).map_err(|error| unreadable(&error))
    }

    /// Where the object is applied.
    pub fn api(&self, session: &Session) -> Api<DynamicObject> {
        match self.object.namespace() {
            Some(namespace) => Api::namespaced_with(session.client.clone(), &namespace, &self.resource),
            None => Api::all_with(session.client.clone(), &self.resource),
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> Error {
    Error::general(format!("cannot make the objects: {error}"))
}

/// Whether an object carries the label of what this program installs.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    metadata.labels.as_ref().and_then(|labels| labels.get(PART_OF)).is_some_and(|part_of| part_of == FIELD_MANAGER)
}

impl Install {
    /// All objects in the order in which they are applied.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when one cannot be serialised.
    pub fn manifests(&self) -> Result<Vec<Manifest>> {
        let mut manifests = vec![Manifest::crd()?, Manifest::new(&self.service_account(OPERATOR))?];
        if let Some(account) = &self.agent_account {
            let mut object = self.service_account(&account.name);
            object.metadata.annotations =
                account.role_arn.clone().map(|arn| BTreeMap::from([(ROLE_ARN.to_owned(), arn)]));
            manifests.push(Manifest::new(&object)?);
        }
        manifests.extend(rbac::manifests(self)?);
        manifests.push(Manifest::new(&self.deployment())?);
        Ok(manifests)
    }

    /// Of the operator's objects in its namespace.
    pub(super) fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(OPERATOR.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels()),
            ..Default::default()
        }
    }

    fn service_account(&self, name: &str) -> ServiceAccount {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..self.metadata() };
        ServiceAccount { metadata, ..Default::default() }
    }

    fn deployment(&self) -> Deployment {
        let selector = BTreeMap::from([(NAME.to_owned(), OPERATOR.to_owned())]);
        let pod = PodSpec {
            service_account_name: Some(OPERATOR.to_owned()),
            security_context: Some(pod_security()),
            containers: vec![self.container()],
            ..Default::default()
        };
        Deployment {
            metadata: self.metadata(),
            spec: Some(DeploymentSpec {
                replicas: Some(1),
                selector: LabelSelector { match_labels: Some(selector), match_expressions: None },
                strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta { labels: Some(labels()), ..Default::default() }),
                    spec: Some(pod),
                },
                ..Default::default()
            }),
            status: None,
        }
    }

    fn container(&self) -> Container {
        let mut argv = vec!["operator".to_owned()];
        if self.cluster_wide {
            argv.push("--cluster-wide".to_owned());
        }
        argv.extend(self.operator_flags.clone());
        Container {
            name: CONTAINER.to_owned(),
            image: Some(self.image.clone()),
            args: Some(argv),
            // its own image is that of its Jobs and sidecars: kustomize and mirrors change one place
            env: Some(vec![EnvVar {
                name: "POD_NAME".to_owned(),
                value: None,
                value_from: Some(EnvVarSource { field_ref: Some(own_name()), ..Default::default() }),
            }]),
            ports: Some(vec![ContainerPort {
                name: Some("health".to_owned()),
                container_port: HEALTH_PORT.into(),
                protocol: Some("TCP".to_owned()),
                ..Default::default()
            }]),
            liveness_probe: Some(probe("/healthz", HEALTH_PORT, 10)),
            readiness_probe: Some(probe("/readyz", HEALTH_PORT, 2)),
            resources: Some(resources()),
            security_context: Some(container_security()),
            ..Default::default()
        }
    }
}

fn own_name() -> ObjectFieldSelector {
    ObjectFieldSelector { api_version: None, field_path: "metadata.name".to_owned() }
}

fn labels() -> BTreeMap<String, String> {
    let own = [(NAME, OPERATOR), (PART_OF, FIELD_MANAGER), (MANAGED_BY, FIELD_MANAGER)];
    own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn resources() -> ResourceRequirements {
    let quantities = |list: &[(&str, &str)]| {
        Some(list.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "20m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        claims: None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn install(cluster_wide: bool) -> Install {
        Install {
            namespace: "etcd".to_owned(),
            image: "image:1".to_owned(),
            cluster_wide,
            operator_flags: ["--backup-aws-secret=s", "--backup-aws-config=c", "--backup-s3-bucket=bucket"]
                .map(str::to_owned)
                .to_vec(),
            agent_account: None,
        }
    }

    fn shown(cluster_wide: bool) -> Vec<String> {
        install(cluster_wide).manifests().unwrap().iter().map(Manifest::shown).collect()
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        assert_eq!(
            shown(false),
            [
                "customresourcedefinition.apiextensions.k8s.io/etcdbackups.etcd.database.coreos.com",
                "serviceaccount/etcdbackup-operator",
                "role.rbac.authorization.k8s.io/etcdbackup-operator",
                "rolebinding.rbac.authorization.k8s.io/etcdbackup-operator",
                "deployment.apps/etcdbackup-operator",
            ]
        );
        assert_eq!(
            shown(true)[2..6],
            [
                "clusterrole.rbac.authorization.k8s.io/etcdbackup-operator",
                "clusterrolebinding.rbac.authorization.k8s.io/etcdbackup-operator",
                "clusterrole.rbac.authorization.k8s.io/etcdbackup-token-review",
                "clusterrolebinding.rbac.authorization.k8s.io/etcdbackup-token-review",
            ]
        );
    }

    #[test]
    fn the_crd_is_applied_as_it_is_written() {
        let manifests = install(false).manifests().unwrap();
        let crd: serde_json::Value = serde_yaml::from_str(CRD_YAML).unwrap();
        assert_eq!(manifests[0].value().unwrap(), crd);
        assert!(is_ours(&manifests[0].object.metadata));
    }

    #[test]
    fn the_jobs_get_the_role_and_the_operator_does_not() {
        let account = AgentAccount { name: "agent".to_owned(), role_arn: Some("arn:aws:iam::1:role/b".to_owned()) };
        let install = Install { agent_account: Some(account), ..install(false) };
        let all: Vec<_> = install.manifests().unwrap().iter().map(|manifest| manifest.value().unwrap()).collect();
        assert_eq!(all[1]["metadata"]["annotations"], serde_json::Value::Null);
        assert_eq!((&all[2]["kind"], &all[2]["metadata"]["name"]), (&"ServiceAccount".into(), &"agent".into()));
        assert_eq!(all[2]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"], "arn:aws:iam::1:role/b");
    }

    #[test]
    fn the_image_stands_in_one_place() {
        let manifests = install(true).manifests().unwrap();
        let deployment = manifests.last().unwrap().value().unwrap();
        assert_eq!(deployment.to_string().matches("image:1").count(), 1, "{deployment}");
        let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(env[0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    }

    #[test]
    fn the_operator_reads_its_own_flags() {
        let container = install(true).container();
        let argv = container.args.unwrap();
        let words = ["kubectl-etcdbackup".to_owned()].into_iter().chain(argv);
        let Command::Operator(args) = Cli::try_parse_from(words).unwrap().command else { panic!("not the operator") };
        assert!(args.cluster_wide);
        assert_eq!(args.health_port, HEALTH_PORT);
        assert_eq!(args.image, None);
        assert_eq!(args.backup_s3_bucket.as_deref(), Some("bucket"));
    }
}
