//! The command line: definitions, global flags, and the one place that prints.

pub mod completion;
pub mod flags;
pub mod output;
pub mod progress;
pub mod ui;
pub mod usage;
mod words;

use clap::{Parser, Subcommand};

pub use flags::{KubeFlags, S3Flags, S3ReadFlags, TalkFlags};
pub use output::{DocumentFormat, OutputFormat, TableFormat};
pub use ui::Ui;

use crate::{commands, operator};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    general: network, disk, an existing target
  2    wrong usage; nothing was contacted
  3    not found, or more than one where one was meant
  4    bytes that fail proof; no file was written
  5    credentials or permission
  6    timed out
  7    the backup failed in the cluster
  130  interrupted";

const EXAMPLES: &str = "\
Examples:
  # once: the operator, and your AWS credentials
  kubectl etcdbackup install -n databases
  kubectl etcdbackup credentials -n databases

  # back up an etcd cluster now, and wait for the outcome
  kubectl etcdbackup create etcd-a -n databases --bucket etcd-backups --wait

  # its newest snapshot to a file, proved
  kubectl etcdbackup get etcd-a -n databases

  # the same when Kubernetes is gone
  kubectl etcdbackup get etcd-a -n databases --from s3 --bucket etcd-backups

RBAC: each command's --help names what it needs";

/// Back up etcd, and get it back, verified
///
/// Snapshots go to S3 or to a PersistentVolume, and EBS volumes of etcd can be
/// snapshotted and restored. The plugin talks to the API server with your
/// kubeconfig, and to AWS with your credentials or those of a Secret. The
/// operator runs the backups in the cluster. A file with a final name is
/// complete and verified.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-etcdbackup",
    bin_name = "kubectl etcdbackup",
    version,
    after_help = EXIT_CODES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    disable_help_subcommand = true,
    disable_version_flag = true,
    // kubectl's help is plain, and nobody needs to switch colours off
    color = clap::ColorChoice::Never,
    max_term_width = 80
)]
pub struct Cli {
    #[command(flatten)]
    pub kube: KubeFlags,
    #[command(flatten)]
    pub talk: TalkFlags,
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs. `agent` and `operator` run in the cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    Credentials(commands::credentials::Args),
    Create(commands::create::Args),
    #[command(visible_alias = "download")]
    Get(commands::get::Args),
    #[command(visible_alias = "ls")]
    List(commands::list::Args),
    Verify(commands::verify::Args),
    Describe(commands::describe::Args),
    Convert(commands::convert::Args),
    #[command(subcommand)]
    Cassandra(commands::cassandra::Cassandra),
    Install(commands::install::Args),
    Uninstall(commands::uninstall::Args),
    Check(commands::check::Args),
    #[cfg(feature = "volumes")]
    #[command(subcommand)]
    Volume(commands::volume::Volume),
    Completion(commands::completion::Args),
    Version(commands::version::Args),
    Operator(operator::args::Args),
    #[command(subcommand)]
    Agent(commands::agent::Agent),
}

impl Command {
    /// Whether this is a role of the cluster, whose log is for people who were not there.
    pub fn runs_in_cluster(&self) -> bool {
        matches!(self, Self::Operator(_) | Self::Agent(_))
    }
}
