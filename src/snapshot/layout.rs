//! Where the snapshots of a cluster lie in a store, and which of them belong to one history.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::SnapshotName;

/// Form of the time at the beginning of a history's name: it sorts by age.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The directory of a cluster below the bucket's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
pub enum Layout {
    /// `v1/<namespace>/<cluster>/`: etcd-operator v0.2.6 to v0.7.2.
    Namespaced,
    /// `v1/<cluster>/`: etcd-operator v0.2.0 to v0.2.5 (doc/user/download_backup.md at v0.2.5).
    Cluster,
    /// `<cluster>/`: before v0.2.0 (doc/design/s3_backup.md); read, never written.
    #[value(skip)]
    Unversioned,
}

impl Layout {
    /// All layouts, in the order in which a reader probes them.
    pub const PROBED: [Self; 3] = [Self::Namespaced, Self::Cluster, Self::Unversioned];

    /// The directory of `cluster` below `prefix`, with a trailing slash and no leading one.
    ///
    /// A prefix is cleaned as Go's path.Join does in etcd-operator's `ToS3Prefix`: repeated and outer
    /// slashes are dropped.
    pub fn directory(self, prefix: &str, namespace: &str, cluster: &str) -> String {
        let own: &[&str] = match self {
            Self::Namespaced => &["v1", namespace, cluster],
            Self::Cluster => &["v1", cluster],
            Self::Unversioned => &[cluster],
        };
        let parts = prefix.split('/').filter(|part| !part.is_empty()).chain(own.iter().copied());
        parts.flat_map(|part| [part, "/"]).collect()
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaced => "Namespaced",
            Self::Cluster => "Cluster",
            Self::Unversioned => "Unversioned",
        })
    }
}

/// A stretch of a cluster's life during which the revision only grows.
///
/// A recreated cluster starts again at revision 1 and a cluster restored in place falls back, so the
/// greatest revision is the newest snapshot only within one history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum History {
    /// The snapshots directly in the cluster's directory.
    First,
    /// The snapshots in `history/<name>/` below it; names start with a UTC time, so they sort by age.
    Later(String),
}

impl History {
    /// The name that `--history` takes.
    pub fn name(&self) -> &str {
        match self {
            Self::First => "first",
            Self::Later(name) => name,
        }
    }

    /// A history that starts now: `<UTC>_<cluster id in hex>`.
    pub fn begin(now: Timestamp, cluster_id: u64) -> Self {
        Self::Later(format!("{}_{cluster_id:x}", now.strftime(TIME)))
    }

    /// The etcd cluster id in the history's name; the first history's name says none.
    pub fn cluster_id(&self) -> Option<u64> {
        match self {
            Self::First => None,
            Self::Later(name) => u64::from_str_radix(name.split_once('_')?.1, 16).ok(),
        }
    }

    /// When a later history began, in whole seconds.
    pub fn begun(&self) -> Option<Timestamp> {
        let Self::Later(name) = self else { return None };
        let time = DateTime::strptime(TIME, name.split_once('_')?.0).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }

    /// The directory of this history below the cluster's `directory`.
    pub fn directory(&self, directory: &str) -> String {
        match self {
            Self::First => directory.to_owned(),
            Self::Later(name) => format!("{directory}history/{name}/"),
        }
    }
}

/// What a key below a cluster's directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A snapshot of one history.
    Snapshot(History, SnapshotName),
    /// Something in another directory: `meta/`, `tmp/`, or another cluster's; needs no warning.
    Known,
    /// Anything else: skipped, and said.
    Foreign,
}

/// Reads a key relative to the cluster's directory.
pub fn classify(relative: &str) -> Entry {
    let (history, name) = match relative.strip_prefix("history/").map(|rest| rest.split_once('/')) {
        Some(Some((history, name))) if is_history_name(history) => (History::Later(history.to_owned()), name),
        _ => (History::First, relative),
    };
    // a directory below is ours (meta/, tmp/, history/) or another cluster's of another layout
    if name.is_empty() || name.contains('/') {
        return Entry::Known;
    }
    match SnapshotName::parse(name) {
        Some(name) => Entry::Snapshot(history, name),
        None => Entry::Foreign,
    }
}

/// Whether `name` is one that [`History::begin`] makes: any other would upset their order.
fn is_history_name(name: &str) -> bool {
    let history = History::Later(name.to_owned());
    match (history.begun(), history.cluster_id()) {
        (Some(begun), Some(id)) => History::begin(begun, id) == history,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_the_three_layouts() {
        let at = |layout: Layout, prefix| layout.directory(prefix, "default", "etcd-a");
        assert_eq!(at(Layout::Namespaced, ""), "v1/default/etcd-a/");
        assert_eq!(at(Layout::Cluster, "/team//x/"), "team/x/v1/etcd-a/");
        assert_eq!(at(Layout::Unversioned, "team"), "team/etcd-a/");
    }

    #[test]
    fn tells_snapshots_from_the_rest() {
        let name = SnapshotName::parse("3.5.0_0f_etcd.backup").unwrap();
        assert_eq!(classify("3.5.0_0f_etcd.backup"), Entry::Snapshot(History::First, name.clone()));
        assert_eq!(
            classify("history/20260101T000000Z_ab/3.5.0_0f_etcd.backup"),
            Entry::Snapshot(History::Later("20260101T000000Z_ab".to_owned()), name)
        );
        for known in [
            "",
            "meta/x.json",
            "tmp/3.5.0_0f_etcd.backup",
            "history/20260101T000000Z_ab/",
            "history/../3.5.0_0f_etcd.backup",
        ] {
            assert_eq!(classify(known), Entry::Known, "{known}");
        }
        for odd in ["first", "latest", ".", "zzz", "20260101T000000Z_", "20260101T000000Z_XY", "99999999T999999Z_ab"] {
            assert_eq!(classify(&format!("history/{odd}/3.5.0_0f_etcd.backup")), Entry::Known, "{odd}");
        }
        for foreign in ["notes.txt", "history/20260101T000000Z_ab/notes.txt"] {
            assert_eq!(classify(foreign), Entry::Foreign, "{foreign}");
        }
    }
}
