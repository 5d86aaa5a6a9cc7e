//! The store as a directory: a volume that is mounted, of which nothing is changed.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::store::Store;
use crate::error::{Error, Result};
use crate::snapshot::Layout;
use crate::source::dir::{self, ClusterDirectory, Looked, Sought};
use crate::source::origin::{Failure, Origin};
use crate::source::{Body, Listing, StoredSnapshot, Wanted};

/// The snapshots of one cluster below a directory.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    directory: PathBuf,
    cluster: String,
}

impl Volume {
    pub(super) fn new(directory: &Path, cluster: &str) -> Self {
        Self { directory: directory.to_owned(), cluster: cluster.to_owned() }
    }

    /// Looks below the directory. A snapshot that cannot be read is listed without a tag.
    fn look(&self) -> Result<Listing> {
        let sought = Sought { path: &self.directory, cluster: Some(&self.cluster), namespace: None };
        let looked = dir::look(&sought)?;
        looked.refused.iter().for_each(|error| tracing::warn!(error = error.message(), "passed over"));
        let found = self.own(looked, &sought)?;
        let mut listing = found.listing.clone();
        for snapshot in &mut listing.snapshots {
            let file = found.file(snapshot);
            snapshot.etag = tag(&file);
            snapshot.location = file.display().to_string();
        }
        Ok(listing)
    }

    /// The directory that the agent writes to. What an older tool left elsewhere counts only where that has none.
    fn own(&self, mut looked: Looked, sought: &Sought<'_>) -> Result<ClusterDirectory> {
        let own = self.directory.join(Layout::Cluster.directory("", "", &self.cluster));
        match looked.found.iter().position(|one| one.path == own) {
            Some(at) => {
                let found = looked.found.swap_remove(at);
                looked.found.iter().for_each(|other| {
                    tracing::warn!(directory = %other.path.display(), "snapshots here are not served");
                });
                Ok(found)
            }
            None => looked.one(sought),
        }
    }
}

/// Tells a state of a file from every other on this volume, wherever it is mounted; `None` for one that cannot be
/// opened.
fn tag(file: &Path) -> Option<String> {
    // what was a file when it was listed may be a pipe now
    let carefully = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(file, carefully, Mode::empty()).map(File::from).map_err(io::Error::from);
    let found = opened.and_then(|file| file.metadata());
    let found = found.inspect_err(|error| tracing::warn!(file = %file.display(), %error, "cannot be read")).ok()?;
    Some(format!("\"{:x}-{:x}-{:x}.{:x}\"", found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

impl Store for Volume {
    async fn list(&self) -> Result<Listing> {
        let volume = self.clone();
        // a disk may be slow or stuck
        let looked = tokio::task::spawn_blocking(move || volume.look()).await;
        looked.map_err(|error| Error::general(format!("cannot look: {error}")))?
    }

    async fn find(&self, _: &Wanted) -> Result<Listing> {
        self.list().await
    }

    async fn open(&self, snapshot: &StoredSnapshot, range: Option<RangeInclusive<u64>>) -> Result<Body> {
        let path = PathBuf::from(&snapshot.location);
        let opened = tokio::task::spawn_blocking(move || dir::open(&path)).await;
        let origin = opened.map_err(|error| Error::general(format!("cannot open: {error}")))??;
        let Origin::Ranged { size, ranges, .. } = origin else {
            return Err(Error::general(format!("{} cannot be read by range", snapshot.location)));
        };
        let range = range.map_or(0..size, |range| *range.start()..range.end() + 1);
        ranges.open(range).await.map_err(Failure::into_error)
    }

    async fn refresh(&self) {}
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::error::ErrorKind;
    use crate::snapshot::History;

    const FIRST: &str = "3.5.21_000000000000000f_etcd.backup";

    fn volume(files: &[&str]) -> (tempfile::TempDir, Volume) {
        let disk = tempfile::tempdir().unwrap();
        for file in files {
            let path = disk.path().join("v1/etcd-a").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"0123456789").unwrap();
        }
        let volume = Volume::new(disk.path(), "etcd-a");
        (disk, volume)
    }

    #[tokio::test]
    async fn a_volume_is_listed_with_its_histories_and_read_by_range() {
        let later = format!("history/20260102T030405Z_ab/{FIRST}");
        let (_disk, volume) = volume(&[FIRST, &later, "meta/x.json", "tmp/x", "notes.txt"]);
        let listing = volume.list().await.unwrap();
        assert_eq!((listing.snapshots.len(), listing.foreign), (2, vec!["notes.txt".to_owned()]));
        let first = listing.snapshots.iter().find(|one| one.history == History::First).unwrap();
        assert!(first.etag.is_some() && first.size == Some(10));
        let bytes = |range| async {
            let body = volume.open(first, range).await.unwrap();
            body.try_collect::<Vec<_>>().await.unwrap().concat()
        };
        assert_eq!((bytes(None).await, bytes(Some(2..=4)).await), (b"0123456789".to_vec(), b"234".to_vec()));
    }

    #[tokio::test]
    async fn what_an_older_tool_left_elsewhere_is_in_nobody_s_way() {
        let disk = tempfile::tempdir().unwrap();
        let volume = Volume::new(disk.path(), "etcd-a");
        for directory in ["", "etcd-a", "v1/default/etcd-a", "v1/etcd-a"] {
            let path = disk.path().join(directory);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(FIRST), directory).unwrap();
        }
        let listing = volume.list().await.unwrap();
        let own = disk.path().join("v1/etcd-a").join(FIRST);
        assert_eq!((listing.snapshots.len(), &listing.snapshots[0].location), (1, &own.display().to_string()));
        std::fs::remove_file(own).unwrap();
        assert!(volume.list().await.unwrap_err().message().starts_with("more than one directory"));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let disk = tempfile::tempdir().unwrap();
        let pipe = disk.path().join(FIRST);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        tag(&pipe);
        let link = disk.path().join("link");
        std::os::unix::fs::symlink("/proc/self/stat", &link).unwrap();
        assert_eq!(tag(&link), None);
    }

    #[tokio::test]
    async fn another_state_has_another_tag_and_no_cluster_is_told_from_none() {
        let (disk, volume) = volume(&[FIRST]);
        let tag = |listing: Listing| listing.snapshots[0].etag.clone();
        let before = tag(volume.list().await.unwrap());
        let path = disk.path().join("v1/etcd-a").join(FIRST);
        std::fs::write(&path, b"012345678").unwrap();
        assert_ne!(tag(volume.list().await.unwrap()), before);
        let other = Volume::new(disk.path(), "etcd-b");
        let error = other.list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.hints()[0], "clusters there: etcd-a");
    }
}
