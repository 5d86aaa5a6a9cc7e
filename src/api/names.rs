//! Names of Kubernetes objects that belong to an EtcdBackup or to an etcd cluster.

use kube::ResourceExt;

use super::etcdbackup::{CLUSTER_LABEL, EtcdBackup};
use crate::error::{Error, Result};
use crate::sha256::{Hex, Sha256};

/// Most characters of a cluster's name: the names of its Jobs and Services are made from it.
pub const MAX_CLUSTER_NAME: usize = 48;

/// Port of the sidecar, as in etcd-operator (doc/user/download_backup.md at v0.2.5).
pub const SIDECAR_PORT: u16 = 19999;

/// Checks a cluster's name: `[a-z]([-a-z0-9]*[a-z0-9])?`, 1 to 48 characters.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) with the rule.
pub fn check_cluster_name(name: &str) -> Result<()> {
    let bytes = name.as_bytes();
    let inner = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    let first = bytes.first().is_some_and(u8::is_ascii_lowercase);
    let last = bytes.last().is_some_and(|b| *b != b'-');
    if inner && first && last && name.len() <= MAX_CLUSTER_NAME {
        return Ok(());
    }
    Err(Error::usage(format!(
        "invalid cluster name {name:?}: must start with a lower-case letter, hold only lower-case letters, digits and '-', \
         end with a letter or digit, and have at most {MAX_CLUSTER_NAME} characters"
    )))
}

/// The name of the etcd cluster of an EtcdBackup: `clusterName`, else the label, else the object's name.
pub fn cluster_of(backup: &EtcdBackup) -> String {
    if !backup.spec.cluster_name.is_empty() {
        return backup.spec.cluster_name.clone();
    }
    backup.labels().get(CLUSTER_LABEL).cloned().unwrap_or_else(|| backup.name_any())
}

/// The name of the sidecar's Deployment and Service (etcd-operator v0.2.0 to v0.6.1).
pub fn sidecar(cluster: &str) -> String {
    format!("{cluster}-backup-sidecar")
}

/// The name of etcd's client Service (etcd-operator v0.2.5 and later).
pub fn client_service(cluster: &str) -> String {
    format!("{cluster}-client")
}

/// The name of the claim that holds a cluster's snapshots where none is named (etcd-operator v0.2.0 to v0.6.1).
pub fn claim(cluster: &str) -> String {
    format!("{cluster}-pvc")
}

/// The claim that holds the snapshots of an EtcdBackup on a volume.
pub fn claim_of(backup: &EtcdBackup) -> Option<String> {
    let volume = backup.spec.persistent_volume.as_ref()?;
    let named = Some(volume.claim_name.clone()).filter(|name| !name.is_empty());
    Some(named.unwrap_or_else(|| claim(&cluster_of(backup))))
}

/// The label of every pod of ours that mounts a claim; pods with one value of it can be kept on one node.
pub const CLAIM_LABEL: &str = "etcd.database.coreos.com/claim";

/// The value of [`CLAIM_LABEL`]: the claim, or what stands for a name that is too long for a label.
pub fn claim_label(claim: &str) -> String {
    if claim.len() <= 63 { claim.to_owned() } else { deterministic(claim, claim, "claim") }
}

/// A name that two operators would choose alike: the cluster, cut to 30 characters, and ten hex digits
/// of the hash of the owner's uid and what the object is for.
pub fn deterministic(cluster: &str, uid: &str, purpose: &str) -> String {
    let digest = Sha256::of(format!("{uid}/{purpose}").as_bytes());
    let cut = cluster.get(..30).unwrap_or(cluster).trim_end_matches('-');
    format!("{cut}-{}", Hex(&digest[..5]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names() {
        for good in ["a", "etcd-a", "e1", &"a".repeat(48)] {
            assert!(check_cluster_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a.b", "a/b", &"a".repeat(49), "é"] {
            assert!(check_cluster_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn deterministic_names_fit_and_differ() {
        let long = format!("{}-{}", "a".repeat(29), "b".repeat(18));
        let name = deterministic(&long, "uid", "backup");
        assert_eq!(name.len(), 29 + 1 + 10);
        assert_ne!(name, deterministic(&long, "uid", "drill"));
        assert_eq!(name, deterministic(&long, "uid", "backup"));
    }
}
