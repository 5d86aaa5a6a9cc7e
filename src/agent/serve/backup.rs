//! `GET|HEAD /v1/backup`: the newest snapshot, or the one that is asked for.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::answer::{Refusal, describe, tag};
use super::choose::{choose, wanted};
use super::coding::{self, Coding};
use super::query;
use super::range::{Portion, has_it_already, portion, precondition_holds};
use super::router::Server;
use super::store::Store;
use super::transfer::Transfer;
use crate::error::{Error, ErrorKind, Result};
use crate::source::StoredSnapshot;

/// Longest wait until the store begins to send.
const OPENING: Duration = Duration::from_secs(25);

/// Answers a request; every refusal is plain text.
pub(super) async fn answer<S: Store>(State(server): State<Arc<Server<S>>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mut response = match find(&server, &parts.uri).await {
        Ok(snapshot) => of_snapshot(&server, &parts, &snapshot).await,
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// The conditions are judged in the order of RFC 9110, section 13.2.2.
async fn of_snapshot<S: Store>(server: &Server<S>, parts: &Parts, snapshot: &StoredSnapshot) -> Response {
    let coding = match snapshot.size {
        Some(_) => Coding::of(&parts.headers),
        // the client could not tell how much the frame may hold
        None => Coding::Identity,
    };
    let tags: Vec<String> = [Coding::Identity, Coding::Zstd].iter().filter_map(|form| tag(snapshot, *form)).collect();
    if !precondition_holds(&parts.headers, &tags) {
        return Refusal::new(StatusCode::PRECONDITION_FAILED, "the backup is another one now").into_response();
    }
    if has_it_already(&parts.headers, tag(snapshot, coding).as_deref()) {
        return with(StatusCode::NOT_MODIFIED, describe(snapshot, coding), Body::empty());
    }
    if parts.method == Method::HEAD {
        // of a body that is known to be empty the server would say that it has 0 bytes
        let unknown = Body::from_stream(stream::empty::<Result<Bytes>>());
        return with(StatusCode::OK, headers(snapshot, &Portion::Whole, coding), unknown);
    }
    match portion(&parts.headers, tag(snapshot, Coding::Identity).as_deref(), snapshot.size) {
        Portion::Unsatisfiable => beyond(snapshot),
        portion => send(server, snapshot, portion, coding).await,
    }
}

async fn find<S: Store>(server: &Server<S>, uri: &Uri) -> Result<StoredSnapshot, Refusal> {
    let asked = query::parse(uri)?;
    let listing = server.find(&wanted(&asked)).await.map_err(|error| unlisted(&error))?;
    choose(&listing.snapshots, &asked).cloned()
}

/// The store could not be listed. A missing bucket is the server's trouble and not the client's 404.
pub(super) fn unlisted(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::NotFound => Refusal::new(StatusCode::BAD_GATEWAY, error.message()),
        _ => Refusal::of_store(error),
    }
}

async fn send<S: Store>(server: &Server<S>, snapshot: &StoredSnapshot, portion: Portion, coding: Coding) -> Response {
    let Ok(slot) = Arc::clone(&server.transfers).try_acquire_owned() else { return busy() };
    let (status, range) = match &portion {
        Portion::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range.clone())),
        _ => (StatusCode::OK, None),
    };
    let opened = match tokio::time::timeout(OPENING, server.store.open(snapshot, range)).await {
        Ok(opened) => opened,
        Err(_) => Err(Error::timed_out(format!("the store did not begin to send within {OPENING:?}"))),
    };
    let body = match opened {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(error = error.message(), snapshot = %snapshot.name, "a snapshot cannot be opened");
            return Refusal::of_store(&error).into_response();
        }
    };
    let left = length(snapshot, &portion);
    let plain = Transfer { body, left, metrics: Arc::clone(&server.metrics), slot }.into_stream().boxed();
    let (coding, plain) = match coding {
        Coding::Identity => (coding, plain),
        Coding::Zstd => coding::worthwhile(plain).await,
    };
    let body = match coding {
        Coding::Identity => Body::from_stream(plain),
        Coding::Zstd => Body::from_stream(coding::compressed(plain)),
    };
    with(status, headers(snapshot, &portion, coding), body)
}

fn busy() -> Response {
    let mut response = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many downloads at a time").into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

fn beyond(snapshot: &StoredSnapshot) -> Response {
    let size = snapshot.size.unwrap_or_default();
    let text = format!("the range is beyond the backup's {size} bytes");
    let mut response = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, text).into_response();
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}

/// Bytes of the body, where the size of the snapshot is known.
fn length(snapshot: &StoredSnapshot, portion: &Portion) -> Option<u64> {
    match portion {
        Portion::Part(range) => Some(range_length(range)),
        _ => snapshot.size,
    }
}

fn range_length(range: &RangeInclusive<u64>) -> u64 {
    range.end() - range.start() + 1
}

fn headers(snapshot: &StoredSnapshot, portion: &Portion, coding: Coding) -> HeaderMap {
    let mut headers = describe(snapshot, coding);
    // how long a frame gets is known when it is sent
    if let Some(length) = length(snapshot, portion).filter(|_| coding == Coding::Identity) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let (Portion::Part(range), Some(size)) = (portion, snapshot.size)
        && let Ok(value) = HeaderValue::try_from(format!("bytes {}-{}/{size}", range.start(), range.end()))
    {
        headers.insert(CONTENT_RANGE, value);
    }
    headers
}

fn with(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
