//! `volume iam-policy`: what the other `volume` commands need of IAM.

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::{DocumentFormat, Ui};
use crate::error::Result;
use crate::volume::policy::{self, Purpose, Scope};

/// Print the least IAM policy for the volume commands
///
/// Contacts nobody. Snapshots are deleted only with the tag of this program,
/// volumes only when a restore has put them aside. With --cluster-name nothing of
/// other clusters is changed.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// What to allow; may be repeated
    #[arg(long = "for", value_name = "PURPOSE", value_delimiter = ',', default_values = ["backup", "prune"])]
    purposes: Vec<For>,
    /// Allow changes to this cluster only
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// AWS partition: aws, aws-cn, aws-us-gov, …
    #[arg(long, value_name = "PARTITION", default_value = "aws", value_parser = parse_partition)]
    partition: String,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    output: DocumentFormat,
}

const EXAMPLES: &str = "\
Examples:
  # for a schedule: snapshot and prune
  kubectl etcdbackup volume iam-policy

  # the same, for one cluster
  kubectl etcdbackup volume iam-policy --cluster-name k8s.example.com

  # for plan, restore, rollback and cleanup
  kubectl etcdbackup volume iam-policy --for restore

  # for a person who does everything
  kubectl etcdbackup volume iam-policy --for all > policy.json

  # for the Chinese partition
  kubectl etcdbackup volume iam-policy --for backup --partition aws-cn

RBAC: none; contacts nobody

Exit codes: see kubectl etcdbackup --help";

/// A purpose as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    /// snapshot, list
    Backup,
    /// prune
    Prune,
    /// adopt
    Adopt,
    /// plan, restore, rollback, cleanup
    Restore,
    /// All of them
    All,
}

/// A partition is part of each ARN; there are some that only their users know.
fn parse_partition(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    match fits && text.starts_with("aws") {
        true => Ok(text.to_owned()),
        false => Err("not a partition such as aws or aws-cn".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when stdout cannot be written.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let scope = Scope { partition: &args.partition, cluster: args.cluster_name.as_deref() };
    let policy = policy::of(&purposes(&args.purposes), &scope);
    ui.document(args.output.text(&policy)?)
}

fn purposes(typed: &[For]) -> Vec<Purpose> {
    let wanted = |one: For| typed.contains(&one) || typed.contains(&For::All);
    let each = [
        (For::Backup, Purpose::Backup),
        (For::Prune, Purpose::Prune),
        (For::Adopt, Purpose::Adopt),
        (For::Restore, Purpose::Restore),
    ];
    each.into_iter().filter(|(typed, _)| wanted(*typed)).map(|(_, purpose)| purpose).collect()
}
