//! `volume snapshot`: one set of EBS snapshots of etcd's volumes.

mod pick;
mod show;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::{Timestamp, tz::TimeZone};

use super::keep::{self, KeepFlags};
use super::old_job::OldJob;
use super::shown::count;
use super::{prune, session};
use crate::aws::compute::Compute;
use crate::cli::flags::parse_duration;
use crate::cli::{TableFormat, Ui};
use crate::error::{Error, Result};
use crate::signals;
use crate::volume::flags::AwsFlags;
use crate::volume::inventory::Snapshot;
use crate::volume::retention::Rules;
use crate::volume::selection::{self, Chosen, Selection};
use crate::volume::tags::Disk;
use crate::volume::take::{self, Made};
use crate::volume::{completion, expiry, marks, set};
use pick::PickFlags;

/// Characters of EC2's tags that need no quotes in a shell.
const OF_A_SET: &str = "letters, digits, '.', '_' and '-', at most 64";

/// The wait of the old script's CronJob, which has no flag for it.
const WAIT: Duration = Duration::from_secs(3600);

/// Take a set of EBS snapshots of the volumes of etcd
///
/// All members of all etcds of the one cluster of kops that is found, unless
/// flags say less. The snapshots of a run carry its name (the set) from their
/// first moment on. Without --wait they go on in AWS after the command has ended.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pick: PickFlags,
    /// Wait until all are completed [default time: 1h]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1h", value_parser = parse_duration, conflicts_with = "dry_run")]
    wait: Option<Duration>,
    /// Name of the set; a run with the same name goes on where the other stopped
    #[arg(long, value_name = "NAME", value_parser = parse_set)]
    set: Option<String>,
    /// Take nothing; print of which volumes it would be
    #[arg(long)]
    dry_run: bool,
    /// Print the set, or the ids of its snapshots
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<TableFormat>,
    #[command(flatten)]
    keep: KeepFlags,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # all members of all etcds of the only cluster, to the end
  kubectl etcdbackup volume snapshot --wait

  # of one cluster, and expire what is older than the last 8
  kubectl etcdbackup volume snapshot --cluster-name k.example.com --wait \\
    --keep-last 8

  # which volumes would that be?
  kubectl etcdbackup volume snapshot --etcd main --dry-run

  # volumes that kops did not tag
  kubectl etcdbackup volume snapshot --volume vol-0123456789abcdef0 \\
    --cluster-name mine --etcd main --member a

  # one master's, as bsycorp/etcd-backup chose it
  kubectl etcdbackup volume snapshot --instance master.k.example.com --etcd main

RBAC: none; AWS: ec2:DescribeVolumes, ec2:DescribeInstances,
ec2:DescribeSnapshots, ec2:CreateSnapshot, ec2:CreateSnapshots, ec2:CreateTags;
with --keep-…: ec2:DeleteSnapshot

With INSTANCE_NAME and VOLUME (main or events) in the environment and no flag
that chooses volumes it does what bsycorp/etcd-backup did: that one volume, a
wait, and then the last SNAPSHOT_RETENTION (6) are kept.

Exit codes: see kubectl etcdbackup --help";

/// What is to be done, out of flags and environment.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    selection: Selection,
    wait: Option<Duration>,
    keep: Option<Rules>,
}

/// Runs the command.
///
/// # Errors
/// As [`session::open`], [`selection::find`], [`take::take`], [`completion::wait`] and [`expiry::delete`].
pub(super) async fn run(args: Args, ui: &Ui) -> Result<()> {
    let plan = plan(&args, |name| std::env::var(name).ok())?;
    let set = args.set.clone().unwrap_or_else(|| new_name(Timestamp::now()));
    tokio::select! {
        done = execute(&args, &plan, &set, ui) => done,
        () = signals::asked_to_end() => {
            Err(Error::interrupted(format!("interrupted; what had begun of set {set} goes on"))
                .hint("look with: kubectl etcdbackup volume list"))
        }
    }
}

