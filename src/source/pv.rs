//! Snapshots on a PersistentVolume, read through a helper pod that mounts it and serves it as our sidecar serves a
//! bucket: the same ranges, conditions and proof, and no trust in the streams of an exec.
//!
//! Source of the directories: coreos/etcd-operator, pkg/backup/filebackend.go at v0.6.1:
//! `/var/etcd-backup/v1/<cluster>/<name>`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Listing, StoredSnapshot};
use crate::error::{Error, Result};
use crate::snapshot::layout::{Entry as Kind, classify};

/// Where the volume is mounted in the pods that write it and in the helper.
pub const MOUNT: &str = "/var/etcd-backup";

/// The path of the list of all snapshots.
pub const SNAPSHOTS: &str = "/v1/snapshots";

/// The JSON of `/v1/snapshots`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub snapshots: Vec<Entry>,
    /// Names beside the snapshots that are not of their form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
}

/// One stored snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub history: String,
    pub name: String,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// The tag of `/v1/backup`; left out for a file that the server may not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Key or path in the store.
    pub location: String,
}

impl Inventory {
    /// Reads the JSON. What is no snapshot by its name counts as foreign.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) for anything but the JSON of our server.
    pub fn parse(json: &[u8]) -> Result<Listing> {
        let read: Self = serde_json::from_slice(json)
            .map_err(|error| Error::general(format!("the list of snapshots cannot be read: {error}")))?;
        let mut listing = Listing { foreign: read.foreign, ..Listing::default() };
        for entry in read.snapshots {
            match entry.stored() {
                Some(snapshot) => listing.snapshots.push(snapshot),
                None => listing.foreign.push(entry.name),
            }
        }
        Ok(listing)
    }
}

impl Entry {
    fn stored(&self) -> Option<StoredSnapshot> {
        let relative = match self.history.as_str() {
            "first" => self.name.clone(),
            history => format!("history/{history}/{}", self.name),
        };
        let Kind::Snapshot(history, name) = classify(&relative) else { return None };
        let Self { size, modified, etag, location, .. } = self.clone();
        Some(StoredSnapshot { name, history, location, size, etag, modified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::History;

    #[test]
    fn a_list_is_read_and_strange_names_are_foreign() {
        let json = br#"{"snapshots": [
            {"history": "first", "name": "3.5.21_000000000000000f_etcd.backup", "size": 10, "etag": "\"a\"", "location": "/x"},
            {"history": "20260102T030405Z_ab", "name": "3.5.21_0000000000000002_etcd.backup", "location": "/y"},
            {"history": "../..", "name": "3.5.21_0000000000000002_etcd.backup", "location": "/y"},
            {"history": "first", "name": "../../etc/passwd", "location": "/etc/passwd"}], "foreign": ["notes.txt"]}"#;
        let listing = Inventory::parse(json).unwrap();
        let histories: Vec<&History> = listing.snapshots.iter().map(|one| &one.history).collect();
        assert_eq!(histories, [&History::First, &History::Later("20260102T030405Z_ab".to_owned())]);
        assert_eq!(listing.snapshots[1].etag, None);
        assert_eq!(listing.foreign.len(), 3, "{:?}", listing.foreign);
        assert!(Inventory::parse(b"404 page not found").is_err());
    }
}
