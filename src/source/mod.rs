//! Places to read a snapshot from: what is there, which one is wanted, and its bytes. Writes nothing.

pub mod clusters;
pub mod dir;
pub mod file;
pub mod flags;
pub mod look;
pub mod newest;
pub mod object;
pub mod origin;
pub mod path;
pub mod pv;
pub mod s3;
pub mod service;

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use semver::Version;

use crate::error::{Error, Result};
use crate::snapshot::{History, SnapshotName};

/// What to do where a history has to be named.
pub const CHOOSE_HISTORY: &str = "choose one with --history NAME, or --history latest";

/// The bytes of a snapshot as they arrive; an error instead of a short end.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// The same bytes, with an end where none come for so long. For readers that have no patience of their own.
pub fn unless_silent(body: Body, limit: Duration) -> Body {
    let next = move |body: Option<Body>| async move {
        let mut body = body?;
        match tokio::time::timeout(limit, body.next()).await {
            Ok(item) => Some((item?, Some(body))),
            Err(_) => {
                let silent = Error::timed_out(format!("no bytes for {limit:?}")).hint("run it again");
                Some((Err(silent), None))
            }
        }
    };
    stream::unfold(Some(body), next).boxed()
}

/// A snapshot in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    pub name: SnapshotName,
    pub history: History,
    /// Key or URL, for messages and for opening it.
    pub location: String,
    /// Bytes, where the source tells.
    pub size: Option<u64>,
    pub etag: Option<String>,
    pub modified: Option<jiff::Timestamp>,
}

/// What a source holds for one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub snapshots: Vec<StoredSnapshot>,
    /// Keys beside the snapshots whose names are not of the form.
    pub foreign: Vec<String>,
    pub extent: Extent,
}

/// How much of what is stored a listing holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Extent {
    #[default]
    All,
    /// Only the snapshots that [`select`] needs; of what is foreign only what was met on the way.
    Deciding,
    /// The greatest revisions, after everything was read, and why it had to be: what [`select`] and [`next_older`] need.
    Greatest(String),
}

/// Which snapshot is asked for; the newest when nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub revision: Option<u64>,
    /// The etcd that is to be restored; the snapshot has to suit it.
    pub etcd_version: Option<Version>,
    /// Name of a history, or `latest`.
    pub history: Option<String>,
}

/// Chooses among what is stored.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound): nothing stored, no such revision or
/// history, or more than one history and none chosen. [`ErrorKind::General`](crate::error::ErrorKind::General):
/// what is chosen does not suit `etcd_version`.
pub fn select<'a>(stored: &'a [StoredSnapshot], wanted: &Wanted) -> Result<&'a StoredSnapshot> {
    let history = choose_history(stored, wanted.history.as_deref())?;
    let of_history = || stored.iter().filter(|snapshot| Some(&snapshot.history) == history);
    let newest =
        |candidates: &mut dyn Iterator<Item = &'a StoredSnapshot>| candidates.max_by(|a, b| a.name.cmp(&b.name));
    let found = match wanted.revision {
        None => newest(&mut of_history()).ok_or_else(|| Error::not_found("no snapshots found"))?,
        Some(revision) => newest(&mut of_history().filter(|snapshot| snapshot.name.revision() == revision))
            .ok_or_else(|| no_revision(revision))?,
    };
    let Some(version) = &wanted.etcd_version else { return Ok(found) };
    if suits(version, found.name.version()) {
        return Ok(found);
    }
    let error = unsuitable(version, found.name.version());
    Err(match newest(&mut of_history().filter(|snapshot| suits(version, snapshot.name.version()))) {
        Some(older) => error.hint(format!("the newest that suits is --revision {}", older.name.revision())),
        None => error.hint("leave out --etcd-version to take the newest"),
    })
}

/// That a revision is not there.
fn no_revision(revision: u64) -> Error {
    Error::not_found(format!("no snapshot of revision {revision} is stored"))
        .hint("leave out --revision for the newest")
}

/// That a snapshot of etcd `have` cannot start an etcd `want`, in the words of the original sidecar.
fn unsuitable(want: &Version, have: &Version) -> Error {
    Error::general(format!(
        "requested version ({}.{}) is not compatible with the backup ({}.{})",
        want.major, want.minor, have.major, have.minor
    ))
}

/// `1 snapshot`, `2 snapshots`.
pub fn counted(count: usize) -> String {
    format!("{count} {}", if count == 1 { "snapshot" } else { "snapshots" })
}

/// The revision of the snapshot before `snapshot` in its history.
pub fn next_older(stored: &[StoredSnapshot], snapshot: &StoredSnapshot) -> Option<u64> {
    let revisions = stored.iter().filter(|other| other.history == snapshot.history).map(|other| other.name.revision());
    revisions.filter(|revision| *revision < snapshot.name.revision()).max()
}

