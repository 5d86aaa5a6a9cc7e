//! `volume rollback`: back to the volumes before a restore.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::{session, under_way};
use crate::cli::Ui;
use crate::cli::flags::parse_duration;
use crate::error::Result;
use crate::volume::flags::AwsFlags;
use crate::volume::plan::file;
use crate::volume::rollback;
use crate::volume::run::{Position, Run};

/// Go back to the volumes before a restore
///
/// Takes snapshots of the restored volumes, stops the control plane, waits until
/// every instance is terminated and every volume available, gives the old volumes
/// their tags again, and starts it. It works after a restore and in the middle of
/// one, until volume cleanup has deleted the old volumes.
///
/// What was written since the restore stays on the volumes taken out of use and in
/// those snapshots. A plan that was rolled back is used up: make another one.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Plan of the restore
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
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
  # has you type the name of the cluster
  kubectl etcdbackup volume rollback plan.json

  # without a question
  kubectl etcdbackup volume rollback plan.json --yes

  # with another profile
  kubectl etcdbackup volume rollback plan.json --profile production

  # an instance is gone, and its volume stays attached
  kubectl etcdbackup volume rollback plan.json --force-detach

  # instances that drain for a long time
  kubectl etcdbackup volume rollback plan.json --timeout 2h

RBAC: none in Kubernetes. In AWS those of volume restore, but for
ec2:CreateVolume

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// As [`file::read`] and [`rollback::run`].
pub async fn run(args: Args, ui: &Ui) -> Result<()> {
    let plan = file::read(&args.plan)?;
    under_way::refuse_unasked("rollback", args.yes)?;
    let compute = super::until_interrupted(session::open_for(&plan, &args.aws, ui)).await?;
    ui.say(format!("rollback of the restore {} of cluster {}", plan.run, plan.cluster));
    ui.warn("what was written since the restore stays on the volumes that go out of use");
    for disk in plan.disks.iter().filter(|disk| disk.old.is_none()) {
        ui.warn(format!("{} had no volume before the restore, and has none after this", plan.disk(disk)));
    }
    if !args.yes {
        under_way::confirm(&plan, "The control plane stops.").await?;
    }
    let (position, talk) = (Position::default(), under_way::Timed(ui));
    let (timeout, force_detach) = (args.timeout, args.force_detach);
    let under_way = Run { compute: &compute, plan: &plan, talk: &talk, timeout, force_detach, position: &position };
    let disks = under_way::to_the_end(rollback::run(&under_way), &position, None).await?;
    if disks.iter().all(|disk| disk.new.is_none()) {
        ui.say("there was nothing to roll back");
    }
    under_way::print(&disks, ui)
}
