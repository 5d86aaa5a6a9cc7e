//! `get`: the newest snapshot to a file, proved.

mod again;
pub(in crate::commands) mod dir;
pub(in crate::commands) mod disaster;
mod find;
mod flags;
pub(in crate::commands) mod item;
pub(in crate::commands) mod operator_wide;
pub(in crate::commands) mod place;
pub(in crate::commands) mod pv;
mod stdout;
mod target;

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use semver::Version;
use tokio_util::sync::CancellationToken;

use super::until_interrupted;

use crate::cli::completion::live;
use crate::cli::flags::parse_url;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::ui::one_line;
use crate::cli::{KubeFlags, OutputFormat, S3ReadFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::signals;
use crate::snapshot::{Proof, truth};
use crate::source::file::LocalFile;
use crate::transfer::download::{self, Target};
use again::Again;
pub(in crate::commands) use find::warn_of_foreign;
use find::{Found, find};
use flags::{TransferFlags, parse_revision, parse_version};
use item::Item;
use pv::{Helpers, PvFlags};
use target::{check_target, file_name, target};

/// Download the newest snapshot of a cluster to a file, proved
///
/// The file gets its name only after the sha256 at its end matched. The backup
/// service of the cluster is asked first, through the API server, and then S3, or
/// the volume of the cluster's EtcdBackup. An API server that does not answer is
/// waited for 5 s in all, or for --request-timeout.
///
/// --from pv starts a pod that mounts the claim read-only where its volume is, reads
/// through it, and deletes it.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the etcd cluster
    #[arg(value_name = "CLUSTER", add = live::clusters(), required_unless_present_any = ["path", "service_url", "dir"])]
    cluster: Option<String>,
    /// Where to get it from: the service, then S3 or the EtcdBackup's volume; or one place
    #[arg(long, value_name = "SOURCE", value_enum, default_value = "auto")]
    from: From,
    /// Directory with the backups, such as a mounted disk; contacts nobody
    #[arg(long, value_name = "PATH", required_if_eq("from", "dir"), value_hint = ValueHint::DirPath, conflicts_with_all = ["service_url", "path"])]
    dir: Option<PathBuf>,
    /// File or directory, or - for stdout [default: the snapshot's own name]
    #[arg(short = 'O', long = "output-file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Revision instead of the newest: decimal, or hexadecimal with 0x
    #[arg(long, value_name = "N", value_parser = parse_revision)]
    revision: Option<u64>,
    /// The etcd to restore to; refuses a snapshot that does not suit it
    #[arg(long, value_name = "VERSION", value_parser = parse_version, conflicts_with = "path")]
    etcd_version: Option<Version>,
    /// History of a cluster that was recreated: a name, or latest
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    history: Option<String>,
    /// URL of the backup service, such as an Ingress; needs no Kubernetes
    #[arg(long, value_name = "URL", value_parser = parse_url, conflicts_with_all = ["from", "path", "bucket"])]
    service_url: Option<String>,
    /// File with the bearer token for the service, or - for stdin
    #[arg(long, value_name = "FILE", requires = "service_url", conflicts_with_all = ["from", "path", "bucket"])]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    s3: S3ReadFlags,
    #[command(flatten)]
    pv: PvFlags,
    #[command(flatten)]
    transfer: TransferFlags,
    /// Print what would be downloaded, and download nothing
    #[arg(short, long, value_name = "FORMAT", conflicts_with_all = ["file", "force"])]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # the newest snapshot: through the backup service, else from S3
  kubectl etcdbackup get etcd-a

  # Kubernetes is gone: straight from S3 with your own AWS credentials
  kubectl etcdbackup get etcd-a --from s3 --bucket etcd-backups

  # from a disk mounted by hand: neither Kubernetes nor S3
  sudo kubectl etcdbackup get etcd-a --from dir --dir /mnt

  # from the PersistentVolume that a sidecar writes to, or wrote to
  kubectl etcdbackup get etcd-a --from pv

  # to a place of your choice
  kubectl etcdbackup get etcd-a -O /tmp/etcd-a.backup

  # an older one
  kubectl etcdbackup get etcd-a --revision 0x2f

  # only if it can start an etcd 3.5; else says which one can
  kubectl etcdbackup get etcd-a --etcd-version 3.5.21

  # what etcd-operator v0.8 and later stored under a path of its own
  kubectl etcdbackup get --path etcd-backups/etcd.backup

  # through an Ingress, without Kubernetes
  kubectl etcdbackup get --service-url https://backup.example.com \\
    --token-file token

  # only look
  kubectl etcdbackup get etcd-a -o json

RBAC:
  get              services
  list             pods
  get, create      pods/portforward
  for S3, where no --bucket is given:
  list             etcdbackups.etcd.database.coreos.com
  get              secrets (else your own AWS credentials are used)
  for --from pv:
  get              persistentvolumeclaims
  get              persistentvolumes; list nodes (else only the scheduler knows)
  list             pods, events
  create, delete   jobs.batch
  get, create      pods/portforward
  get              deployments.apps (else --helper-image)
  list             etcdbackups.etcd.database.coreos.com (else --claim)
  for --service-url with a token (of the token's ServiceAccount):
  get              etcdbackups/snapshot in etcd.database.coreos.com

Exit codes: see kubectl etcdbackup --help";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Auto,
    Service,
    S3,
    Pv,
    Dir,
}

impl Args {
    /// The cluster's name; empty where a path or a URL says all.
    fn cluster(&self) -> &str {
        self.cluster.as_deref().unwrap_or_default()
    }

    /// Whether a PersistentVolume is to be read.
    fn is_pv(&self) -> bool {
        self.from == From::Pv || self.from == From::Auto && self.pv.first_given().is_some()
    }
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) without a snapshot,
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for bytes that fail proof (no file is
/// written), those of the sources and of the disk.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check(&args)?;
    signals::bear_file_limit();
    if args.pv.print_manual {
        return until_interrupted(print_manual(&args, kube, ui)).await;
    }
    let helpers = Helpers::default();
    let got = get(&args, kube, &helpers, ui).await;
    helpers.end(ui).await;
    got
}

async fn print_manual(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let kube = &kube.until_answered();
    let printed = pv::print_manual(args.cluster(), &args.pv, kube, ui).await;
    printed.map_err(|error| disaster::advise(error, "get", args.cluster(), &args.s3, kube))
}

async fn get(args: &Args, kube: &KubeFlags, helpers: &Helpers, ui: &Ui) -> Result<()> {
    let again = Again::typed();
    let kube = &match args.is_pv() {
        true => kube.until_answered(),
        false => kube.with_another_way(args.s3.place.bucket.is_some()),
    };
    if args.from == From::Service {
        kube.patience.lift();
    }
    let named = args.file.as_ref().filter(|file| !file.is_dir()).map(|file| target(args.force, file.clone()));
    // --force would be no advice for the snapshot's own file
    if let Some(named) = named.as_ref().filter(|_| args.dir.is_none()) {
        check_target(named, &again)?;
    }
    if named == Some(Target::Stdout) && std::io::stdout().is_terminal() {
        return Err(Error::usage("-O - would write the snapshot to this terminal").hint("redirect it, or name a file"));
    }
    let found = until_interrupted(find(args, kube, helpers, ui)).await.map_err(|error| unfound(error, args, kube))?;
    // what brings the bytes now may well be slow
    kube.patience.lift();
    if let Some(format) = args.output {
        return ui.document(selection(&found.item, format)?);
    }
    let target = match named {
        Some(named) => named,
        None => target(args.force, args.file.clone().unwrap_or_default().join(file_name(&found.item)?)),
    };
    found.refuse_store(&target)?;
    check_target(&target, &again)?;
    let stop = CancellationToken::new();
    let fetching = fetch(&found, &target, args, &stop, ui);
    tokio::pin!(fetching);
    let fetched = tokio::select! {
        fetched = &mut fetching => fetched,
        () = signals::asked_to_end() => {
            stop.cancel();
            fetching.await
        }
    };
    match fetched {
        Ok(proof) => report(&target, &found.item, &proof, ui),
        Err(error) => Err(advise(error, &found, &target, args, &again).await),
    }
}

/// What became of the file when the command ended before the download, and what else can be tried.
fn unfound(error: Error, args: &Args, kube: &KubeFlags) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => error.hint("no file was written; run it again"),
        _ if args.dir.is_some() || args.service_url.is_some() => error,
        _ => disaster::advise(error, "get", args.cluster(), &args.s3, kube),
    }
}

