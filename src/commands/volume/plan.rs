//! `volume plan`: what a restore would do, with every id, into a file. It changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::Timestamp;

use super::session;
use crate::cli::Ui;
use crate::cli::flags::parse_duration;
use crate::commands::list::table::Table;
use crate::error::Result;
use crate::volume::flags::AwsFlags;
use crate::volume::plan::choose::Which;
use crate::volume::plan::{Plan, Wish, file, find, make, new_run};

/// Plan the restore of a whole etcd from a set of EBS snapshots
///
/// Looks at the snapshots, volumes, Auto Scaling groups and zones, refuses what
/// cannot end well, writes the plan to a file and prints it. Nothing is changed.
///
/// A set comes back as a whole: every member of every etcd in it. The newest
/// complete one is taken unless you name another. Old volumes stay until you
/// delete them with volume cleanup.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Cluster to restore, as kops names it; needed when there are several
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Set of snapshots to restore; volume list shows them
    #[arg(long, value_name = "ID", group = "which")]
    set: Option<String>,
    /// Restore the newest complete set (the default)
    #[arg(long, group = "which")]
    latest: bool,
    /// Restore the newest complete set before this time, as 2026-02-03T04:05:06Z
    #[arg(long, value_name = "TIME", group = "which")]
    before: Option<Timestamp>,
    /// Longest time between the first and the last snapshot of the set
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    max_spread: Duration,
    /// Make volumes of zone OLD in zone NEW, may be repeated
    #[arg(long, value_name = "OLD=NEW", value_parser = parse_zones)]
    az_map: Vec<(String, String)>,
    /// Auto Scaling group to stop as well, may be repeated; kops' own are found
    #[arg(long, value_name = "NAME")]
    asg: Vec<String>,
    /// File to write the plan to
    #[arg(long, value_name = "FILE", default_value = "plan.json")]
    out: PathBuf,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # the newest complete set of the only cluster, to plan.json
  kubectl etcdbackup volume plan

  # of one cluster of several, in a region of your choice
  kubectl etcdbackup volume plan --cluster-name k.example.com --region us-east-1

  # the state before somebody deleted a namespace
  kubectl etcdbackup volume plan --before 2026-02-03T04:05:06Z --out before.json

  # this set; zone a is down, and its master has been moved to zone d
  kubectl etcdbackup volume plan --set 20260203-040506 \\
    --az-map eu-west-1a=eu-west-1d

  # with a group that does not have the tags of kops
  kubectl etcdbackup volume plan --asg masters-a --account 123456789012

RBAC: none in Kubernetes. In AWS: ec2:DescribeSnapshots, ec2:DescribeVolumes,
ec2:DescribeAvailabilityZones, autoscaling:DescribeAutoScalingGroups,
autoscaling:DescribeInstanceRefreshes, autoscaling:DescribeLifecycleHooks

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// As [`find`], [`make`] and [`file::write`].
pub async fn run(args: Args, ui: &Ui) -> Result<()> {
    let compute = session::open(&args.aws, ui).await?;
    let found = find(&compute, args.cluster_name.as_deref(), &args.asg).await?;
    let which = match (args.set, args.before) {
        (Some(id), _) => Which::Id(id),
        (None, Some(time)) => Which::Before(time),
        (None, None) => Which::Latest,
    };
    let zones: BTreeMap<String, String> = args.az_map.into_iter().collect();
    let now = Timestamp::now();
    let plan = make(&found, &Wish { which, max_spread: args.max_spread, zones }, new_run(now), now)?;
    file::write(&plan, &args.out)?;
    plan.warnings.iter().for_each(|warning| ui.warn(warning));
    ui.say(format!("set {} of cluster {}, restore {}", plan.set, plan.cluster, plan.run));
    ui.data(text(&plan))?;
    ui.say(format!("{} is written, and nothing is changed", args.out.display()));
    ui.hint(format!("kubectl etcdbackup volume restore {} does it", args.out.display()));
    Ok(())
}

/// The plan for people.
pub(super) fn text(plan: &Plan) -> String {
    let mut disks = Table::new(&["DISK", "SNAPSHOT", "TAKEN", "OLD VOLUME", "NEW VOLUME"], true);
    for disk in &plan.disks {
        let new = &disk.new;
        let figure =
            |figure: Option<i32>, unit: &str| figure.map(|figure| format!(" {figure} {unit}")).unwrap_or_default();
        let speed = figure(new.iops, "IOPS") + &figure(new.throughput, "MiB/s");
        disks.row(vec![
            plan.disk(disk).to_string(),
            disk.snapshot.clone(),
            disk.started.map(|started| started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default(),
            disk.old.as_ref().map(|old| old.id.clone()).unwrap_or_default(),
            format!("{} {} GiB{speed} in {}", new.kind, new.size, new.zone),
        ]);
    }
    let mut groups = Table::new(&["AUTO SCALING GROUP", "MIN", "MAX", "DESIRED"], true);
    for (name, size) in &plan.groups {
        groups.row(vec![name.clone(), size.min.to_string(), size.max.to_string(), size.desired.to_string()]);
    }
    format!("{}\n{}", disks.render(), groups.render())
}

fn parse_zones(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("not OLD=NEW, as eu-west-1a=eu-west-1b".to_owned()),
    }
}
