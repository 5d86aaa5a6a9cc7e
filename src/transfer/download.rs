//! From a stream of bytes to a file whose name says "complete and verified".

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::snapshot::{Proof, TrailerHasher};
use crate::source::Body;

/// Chunks on their way to the disk; with reads of at most 256 KiB, 8 MiB.
const IN_FLIGHT: usize = 32;

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file; one that exists is left alone unless `force`.
    File { path: PathBuf, force: bool },
    /// Standard output: the proof comes after the bytes.
    Stdout,
}

impl Target {
    /// Refuses a target that must not be written, before anything is transferred.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) for a file that exists, and even with `force` for
    /// anything that is not a regular file: a device, a pipe, a link.
    pub fn check(&self) -> Result<()> {
        let Self::File { path, force } = self else { return Ok(()) };
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => Err(Error::general(format!("{} is not a regular file", path.display()))
                .hint("name another one with -O PATH")),
            Ok(_) if !force => Err(exists(path)),
            _ => Ok(()),
        }
    }
}

/// Receives a snapshot: hashes it as it arrives, and gives it its name only when the trailer matched.
/// `expected` is the size that the source announced; `advance` is told of every arrival.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for bytes that fail proof, [`ErrorKind::General`]
/// for the disk and the network. No file is left but a target that was there before.
///
/// [`ErrorKind::General`]: crate::error::ErrorKind::General
pub async fn receive(body: Body, expected: Option<u64>, target: &Target, advance: impl FnMut(u64)) -> Result<Proof> {
    match target {
        Target::Stdout => {
            let (_, hasher) = pour(body, io::stdout(), "stdout".to_owned(), advance).await?;
            prove(hasher, expected)
        }
        Target::File { path, force } => {
            let (part, file) = PartFile::create(path)?;
            let (file, hasher) = pour(body, file, part.path.display().to_string(), advance).await?;
            let proof = prove(hasher, expected)?;
            let (path, force) = (path.clone(), *force);
            match tokio::task::spawn_blocking(move || part.publish(&file, &path, force)).await {
                Ok(published) => published.map(|()| proof),
                Err(error) => Err(Error::general(format!("cannot finish the file: {error}"))),
            }
        }
    }
}

fn prove(hasher: TrailerHasher, expected: Option<u64>) -> Result<Proof> {
    let received = hasher.size();
    match expected {
        Some(expected) if expected != received => {
            Err(Error::unproved(format!("snapshot is incomplete: expected {expected} bytes, received {received}"))
                .hint("run it again"))
        }
        _ => hasher.finish(),
    }
}

/// Writes and hashes on a thread of its own, so that the network is not kept waiting.
async fn pour<W: Write + Send + 'static>(
    mut body: Body,
    mut sink: W,
    shown: String,
    mut advance: impl FnMut(u64),
) -> Result<(W, TrailerHasher)> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(IN_FLIGHT);
    let writer = tokio::task::spawn_blocking(move || {
        let mut hasher = TrailerHasher::default();
        while let Some(chunk) = receiver.blocking_recv() {
            sink.write_all(&chunk).map_err(|error| unwritable(&shown, &error))?;
            hasher.update(&chunk);
        }
        sink.flush().map_err(|error| unwritable(&shown, &error))?;
        Ok((sink, hasher))
    });
    let mut broken = None;
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => {
                let bytes = chunk.len() as u64;
                // the writer only goes away with an error of its own, which is told below
                if sender.send(chunk).await.is_err() {
                    break;
                }
                advance(bytes);
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let written = writer.await.map_err(|error| Error::general(format!("cannot write: {error}")))?;
    match broken {
        Some(error) => Err(error),
        None => written,
    }
}

/// `TARGET.part`, mode 0600, made by this run and removed unless it is published.
struct PartFile {
    path: PathBuf,
}

