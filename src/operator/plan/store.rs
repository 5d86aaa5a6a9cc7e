//! Where the snapshots of a plan go: a place in S3, or a claim.

use super::{Rejection, given};
use crate::api::etcdbackup::PERSISTENT_VOLUME;
use crate::api::{EtcdBackup, names};
use crate::operator::settings::Settings;
use crate::sha256::{Hex, Sha256};
use crate::snapshot::Layout;

/// Where the snapshots go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    S3(Bucket),
    Volume(Claim),
}

/// A place in S3 and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// Dialect B: `BUCKET/KEY` instead of prefix and layout.
    pub path: Option<String>,
    pub prefix: Option<String>,
    /// `None` until the first run has decided.
    pub layout: Option<Layout>,
    /// Layout of a cluster that has no snapshot yet.
    pub default_layout: Layout,
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub force_path_style: bool,
    /// Secret with the key `ca.crt`.
    pub ca_secret: Option<String>,
    pub credentials: Credentials,
    /// How S3 encrypts, and with which key.
    pub encryption: Option<String>,
    pub kms_key: Option<String>,
}

/// Where the AWS credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// IRSA, Pod Identity or the instance role.
    Ambient,
    /// One Secret with the keys `credentials` and `config`.
    Secret(String),
    /// The operator-wide pair.
    Pair { secret: String, config_map: String },
}

/// A claim whose volume holds the snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub name: String,
    /// What is made where there is no claim of that name.
    pub make: Option<NewClaim>,
    /// Whether a backup was stored there; before that there is nothing to serve.
    pub filled: bool,
}

/// A claim to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// Size in MiB: what etcd-operator made of `volumeSizeInMB` (v0.2.0 to v0.6.1).
    pub mebibytes: i64,
    /// `None` is the cluster's default.
    pub storage_class: Option<String>,
}

impl Store {
    /// The store of `backup`.
    ///
    /// # Errors
    /// `BucketNotSet` and `ClaimNotSet`.
    pub(super) fn of(backup: &EtcdBackup, settings: &Settings) -> Result<Self, Rejection> {
        match backup.spec.storage_type.as_str() {
            PERSISTENT_VOLUME => claim(backup).map(Self::Volume),
            _ => bucket(backup, settings).map(Self::S3),
        }
    }

    /// The bucket, of a store in S3.
    pub fn bucket(&self) -> Option<&Bucket> {
        match self {
            Self::S3(bucket) => Some(bucket),
            Self::Volume(_) => None,
        }
    }

    /// Whether it is known what a sidecar is to serve.
    pub fn is_known(&self) -> bool {
        match self {
            Self::S3(bucket) => bucket.layout.is_some(),
            Self::Volume(claim) => claim.filled,
        }
    }

    /// The bucket or the claim, for messages.
    pub fn shown(&self) -> String {
        match self {
            Self::S3(bucket) => in_bucket(&bucket.name),
            Self::Volume(claim) => on_claim(&claim.name),
        }
    }

    /// The directory of a cluster in it as one word; equal for all that mean the same place.
    pub fn word(&self, namespace: &str, cluster: &str) -> String {
        let place = match self {
            Self::S3(bucket) => {
                let layout = bucket.layout.unwrap_or(bucket.default_layout);
                let directory = layout.directory(bucket.prefix.as_deref().unwrap_or(""), namespace, cluster);
                let endpoint = bucket.endpoint.as_deref().unwrap_or("").trim_end_matches('/');
                format!("{endpoint}\n{}\n{directory}", bucket.name)
            }
            Self::Volume(claim) => format!("claim\n{}\n{cluster}", claim.name),
        };
        Hex(&Sha256::of(place.as_bytes())[..10]).to_string()
    }
}

/// The bucket or the claim that `backup` names, as [`Store::shown`] says it.
pub fn named(backup: &EtcdBackup, settings: &Settings) -> Option<String> {
    match backup.spec.storage_type.as_str() {
        PERSISTENT_VOLUME => names::claim_of(backup).map(|claim| on_claim(&claim)),
        _ => bucket_name(backup, settings).map(|bucket| in_bucket(&bucket)),
    }
}

fn in_bucket(name: &str) -> String {
    format!("bucket {name}")
}

fn on_claim(name: &str) -> String {
    format!("claim {name}")
}

fn claim(backup: &EtcdBackup) -> Result<Claim, Rejection> {
    let unset = || Rejection { reason: "ClaimNotSet", message: "spec.persistentVolume is not set".to_owned() };
    let volume = backup.spec.persistent_volume.as_ref().ok_or_else(unset)?;
    let size = volume.volume_size_in_mb.filter(|size| *size > 0 && volume.claim_name.is_empty());
    let status = backup.status.as_ref();
    Ok(Claim {
        name: names::claim_of(backup).ok_or_else(unset)?,
        make: size.map(|mebibytes| NewClaim { mebibytes, storage_class: given(&volume.storage_class) }),
        filled: status.is_some_and(|status| !status.volume_path.is_empty()),
    })
}

/// The name of the bucket of `backup`, if one is named at all.
fn bucket_name(backup: &EtcdBackup, settings: &Settings) -> Option<String> {
    let s3 = backup.spec.s3.as_ref()?;
    let of_path = s3.path.split_once('/').map(|(bucket, _)| bucket.to_owned());
    let defaults = settings.s3.as_ref();
    of_path.or_else(|| given(&s3.s3_bucket)).or_else(|| defaults.map(|defaults| defaults.bucket.clone()))
}

