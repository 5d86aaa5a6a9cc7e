//! Paths, the guard before them, and what all requests share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::sync::Semaphore;

use super::access::Link;
use super::answer::{Refusal, plain};
use super::guard::Guard;
use super::metrics::Metrics;
use super::ready::Readiness;
use super::store::Store;
use super::{backup, snapshots, status};
use crate::error::{Error, Result};
use crate::source::{Listing, Wanted};

/// Snapshots that are sent at a time: each holds buffers and a connection to the store.
const TRANSFERS: usize = 16;

/// Longest wait for a listing: shorter than the 30 s that our own client waits for headers.
const LISTING: Duration = Duration::from_secs(25);

/// What all requests share.
pub(super) struct Server<S> {
    pub store: S,
    pub metrics: Arc<Metrics>,
    pub ready: Readiness,
    pub transfers: Arc<Semaphore>,
    guard: Guard,
}

impl<S: Store> Server<S> {
    /// A server of the snapshots of `store` to those whom `guard` lets pass.
    pub(super) fn new(store: S, guard: Guard) -> Self {
        Self {
            store,
            metrics: Arc::default(),
            ready: Readiness::default(),
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
            guard,
        }
    }

    /// Lists the store now.
    ///
    /// # Errors
    /// The store's, logged, or [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut).
    pub(super) async fn list(&self) -> Result<Listing> {
        in_time(self.store.list()).await
    }

    /// Looks for the snapshot that is `wanted` now.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(super) async fn find(&self, wanted: &Wanted) -> Result<Listing> {
        in_time(self.store.find(wanted)).await
    }
}

async fn in_time(listing: impl Future<Output = Result<Listing>>) -> Result<Listing> {
    let listed = match tokio::time::timeout(LISTING, listing).await {
        Ok(listed) => listed,
        Err(_) => Err(Error::timed_out(format!("the store was not listed within {LISTING:?}"))),
    };
    listed.inspect_err(|error| tracing::warn!(error = error.message(), "the store cannot be listed"))
}

/// All paths of the sidecar.
pub(super) fn router<S: Store>(server: Arc<Server<S>>) -> Router {
    let guarded = Router::new()
        .route("/v1/backup", any(backup::answer::<S>))
        .route("/v1/snapshots", any(snapshots::answer::<S>))
        .route("/v1/status", any(status_json::<S>))
        .route("/v1/{*rest}", any(missing))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&server), guard::<S>));
    Router::new()
        .route("/healthz", any(healthz))
        .route("/readyz", any(readyz::<S>))
        .route("/metrics", any(metrics::<S>))
        .merge(guarded)
        .fallback(missing)
        .layer(middleware::from_fn(reads_only))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), count::<S>))
        .with_state(server)
}

async fn count<S: Store>(State(server): State<Arc<Server<S>>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    server.metrics.answered(response.status());
    response
}

async fn reads_only(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let mut response = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

async fn guard<S: Store>(
    State(server): State<Arc<Server<S>>>,
    ConnectInfo(link): ConnectInfo<Link>,
    request: Request,
    next: Next,
) -> Response {
    match server.guard.admit(link, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(answer) => *answer,
    }
}

async fn missing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "404 page not found")
}

async fn healthz() -> Response {
    plain(StatusCode::OK, "ok\n")
}

async fn readyz<S: Store>(State(server): State<Arc<Server<S>>>) -> Response {
    if server.ready.at(Instant::now()) {
        return plain(StatusCode::OK, "ok\n");
    }
    // everybody may ask, so the reason, which names bucket and credentials, stays in the log
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be listed; the log of the sidecar says why")
        .into_response()
}

async fn metrics<S: Store>(State(server): State<Arc<Server<S>>>) -> Response {
    let mut response = plain(StatusCode::OK, server.metrics.render(server.ready.at(Instant::now())));
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, version);
    response
}

async fn status_json<S: Store>(State(server): State<Arc<Server<S>>>) -> Result<Response, Refusal> {
    let listing = server.list().await.map_err(|error| backup::unlisted(&error))?;
    let json = serde_json::to_vec(&status::status(&listing.snapshots))
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut response = plain(StatusCode::OK, json);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
