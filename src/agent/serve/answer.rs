//! Answers: refusals in plain text, and the headers that describe a snapshot.
//!
//! Source of the form: Go's `http.Error`, which the original sidecar used, and its headers
//! `X-etcd-Version` and `X-Revision` (coreos/etcd-operator, pkg/backup/backup_service.go at v0.6.1).

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::coding::Coding;
use crate::error::{Error, ErrorKind};
use crate::source::StoredSnapshot;

const ETCD_VERSION: HeaderName = HeaderName::from_static("x-etcd-version");
const REVISION: HeaderName = HeaderName::from_static("x-revision");
const HISTORY: HeaderName = HeaderName::from_static("x-etcdbackup-history");
/// Bytes of the whole snapshot, whatever of it is sent and however.
const SIZE: HeaderName = HeaderName::from_static("x-snapshot-size");

/// A request that is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// The store did not do its part: 404 for an object that is gone, 504 for a wait, 502 for the rest.
    pub(super) fn of_store(error: &Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, error.message())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = plain(self.status, format!("{}\n", self.text));
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// A short text.
pub(super) fn plain(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The headers of a snapshot in this form, without the length of the body.
pub(super) fn describe(snapshot: &StoredSnapshot, coding: Coding) -> HeaderMap {
    let name = &snapshot.name;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // every Secret of a cluster is in it: no cache may keep it
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REVISION, HeaderValue::from(name.revision()));
    if let Some(size) = snapshot.size {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(SIZE, HeaderValue::from(size));
    }
    if coding == Coding::Zstd {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
    }
    let texts = [
        (ETCD_VERSION, Some(name.version().to_string())),
        (HISTORY, Some(snapshot.history.name().to_owned())),
        (CONTENT_DISPOSITION, Some(format!("attachment; filename=\"{name}\""))),
        (ETAG, tag(snapshot, coding)),
    ];
    for (header, text) in texts {
        // a store may give a tag that no header can carry; the snapshot is served without it
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header, value);
        }
    }
    headers
}

/// The object's entity tag, in quotes whether the store gave them or not; each form has one of its own.
pub(super) fn tag(snapshot: &StoredSnapshot, coding: Coding) -> Option<String> {
    let tag = snapshot.etag.as_deref()?;
    let quoted = tag.len() > 1 && tag.ends_with('"') && (tag.starts_with('"') || tag.starts_with("W/\""));
    let tag = if quoted { tag.to_owned() } else { format!("\"{tag}\"") };
    Some(match coding {
        Coding::Identity => tag,
        Coding::Zstd => format!("{}-zstd\"", tag.strip_suffix('"').unwrap_or(&tag)),
    })
}
