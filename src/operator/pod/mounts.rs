//! What the pods of a plan mount.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
};

use crate::operator::argv::directory;
use crate::operator::plan::{Credentials, Plan, Store};

/// An object that is files in a pod.
pub(super) struct Mount {
    volume: &'static str,
    directory: &'static str,
    object: Object,
}

enum Object {
    Secret(String),
    ConfigMap(String),
    Claim { name: String, read_only: bool },
}

impl Mount {
    fn secret(volume: &'static str, directory: &'static str, name: &Option<String>) -> Option<Self> {
        name.clone().map(|name| Self { volume, directory, object: Object::Secret(name) })
    }

    /// As a container has it. A claim is read-only here alone: what the pod as a whole says of it may be how its disk
    /// is attached to the node, and then the Job of the same node could not write.
    pub(super) fn mount(&self) -> VolumeMount {
        let writes = matches!(self.object, Object::Claim { read_only: false, .. });
        VolumeMount {
            name: self.volume.to_owned(),
            mount_path: self.directory.to_owned(),
            read_only: (!writes).then_some(true),
            ..Default::default()
        }
    }

    /// As a pod has it.
    pub(super) fn volume(&self) -> Volume {
        // the pod's group reads them, nobody else
        let default_mode = Some(0o440);
        let mut volume = Volume { name: self.volume.to_owned(), ..Default::default() };
        match &self.object {
            Object::Secret(name) => {
                volume.secret =
                    Some(SecretVolumeSource { secret_name: Some(name.clone()), default_mode, ..Default::default() });
            }
            Object::ConfigMap(name) => {
                volume.config_map =
                    Some(ConfigMapVolumeSource { name: name.clone(), default_mode, ..Default::default() });
            }
            Object::Claim { name, .. } => {
                volume.persistent_volume_claim =
                    Some(PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None });
            }
        }
        volume
    }
}

/// What the pod mounts. Whoever does not reach etcd writes no snapshots either.
pub(super) fn mounts(plan: &Plan, reaches_etcd: bool) -> Vec<Mount> {
    let mut mounts = match &plan.store {
        Store::S3(bucket) => {
            let (secret, config_map) = match &bucket.credentials {
                Credentials::Ambient => (None, None),
                Credentials::Secret(secret) => (Some(secret.clone()), None),
                Credentials::Pair { secret, config_map } => (Some(secret.clone()), Some(config_map.clone())),
            };
            let config = |name| Mount {
                volume: "aws-config",
                directory: directory::AWS_CONFIG,
                object: Object::ConfigMap(name),
            };
            vec![
                Mount::secret("aws-secret", directory::AWS_SECRET, &secret),
                config_map.map(config),
                Mount::secret("s3-ca", directory::CA, &bucket.ca_secret),
            ]
        }
        Store::Volume(claim) => {
            let object = Object::Claim { name: claim.name.clone(), read_only: !reaches_etcd };
            vec![Some(Mount { volume: "backups", directory: directory::BACKUPS, object })]
        }
    };
    if reaches_etcd {
        mounts.push(Mount::secret("etcd-tls", directory::TLS, &plan.tls_secret));
        mounts.push(Mount::secret("etcd-auth", directory::AUTH, &plan.auth_secret));
    }
    mounts.into_iter().flatten().collect()
}
