//! What went wrong between us and etcd, in words and with a hint.
//!
//! etcd's own sentences and codes: etcd-io/etcd, api/v3rpc/rpctypes/error.go, v3.5.

use std::error::Error as Cause;
use std::io;

use rustls::Error as TlsError;
use tonic::{Code, Status};

use super::endpoint::Endpoint;
use super::messages::Call;
use crate::error::{Error, ErrorKind, chain};

const TLS_HINT: &str = "check the certificate, key and CA in the Secret named by clientTLSSecret";
const AUTH_HINT: &str =
    "etcd wants a user with the role root: name the Secret with its username and password in clientAuthSecret";

/// etcd's sentences about users that do not have a code of their own. etcd 3.4 sends the code
/// `Unknown` with those of HashKV and Snapshot.
const AUTH_SENTENCES: [&str; 4] =
    ["user name is empty", "authentication failed", "user name not found", "auth: permission denied"];

/// etcd's sentences about tokens that a new login replaces.
const TOKEN_SENTENCES: [&str; 2] = ["invalid auth token", "auth store is old"];

/// The error of a connection that was not made.
pub(super) fn connecting(endpoint: &Endpoint, error: &tonic::transport::Error) -> Error {
    let (kind, hint): (fn(String) -> Error, Option<String>) = match tls_cause(error) {
        // TCP is up, and what comes back is no TLS, or nothing: plain etcd hangs up
        Some(TlsError::InvalidMessage(_)) | None if endpoint.is_https() => {
            (Error::general, Some(format!("does this member listen without TLS, at {}?", endpoint.with_https(false))))
        }
        Some(TlsError::InvalidCertificate(_)) => {
            let hint = "the CA of etcd belongs into the Secret named by clientTLSSecret, and etcd's certificate must name \
                        this host";
            (Error::denied, Some(hint.into()))
        }
        Some(_) => (Error::denied, Some(TLS_HINT.into())),
        None => (Error::general, None),
    };
    let error = kind(format!("etcd {endpoint}: cannot connect: {}", causes(error)));
    hint.into_iter().fold(error, Error::hint)
}

/// The error of TLS files that cannot be used at all.
pub(super) fn certificates(endpoint: &Endpoint, error: &tonic::transport::Error) -> Error {
    Error::denied(format!("etcd {endpoint}: the TLS files cannot be used: {}", causes(error))).hint(TLS_HINT)
}

/// The error of a call that etcd refused or that did not get through.
pub(super) fn calling(endpoint: &Endpoint, call: Call, status: &Status) -> Error {
    let reason = reason(status);
    let said = |word: &str| reason.contains(word);
    let (kind, hint): (fn(String) -> Error, Option<&str>) = match status.code() {
        // after the handshake of TLS 1.3 a refused client certificate arrives with the first answer
        _ if said("received fatal alert") => (Error::denied, Some(TLS_HINT)),
        Code::Unauthenticated | Code::PermissionDenied => (Error::denied, Some(AUTH_HINT)),
        _ if AUTH_SENTENCES.iter().chain(&TOKEN_SENTENCES).any(|sentence| said(sentence)) => {
            (Error::denied, Some(AUTH_HINT))
        }
        Code::ResourceExhausted if said("database space exceeded") => {
            (Error::general, Some("the alarm NOSPACE is on: compact, defragment, then etcdctl alarm disarm"))
        }
        Code::DataLoss => (Error::general, Some("the alarm CORRUPT is on: see etcdctl alarm list")),
        Code::Unimplemented => (Error::general, Some("is this an etcd 3.3 or newer that serves the v3 API?")),
        _ if said("is not opened again") => {
            (Error::general, Some("one backup uses one connection: run it again; etcd's log says why it was closed"))
        }
        _ => (Error::general, None),
    };
    let error = kind(format!("etcd {endpoint}: {}: {reason}", call.name()));
    hint.into_iter().fold(error, Error::hint)
}