fn check(args: &Args) -> Result<()> {
    let s3 = args.s3.first_given();
    let elsewhere = args.dir.as_ref().map(|_| "--dir").or(args.service_url.as_ref().map(|_| "--service-url"));
    args.pv.check(args.from == From::Pv, args.from == From::Auto, s3.or(elsewhere))?;
    if args.dir.is_some() {
        check_only_dir(args.from == From::Auto || args.from == From::Dir, s3)?;
    }
    if let Some(flag) = s3.filter(|_| args.from == From::Service) {
        return Err(Error::usage(format!("{flag} cannot be used with --from service, which does not read S3"))
            .hint("leave one of them out"));
    }
    // the URL's certificate may need the bundle
    if let Some(flag) = s3.filter(|flag| args.service_url.is_some() && *flag != "--ca-bundle") {
        return Err(Error::usage(format!("{flag} cannot be used with --service-url, which does not read S3"))
            .hint("leave one of them out"));
    }
    args.cluster.as_deref().map_or(Ok(()), check_directory_name)
}

/// Refuses what has no meaning with --dir; `from` is whether --from lets it be.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub(super) fn check_only_dir(from: bool, s3_flag: Option<&str>) -> Result<()> {
    match s3_flag.or((!from).then_some("another --from")) {
        Some(flag) => {
            Err(Error::usage(format!("{flag} cannot be used with --dir, which reads a directory and contacts nobody"))
                .hint("leave one of them out"))
        }
        None => Ok(()),
    }
}

