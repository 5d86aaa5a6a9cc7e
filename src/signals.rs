//! The signals that ask this process to end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves on SIGINT (Ctrl-C), SIGTERM or SIGHUP. Once it was polled, none of them ends the process by itself any more.
pub async fn asked_to_end() {
    let on = async |kind| match signal(kind) {
        Ok(mut received) => {
            received.recv().await;
        }
        // without a handler the signal keeps its default action, which ends the process
        Err(error) => {
            tracing::warn!(%error, "cannot wait for a signal");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = on(SignalKind::interrupt()) => {}
        () = on(SignalKind::terminate()) => {}
        () = on(SignalKind::hangup()) => {}
    }
}
