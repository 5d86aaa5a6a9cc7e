//! `cassandra`: backups of Cassandra, by the operators that make them.

mod backup;
mod datacenter;
mod env;
mod files;
pub mod list;
mod place;
mod proof;
mod restore_snippet;
mod secret;
pub mod verify;
mod wait;

use clap::Subcommand;

use super::until_interrupted;
use crate::cli::{KubeFlags, Ui};
use crate::error::Result;

/// Backups of Cassandra: make them, and see whether the bucket has them whole
///
/// For the operators of Instaclustr and Elassandra, and for Medusa as K8ssandra
/// runs it. Which of them is there is told by the API groups that are served.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub enum Cassandra {
    Secret(secret::Args),
    Env(env::Args),
    Backup(backup::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Verify(verify::Args),
    RestoreSnippet(restore_snippet::Args),
}

const EXAMPLES: &str = "\
Examples:
  # the Secret with the keys of the bucket, from ~/.aws
  kubectl etcdbackup cassandra secret awsbackuptest -n ring

  # the variables that name it, as YAML
  kubectl etcdbackup cassandra env dc1 --secret awsbackuptest \\
    --region us-west-2

  # a backup, and whether the bucket has it
  kubectl etcdbackup cassandra backup dc1 --location s3://ring-backups --wait \\
    -n ring

  # the tags that are stored, and whether one is whole
  kubectl etcdbackup cassandra list --location s3://ring-backups
  kubectl etcdbackup cassandra verify nightly --location s3://ring-backups

  # what would restore it, to look at and to apply
  kubectl etcdbackup cassandra restore-snippet nightly --datacenter dc1 \\
    --location s3://ring-backups -n ring

RBAC: each command's --help names what it needs

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// Those of the verb.
pub async fn run(command: Cassandra, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    match command {
        Cassandra::Secret(args) => until_interrupted(secret::run(args, kube, ui)).await,
        Cassandra::Env(args) => until_interrupted(env::run(args, kube, ui)).await,
        Cassandra::Backup(args) => until_interrupted(backup::run(args, kube, ui)).await,
        Cassandra::List(args) => until_interrupted(list::run(args, kube, ui)).await,
        Cassandra::Verify(args) => until_interrupted(verify::run(args, kube, ui)).await,
        Cassandra::RestoreSnippet(args) => until_interrupted(restore_snippet::run(args, kube, ui)).await,
    }
}
