//! Who gets past `/v1/*`, and what the others are told.

use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::access::Link;
use super::answer::Refusal;
use super::review::{Denial, Reviewer, audience};
use crate::api::names::{SIDECAR_PORT, sidecar};

/// A longer token is nobody's.
const LONGEST: usize = 16 * 1024;

/// To whom the snapshots are served.
pub(super) enum Clients {
    /// To everybody who reaches the server.
    Everybody,
    /// To loopback, and to bearers of a token that passes the review.
    Tokens(Box<Reviewer>),
    /// To loopback only: there is nobody who could review a token.
    Loopback,
}

/// Stands before the snapshots of one cluster.
pub(super) struct Guard {
    clients: Clients,
    namespace: String,
    cluster: String,
}

impl Guard {
    /// A guard of the snapshots of `cluster`.
    pub(super) fn new(clients: Clients, namespace: &str, cluster: &str) -> Self {
        Self { clients, namespace: namespace.to_owned(), cluster: cluster.to_owned() }
    }

    /// Lets a request pass or answers it.
    ///
    /// # Errors
    /// 401, 403 or 503 in plain text.
    pub(super) async fn admit(&self, link: Link, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let denied = match &self.clients {
            Clients::Everybody => return Ok(()),
            _ if link.is_local() => return Ok(()),
            Clients::Loopback => Denial::NotPermitted,
            Clients::Tokens(reviewer) => match reviewer.admit(bearer(headers)).await {
                Ok(()) => return Ok(()),
                Err(denial) => denial,
            },
        };
        Err(Box::new(self.answer(&denied)))
    }

    fn answer(&self, denial: &Denial) -> Response {
        let (namespace, cluster) = (&self.namespace, &self.cluster);
        let (audience, forward) = (audience(namespace, cluster), self.port_forward());
        let (status, text) = match denial {
            Denial::NoToken => (
                StatusCode::UNAUTHORIZED,
                format!(
                    "a bearer token of audience {audience} is wanted\n\
                     kubectl -n {namespace} create token SERVICEACCOUNT --audience {audience}\nor {forward}"
                ),
            ),
            Denial::BadToken => (
                StatusCode::UNAUTHORIZED,
                format!("the token is not valid for audience {audience}; tokens for another one are refused"),
            ),
            Denial::Forbidden { user } => (
                StatusCode::FORBIDDEN,
                format!(
                    "user {user:?} cannot get resource \"etcdbackups/snapshot\" named {cluster:?} in API group \
                     \"etcd.database.coreos.com\" in the namespace {namespace:?}"
                ),
            ),
            Denial::NotPermitted => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "token review not permitted\n\
                     the sidecar's ServiceAccount needs ClusterRole etcdbackup-token-review, which a cluster-wide \
                     operator gives it\nor {forward}"
                ),
            ),
            Denial::Unreviewed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the token could not be reviewed; the log of the sidecar says why".to_owned(),
            ),
        };
        let mut response = Refusal::new(status, text).into_response();
        if let Some((header, value)) = self.header(denial) {
            response.headers_mut().insert(header, value);
        }
        response
    }

    /// RFC 6750, section 3: a missing token gets no error code, a bad one `invalid_token`.
    fn header(&self, denial: &Denial) -> Option<(axum::http::HeaderName, HeaderValue)> {
        let realm = audience(&self.namespace, &self.cluster);
        let (header, text) = match denial {
            Denial::NoToken => (WWW_AUTHENTICATE, format!("Bearer realm=\"{realm}\"")),
            Denial::BadToken => (WWW_AUTHENTICATE, format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")),
            Denial::Unreviewed => (RETRY_AFTER, "5".to_owned()),
            Denial::Forbidden { .. } | Denial::NotPermitted => return None,
        };
        Some((header, HeaderValue::try_from(text).ok()?))
    }

    fn port_forward(&self) -> String {
        format!(
            "kubectl -n {} port-forward service/{} {SIDECAR_PORT}:{SIDECAR_PORT}",
            self.namespace,
            sidecar(&self.cluster)
        )
    }
}

/// The token of `Authorization: Bearer TOKEN`; `None` without one, and with two headers.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_is_read() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer a.b.c"]).as_deref(), Some("a.b.c"));
        assert_eq!(read(&["bearer  a "]).as_deref(), Some("a"));
        for values in [&[][..], &["Basic YTpi"], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer b"]] {
            assert_eq!(read(values), None, "{values:?}");
        }
        assert_eq!(read(&[&format!("Bearer {}", "a".repeat(LONGEST + 1))]), None);
    }
}
