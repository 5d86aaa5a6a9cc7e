//! Snapshots whose place is a key and not a directory: dialect B of EtcdBackup.
//!
//! Source: coreos/etcd-operator, pkg/controller/backup-operator and pkg/backup/backup_manager.go at v0.9.4: a
//! one-shot is exactly `path`, a periodic one `<path>_v<revision>_<YYYY-MM-DD-HH:MM:SS>` in UTC. Neither says
//! the version of etcd.

use jiff::Timestamp;

use crate::aws::S3;
use crate::aws::s3::Object;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::PathName;
use crate::snapshot::metadata::Metadata;

/// A snapshot below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSnapshot {
    pub key: String,
    /// From the key, else from the metadata of our agent.
    pub revision: Option<u64>,
    /// From the key, else the time of the upload.
    pub taken: Option<Timestamp>,
    pub size: u64,
    pub etag: Option<String>,
}

/// Everything that belongs to the path `key`, the newest first.
///
/// # Errors
/// As [`crate::aws::explain`]. Where only the key itself may be read, only that is looked at.
pub async fn list(s3: &S3, key: &str) -> Result<Vec<PathSnapshot>> {
    let objects = match s3.list(key).await {
        Ok(objects) => objects,
        // a policy may allow one key and no listing
        Err(refused) if refused.kind() == ErrorKind::Denied => {
            let found = looked_at(s3, key).await.unwrap_or_default();
            return if found.is_empty() { Err(refused) } else { Ok(found) };
        }
        Err(error) => return Err(error),
    };
    let mut found: Vec<PathSnapshot> = objects.into_iter().filter_map(|object| read(key, object)).collect();
    if let Some(exact) = found.iter_mut().find(|snapshot| snapshot.key == key) {
        // a revision is good to know and not worth a failure
        exact.revision = s3.head(key).await.ok().flatten().and_then(|head| revision_of(&head));
    }
    sort(&mut found);
    Ok(found)
}

/// The object under exactly this key.
async fn looked_at(s3: &S3, key: &str) -> Result<Vec<PathSnapshot>> {
    let Some(head) = s3.head(key).await? else { return Ok(Vec::new()) };
    Ok(vec![PathSnapshot {
        key: key.to_owned(),
        revision: revision_of(&head),
        taken: head.last_modified().and_then(|time| Timestamp::new(time.secs(), 0).ok()),
        size: head.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        etag: head.e_tag().map(str::to_owned),
    }])
}

fn revision_of(head: &aws_sdk_s3::operation::head_object::HeadObjectOutput) -> Option<u64> {
    let pairs = head.metadata()?;
    Metadata::from_pairs(|name| pairs.get(name).map(String::as_str)).map(|metadata| metadata.revision)
}

/// Chooses the newest, or the newest of a revision, of a list as [`list`] gives it.
///
/// # Errors
/// [`ErrorKind::NotFound`] with `url`, the path's, when there is none such.
pub fn select<'a>(stored: &'a [PathSnapshot], revision: Option<u64>, url: &str) -> Result<&'a PathSnapshot> {
    let found = stored.iter().find(|snapshot| revision.is_none_or(|wanted| snapshot.revision == Some(wanted)));
    found.ok_or_else(|| match revision {
        Some(revision) if !stored.is_empty() => super::no_revision(revision),
        _ => Error::not_found(format!("no snapshots found at {url} or {url}_v<revision>_<time>"))
            .hint("check --path, and --endpoint-url"),
    })
}

/// The revision of the next older snapshot that has one of its own.
pub fn next_older(stored: &[PathSnapshot], snapshot: &PathSnapshot) -> Option<u64> {
    let older = stored.iter().skip_while(|other| *other != snapshot).skip(1);
    older.filter_map(|other| other.revision).find(|revision| snapshot.revision != Some(*revision))
}

fn sort(found: &mut [PathSnapshot]) {
    found.sort_by(|a, b| (b.taken, b.revision, &b.key).cmp(&(a.taken, a.revision, &a.key)));
}

/// `None` for a sibling that only shares the prefix.
fn read(path: &str, object: Object) -> Option<PathSnapshot> {
    let (revision, taken) = match object.key == path {
        true => (None, object.modified),
        false => PathName::parse(path, &object.key).map(|name| (Some(name.revision), Some(name.time)))?,
    };
    Some(PathSnapshot { revision, taken, size: object.size, etag: object.etag, key: object.key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(keys: &[(&str, &str)]) -> Vec<PathSnapshot> {
        let object = |(key, modified): &(&str, &str)| Object {
            key: (*key).to_owned(),
            size: 1,
            etag: None,
            modified: modified.parse().ok(),
        };
        let mut found: Vec<_> = keys.iter().map(object).filter_map(|object| read("a/etcd.backup", object)).collect();
        sort(&mut found);
        found
    }

    #[test]
    fn the_newest_is_the_youngest_and_not_the_greatest() {
        let all = stored(&[
            ("a/etcd.backup_v10_2026-01-01-10:00:00", "2026-01-09T00:00:00Z"),
            ("a/etcd.backup_v9_2026-01-03-10:00:00", "2026-01-03T10:00:00Z"),
            ("a/etcd.backup", "2026-01-02T00:00:00Z"),
        ]);
        assert_eq!(all.iter().map(|one| one.revision).collect::<Vec<_>>(), [Some(9), None, Some(10)]);
        assert_eq!(select(&all, None, "u").unwrap().revision, Some(9));
        assert_eq!(select(&all, Some(10), "u").unwrap().key, "a/etcd.backup_v10_2026-01-01-10:00:00");
        assert_eq!(select(&all, Some(11), "u").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(next_older(&all, &all[0]), Some(10));
        assert_eq!(next_older(&all, &all[2]), None);
        assert!(select(&[], Some(1), "s3://b/k").unwrap_err().message().contains("s3://b/k_v<revision>"));
    }

    #[test]
    fn siblings_that_share_the_prefix_are_none() {
        for other in [
            "a/etcd.backup2",
            "a/etcd.backup/x",
            "a/etcd.backup_v_2026-01-01-10:00:00",
            "a/etcd.backup_v+1_2026-01-01-10:00:00",
            "a/etcd.backup_v9223372036854775808_2026-01-01-10:00:00",
            "a/etcd.backup_v1_2026-13-01-10:00:00",
            "a/etcd.backup_v1_2026-01-01-10:00:00.gz",
            "a/etcd.backup_v1",
            "b/etcd.backup",
        ] {
            assert_eq!(stored(&[(other, "2026-01-01T00:00:00Z")]), [], "{other}");
        }
    }
}
