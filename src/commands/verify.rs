//! `verify`: what a snapshot is worth, without a cluster.

mod place;
mod report;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use clap::{Args as ClapArgs, ValueHint};

use super::get::disaster;
use crate::cli::{DocumentFormat, KubeFlags, S3ReadFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::bolt::{Database, ReadAt};
use crate::snapshot::proof::{self, Verdict};
use crate::snapshot::trailer::{TRAILER_BYTES, check_size};
use crate::snapshot::{Proof, keyspace};
use crate::source::file::LocalFile;
use crate::source::look::Look;
use crate::transfer::blocking;
use place::Place;
use report::{Report, Wrong};

/// Prove a snapshot: its sha256, its database, and its name
///
/// Reads every page and changes nothing. The first thing that is wrong is said
/// with its place, and is exit code 4.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// File, s3://BUCKET/KEY, or - for stdin
    #[arg(value_name = "FILE", value_parser = place::parse, value_hint = ValueHint::FilePath)]
    place: Place,
    /// Only look: at most 8 small requests; the bytes are not proved
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    s3: S3ReadFlags,
    /// Print all that was found, also of a snapshot that fails
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # a file of any origin: kubectl etcdbackup get, etcdctl snapshot save, …
  kubectl etcdbackup verify 3.5.21_000000000000000f_etcd.backup

  # one in S3, through a temporary file in $TMPDIR
  kubectl etcdbackup verify s3://etcd-backups/v1/etcd-a/etcd.backup

  # what it holds, without downloading it
  kubectl etcdbackup verify --quick s3://etcd-backups/v1/etcd-a/etcd.backup

  # from a pipe
  gunzip -c etcd.backup.gz | kubectl etcdbackup verify -

  # for a script
  kubectl etcdbackup verify etcd.backup -o json | jq .revision

RBAC: none; with --secret:
  get              secrets

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Unproved`] for the first thing that is wrong; those of the place.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check(&args)?;
    // only a Secret is asked for, and a person may have credentials without it
    let kube = &kube.with_another_way(false);
    let shown = args.place.to_string();
    let report = match args.quick {
        true => quick(&args, kube, ui).await,
        false => whole(&args, kube, ui).await,
    };
    let report = report.map_err(|error| match error.kind() {
        ErrorKind::Unproved => error.context(&shown),
        _ => disaster::without_secret(error, &args.s3, kube),
    })?;
    report.warnings().iter().for_each(|warning| ui.warn(warning));
    match args.output {
        Some(format) => ui.document(format.text(&report)?)?,
        None if report.wrong.is_none() => ui.data(report.line())?,
        None => {}
    }
    match report.wrong {
        Some(error) => Err(error.context(shown)),
        None => Ok(()),
    }
}

fn check(args: &Args) -> Result<()> {
    let flags = &args.s3.place;
    let elsewhere = flags.bucket.is_some() || flags.prefix.is_some() || flags.layout.is_some() || flags.path.is_some();
    match (&args.place, args.s3.first_given()) {
        (Place::S3 { .. }, Some(flag)) if elsewhere => {
            Err(Error::usage(format!("{flag} cannot be used with the place {}", args.place))
                .hint("leave one of them out"))
        }
        (Place::S3 { .. }, _) => Ok(()),
        (_, Some(flag)) => Err(Error::usage(format!("{flag} cannot be used with a file, which is not in S3"))
            .hint("name an object as s3://BUCKET/KEY")),
        (Place::Stdin, None) if args.quick => Err(Error::usage("--quick cannot be used with -, which has no ranges")
            .hint("name a file, or an object as s3://BUCKET/KEY")),
        _ => Ok(()),
    }
}

async fn whole(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<Report> {
    let name = args.place.to_string();
    match &args.place {
        Place::File(path) => {
            let file = open(path)?;
            blocking(move || Ok(examine(name, &file, None))).await
        }
        Place::Stdin => {
            ui.say(format!("reading stdin into a temporary file in {}", std::env::temp_dir().display()));
            let (file, hashed) = blocking(place::spool).await?;
            blocking(move || Ok(examine_hashed(name, &file, hashed))).await
        }
        Place::S3 { .. } => {
            let (origin, how) = place::origin(&args.place, &args.s3, kube, ui).await?;
            let size = origin.size().unwrap_or_default();
            if let Err(wrong) = check_size(size) {
                // its bytes could prove nothing
                return Ok(Report::of(name, size, Verdict { size: Err(wrong), sha256: None, bolt: None }));
            }
            let (file, hashed) = place::download(&args.place, (origin, how), ui).await?;
            blocking(move || Ok(examine_hashed(name, &file, hashed))).await
        }
    }
}

fn open(path: &Path) -> Result<LocalFile<File>> {
    LocalFile::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            error.hint("name a file, s3://BUCKET/KEY, or - for stdin; \"get\" proves what it downloads")
        }
        _ => error,
    })
}

fn examine(name: String, reader: &(impl ReadAt + Sync), proved: Option<Proof>) -> Report {
    Report::of(name, reader.size(), proof::examine(reader, proved))
}

/// Of bytes that were hashed on their way.
fn examine_hashed(name: String, file: &LocalFile<File>, hashed: Result<Proof>) -> Report {
    let size = file.size();
    match hashed {
        Ok(proof) => examine(name, file, Some(proof)),
        // the hash is known to be wrong, and what the pages say is worth a hint
        Err(error) if check_size(size).is_ok() => {
            let bolt = Some(Database::open(file).and_then(keyspace::examine));
            Report::of(name, size, Verdict { size: Ok(()), sha256: Some(Err(error)), bolt })
        }
        Err(_) => examine(name, file, None),
    }
}

async fn quick(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<Report> {
    let name = args.place.to_string();
    match &args.place {
        Place::S3 { .. } => {
            let (ranges, size) = place::ranges(&args.place, &args.s3, kube, ui).await?;
            let look = Arc::new(Look::new(ranges, size));
            let seen = look.clone();
            let report = blocking(move || glance(name, &*look)).await?;
            let requests = seen.requests();
            let s = if requests == 1 { "" } else { "s" };
            ui.say(format!("looked at {size} bytes by {requests} request{s}"));
            Ok(report)
        }
        Place::File(path) => {
            let file = open(path)?;
            blocking(move || glance(name, &file)).await
        }
        Place::Stdin => Err(Error::usage("--quick needs a file")),
    }
}

/// What a few pages tell. Reading that fails is an error; bytes that are wrong are a report.
fn glance(name: String, reader: &impl ReadAt) -> Result<Report> {
    let look = || {
        check_size(reader.size()).map_err(Wrong::Size)?;
        trailer_is_there(reader).map_err(Wrong::Trailer)?;
        Database::open(reader).and_then(|database| keyspace::glance(&database)).map_err(Wrong::Pages)
    };
    Report::of_glance(name, reader.size(), look())
}

fn trailer_is_there(reader: &impl ReadAt) -> Result<()> {
    let mut trailer = [0; TRAILER_BYTES as usize];
    reader.read_at(reader.size() - TRAILER_BYTES, &mut trailer)?;
    match trailer == [0; TRAILER_BYTES as usize] {
        true => Err(Error::unproved("the sha256 trailer is missing: its place holds zeros")),
        false => Ok(()),
    }
}
