//! Which stored snapshots a run expires, and their deletion.
//!
//! Only what our agent stored is looked at: those bytes were proved. Of them the youngest and the greatest revision
//! always stay, so the newest proved snapshot of a history is never deleted, and other histories are not touched.

use std::cmp::Reverse;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::place::Series;
use crate::aws::S3;
use crate::aws::s3::Object;
use crate::error::Result;
use crate::transfer::upload::metadata_of;

/// Objects that are looked at at once.
const LOOKS: usize = 16;

/// A snapshot that our agent stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    key: String,
    revision: u64,
    /// When it was uploaded, by the store's clock; one without is never expired.
    uploaded: Option<Timestamp>,
}

/// What has to go so that the `keep` youngest of `ours` stay, the oldest first; nothing if `keep` is 0. `current` is
/// the key of this run's snapshot, which stays however old it is.
fn plan<'a>(ours: &'a [Stored], current: &str, keep: usize) -> Vec<&'a Stored> {
    if keep == 0 {
        return Vec::new();
    }
    let greatest = ours.iter().map(|stored| stored.revision).max();
    let mut by_age: Vec<&Stored> = ours.iter().collect();
    by_age.sort_by_key(|stored| Reverse((stored.uploaded, stored.revision)));
    let expired = by_age.into_iter().skip(keep).rev();
    expired.filter(|it| it.uploaded.is_some() && Some(it.revision) != greatest && it.key != current).collect()
}

/// Deletes what [`plan`] says of the `series`, and counts it in `deleted`.
///
/// # Errors
/// As [`crate::aws::explain`], at the first refusal; what was deleted before is counted.
pub(super) async fn expire(s3: &S3, series: &Series, current: &str, keep: u32, deleted: &mut u32) -> Result<()> {
    let keep = keep as usize;
    if keep == 0 {
        return Ok(());
    }
    let listed = s3.list(&series.prefix()).await?;
    let named: Vec<_> = listed.into_iter().filter_map(|it| Some((series.revision(&it.key)?, it))).collect();
    if named.len() <= keep {
        return Ok(());
    }
    let looks = named.into_iter().map(|(revision, object)| ours(s3, revision, object));
    let ours: Vec<Option<Stored>> = futures::stream::iter(looks).buffer_unordered(LOOKS).try_collect().await?;
    let ours: Vec<Stored> = ours.into_iter().flatten().collect();
    for expired in plan(&ours, current, keep) {
        s3.delete(&expired.key).await?;
        *deleted += 1;
        tracing::info!("expired {}", s3.url(&expired.key));
    }
    Ok(())
}

/// The object if our agent stored it.
async fn ours(s3: &S3, revision: u64, object: Object) -> Result<Option<Stored>> {
    let head = s3.head(&object.key).await?;
    let ours = head.as_ref().and_then(metadata_of).is_some();
    Ok(ours.then_some(Stored { key: object.key, revision, uploaded: object.modified }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(revision: u64, uploaded: Option<i64>) -> Stored {
        let uploaded = uploaded.map(|seconds| Timestamp::new(seconds, 0).unwrap());
        Stored { key: format!("{revision}-{uploaded:?}"), revision, uploaded }
    }

    fn expired(ours: &[Stored], current: &str, keep: usize) -> Vec<u64> {
        plan(ours, current, keep).iter().map(|stored| stored.revision).collect()
    }

    #[test]
    fn the_oldest_go_first_and_by_age_not_by_revision() {
        let ours = [stored(5, Some(50)), stored(9, Some(10)), stored(10, Some(60)), stored(3, Some(40))];
        assert_eq!(expired(&ours, "", 2), [9, 3]);
        assert_eq!(expired(&ours, "", 4), [0_u64; 0]);
        assert_eq!(expired(&ours, "", 0), [0_u64; 0]);
    }

    #[test]
    fn the_greatest_revision_the_runs_own_and_one_without_a_time_stay() {
        let ours = [stored(99, Some(1)), stored(2, Some(2)), stored(3, None), stored(4, Some(4)), stored(5, Some(5))];
        assert_eq!(expired(&ours, "", 1), [2, 4]);
        assert_eq!(expired(&ours, &ours[1].key, 1), [4]);
    }

    fn any_stored() -> impl Strategy<Value = Vec<Stored>> {
        proptest::collection::vec((0..20_u64, proptest::option::weighted(0.9, 0..20_i64)), 0..30).prop_map(|all| {
            let named = |(at, (revision, uploaded))| Stored { key: format!("{at}"), ..stored(revision, uploaded) };
            all.into_iter().enumerate().map(named).collect()
        })
    }

    proptest! {
        #[test]
        fn whatever_is_stored_what_matters_stays(ours in any_stored(), keep in 0..10_usize, current in 0..40_usize) {
            let current = current.to_string();
            let gone = plan(&ours, &current, keep);
            let left: Vec<_> = ours.iter().filter(|it| !gone.contains(it)).collect();
            prop_assert!(left.len() >= ours.len().min(keep));
            prop_assert!(keep > 0 || gone.is_empty());
            let greatest = ours.iter().map(|it| it.revision).max();
            let youngest = ours.iter().filter_map(|it| it.uploaded).max();
            prop_assert!(left.iter().filter_map(|it| it.uploaded).max() == youngest);
            for it in gone {
                prop_assert!(it.key != current && Some(it.revision) != greatest && it.uploaded.is_some());
                // so many younger ones stay
                prop_assert!(left.iter().filter(|other| other.uploaded >= it.uploaded).count() >= keep.min(1));
            }
            // running it again finds nothing more
            let left: Vec<Stored> = left.into_iter().cloned().collect();
            prop_assert!(plan(&left, &current, keep).is_empty());
        }
    }
}