/// Old clusters have names that the CRD would refuse; a directory they must still name.
pub(super) fn check_directory_name(cluster: &str) -> Result<()> {
    match cluster {
        "" | "." | ".." => {}
        _ if cluster.contains(|c: char| c == '/' || c.is_control()) => {}
        _ => return Ok(()),
    }
    Err(Error::usage(format!("{cluster:?} is not the name of a cluster"))
        .hint("name it as in CLUSTER -n NAMESPACE; kubectl etcdbackup list -A shows which there are"))
}

async fn fetch(found: &Found, target: &Target, args: &Args, stop: &CancellationToken, ui: &Ui) -> Result<Proof> {
    let (origin, how) = found.origin().await?;
    let name = found.item.name.as_str();
    let progress = Arc::new(Mutex::new(Progress::new(ui, name, origin.size())));
    if let Some(of_this) = target.earlier(&origin) {
        let becomes = if of_this { "used" } else { "of another snapshot or source, and is discarded" };
        ui.say(format!("an earlier download to {} broke off; what it brought is {becomes}", target.shown()));
    }
    ui.say(format!("downloading {name} from {}", found.item.location()));
    let told = Arc::clone(&progress);
    let advance = Arc::new(move |bytes| told.lock().unwrap_or_else(PoisonError::into_inner).advance(bytes));
    let named = found.item.revision;
    if *target == Target::Stdout {
        stdout::look(&origin, named, stop, ui).await?;
    }
    let check = move |file: &File, proved: &Result<Proof>| match proved {
        Ok(proof) => truth::revision_of(&LocalFile::of(file, proof.size), named),
        Err(_) => Ok(()),
    };
    let proof = download::fetch_checked(origin, target, &args.transfer.over(how), advance, stop, check).await;
    progress.lock().unwrap_or_else(PoisonError::into_inner).finish();
    proof
}

/// After bytes that fail proof the next older snapshot is one command away, and never taken silently.
async fn advise(error: Error, found: &Found, target: &Target, args: &Args, again: &Again) -> Error {
    let left = match target {
        Target::File { .. } => "no file was written",
        Target::Stdout => "what went to stdout is not proved: do not use it",
    };
    if error.kind() != ErrorKind::Unproved {
        return match target.left_over() {
            Some(left) => error.hint(left.advice(&again.same())),
            None if error.kind() == ErrorKind::Interrupted => error.hint(format!("{left}; run it again")),
            None if *target == Target::Stdout => error.hint(left),
            None => error,
        };
    }
    let error = error.context(format!("{} from {}", found.item.name, found.item.location()));
    let older = |revision: u64| again.with("--revision", Some(&revision.to_string()));
    match until_interrupted(found.older()).await {
        Err(unknown) => {
            let list = again.listing();
            error.hint(format!("{left}; run it again; which are older: {list} (not known here: {})", unknown.message()))
        }
        Ok(Some(revision)) => {
            error.hint(format!("{left}; run it again; if it fails alike, the next older one: {}", older(revision)))
        }
        Ok(None) if args.service_url.is_some() => {
            error.hint(format!("{left}; run it again, or read the store itself with --from s3 instead of the URL"))
        }
        Ok(None) if found.is_of_service() => error.hint(format!(
            "{left}; run it again; the store itself may have more: {}",
            again.with("--from", Some("s3"))
        )),
        Ok(None) => error.hint(format!("{left}; run it again; there is no older one")),
    }
}

fn report(target: &Target, item: &Item, proof: &Proof, ui: &Ui) -> Result<()> {
    let revision = item.revision.map(|revision| format!("revision {revision}   ")).unwrap_or_default();
    let version = item.etcd_version.as_ref().map(|version| format!("etcd {version}   ")).unwrap_or_default();
    let facts = format!("{revision}{version}{} bytes   sha256 verified", proof.size);
    match target {
        Target::File { path, .. } => ui.data(format!("{}   {facts}", path.display())),
        // stdout is the snapshot
        Target::Stdout => {
            ui.say(format!("{}   {facts}", item.name));
            Ok(())
        }
    }
}

/// What `-o` prints of the selection.
fn selection(item: &Item, format: OutputFormat) -> Result<String> {
    match format {
        OutputFormat::Json => output::to_json(item),
        OutputFormat::Yaml => output::to_yaml(item),
        OutputFormat::Name => Ok(one_line(&item.name)),
    }
}
