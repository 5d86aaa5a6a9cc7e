//! Where the etcd cluster of a plan listens for clients.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};

use super::TIMEOUT;
use super::plan::{Plan, Rejection, Source};
use super::pod::{AGENT_APP, SIDECAR_APP};
use super::trouble::Trouble;
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::names;
use crate::error::{ErrorKind, Result};
use crate::etcd::Endpoint;
use crate::kubernetes::{Session, reader};

/// etcd's port for clients.
const CLIENT_PORT: u16 = 2379;

/// Where the control plane's own etcd listens on its node (kubernetes/kubernetes, cmd/kubeadm/app/phases/etcd, v1.34).
const KUBEADM: &str = "https://127.0.0.1:2379";

/// The client URLs of a cluster; there is always at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub urls: Vec<String>,
    /// Whether they are addresses of pods, which do not last.
    pub fleeting: bool,
}

/// Finds the client URLs for `plan`. The Service's comes first: it is right in a CronJob for years, whatever
/// becomes of the pods.
///
/// # Errors
/// Those of the API server. That nothing was found is the inner error, `EtcdNotFound`.
pub async fn find(session: &Session, plan: &Plan) -> Result<Result<Found, Trouble>> {
    if let Some(found) = given(plan) {
        return Ok(Ok(found));
    }
    let services = Api::<Service>::namespaced(session.client.clone(), &plan.namespace);
    match session.request(TIMEOUT, services.get_metadata(&names::client_service(&plan.cluster))).await {
        Ok(_) => return Ok(Ok(Found { urls: vec![of_service(plan)], fleeting: false })),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let pods = Api::<Pod>::namespaced(session.client.clone(), &plan.namespace);
    let members = ListParams::default().labels(&format!("{CLUSTER_LABEL}={}", plan.cluster));
    let urls = of_pods(plan, &session.request(TIMEOUT, pods.list(&members)).await?.items);
    Ok(if urls.is_empty() { Err(not_found(plan)) } else { Ok(Found { urls, fleeting: true }) })
}

/// What `plan` itself says; `None` for a cluster that is to be found by its name.
pub fn given(plan: &Plan) -> Option<Found> {
    let urls = match &plan.source {
        Source::Endpoints(urls) => urls.iter().map(|url| with_scheme(plan, url)).collect(),
        Source::Kubeadm { .. } => vec![KUBEADM.to_owned()],
        Source::Name => return None,
    };
    Some(Found { urls, fleeting: false })
}

/// Where a cluster of which nothing is found yet will listen.
pub fn expected(plan: &Plan) -> Found {
    Found { urls: vec![of_service(plan)], fleeting: true }
}

fn scheme(plan: &Plan) -> &'static str {
    if plan.tls_secret.is_some() { "https" } else { "http" }
}

/// Whether `url` is an address that a run can ask: no later run fares better with one that is not.
///
/// # Errors
/// `InvalidEndpoint` with what is wrong.
pub fn check(url: &str) -> Result<(), Rejection> {
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    whole.parse::<Endpoint>().map(drop).map_err(|error| Rejection {
        reason: "InvalidEndpoint",
        message: format!("spec.etcdEndpoints: {}; {}", error.message(), error.hints().join("; ")),
    })
}

/// etcd's own clients take an endpoint without a scheme.
fn with_scheme(plan: &Plan, url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("{}://{url}", scheme(plan)) }
}

fn of_service(plan: &Plan) -> String {
    format!("{}://{}.{}.svc:{CLIENT_PORT}", scheme(plan), names::client_service(&plan.cluster), plan.namespace)
}

/// The URLs of the cluster's running members; our own pods carry the cluster's label too.
fn of_pods(plan: &Plan, pods: &[Pod]) -> Vec<String> {
    let is_member = |pod: &&Pod| {
        let app = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app"));
        let ours = app.is_some_and(|app| [AGENT_APP, SIDECAR_APP, reader::APP].contains(&app.as_str()));
        let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        running && !ours && pod.metadata.deletion_timestamp.is_none()
    };
    let mut urls: Vec<String> = pods.iter().filter(is_member).filter_map(|pod| of_pod(plan, pod)).collect();
    urls.sort();
    urls
}

fn of_pod(plan: &Plan, pod: &Pod) -> Option<String> {
    let (scheme, spec) = (scheme(plan), pod.spec.as_ref());
    // certificates name members as etcd-operator does, <pod>.<cluster>.<namespace>.svc, and not their addresses
    let name = spec.and_then(|spec| Some((spec.hostname.as_deref()?, spec.subdomain.as_deref()?)));
    if let (true, Some((host, domain))) = (plan.tls_secret.is_some(), name) {
        return Some(format!("{scheme}://{host}.{domain}.{}.svc:{CLIENT_PORT}", plan.namespace));
    }
    let address = pod.status.as_ref()?.pod_ip.as_deref()?;
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Some(format!("{scheme}://{host}:{CLIENT_PORT}"))
}

fn not_found(plan: &Plan) -> Trouble {
    Trouble {
        reason: "EtcdNotFound".to_owned(),
        message: format!(
            "no Service {} and no Running pod with the label {CLUSTER_LABEL}={} in namespace {}",
            names::client_service(&plan.cluster),
            plan.cluster,
            plan.namespace
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::plan;
    use super::super::samples;
    use super::*;

    fn sample(tls: &str) -> Plan {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "clientTLSSecret": tls, "s3": {}});
        plan(&samples::backup(spec), &samples::settings(true)).unwrap()
    }

    fn pod(app: &str, phase: &str, address: &str) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "labels": {"app": app}},
            "spec": {"containers": [], "hostname": "m0", "subdomain": "etcd-a"},
            "status": {"phase": phase, "podIP": address}
        }))
        .unwrap()
    }

    #[test]
    fn the_service_is_asked_by_its_cluster_name() {
        assert_eq!(of_service(&sample("")), "http://etcd-a-client.default.svc:2379");
        assert_eq!(of_service(&sample("tls")), "https://etcd-a-client.default.svc:2379");
    }

    #[test]
    fn members_are_running_pods_that_are_not_ours() {
        let pods = [
            pod("etcd", "Running", "10.0.0.2"),
            pod("etcd", "Running", "fd00::1"),
            pod("etcd", "Pending", "10.0.0.3"),
            pod(SIDECAR_APP, "Running", "10.0.0.4"),
            pod(AGENT_APP, "Running", "10.0.0.5"),
        ];
        assert_eq!(of_pods(&sample(""), &pods), ["http://10.0.0.2:2379", "http://[fd00::1]:2379"]);
        assert_eq!(of_pods(&sample("tls"), &pods[..1]), ["https://m0.etcd-a.default.svc:2379"]);
    }

    #[test]
    fn endpoints_pass_as_they_are_but_for_a_missing_scheme() {
        assert_eq!(with_scheme(&sample("tls"), "http://a:1"), "http://a:1");
        assert_eq!(with_scheme(&sample("tls"), "a:1"), "https://a:1");
    }
}
