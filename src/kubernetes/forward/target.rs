//! From a Service to a ready pod and its port, as kubectl's port-forward resolves it.
//!
//! Source: kubernetes/kubectl, pkg/util/service_port.go and pkg/cmd/portforward, v0.34.

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::error::{Error, Result};

/// A port of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub pod: String,
    pub port: u16,
}

/// The label selector of `service`.
pub(super) fn selector(name: &str, service: &Service) -> Result<String> {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|labels| !labels.is_empty());
    let selector = selector.ok_or_else(|| Error::general(format!("service {name}: selects no pods")))?;
    Ok(selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

/// The youngest ready pod of `pods` and what `port` of the Service is there; `None` while none is ready.
pub(super) fn resolve(name: &str, port: u16, service: &Service, pods: &[Pod]) -> Result<Option<Target>> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let port = match ports {
        [only] => only,
        several => several
            .iter()
            .find(|candidate| candidate.port == i32::from(port))
            .ok_or_else(|| Error::general(format!("service {name}: no port {port}")))?,
    };
    let ready = pods.iter().filter(|pod| is_ready(pod));
    let pod = ready.max_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
    let Some(pod) = pod else { return Ok(None) };
    let number = target_port(port, pod).and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let number =
        number.ok_or_else(|| Error::general(format!("service {name}: pod {} has no such port", pod.name_any())))?;
    Ok(Some(Target { pod: pod.name_any(), port: number }))
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let wanted = match &port.target_port {
        // 0 is Go's way to say nothing
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(wanted)) => wanted,
    };
    if let Ok(number) = wanted.parse() {
        return Some(number);
    }
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.find(|port| port.name.as_ref() == Some(wanted)).map(|port| port.container_port)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "etcd-a-backup-sidecar";

    fn service(ports: serde_json::Value) -> Service {
        let spec = json!({"selector": {"app": "etcd_backup_tool", "etcd_cluster": "etcd-a"}, "ports": ports});
        serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": spec})).unwrap()
    }

    fn pod(name: &str, created: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {"containers": [{"name": "backup", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    }

    fn resolved(ports: serde_json::Value, pods: &[Pod]) -> Result<Option<(String, u16)>> {
        Ok(resolve(NAME, 19999, &service(ports), pods)?.map(|target| (target.pod, target.port)))
    }

    #[test]
    fn labels_are_joined_and_a_service_without_them_is_refused() {
        assert_eq!(selector(NAME, &service(json!([]))).unwrap(), "app=etcd_backup_tool,etcd_cluster=etcd-a");
        assert!(selector(NAME, &Service::default()).is_err());
    }

    #[test]
    fn the_youngest_ready_pod_is_taken() {
        let ports = json!([{"port": 19999, "targetPort": 19999}]);
        let (old, new) = (pod("old", "2026-01-01T00:00:00Z", "True"), pod("new", "2026-01-02T00:00:00Z", "True"));
        let starting = pod("starting", "2026-01-03T00:00:00Z", "False");
        let mut leaving = pod("leaving", "2026-01-04T00:00:00Z", "True");
        leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
        let all = [old, new, starting.clone(), leaving];
        assert_eq!(resolved(ports.clone(), &all), Ok(Some(("new".to_owned(), 19999))));
        for none in [&all[2..], &[], &[starting]] {
            assert_eq!(resolved(ports.clone(), none), Ok(None));
        }
    }

    #[test]
    fn ports_are_mapped() {
        let pods = [pod("p", "2026-01-01T00:00:00Z", "True")];
        let port = |ports| resolved(ports, &pods).map(|found| found.unwrap().1);
        assert_eq!(port(json!([{"port": 19999}])), Ok(19999));
        assert_eq!(port(json!([{"port": 19999, "targetPort": 20000}])), Ok(20000));
        assert_eq!(port(json!([{"port": 80, "targetPort": "http"}])), Ok(8080));
        assert_eq!(port(json!([{"port": 1}, {"port": 19999, "targetPort": "http"}])), Ok(8080));
        for bad in [
            json!([]),
            json!([{"port": 1}, {"port": 2}]),
            json!([{"port": 1, "targetPort": "nope"}]),
            json!([{"port": 1, "targetPort": 65536}]),
        ] {
            assert!(port(bad.clone()).is_err(), "{bad}");
        }
    }
}
