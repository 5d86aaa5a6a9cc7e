//! Where the snapshot is, and how its bytes come to where they can be read by position.

use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::super::get::place::resolve;
use crate::aws::S3;
use crate::cli::progress::Progress;
use crate::cli::{KubeFlags, S3ReadFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::signals;
use crate::snapshot::{Proof, TrailerHasher};
use crate::source::file::LocalFile;
use crate::source::object;
use crate::source::origin::{Origin, Ranges};
use crate::transfer::download::{self, How, Target};

/// Bytes of stdin that are read at once.
const BLOCK: usize = 1 << 20;

/// A snapshot somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Stdin,
    S3 { bucket: String, key: String },
}

/// Reads what stands in the command line.
pub(super) fn parse(text: &str) -> Result<Place, String> {
    let Some(rest) = text.strip_prefix("s3://") else {
        return Ok(if text == "-" { Place::Stdin } else { Place::File(text.into()) });
    };
    match rest.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() && !key.ends_with('/') => {
            Ok(Place::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
        }
        _ => Err("must be s3://BUCKET/KEY, without a slash at its end".to_owned()),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("-"),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// Copies stdin into a file without a name, and hashes it on the way.
pub(super) fn spool() -> Result<(LocalFile<File>, Result<Proof>)> {
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Error::usage("- would read the snapshot from this terminal").hint("redirect a file into it"));
    }
    let failed = |error: std::io::Error| {
        let directory = std::env::temp_dir();
        Error::general(format!("cannot keep stdin in a temporary file in {}: {error}", directory.display()))
            .hint("name a directory with more space in TMPDIR")
    };
    let mut file = tempfile::tempfile().map_err(failed)?;
    let (mut hasher, mut block) = (TrailerHasher::default(), vec![0; BLOCK]);
    loop {
        let read = match stdin.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::general(format!("cannot read stdin: {error}"))),
        };
        file.write_all(&block[..read]).map_err(failed)?;
        hasher.update(&block[..read]);
    }
    Ok((LocalFile::of(file, hasher.size()), hasher.finish()))
}

/// Downloads the object into a file without a name. Bytes that fail proof are there too: they may tell where.
///
/// # Errors
/// Those of S3 and of the disk.
pub(super) async fn download(
    place: &Place,
    (origin, how): (Origin, How),
    ui: &Ui,
) -> Result<(LocalFile<File>, Result<Proof>)> {
    let failed = |error: std::io::Error| {
        Error::general(format!("cannot make a temporary file in {}: {error}", std::env::temp_dir().display()))
            .hint("name another directory in TMPDIR")
    };
    let directory = tempfile::Builder::new().prefix("etcdbackup-verify-").tempdir().map_err(failed)?;
    ui.say(format!("downloading {place} into a temporary file in {}", std::env::temp_dir().display()));
    let progress = Arc::new(Mutex::new(Progress::new(ui, place.to_string(), origin.size())));
    let told = progress.clone();
    let advance = Arc::new(move |bytes| told.lock().unwrap_or_else(PoisonError::into_inner).advance(bytes));
    let target = Target::File { path: directory.path().join("etcd.backup"), force: false };
    let (keep, kept) = std::sync::mpsc::channel();
    // where the proof fails, the download takes the name away, and not what is open
    let check = move |file: &File, _: &Result<Proof>| {
        let _ = keep.send(file.try_clone());
        Ok(())
    };
    signals::bear_file_limit();
    let proved = download::fetch_checked(origin, &target, &how, advance, &CancellationToken::new(), check).await;
    progress.lock().unwrap_or_else(PoisonError::into_inner).finish();
    match proved {
        Err(error) if error.kind() != ErrorKind::Unproved => Err(error),
        proved => {
            let unseen = || Error::general(format!("{place} was downloaded and not examined"));
            let file = kept.try_recv().map_err(|_| unseen())?.map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            Ok((LocalFile::of(file, size), proved))
        }
    }
}

/// The object by ranges, and its size.
///
/// # Errors
/// Those of S3.
pub(super) async fn ranges(
    place: &Place,
    flags: &S3ReadFlags,
    kube: &KubeFlags,
    ui: &Ui,
) -> Result<(Arc<dyn Ranges>, u64)> {
    match origin(place, flags, kube, ui).await?.0 {
        Origin::Ranged { size, ranges, .. } => Ok((ranges, size)),
        Origin::Streamed { .. } => Err(Error::general("the store gives no ranges").hint("leave out --quick")),
    }
}

/// The object to be downloaded.
///
/// # Errors
/// Those of S3.
pub(super) async fn origin(place: &Place, flags: &S3ReadFlags, kube: &KubeFlags, ui: &Ui) -> Result<(Origin, How)> {
    let Place::S3 { bucket, key } = place else { return Err(Error::usage("not a place in S3")) };
    let mut flags = flags.clone();
    flags.place.path = Some(format!("{bucket}/{key}"));
    let mut place = resolve("", &flags, kube, ui).await?;
    let (etag, size) = match version(&place.s3, key).await {
        Err(_) if place.follow(ui) => version(&place.s3, key).await?,
        found => found?,
    };
    Ok((object::origin(&place.s3, key, &etag, size).await, How::NETWORK))
}

/// The ETag and size of the object: all requests must be answered by this version of it.
async fn version(s3: &S3, key: &str) -> Result<(String, u64)> {
    let url = s3.url(key);
    let head = s3.head(key).await?.ok_or_else(|| Error::not_found(format!("{url} does not exist")))?;
    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
    match (head.e_tag(), size) {
        (Some(etag), Some(size)) => Ok((etag.to_owned(), size)),
        _ => Err(Error::general(format!("s3: {url} has no size or ETag"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_stdin_or_an_object() {
        assert_eq!(parse("-"), Ok(Place::Stdin));
        assert_eq!(parse("./-"), Ok(Place::File("./-".into())));
        assert_eq!(parse("s3://b/a/k"), Ok(Place::S3 { bucket: "b".to_owned(), key: "a/k".to_owned() }));
        for bad in ["s3://", "s3://b", "s3://b/", "s3:///k", "s3://b/a/"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
