//! Where snapshots go: the directory of a cluster with its histories, or a path.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use semver::Version;

use super::history::{self, Decision, Now, Stored};
use super::kept::{self, Kept, Under};
use super::store::{self, Store, Volume};
use crate::agent::args::BackupArgs;
use crate::aws::S3;
use crate::error::{Error, Result};
use crate::snapshot::layout::{Entry, classify};
use crate::snapshot::metadata::{KeyHash, Metadata};
use crate::snapshot::{History, Layout, PathName, SnapshotName};
use crate::source::newest::greatest;
use crate::source::s3::probe_for;
use crate::source::{Extent, Listing, StoredSnapshot, Wanted};
use crate::transfer::upload::Destination;

/// Greatest revisions of one history that are looked at for one of ours.
const MOST_OTHERS: usize = 100;

/// The place that the flags name, as it was before etcd was asked.
#[derive(Debug)]
pub(super) enum Place {
    Directory {
        layout: Layout,
        /// Key prefix with a trailing slash.
        directory: String,
        histories: BTreeMap<History, Stored>,
    },
    Path {
        path: String,
        /// Each run has a key of its own.
        periodic: bool,
        /// What earlier periodic runs stored.
        names: Vec<PathName>,
    },
}

/// What the name of a snapshot says of its place in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub revision: u64,
    /// Where the name says the time, readers take the latest.
    pub taken: Option<Timestamp>,
}

/// The snapshots that are compared with each other: newest, unchanged and expired mean something only among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Series {
    /// One history below the directory of a cluster.
    History { directory: String, history: History },
    /// What belongs to a path.
    Path { path: String, periodic: bool },
}

/// Opens the store and looks at what it holds at the place.
///
/// # Errors
/// Those of [`store::client`], of [`Volume::open`] and of the listing; more than one layout that holds snapshots of the
/// cluster.
pub(super) async fn open(args: &BackupArgs, namespace: &str) -> Result<(Store, Place)> {
    if let Some(mounted) = &args.volume_dir {
        let volume = Volume::open(mounted)?;
        // a volume is one namespace's
        let layout = Layout::Cluster;
        let directory = layout.directory("", namespace, &args.store.cluster);
        let listing = volume.listing(&directory).await?;
        let store = Store::Volume(volume);
        let (histories, _) = histories(&store, &listing).await?;
        return Ok((store, Place::Directory { layout, directory, histories }));
    }
    let Some((bucket, path)) = args.store.s3.path.as_deref().and_then(|path| path.split_once('/')) else {
        let s3 = store::client(&args.store).await?;
        let place = directory(&s3, args, namespace).await?;
        return Ok((Store::S3(s3), place));
    };
    let mut store = args.store.clone();
    store.s3.bucket = Some(bucket.to_owned());
    let s3 = store::client(&store).await?;
    let listed = if args.periodic { s3.list(path).await? } else { Vec::new() };
    let mut names: Vec<_> = listed.iter().filter_map(|object| PathName::parse(path, &object.key)).collect();
    names.sort();
    Ok((Store::S3(s3), Place::Path { path: path.to_owned(), periodic: args.periodic, names }))
}

async fn directory(s3: &S3, args: &BackupArgs, namespace: &str) -> Result<Place> {
    let place = store::place(&args.store, namespace);
    let probed = probe_for(s3, place, &Wanted::default()).await?;
    let (layout, listing) = layout(probed.found, place.layout.unwrap_or(args.default_layout))?;
    // what is there cannot be seen, so nothing can be put there in its right history
    if let Some((_, refused)) = probed.refused.into_iter().find(|(refused, _)| *refused == layout) {
        return Err(refused);
    }
    let directory = layout.directory(place.prefix, namespace, place.cluster);
    if let Extent::Greatest(why) = &listing.extent {
        tracing::warn!("{} was listed from end to end: {why}", s3.url(&directory));
    }
    let store = Store::S3(s3.clone());
    let (mut histories, all_ours) = histories(&store, &listing).await?;
    if listing.extent == Extent::Deciding && !all_ours {
        // the greatest is another tool's: one of ours below it says whose history this is
        let below = greatest(s3, &directory, "the newest is not ours").await?;
        (histories, _) = self::histories(&store, &below).await?;
    }
    Ok(Place::Directory { layout, directory, histories })
}

/// The layout that already holds this cluster's snapshots, else the default one.
fn layout(found: Vec<(Layout, Listing)>, default: Layout) -> Result<(Layout, Listing)> {
    // the unversioned layout is read, never written
    let mut found: Vec<_> = found.into_iter().filter(|(layout, _)| *layout != Layout::Unversioned).collect();
    match found.len() {
        0 => Ok((default, Listing::default())),
        1 => Ok(found.remove(0)),
        _ => Err(Error::general("more than one layout holds snapshots of this cluster").hint("set spec.s3.layout")),
    }
}