fn bucket(backup: &EtcdBackup, settings: &Settings) -> Result<Bucket, Rejection> {
    let s3 = backup.spec.s3.clone().unwrap_or_default();
    let defaults = settings.s3.as_ref();
    let name = bucket_name(backup, settings).ok_or(Rejection {
        reason: "BucketNotSet",
        message: "spec.s3.s3Bucket is empty and the operator has no --backup-s3-bucket".to_owned(),
    })?;
    let path = given(&s3.path);
    let credentials = match (given(&s3.aws_secret), defaults) {
        (Some(secret), _) => Credentials::Secret(secret),
        (None, Some(defaults)) => {
            Credentials::Pair { secret: defaults.secret.clone(), config_map: defaults.config_map.clone() }
        }
        (None, None) => Credentials::Ambient,
    };
    Ok(Bucket {
        name,
        prefix: given(s3.prefix.trim_matches('/')),
        // a path has none, whatever an older generation of the object had
        layout: s3
            .layout
            .or_else(|| backup.status.as_ref().and_then(|status| status.layout))
            .filter(|_| path.is_none()),
        path,
        default_layout: settings.default_layout,
        region: given(&s3.region),
        endpoint: given(&s3.endpoint),
        force_path_style: s3.force_path_style,
        ca_secret: given(&s3.ca_secret),
        credentials,
        encryption: given(&s3.server_side_encryption),
        kms_key: given(&s3.kms_key_id),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::samples::{backup, settings, volume_plan};
    use super::*;

    fn store(spec: Value, s3_flags: bool) -> Result<Store, &'static str> {
        Store::of(&backup(spec), &settings(s3_flags)).map_err(|rejection| rejection.reason)
    }

    fn in_s3(s3: Value, s3_flags: bool) -> Result<Bucket, &'static str> {
        let spec = json!({"clusterName": "etcd-a", "storageType": "S3", "s3": s3});
        store(spec, s3_flags).map(|store| store.bucket().unwrap().clone())
    }

    #[test]
    fn the_object_wins_over_the_operators_flags() {
        let bucket = in_s3(json!({"s3Bucket": "own", "awsSecret": "aws", "prefix": "/team//x/"}), true).unwrap();
        assert_eq!((bucket.name.as_str(), bucket.prefix.as_deref()), ("own", Some("team//x")));
        assert_eq!(bucket.credentials, Credentials::Secret("aws".to_owned()));
    }

    #[test]
    fn the_operators_pair_or_ambient_credentials_otherwise() {
        let pair = Credentials::Pair { secret: "aws-credential".to_owned(), config_map: "aws-config".to_owned() };
        let found = in_s3(json!({"s3Bucket": ""}), true).unwrap();
        assert_eq!((found.credentials, found.name.as_str()), (pair, "etcd-backups"));
        assert_eq!(in_s3(json!({"s3Bucket": ""}), false), Err("BucketNotSet"));
        assert_eq!(in_s3(json!({"s3Bucket": "own"}), false).unwrap().credentials, Credentials::Ambient);
    }

    #[test]
    fn a_path_names_its_bucket_and_has_no_layout() {
        let mut object =
            backup(json!({"clusterName": "a", "storageType": "S3", "s3": {"path": "own/a/b", "awsSecret": "x"}}));
        object.status = Some(crate::api::EtcdBackupStatus { layout: Some(Layout::Cluster), ..Default::default() });
        let store = Store::of(&object, &settings(true)).unwrap();
        let bucket = store.bucket().unwrap();
        assert_eq!((bucket.name.as_str(), bucket.path.as_deref(), bucket.layout), ("own", Some("own/a/b"), None));
    }

    #[test]
    fn a_claim_is_named_or_made_under_the_cluster_s_name() {
        let claim = |volume: Value| {
            let spec = json!({"clusterName": "etcd-a", "storageType": "PersistentVolume", "persistentVolume": volume});
            store(spec, true).map(|store| match store {
                Store::Volume(claim) => (claim.name, claim.make),
                Store::S3(bucket) => panic!("{bucket:?}"),
            })
        };
        assert_eq!(claim(json!({"claimName": "disk-7"})), Ok(("disk-7".to_owned(), None)));
        let make = |class: Option<&str>| NewClaim { mebibytes: 512, storage_class: class.map(str::to_owned) };
        let made = claim(json!({"volumeSizeInMB": 512, "storageClass": "fast"}));
        assert_eq!(made, Ok(("etcd-a-pvc".to_owned(), Some(make(Some("fast"))))));
        assert_eq!(claim(json!({"volumeSizeInMB": 512})).unwrap().1, Some(make(None)));
        assert_eq!(claim(json!(null)), Err("ClaimNotSet"));
    }

    #[test]
    fn a_volume_is_served_once_something_is_on_it() {
        let mut object = backup(json!({"clusterName": "etcd-a", "storageType": "PersistentVolume",
            "persistentVolume": {"claimName": "disk-7"}}));
        // what an earlier generation of the object stored in S3
        object.status = Some(crate::api::EtcdBackupStatus { layout: Some(Layout::Cluster), ..Default::default() });
        assert!(!Store::of(&object, &settings(false)).unwrap().is_known());
        object.status.as_mut().unwrap().volume_path = "disk-7:/var/etcd-backup/v1/etcd-a/x".to_owned();
        assert!(Store::of(&object, &settings(false)).unwrap().is_known());
    }

    #[test]
    fn two_claims_and_a_bucket_are_three_places() {
        let words = [volume_plan("a").store, volume_plan("b").store, super::super::super::samples::full_plan().store]
            .map(|store| store.word("default", "etcd-a"));
        assert!(words[0] != words[1] && words[1] != words[2] && words[0] != words[2], "{words:?}");
        assert_eq!(volume_plan("a").store.word("default", "etcd-a"), words[0]);
    }
}
