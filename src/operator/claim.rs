//! The claim of a plan: made where it is to be, and whether a backup and a sidecar can share it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, PostParams};

use super::TIMEOUT;
use super::plan::{CLAIM, Claim, NewClaim, Plan, Store};
use super::requests::OPERATOR;
use super::trouble::Trouble;
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::error::{ErrorKind, Result};
use crate::kubernetes::Session;
use crate::kubernetes::volume::{access_modes, retain};

/// Why pods cannot have a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hurdle {
    /// May be over the next time.
    Passing(Trouble),
    /// Stays as long as the object names this claim.
    Lasting(Trouble),
}

/// Sees to the claim of `plan` before a run. Whether all pods with it have to be on one node; never for S3.
///
/// # Errors
/// Those of the API server. What keeps pods from having it is the inner error.
pub async fn prepare(session: &Session, plan: &Plan) -> Result<Result<bool, Hurdle>> {
    let Store::Volume(claim) = &plan.store else { return Ok(Ok(false)) };
    let found = match get(session, plan, claim).await {
        // an operator that was updated without its roles
        Err(error) if error.kind() == ErrorKind::Denied => {
            let message = format!("{}; kubectl etcdbackup install renews the operator's roles", error.message());
            return Ok(Err(Hurdle::Passing(Trouble::new("ClaimNotReadable", message))));
        }
        found => found?,
    };
    let found = match (found, &claim.make) {
        (Some(found), _) => found,
        (None, Some(wanted)) => match make(session, plan, claim, wanted).await? {
            Ok(made) => made,
            Err(trouble) => return Ok(Err(Hurdle::Passing(trouble))),
        },
        (None, None) => return Ok(Err(Hurdle::Passing(missing(plan, &claim.name)))),
    };
    Ok(leaving(&found).map_or_else(|| judge(&found), |trouble| Err(Hurdle::Passing(trouble))))
}

/// That a claim is being deleted: no new pod gets it. Only a run is told. The sidecar stays as it is, for with the last
/// pod that has the claim goes the volume.
fn leaving(claim: &PersistentVolumeClaim) -> Option<Trouble> {
    claim.metadata.deletion_timestamp.as_ref()?;
    let name = claim.name_any();
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
    let keep = volume.map(|volume| format!("; to keep what is on it, first of all: {}", retain(volume)));
    let keep = keep.unwrap_or_default();
    Some(Trouble::new("ClaimBeingDeleted", format!("claim {name} is being deleted, and no new pod gets it{keep}")))
}

/// Whether all pods with the claim of `plan` have to be on one node; so it is where that is not known.
///
/// # Errors
/// Those of the API server.
pub async fn is_on_one_node(session: &Session, plan: &Plan) -> Result<bool> {
    let Store::Volume(claim) = &plan.store else { return Ok(false) };
    Ok(get(session, plan, claim).await?.is_none_or(|found| judge(&found).unwrap_or(true)))
}

/// That a claim is not there, and the command that makes it.
pub fn missing(plan: &Plan, name: &str) -> Trouble {
    let remedy = plan.remedy(CLAIM, name);
    Trouble::new(
        "ClaimNotFound",
        format!(
            "{name} in namespace {}; make it with: {remedy}, or have it made under the cluster's name with \
             spec.persistentVolume.volumeSizeInMB in place of claimName",
            plan.namespace
        ),
    )
}

async fn get(session: &Session, plan: &Plan, claim: &Claim) -> Result<Option<PersistentVolumeClaim>> {
    session.request(TIMEOUT, claims(session, plan).get_opt(&claim.name)).await
}

/// Makes the claim. One that somebody has made meanwhile is as good, whatever its size.
async fn make(
    session: &Session,
    plan: &Plan,
    claim: &Claim,
    wanted: &NewClaim,
) -> Result<Result<PersistentVolumeClaim, Trouble>> {
    let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..Default::default() };
    let (claims, new) = (claims(session, plan), build(plan, &claim.name, wanted));
    let answer = session.request(TIMEOUT, async {
        match claims.create(&params, &new).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => claims.get(&claim.name).await,
            made => made,
        }
    });
    match answer.await {
        Ok(made) => {
            let (namespace, name) = (&plan.namespace, made.name_any());
            tracing::info!(%namespace, %name, mebibytes = wanted.mebibytes, "the claim for snapshots is there");
            Ok(Ok(made))
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(error),
        Err(error) => Ok(Err(Trouble::new("ClaimRefused", error.message()))),
    }
}

fn claims(session: &Session, plan: &Plan) -> Api<PersistentVolumeClaim> {
    Api::namespaced(session.client.clone(), &plan.namespace)
}

/// The claim, with the labels of etcd-operator's (v0.2.0 to v0.6.1). Nobody owns it: the snapshots outlive the
/// EtcdBackup.
fn build(plan: &Plan, name: &str, wanted: &NewClaim) -> PersistentVolumeClaim {
    let labels = [("app", "etcd"), (CLUSTER_LABEL, &plan.cluster)];
    let size = BTreeMap::from([("storage".to_owned(), Quantity(format!("{}Mi", wanted.mebibytes)))]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(plan.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..Default::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: wanted.storage_class.clone(),
            resources: Some(VolumeResourceRequirements { requests: Some(size), limits: None }),
            ..Default::default()
        }),
        status: None,
    }
}

