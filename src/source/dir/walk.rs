//! From a path to the directories below it that hold snapshots.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::{ClusterDirectory, Looked, Sought, unreadable};
use crate::error::{Error, Result};
use crate::snapshot::Layout;
use crate::snapshot::layout::{Entry, classify};
use crate::source::StoredSnapshot;

/// Below it lie the clusters, or the namespaces.
const V1: &str = "v1";

/// Where the volume is in the pod that writes it, from the root of a disk downwards.
const BASES: [&str; 3] = ["v1", "etcd-backup/v1", "var/etcd-backup/v1"];

/// What lies beside snapshots or beside `v1`, and is no cluster's.
const RESERVED: [&str; 5] = [V1, "meta", "tmp", "history", "lost+found"];

/// Most directories that are read: a backup disk has few.
const MOST: usize = 10_000;

/// Finds the directories with snapshots of what is sought.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) and [`ErrorKind::Denied`](crate::error::ErrorKind::Denied)
/// for the path itself; [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a file, or for too much below it.
pub fn look(sought: &Sought<'_>) -> Result<Looked> {
    let root = sought.path.canonicalize().map_err(|error| absent(sought.path, &error))?;
    if !root.is_dir() {
        let sentence = format!("{} is not a directory", sought.path.display());
        return Err(Error::usage(sentence).hint("name with --dir the directory that the backups are in"));
    }
    fs::read_dir(&root).map_err(|error| unreadable(sought.path, &error))?;
    let mut walk = Walk { sought: *sought, looked: Looked::default(), read: 0 };
    walk.all(&root)?;
    Ok(walk.looked)
}

fn absent(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("directory {} does not exist", path.display()))
            .hint("mount the disk, and name with --dir where"),
        _ => unreadable(path, error),
    }
}

struct Walk<'a> {
    sought: Sought<'a>,
    looked: Looked,
    read: usize,
}

impl Walk<'_> {
    fn all(&mut self, root: &Path) -> Result<()> {
        let path = self.sought.path.to_owned();
        let mut names = root.ancestors().map(|level| level.file_name().and_then(|name| name.to_str()));
        let (own, parent, above) = (names.next().flatten(), names.next().flatten(), names.next().flatten());
        match (own, parent, above) {
            (Some(cluster), Some(V1), _) => self.visit(&path, Some(Layout::Cluster), Some(cluster))?,
            (Some(cluster), Some(_), Some(V1)) => self.visit(&path, Some(Layout::Namespaced), Some(cluster))?,
            _ => self.visit(&path, None, None)?,
        }
        if own == Some(V1) {
            return self.versioned(&path);
        }
        for base in BASES {
            let mut at = path.clone();
            // each by itself: only the last of a path is looked at without following a link
            let is_directory = base.split('/').all(|name| {
                at.push(name);
                self.is_directory(&at)
            });
            if is_directory {
                self.versioned(&at)?;
            }
        }
        if parent == Some(V1) {
            return self.clusters(&path, Layout::Namespaced);
        }
        self.clusters(&path, Layout::Unversioned)?;
        // a v1 that was mounted under another name
        for (namespace, name) in self.children(&path, self.sought.namespace)? {
            if !RESERVED.contains(&name.as_str()) {
                self.clusters(&namespace, Layout::Namespaced)?;
            }
        }
        Ok(())
    }

    /// What is below a `v1`: clusters, and namespaces with clusters.
    fn versioned(&mut self, v1: &Path) -> Result<()> {
        for (directory, name) in self.children(v1, self.sought.cluster)? {
            self.visit(&directory, Some(Layout::Cluster), Some(&name))?;
        }
        for (namespace, _) in self.children(v1, self.sought.namespace)? {
            self.clusters(&namespace, Layout::Namespaced)?;
        }
        Ok(())
    }

    /// The clusters directly in a directory that may itself be a cluster's.
    fn clusters(&mut self, directory: &Path, layout: Layout) -> Result<()> {
        for (directory, name) in self.children(directory, self.sought.cluster)? {
            if !RESERVED.contains(&name.as_str()) {
                self.visit(&directory, Some(layout), Some(&name))?;
            }
        }
        Ok(())
    }

    /// Takes the directory if it holds snapshots, and is not by its name another cluster's.
    fn visit(&mut self, directory: &Path, layout: Option<Layout>, cluster: Option<&str>) -> Result<()> {
        if self.sought.cluster.is_some_and(|wanted| cluster.is_some_and(|cluster| cluster != wanted)) {
            return Ok(());
        }
        let mut found = ClusterDirectory {
            path: directory.to_owned(),
            layout,
            cluster: cluster.map(str::to_owned),
            listing: Default::default(),
        };
        self.files(&mut found, "")?;
        let histories = directory.join("history");
        let histories = if self.is_directory(&histories) { self.children(&histories, None)? } else { Vec::new() };
        for (_, history) in histories {
            self.files(&mut found, &format!("history/{history}/"))?;
        }
        if !found.listing.snapshots.is_empty() {
            self.looked.found.push(found);
        }
        Ok(())
    }

    /// Adds the files in `below`, a directory of the cluster's, to its listing.
    fn files(&mut self, found: &mut ClusterDirectory, below: &str) -> Result<()> {
        for entry in self.entries(&found.path.join(below))? {
            let relative = format!("{below}{}", entry.file_name().to_string_lossy());
            let Ok(kind) = entry.file_type() else { continue };
            match classify(&relative) {
                _ if kind.is_dir() => {}
                Entry::Snapshot(history, name) if kind.is_file() => {
                    let Ok(metadata) = entry.metadata() else { continue };
                    found.listing.snapshots.push(StoredSnapshot {
                        name,
                        history,
                        location: entry.path().display().to_string(),
                        size: Some(metadata.len()),
                        etag: None,
                        modified: metadata.modified().ok().and_then(|time| time.try_into().ok()),
                    });
                }
                Entry::Known => {}
                _ => found.listing.foreign.push(relative),
            }
        }
        Ok(())
    }

    /// The directories in `directory`, or the one of this name.
    fn children(&mut self, directory: &Path, only: Option<&str>) -> Result<Vec<(PathBuf, String)>> {
        if let Some(name) = only {
            let child = directory.join(name);
            return Ok(if self.is_directory(&child) { vec![(child, name.to_owned())] } else { Vec::new() });
        }
        let mut children = Vec::new();
        for entry in self.entries(directory)? {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            if kind.is_dir() {
                children.push((entry.path(), name));
            } else if kind.is_symlink() {
                self.looked.links.push(entry.path());
            }
        }
        children.sort();
        Ok(children)
    }

    fn is_directory(&mut self, path: &Path) -> bool {
        match path.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                self.looked.links.push(path.to_owned());
                false
            }
            Ok(found) => found.is_dir(),
            Err(error) => {
                self.refused(path, &error);
                false
            }
        }
    }

    /// What is in a directory; nothing where it is not there or cannot be read.
    fn entries(&mut self, directory: &Path) -> Result<Vec<DirEntry>> {
        self.read += 1;
        if self.read > MOST {
            let sentence = format!("more than {MOST} directories are below {}", self.sought.path.display());
            return Err(Error::usage(sentence).hint("name the cluster, or its own directory with --dir"));
        }
        match fs::read_dir(directory).and_then(|entries| entries.collect()) {
            Ok(entries) => Ok(entries),
            Err(error) => {
                self.refused(directory, &error);
                Ok(Vec::new())
            }
        }
    }

    fn refused(&mut self, path: &Path, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            let error = unreadable(path, error);
            if !self.looked.refused.contains(&error) {
                self.looked.refused.push(error);
            }
        }
    }
}
