//! `volume prune`: deletes sets of snapshots that no rule keeps.

use clap::Args as ClapArgs;
use jiff::Timestamp;

use super::keep::{self, KeepFlags};
use super::shown::count;
use super::{old_job, session};
use crate::cli::Ui;
use crate::commands::list::table::{Table, age};
use crate::error::{Error, Result};
use crate::volume::expiry::{self, Judged};
use crate::volume::flags::AwsFlags;
use crate::volume::retention::{Rules, Verdict};
use crate::volume::selection::Selection;
use crate::volume::set::Set;

/// Delete sets of EBS snapshots that no rule keeps
///
/// The rules count the completed snapshots of each disk (cluster, etcd, member),
/// and a set goes only as a whole. Only snapshots that this program took or
/// adopted are looked at. Always kept: the newest completed one of each disk, the
/// newest complete set, what is not completed yet, what a restore still needs.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Only sets of this cluster of kops
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Only sets with one of these etcds
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    etcd: Vec<String>,
    /// Only sets with one of these members
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    member: Vec<String>,
    /// Delete nothing; print what would be kept and deleted, and why
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    keep: KeepFlags,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # what would go, and why
  kubectl etcdbackup volume prune --keep-last 8 --dry-run

  # a day of everything, then one a day for a month and one a week for a year
  kubectl etcdbackup volume prune --keep-within 24h --keep-daily 30 \\
    --keep-weekly 52

  # of one cluster, and in no other account
  kubectl etcdbackup volume prune --cluster-name k.example.com --keep-last 8 \\
    --account 123456789012

  # a first run after years
  kubectl etcdbackup volume prune --keep-last 8 --max-deletions 1000

  # only sets with events
  kubectl etcdbackup volume prune --etcd events --keep-last 4

RBAC: none; AWS: ec2:DescribeSnapshots, ec2:DescribeVolumes, ec2:DeleteSnapshot

SNAPSHOT_RETENTION in the environment means --keep-last where no rule is given.

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// As [`session::open`], [`expiry::judge`] and [`expiry::delete`];
/// [`ErrorKind::General`](crate::error::ErrorKind::General) where EC2 refused to delete some.
pub(super) async fn run(args: Args, ui: &Ui) -> Result<()> {
    let rules = rules(&args.keep, |name| std::env::var(name).ok())?;
    let compute = session::open(&args.aws, ui).await?;
    let cluster = args.cluster_name.as_deref();
    let scope = Selection {
        cluster: args.cluster_name.clone(),
        etcds: args.etcd.clone(),
        members: args.member.clone(),
        ..Selection::default()
    };
    let judged = expiry::judge(&compute, cluster, |disk| scope.wants(disk), &rules, None).await?;
    if judged.is_empty() {
        ui.say(format!("No sets found in {}.", compute.region));
        return Ok(());
    }
    if args.dry_run {
        return ui.data(table(&judged, Timestamp::now()));
    }
    let line = |id: &str, set: &Set| deleted(id, set, ui);
    let deleted = expiry::delete(&compute, &judged, args.keep.most(), line, &|what| ui.warn(what)).await?;
    if deleted.gone.is_empty() && deleted.refused.is_empty() && deleted.left == 0 {
        ui.say(format!("nothing to expire: {} stay; --dry-run says why", count(judged.len(), "set")));
    }
    keep::report(&deleted, ui)
}

/// The line of a snapshot that is gone.
pub(super) fn deleted(id: &str, set: &Set, ui: &Ui) -> Result<()> {
    let disk = set.all().find(|snapshot| snapshot.id == id).and_then(crate::volume::inventory::Snapshot::disk);
    let disk = disk.map(|disk| format!("{disk}, ")).unwrap_or_default();
    ui.data(format!("{id} deleted ({disk}set {})", set.id))
}

/// The rules of the flags, else of the environment.
fn rules(keep: &KeepFlags, get: impl Fn(&str) -> Option<String>) -> Result<Rules> {
    if let Some(rules) = keep.rules() {
        return Ok(rules);
    }
    match old_job::retention(get)? {
        Some(last) => Ok(Rules { last, ..Rules::default() }),
        None => Err(Error::usage("nothing says what to keep")
            .hint("give one or more of --keep-last, --keep-hourly, --keep-daily, --keep-weekly, --keep-within")),
    }
}

fn table(judged: &[Judged], now: Timestamp) -> String {
    let mut table = Table::new(&["SET", "CLUSTER", "SNAPSHOTS", "AGE", "VERDICT", "REASON"], true);
    for Judged { set, verdict } in judged {
        let (word, reason) = match verdict {
            Verdict::Keep(reason) => ("keep", reason),
            Verdict::Delete(reason) => ("delete", reason),
        };
        let count = set.all().count().to_string();
        table.row(vec![
            set.id.clone(),
            set.cluster.clone(),
            count,
            age(set.started(), now),
            word.to_owned(),
            reason.clone(),
        ]);
    }
    table.render()
}
