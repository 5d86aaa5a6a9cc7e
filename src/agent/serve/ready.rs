//! Readiness: whether the store could be listed a moment ago.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::router::Server;
use super::store::Store;
use crate::source::{Extent, Wanted};

/// A listing is paid for and need not be fresher than this.
const WHILE_WELL: Duration = Duration::from_secs(30);
const WHILE_ILL: Duration = Duration::from_secs(5);

/// An older success says nothing any more: the listing hangs.
const STALE: Duration = Duration::from_secs(120);

/// When the store was last listed, if the last try succeeded.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<Instant>>);

impl Readiness {
    /// The store was listed, or could not be.
    pub(super) fn set(&self, listed: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = listed;
    }

    /// Whether the store is known to be listable at `now`.
    pub(super) fn at(&self, now: Instant) -> bool {
        let listed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listed.is_some_and(|listed| now.saturating_duration_since(listed) < STALE)
    }
}

/// Looks into the store again and again, with credentials as they are mounted now.
pub(super) async fn watch<S: Store>(server: Arc<Server<S>>) {
    let (mut foreign, mut extent) = (0, Extent::All);
    let newest = Wanted { history: Some("latest".to_owned()), ..Wanted::default() };
    loop {
        server.store.refresh().await;
        let pause = match server.find(&newest).await {
            Ok(listing) => {
                if listing.foreign.len() != foreign {
                    foreign = listing.foreign.len();
                    tracing::warn!(
                        foreign,
                        example = listing.foreign.first(),
                        "keys that are no snapshots are skipped"
                    );
                }
                if let Extent::Greatest(why) = &listing.extent
                    && listing.extent != extent
                {
                    tracing::warn!("every request reads the whole listing: {why}");
                }
                extent = listing.extent;
                server.ready.set(Some(Instant::now()));
                WHILE_WELL
            }
            Err(_) => {
                server.ready.set(None);
                WHILE_ILL
            }
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_from_a_success_until_a_failure_or_a_long_silence() {
        let (readiness, now) = (Readiness::default(), Instant::now());
        assert!(!readiness.at(now));
        readiness.set(Some(now));
        assert!(readiness.at(now) && readiness.at(now + STALE / 2) && !readiness.at(now + STALE));
        readiness.set(None);
        assert!(!readiness.at(now));
    }
}
