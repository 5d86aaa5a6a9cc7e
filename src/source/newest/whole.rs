//! A directory that was read from end to end.

use std::collections::BTreeMap;

use semver::Version;

use super::Lister;
use crate::aws::s3::Object;
use crate::error::Result;
use crate::snapshot::History;
use crate::snapshot::layout::{Entry, classify};
use crate::source::{Extent, Listing, StoredSnapshot};

/// Snapshots of one version in one history that are kept, and foreign keys.
const MOST: usize = 128;

/// Everything in `directory`.
///
/// # Errors
/// Those of the store.
pub async fn all(lister: &impl Lister, directory: &str) -> Result<Listing> {
    let mut listing = Listing::default();
    lister.each(directory, |object| add(&mut listing, directory, object)).await?;
    Ok(in_order(listing))
}

/// What these objects are, the whole of `directory` or a page of it.
pub fn listing(directory: &str, objects: Vec<Object>) -> Listing {
    let mut listing = Listing::default();
    objects.into_iter().for_each(|object| add(&mut listing, directory, object));
    in_order(listing)
}

/// Each key once, in the order of the keys.
fn in_order(mut listing: Listing) -> Listing {
    listing.snapshots.sort_by(|a, b| a.location.cmp(&b.location));
    listing.snapshots.dedup_by(|a, b| a.location == b.location);
    listing.foreign.sort();
    listing.foreign.dedup();
    listing
}

/// Takes in an object if it lies in `directory`.
fn add(listing: &mut Listing, directory: &str, object: Object) {
    match object.key.strip_prefix(directory).map(classify) {
        Some(Entry::Snapshot(history, name)) => listing.snapshots.push(StoredSnapshot {
            name,
            history,
            location: object.key,
            size: Some(object.size),
            etag: object.etag,
            modified: object.modified,
        }),
        Some(Entry::Foreign) => listing.foreign.push(object.key),
        Some(Entry::Known) | None => {}
    }
}

/// Reads the whole of `directory`, because of `why`, and keeps of each version in each history only the greatest
/// revisions: a listing of any length fits into memory, and what decides is among them.
///
/// # Errors
/// Those of the store.
pub async fn greatest(lister: &impl Lister, directory: &str, why: &str) -> Result<Listing> {
    let mut all = Listing { extent: Extent::Greatest(why.to_owned()), ..Listing::default() };
    let mut kept: BTreeMap<(History, Version), BTreeMap<u64, StoredSnapshot>> = BTreeMap::new();
    let take = |object| {
        add(&mut all, directory, object);
        all.foreign.truncate(MOST);
        for snapshot in all.snapshots.drain(..) {
            let of_version = kept.entry((snapshot.history.clone(), snapshot.name.version().clone())).or_default();
            let revision = snapshot.name.revision();
            if of_version.get(&revision).is_none_or(|known| known.name < snapshot.name) {
                of_version.insert(revision, snapshot);
            }
            if of_version.len() > MOST {
                of_version.pop_first();
            }
        }
    };
    lister.each(directory, take).await?;
    all.snapshots = kept.into_values().flat_map(BTreeMap::into_values).collect();
    Ok(all)
}
