//! A mounted directory as the store: the files of a PersistentVolume.
//!
//! Below the directory of a cluster, `v1/<cluster>/`, and of each of its later histories, `history/<history>/` in it,
//! lie the snapshots by their names, and in `meta/` the mark of each that our agent wrote. What is being written is in
//! the cluster's `tmp/`. Source of the place: coreos/etcd-operator, pkg/backup/backup.go at v0.6.1.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Found;
use super::directory::{Directory, cannot};
use super::mark::{MOST_BYTES, Mark};
use crate::aws::s3::{BegunUpload, Object};
use crate::error::{Error, Result};
use crate::snapshot::TrailerHasher;
use crate::snapshot::metadata::Metadata;
use crate::snapshot::trailer::TRAILER_BYTES;
use crate::source::Listing;
use crate::source::newest;

/// The directory of the marks, beside the snapshots.
pub(super) const META: &str = "meta";

/// The directory of what is being written, in the cluster's.
pub(super) const TMP: &str = "tmp";

const HISTORY: &str = "history";

/// Whoever writes has written something in so long.
const QUIET: SignedDuration = SignedDuration::from_secs(120);

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// A mounted directory; keys are paths below it.
#[derive(Debug, Clone)]
pub struct Volume(Arc<Directory>);

/// Where the file of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot<'a> {
    /// The directory of the cluster.
    pub cluster: &'a str,
    /// The directory of the history.
    pub directory: &'a str,
    pub name: &'a str,
}

impl<'a> Spot<'a> {
    /// Takes a key apart: `v1/<cluster>/<name>` or `v1/<cluster>/history/<history>/<name>`.
    pub(super) fn of(key: &'a str) -> Self {
        let (directory, name) = key.rsplit_once('/').unwrap_or(("", key));
        let end = directory.match_indices('/').nth(1).map_or(directory.len(), |(end, _)| end);
        Self { cluster: &directory[..end], directory, name }
    }
}

/// The name of the mark of the file `name`.
pub(super) fn mark_name(name: &str) -> String {
    format!("{name}.json")
}

/// Takes the name of a file in `tmp/` apart: the name that it is for, and what tells it from others for that name.
fn temporary(name: &str) -> Option<(&str, &str)> {
    let hexadecimal = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    name.rsplit_once('.').filter(|(_, id)| id.len() == 16 && hexadecimal(id))
}

/// Does something that may wait for a disk.
pub(super) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::general(format!("cannot use the volume: {error}")))?
}

impl Volume {
    /// The volume that is mounted at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when that is no directory; those of the disk.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Directory::mounted(path)?)))
    }

    pub(super) fn mount(&self) -> Arc<Directory> {
        Arc::clone(&self.0)
    }

    /// The path of the file of a key.
    pub(super) fn url(&self, key: &str) -> String {
        self.0.path().join(key).display().to_string()
    }

    /// Does something with `key` that may wait for the disk.
    async fn at<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Directory, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (mount, key) = (self.mount(), key.to_owned());
        on_disk(move || work(&mount, &key)).await
    }

    /// What is under the key.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn head(&self, key: &str) -> Result<Option<Found>> {
        self.at(key, |mount, key| {
            let Spot { directory, name, .. } = Spot::of(key);
            let Some(directory) = mount.at(directory)? else { return Ok(None) };
            let Some(entry) = directory.look(name)? else { return Ok(None) };
            Ok(Some(Found { size: Some(entry.size), metadata: marked(&directory, name)?, etag: None }))
        })
        .await
    }

    /// The last 32 bytes of a file, in hex, proved once more: a disk keeps no sums of its own, and a file that has
    /// rotted must not be called stored.
    ///
    /// # Errors
    /// Those of the disk; a file that is gone; [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved), reason
    /// `Damaged`.
    pub(super) async fn proved(&self, key: &str) -> Result<String> {
        self.at(key, |mount, key| {
            let Spot { directory, name, .. } = Spot::of(key);
            let file = mount.at(directory)?.map(|directory| directory.file(name)).transpose()?.flatten();
            let path = mount.path().join(key);
            let file =
                file.ok_or_else(|| Error::general(format!("{} is gone", path.display())).hint("run it again"))?;
            let hasher = hashed(file).map_err(|error| cannot("read", &path, error))?;
            hasher.finish().map(|proof| proof.sha256_hex()).map_err(|error| damaged(&path, &error))
        })
        .await
    }

    /// The files in the directory `prefix` and in those of its histories, in the order of their keys.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = self.at(prefix, files_of_all).await?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// What a cluster's `directory` holds.
    ///
    /// # Errors
    /// Those of the disk.
    pub(in crate::agent) async fn listing(&self, directory: &str) -> Result<Listing> {
        Ok(newest::listing(directory, self.list(directory).await?))
    }

    /// Removes a file and its mark; what is gone already is no error.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        self.at(key, |mount, key| {
            let Spot { directory, name, .. } = Spot::of(key);
            let Some(directory) = mount.at(directory)? else { return Ok(()) };
            directory.remove(name)?;
            // The mark last, when the file is gone from the disk, too. Without its file it means nothing, and the next
            // of this name replaces it; a file without its mark would be nobody's and stay for ever.
            directory.sync()?;
            match directory.at(META)? {
                Some(marks) => marks.remove(&mark_name(name)),
                None => Ok(()),
            }
        })
        .await
    }

    /// The files in the `tmp/` of a cluster's directory, as uploads: the age is that of the last byte. One that is not
    /// locked is nobody's. It counts only after [`QUIET`]: not every mount shows the locks of other nodes.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn begun_uploads(&self, root: &str) -> Result<Vec<BegunUpload>> {
        self.at(root, |mount, root| {
            let Some(directory) = mount.at(&format!("{root}{TMP}"))? else { return Ok(Vec::new()) };
            let mut uploads = Vec::new();
            for name in directory.names()? {
                let Some((key, id)) = temporary(&name) else { continue };
                let entry = directory.look(&name)?.filter(|entry| entry.is_file);
                let upload = |begun| {
                    let abandoned = Timestamp::now().duration_since(begun) >= QUIET && directory.is_unlocked(&name);
                    BegunUpload { key: format!("{root}{key}"), id: id.to_owned(), begun, abandoned }
                };
                uploads.extend(entry.and_then(|entry| entry.modified).map(upload));
            }
            Ok(uploads)
        })
        .await
    }

    /// Removes what such an upload left.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.at(key, move |mount, key| {
            let spot = Spot::of(key);
            let Some(directory) = mount.at(&format!("{}/{TMP}", spot.cluster))? else { return Ok(()) };
            let name = format!("{}.{id}", spot.name);
            // the file last: by its name the rest is found
            directory.remove(&mark_name(&name))?;
            directory.remove(&name)
        })
        .await
    }
}

