//! What `create` will send, decided from its arguments alone.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::Args;
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::{EtcdBackup, EtcdBackupSpec, S3Source, names};
use crate::error::{Error, Result};
use crate::snapshot::Layout;

/// Where the credentials of the backup come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Made in the same call.
    Make,
    /// A Secret that has to be there.
    Named,
    /// None: the pod's own identity.
    Ambient,
}

/// The object, and what has to be there before it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub backup: EtcdBackup,
    pub credentials: Credentials,
}

impl Plan {
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a name that Kubernetes or the CRD would refuse.
    pub(super) fn new(args: &Args, namespace: Option<&str>, now: jiff::Timestamp) -> Result<Self> {
        names::check_cluster_name(&args.cluster)?;
        let bucket = args.s3.bucket.clone().ok_or_else(|| {
            Error::usage("required: --bucket NAME").hint("see 'kubectl etcdbackup create --help' for usage")
        })?;
        let credentials = match (args.ambient, args.with_credentials || args.from.given()) {
            (true, _) => Credentials::Ambient,
            (false, true) => Credentials::Make,
            (false, false) => Credentials::Named,
        };
        let s3 = S3Source {
            s3_bucket: bucket,
            prefix: args.s3.prefix.clone().unwrap_or_default(),
            aws_secret: if credentials == Credentials::Ambient { String::new() } else { args.secret.clone() },
            endpoint: args.s3.endpoint_url.clone().unwrap_or_default(),
            force_path_style: args.s3.force_path_style,
            region: args.s3.region.clone().unwrap_or_default(),
            layout: args.s3.layout.filter(|layout| *layout != Layout::Unversioned),
            ..S3Source::default()
        };
        let name = args.name.clone().unwrap_or_else(|| timed_name(&args.cluster, now));
        let spec = EtcdBackupSpec {
            cluster_name: args.cluster.clone(),
            storage_type: "S3".to_owned(),
            s3: Some(s3),
            ..EtcdBackupSpec::default()
        };
        let mut backup = EtcdBackup::new(&name, spec);
        backup.metadata = ObjectMeta {
            name: Some(name),
            namespace: namespace.map(str::to_owned),
            labels: Some(BTreeMap::from([(CLUSTER_LABEL.to_owned(), args.cluster.clone())])),
            ..ObjectMeta::default()
        };
        Ok(Self { backup, credentials })
    }
}

/// `<cluster>-yyyymmdd-hhmmss`, UTC.
fn timed_name(cluster: &str, now: jiff::Timestamp) -> String {
    format!("{cluster}-{}", now.strftime("%Y%m%d-%H%M%S"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::error::ErrorKind;

    fn plan(line: &str) -> Result<Plan> {
        let words = ["kubectl-etcdbackup", "create"].into_iter().chain(line.split_whitespace());
        let Command::Create(args) = Cli::try_parse_from(words).unwrap().command else { unreachable!() };
        Plan::new(&args, None, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    #[test]
    fn the_object_of_dialect_a() {
        let plan = plan("etcd-a --bucket s3://etcd-backups --prefix team").unwrap();
        let want = serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
            "metadata": {"name": "etcd-a-20260102-030405", "labels": {"etcd_cluster": "etcd-a"}},
            "spec": {"clusterName": "etcd-a", "storageType": "S3",
                     "s3": {"s3Bucket": "etcd-backups", "prefix": "team", "awsSecret": "aws-credential"}}
        });
        assert_eq!(serde_json::to_value(plan.backup).unwrap(), want);
        assert_eq!(plan.credentials, Credentials::Named);
    }

    #[test]
    fn credentials_are_made_named_or_ambient() {
        assert_eq!(plan("a --bucket bbb --with-credentials").unwrap().credentials, Credentials::Make);
        assert_eq!(plan("a --bucket bbb --profile x").unwrap().credentials, Credentials::Make);
        let ambient = plan("a --bucket bbb --ambient").unwrap();
        assert_eq!(ambient.backup.spec.s3.unwrap().aws_secret, "");
    }

    #[test]
    fn names_that_would_be_refused_are_refused_here() {
        for line in ["A --bucket bbb", "etcd_a --bucket bbb", "a"] {
            assert_eq!(plan(line).unwrap_err().kind(), ErrorKind::Usage, "{line}");
        }
    }
}
