//! What an earlier `install`, and the operator that it made, left in the cluster.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::TIMEOUT;
use super::manifests::{OPERATOR, PART_OF};
use crate::error::{ErrorKind, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::{FIELD_MANAGER, Session};
use crate::operator::TOKEN_REVIEW;

/// An object that is there.
#[derive(Debug, Clone)]
pub struct Installed {
    resource: ApiResource,
    namespace: Option<String>,
    name: String,
    uid: Option<String>,
}

impl Installed {
    fn of<K: Resource<DynamicType = ()>>(object: &impl ResourceExt) -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: object.namespace(),
            name: object.name_any(),
            uid: object.uid(),
        }
    }

    /// The CRD, as it was found.
    pub fn crd(found: &CustomResourceDefinition) -> Self {
        Self::of::<CustomResourceDefinition>(found)
    }

    /// `deployment.apps/etcdbackup-operator`, as kubectl names it.
    pub fn shown(&self) -> String {
        let (kind, group) = (self.resource.kind.to_lowercase(), &self.resource.group);
        if group.is_empty() { format!("{kind}/{}", self.name) } else { format!("{kind}.{group}/{}", self.name) }
    }

    /// Deletes it; that it is gone already is no error.
    ///
    /// # Errors
    /// The API server's.
    pub async fn delete(&self, session: &Session, dry_run: DryRun) -> Result<()> {
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(session.client.clone(), namespace, &self.resource),
            None => Api::all_with(session.client.clone(), &self.resource),
        };
        let only_this = Preconditions { uid: self.uid.clone(), resource_version: None };
        let params = DeleteParams {
            dry_run: dry_run == DryRun::Server,
            preconditions: Some(only_this),
            ..DeleteParams::background()
        };
        match session.request(TIMEOUT, api.delete(&self.name, &params)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The operator's Deployment and the ServiceAccounts in the session's namespace.
///
/// # Errors
/// The API server's.
pub async fn workload(session: &Session) -> Result<Vec<Installed>> {
    let mut found = named(listed(session, namespaced::<Deployment>(session)).await?);
    // `install` takes any name for that of the Jobs
    found.extend(listed(session, namespaced::<ServiceAccount>(session)).await?);
    Ok(found)
}

/// The roles and bindings in the session's namespace.
///
/// # Errors
/// The API server's.
pub async fn roles(session: &Session) -> Result<Vec<Installed>> {
    let mut found = listed(session, namespaced::<RoleBinding>(session)).await?;
    found.extend(listed(session, namespaced::<Role>(session)).await?);
    Ok(named(found))
}

/// The roles and bindings of a cluster-wide operator.
///
/// # Errors
/// The API server's.
pub async fn cluster_roles(session: &Session) -> Result<Vec<Installed>> {
    let mut found = listed(session, Api::<ClusterRoleBinding>::all(session.client.clone())).await?;
    found.extend(listed(session, Api::<ClusterRole>::all(session.client.clone())).await?);
    Ok(named(found))
}

/// Those that have a name of ours besides the label, which others may set too, or copy with an object.
fn named(mut found: Vec<Installed>) -> Vec<Installed> {
    found.retain(|object| [OPERATOR, TOKEN_REVIEW].contains(&object.name.as_str()));
    found
}

fn namespaced<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(session: &Session) -> Api<K> {
    Api::namespaced(session.client.clone(), &session.namespace)
}

async fn listed<K>(session: &Session, api: Api<K>) -> Result<Vec<Installed>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let ours = ListParams::default().labels(&format!("{PART_OF}={FIELD_MANAGER}"));
    let found = session.request(TIMEOUT, api.list_metadata(&ours)).await?;
    Ok(found.items.iter().map(Installed::of::<K>).collect())
}
