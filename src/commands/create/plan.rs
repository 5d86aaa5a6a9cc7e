//! What `create` means to have, decided from its arguments alone; [`form`](super::form) writes it.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::credentials::SECRET;
use super::{ApiDialect, Args};
use crate::api::etcdbackup::{CLUSTER_LABEL, Kubeadm, PERSISTENT_VOLUME, S3};
use crate::api::{EtcdBackupSpec, S3Source, names};
use crate::error::{Error, Result};
use crate::snapshot::Layout;

/// The cluster's name where `--kubeadm` is given without one: kubeadm's own default.
///
/// Source: kubernetes/kubernetes, cmd/kubeadm/app/apis/kubeadm/v1beta4/defaults.go (`DefaultClusterName`).
const KUBEADM_CLUSTER: &str = "kubernetes";

/// Where the credentials of the backup come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Made in the same call.
    Make,
    /// A Secret that has to be there.
    Named,
    /// None: the pod's own identity, or storage that needs none.
    Ambient,
}

/// The object, and what has to be there before it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub cluster: String,
    pub metadata: ObjectMeta,
    /// As the flags say it, whatever the API server keeps.
    pub spec: EtcdBackupSpec,
    pub credentials: Credentials,
    /// `yyyymmdd-hhmmss`, UTC.
    pub time: String,
    /// Whether the name was made from the time, and another one would do as well.
    pub timed: bool,
    /// Whether there will be more than one backup.
    pub repeats: bool,
}

impl Plan {
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a name that Kubernetes or the CRD would refuse, for
    /// what is missing, and for flags that contradict each other.
    pub(super) fn new(args: &Args, namespace: Option<&str>, now: jiff::Timestamp) -> Result<Self> {
        check(args)?;
        check_used(args)?;
        let cluster = match (&args.cluster, args.kubeadm) {
            (Some(cluster), _) => cluster.clone(),
            (None, true) => KUBEADM_CLUSTER.to_owned(),
            (None, false) => return Err(missing("CLUSTER")),
        };
        names::check_cluster_name(&cluster)?;
        let credentials = match (args.ambient || args.storage.is_volume(), args.with_credentials || args.from.given()) {
            (true, _) => Credentials::Ambient,
            (false, true) => Credentials::Make,
            (false, false) => Credentials::Named,
        };
        let repeats = args.policy.repeats();
        let time = now.strftime("%Y%m%d-%H%M%S").to_string();
        let timed = args.name.is_none() && !repeats;
        let name = match (&args.name, repeats) {
            (Some(name), _) => name.clone(),
            (None, true) => cluster.clone(),
            (None, false) => format!("{cluster}-{time}"),
        };
        let metadata = ObjectMeta {
            name: Some(name),
            namespace: namespace.map(str::to_owned),
            labels: Some(BTreeMap::from([(CLUSTER_LABEL.to_owned(), cluster.clone())])),
            ..ObjectMeta::default()
        };
        let spec = spec(args, &cluster, credentials)?;
        Ok(Self { cluster, metadata, spec, credentials, time, timed, repeats })
    }
}

/// Flags that exclude each other in ways that clap cannot tell.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) naming them.
pub(super) fn check(args: &Args) -> Result<()> {
    args.storage.check(args.s3_given())?;
    if args.apply && args.name.is_none() && !args.policy.repeats() {
        return Err(missing("--name, because --apply updates an object of that name"));
    }
    if args.timeout.is_some() && !args.wait {
        return Err(Error::usage("--timeout needs --wait").hint("the time of the backup itself is --backup-timeout"));
    }
    if args.api == ApiDialect::Cluster && !args.etcd_endpoints.is_empty() {
        return Err(Error::usage("--api cluster cannot be used with --etcd-endpoints").hint("leave --api out"));
    }
    if args.kubeadm && args.api == ApiDialect::Endpoints {
        return Err(Error::usage("--api endpoints cannot be used with --kubeadm").hint("leave --api out"));
    }
    if args.kms_key_id.is_some() && args.server_side_encryption.as_deref() != Some("aws:kms") {
        return Err(Error::usage("--kms-key-id needs --server-side-encryption aws:kms"));
    }
    Ok(())
}

/// Flags that nothing would read. Answers may still give them a meaning, so this comes after the questions.
fn check_used(args: &Args) -> Result<()> {
    let makes = args.with_credentials || args.from.given();
    if let Some(flag) = args.configmap.given().filter(|_| !makes) {
        return Err(Error::usage(format!("{flag} needs --with-credentials")).hint("leave it out: no ConfigMap is made"));
    }
    if args.force_conflicts && !args.apply && !makes {
        return Err(Error::usage("--force-conflicts needs --apply or --with-credentials")
            .hint("leave it out: nothing that exists is changed"));
    }
    Ok(())
}

