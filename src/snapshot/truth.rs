//! Whether the name of a snapshot says the truth about the database in it, and what its version is known for.

use semver::Version;

use super::SnapshotName;
use super::bolt::{Database, ReadAt};
use super::keyspace::{self, Glance};
use crate::error::{Error, Result};

/// Compares the revision of a name with that of the database. The name's is read before the snapshot is taken, so the
/// database may have a greater one.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for a smaller one.
pub fn revision_is(named: u64, found: u64) -> Result<()> {
    if found >= named {
        return Ok(());
    }
    Err(Error::unproved(format!("the name says revision {named}, but the database ends at revision {found}"))
        .hint("the file is another snapshot than its name says"))
}

/// Compares a whole name with what was found.
///
/// # Errors
/// Those of [`revision_is`], and [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when the database is in a
/// format that no etcd of this version works with.
pub fn name_is(name: &SnapshotName, found: &Glance) -> Result<()> {
    revision_is(name.revision(), found.revision)?;
    match &found.storage_version {
        Some(stored) if !is_format_of(stored, name.version()) => Err(Error::unproved(format!(
            "the name says etcd {}, but the database is in the format of etcd {}.{}",
            name.version(),
            stored.major,
            stored.minor
        ))
        .hint("the file is another snapshot than its name says")),
        _ => Ok(()),
    }
}

/// Whether an etcd of `version` works with this format: its own, and the one before it until all members are of its
/// minor version (etcd-io/etcd v3.6.4, server/storage/schema/schema.go, `UpdateStorageSchema` by the cluster's version).
fn is_format_of(stored: &Version, version: &Version) -> bool {
    stored.major == version.major && (version.minor.saturating_sub(1)..=version.minor).contains(&stored.minor)
}

/// Compares the revision of a name with the few pages of the database that tell its own.
///
/// # Errors
/// Those of [`revision_is`], of [`Database::open`] and of [`keyspace::glance`].
pub fn revision_of<R: ReadAt + ?Sized>(reader: &R, named: Option<u64>) -> Result<()> {
    let found = keyspace::glance(&Database::open(reader)?)?;
    named.map_or(Ok(()), |named| revision_is(named, found.revision))
}

/// `1 key`, `2 keys`.
pub fn counted(keys: u64) -> String {
    format!("{keys} {}", if keys == 1 { "key" } else { "keys" })
}

/// Below so many keys a snapshot may be one of a cluster whose users speak the v2 API.
const FEW_KEYS: u64 = 10;

/// What to say of a proved snapshot with so many keys, if anything: the store of the v2 API is in no snapshot
/// (etcd-io/etcd, Documentation/op-guide/v2-migration.md; the API is gone since v3.6).
pub fn v2_warning(keys: u64, found: &Glance) -> Option<String> {
    let may_be = keys < FEW_KEYS && found.storage_version.is_none();
    may_be.then(|| {
        let counted = counted(keys);
        format!("the snapshot holds {counted}: if the cluster is used through the v2 API, its keys are in no snapshot")
    })
}

/// Versions whose data may have been wrong before a snapshot was taken: first and last, what happened, where it stands.
const INCIDENTS: [(Version, Version, &str); 4] = [
    (Version::new(3, 5, 0), Version::new(3, 5, 2), "lost writes when it was killed (etcd-io/etcd#13766)"),
    (
        Version::new(3, 5, 0),
        Version::new(3, 5, 5),
        "could damage its data in a crash during a defragmentation (etcd-io/etcd#14730)",
    ),
    (Version::new(3, 4, 20), Version::new(3, 4, 21), WITH_AUTH),
    (Version::new(3, 5, 5), Version::new(3, 5, 5), WITH_AUTH),
];

const WITH_AUTH: &str = "could give a new member other data where authentication is on (kubernetes/kubernetes#114093)";

/// What etcds of `version` are known for: a proof of the bytes says nothing about it.
pub fn incidents(version: &Version) -> impl Iterator<Item = String> {
    let known = INCIDENTS.into_iter().filter(move |(first, last, _)| (first..=last).contains(&version));
    known
        .map(move |(_, _, what)| format!("etcd {version} {what}; the bytes are whole, but compare its members' hashes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(revision: u64, storage: Option<Version>) -> Glance {
        Glance { revision, storage_version: storage }
    }

    #[test]
    fn a_name_may_be_behind_and_never_ahead_nor_of_another_format() {
        let name = SnapshotName::new(Version::new(3, 6, 4), 15);
        let stored = |minor| Some(Version::new(3, minor, 0));
        // the last: while a cluster is being upgraded
        for true_one in [found(15, None), found(16, stored(6)), found(15, stored(6)), found(15, stored(5))] {
            assert_eq!(name_is(&name, &true_one), Ok(()), "{true_one:?}");
        }
        for false_one in [found(14, None), found(15, stored(4)), found(15, stored(7))] {
            assert!(name_is(&name, &false_one).is_err(), "{false_one:?}");
        }
    }

    #[test]
    fn versions_with_incidents_are_known() {
        let count = |minor, patch| incidents(&Version::new(3, minor, patch)).count();
        assert_eq!([count(5, 0), count(5, 3), count(5, 5), count(5, 6)], [2, 1, 2, 0]);
        assert_eq!([count(4, 19), count(4, 20), count(4, 22), count(6, 0)], [0, 1, 0, 0]);
    }

    #[test]
    fn hardly_any_keys_are_said_unless_the_storage_knows_no_v2() {
        assert!(v2_warning(1, &found(2, None)).is_some_and(|said| said.contains("holds 1 key:")));
        assert_eq!(v2_warning(1, &found(2, Some(Version::new(3, 6, 0)))), None);
        assert_eq!(v2_warning(10, &found(11, None)), None);
    }
}