/// Whether a snapshot of etcd `stored` can start an etcd `wanted`: the same minor, or one minor older.
///
/// Source: coreos/etcd-operator, pkg/backup/version.go at v0.6.1, whose table ends at 3.2.
pub fn suits(wanted: &Version, stored: &Version) -> bool {
    wanted.major == stored.major && (wanted.minor == stored.minor || wanted.minor.checked_sub(1) == Some(stored.minor))
        || (wanted.major, wanted.minor, stored.major, stored.minor) == (3, 0, 2, 3)
}

/// The history that is `wanted`, else the only one; `None` where nothing is stored.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) for one that holds no snapshot, and for more than one
/// where none is wanted.
pub fn choose_history<'a>(stored: &'a [StoredSnapshot], wanted: Option<&str>) -> Result<Option<&'a History>> {
    let mut histories: Vec<&History> = stored.iter().map(|snapshot| &snapshot.history).collect();
    histories.sort();
    histories.dedup();
    let names = || histories.iter().map(|history| history.name()).collect::<Vec<_>>().join(", ");
    match wanted {
        Some("latest") => Ok(histories.last().copied()),
        Some(name) => match histories.iter().find(|history| history.name() == name) {
            Some(history) => Ok(Some(history)),
            None if histories.is_empty() => Ok(None),
            None => Err(Error::not_found(format!("no history {name:?} (found: {})", names())).hint(CHOOSE_HISTORY)),
        },
        None if histories.len() > 1 => {
            let mut lines =
                format!("{} histories hold snapshots: the cluster was recreated or restored", histories.len());
            for history in &histories {
                let newest =
                    stored.iter().filter(|snapshot| snapshot.history == **history).max_by(|a, b| a.name.cmp(&b.name));
                if let Some(newest) = newest {
                    lines.push_str(&format!("\n  {}: newest {}", history.name(), newest.name));
                }
            }
            Err(Error::not_found(lines).hint(CHOOSE_HISTORY))
        }
        None => Ok(histories.first().copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn stored(name: &str, history: History) -> StoredSnapshot {
        StoredSnapshot {
            name: SnapshotName::parse(name).unwrap(),
            location: name.to_owned(),
            history,
            size: None,
            etag: None,
            modified: None,
        }
    }

    fn pick(stored: &[StoredSnapshot], wanted: Wanted) -> Result<u64> {
        select(stored, &wanted).map(|snapshot| snapshot.name.revision())
    }

    #[test]
    fn newest_revision_exact_revision_and_none() {
        let all = [stored("3.9.0_9_etcd.backup", History::First), stored("3.10.0_2_etcd.backup", History::First)];
        assert_eq!(pick(&all, Wanted::default()), Ok(9));
        assert_eq!(pick(&all, Wanted { revision: Some(2), ..Wanted::default() }), Ok(2));
        let missing = pick(&all, Wanted { revision: Some(3), ..Wanted::default() }).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(pick(&[], Wanted::default()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn more_than_one_history_has_to_be_chosen() {
        let later = History::Later("20260101T000000Z_ab".to_owned());
        let all = [stored("3.5.0_ff_etcd.backup", History::First), stored("3.5.0_02_etcd.backup", later)];
        let error = pick(&all, Wanted::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("20260101T000000Z_ab: newest 3.5.0_02_etcd.backup"), "{}", error.message());
        let history = |name: &str| Wanted { history: Some(name.to_owned()), ..Wanted::default() };
        assert_eq!(pick(&all, history("latest")), Ok(2));
        assert_eq!(pick(&all, history("first")), Ok(255));
        let error = pick(&all, history("nope")).unwrap_err();
        assert_eq!(error.message(), "no history \"nope\" (found: first, 20260101T000000Z_ab)");
        assert_eq!(error.hints(), [CHOOSE_HISTORY]);
        assert_eq!(pick(&[], history("nope")).unwrap_err().message(), "no snapshots found");
    }

    #[test]
    fn an_etcd_version_must_suit_the_newest() {
        let all = [stored("3.4.0_1_etcd.backup", History::First), stored("3.6.0_2_etcd.backup", History::First)];
        let version = |text: &str| Wanted { etcd_version: Some(Version::parse(text).unwrap()), ..Wanted::default() };
        assert_eq!(pick(&all, version("3.7.1")), Ok(2));
        let error = pick(&all, version("3.5.0")).unwrap_err();
        assert_eq!(error.hints(), ["the newest that suits is --revision 1"]);
        let exact = Wanted { revision: Some(1), ..version("3.5.0") };
        assert_eq!(pick(&all, exact), Ok(1));
        assert!(pick(&all, Wanted { revision: Some(2), ..version("3.5.0") }).is_err());
    }
}
