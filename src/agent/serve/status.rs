//! `/v1/status`: what is stored, in numbers.
//!
//! Source of the form: coreos/etcd-operator, pkg/backup/backupapi/http.go at v0.6.1. The original told of the
//! backups of its own process; this tells of the store, and leaves out how long a backup took.

use serde::Serialize;

use crate::snapshot::History;
use crate::source::{StoredSnapshot, Wanted, select};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// The JSON of `/v1/status`; sizes are in units of 1024 * 1024 bytes, rounded to three decimals.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// The newest snapshot of the newest history.
    #[serde(skip_serializing_if = "Option::is_none")]
    recent_backup: Option<Recent>,
    backups: usize,
    backup_size: f64,
    /// Names of the histories that hold snapshots, the oldest first; not in the original.
    histories: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recent {
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_time: Option<String>,
    size: f64,
    revision: u64,
    version: String,
}

/// Sums up what is stored.
pub(super) fn status(stored: &[StoredSnapshot]) -> Status {
    let mut histories: Vec<&History> = stored.iter().map(|snapshot| &snapshot.history).collect();
    histories.sort();
    histories.dedup();
    let latest = Wanted { history: Some("latest".to_owned()), ..Wanted::default() };
    Status {
        recent_backup: select(stored, &latest).ok().map(recent),
        backups: stored.len(),
        backup_size: megabytes(stored.iter().filter_map(|snapshot| snapshot.size).sum()),
        histories: histories.into_iter().map(|history| history.name().to_owned()).collect(),
    }
}

fn recent(snapshot: &StoredSnapshot) -> Recent {
    Recent {
        creation_time: snapshot.modified.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        size: megabytes(snapshot.size.unwrap_or_default()),
        revision: snapshot.name.revision(),
        version: snapshot.name.version().to_string(),
    }
}

fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / MEGABYTE * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::SnapshotName;

    #[test]
    fn sums_up_in_the_originals_form() {
        let stored = StoredSnapshot {
            name: SnapshotName::parse("3.1.8_000000000000000f_etcd.backup").unwrap(),
            history: History::First,
            location: String::new(),
            size: Some(24608),
            etag: None,
            modified: Some("2017-05-17T10:00:00.5Z".parse().unwrap()),
        };
        let json = serde_json::to_value(status(&vec![stored; 5])).unwrap();
        let expected = serde_json::json!({
            "recentBackup": {"creationTime": "2017-05-17T10:00:00Z", "size": 0.023, "revision": 15, "version": "3.1.8"},
            "backups": 5, "backupSize": 0.117, "histories": ["first"]});
        assert_eq!(json, expected);
        let empty = serde_json::to_value(status(&[])).unwrap();
        assert_eq!(empty, serde_json::json!({"backups": 0, "backupSize": 0.0, "histories": []}));
    }
}
