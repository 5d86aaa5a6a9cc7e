//! `volume restore`: does what a plan says, or what is left of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::plan::text;
use super::{session, under_way};
use crate::cli::Ui;
use crate::cli::flags::parse_duration;
use crate::error::Result;
use crate::volume::flags::AwsFlags;
use crate::volume::plan::{Plan, file};
use crate::volume::restore::{self, Options};
use crate::volume::run::{Position, Run};

/// Restore a whole etcd from EBS snapshots, as planned
///
/// Proves with dry runs that every step is allowed, takes snapshots of the old
/// volumes, and makes the new ones. Only then the control plane stops: its Auto
/// Scaling groups go to no instance, the old volumes lose their tags of kops, the
/// new ones get them, and the groups have their sizes again.
///
/// Run the same command again after an error or an interruption: it goes on where
/// it was. No volume is deleted, and volume rollback goes back.
///
/// Do not run kops update cluster meanwhile: it would start the control plane and
/// make blank volumes.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Plan that volume plan wrote
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Fill new volumes at this rate in MiB/s, 100 to 300; else a block comes when
    /// it is first read
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(i32).range(100..=300))]
    initialization_rate: Option<i32>,
    /// Delete the old volumes in the end: there is no way back then
    #[arg(long)]
    delete_old_volumes: bool,
    /// Take no snapshots of the old volumes first
    #[arg(long)]
    skip_safety_snapshot: bool,
    /// Detach volumes by force that stay attached to instances that are gone
    #[arg(long)]
    force_detach: bool,
    /// Longest time of each wait
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # shows the plan, and has you type the name of the cluster
  kubectl etcdbackup volume restore plan.json

  # without a question
  kubectl etcdbackup volume restore plan.json --yes

  # etcd is fast from the start: a volume of 20 GiB takes 2 minutes
  kubectl etcdbackup volume restore plan.json --initialization-rate 200

  # an instance is gone, and its volume stays attached
  kubectl etcdbackup volume restore plan.json --force-detach

  # nothing of the old state shall stay
  kubectl etcdbackup volume restore plan.json --delete-old-volumes

RBAC: none in Kubernetes. In AWS those of volume plan, ec2:DescribeInstances,
ec2:CreateSnapshot, ec2:CreateVolume, ec2:CreateTags, ec2:DeleteTags,
autoscaling:UpdateAutoScalingGroup; for encrypted volumes kms:CreateGrant,
kms:Decrypt, kms:DescribeKey, kms:GenerateDataKeyWithoutPlaintext;
ec2:DetachVolume with --force-detach, ec2:DeleteVolume with --delete-old-volumes

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// As [`file::read`] and [`restore::run`].
pub async fn run(args: Args, ui: &Ui) -> Result<()> {
    let plan = file::read(&args.plan)?;
    under_way::refuse_unasked("restore", args.yes)?;
    let compute = super::until_interrupted(session::open_for(&plan, &args.aws, ui)).await?;
    warn(&args, &plan, ui);
    if !args.yes {
        ui.say(text(&plan));
        under_way::confirm(&plan, "The control plane stops.").await?;
    }
    let options = Options {
        initialization_rate: args.initialization_rate,
        skip_safety: args.skip_safety_snapshot,
        delete_old: args.delete_old_volumes,
    };
    let (position, talk) = (Position::default(), under_way::Timed(ui));
    let (timeout, force_detach) = (args.timeout, args.force_detach);
    let under_way = Run { compute: &compute, plan: &plan, talk: &talk, timeout, force_detach, position: &position };
    let back = format!("kubectl etcdbackup volume rollback {}", args.plan.display());
    let work = restore::run(&under_way, &options);
    let disks = under_way::to_the_end(work, &position, Some(back.clone())).await?;
    under_way::print(&disks, ui)?;
    afterwards(&args, &plan, &back, ui);
    Ok(())
}

fn warn(args: &Args, plan: &Plan, ui: &Ui) {
    ui.say(format!("restore {} of cluster {} to the set {}", plan.run, plan.cluster, plan.set));
    plan.warnings.iter().for_each(|warning| ui.warn(warning));
    ui.warn("do not run kops update cluster until this has ended: it starts the groups and makes blank volumes");
    ui.warn("what selects the old volumes by the tags of kops, as policies of Data Lifecycle Manager, loses them");
    if args.initialization_rate.is_none() {
        ui.warn("a new volume fetches each block when it is first read: etcd is slow at first; --initialization-rate fills it");
    }
}

fn afterwards(args: &Args, plan: &Plan, back: &str, ui: &Ui) {
    ui.hint("revisions went backwards: restart controllers and operators that watch the API");
    ui.hint("kubectl get endpointslices -n default shows API servers that are gone until their leases in etcd end");
    if !args.delete_old_volumes {
        let cluster = &plan.cluster;
        ui.hint(format!("{back} goes back; kubectl etcdbackup volume cleanup --cluster-name {cluster} shows what may be deleted later"));
    }
}