/// The error of a call on a connection that has not carried an answer yet. etcd hangs up there when
/// it wants a client certificate, or another one: the alert that says so is often lost, because
/// etcd closes the connection in the same moment. It also hangs up when a client of `http` talks to
/// `https`.
pub(super) fn calling_first(endpoint: &Endpoint, call: Call, status: &Status) -> Error {
    let error = calling(endpoint, call, status);
    if !is_hang_up(status) || error.kind() == ErrorKind::Denied {
        return error;
    }
    let message = format!("etcd {endpoint}: {}: hung up before the first answer: {}", call.name(), reason(status));
    match endpoint.is_https() {
        true => Error::denied(message).hint(TLS_HINT),
        false => Error::general(message).hint(format!("does it listen with TLS, at {}?", endpoint.with_https(true))),
    }
}

/// An answer that is there but cannot be right.
pub(super) fn answer(endpoint: &Endpoint, call: Call, reason: impl std::fmt::Display) -> Error {
    Error::general(format!("etcd {endpoint}: {}: {reason}", call.name()))
}

/// Whether etcd does not know the token, or no longer, and a new one may help.
pub(super) fn token_is_stale(status: &Status) -> bool {
    TOKEN_SENTENCES.iter().any(|sentence| status.message().contains(sentence))
}

/// Whether the cluster has authentication disabled, so that no token is needed.
pub(super) fn auth_is_disabled(status: &Status) -> bool {
    status.message().contains("authentication is not enabled")
}

/// Whether the connection failed rather than etcd refused: only then there is a cause below the
/// status. A peer that stays silent did not hang up.
fn is_hang_up(status: &Status) -> bool {
    status.source().is_some_and(|source| !causes(source).contains("timed out"))
}

fn reason(status: &Status) -> String {
    match status.source() {
        // the message repeats the outermost cause only
        Some(source) => causes(source),
        None if status.message().is_empty() => status.code().description().into(),
        None => status.message().trim_start_matches("etcdserver: ").into(),
    }
}

/// All causes, without the name that tonic gives to every one of its errors.
fn causes(error: &(dyn Cause + 'static)) -> String {
    let text = chain(error);
    text.trim_start_matches("transport error: ").into()
}

/// The TLS error inside; `io::Error` hides its own cause from `source`.
fn tls_cause<'a>(error: &'a (dyn Cause + 'static)) -> Option<&'a TlsError> {
    let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error
        .downcast_ref()
        .or_else(|| hidden.and_then(|inner| inner.downcast_ref()))
        .or_else(|| error.source().and_then(tls_cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(code: Code, message: &str) -> Error {
        calling(&"https://m0:2379".parse().unwrap(), Call::SNAPSHOT, &Status::new(code, message))
    }

    #[test]
    fn users_without_permission_are_denied() {
        for (code, message) in [
            (Code::InvalidArgument, "etcdserver: user name is empty"),
            (Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old"),
            (Code::FailedPrecondition, "etcdserver: user name not found"),
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::Unknown, "auth: invalid auth token"),
            (Code::Unknown, "auth: permission denied"),
            (Code::PermissionDenied, "etcdserver: permission denied"),
        ] {
            let error = called(code, message);
            assert_eq!(error.kind(), ErrorKind::Denied, "{message}");
            assert!(error.hints()[0].contains("clientAuthSecret"));
        }
    }

    #[test]
    fn the_sentence_names_endpoint_and_call() {
        let error = called(Code::Unavailable, "etcdserver: no leader");
        assert_eq!(error.to_string(), "error: etcd https://m0:2379: Maintenance/Snapshot: no leader");
        let error = called(Code::Unimplemented, "");
        assert!(error.message().ends_with("Snapshot: Operation is not implemented or not supported"), "{error}");
    }

    #[test]
    fn a_refused_client_certificate_is_denied() {
        let error = called(Code::Unknown, "h2 protocol error: received fatal alert: CertificateRequired");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hints()[0].contains("clientTLSSecret"));
    }

    #[test]
    fn tls_errors_are_found_inside_io_errors() {
        let wrapped = io::Error::other(io::Error::other(TlsError::DecryptError));
        assert_eq!(tls_cause(&wrapped), None);
        assert_eq!(tls_cause(&io::Error::other(TlsError::DecryptError)), Some(&TlsError::DecryptError));
    }
}
