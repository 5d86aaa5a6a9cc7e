//! `volume cleanup`: deletes volumes that a restore or a rollback put aside.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::Timestamp;

use super::session;
use crate::cli::Ui;
use crate::cli::flags::parse_duration;
use crate::commands::list::table::{Table, age};
use crate::error::Result;
use crate::volume::cleanup::{self, Verdict};
use crate::volume::flags::AwsFlags;
use crate::volume::plan::{self, file};
use crate::volume::tags;

/// Delete volumes that a restore or a rollback put aside
///
/// Shows which go and which stay, and why; deletes with --yes. It is the only
/// command that deletes a volume, and it deletes none without the mark that this
/// program put it aside, with tags of kops, attached, of a disk that has no
/// volume in use, or of which no snapshot taken first is completed. Volumes
/// deleted here cannot be rolled back to.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Plan of the restore whose volumes go
    #[arg(value_name = "PLAN", required_unless_present = "cluster_name", conflicts_with = "cluster_name")]
    plan: Option<PathBuf>,
    /// Cluster of which volumes of all restores go
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Least time since they were put aside, as 12h or 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_age)]
    older_than: Duration,
    /// Delete
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # what would go
  kubectl etcdbackup volume cleanup --cluster-name k8s.example.com

  # delete what has been put aside for a week
  kubectl etcdbackup volume cleanup --cluster-name k8s.example.com --yes

  # of one restore only
  kubectl etcdbackup volume cleanup plan.json --yes

  # sooner
  kubectl etcdbackup volume cleanup plan.json --older-than 12h --yes

  # whatever its age
  kubectl etcdbackup volume cleanup plan.json --older-than 0 --yes

RBAC: none in Kubernetes. In AWS: ec2:DescribeVolumes, ec2:DescribeSnapshots,
ec2:DeleteVolume, ec2:DeleteTags

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// As [`file::read`], [`cleanup::judge`] and [`cleanup::delete`].
pub async fn run(args: Args, ui: &Ui) -> Result<()> {
    let of = args.plan.as_deref().map(file::read).transpose()?;
    let compute = match &of {
        Some(plan) => session::open_for(plan, &args.aws, ui).await?,
        None => session::open(&args.aws, ui).await?,
    };
    let cluster = of.as_ref().map(|plan| plan.cluster.clone()).or(args.cluster_name).unwrap_or_default();
    let run = of.as_ref().map(|plan| plan.run.as_str());
    let (now, volumes) = (Timestamp::now(), plan::volumes(&compute, &cluster, &[]).await?);
    let verdicts = cleanup::judge(&compute, &volumes, run, args.older_than, now).await?;
    if verdicts.is_empty() {
        ui.say(format!("no volume of cluster {cluster} has been put aside"));
    }
    if !args.yes {
        if !verdicts.is_empty() {
            ui.data(text(&verdicts, now))?;
        }
        if verdicts.iter().any(|verdict| verdict.stays.is_none()) {
            ui.hint("--yes deletes those that go");
        }
        return Ok(());
    }
    let (mut runs, mut left): (BTreeSet<String>, _) = (run.map(str::to_owned).into_iter().collect(), volumes.clone());
    for verdict in &verdicts {
        let volume = &verdict.volume;
        if let Some(reason) = &verdict.stays {
            ui.say(format!("{} stays: {reason}", volume.id));
            continue;
        }
        cleanup::delete(&compute, &volume.id).await?;
        ui.data(format!("volume/{} deleted", volume.id))?;
        runs.extend(volume.tags.get(tags::RESTORE).cloned());
        left.retain(|other| other.id != volume.id);
    }
    cleanup::release(&compute, &runs, &left).await
}

fn text(verdicts: &[Verdict], now: Timestamp) -> String {
    let mut table = Table::new(&["VOLUME", "DISK", "RESTORE", "PUT ASIDE", "WHAT"], true);
    for verdict in verdicts {
        let tag = |key: &str| verdict.volume.tags.get(key).cloned().unwrap_or_default();
        let disk = tags::of_ours(&verdict.volume.tags).map(|disk| disk.to_string()).unwrap_or_default();
        let what = verdict.stays.as_ref().map_or_else(|| "goes".to_owned(), |reason| format!("stays: {reason}"));
        table.row(vec![verdict.volume.id.clone(), disk, tag(tags::RESTORE), age(verdict.since, now), what]);
    }
    table.render()
}

/// As kubectl's, and in days.
fn parse_age(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        Some(days) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        None => parse_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_may_be_in_days() {
        assert_eq!(parse_age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_age("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(parse_age("0"), Ok(Duration::ZERO));
        for bad in ["", "d", "-1d", "7", "1.5d"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }
}
