//! A claim that is not there: its volume may be, with everything on it.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;

use super::plan::retain;
use crate::error::Error;

/// Most names of claims that are told.
const TOLD: usize = 10;

/// That claim `name` is missing, and which claims, or which volume that was bound to it, are there.
pub(super) fn explain(name: &str, namespace: &str, claims: &[String], volumes: &[PersistentVolume]) -> Error {
    let error = Error::not_found(format!("persistentvolumeclaims {name:?} not found in namespace {namespace}"));
    let left = volumes.iter().find(|volume| was_bound_to(volume, name, namespace));
    if let Some(volume) = left {
        return bind_again(error, volume, name, namespace);
    }
    let error = match claims {
        [] => error.hint(format!("there are no claims in namespace {namespace}; choose another with -n")),
        _ => {
            let told: Vec<&str> = claims.iter().map(String::as_str).take(TOLD).collect();
            let more = if claims.len() > TOLD { " and more" } else { "" };
            error.hint(format!("claims in namespace {namespace}: {}{more}; name one with --claim", told.join(", ")))
        }
    };
    error.hint("snapshots in S3 or behind the backup service: --from auto")
}

fn was_bound_to(volume: &PersistentVolume, name: &str, namespace: &str) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    matches!(phase, Some("Released" | "Available" | "Failed"))
        && claim
            .is_some_and(|claim| claim.name.as_deref() == Some(name) && claim.namespace.as_deref() == Some(namespace))
}

/// The commands after which the claim is there again. The volume stays reserved for a claim of this name; only the
/// uid of the old one is taken off.
fn bind_again(error: Error, volume: &PersistentVolume, name: &str, namespace: &str) -> Error {
    let (shown, spec) = (volume.name_any(), volume.spec.clone().unwrap_or_default());
    let mut error = error.hint(format!("volume {shown} was bound to it and still holds the data; bind it again:"));
    if spec.persistent_volume_reclaim_policy.as_deref() != Some("Retain") {
        error = error.hint(retain(&shown));
    }
    if spec.claim_ref.as_ref().is_some_and(|claim| claim.uid.is_some()) {
        error = error.hint(format!(
            "kubectl patch pv {shown} --type=json -p '[{{\"op\":\"remove\",\"path\":\"/spec/claimRef/uid\"}}]'"
        ));
    }
    let size = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage")).map_or("1Mi", |size| &size.0);
    let claim = serde_json::json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {
            "volumeName": shown, "storageClassName": spec.storage_class_name.unwrap_or_default(),
            "accessModes": spec.access_modes, "volumeMode": spec.volume_mode,
            "resources": {"requests": {"storage": size}},
        },
    });
    // one line: further lines of a hint are indented
    error.hint(format!("echo '{claim}' | kubectl apply -n {namespace} -f -"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn volume(phase: &str, claim: &str, policy: &str) -> PersistentVolume {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "pv-1"}, "spec": {
            "capacity": {"storage": "512Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
            "persistentVolumeReclaimPolicy": policy,
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "ns", "name": claim, "uid": "u"}},
            "status": {"phase": phase}}))
        .unwrap()
    }

    #[test]
    fn a_released_volume_can_be_bound_again() {
        let error = explain("etcd-a-pvc", "ns", &[], &[volume("Released", "etcd-a-pvc", "Retain")]);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "error: persistentvolumeclaims \"etcd-a-pvc\" not found in namespace ns\n\
             hint: volume pv-1 was bound to it and still holds the data; bind it again:\n\
             hint: kubectl patch pv pv-1 --type=json -p '[{\"op\":\"remove\",\"path\":\"/spec/claimRef/uid\"}]'\n\
             hint: echo '{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"etcd-a-pvc\"},\
             \"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"512Mi\"}},\
             \"storageClassName\":\"standard\",\"volumeMode\":null,\"volumeName\":\"pv-1\"}}' | kubectl apply -n ns -f -"
        );
        let perishable = explain("etcd-a-pvc", "ns", &[], &[volume("Released", "etcd-a-pvc", "Delete")]);
        assert!(perishable.hints()[1].contains("Retain"), "{perishable}");
    }

    #[test]
    fn without_its_volume_the_other_claims_are_named() {
        let others = [volume("Bound", "etcd-a-pvc", "Retain"), volume("Released", "another", "Retain")];
        let error = explain("etcd-a-pvc", "ns", &["a".to_owned(), "b".to_owned()], &others);
        assert_eq!(error.hints()[0], "claims in namespace ns: a, b; name one with --claim");
        assert!(explain("x", "ns", &[], &[]).hints()[0].starts_with("there are no claims"));
    }
}
