//! Uploads that nobody will complete: an agent that was killed leaves its parts in a bucket, where they are paid for,
//! or its file on a volume, where it takes the space of others.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::place::Series;
use super::store::Store;
use crate::aws::s3::BegunUpload;
use crate::error::Result;

/// Whether the upload is one of ours that was begun `limit` ago or earlier, or is known to be nobody's any more.
fn is_stale(series: &Series, upload: &BegunUpload, now: Timestamp, limit: Duration) -> bool {
    let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    series.may_upload(&upload.key) && (upload.abandoned || now.duration_since(upload.begun) >= limit)
}

/// Aborts the stale uploads of the `series`.
///
/// # Errors
/// Those of the store, at the first refusal.
pub(super) async fn abort(store: &Store, series: &Series, limit: Duration) -> Result<()> {
    let begun = store.begun_uploads(series.root()).await?;
    let now = Timestamp::now();
    for upload in begun.iter().filter(|upload| is_stale(series, upload, now, limit)) {
        store.abort_upload(&upload.key, &upload.id).await?;
        tracing::info!(begun = %upload.begun, "aborted a stale upload of {}", store.url(&upload.key));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::History;

    #[test]
    fn only_our_own_that_are_old_enough_are_stale() {
        let begun: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let series = Series::History { directory: "v1/a/".to_owned(), history: History::First };
        let day = Duration::from_secs(86_400);
        let look = |key: &str, after, abandoned| {
            let upload = BegunUpload { key: key.to_owned(), id: "1".to_owned(), begun, abandoned };
            is_stale(&series, &upload, begun + SignedDuration::from_secs(after), day)
        };
        let stale = |key: &str, after| look(key, after, false);
        assert!(stale("v1/a/3.5.0_000000000000000f_etcd.backup", 86_400));
        assert!(!stale("v1/a/3.5.0_000000000000000f_etcd.backup", 86_399));
        assert!(!stale("v1/a/notes.txt", 86_400));
        assert!(look("v1/a/3.5.0_000000000000000f_etcd.backup", 0, true) && !look("v1/a/notes.txt", 0, true));
    }
}
