//! The signals that ask this process to end, and one that need not end it.

use rustix::process::Signal;
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

/// Makes a limit on the size of files (`ulimit -f`) an error of the write that meets it. Without this the signal ends
/// the process before it can say why.
pub fn bear_file_limit() {
    // that there is a handler is enough
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "a limit on the size of files would end the process");
    }
}
