//! Lets the sidecars of a namespace review tokens: one ClusterRoleBinding a namespace, kept by a cluster-wide
//! operator as long as there is a sidecar that wants it.
//!
//! Reviews are cluster-scoped, so no Role can grant them; `install --cluster-wide` makes the ClusterRole and lets
//! the operator bind that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};

use super::pod::{MANAGED_BY, SIDECAR_APP};
use super::{Context, TIMEOUT, requests};
use crate::error::{ErrorKind, Result};
use crate::kubernetes::FIELD_MANAGER;

/// Name of the ClusterRole that allows reviews, and the beginning of its bindings' names.
pub const TOKEN_REVIEW: &str = "etcdbackup-token-review";

/// The label of a binding that says for which namespace it is.
const NAMESPACE: &str = "etcd.database.coreos.com/namespace";

const COMPONENT: &str = "app.kubernetes.io/component";

/// How often bindings are looked for whose namespace has no sidecar any more: nothing tells of an EtcdBackup that
/// is gone, and what is cluster-scoped cannot be owned by what is not.
const SWEEP: Duration = Duration::from_secs(30);

/// The name of the binding for the sidecars of `namespace`.
fn name(namespace: &str) -> String {
    format!("{TOKEN_REVIEW}:{namespace}")
}

/// The label selector of all bindings that an operator made.
pub fn token_review_labels() -> String {
    labels().map(|(key, value)| format!("{key}={value}")).join(",")
}

fn labels() -> [(&'static str, &'static str); 2] {
    [(MANAGED_BY, FIELD_MANAGER), (COMPONENT, "token-review")]
}

/// The binding that the sidecars of `namespace` want: for the ServiceAccounts of those that get a token. `None`
/// when there are none.
fn wanted(namespace: &str, sidecars: &[Deployment]) -> Option<ClusterRoleBinding> {
    let accounts: BTreeSet<String> = sidecars.iter().filter_map(account).collect();
    let subjects: Vec<Subject> = accounts.into_iter().map(|name| subject(namespace, name)).collect();
    let mut labels: BTreeMap<String, String> =
        labels().into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    labels.insert(NAMESPACE.to_owned(), namespace.to_owned());
    let role_ref = RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: "ClusterRole".to_owned(),
        name: TOKEN_REVIEW.to_owned(),
    };
    let metadata = ObjectMeta { name: Some(name(namespace)), labels: Some(labels), ..Default::default() };
    (!subjects.is_empty()).then_some(ClusterRoleBinding { metadata, role_ref, subjects: Some(subjects) })
}

fn account(sidecar: &Deployment) -> Option<String> {
    let spec = sidecar.spec.as_ref()?.template.spec.as_ref()?;
    let wants = sidecar.metadata.deletion_timestamp.is_none() && spec.automount_service_account_token == Some(true);
    spec.service_account_name.clone().filter(|_| wants)
}

fn subject(namespace: &str, name: String) -> Subject {
    Subject { kind: "ServiceAccount".to_owned(), name, namespace: Some(namespace.to_owned()), api_group: None }
}

/// As [`settle`]; a sidecar that cannot review tokens still serves port-forwards, so a failure is a warning.
pub async fn settle_or_warn(context: &Context, namespace: &str) {
    if !context.settings.cluster_wide {
        return;
    }
    if let Err(error) = settle(context, namespace).await {
        tracing::warn!(
            namespace,
            error = error.message(),
            "the sidecars of a namespace are not allowed to review tokens: kubectl etcdbackup install --cluster-wide"
        );
    }
}

