//! Names that only the API server or the kubeconfig knows, for the word that is being completed.

use std::fmt::Debug;
use std::sync::mpsc;
use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams};
use kube::config::Kubeconfig;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::typed::Words;
use crate::api::EtcdBackup;
use crate::kubernetes::{Session, kubeconfig};
use crate::source::clusters;

/// Longest wait for all of an answer; a person has finished typing the name by then.
const LIMIT: Duration = Duration::from_millis(1500);
/// Longest wait for one request of several.
const REQUEST: Duration = Duration::from_millis(1200);
/// Most objects that are offered.
const MOST: u32 = 500;

/// The etcd clusters of the namespace.
pub fn clusters() -> ArgValueCandidates {
    let names = async |session: Session| clusters::in_namespace(&session, REQUEST).await.into_iter().collect();
    ArgValueCandidates::new(move || asked(names))
}

/// The EtcdBackups of the namespace.
pub fn backups() -> ArgValueCandidates {
    ArgValueCandidates::new(|| asked(async |session| names(&session, namespaced::<EtcdBackup>(&session)).await))
}

/// The Secrets of the namespace; their data is not read.
pub fn secrets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| asked(async |session| names(&session, namespaced::<Secret>(&session)).await))
}

/// The namespaces.
pub fn namespaces() -> ArgValueCandidates {
    let names = async |session: Session| names(&session, Api::<Namespace>::all(session.client.clone())).await;
    ArgValueCandidates::new(move || asked(names))
}

/// The contexts of the kubeconfig.
pub fn contexts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| written(|config| config.contexts.into_iter().map(|one| one.name).collect()))
}

/// The Kubernetes clusters of the kubeconfig.
pub fn kube_clusters() -> ArgValueCandidates {
    ArgValueCandidates::new(|| written(|config| config.clusters.into_iter().map(|one| one.name).collect()))
}

/// The users of the kubeconfig.
pub fn users() -> ArgValueCandidates {
    ArgValueCandidates::new(|| written(|config| config.auth_infos.into_iter().map(|one| one.name).collect()))
}

fn namespaced<K>(session: &Session) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    Api::namespaced(session.client.clone(), &session.namespace)
}

async fn names<K: Resource + Clone + Debug + DeserializeOwned>(session: &Session, api: Api<K>) -> Vec<String> {
    let params = ListParams::default().limit(MOST);
    let found = session.request(REQUEST, api.list_metadata(&params)).await;
    found.map(|list| list.items.iter().map(ResourceExt::name_any).collect()).unwrap_or_default()
}

/// Names that are written in the kubeconfig.
fn written(read: fn(Kubeconfig) -> Vec<String>) -> Vec<CompletionCandidate> {
    candidates(kubeconfig(&Words::of_process().kube_flags()).map(read).unwrap_or_default())
}

/// Names that the API server of the typed flags gives in time. In a thread that is left behind: a credential
/// plugin would block a runtime, and with it every time-out.
fn asked<A>(question: A) -> Vec<CompletionCandidate>
where
    A: AsyncFnOnce(Session) -> Vec<String> + Send + 'static,
{
    let flags = Words::of_process().kube_flags();
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || {
        // two TLS users are linked; without this the first connection panics
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let names = runtime.block_on(async {
            let session = Session::connect_silently(&flags).await.ok()?;
            Some(question(session).await)
        });
        // the other end no longer waits when the answer came too late
        let _ = answer.send(names.unwrap_or_default());
    });
    candidates(answered.recv_timeout(LIMIT).unwrap_or_default())
}

fn candidates(mut names: Vec<String>) -> Vec<CompletionCandidate> {
    // a name of a kubeconfig may hold anything, and the protocols are lines
    names.retain(|name| !name.is_empty() && !name.contains(char::is_control));
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}
