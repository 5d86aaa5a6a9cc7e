//! `/v1/snapshots`: everything that is stored, as JSON; not in the original, which told of its newest only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::answer::{Refusal, plain};
use super::router::Server;
use super::store::Store;
use crate::error::{Error, ErrorKind};
use crate::source::StoredSnapshot;
use crate::source::pv::{Entry, Inventory};

/// Answers a request. A refusal is plain text: the sentence, and below it what to do, one a line.
pub(super) async fn answer<S: Store>(State(server): State<Arc<Server<S>>>) -> Result<Response, Refusal> {
    let listing = server.list().await.map_err(|error| refusal(&error))?;
    let snapshots = listing.snapshots.iter().map(entry).collect();
    let json = serde_json::to_vec(&Inventory { snapshots, foreign: listing.foreign })
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut response = plain(StatusCode::OK, json);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn entry(snapshot: &StoredSnapshot) -> Entry {
    Entry {
        history: snapshot.history.name().to_owned(),
        name: snapshot.name.to_string(),
        size: snapshot.size,
        modified: snapshot.modified,
        etag: snapshot.etag.clone(),
        location: snapshot.location.clone(),
    }
}

/// Unlike for a download, it matters to the client whether nothing is there or nothing may be read.
fn refusal(error: &Error) -> Refusal {
    let status = match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    let lines = error.hints().iter().fold(error.message().to_owned(), |text, hint| format!("{text}\n{hint}"));
    Refusal::new(status, lines)
}
