//! Which etcd clusters show in a namespace: for suggestions, questions and completion.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::{EtcdBackup, names};
use crate::kubernetes::Session;

/// Most objects of a kind that are looked at.
const MOST: u32 = 500;

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
    fn services_tell_of_their_cluster() {
        assert_eq!(of_service("etcd-a-client").as_deref(), Some("etcd-a"));
        assert_eq!(of_service("etcd-a-backup-sidecar").as_deref(), Some("etcd-a"));
        assert_eq!(of_service("etcd-a"), None);
    }
}