/// The greatest revision and the owner of each stored history; whether each has a snapshot of ours in the listing.
async fn histories(store: &Store, listing: &Listing) -> Result<(BTreeMap<History, Stored>, bool)> {
    let mut by_history: BTreeMap<&History, Vec<&StoredSnapshot>> = BTreeMap::new();
    for snapshot in &listing.snapshots {
        by_history.entry(&snapshot.history).or_default().push(snapshot);
    }
    let (mut stored, mut all_ours) = (BTreeMap::new(), true);
    for (history, mut snapshots) in by_history {
        snapshots.sort_by(|a, b| b.name.cmp(&a.name));
        let metadata = greatest_of_ours(store, &snapshots).await?;
        all_ours &= metadata.is_some();
        let recorded = metadata.as_ref().map(|metadata| metadata.cluster_id);
        let of_history = Stored {
            greatest: snapshots.first().map_or(0, |greatest| greatest.name.revision()),
            cluster_id: history.cluster_id().or(recorded),
            hash_kv: metadata.and_then(|metadata| metadata.hash_kv),
        };
        stored.insert(history.clone(), of_history);
    }
    Ok((stored, all_ours))
}

/// What is recorded with the first of `snapshots` that our agent stored; above it there may be another tool's.
async fn greatest_of_ours(store: &Store, snapshots: &[&StoredSnapshot]) -> Result<Option<Metadata>> {
    for snapshot in snapshots.iter().take(MOST_OTHERS) {
        let found = store.head(&snapshot.location).await?.and_then(|found| found.metadata);
        // a copy under another name says nothing about this one
        if let Some(metadata) = found.filter(|found| found.revision == snapshot.name.revision()) {
            return Ok(Some(metadata));
        }
    }
    Ok(None)
}

impl Place {
    /// The layout of a directory.
    pub(super) fn layout(&self) -> Option<Layout> {
        match self {
            Self::Directory { layout, .. } => Some(*layout),
            Self::Path { .. } => None,
        }
    }

    /// The hash that is recorded with the greatest revision of the newest history.
    pub(super) fn newest_hash(&self) -> Option<KeyHash> {
        match self {
            Self::Directory { histories, .. } => histories.last_key_value().and_then(|(_, newest)| newest.hash_kv),
            Self::Path { .. } => None,
        }
    }

    /// `now`, unless what is stored is younger than that: the names of histories and of periodic snapshots say
    /// their order, and a clock that went back must not put the newest before an old one.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        let last = match self {
            Self::Directory { histories, .. } => histories.last_key_value().and_then(|(newest, _)| newest.begun()),
            Self::Path { names, .. } => names.last().map(|name| name.time),
        };
        let next = last.and_then(|last| last.checked_add(SignedDuration::from_secs(1)).ok());
        next.filter(|next| *next > now).unwrap_or(now)
    }

    /// The series that what etcd says belongs to.
    ///
    /// # Errors
    /// Reason `PrefixShared` when two clusters write to this directory in turn.
    pub(super) fn series(&self, store: &Store, now: Now) -> Result<Series> {
        let (directory, histories) = match self {
            Self::Path { path, periodic, .. } => {
                return Ok(Series::Path { path: path.clone(), periodic: *periodic });
            }
            Self::Directory { directory, histories, .. } => (directory, histories),
        };
        match history::decide(histories, now) {
            Decision::Into(history) => Ok(Series::History { directory: directory.clone(), history }),
            Decision::Shared { other } => Err(Error::general(format!(
                "PrefixShared: {} holds snapshots of the etcd clusters {:x} and {other:x} in turn; nothing was stored",
                store.url(directory),
                now.cluster_id
            ))
            .hint("give each cluster a name or a prefix of its own")),
        }
    }

    /// The snapshot that is to be taken, if it is stored already: under its key, or, where each run has a key of
    /// its own, as the newest that our agent stored.
    ///
    /// # Errors
    /// Reason `KeyExists` when another object is under its key.
    pub(super) async fn unchanged(&self, store: &Store, destination: &Destination) -> Result<Option<Kept>> {
        if let Self::Path { path, names, .. } = self {
            let revision = destination.metadata.revision;
            // the newest of ours may lie below foreign ones, but below the last of this revision it is another
            let until = names.iter().position(|name| name.revision == revision).unwrap_or(names.len());
            for name in names[until..].iter().rev() {
                match kept::look(store, &name.key(path), &destination.metadata).await? {
                    Under::Same(kept) => return Ok(Some(kept)),
                    Under::Other => break,
                    Under::Nothing | Under::Foreign => {}
                }
            }
        }
        kept::or_free(store, &destination.key, &destination.metadata).await
    }
}

impl Series {
    /// The key of a snapshot by an etcd `version`.
    pub(super) fn key(&self, version: &Version, now: Now) -> String {
        match self {
            Self::History { directory, history } => {
                format!("{}{}", history.directory(directory), SnapshotName::new(version.clone(), now.revision))
            }
            Self::Path { path, periodic: false } => path.clone(),
            Self::Path { path, periodic: true } => PathName { time: now.time, revision: now.revision }.key(path),
        }
    }

