//! `get`: the newest snapshot to a file, proved.

mod place;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use semver::Version;

use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::{KubeFlags, OutputFormat, S3ReadFlags, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::Session;
use crate::snapshot::{History, Proof};
use crate::source::s3::{S3Source, probe};
use crate::source::service::ServiceSource;
use crate::source::{self, Listing, StoredSnapshot, Wanted};
use crate::transfer::download::{self, Target};

/// Download the newest snapshot of a cluster to a file, proved
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the etcd cluster
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Where to get it from: the backup service, then S3; or only one of them
    #[arg(long, value_name = "SOURCE", value_enum, default_value = "auto")]
    from: From,
    /// File or directory to write to, or - for stdout [default: the snapshot's own name]
    #[arg(short = 'O', long = "output-file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Revision instead of the newest: decimal, or hexadecimal with 0x
    #[arg(long, value_name = "N", value_parser = parse_revision)]
    revision: Option<u64>,
    /// The etcd that you will restore to; refuses a snapshot that does not suit it
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    etcd_version: Option<Version>,
    /// History to choose from, where the cluster was recreated: a name, or latest
    #[arg(long, value_name = "NAME")]
    history: Option<String>,
    #[command(flatten)]
    s3: S3ReadFlags,
    /// Print what would be downloaded, and download nothing
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # the newest snapshot: through the backup service, else from S3
  kubectl etcdbackup get etcd-a

  # Kubernetes is gone: straight from S3 with your own AWS credentials
  kubectl etcdbackup get etcd-a --from s3 --bucket etcd-backups

  # to a place of your choice
  kubectl etcdbackup get etcd-a -O /tmp/etcd-a.backup

  # an older one
  kubectl etcdbackup get etcd-a --revision 0x2f

  # only look
  kubectl etcdbackup get etcd-a -o json

RBAC: get on services; list on pods; get and create on pods/portforward;
for S3: list on etcdbackups, get on secrets (else your own AWS credentials are used)";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Auto,
    Service,
    S3,
}

/// A revision as people write it.
fn parse_revision(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed
        .ok()
        .filter(|&revision| revision <= i64::MAX as u64)
        .ok_or_else(|| "not a revision such as 15 or 0xf".to_owned())
}

fn parse_version(text: &str) -> Result<Version, String> {
    Version::parse(text.trim_start_matches('v')).map_err(|_| "not a full version such as 3.5.21".to_owned())
}

/// A snapshot that was found, and where.
enum Found {
    Service(ServiceSource, StoredSnapshot),
    S3 { source: Box<S3Source>, snapshot: StoredSnapshot, older: Option<u64> },
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) without a snapshot,
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for bytes that fail proof (no file is
/// written), those of the sources and of the disk.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check_directory_name(&args.cluster)?;
    let named = args.file.as_ref().filter(|file| !file.is_dir()).map(|file| target(&args, file.clone()));
    named.iter().try_for_each(Target::check)?;
    if named == Some(Target::Stdout) && std::io::stdout().is_terminal() {
        return Err(Error::usage("-O - would write the snapshot to this terminal").hint("redirect it, or name a file"));
    }
    let wanted =
        Wanted { revision: args.revision, etcd_version: args.etcd_version.clone(), history: args.history.clone() };
    let mut found = find(&args, kube, &wanted, ui).await?;
    let snapshot = found.snapshot();
    if let Some(format) = args.output {
        return ui.data(selection(&found, format)?);
    }
    let in_directory = || args.file.clone().unwrap_or_default().join(snapshot.name.as_str());
    let target = named.unwrap_or_else(|| target(&args, in_directory()));
    target.check()?;
    let name = snapshot.name.clone();
    let proof = match fetch(&mut found, &target, ui).await {
        Ok(proof) => proof,
        Err(error) => return Err(advise(error, &found, &args.cluster)),
    };
    report(&target, &name, &proof, ui)
}

/// Old clusters have names that the CRD would refuse; a directory they must still name.
fn check_directory_name(cluster: &str) -> Result<()> {
    match cluster {
        "" | "." | ".." => {}
        _ if cluster.contains(|c: char| c == '/' || c.is_control()) => {}
        _ => return Ok(()),
    }
    Err(Error::usage(format!("{cluster:?} is not the name of a cluster")))
}

fn target(args: &Args, path: PathBuf) -> Target {
    match path.to_str() {
        Some("-") => Target::Stdout,
        _ => Target::File { path, force: args.force },
    }
}

async fn find(args: &Args, kube: &KubeFlags, wanted: &Wanted, ui: &Ui) -> Result<Found> {
    if args.from != From::S3 {
        match from_service(args, kube, wanted).await {
            Ok(found) => return Ok(found),
            Err(NoService::Unreachable(error)) if args.from == From::Auto => {
                ui.say(format!("{}; trying s3", error.message()));
            }
            Err(NoService::Unreachable(error) | NoService::Refused(error)) => return Err(error),
        }
    }
    let place = place::resolve(&args.cluster, &args.s3, kube, ui).await?;
    let probed = probe(&place.s3, place.as_place(&args.cluster)).await?;
    let (source, listing) = probed.one(&place.s3, place.as_place(&args.cluster))?;
    let count = match listing.snapshots.len() {
        1 => "1 snapshot".to_owned(),
        many => format!("{many} snapshots"),
    };
    ui.say(format!("s3: {count} in {}", source.s3.url(&source.directory)));
    warn_of_foreign(&listing, ui);
    let snapshot = source::select(&listing.snapshots, wanted)?.clone();
    let older = source::next_older(&listing.snapshots, &snapshot);
    Ok(Found::S3 { source: Box::new(source), snapshot, older })
}