fn missing(what: &str) -> Error {
    Error::usage(format!("required: {what}")).hint("see 'kubectl etcdbackup create --help' for usage")
}

fn spec(args: &Args, cluster: &str, credentials: Credentials) -> Result<EtcdBackupSpec> {
    let persistent_volume = args.storage.volume();
    let s3 = match persistent_volume {
        Some(_) => None,
        None => Some(s3_source(args, credentials)?),
    };
    let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
    let by_name = args.etcd_endpoints.is_empty() && !args.kubeadm;
    Ok(EtcdBackupSpec {
        cluster_name: if by_name { cluster.to_owned() } else { String::new() },
        etcd_endpoints: args.etcd_endpoints.clone(),
        kubeadm: args.kubeadm.then(Kubeadm::default),
        client_tls_secret: text(&args.client_tls_secret),
        client_auth_secret: text(&args.client_auth_secret),
        storage_type: if s3.is_some() { S3 } else { PERSISTENT_VOLUME }.to_owned(),
        s3,
        persistent_volume,
        backup_policy: args.policy.policy(),
        service_account_name: text(&args.service_account),
        ..EtcdBackupSpec::default()
    })
}

fn s3_source(args: &Args, credentials: Credentials) -> Result<S3Source> {
    let place = &args.s3;
    if place.bucket.is_none() && place.path.is_none() {
        return Err(missing("--bucket NAME, or for a PersistentVolume --claim NAME or --volume-size SIZE"));
    }
    let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
    Ok(S3Source {
        s3_bucket: text(&place.bucket),
        prefix: text(&place.prefix),
        path: text(&place.path),
        aws_secret: match credentials {
            Credentials::Ambient => String::new(),
            Credentials::Make | Credentials::Named => args.secret_name().to_owned(),
        },
        endpoint: text(&place.endpoint_url),
        force_path_style: place.force_path_style,
        region: text(&place.region),
        ca_secret: text(&args.ca_secret),
        server_side_encryption: text(&args.server_side_encryption),
        kms_key_id: text(&args.kms_key_id),
        layout: place.layout.filter(|layout| *layout != Layout::Unversioned),
    })
}

