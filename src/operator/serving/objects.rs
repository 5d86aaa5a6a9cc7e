//! Makes and removes the objects of a sidecar; other people's objects of the same names are left alone.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{Context, TIMEOUT, claim as claims, requests, sidecar};
use super::{Elected, Serving, is_ours};
use crate::error::{ErrorKind, Result};
use crate::kubernetes::FIELD_MANAGER;

/// Applies all objects of the sidecar; the inner error says which name is taken.
///
/// # Errors
/// Those of the API server.
pub async fn apply(context: &Context, elected: &Elected<'_>) -> Result<Result<Deployment, Serving>> {
    if let Err(taken) = claim(context, &sidecar::service(elected)).await? {
        return Ok(Err(taken));
    }
    if let Some(account) = sidecar::service_account(elected)
        && let Err(taken) = claim(context, &account).await?
    {
        return Ok(Err(taken));
    }
    if let Err(taken) = claim(context, &sidecar::network_policy(elected)).await? {
        return Ok(Err(taken));
    }
    let deployments = Api::<Deployment>::namespaced(context.session.client.clone(), &elected.leader.plan.namespace);
    let one_node = claims::is_on_one_node(&context.session, &elected.leader.plan).await?;
    let deployment = sidecar::deployment(elected, &context.settings.image, one_node);
    Ok(Ok(requests::apply(&context.session, &deployments, &deployment).await?))
}

/// Whether all objects of the sidecar are there as they are to be; `existing` is its Deployment.
pub fn are_applied(context: &Context, elected: &Elected<'_>, existing: &Deployment) -> bool {
    let caches = &context.caches;
    let account = sidecar::service_account(elected);
    let one_node = sidecar::is_on_one_node(existing);
    caches.deployments.has(&sidecar::deployment(elected, &context.settings.image, one_node))
        && caches.services.has(&sidecar::service(elected))
        && caches.policies.has(&sidecar::network_policy(elected))
        && account.is_none_or(|account| caches.accounts.has(&account))
}

/// Applies `object` unless somebody else's has its name.
async fn claim<K>(context: &Context, object: &K) -> Result<Result<(), Serving>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let (session, name) = (&context.session, object.name_any());
    let api = Api::<K>::namespaced(session.client.clone(), &object.namespace().unwrap_or_default());
    let existing = session.request(TIMEOUT, api.get_opt(&name)).await?;
    if existing.as_ref().is_some_and(|found| !is_ours(found)) {
        let message = format!("{} {name} exists and is not kept by {FIELD_MANAGER}", K::kind(&()));
        return Ok(Err(Serving::not_ready("NameTaken", message)));
    }
    requests::apply(session, &api, object).await?;
    Ok(Ok(()))
}

/// Removes the sidecar that nobody wants any more.
///
/// # Errors
/// Those of the API server.
pub async fn remove(context: &Context, deployment: &Deployment) -> Result<()> {
    let (session, name) = (&context.session, deployment.name_any());
    let namespace = deployment.namespace().unwrap_or_default();
    tracing::info!(%namespace, %name, "removing the sidecar that nobody wants any more");
    let deployments = Api::<Deployment>::namespaced(session.client.clone(), &namespace);
    let only_this = Preconditions { uid: deployment.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::background() };
    gone(session.request(TIMEOUT, deployments.delete(&name, &params)).await)?;
    remove_ours::<Service>(context, &namespace, &name).await?;
    remove_ours::<NetworkPolicy>(context, &namespace, &name).await?;
    remove_ours::<ServiceAccount>(context, &namespace, &name).await
}

async fn remove_ours<K>(context: &Context, namespace: &str, name: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let session = &context.session;
    let api = Api::<K>::namespaced(session.client.clone(), namespace);
    match session.request(TIMEOUT, api.get_opt(name)).await? {
        Some(found) if is_ours(&found) => {
            gone(session.request(TIMEOUT, api.delete(name, &DeleteParams::default())).await)
        }
        _ => Ok(()),
    }
}

fn gone<T>(deleted: Result<T>) -> Result<()> {
    match deleted {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
