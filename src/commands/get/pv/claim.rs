//! Which claim holds the snapshots of a cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::PvFlags;
use crate::api::etcdbackup::PERSISTENT_VOLUME;
use crate::api::{EtcdBackup, names};
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The claim of the flags, else the one that the cluster's EtcdBackups name, else `<cluster>-pvc`.
///
/// # Errors
/// [`ErrorKind::NotFound`] where EtcdBackups name several; those of the API server, but that EtcdBackups may not be
/// listed or are not known.
pub(super) async fn choose(cluster: &str, flags: &PvFlags, session: &Session, ui: &Ui) -> Result<String> {
    if let Some(claim) = &flags.claim {
        return Ok(claim.clone());
    }
    let api: Api<EtcdBackup> = Api::namespaced(session.client.clone(), &session.namespace);
    let backups = match session.request(TIMEOUT, api.list(&ListParams::default())).await {
        Ok(list) => list.items,
        // etcd-operator's old sidecars had no such objects
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => {
            ui.say(format!("pv: EtcdBackups not looked at: {}", error.message()));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    only(cluster, &backups)
}

/// That the newest EtcdBackup of the cluster keeps its snapshots on a volume; `None` where one says otherwise, and
/// where that cannot be told.
pub(in crate::commands::get) async fn told(cluster: &str, kube: &KubeFlags) -> Option<String> {
    let session = Session::connect(kube).await.ok()?;
    let api: Api<EtcdBackup> = Api::namespaced(session.client.clone(), &session.namespace);
    newest(cluster, session.request(TIMEOUT, api.list(&ListParams::default())).await.ok()?.items)
}

fn newest(cluster: &str, backups: Vec<EtcdBackup>) -> Option<String> {
    let of_cluster = backups.into_iter().filter(|backup| names::cluster_of(backup) == cluster);
    let newest = of_cluster.max_by_key(|backup| (backup.creation_timestamp().map(|time| time.0), backup.name_any()))?;
    let claim = names::claim_of(&newest).filter(|_| newest.spec.storage_type == PERSISTENT_VOLUME)?;
    Some(format!("EtcdBackup {} keeps its snapshots on claim {claim}", newest.name_any()))
}

fn only(cluster: &str, backups: &[EtcdBackup]) -> Result<String> {
    let of_cluster = backups.iter().filter(|backup| names::cluster_of(backup) == cluster);
    let claims: BTreeSet<String> = of_cluster.filter_map(names::claim_of).collect();
    let all: Vec<&str> = claims.iter().map(String::as_str).collect();
    match all.as_slice() {
        [] => Ok(names::claim(cluster)),
        [only] => Ok((*only).to_owned()),
        several => {
            let sentence = format!("EtcdBackups of cluster {cluster:?} name several claims: {}", several.join(", "));
            Err(Error::not_found(sentence).hint("choose one with --claim NAME"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(cluster: &str, volume: serde_json::Value) -> EtcdBackup {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "x"},
            "spec": {"clusterName": cluster, "storageType": "PersistentVolume", "persistentVolume": volume}
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_backup_says_whether_snapshots_are_on_a_volume() {
        let mut old = backup("etcd-a", serde_json::json!({"claimName": "mine"}));
        let mut new = old.clone();
        new.spec.storage_type = "S3".to_owned();
        (old.metadata.name, new.metadata.name) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(newest("etcd-a", vec![old.clone(), new.clone()]), None);
        new.metadata.name = Some("0".to_owned());
        let said = newest("etcd-a", vec![new, old.clone()]).unwrap();
        assert_eq!(said, "EtcdBackup a keeps its snapshots on claim mine");
        assert_eq!(newest("etcd-b", vec![old]), None);
    }

    #[test]
    fn the_claim_is_what_its_backups_name() {
        let named = |cluster: &str, claim: &str| backup(cluster, serde_json::json!({"claimName": claim}));
        let made = backup("etcd-a", serde_json::json!({"volumeSizeInMB": 512}));
        assert_eq!(only("etcd-a", &[]).as_deref(), Ok("etcd-a-pvc"));
        assert_eq!(only("etcd-a", &[named("etcd-b", "other")]).as_deref(), Ok("etcd-a-pvc"));
        assert_eq!(only("etcd-a", &[named("etcd-a", "mine"), named("etcd-a", "mine")]).as_deref(), Ok("mine"));
        assert_eq!(only("etcd-a", std::slice::from_ref(&made)).as_deref(), Ok("etcd-a-pvc"));
        let several = only("etcd-a", &[named("etcd-a", "mine"), made]).unwrap_err();
        assert!(several.message().ends_with("several claims: etcd-a-pvc, mine"), "{several}");
    }
}
