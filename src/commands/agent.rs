//! `agent`: the in-cluster roles that take and serve snapshots.

use clap::Subcommand;

use crate::agent;
use crate::agent::args::{BackupArgs, ServeArgs};
use crate::cli::{KubeFlags, Ui};
use crate::error::Result;

/// In-cluster: take a snapshot into the store, or serve the store over HTTP
///
/// The operator's Jobs and Deployments run these; nobody needs to type them.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub enum Agent {
    Backup(BackupArgs),
    Serve(ServeArgs),
}

const EXAMPLES: &str = "\
Examples:
  # as a Job runs it
  kubectl etcdbackup agent backup --cluster-name etcd-a --bucket etcd-backups \\
    --endpoints http://etcd-a-client:2379

RBAC: none for backup; create on tokenreviews and subjectaccessreviews for serve

Exit codes: see kubectl etcdbackup --help";

/// Runs the role until it is done or told to stop.
///
/// # Errors
/// Those of [`agent::backup::run`], [`agent::serve::run`] and [`Ui::data`].
pub async fn run(agent: Agent, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let namespace = kube.namespace.as_deref().unwrap_or("default");
    match agent {
        Agent::Backup(args) => ui.data(agent::backup::run(&args, namespace).await?),
        Agent::Serve(args) => agent::serve::run(&args, namespace, kube).await,
    }
}
