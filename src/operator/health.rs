//! `/healthz` and `/readyz` of the operator, for the kubelet, and `/metrics`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::error::{Error, Result};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the operator has been able to list EtcdBackups, and so works on them.
///
/// Not whether its cache is filled: kube's `Store::wait_until_ready` wakes one waiter only, and that has to
/// be the controller itself.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The operator works.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn status(&self) -> StatusCode {
        if self.0.load(Ordering::Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}

/// Listens on `port` and answers until `stop`.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when the port cannot be had.
pub async fn serve(port: u16, ready: Readiness, metrics: Metrics, stop: CancellationToken) -> Result<()> {
    let listener = listen(port).await?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { (ready.status(), "") }))
        .route("/metrics", get(move || async move { ([(CONTENT_TYPE, TEXT)], metrics.text()) }));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "the health server stopped");
        }
    });
    Ok(())
}

/// All addresses of both families, or of IPv4 alone where there is no IPv6.
async fn listen(port: u16) -> Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .await
            .map_err(|error| Error::general(format!("cannot listen on --health-port {port}: {error}"))),
    }
}
