//! `cassandra verify`: whether a backup of a Cassandra cluster is whole.

use clap::Args as ClapArgs;

use super::place::{BucketFlags, parse_tag};
use super::proof;
use crate::cassandra::pods;
use crate::cassandra::verify::{Known, Missed, NodeReport, Report};
use crate::cli::{DocumentFormat, KubeFlags, Ui};
use crate::commands::list::table::{Table, age, size};
use crate::error::Result;
use crate::kubernetes::Session;

/// Prove that a backup of a Cassandra cluster is whole
///
/// Each node must have the manifest of the tag, which is written last, and the
/// bucket every object that it names, with its size. Objects are listed, not
/// read. A backup that lacks something is exit code 4, with the first object of
/// each node that is missing.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the backup: its tag, or the name of the object that made it
    #[arg(value_name = "TAG", value_parser = parse_tag)]
    tag: String,
    #[command(flatten)]
    bucket: BucketFlags,
    /// How many nodes the backup must have, where the bucket cannot know
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    nodes: usize,
    /// Each pod of the StatefulSets with these labels must be in the backup
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Print all that was found, also of a backup that is not whole
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # Elassandra's sidecar, instaclustr's, or Medusa's: the names tell
  kubectl etcdbackup cassandra verify nightly --location s3://backups

  # one of several clusters in a bucket
  kubectl etcdbackup cassandra verify nightly --location s3://backups \\
    --cassandra-cluster orders --cassandra-datacenter dc1

  # where no node may be missing, also one that was never backed up
  kubectl etcdbackup cassandra verify nightly --location s3://backups \\
    --nodes 6

  # the same, by the pods that the cluster has now
  kubectl etcdbackup cassandra verify nightly --location s3://backups \\
    -n databases -l app.kubernetes.io/instance=orders

  # the objects that are missing
  kubectl etcdbackup cassandra verify nightly --location s3://backups \\
    -o json | jq '.nodes[] | select(.state != \"Complete\")'

RBAC: none; with --secret and --selector:
  get              secrets
  list             statefulsets.apps

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for a backup that is not whole; those of the store.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let pods = match &args.selector {
        Some(labels) => pods::of(&Session::connect(kube).await?, labels).await?,
        None => Vec::new(),
    };
    let known = Known { nodes: args.nodes, pods, ..Known::default() };
    let mut bucket = args.bucket.open(kube, ui).await?;
    let report =
        proof::look(&mut bucket, &args.bucket.place(), &args.tag, &known, ui).await.map_err(Missed::into_error)?;
    let (expected, told_by) = (report.expected(), &report.nodes_told_by);
    ui.say(format!("{}: layout {}, {expected} nodes by {told_by}", report.location, report.layout.name()));
    report.warnings.iter().for_each(|warning| ui.warn(warning));
    match args.output {
        Some(format) => ui.document(format.text(&report)?)?,
        None => ui.data(table(&report, jiff::Timestamp::now()))?,
    }
    report.check()
}

fn table(report: &Report, now: jiff::Timestamp) -> String {
    let mut table = Table::new(&["NODE", "STATE", "OBJECTS", "SIZE", "AGE", "REASON"], true);
    for node in &report.nodes {
        let NodeReport { name, state, objects, bytes, taken, wrong, .. } = node;
        let reason = wrong.clone().unwrap_or_default();
        table.row(vec![
            name.clone(),
            format!("{state:?}"),
            objects.to_string(),
            size(*bytes),
            age(*taken, now),
            reason,
        ]);
    }
    table.render()
}
