//! `check`: looks before a backup has to work; one line a check, with what to do.

mod backup;
mod installation;
mod permissions;
mod report;

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::completion::live;
use crate::cli::{DocumentFormat, KubeFlags, S3ReadFlags, Ui};
use crate::error::Result;
use crate::kubernetes::Session;
use report::Report;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Check cluster, operator, permissions, credentials, bucket and sidecar
///
/// One line a check: ok, skipped (and why), warning, or failed with what to do.
/// Nothing is created or changed; only with --write a small object is written
/// where the snapshots of each cluster go, and deleted. The exit code is 0, or the
/// greatest of the exit codes of the failed checks: 3 something is missing,
/// 5 credentials or permission, 7 the newest EtcdBackup of a cluster failed.
///
/// The bucket is listed and read from here, as `get --from s3` would: with the
/// Secret of the EtcdBackup, else the operator's own, else your AWS credentials.
/// The pods have what the EtcdBackup names: that is what the check of the sidecar
/// shows. etcd is not connected to: it listens inside the cluster.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the etcd cluster [default: all that have an EtcdBackup]
    #[arg(value_name = "CLUSTER", add = live::clusters())]
    cluster: Option<String>,
    /// Commands whose permissions are checked
    #[arg(long = "for", value_name = "COMMAND", value_enum, value_delimiter = ',',
          default_values = ["create", "get", "list", "credentials"])]
    commands: Vec<Checked>,
    #[command(flatten)]
    s3: S3ReadFlags,
    /// Write a small object into the bucket too, and delete it again
    #[arg(long)]
    write: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DocumentFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # everything in a namespace
  kubectl etcdbackup check -n etcd

  # one cluster
  kubectl etcdbackup check etcd-a -n etcd

  # before the first backup, with the bucket that is meant
  kubectl etcdbackup check etcd-a --bucket etcd-backups

  # may a backup be written?
  kubectl etcdbackup check etcd-a --write

  # may somebody else download?
  kubectl etcdbackup check etcd-a --for get --as jane

  # in a pipeline
  kubectl etcdbackup check -n etcd -o json

RBAC: none of its own: what may not be read is a failed or skipped check;
selfsubjectaccessreviews are open to everybody who is logged in

Exit codes: see kubectl etcdbackup --help";

/// The commands whose permissions can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Checked {
    Create,
    Get,
    List,
    Credentials,
}

/// Runs the command.
///
/// # Errors
/// Of the kind of the failed check with the greatest exit code.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    if let Some(cluster) = &args.cluster {
        crate::api::names::check_cluster_name(cluster)?;
    }
    let session = Session::connect(kube).await?;
    let mut report = Report::new(ui, args.output.is_none());
    if let Some(operator) = installation::check(&session, &mut report).await? {
        permissions::check(&session, &args.commands, &mut report).await?;
        backup::check(&args, &session, &operator, (kube, ui), &mut report).await?;
    }
    if let Some(format) = args.output {
        ui.document(format.text(&report.value())?)?;
    }
    report.verdict()
}