/// Makes, changes or removes the binding of `namespace`; whether it was removed.
async fn settle(context: &Context, namespace: &str) -> Result<bool> {
    let session = &context.session;
    let deployments = Api::<Deployment>::namespaced(session.client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER},app={SIDECAR_APP}"));
    let sidecars = session.request(TIMEOUT, deployments.list(&ours)).await?.items;
    let bindings = Api::<ClusterRoleBinding>::all(session.client.clone());
    let existing = session.request(TIMEOUT, bindings.get_opt(&name(namespace))).await?;
    if existing.as_ref().is_some_and(|found| found.labels().get(NAMESPACE).map(String::as_str) != Some(namespace)) {
        tracing::warn!(name = name(namespace), "a ClusterRoleBinding of that name is not ours and is left alone");
        return Ok(false);
    }
    match (existing, wanted(namespace, &sidecars)) {
        (Some(existing), Some(wanted)) if existing.subjects == wanted.subjects => Ok(false),
        (_, Some(wanted)) => requests::apply(session, &bindings, &wanted).await.map(|_| false),
        (Some(existing), None) => remove(context, &existing).await.map(|()| true),
        (None, None) => Ok(false),
    }
}

async fn remove(context: &Context, binding: &ClusterRoleBinding) -> Result<()> {
    tracing::info!(name = binding.name_any(), "removing the binding of a namespace that has no sidecar any more");
    let bindings = Api::<ClusterRoleBinding>::all(context.session.client.clone());
    let only_this = Preconditions { uid: binding.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
    match context.session.request(TIMEOUT, bindings.delete(&binding.name_any(), &params)).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes bindings that are of no use any more, again and again. Never ends.
pub async fn sweep(context: Arc<Context>) {
    if !context.settings.cluster_wide {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(SWEEP).await;
        if let Err(error) = sweep_once(&context).await {
            tracing::warn!(error = error.message(), "could not look for bindings that are of no use any more");
        }
    }
}

async fn sweep_once(context: &Context) -> Result<()> {
    let session = &context.session;
    let params = ListParams::default().labels(&token_review_labels());
    let bindings = Api::<ClusterRoleBinding>::all(session.client.clone());
    let bindings = session.request(TIMEOUT, bindings.list(&params)).await?.items;
    if bindings.is_empty() {
        return Ok(());
    }
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER},app={SIDECAR_APP}"));
    let sidecars = Api::<Deployment>::all(session.client.clone());
    let sidecars = session.request(TIMEOUT, sidecars.list_metadata(&ours)).await?.items;
    let served: BTreeSet<String> = sidecars.iter().filter_map(ResourceExt::namespace).collect();
    for namespace in bindings.iter().filter_map(|binding| binding.labels().get(NAMESPACE)) {
        // looked at again after a removal: a sidecar may have come in between
        if !served.contains(namespace) && settle(context, namespace).await? {
            settle(context, namespace).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(account: &str, token: bool) -> Deployment {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "x"}, "spec": {"selector": {}, "template": {
            "spec": {"containers": [], "serviceAccountName": account, "automountServiceAccountToken": token}}}}))
        .unwrap()
    }

    #[test]
    fn one_binding_holds_every_account_that_gets_a_token() {
        let all = [sidecar("b", true), sidecar("a", true), sidecar("b", true), sidecar("anonymous", false)];
        let binding = serde_json::to_value(wanted("etcd", &all).unwrap()).unwrap();
        assert_eq!(binding["metadata"]["name"], "etcdbackup-token-review:etcd");
        assert_eq!(binding["metadata"]["labels"]["app.kubernetes.io/component"], "token-review");
        assert_eq!(binding["roleRef"]["name"], "etcdbackup-token-review");
        let names: Vec<_> = binding["subjects"].as_array().unwrap().iter().map(|found| &found["name"]).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(binding["subjects"][0]["namespace"], "etcd");
    }

    #[test]
    fn without_a_sidecar_that_reviews_there_is_none() {
        assert_eq!(wanted("etcd", &[]), None);
        assert_eq!(wanted("etcd", &[sidecar("anonymous", false)]), None);
        let mut going = sidecar("a", true);
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(wanted("etcd", &[going]), None);
    }
}
