//! Snapshots in a directory: a volume or a disk that was mounted by hand, or a copy of a bucket. Nobody is contacted.
//!
//! The path may be any level of it: the root of a disk, what a pod mounted at /var/etcd-backup, `v1`, a namespace, or
//! the cluster's own directory (coreos/etcd-operator, pkg/backup/backup.go at v0.6.1: `/var/etcd-backup/v1/<cluster>/`;
//! the other layouts are those of S3). The path itself may be a symbolic link. Below it none is followed: whoever
//! wrote the disk would decide what of this machine is read.

mod file;
mod walk;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

pub use self::file::open;
pub use self::walk::look;

use super::{Listing, StoredSnapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Layout;

/// Most names that are told in a hint.
const TOLD: usize = 10;

/// What is looked for, and below which path.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    pub path: &'a Path,
    /// Any when nothing is said.
    pub cluster: Option<&'a str>,
    /// Of a directory `v1/<namespace>/`; any when nothing is said.
    pub namespace: Option<&'a str>,
}

/// A directory that holds snapshots of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDirectory {
    pub path: PathBuf,
    /// `None` for a directory whose parents do not tell.
    pub layout: Option<Layout>,
    /// As its own name says; `None` where that may be anything, as with the root of a disk.
    pub cluster: Option<String>,
    pub listing: Listing,
}

impl ClusterDirectory {
    /// The file of one of its snapshots.
    pub fn file(&self, snapshot: &StoredSnapshot) -> PathBuf {
        self.path.join(snapshot.history.directory("")).join(snapshot.name.as_str())
    }
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Looked {
    pub found: Vec<ClusterDirectory>,
    /// Directories that could not be read, and why.
    pub refused: Vec<Error>,
    /// Symbolic links where directories might be.
    pub links: Vec<PathBuf>,
}

impl Looked {
    /// The directories of one cluster: the one that is sought, else the only one there is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the candidates, or for none; [`ErrorKind::Denied`] and [`ErrorKind::General`]
    /// for none where a directory could not be read.
    pub fn of_one_cluster(self, sought: &Sought<'_>) -> Result<Vec<ClusterDirectory>> {
        let clusters: BTreeSet<&Option<String>> = self.found.iter().map(|one| &one.cluster).collect();
        if sought.cluster.is_none() && clusters.len() > 1 {
            let lines = listed(&self.found);
            let sentence = format!("backups of {} clusters are below {}{lines}", clusters.len(), sought.path.display());
            return Err(Error::not_found(sentence).hint("name one of them: CLUSTER"));
        }
        if self.found.is_empty() { Err(self.nothing(sought)) } else { Ok(self.found) }
    }

    /// The one directory to take a snapshot from.
    ///
    /// # Errors
    /// Those of [`Looked::of_one_cluster`]; [`ErrorKind::NotFound`] when the cluster has more than one.
    pub fn one(self, sought: &Sought<'_>) -> Result<ClusterDirectory> {
        let mut found = self.of_one_cluster(sought)?;
        match found.pop() {
            Some(only) if found.is_empty() => Ok(only),
            last => {
                found.extend(last);
                let lines = listed(&found);
                Err(Error::not_found(format!("more than one directory holds snapshots of the cluster{lines}"))
                    .hint("name the one that you mean with --dir"))
            }
        }
    }

