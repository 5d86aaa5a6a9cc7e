//! Which etcd clusters show in a namespace: for suggestions, questions and completion.

mod similar;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::{EtcdBackup, names};
use crate::error::{Error, ErrorKind};
use crate::kubernetes::{KubeFlags, Session};

/// Most objects of a kind that are looked at.
const MOST: u32 = 500;
/// Most names that are told in a hint.
const TOLD: usize = 10;
/// Longest wait for a hint; the error is what was asked for.
const HINT: Duration = Duration::from_secs(2);

/// Names of the etcd clusters that Services, pods and EtcdBackups of the session's namespace tell of, sorted.
/// What cannot be listed within `timeout` is left out: a guess is of use, an error is not.
pub async fn in_namespace(session: &Session, timeout: Duration) -> BTreeSet<String> {
    let (services, pods, backups) = futures::join!(
        listed::<Service>(session, timeout, None),
        listed::<Pod>(session, timeout, Some(CLUSTER_LABEL)),
        listed::<EtcdBackup>(session, timeout, None),
    );
    let of_services = services.iter().filter_map(|service| of_service(service.metadata.name.as_deref()?));
    let of_pods = pods.iter().filter_map(|pod| pod.labels().get(CLUSTER_LABEL).cloned());
    let all = of_services.chain(of_pods).chain(backups.iter().map(names::cluster_of));
    all.filter(|name| names::check_cluster_name(name).is_ok()).collect()
}

/// `error`, and where it says that nothing of `cluster` was found, which clusters are there instead.
pub async fn suggest(error: Error, cluster: &str, kube: &KubeFlags) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let Ok(session) = Session::connect(kube).await else { return error };
    let Ok(found) = tokio::time::timeout(HINT, in_namespace(&session, HINT)).await else { return error };
    hints(cluster, &session.namespace, &found).into_iter().fold(error, Error::hint)
}

/// A sentence for a cluster of which the namespace shows neither client Service nor pods; `None` where it shows
/// one of them, or does not let itself be asked.
pub async fn doubt(session: &Session, cluster: &str) -> Option<String> {
    let services: Api<Service> = Api::namespaced(session.client.clone(), &session.namespace);
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
    let service = names::client_service(cluster);
    let label = ListParams::default().labels(&format!("{CLUSTER_LABEL}={cluster}")).limit(1);
    let (found, members) = futures::join!(
        session.request(HINT, services.get_metadata(&service)),
        session.request(HINT, pods.list_metadata(&label)),
    );
    let absent = found.is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if !absent || !members.is_ok_and(|list| list.items.is_empty()) {
        return None;
    }
    let namespace = &session.namespace;
    let mut sentence =
        format!("neither service {service:?} nor pods of cluster {cluster:?} are in namespace {namespace}");
    for hint in hints(cluster, namespace, &in_namespace(session, HINT).await) {
        sentence.push_str("; ");
        sentence.push_str(&hint);
    }
    Some(sentence)
}

/// What the name may have meant, and what is there; nothing for a cluster that is there.
fn hints(cluster: &str, namespace: &str, found: &BTreeSet<String>) -> Vec<String> {
    if found.is_empty() || found.contains(cluster) {
        return Vec::new();
    }
    let near: Vec<String> = similar::nearest(cluster, found).iter().map(|name| format!("{name:?}")).collect();
    let told: Vec<&str> = found.iter().map(String::as_str).take(TOLD).collect();
    let rest = if found.len() > TOLD { format!(" and {} more", found.len() - TOLD) } else { String::new() };
    let mut hints = vec![format!("clusters in namespace {namespace}: {}{rest}", told.join(", "))];
    if !near.is_empty() {
        hints.insert(0, format!("did you mean {}?", near.join(" or ")));
    }
    hints
}

/// The cluster whose client Service or sidecar this is.
fn of_service(name: &str) -> Option<String> {
    ["-backup-sidecar", "-client"].iter().find_map(|suffix| name.strip_suffix(suffix)).map(str::to_owned)
}

async fn listed<K>(session: &Session, timeout: Duration, label: Option<&str>) -> Vec<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(session.client.clone(), &session.namespace);
    let params = ListParams { label_selector: label.map(str::to_owned), ..ListParams::default().limit(MOST) };
    let found = session.request(timeout, api.list(&params)).await;
    found.map(|list| list.items).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_cluster_is_met_with_what_is_there() {
        let found = BTreeSet::from(["etcd-a", "orders"].map(str::to_owned));
        let listed = "clusters in namespace default: etcd-a, orders";
        assert_eq!(hints("etdc-a", "default", &found), ["did you mean \"etcd-a\"?", listed]);
        assert_eq!(hints("x", "default", &found), [listed]);
        assert!(hints("orders", "default", &found).is_empty() && hints("x", "default", &BTreeSet::new()).is_empty());
        let many: BTreeSet<String> = (0..12).map(|n| format!("c{n:02}")).collect();
        assert!(hints("unlike", "ns", &many)[0].ends_with(", c09 and 2 more"));
    }

    #[test]
    fn services_tell_of_their_cluster() {
        assert_eq!(of_service("etcd-a-client").as_deref(), Some("etcd-a"));
        assert_eq!(of_service("etcd-a-backup-sidecar").as_deref(), Some("etcd-a"));
        assert_eq!(of_service("etcd-a"), None);
    }
}
