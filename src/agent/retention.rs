//! Which stored snapshots a run expires, and their deletion.
//!
//! Only what our agent stored is looked at: those bytes were proved. Of them the youngest and the greatest revision
//! always stay, so the newest proved snapshot of a history is never deleted, and other histories are not touched.

use std::cmp::Reverse;
use std::pin::pin;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::place::{Named, Series};
use super::store::Store;
use crate::error::Result;

/// Objects that are looked at at once.
const LOOKS: usize = 16;

/// Objects of others that a run looks at besides as many as it keeps: there may be thousands, and they stay.
const MOST_OTHERS: usize = 100;

/// What a run leaves of its series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule<'a> {
    /// The key of this run's snapshot, which stays however old it is.
    pub current: &'a str,
    /// The etcd cluster of this run: what another one stored at the same path is not its to expire.
    pub cluster_id: u64,
    /// The youngest that stay; 0 keeps all.
    pub keep: usize,
}

/// A snapshot by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    key: String,
    named: Named,
    /// When it was uploaded, by the store's clock; one without is never expired.
    uploaded: Option<Timestamp>,
}

/// Sorts by age, the youngest first. All agents get the same order, so that no two delete what the other counts on.
fn by_age(stored: &mut [Stored]) {
    stored.sort_by(|a, b| {
        let age = |it: &Stored| Reverse((it.uploaded, it.named.revision, it.named.taken));
        age(a).cmp(&age(b)).then_with(|| a.key.cmp(&b.key))
    });
}

/// What has to go so that the `keep` youngest of `ours` stay, the oldest first; nothing if `keep` is 0.
///
/// It may be asked with some of ours only: it keeps the greatest and the youngest of those, and the others are not
/// touched, so the greatest and the youngest of all stay too.
fn plan(mut ours: Vec<Stored>, rule: Rule<'_>) -> Vec<Stored> {
    if rule.keep == 0 {
        return Vec::new();
    }
    let greatest = ours.iter().map(|it| it.named.revision).max();
    let latest = ours.iter().filter_map(|it| it.named.taken).max();
    by_age(&mut ours);
    let stays = |it: &Stored| {
        it.uploaded.is_none()
            || Some(it.named.revision) == greatest
            || it.named.taken.is_some() && it.named.taken == latest
            || it.key == rule.current
    };
    ours.into_iter().skip(rule.keep).rev().filter(|it| !stays(it)).collect()
}

/// Deletes what [`plan`] says of the `series`, and counts it in `deleted`.
///
/// # Errors
/// Those of the store, at the first refusal; what was deleted before is counted.
pub(super) async fn expire(store: &Store, series: &Series, rule: Rule<'_>, deleted: &mut u32) -> Result<()> {
    if rule.keep == 0 {
        return Ok(());
    }
    let named = |object: crate::aws::s3::Object| {
        let named = series.named(&object.key)?;
        Some(Stored { key: object.key, named, uploaded: object.modified })
    };
    let named: Vec<Stored> = store.list(&series.prefix()).await?.into_iter().filter_map(named).collect();
    if named.len() <= rule.keep {
        return Ok(());
    }
    for expired in plan(ours(store, named, rule).await?, rule) {
        store.delete(&expired.key).await?;
        *deleted += 1;
        tracing::info!("expired {}", store.url(&expired.key));
    }
    Ok(())
}

/// Those that our agent stored of this cluster, the youngest first: what is to go lies next to what stays.
async fn ours(store: &Store, mut named: Vec<Stored>, rule: Rule<'_>) -> Result<Vec<Stored>> {
    by_age(&mut named);
    let looks = named.into_iter().map(|stored| async move {
        let metadata = store.head(&stored.key).await?.and_then(|found| found.metadata);
        // a copy under another name is not what we stored
        let ours = |it: crate::snapshot::metadata::Metadata| {
            (it.cluster_id, it.revision) == (rule.cluster_id, stored.named.revision)
        };
        Ok::<_, crate::error::Error>((metadata.is_some_and(ours), stored))
    });
    let mut looks = pin!(futures::stream::iter(looks).buffered(LOOKS));
    let (mut ours, mut others) = (Vec::new(), 0);
    while let Some((is_ours, stored)) = looks.try_next().await? {
        if is_ours {
            ours.push(stored);
            continue;
        }
        others += 1;
        if others >= rule.keep.saturating_add(MOST_OTHERS) {
            tracing::warn!("{others} objects here are not this agent's; those older than {} stay", stored.key);
            break;
        }
    }
    Ok(ours)
}

#[cfg(test)]
mod tests;