    /// The name of the history; empty for a path.
    pub(super) fn history(&self) -> &str {
        match self {
            Self::History { history, .. } => history.name(),
            Self::Path { .. } => "",
        }
    }

    /// What all keys of the cluster or of the path begin with.
    pub(super) fn root(&self) -> &str {
        match self {
            Self::History { directory, .. } => directory,
            Self::Path { path, .. } => path,
        }
    }

    /// What all keys of the series begin with.
    pub(super) fn prefix(&self) -> String {
        match self {
            Self::History { directory, history } => history.directory(directory),
            Self::Path { path, .. } => path.clone(),
        }
    }

    /// What the name of a snapshot of this series says that may expire; `None` for every other key.
    pub(super) fn named(&self, key: &str) -> Option<Named> {
        match self {
            Self::History { directory, history } => match classify(key.strip_prefix(directory.as_str())?) {
                Entry::Snapshot(of, name) if of == *history => Some(Named { revision: name.revision(), taken: None }),
                _ => None,
            },
            Self::Path { periodic: false, .. } => None,
            Self::Path { path, periodic: true } => {
                PathName::parse(path, key).map(|name| Named { revision: name.revision, taken: Some(name.time) })
            }
        }
    }

    /// Whether an upload to this key can only be an agent's: an exact name of ours, directly in the directory of the
    /// cluster or of this history; or the path and its periodic names.
    pub(super) fn may_upload(&self, key: &str) -> bool {
        let (directory, history) = match self {
            Self::Path { path, .. } => return key == path || PathName::parse(path, key).is_some(),
            Self::History { directory, history } => (directory.as_str(), history),
        };
        match key.strip_prefix(directory).map(classify) {
            Some(Entry::Snapshot(of, name)) => {
                (of == History::First || of == *history)
                    && SnapshotName::new(name.version().clone(), name.revision()) == name
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "3.5.0_000000000000000f_etcd.backup";
    const LATER: &str = "20260101T000000Z_ab";

    fn later() -> Series {
        Series::History { directory: "v1/a/".to_owned(), history: History::Later(LATER.to_owned()) }
    }

    fn path(periodic: bool) -> Series {
        Series::Path { path: "a/etcd.backup".to_owned(), periodic }
    }

    #[test]
    fn a_clock_that_went_back_makes_no_name_before_an_old_one() {
        let time = |text: &str| -> Timestamp { text.parse().unwrap() };
        let names = vec![PathName { time: time("2026-01-01T00:00:00Z"), revision: 9 }];
        let path = Place::Path { path: "p".to_owned(), periodic: true, names };
        let histories = BTreeMap::from([(History::Later(LATER.to_owned()), Stored::default())]);
        let directory = Place::Directory { layout: Layout::Cluster, directory: "v1/a/".to_owned(), histories };
        for place in [path, directory] {
            assert_eq!(place.time(time("2025-12-31T00:00:00Z")), time("2026-01-01T00:00:01Z"));
            assert_eq!(place.time(time("1960-01-01T00:00:00Z")), time("2026-01-01T00:00:01Z"));
            assert_eq!(place.time(time("2026-01-02T00:00:00Z")), time("2026-01-02T00:00:00Z"));
        }
    }

    #[test]
    fn a_history_knows_its_own_snapshots() {
        let named = Named { revision: 15, taken: None };
        assert_eq!(later().named(&format!("v1/a/history/{LATER}/{NAME}")), Some(named));
        let other = format!("v1/a/history/20250101T000000Z_ab/{NAME}");
        for other in [&other, &format!("v1/a/{NAME}"), &format!("v1/a/history/{LATER}/notes"), &NAME.to_owned()] {
            assert_eq!(later().named(other), None, "{other}");
        }
    }

    #[test]
    fn only_periodic_snapshots_of_a_path_expire() {
        let key = "a/etcd.backup_v9_2026-01-01-10:00:00";
        let named = Named { revision: 9, taken: "2026-01-01T10:00:00Z".parse().ok() };
        assert_eq!((path(true).named(key), path(false).named(key)), (Some(named), None));
        assert_eq!(path(true).named("a/etcd.backup"), None);
    }

    #[test]
    fn uploads_to_exact_names_are_ours() {
        for ours in [format!("v1/a/{NAME}"), format!("v1/a/history/{LATER}/{NAME}")] {
            assert!(later().may_upload(&ours), "{ours}");
        }
        for other in
            ["v1/a/3.5.0_f_etcd.backup", "v1/a/meta/x", "v1/a/tmp/3.5.0_000000000000000f_etcd.backup", "v1/a/x"]
        {
            assert!(!later().may_upload(other), "{other}");
        }
        assert!(!later().may_upload(&format!("v1/a/history/20250101T000000Z_ab/{NAME}")));
        for (key, ours) in [("a/etcd.backup", true), ("a/etcd.backup_v1_2026-01-01-10:00:00", true)] {
            assert_eq!(path(false).may_upload(key), ours, "{key}");
        }
        assert!(!path(true).may_upload("a/etcd.backup_volume") && !path(true).may_upload("a/etcd.backup2"));
    }
}