/// Whether all pods with the claim have to be on one node, or why none can have it.
fn judge(claim: &PersistentVolumeClaim) -> Result<bool, Hurdle> {
    let name = claim.name_any();
    let lasting = |reason: &str, why: &str| Err(Hurdle::Lasting(Trouble::new(reason, format!("claim {name} {why}"))));
    let spec = claim.spec.as_ref();
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let volume = spec.and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let message = format!("the volume {volume} of claim {name} is gone; make it again, or name another claim");
        return Err(Hurdle::Passing(Trouble::new("ClaimLost", message)));
    }
    if spec.and_then(|spec| spec.volume_mode.as_deref()) == Some("Block") {
        return lasting("ClaimUnusable", "is a raw block device (volumeMode Block), and holds no files");
    }
    let modes = access_modes(claim);
    let has = |mode: &str| modes.iter().any(|one| one == mode);
    if has("ReadWriteMany") {
        return Ok(false);
    }
    if has("ReadWriteOnce") {
        return Ok(true);
    }
    if has("ReadWriteOncePod") {
        return lasting(
            "ReadWriteOncePod",
            "may be used by one pod only, and the sidecar, the helper of get --from pv and the pod of a backup have it at \
             the same time; name a claim with access mode ReadWriteOnce or ReadWriteMany",
        );
    }
    lasting("ClaimUnusable", &format!("cannot be written: its access modes are {}", modes.join(", ")))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use super::super::samples;
    use super::*;

    fn claim(spec: Value, status: Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec, "status": status})).unwrap()
    }

    fn judged(modes: &[&str]) -> Result<bool, &'static str> {
        judge(&claim(json!({"accessModes": modes}), json!({}))).map_err(|hurdle| match hurdle {
            Hurdle::Lasting(trouble) if trouble.reason == "ReadWriteOncePod" => "one pod",
            Hurdle::Lasting(_) => "lasting",
            Hurdle::Passing(_) => "passing",
        })
    }

    #[test]
    fn pods_share_a_node_unless_many_nodes_may_have_the_volume() {
        assert_eq!(judged(&["ReadWriteOnce"]), Ok(true));
        assert_eq!(judged(&["ReadWriteOnce", "ReadWriteMany"]), Ok(false));
        assert_eq!(judged(&["ReadWriteOncePod"]), Err("one pod"));
        assert_eq!(judged(&["ReadOnlyMany"]), Err("lasting"));
    }

    #[test]
    fn a_claim_of_one_pod_is_refused_with_the_reason() {
        let Err(Hurdle::Lasting(trouble)) = judge(&claim(json!({"accessModes": ["ReadWriteOncePod"]}), json!({})))
        else {
            panic!("it was taken")
        };
        assert!(trouble.text().starts_with("ReadWriteOncePod: claim c may be used by one pod only"), "{trouble:?}");
    }

    #[test]
    fn devices_and_lost_volumes_are_told_apart() {
        let modes = json!(["ReadWriteOnce"]);
        let block = judge(&claim(json!({"accessModes": modes, "volumeMode": "Block"}), json!({})));
        assert!(matches!(block, Err(Hurdle::Lasting(_))), "{block:?}");
        let lost = judge(&claim(json!({"accessModes": modes, "volumeName": "pv-1"}), json!({"phase": "Lost"})));
        assert!(matches!(&lost, Err(Hurdle::Passing(trouble)) if trouble.message.contains("pv-1")), "{lost:?}");
    }

    #[test]
    fn a_claim_that_is_being_deleted_gets_no_run_and_leaves_the_sidecar_alone() {
        let shared = claim(json!({"accessModes": ["ReadWriteMany"], "volumeName": "pv-1"}), json!({"phase": "Bound"}));
        assert_eq!(leaving(&shared), None);
        let mut going = shared;
        going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let told = leaving(&going).unwrap().text();
        assert!(told.starts_with("ClaimBeingDeleted: claim c is being deleted"), "{told}");
        assert!(told.contains("kubectl patch pv pv-1 -p '{\"spec\":"), "{told}");
        // another verdict would change the Deployment, and its new pod would have no claim
        assert_eq!(judge(&going), Ok(false));
    }

    #[test]
    fn the_claim_that_is_made_is_the_old_operators_and_nobody_owns_it() {
        let wanted = NewClaim { mebibytes: 512, storage_class: Some("fast".to_owned()) };
        let claim = serde_json::to_value(build(&samples::volume_plan("x"), "etcd-a-pvc", &wanted)).unwrap();
        let metadata =
            json!({"name": "etcd-a-pvc", "namespace": "default", "labels": {"app": "etcd", "etcd_cluster": "etcd-a"}});
        assert_eq!(claim["metadata"], metadata);
        let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
            "resources": {"requests": {"storage": "512Mi"}}});
        assert_eq!(claim["spec"], spec);
    }

    #[test]
    fn a_missing_claim_comes_with_its_command() {
        let text = missing(&samples::volume_plan("disk-7"), "disk-7").text();
        assert!(text.starts_with("ClaimNotFound: disk-7 in namespace default; make it with: echo '{"), "{text}");
    }
}