fn plan(args: &Args, get: impl Fn(&str) -> Option<String>) -> Result<Plan> {
    let selection = args.pick.selection();
    let job = if selection == Selection::default() { OldJob::read(get)? } else { None };
    let Some(job) = job else {
        if args.keep.is_given() && args.wait.is_none() {
            return Err(Error::usage(
                "the --keep-… flags need --wait: only what is completed takes the place of others",
            ));
        }
        if args.keep.is_given() && args.keep.rules().is_none() {
            return Err(Error::usage("--max-deletions needs a rule, such as --keep-last"));
        }
        return Ok(Plan { selection, wait: args.wait, keep: args.keep.rules() });
    };
    let selection = Selection { instance: Some(job.instance), etcds: vec![job.etcd], ..Selection::default() };
    let keep = args.keep.rules().unwrap_or(Rules { last: job.keep, ..Rules::default() });
    Ok(Plan { selection, wait: args.wait.or(Some(WAIT)), keep: Some(keep) })
}

async fn execute(args: &Args, plan: &Plan, set: &str, ui: &Ui) -> Result<()> {
    let compute = session::open(&args.aws, ui).await?;
    let chosen = selection::find(&compute, &plan.selection).await?;
    chosen.warnings.iter().for_each(|warning| ui.warn(warning));
    if args.dry_run {
        return ui.data(show::volumes(&chosen));
    }
    let made = begin(&compute, &chosen, args, set, ui).await?;
    let found = match plan.wait {
        Some(timeout) => completion::wait(&compute, set, &made, timeout, &|how| ui.say(how)).await?,
        None => completion::listed(&compute, set, &made).await?,
    };
    warn_of_spread(&found, set, ui);
    let is_whole = warn_of_gaps(&found, &made, set, ui);
    show::document(args.output, set, &found, &made, ui)?;
    if plan.wait.is_none() {
        ui.hint(format!("kubectl etcdbackup volume list shows when set {set} is complete"));
        return Ok(());
    }
    let snapshots = count(made.len(), "snapshot");
    ui.say(match is_whole {
        true => format!("set {set} is complete: {snapshots}"),
        false => format!("completed {snapshots} of set {set}"),
    });
    match &plan.keep {
        Some(rules) => expire(&compute, &chosen, args, set, rules, ui).await,
        None => Ok(()),
    }
}

async fn begin(compute: &Compute, chosen: &Chosen, args: &Args, set: &str, ui: &Ui) -> Result<Vec<Made>> {
    let volumes = count(chosen.volumes.len(), "volume");
    ui.say(format!("Taking set {set}: {volumes} of cluster {}", chosen.cluster));
    let run = marks::Run { set, etcds: &chosen.etcds(), reason: None };
    let made = take::take(compute, &chosen.volumes, run, args.set.is_some(), &|what| ui.warn(what)).await;
    let made = made.map_err(|error| {
        error.hint(format!("what had begun of set {set} stays; run it again with --set {set} to go on"))
    })?;
    if made.iter().all(|one| one.before) {
        ui.warn(format!("nothing was taken: set {set} was there already"));
    }
    if args.output.is_none() {
        for one in &made {
            let how = if one.before { "unchanged" } else { "created" };
            ui.data(format!("{} {how} ({}, {}, {})", one.id, one.disk, one.volume, one.zone))?;
        }
    }
    Ok(made)
}

/// Each member's identity and log are its own: members that are far apart may not come together again.
fn warn_of_spread(found: &[Snapshot], id: &str, ui: &Ui) {
    let Some(set) = set::of(found).into_iter().find(|set| set.id == id) else { return };
    if set.members().len() > 1 && set.spread() > set::WIDE_SPREAD {
        let seconds = set.spread().as_secs();
        ui.warn(format!("the snapshots of set {id} began {seconds} s apart: they are not of one moment"));
    }
}

