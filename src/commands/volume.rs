//! `volume`: EBS snapshots of etcd's disks, and the way back. Only a schedule needs Kubernetes, which may be what is being
//! restored.

mod adopt;
mod cleanup;
mod iam_policy;
mod keep;
mod list;
mod old_job;
mod plan;
mod prune;
mod restore;
mod rollback;
mod schedule;
mod session;
mod shown;
mod snapshot;
mod under_way;

pub use old_job::words;

use clap::Subcommand;

use super::until_interrupted;
use crate::cli::{KubeFlags, Ui};
use crate::error::Result;

/// EBS snapshots of the volumes of etcd: take, list, expire, restore
///
/// For clusters whose members keep their data on EBS volumes of their own, as
/// kops has them. It talks to AWS with your own credentials, and to no API
/// server. The snapshots of one run are a set: only a whole set is a backup.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub enum Volume {
    Snapshot(snapshot::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Prune(prune::Args),
    Adopt(adopt::Args),
    Plan(plan::Args),
    Restore(restore::Args),
    Rollback(rollback::Args),
    Cleanup(cleanup::Args),
    Schedule(Box<schedule::Args>),
    IamPolicy(iam_policy::Args),
}

const EXAMPLES: &str = "\
Examples:
  # all members of all etcds of the one cluster of kops in this region
  kubectl etcdbackup volume snapshot --wait

  # what there is
  kubectl etcdbackup volume list

  # what would expire, and why
  kubectl etcdbackup volume prune --keep-last 8 --keep-daily 7 --dry-run

  # what bsycorp/etcd-backup left behind, so that it expires too
  kubectl etcdbackup volume adopt

  # what a restore of the newest complete set would do
  kubectl etcdbackup volume plan --cluster-name k8s.example.com

  # do it; after an interruption the same again goes on
  kubectl etcdbackup volume restore plan.json

  # back to the volumes before
  kubectl etcdbackup volume rollback plan.json

  # a week later, delete them
  kubectl etcdbackup volume cleanup plan.json --yes

  # what a schedule needs of IAM, and the schedule: every 3 hours, a day is kept
  kubectl etcdbackup volume iam-policy --cluster-name k8s.example.com
  kubectl etcdbackup volume schedule --cluster-name k8s.example.com \\
    --role-arn arn:aws:iam::111122223333:role/etcd-volumes --apply

RBAC: none, but for schedule --apply; AWS permissions: volume iam-policy

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// The command's own.
pub async fn run(volume: Volume, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    match volume {
        Volume::Snapshot(args) => snapshot::run(args, ui).await,
        Volume::List(args) => until_interrupted(list::run(args, ui)).await,
        Volume::Prune(args) => until_interrupted(prune::run(args, ui)).await,
        Volume::Adopt(args) => until_interrupted(adopt::run(args, ui)).await,
        Volume::Plan(args) => until_interrupted(plan::run(args, ui)).await,
        Volume::Restore(args) => restore::run(args, ui).await,
        Volume::Rollback(args) => rollback::run(args, ui).await,
        Volume::Cleanup(args) => until_interrupted(cleanup::run(args, ui)).await,
        Volume::Schedule(args) => until_interrupted(schedule::run(*args, kube, ui)).await,
        Volume::IamPolicy(args) => iam_policy::run(&args, ui),
    }
}
