//! The layouts of Secrets with AWS credentials, told apart by their keys.

use std::collections::BTreeMap;

use crate::aws::ini::{Kind, sections};

/// The data of a Secret or a ConfigMap, or the files of its mounted directory.
pub type Keys = BTreeMap<String, Vec<u8>>;

/// A layout whose keys hold bare values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    pub id: &'static str,
    pub secret: &'static str,
    pub token: Option<&'static str>,
    pub region: Option<&'static str>,
}

const fn values(id: &'static str, secret: &'static str, region: Option<&'static str>) -> Values {
    Values { id, secret, token: None, region }
}

/// In the order in which they are looked for.
const LAYOUTS: [Values; 7] = [
    // the names of the environment: kubeone and everybody who uses envFrom
    Values {
        token: Some("AWS_SESSION_TOKEN"),
        ..values("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", Some("AWS_REGION"))
    },
    // CloudNativePG, docs/src/appendixes/object_stores.md
    Values { token: Some("ACCESS_SESSION_TOKEN"), ..values("ACCESS_KEY_ID", "ACCESS_SECRET_KEY", None) },
    // strapdata/elassandra-operator, docs/source/backup-restore.rst at cccbc770
    values("access", "secret", None),
    // strapdata/elassandra-operator from 2019-12, the Secrets elassandra-CLUSTER-backup-aws
    values("access-key", "secret-key", Some("region")),
    // instaclustr/cassandra-operator, the Go version of 2019 to 2021
    values("awsaccesskeyid", "awssecretaccesskey", Some("awsregion")),
    // gardener/etcd-backup-restore
    values("accessKeyID", "secretAccessKey", Some("region")),
    // k3s, etcd-s3-config-secret
    values("etcd-s3-access-key", "etcd-s3-secret-key", Some("etcd-s3-region")),
];

/// Which keys hold what.
#[derive(Debug, PartialEq, Eq)]
pub enum Layout<'a> {
    /// Profile files under these keys.
    Files { credentials: Option<&'a str>, config: Option<&'a str> },
    /// Bare values.
    Values(Values),
}

/// Recognises a layout; the second value says that a key was taken for what its name does not say.
pub fn detect(keys: &Keys) -> Option<(Layout<'_>, Option<String>)> {
    let has = |key: &'static str| keys.contains_key(key).then_some(key);
    // etcd-operator, doc/design/backup_operator.md; velero keeps its file under `cloud`
    let (credentials, config) = (has("credentials").or(has("cloud")), has("config"));
    if credentials.is_some() || config.is_some() {
        return Some((Layout::Files { credentials, config }, None));
    }
    let values = LAYOUTS.into_iter().find(|layout| has(layout.id).and(has(layout.secret)).is_some());
    values.map(|values| (Layout::Values(values), None)).or_else(|| only_key(keys))
}

/// `kubectl create secret|configmap --from-file=FILE` names the only key after the file.
fn only_key(keys: &Keys) -> Option<(Layout<'_>, Option<String>)> {
    let (key, bytes) = keys.first_key_value().filter(|_| keys.len() == 1)?;
    let text = std::str::from_utf8(bytes).ok()?;
    let any = |kind, property| sections(text, kind).values().any(|section| section.contains_key(property));
    let (layout, meant) = if any(Kind::Credentials, "aws_access_key_id") {
        (Layout::Files { credentials: Some(key), config: None }, "credentials")
    } else if any(Kind::Config, "region") {
        (Layout::Files { credentials: None, config: Some(key) }, "config")
    } else {
        return None;
    };
    Some((layout, Some(format!("no key {meant:?}; its only key {key:?} was read as one"))))
}
