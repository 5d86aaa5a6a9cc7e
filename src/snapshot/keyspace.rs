//! What etcd keeps in its database, as far as a proof needs it: revisions, keys, the version of the storage.
//!
//! Source: etcd-io/etcd v3.6.4, server/storage/mvcc/{kvstore,revision,store}.go, server/storage/schema/{bucket,version}.go,
//! etcdutl/snapshot/v3_snapshot.go (`Status`), api/mvccpb/kv.proto; the first three are the same in v3.1 to v3.5.

mod live;
mod record;

use semver::Version;

use super::bolt::{Bucket, Check, Database, ReadAt, Usage, Value};
use crate::error::{Error, Result};
use live::LiveKeys;

/// The revision of an etcd to which nothing was ever written (`NewStore`, `currentRev`).
const FIRST: u64 = 1;

const KEY: &[u8] = b"key";
const META: &[u8] = b"meta";
const COMPACTED: [&[u8]; 2] = [b"finishedCompactRev", b"scheduledCompactRev"];
const STORAGE_VERSION: &[u8] = b"storageVersion";

/// Bytes of a revision as a key: main, `_`, sub; a deletion has one more.
const REVISION: usize = 17;

/// What the whole of a database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    pub glance: Glance,
    /// Keys that exist at the greatest revision, as `etcdutl snapshot status` counts them since v3.6.
    pub keys: u64,
    /// Changes that are stored, deletions too: what `etcdutl snapshot status` counts up to v3.5, where it counts
    /// the entries of all other buckets with them.
    pub revisions: u64,
    pub usage: Usage,
}

/// What a few pages of a database say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The revision that etcd would start with: the last key's, or that of a compaction that left no key so young
    /// (etcd-io/etcd#17780).
    pub revision: u64,
    /// Of the format, in which only major and minor mean something; etcd writes it since v3.6.
    pub storage_version: Option<Version>,
}

/// Reads everything, and checks it on the way.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for the first thing that etcd does not write; those of
/// the reader.
pub fn examine<R: ReadAt + ?Sized>(database: Database<'_, R>) -> Result<Contents> {
    let (mut check, buckets) = Check::begin(database)?;
    let (mut revision, mut revisions, mut storage_version) = (FIRST, 0, None);
    let mut live = LiveKeys::new();
    let (key, _meta) = (named(&buckets, KEY)?, named(&buckets, META)?);
    for bucket in &buckets {
        check.walk(bucket, |entry, mut value| match bucket.name.as_slice() {
            KEY => {
                revisions += 1;
                revision = revision.max(main_of(entry).ok_or_else(|| value.fault("holds a key that is no revision"))?);
                live.see(entry.len() > REVISION, &mut value)
            }
            META if COMPACTED.contains(&entry) => {
                let main = main_of(value.get(0, Value::<R>::MOST)?);
                revision = revision.max(main.ok_or_else(|| value.fault("holds a compaction that is no revision"))?);
                Ok(())
            }
            META if entry == STORAGE_VERSION => {
                storage_version = Some(version_of(value.get(0, Value::<R>::MOST)?)?);
                Ok(())
            }
            _ => Ok(()),
        })?;
    }
    let keys =
        live.count(|live| check.walk_again(key, |entry, mut value| live.see(entry.len() > REVISION, &mut value)))?;
    let usage = check.finish()?;
    Ok(Contents { glance: Glance { revision, storage_version }, keys, revisions, usage })
}

/// Reads only what tells the revision and the version.
///
/// # Errors
/// As [`examine`], for the pages that are read.
pub fn glance<R: ReadAt + ?Sized>(database: &Database<'_, R>) -> Result<Glance> {
    let bucket = |name: &[u8]| database.bucket(name)?.ok_or_else(|| missing(name));
    let (key, meta) = (bucket(KEY)?, bucket(META)?);
    let mut revision = FIRST;
    let compacted = COMPACTED.into_iter().map(|name| database.value(&meta, name));
    for found in std::iter::once(database.last_key(&key)).chain(compacted) {
        if let Some(bytes) = found? {
            let main = main_of(&bytes);
            revision = revision.max(main.ok_or_else(|| Error::unproved("the last revision is none of etcd's"))?);
        }
    }
    let version = database.value(&meta, STORAGE_VERSION)?;
    Ok(Glance { revision, storage_version: version.map(|bytes| version_of(&bytes)).transpose()? })
}

fn named<'b>(buckets: &'b [Bucket], name: &[u8]) -> Result<&'b Bucket> {
    buckets.iter().find(|bucket| bucket.name == name).ok_or_else(|| missing(name))
}

fn missing(name: &[u8]) -> Error {
    Error::unproved(format!("not a database of etcd: there is no bucket {:?}", String::from_utf8_lossy(name)))
}

/// The main revision of a key of the bucket `key`, or of a compaction.
fn main_of(bytes: &[u8]) -> Option<u64> {
    let (revision, mark) = bytes.split_at_checked(REVISION)?;
    let main = u64::from_be_bytes(revision.get(..8)?.try_into().ok()?);
    let sub = u64::from_be_bytes(revision.get(9..)?.try_into().ok()?);
    let most = i64::MAX as u64;
    (matches!(mark, b"" | b"t") && revision[8] == b'_' && main <= most && sub <= most).then_some(main)
}

fn version_of(bytes: &[u8]) -> Result<Version> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 64);
    let version = text.and_then(|text| Version::parse(text).ok());
    version.ok_or_else(|| Error::unproved("the version of the storage in bucket \"meta\" is no version"))
}
