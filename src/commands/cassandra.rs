//! `cassandra`: backups of Cassandra, by the operators that make them.

pub mod list;
mod place;
pub mod verify;

use clap::Subcommand;

use super::until_interrupted;
use crate::cli::{KubeFlags, Ui};
use crate::error::Result;

/// Backups of Cassandra clusters: what is stored, and whether it is whole
///
/// For Elassandra's operator, instaclustr's, and Medusa as K8ssandra runs it.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub enum Cassandra {
    #[command(visible_alias = "ls")]
    List(list::Args),
    Verify(verify::Args),
}

const EXAMPLES: &str = "\
Examples:
  # the tags that are stored
  kubectl etcdbackup cassandra list --location s3://cassandra-backups

  # only those of one datacenter
  kubectl etcdbackup cassandra list --location s3://cassandra-backups \\
    --cassandra-cluster orders --datacenter dc1

  # is this one whole?
  kubectl etcdbackup cassandra verify nightly --location s3://cassandra-backups

  # the same, where the cluster is known to have six nodes
  kubectl etcdbackup cassandra verify nightly --location s3://cassandra-backups \\
    --nodes 6

  # for a script
  kubectl etcdbackup cassandra verify nightly --location s3://cassandra-backups \\
    -o json | jq .complete

RBAC: none; each command's --help names what its flags need

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// Those of the verb.
pub async fn run(command: Cassandra, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    match command {
        Cassandra::List(args) => until_interrupted(list::run(args, kube, ui)).await,
        Cassandra::Verify(args) => until_interrupted(verify::run(args, kube, ui)).await,
    }
}
