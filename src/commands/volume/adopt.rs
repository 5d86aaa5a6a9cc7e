//! `volume adopt`: tags what bsycorp/etcd-backup left behind.

use clap::Args as ClapArgs;

use super::session;
use super::shown::count;
use crate::cli::Ui;
use crate::commands::list::table::Table;
use crate::error::Result;
use crate::volume::adopt::{self, Adoption};
use crate::volume::flags::AwsFlags;

/// Adopt the snapshots that bsycorp/etcd-backup took
///
/// That script knows its snapshots by the volume, so after a restore the old
/// ones are never expired. With the tags of this program they show in list, and
/// expire with all others. What began within 10 minutes becomes one set.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Only snapshots of this cluster of kops
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Tag nothing; print what would be adopted
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # what would be adopted
  kubectl etcdbackup volume adopt --dry-run

  # all of the account in its region
  kubectl etcdbackup volume adopt

  # those of one cluster
  kubectl etcdbackup volume adopt --cluster-name k.example.com

  # another region, and in no other account
  kubectl etcdbackup volume adopt --region eu-west-1 --account 123456789012

  # only the ids
  kubectl etcdbackup volume adopt -q | cut -d ' ' -f 1

RBAC: none; AWS: ec2:DescribeSnapshots, ec2:DescribeVolumes, ec2:CreateTags

It may be run again: what has been adopted stays in its set.

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// As [`session::open`], [`adopt::find`] and [`adopt::adopt`].
pub(super) async fn run(args: Args, ui: &Ui) -> Result<()> {
    let compute = session::open(&args.aws, ui).await?;
    let plan = adopt::find(&compute, args.cluster_name.as_deref()).await?;
    plan.refused.iter().for_each(|reason| ui.warn(format!("not adopted: {reason}")));
    if plan.adoptions.is_empty() {
        let before = if plan.before > 0 { format!(", {} are already", plan.before) } else { String::new() };
        ui.say(format!("No snapshots to adopt in {}{before}.", compute.region));
        return Ok(());
    }
    if args.dry_run {
        return ui.data(table(&plan.adoptions));
    }
    let line = |one: &Adoption| ui.data(format!("{} adopted ({}, set {})", one.id, one.disk, one.set));
    adopt::adopt(&compute, &plan, line).await?;
    ui.say(format!("adopted {}", count(plan.adoptions.len(), "snapshot")));
    Ok(())
}

fn table(adoptions: &[Adoption]) -> String {
    let mut table = Table::new(&["SNAPSHOT", "DISK", "SET", "STARTED"], true);
    for one in adoptions {
        let started = one.started.map(|started| started.to_string()).unwrap_or_default();
        table.row(vec![one.id.clone(), one.disk.to_string(), one.set.clone(), started]);
    }
    table.render()
}