/// What our agent recorded with the file `name`; `None` when the file is not one that it wrote.
fn marked(directory: &Directory, name: &str) -> Result<Option<Metadata>> {
    let mark = directory.at(META)?.map(|marks| marks.file(&mark_name(name))).transpose()?.flatten();
    let Some(mark) = mark else { return Ok(None) };
    let path = directory.path().join(name);
    let failed = |error: io::Error| cannot("read", &path, error);
    let mut text = Vec::new();
    mark.take(MOST_BYTES).read_to_end(&mut text).map_err(failed)?;
    let (Some(mark), Some(file)) = (Mark::parse(&text), directory.file(name)?) else { return Ok(None) };
    let (size, trailer) = tail(&file).map_err(failed)?;
    Ok(mark.of(size, &trailer))
}

/// The size of a file and its last 32 bytes, fewer if it has no more.
fn tail(file: &File) -> io::Result<(u64, Vec<u8>)> {
    let size = file.metadata()?.len();
    let length = size.min(TRAILER_BYTES);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, size - length)?;
    Ok((size, bytes))
}

/// The hash of a whole file.
fn hashed(mut file: File) -> io::Result<TrailerHasher> {
    let (mut hasher, mut buffer) = (TrailerHasher::default(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn damaged(path: &Path, error: &Error) -> Error {
    let path = path.display();
    let sentence = format!("Damaged: {path} was proved when it was stored, and is no longer: {}", error.message());
    Error::unproved(sentence).hint("check the disk, move the file out of its directory, and run it again")
}

fn files_of_all(mount: &Directory, prefix: &str) -> Result<Vec<Object>> {
    let Some(directory) = mount.at(prefix)? else { return Ok(Vec::new()) };
    let mut files = files(&directory, prefix)?;
    let Some(histories) = directory.at(HISTORY)? else { return Ok(files) };
    for name in histories.names()? {
        if histories.look(&name)?.is_some_and(|entry| entry.is_directory)
            && let Some(history) = histories.at(&name)?
        {
            files.extend(self::files(&history, &format!("{prefix}{HISTORY}/{name}/"))?);
        }
    }
    Ok(files)
}

/// The files directly in a directory.
fn files(directory: &Directory, prefix: &str) -> Result<Vec<Object>> {
    let mut files = Vec::new();
    for name in directory.names()? {
        if let Some(entry) = directory.look(&name)?.filter(|entry| entry.is_file) {
            files.push(Object {
                key: format!("{prefix}{name}"),
                size: entry.size,
                etag: None,
                modified: entry.modified,
            });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
