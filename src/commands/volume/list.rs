//! `volume list`: the sets of snapshots that there are.

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::Serialize;

use super::session;
use super::shown::SetShown;
use crate::cli::{TableFormat, Ui, output};
use crate::commands::list::table::{Table, age, span};
use crate::error::Result;
use crate::volume::expiry;
use crate::volume::flags::AwsFlags;

/// List the sets of EBS snapshots, the newest first
///
/// A set is Complete when every member of every etcd that it was taken of has a
/// completed snapshot in it. SIZE is that of the volumes; what is stored is less.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Only sets of this cluster of kops
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// More columns, or every field of every set and snapshot
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<TableFormat>,
    /// No line of headers
    #[arg(long)]
    no_headers: bool,
    #[command(flatten)]
    aws: AwsFlags,
}

const EXAMPLES: &str = "\
Examples:
  # all sets of the account in its region
  kubectl etcdbackup volume list

  # of one cluster, with what is missing in a set
  kubectl etcdbackup volume list --cluster-name k.example.com -o wide

  # another region, with a profile of yours
  kubectl etcdbackup volume list --region eu-west-1 --profile backup

  # the newest complete set
  kubectl etcdbackup volume list -o json | \\
    jq -r '[.sets[] | select(.status == \"Complete\")][0].set'

  # every snapshot
  kubectl etcdbackup volume list -o yaml

RBAC: none; AWS: ec2:DescribeSnapshots

Exit codes: see kubectl etcdbackup --help";

#[derive(Serialize)]
struct Listing<'a> {
    sets: &'a [SetShown],
}

/// Runs the command.
///
/// # Errors
/// As [`session::open`] and [`expiry::sets`].
pub(super) async fn run(args: Args, ui: &Ui) -> Result<()> {
    let compute = session::open(&args.aws, ui).await?;
    let sets = expiry::sets(&compute, args.cluster_name.as_deref()).await?;
    let shown: Vec<SetShown> = sets.iter().map(SetShown::of).collect();
    drop(sets);
    match args.output {
        Some(TableFormat::Json) => return ui.document(output::to_json(&Listing { sets: &shown })?),
        Some(TableFormat::Yaml) => return ui.document(output::to_yaml(&Listing { sets: &shown })?),
        _ if shown.is_empty() => ui.say(format!("No sets found in {}.", compute.region)),
        Some(TableFormat::Name) => {
            let names: Vec<&str> = shown.iter().map(|set| set.set.as_str()).collect();
            ui.data(names.join("\n"))?;
        }
        format => ui.data(table(&shown, format == Some(TableFormat::Wide), !args.no_headers, Timestamp::now()))?,
    }
    Ok(())
}

fn table(sets: &[SetShown], wide: bool, headers: bool, now: Timestamp) -> String {
    const COLUMNS: [&str; 9] = ["SET", "CLUSTER", "ETCDS", "MEMBERS", "SNAPSHOTS", "STATUS", "SIZE", "ZONES", "AGE"];
    const WIDE: [&str; 3] = ["SPREAD", "REASON", "MISSING"];
    let more: &[&str] = if wide { &WIDE } else { &[] };
    let mut table = Table::new(&[&COLUMNS, more].concat(), headers);
    for set in sets {
        let mut row = vec![
            set.set.clone(),
            set.cluster.clone(),
            set.etcds.join(","),
            set.members.join(","),
            set.count(),
            set.status.to_owned(),
            format!("{}Gi", set.size),
            set.zones(),
            age(set.started, now),
        ];
        if wide {
            let spread = span(set.spread_seconds.unsigned_abs());
            row.extend([spread, set.reason.clone().unwrap_or_default(), set.missing.join(",")]);
        }
        table.row(row);
    }
    table.render()
}