impl PartFile {
    /// A file that was not there before: one that was may be another run's, or somebody's own.
    fn create(target: &Path) -> Result<(Self, File)> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut name: OsString = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let shown = path.display().to_string();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::general(format!("{shown} exists: another download is running, or one was killed"))
                    .hint(format!("if none is running: rm {shown}"))
            }
            _ => unwritable(&shown, &error),
        })?;
        Ok((Self { path }, file))
    }

    /// Brings the bytes to the disk, gives them their name, and brings that to the disk.
    fn publish(self, file: &File, target: &Path, force: bool) -> Result<()> {
        let shown = target.display().to_string();
        file.sync_all().map_err(|error| unwritable(&shown, &error))?;
        let part = tempfile::TempPath::try_from_path(&self.path).map_err(|error| unwritable(&shown, &error))?;
        let named = if force { part.persist(target) } else { part.persist_noclobber(target) };
        std::mem::forget(self);
        named.map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => exists(target),
            _ => unwritable(&shown, &failed.error),
        })?;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| unwritable(&directory.display().to_string(), &error))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // it holds nothing that could be used
        let _ = std::fs::remove_file(&self.path);
    }
}

fn exists(path: &Path) -> Error {
    Error::general(format!("{} exists", path.display()))
}

fn unwritable(shown: &str, error: &io::Error) -> Error {
    let error = Error::general(format!("cannot write {shown}: {error}"));
    if shown == "stdout" {
        error
    } else {
        error.hint("check the directory and its free space, or choose another with -O PATH")
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::error::ErrorKind;

    fn snapshot() -> Vec<u8> {
        let mut bytes = vec![5; 4096];
        let sha = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sha);
        bytes
    }

    fn body(bytes: &[u8], end: Option<Error>) -> Body {
        let chunks: Vec<Result<Bytes>> =
            bytes.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).chain(end.map(Err)).collect();
        futures::stream::iter(chunks).boxed()
    }

    async fn get(bytes: &[u8], expected: Option<u64>, path: &Path, force: bool) -> Result<Proof> {
        receive(body(bytes, None), expected, &Target::File { path: path.to_owned(), force }, |_| {}).await
    }

    fn files(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn proved_bytes_get_their_name_and_nothing_else_is_left() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let proof = get(&snapshot(), Some(4128), &path, false).await.unwrap();
        assert_eq!((proof.size, std::fs::read(&path).unwrap()), (4128, snapshot()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files(directory.path()), ["a"]);
    }

    #[tokio::test]
    async fn what_fails_proof_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut flipped = snapshot();
        flipped[100] ^= 1;
        for (bytes, expected) in [
            (flipped, None),
            (snapshot()[..4000].to_vec(), None),
            (snapshot()[..3616].to_vec(), Some(4128)),
            (vec![], None),
        ] {
            let error = get(&bytes, expected, &path, true).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unproved);
            assert_eq!(files(directory.path()), [""; 0]);
        }
        let target = Target::File { path, force: false };
        let broken = receive(body(&snapshot(), Some(Error::general("reset"))), None, &target, |_| {});
        assert_eq!(broken.await.unwrap_err().message(), "reset");
        assert_eq!(files(directory.path()), [""; 0]);
    }

    #[tokio::test]
    async fn an_existing_target_is_left_alone_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "mine").unwrap();
        let error = get(&snapshot(), None, &path, false).await.unwrap_err();
        assert!(error.message().ends_with("exists"), "{}", error.message());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        assert!(Target::File { path: path.clone(), force: false }.check().is_err());
        get(&snapshot(), None, &path, true).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), snapshot());
    }

    #[tokio::test]
    async fn two_runs_into_one_target_do_not_meet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let (part, _file) = PartFile::create(&path).unwrap();
        let error = get(&snapshot(), None, &path, false).await.unwrap_err();
        assert!(error.message().contains("another download"), "{}", error.message());
        assert!(part.path.exists(), "the refused run removed the other's file");
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        for path in [link, PathBuf::from("/dev/null"), directory.path().to_owned()] {
            let error = Target::File { path, force: true }.check().unwrap_err();
            assert!(error.message().ends_with("is not a regular file"), "{}", error.message());
        }
    }
}