/// Why the backup service gave nothing.
enum NoService {
    /// It could not be asked; another source may have the snapshot.
    Unreachable(Error),
    /// It was asked and said no; another source would only hide its reason.
    Refused(Error),
}

async fn from_service(args: &Args, kube: &KubeFlags, wanted: &Wanted) -> Result<Found, NoService> {
    let session = Session::connect(kube).await.map_err(NoService::Unreachable)?;
    let mut source = ServiceSource::connect(&session, &args.cluster).await.map_err(NoService::Unreachable)?;
    match source.head(wanted).await {
        Ok(snapshot) => Ok(Found::Service(source, snapshot)),
        Err(error) if source.refused() => Err(NoService::Refused(error)),
        Err(error) => Err(NoService::Unreachable(error)),
    }
}

fn warn_of_foreign(listing: &Listing, ui: &Ui) {
    let count = listing.foreign.len();
    let Some(first) = listing.foreign.first() else { return };
    let (objects, names) = if count == 1 { ("object", "name is") } else { ("objects", "names are") };
    ui.warn(format!(
        "skipped {count} {objects} whose {names} not VERSION_REVISION_etcd.backup: {}{}",
        first.escape_debug(),
        if count > 1 { ", …" } else { "" }
    ));
}

impl Found {
    /// URL of the snapshot, for messages.
    fn location(&self) -> String {
        match self {
            Self::Service(_, snapshot) => snapshot.location.clone(),
            Self::S3 { source, snapshot, .. } => source.s3.url(&snapshot.location),
        }
    }

    fn snapshot(&self) -> &StoredSnapshot {
        match self {
            Self::Service(_, snapshot) | Self::S3 { snapshot, .. } => snapshot,
        }
    }
}

async fn fetch(found: &mut Found, target: &Target, ui: &Ui) -> Result<Proof> {
    let (body, size) = match found {
        Found::Service(source, snapshot) => source.open(snapshot).await?,
        Found::S3 { source, snapshot, .. } => (source.open(snapshot, None).await?, snapshot.size),
    };
    let snapshot = found.snapshot();
    ui.say(format!("downloading {} from {}", snapshot.name, found.location()));
    let mut progress = Progress::new(ui, snapshot.name.as_str(), size);
    let proof = download::receive(body, size, target, |bytes| progress.advance(bytes)).await;
    progress.finish();
    proof
}

/// After bytes that fail proof the next older snapshot is one command away, and never taken silently.
fn advise(error: Error, found: &Found, cluster: &str) -> Error {
    if error.kind() != crate::error::ErrorKind::Unproved {
        return error;
    }
    let snapshot = found.snapshot();
    let error = error.context(format!("{} from {}", snapshot.name, found.location()));
    let history = match &snapshot.history {
        History::First => String::new(),
        later @ History::Later(_) => format!(" --history {}", later.name()),
    };
    match found {
        Found::S3 { older: Some(revision), .. } => error.hint(format!(
            "no file was written; the next older one: kubectl etcdbackup get {cluster} --from s3{history} --revision {revision}"
        )),
        Found::S3 { older: None, .. } => error.hint("no file was written; there is no older one"),
        Found::Service(..) => error.hint(format!(
            "no file was written; other ways: kubectl etcdbackup get {cluster} --from s3, or --revision N"
        )),
    }
}

fn report(target: &Target, name: &crate::snapshot::SnapshotName, proof: &Proof, ui: &Ui) -> Result<()> {
    let facts =
        format!("revision {}   etcd {}   {} bytes   sha256 verified", name.revision(), name.version(), proof.size);
    match target {
        Target::File { path, .. } => ui.data(format!("{}   {facts}", path.display())),
        // stdout is the snapshot
        Target::Stdout => {
            ui.say(format!("{name}   {facts}"));
            Ok(())
        }
    }
}

/// What `-o` prints of the selection.
fn selection(found: &Found, format: OutputFormat) -> Result<String> {
    let snapshot = found.snapshot();
    let mut value = serde_json::json!({
        "name": snapshot.name.as_str(),
        "revision": snapshot.name.revision(),
        "etcdVersion": snapshot.name.version().to_string(),
        "history": snapshot.history.name(),
    });
    if let Some(size) = snapshot.size {
        value["size"] = size.into();
    }
    if let Some(modified) = snapshot.modified {
        value["lastModified"] = modified.to_string().into();
    }
    match found {
        Found::Service(..) => {
            value["source"] = "service".into();
            value["url"] = snapshot.location.as_str().into();
        }
        Found::S3 { source, .. } => {
            value["source"] = "s3".into();
            value["bucket"] = source.s3.bucket.as_str().into();
            value["key"] = snapshot.location.as_str().into();
            value["layout"] = source.layout.to_string().into();
        }
    }
    match format {
        OutputFormat::Json => output::to_json(&value),
        OutputFormat::Yaml => output::to_yaml(&value),
        OutputFormat::Name => Ok(snapshot.name.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_decimal_unless_marked() {
        assert_eq!(parse_revision("15"), Ok(15));
        assert_eq!(parse_revision("0xf"), Ok(15));
        for bad in ["", "f", "-1", "0x", "9223372036854775808", "1e3"] {
            assert!(parse_revision(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_may_have_a_v() {
        assert_eq!(parse_version("v3.5.21"), Ok(Version::new(3, 5, 21)));
        assert!(parse_version("3.5").is_err());
    }
}
