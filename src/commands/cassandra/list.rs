//! `cassandra list`: the tags of Cassandra's backups in a bucket.

use clap::Args as ClapArgs;
use serde_json::json;

use super::place::BucketFlags;
use crate::cassandra::inventory::{Inventory, StoredTag, inventory};
use crate::cli::ui::one_line;
use crate::cli::{KubeFlags, TableFormat, Ui, output};
use crate::commands::list::table::{Table, age, size};
use crate::error::Result;

/// List the backups of Cassandra clusters in a bucket
///
/// Looks at the names of manifests, and reads them for the sizes where they are
/// few. STATE is Partial where a node has no manifest, else Unverified: whether
/// the objects are there is what cassandra verify looks at.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    /// Read every manifest for the sizes, however many
    #[arg(long)]
    sizes: bool,
    /// More columns, or every field
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<TableFormat>,
    /// No line of headers
    #[arg(long)]
    no_headers: bool,
}

const EXAMPLES: &str = "\
Examples:
  # all clusters of a bucket
  kubectl etcdbackup cassandra list --location s3://backups

  # one of them
  kubectl etcdbackup cassandra list --location s3://backups \\
    --cassandra-cluster orders --cassandra-datacenter dc1

  # with the layout and the place of each
  kubectl etcdbackup cassandra list --location s3://backups -o wide

  # with the credentials that the operator uses, and their sizes
  kubectl etcdbackup cassandra list --location s3://backups \\
    -n databases --secret awsbackuptest --sizes

  # the names alone
  kubectl etcdbackup cassandra list --location s3://backups -o name

RBAC: none; with --secret:
  get              secrets

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// Those of the store, and where nothing at the place looks like a backup of Cassandra.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let mut bucket = args.bucket.open(kube, ui).await?;
    let place = args.bucket.place();
    let found = match inventory(&bucket.s3, &place, args.sizes).await {
        Err(_) if bucket.follow(ui) => inventory(&bucket.s3, &place, args.sizes).await,
        found => found,
    }?;
    say_what_was_looked_at(&found, ui);
    match args.output {
        Some(TableFormat::Json) => ui.document(output::to_json(&json!({"tags": found.tags}))?),
        Some(TableFormat::Yaml) => ui.document(output::to_yaml(&json!({"tags": found.tags}))?),
        Some(TableFormat::Name) => found.tags.iter().try_for_each(|tag| ui.data(one_line(&tag.tag))),
        _ if found.tags.is_empty() => {
            ui.say(format!("No resources found at {}.", bucket.s3.url(&place.prefix)));
            Ok(())
        }
        format => ui.data(table(&found.tags, format.is_some(), !args.no_headers, jiff::Timestamp::now())),
    }
}

fn say_what_was_looked_at(found: &Inventory, ui: &Ui) {
    let (count, bytes) = (found.manifests, size(found.manifest_bytes));
    ui.say(match found.read {
        true => format!("read {count} manifests ({bytes}); the objects that they name were not looked for"),
        false => format!("looked at the names of {count} manifests; --sizes reads them ({bytes})"),
    });
}

fn table(tags: &[StoredTag], wide: bool, headers: bool, now: jiff::Timestamp) -> String {
    let mut columns = vec!["TAG", "CLUSTER", "STATE", "NODES", "SIZE", "AGE"];
    columns.extend(["LAYOUT", "LOCATION"].iter().filter(|_| wide));
    let mut table = Table::new(&columns, headers);
    for tag in tags {
        let mut row = vec![
            tag.tag.clone(),
            tag.cluster.clone(),
            format!("{:?}", tag.state),
            format!("{}/{}", tag.nodes, tag.nodes_known),
            tag.size.map(size).unwrap_or_default(),
            age(tag.time, now),
        ];
        if wide {
            row.extend([tag.layout.name().to_owned(), tag.location.clone()]);
        }
        table.row(row);
    }
    table.render()
}