    fn nothing(&self, sought: &Sought<'_>) -> Error {
        let path = sought.path.display();
        if let Some(refused) = self.refused.first() {
            return refused.clone().context(format!("no snapshots found below {path}"));
        }
        let of = sought.cluster.map(|cluster| format!(" of cluster {cluster:?}")).unwrap_or_default();
        let mut error = Error::not_found(format!(
            "no snapshots{of} found below {path}: neither in v1/NAMESPACE/CLUSTER/, v1/CLUSTER/ and CLUSTER/ nor there itself"
        ));
        let others = sought.cluster.map(|_| others(sought)).unwrap_or_default();
        if !others.is_empty() {
            error = error.hint(format!("clusters there: {}", others.join(", ")));
        }
        if let Some(link) = self.links.first() {
            error = error.hint(format!("{} is a symbolic link; name its target with --dir", link.display()));
        }
        error.hint("--dir is where the disk is mounted, or any directory between that and the backups")
    }
}

fn listed(found: &[ClusterDirectory]) -> String {
    let line = |one: &ClusterDirectory| {
        let cluster = one.cluster.as_deref().unwrap_or("unnamed");
        format!("\n  {cluster}: {} in {}", super::counted(one.listing.snapshots.len()), one.path.display())
    };
    found.iter().map(line).collect()
}

/// The clusters that are there whatever was sought.
fn others(sought: &Sought<'_>) -> Vec<String> {
    let all = look(&Sought { cluster: None, namespace: None, ..*sought }).unwrap_or_default().found;
    let names: BTreeSet<String> = all.into_iter().filter_map(|one| one.cluster).collect();
    names.into_iter().take(TOLD).collect()
}

/// That a file or directory cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let sentence = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::denied(sentence)
            .hint("on a volume they are readable by the user that wrote them only: run the command with sudo"),
        _ => Error::new(ErrorKind::General, sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "3.5.0_000000000000000e_etcd.backup";
    const NEW: &str = "3.5.0_000000000000000f_etcd.backup";

    /// A disk with these files.
    fn disk(files: &[&str]) -> tempfile::TempDir {
        let disk = tempfile::tempdir().unwrap();
        for file in files {
            let path = disk.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        disk
    }

    fn sought<'a>(path: &'a Path, cluster: Option<&'a str>) -> Sought<'a> {
        Sought { path, cluster, namespace: None }
    }

    /// Where the one directory is below `disk`, its layout and its snapshots.
    fn one(path: &Path, cluster: Option<&str>) -> (PathBuf, Option<Layout>, usize) {
        let sought = sought(path, cluster);
        let one = look(&sought).unwrap().one(&sought).unwrap();
        (one.path, one.layout, one.listing.snapshots.len())
    }

    #[test]
    fn every_level_of_a_disk_leads_to_the_backups() {
        let file = |name: &str| format!("var/etcd-backup/v1/etcd-a/{name}");
        let disk = disk(&[&file(OLD), &file(NEW), &file("tmp/x"), &file("meta/x.json"), "lost+found/x"]);
        let directory = disk.path().join("var/etcd-backup/v1/etcd-a");
        for level in ["", "var", "var/etcd-backup", "var/etcd-backup/v1", "var/etcd-backup/v1/etcd-a"] {
            for cluster in [None, Some("etcd-a")] {
                let found = one(&disk.path().join(level), cluster);
                assert_eq!(found, (directory.clone(), Some(Layout::Cluster), 2), "{level} {cluster:?}");
            }
        }
    }

    #[test]
    fn the_layouts_of_a_bucket_are_known() {
        let disk = disk(&[&format!("v1/default/etcd-a/{OLD}"), &format!("v1/etcd-b/{OLD}"), &format!("etcd-c/{OLD}")]);
        let root = disk.path();
        assert_eq!(one(root, Some("etcd-a")), (root.join("v1/default/etcd-a"), Some(Layout::Namespaced), 1));
        assert_eq!(one(root, Some("etcd-b")), (root.join("v1/etcd-b"), Some(Layout::Cluster), 1));
        assert_eq!(one(root, Some("etcd-c")), (root.join("etcd-c"), Some(Layout::Unversioned), 1));
        let namespace = root.join("v1/default");
        assert_eq!(one(&namespace, None), (namespace.join("etcd-a"), Some(Layout::Namespaced), 1));
    }

    #[test]
    fn a_mount_under_any_name_may_be_v1_or_the_clusters_own() {
        let v1 = disk(&[&format!("default/etcd-a/{OLD}"), &format!("etcd-b/{NEW}")]);
        assert_eq!(one(v1.path(), Some("etcd-a")).0, v1.path().join("default/etcd-a"));
        assert_eq!(one(v1.path(), Some("etcd-b")).0, v1.path().join("etcd-b"));
        let own = disk(&[NEW, &format!("history/20260102T030405Z_ab/{OLD}"), &format!("tmp/{OLD}"), "notes.txt"]);
        let sought = sought(own.path(), Some("whatever"));
        let found = look(&sought).unwrap().one(&sought).unwrap();
        assert_eq!((found.listing.snapshots.len(), found.listing.foreign), (2, vec!["notes.txt".to_owned()]));
    }

    #[test]
    fn another_clusters_own_directory_is_not_taken_for_the_one_that_is_sought() {
        let disk = disk(&[&format!("v1/etcd-b/{OLD}")]);
        let sought = sought(&disk.path().join("v1/etcd-b"), Some("etcd-a")).path.to_owned();
        let sought = Sought { path: &sought, cluster: Some("etcd-a"), namespace: None };
        assert_eq!(look(&sought).unwrap().one(&sought).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_ambiguous_is_listed() {
        let disk = disk(&[&format!("v1/a/{OLD}"), &format!("v1/b/{OLD}"), &format!("v1/x/b/{NEW}")]);
        let (any, b) = (sought(disk.path(), None), sought(disk.path(), Some("b")));
        let error = look(&any).unwrap().one(&any).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("\n  a: 1 snapshot in "), "{error}");
        assert!(look(&b).unwrap().one(&b).unwrap_err().message().starts_with("more than one directory"));
        assert_eq!(look(&b).unwrap().of_one_cluster(&b).unwrap().len(), 2);
        let of_x = Sought { namespace: Some("nobody"), ..b };
        assert_eq!(look(&of_x).unwrap().one(&of_x).unwrap().path, disk.path().join("v1/b"));
        let nobody = sought(disk.path(), Some("c"));
        let error = look(&nobody).unwrap().one(&nobody).unwrap_err();
        assert_eq!(error.hints()[0], "clusters there: a, b");
    }

    #[test]
    fn links_below_the_path_are_not_followed() {
        let elsewhere = disk(&[&format!("etcd-backup/v1/etcd-c/{OLD}"), &format!("20260102T030405Z_ab/{OLD}")]);
        let (outside, disk) = (disk(&[&format!("etcd-a/{OLD}")]), disk(&["v1/etcd-b/notes.txt"]));
        std::os::unix::fs::symlink(outside.path().join("etcd-a"), disk.path().join("v1/etcd-a")).unwrap();
        let target = outside.path().join("etcd-a").join(OLD);
        std::os::unix::fs::symlink(&target, disk.path().join("v1/etcd-b").join(NEW)).unwrap();
        // /var in the root of a disk may lead to that of this machine, and a history to anywhere
        std::os::unix::fs::symlink(elsewhere.path(), disk.path().join("var")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), disk.path().join("v1/etcd-b/history")).unwrap();
        for cluster in ["etcd-a", "etcd-b", "etcd-c"] {
            let sought = sought(disk.path(), Some(cluster));
            let error = look(&sought).unwrap().one(&sought).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{cluster}");
        }
        let link = disk.path().join("link");
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        assert_eq!(one(&link, None).2, 1, "the path itself is the person's own word");
        assert!(open(&disk.path().join("v1/etcd-b").join(NEW)).is_err());
    }
}