impl Args {
    /// The first flag that was given and is about S3.
    fn s3_given(&self) -> Option<&'static str> {
        let given = [
            ("--ca-secret", self.ca_secret.is_some()),
            ("--server-side-encryption", self.server_side_encryption.is_some()),
            ("--kms-key-id", self.kms_key_id.is_some()),
            ("--secret", self.secret.is_some()),
            ("--ambient", self.ambient),
            ("--with-credentials", self.with_credentials),
            ("a flag of an AWS profile", self.from.given()),
        ];
        self.s3.first_given().or_else(|| given.into_iter().find_map(|(flag, given)| given.then_some(flag)))
    }

    /// The Secret that the object names.
    pub(super) fn secret_name(&self) -> &str {
        self.secret.as_deref().unwrap_or(SECRET)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::error::ErrorKind;

    pub(in super::super) fn plan(line: &str) -> Result<Plan> {
        let words = ["kubectl-etcdbackup", "create"].into_iter().chain(line.split_whitespace());
        let Command::Create(args) = Cli::try_parse_from(words).unwrap().command else { unreachable!() };
        Plan::new(&args, None, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    #[test]
    fn a_run_is_named_after_cluster_and_time() {
        let plan = plan("etcd-a --bucket s3://etcd-backups --prefix team").unwrap();
        let want = json!({"name": "etcd-a-20260102-030405", "labels": {"etcd_cluster": "etcd-a"}});
        assert_eq!(serde_json::to_value(plan.metadata).unwrap(), want);
        let want = json!({"clusterName": "etcd-a", "storageType": "S3",
            "s3": {"s3Bucket": "etcd-backups", "prefix": "team", "awsSecret": "aws-credential"}});
        assert_eq!(serde_json::to_value(plan.spec).unwrap(), want);
        assert_eq!((plan.credentials, plan.timed), (Credentials::Named, true));
    }

    #[test]
    fn a_schedule_is_named_after_its_cluster() {
        let every = plan("etcd-a --bucket bbb --every 30m --keep 5 --suspend --backup-timeout 2m").unwrap();
        assert_eq!((every.metadata.name.as_deref(), every.timed), (Some("etcd-a"), false));
        let want = json!({"backupIntervalInSecond": 1800, "maxBackups": 5, "suspend": true, "timeoutInSecond": 120});
        assert_eq!(serde_json::to_value(every.spec.backup_policy).unwrap(), want);
        let words = ["kubectl-etcdbackup", "create", "a", "--bucket=bbb", "--schedule=0 3 * * *", "--time-zone=UTC"];
        let Command::Create(args) = Cli::try_parse_from(words).unwrap().command else { unreachable!() };
        let daily = Plan::new(&args, None, jiff::Timestamp::UNIX_EPOCH).unwrap().spec.backup_policy;
        assert_eq!(serde_json::to_value(daily).unwrap(), json!({"schedule": "0 3 * * *", "timeZone": "UTC"}));
    }

    #[test]
    fn kubeadm_needs_no_cluster() {
        let plan = plan("--kubeadm --bucket bbb --every 1h").unwrap();
        assert_eq!((plan.cluster.as_str(), plan.metadata.name.as_deref()), ("kubernetes", Some("kubernetes")));
        let spec = serde_json::to_value(plan.spec).unwrap();
        assert_eq!((&spec["kubeadm"], spec.get("clusterName")), (&json!({}), None));
    }

    #[test]
    fn every_other_flag_has_its_field() {
        let spec = plan(
            "etcd-a --etcd-endpoints https://a:2379,https://b:2379 --client-tls-secret tls --client-auth-secret auth \
             --path bbb/k/e --region r --endpoint-url https://s3 --force-path-style --ca-secret ca \
             --server-side-encryption aws:kms --kms-key-id key --service-account sa --secret mine",
        );
        let want = json!({"etcdEndpoints": ["https://a:2379", "https://b:2379"], "clientTLSSecret": "tls",
            "clientAuthSecret": "auth", "storageType": "S3", "serviceAccountName": "sa",
            "s3": {"path": "bbb/k/e", "awsSecret": "mine", "region": "r", "endpoint": "https://s3", "forcePathStyle": true,
                "caSecret": "ca", "serverSideEncryption": "aws:kms", "kmsKeyID": "key"}});
        assert_eq!(serde_json::to_value(spec.unwrap().spec).unwrap(), want);
    }

    #[test]
    fn a_volume_is_a_claim_that_is_there_or_one_that_is_made_and_needs_no_credentials() {
        let spec = |line: &str| {
            let plan = plan(line).unwrap();
            assert_eq!(plan.credentials, Credentials::Ambient, "{line}");
            serde_json::to_value(plan.spec).unwrap()
        };
        let volume = |volume: serde_json::Value| json!({"clusterName": "a", "storageType": "PersistentVolume", "persistentVolume": volume});
        assert_eq!(spec("a --storage-type persistentvolume --claim disk-7"), volume(json!({"claimName": "disk-7"})));
        let made = volume(json!({"volumeSizeInMB": 10240, "storageClass": "fast"}));
        assert_eq!(spec("a --volume-size 10Gi --storage-class fast"), made);
    }

    #[test]
    fn credentials_are_made_named_or_ambient() {
        assert_eq!(plan("a --bucket bbb --with-credentials").unwrap().credentials, Credentials::Make);
        assert_eq!(plan("a --bucket bbb --profile x").unwrap().credentials, Credentials::Make);
        let ambient = plan("a --bucket bbb --ambient").unwrap();
        assert_eq!(ambient.spec.s3.unwrap().aws_secret, "");
    }

    #[test]
    fn what_would_be_refused_or_ignored_is_refused_here() {
        for line in [
            "A --bucket bbb",
            "etcd_a --bucket bbb",
            "a",
            "--bucket bbb",
            "a --bucket bbb --apply",
            "a --bucket bbb --api cluster --etcd-endpoints https://e:2379",
            "--kubeadm --bucket bbb --api endpoints",
            "a --bucket bbb --kms-key-id k",
            "a --storage-type PersistentVolume",
            "a --claim c --bucket bbb",
            "a --claim c --ambient",
            "a --claim c --profile x",
            "a --storage-type S3 --claim c --bucket bbb",
            "a --bucket bbb --kms-key-id k --server-side-encryption AES256",
        ] {
            assert_eq!(plan(line).unwrap_err().kind(), ErrorKind::Usage, "{line}");
        }
    }

    #[test]
    fn flags_that_exclude_each_other_are_told_apart_by_clap() {
        for line in [
            "a --bucket bbb --every 1h --wait",
            "a --bucket bbb --every 1h --schedule @daily",
            "a --bucket bbb --time-zone UTC",
            "a --bucket bbb --keep 0",
            "a --claim c --volume-size 1Gi",
            "a --claim c --storage-class fast",
            "a --volume-size 512",
            "a --kubeadm --bucket bbb --etcd-endpoints https://e:2379",
            "a --bucket bbb --etcd-endpoints e:2379",
            "a --bucket bbb --ambient --secret x",
        ] {
            let words = ["kubectl-etcdbackup", "create"].into_iter().chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