/// Whether the set has a snapshot of every member that it names: without that, nothing restores it.
fn warn_of_gaps(found: &[Snapshot], made: &[Made], id: &str, ui: &Ui) -> bool {
    let Some(set) = set::of(found).into_iter().find(|set| set.id == id) else { return true };
    // EC2 lists new snapshots late
    let missing = set.missing.iter().filter(|disk| !made.iter().any(|one| one.disk == **disk));
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    if !missing.is_empty() {
        let lacks = missing.join(", ");
        ui.warn(format!("set {id} lacks {lacks}: volume plan restores whole sets only, such as volume schedule takes"));
    }
    missing.is_empty()
}

async fn expire(compute: &Compute, chosen: &Chosen, args: &Args, set: &str, rules: &Rules, ui: &Ui) -> Result<()> {
    let disks: BTreeSet<&Disk> = chosen.volumes.iter().map(|one| &one.disk).collect();
    let ours = |disk: &Disk| disks.contains(disk);
    let judged = expiry::judge(compute, Some(&chosen.cluster), ours, rules, Some(set)).await?;
    let line = |id: &str, of: &set::Set| match args.output {
        // stdout is a document
        Some(_) => Ok(()),
        None => prune::deleted(id, of, ui),
    };
    let deleted = expiry::delete(compute, &judged, args.keep.most(), line, &|what| ui.warn(what)).await?;
    keep::report(&deleted, ui)
}

/// A name that sorts by time; two runs of one second differ.
fn new_name(now: Timestamp) -> String {
    let now = now.to_zoned(TimeZone::UTC);
    format!("{}-{:06x}", now.strftime("%Y%m%d-%H%M%S"), fastrand::u32(..1 << 24))
}

fn parse_set(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match (1..=64).contains(&text.len()) && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(OF_A_SET.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn planned(line: &str, environment: &[(&str, &str)]) -> Result<Plan, String> {
        let words = ["x"].into_iter().chain(line.split_whitespace());
        let args = Line::try_parse_from(words).unwrap().args;
        let get = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        plan(&args, get).map_err(|error| error.message().to_owned())
    }

    const JOB: [(&str, &str); 3] = [("INSTANCE_NAME", "m"), ("VOLUME", "events"), ("SNAPSHOT_RETENTION", "2")];

    #[test]
    fn the_environment_of_the_old_cron_job_waits_and_expires() {
        let plan = planned("", &JOB).unwrap();
        assert_eq!((plan.selection.instance.as_deref(), plan.selection.etcds), (Some("m"), vec!["events".to_owned()]));
        assert_eq!((plan.wait, plan.keep), (Some(WAIT), Some(Rules { last: 2, ..Rules::default() })));
        assert_eq!(planned("--keep-last 5", &JOB).unwrap().keep, Some(Rules { last: 5, ..Rules::default() }));
    }

    #[test]
    fn a_flag_that_chooses_volumes_wins_over_the_environment() {
        let plan = planned("--cluster-name k", &JOB).unwrap();
        assert_eq!((plan.selection.instance, plan.wait, plan.keep), (None, None, None));
    }

    #[test]
    fn all_etcds_are_asked_for_by_name_or_by_the_word_all() {
        let etcds = |line| planned(line, &[]).map(|plan| plan.selection.etcds);
        assert_eq!(etcds("--etcd main --etcd events"), Ok(vec!["main".to_owned(), "events".to_owned()]));
        assert_eq!(etcds("--etcd all"), Ok(vec![]));
    }

    #[test]
    fn nothing_expires_before_its_successor_is_completed() {
        let words = "the --keep-… flags need --wait: only what is completed takes the place of others";
        assert_eq!(planned("--keep-last 3", &[]), Err(words.to_owned()));
        let words = "--max-deletions needs a rule, such as --keep-last";
        assert_eq!(planned("--wait --max-deletions 3", &[]), Err(words.to_owned()));
        assert!(planned("--wait=5m --keep-last 3", &[]).is_ok());
    }

    #[test]
    fn a_set_is_named_by_its_time_or_by_plain_characters() {
        let name = new_name("2026-11-21T10:20:30Z".parse().unwrap());
        assert!(name.starts_with("20261121-102030-") && name.len() == 22, "{name}");
        assert_eq!(parse_set(&name), Ok(name));
        for bad in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(parse_set(bad).is_err(), "{bad}");
        }
    }
}
