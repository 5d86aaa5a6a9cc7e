//! The newest snapshot of a cluster, found without reading the whole listing.
//!
//! A store that lists keys in the order of their bytes can be asked for "the first key after this one". Within one
//! etcd version the names sort by revision, so a gallop and a bisection find the last one. Correctness does not rest
//! on names that are well formed: every stretch of keys in which a greater revision could stand is computed
//! (`Seen::gap`), and a search ends when all of them were read. Names that break the order cost requests, never the
//! right answer, and an answer that breaks it ends the search: then everything is listed.
//!
//! Source of the order: Amazon S3 User Guide, "Listing object keys programmatically": general purpose buckets list in
//! UTF-8 binary order. Directory buckets have no order and no start-after (API reference, ListObjectsV2).

mod climb;
mod histories;
mod openings;
mod reader;
mod search;
mod seen;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::BTreeSet;
use std::future::Future;

use self::histories::histories;
pub use self::openings::openings;
use self::reader::Halt;
use self::search::Search;
use self::seen::{Goal, NO_LIMIT};
pub use self::whole::{all, greatest, listing};
use super::{Extent, Listing, StoredSnapshot, Wanted, next_older};
use crate::aws::S3;
use crate::aws::s3::{Object, Page};
use crate::error::Result;
use crate::snapshot::History;

/// Most keys that S3 returns for one request.
pub const PAGE: u32 = 1000;

/// Pages that are read before anything is looked for: a search costs no less.
const FIRST_PAGES: usize = 2;

/// The same where all snapshots are of one version, so that the last page has the newest.
const FIRST_PAGES_OF_ONE_VERSION: usize = 4;

/// A store whose keys can be listed.
pub trait Lister: Sync {
    /// Why the order of the keys is no help, where that is known without asking.
    fn disorder(&self) -> Option<&'static str>;

    /// As [`S3::page`].
    fn page(&self, prefix: &str, after: &str, most: u32) -> impl Future<Output = Result<Page>> + Send;

    /// As [`S3::each`].
    fn each(&self, prefix: &str, take: impl FnMut(Object) + Send) -> impl Future<Output = Result<()>> + Send;
}

impl Lister for S3 {
    fn disorder(&self) -> Option<&'static str> {
        // source: Amazon S3 User Guide, "Directory bucket naming rules"
        self.bucket.ends_with("--x-s3").then_some("a directory bucket lists in no order")
    }

    async fn page(&self, prefix: &str, after: &str, most: u32) -> Result<Page> {
        self.page(prefix, after, most).await
    }

    async fn each(&self, prefix: &str, take: impl FnMut(Object) + Send) -> Result<()> {
        self.each(prefix, take).await
    }
}

/// What decides which snapshot of a cluster's `directory` is the `wanted` one; `first` is the first page of that
/// directory. [`select`](super::select) chooses from it as it would from the whole listing.
///
/// One page is all that most directories have. Of more, only what decides is looked for; with a revision, and in a
/// store without order, everything is listed.
///
/// # Errors
/// Those of the store.
pub async fn deciding(lister: &impl Lister, directory: &str, first: Page, wanted: &Wanted) -> Result<Listing> {
    if !first.truncated {
        return Ok(whole::listing(directory, first.objects));
    }
    if wanted.revision.is_some() {
        return all(lister, directory).await;
    }
    let found = match lister.disorder() {
        Some(why) => Err(Halt::Disorder(why)),
        None => search(lister, directory, first, wanted).await,
    };
    match found {
        Ok(listing) => Ok(listing),
        Err(Halt::Failed(error)) => Err(error),
        Err(Halt::Disorder(why)) => greatest(lister, directory, why).await,
    }
}

async fn search(lister: &impl Lister, directory: &str, first: Page, wanted: &Wanted) -> Result<Listing, Halt> {
    let mut of_first = Search::begun(lister, directory, first)?;
    if wanted.history.as_deref().is_none_or(|history| history == History::First.name()) {
        of_first.turn_pages(FIRST_PAGES).await?;
        // what lies behind the last version also tells whether there are histories
        if of_first.count_versions().await? == 1 {
            of_first.turn_pages(FIRST_PAGES_OF_ONE_VERSION).await?;
        }
    }
    let held = histories(&mut of_first).await?;
    let mut listing = Listing { extent: Extent::Deciding, ..Listing::default() };
    for history in chosen(&held, wanted.history.as_deref()) {
        let mut later = None;
        let search = match history {
            History::First => &mut of_first,
            History::Later(_) => later.insert(Search::new(lister, directory, history).await?),
        };
        let newest = search.best(&Goal { below: NO_LIMIT, etcd: None }).await?;
        let suiting = match &wanted.etcd_version {
            Some(etcd) => search.best(&Goal { below: NO_LIMIT, etcd: Some(etcd) }).await?,
            None => None,
        };
        let suiting = suiting.filter(|suiting| Some(suiting) != newest.as_ref());
        listing.snapshots.extend(newest.into_iter().chain(suiting));
        listing.foreign.extend(later.map(|search| search.foreign()).unwrap_or_default());
    }
    listing.foreign.extend(of_first.foreign());
    Ok(listing)
}

/// The histories that matter; where none is right, all of them do, for the message.
fn chosen<'a>(held: &'a BTreeSet<History>, wanted: Option<&str>) -> Vec<&'a History> {
    let one = match wanted {
        None => None,
        Some("latest") => held.iter().last(),
        Some(name) => held.iter().find(|history| history.name() == name),
    };
    one.map_or_else(|| held.iter().collect(), |one| vec![one])
}

/// The revision of the snapshot before `snapshot`, one of the greatest of its history below `directory`.
///
/// # Errors
/// Those of the store.
pub async fn before(lister: &impl Lister, directory: &str, snapshot: &StoredSnapshot) -> Result<Option<u64>> {
    match before_by_search(lister, directory, snapshot).await {
        Ok(revision) => Ok(revision),
        Err(Halt::Failed(error)) => Err(error),
        Err(Halt::Disorder(why)) => Ok(next_older(&greatest(lister, directory, why).await?.snapshots, snapshot)),
    }
}

async fn before_by_search(
    lister: &impl Lister,
    directory: &str,
    snapshot: &StoredSnapshot,
) -> Result<Option<u64>, Halt> {
    let mut search = Search::new(lister, directory, &snapshot.history).await?;
    let mut below = NO_LIMIT;
    // somebody may have stored newer ones meanwhile
    while below >= snapshot.name.revision() {
        let Some(older) = search.best(&Goal { below, etcd: None }).await? else { return Ok(None) };
        below = older.name.revision();
    }
    Ok(Some(below))
}
