//! API errors in kubectl's words.
//!
//! Source: kubernetes/kubectl, pkg/cmd/util/helpers.go (`StandardErrorMessage`), v0.34.

use kube::core::Status;

use crate::error::{Error, ErrorKind, chain};

/// Turns an error of the client into the line that kubectl would print, with our exit code.
pub fn explain(error: &kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => from_status(status),
        kube::Error::Auth(cause) => Error::denied(format!("cannot log in to the cluster: {}", chain(cause))),
        other => from_transport(&chain(other)),
    }
}

fn from_status(status: &Status) -> Error {
    let message = &status.message;
    match (status.code, status.reason.as_str()) {
        (401, _) => Error::denied(format!("You must be logged in to the server ({})", or(message, "Unauthorized"))),
        (404, _) if message.contains("could not find the requested resource") || message.contains("page not found") => {
            Error::not_found(
                "the server doesn't have a resource type \"etcdbackups\" in group \"etcd.database.coreos.com\"",
            )
            .hint("kubectl etcdbackup install")
        }
        (422, "Invalid") => invalid(status),
        (code, reason) => {
            let line = format!("Error from server ({}): {message}", or(reason, "Unknown"));
            Error::verbatim(kind(code), line)
        }
    }
}

fn kind(code: u16) -> ErrorKind {
    match code {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::TimedOut,
        _ => ErrorKind::General,
    }
}

/// `The EtcdBackup "x" is invalid: …`, one line a field.
fn invalid(status: &Status) -> Error {
    let Some(details) = &status.details else {
        return Error::verbatim(ErrorKind::General, format!("Error from server (Invalid): {}", status.message));
    };
    let causes: Vec<String> =
        details.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    let head = format!("The {} {:?} is invalid: ", details.kind, details.name);
    let body = match causes.as_slice() {
        [] => status.message.clone(),
        [one] => one.clone(),
        many => many.iter().map(|cause| format!("\n* {cause}")).collect(),
    };
    Error::verbatim(ErrorKind::General, head + &body)
}

fn from_transport(text: &str) -> Error {
    let text = text.trim_start_matches("ServiceError: ").trim_start_matches("HyperError: ");
    if text.contains("onnection refused") {
        return Error::verbatim(
            ErrorKind::General,
            format!("The connection to the server was refused - did you specify the right host or port? ({text})"),
        );
    }
    Error::verbatim(ErrorKind::General, format!("Unable to connect to the server: {text}"))
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: serde_json::Value) -> Error {
        from_status(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn forbidden_and_not_found_are_verbatim() {
        let error = status(serde_json::json!({"code": 403, "reason": "Forbidden", "message": "secrets is forbidden"}));
        assert_eq!(
            (error.to_string().as_str(), error.kind()),
            ("Error from server (Forbidden): secrets is forbidden", ErrorKind::Denied)
        );
        let error = status(serde_json::json!({"code": 404, "reason": "NotFound", "message": "x not found"}));
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_missing_crd_says_how_to_get_it() {
        let error = status(
            serde_json::json!({"code": 404, "reason": "NotFound", "message": "the server could not find the requested resource"}),
        );
        assert_eq!(error.hints(), ["kubectl etcdbackup install"]);
    }

    #[test]
    fn invalid_objects_list_their_fields() {
        let error = status(serde_json::json!({"code": 422, "reason": "Invalid", "message": "m", "details": {
            "kind": "EtcdBackup", "name": "x", "causes": [
                {"field": "spec.s3", "message": "Required value"}, {"field": "spec", "message": "Invalid value"}]}}));
        assert_eq!(
            error.to_string(),
            "The EtcdBackup \"x\" is invalid: \n* spec.s3: Required value\n* spec: Invalid value"
        );
    }
}
