//! Counters in the Prometheus text format.
//!
//! Source: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;

/// What the server did since it started.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: Mutex<BTreeMap<u16, u64>>,
    bytes: AtomicU64,
    broken: AtomicU64,
}

impl Metrics {
    /// A request was answered.
    pub(super) fn answered(&self, status: StatusCode) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(status.as_u16()).or_default() += 1;
    }

    /// Bytes of a snapshot were handed to a connection.
    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The store broke off within a snapshot.
    pub(super) fn broke_off(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    /// The text that Prometheus reads.
    pub(super) fn render(&self, ready: bool) -> String {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            // writing to a String cannot fail
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let by_code: Vec<_> = requests.iter().map(|(code, count)| (format!("{{code=\"{code}\"}}"), *count)).collect();
        let one = |value: u64| [(String::new(), value)];
        metric("etcdbackup_sidecar_requests_total", "counter", "Requests by status code.", &by_code);
        let bytes = one(self.bytes.load(Ordering::Relaxed));
        metric("etcdbackup_sidecar_sent_bytes_total", "counter", "Bytes of snapshots sent.", &bytes);
        let broken = one(self.broken.load(Ordering::Relaxed));
        metric("etcdbackup_sidecar_broken_downloads_total", "counter", "Downloads that the store broke off.", &broken);
        metric("etcdbackup_sidecar_store_ready", "gauge", "Whether the store can be listed.", &one(ready.into()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_every_counter() {
        let metrics = Metrics::default();
        metrics.answered(StatusCode::OK);
        metrics.answered(StatusCode::OK);
        metrics.answered(StatusCode::NOT_FOUND);
        metrics.sent(24608);
        metrics.broke_off();
        let text = metrics.render(true);
        for line in [
            "etcdbackup_sidecar_requests_total{code=\"200\"} 2",
            "etcdbackup_sidecar_requests_total{code=\"404\"} 1",
            "etcdbackup_sidecar_sent_bytes_total 24608",
            "etcdbackup_sidecar_broken_downloads_total 1",
            "etcdbackup_sidecar_store_ready 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
