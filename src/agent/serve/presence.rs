//! Whether anybody is connected: a server that was started for one client ends after that client.

use std::time::Duration;

use tokio::sync::watch;

/// How many connections are open, on all listeners.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence(watch::Sender<usize>);

impl Presence {
    /// Resolves when no connection was open for `limit`; never without one.
    pub(super) async fn gone_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        let mut open = self.0.subscribe();
        loop {
            // the sender is ours, so it cannot be gone
            let _ = open.wait_for(|open| *open == 0).await;
            if tokio::time::timeout(limit, open.changed()).await.is_err() {
                return;
            }
        }
    }

    /// A connection was opened; dropped when it is closed.
    pub(super) fn enter(&self) -> Visit {
        self.0.send_modify(|open| *open += 1);
        Visit(self.clone())
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Visit(Presence);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_ends_after_the_last_connection_and_never_without_a_limit() {
        let presence = Presence::default();
        let [first, second] = [presence.enter(), presence.enter()];
        let gone = || presence.gone_for(Some(Duration::ZERO));
        assert!(gone().now_or_never().is_none());
        drop(first);
        assert!(gone().now_or_never().is_none());
        drop(second);
        gone().await;
        assert!(presence.gone_for(None).now_or_never().is_none());
    }
}
