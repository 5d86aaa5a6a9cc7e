//! A stored snapshot as `get` and `list` show it: one shape for text, JSON and YAML.

use jiff::Timestamp;
use serde::Serialize;

use crate::aws::S3;
use crate::snapshot::Layout;
use crate::source::StoredSnapshot;
use crate::source::path::PathSnapshot;

/// A snapshot and where it is. What its source does not tell is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands) struct Item {
    /// The name that its file gets.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Timestamp>,
    #[serde(flatten)]
    pub place: Place,
}

/// Where a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub(in crate::commands) enum Place {
    Service {
        url: String,
    },
    S3 {
        bucket: String,
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        layout: Option<Layout>,
    },
    Pv {
        claim: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
        path: String,
    },
    Dir {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        layout: Option<Layout>,
    },
}

impl Item {
    /// A snapshot that the backup service offers.
    pub fn of_service(snapshot: &StoredSnapshot) -> Self {
        Self::of(snapshot, Place::Service { url: snapshot.location.clone() })
    }

    /// A snapshot in a cluster's directory.
    pub fn of_s3(snapshot: &StoredSnapshot, s3: &S3, layout: Layout) -> Self {
        let place = Place::S3 { bucket: s3.bucket.clone(), key: snapshot.location.clone(), layout: Some(layout) };
        Self::of(snapshot, place)
    }

    /// A snapshot on the volume of a claim; its path is that in the pods that mount it.
    pub fn of_pv(snapshot: &StoredSnapshot, claim: &str, volume: Option<&str>) -> Self {
        let path = snapshot.location.clone();
        Self::of(snapshot, Place::Pv { claim: claim.to_owned(), volume: volume.map(str::to_owned), path })
    }

    /// A snapshot in a directory of this machine.
    pub fn of_dir(snapshot: &StoredSnapshot, layout: Option<Layout>) -> Self {
        Self::of(snapshot, Place::Dir { path: snapshot.location.clone(), layout })
    }

    fn of(snapshot: &StoredSnapshot, place: Place) -> Self {
        Self {
            name: snapshot.name.to_string(),
            revision: Some(snapshot.name.revision()),
            etcd_version: Some(snapshot.name.version().to_string()),
            history: Some(snapshot.history.name().to_owned()),
            size: snapshot.size,
            last_modified: snapshot.modified,
            place,
        }
    }

    /// A snapshot below a path: its file is named like the last part of its key.
    pub fn of_path(snapshot: &PathSnapshot, s3: &S3) -> Self {
        let name = snapshot.key.rsplit('/').next().unwrap_or(&snapshot.key);
        Self {
            name: name.to_owned(),
            revision: snapshot.revision,
            etcd_version: None,
            history: None,
            size: Some(snapshot.size),
            last_modified: snapshot.taken,
            place: Place::S3 { bucket: s3.bucket.clone(), key: snapshot.key.clone(), layout: None },
        }
    }

    /// The word of `--from` for the place.
    pub fn source(&self) -> &'static str {
        match self.place {
            Place::Service { .. } => "service",
            Place::S3 { .. } => "s3",
            Place::Pv { .. } => "pv",
            Place::Dir { .. } => "dir",
        }
    }

    /// The URL, or the path.
    pub fn location(&self) -> String {
        match &self.place {
            Place::Service { url } => url.clone(),
            Place::S3 { bucket, key, .. } => format!("s3://{bucket}/{key}"),
            Place::Pv { claim, path, .. } => format!("persistentvolumeclaim/{claim}:{path}"),
            Place::Dir { path, .. } => path.clone(),
        }
    }
}
