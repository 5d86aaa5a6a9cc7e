//! API errors in kubectl's words.
//!
//! Source: kubernetes/kubectl, pkg/cmd/util/helpers.go (`StandardErrorMessage`), v0.34; for answers without a Status
//! kubernetes/apimachinery, pkg/api/errors/errors.go (`NewGenericServerResponse`).

use kube::core::Status;

use crate::error::{Error, ErrorKind, chain};

/// The reason that kube gives an answer that is no Status (kube-client 5.0, `handle_api_errors`).
const UNPARSED: &str = "Failed to parse error data";
/// Most characters of such an answer that are shown.
const MOST_SHOWN: usize = 200;

/// Turns an error of the client for the API server at `server` into the line that kubectl would print, with our exit
/// code.
pub fn explain(error: &kube::Error, server: &str) -> Error {
    match error {
        kube::Error::Api(status) => from_status(status, server),
        kube::Error::Auth(cause) => Error::denied(format!("cannot log in to the cluster: {}", chain(cause)))
            .hint("kubectl auth whoami; or choose another login with --context or --user"),
        kube::Error::SerdeError(cause) if cause.is_data() => {
            Error::general(format!("cannot read the answer of the API server {}: {cause}", host(server)))
                .hint("kubectl get --raw /version shows what answers there")
        }
        kube::Error::SerdeError(cause) => stranger(server, &cause.to_string()),
        other => from_transport(&chain(other), server),
    }
}

/// Whether the API server, or whatever it is, does not know the path that was asked for.
pub(super) fn is_unknown_path(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.code == 404
        && (status.reason == UNPARSED || status.message.contains("could not find the requested resource"))
}

/// Whether a server answered, be it a refusal; one that says that it cannot has not.
pub(super) fn is_answer<T>(result: &kube::Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(kube::Error::Api(status)) => status.code < 500,
        Err(_) => false,
    }
}

/// Whether what came back for `/version` is an answer of Kubernetes, be it a refusal.
pub(super) fn is_kubernetes<T>(version: &kube::Result<T>) -> bool {
    match version {
        Ok(_) => true,
        Err(kube::Error::Api(status)) => status.reason != UNPARSED,
        Err(_) => false,
    }
}

/// That there is no CRD of ours.
pub(super) fn no_crd() -> Error {
    Error::not_found("the server doesn't have a resource type \"etcdbackups\" in group \"etcd.database.coreos.com\"")
        .hint("kubectl etcdbackup install")
}

/// That something else than Kubernetes answers.
pub(super) fn stranger(server: &str, said: &str) -> Error {
    let host = host(server);
    let sentence = format!("Unable to connect to the server: {host} is no Kubernetes API server ({said})");
    Error::verbatim(ErrorKind::General, sentence).hint(LOOK)
}

/// What shows the address that was used.
const LOOK: &str = "check --server, or what the kubeconfig names: kubectl config view --minify";

fn host(server: &str) -> &str {
    server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/')
}

fn from_status(status: &Status, server: &str) -> Error {
    let message = &status.message;
    match (status.code, status.reason.as_str()) {
        (401, reason) => {
            let said = if reason == UNPARSED { "" } else { message };
            Error::denied(format!("You must be logged in to the server ({})", or(said, "Unauthorized")))
                .hint("kubectl auth whoami; or choose another login with --context or --user")
        }
        (code, UNPARSED) => unparsed(code, message, server),
        (422, "Invalid") => invalid(status),
        (code, reason) => {
            let error =
                Error::verbatim(kind(code), format!("Error from server ({}): {message}", or(reason, "Unknown")));
            let advice = if code == 403 { permission(message) } else { namespace(message) };
            advice.into_iter().fold(error, Error::hint)
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

/// What is missing, out of `User "u" cannot get resource "r" in API group "g" in the namespace "n"`.
fn permission(message: &str) -> Option<String> {
    let (verb, rest) = message.split_once(" cannot ")?.1.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let quoted = |before: &str| Some(rest.split_once(before)?.1.split_once('"')?.0).filter(|text| !text.is_empty());
    let group = quoted("in API group \"").map(|group| format!(".{group}")).unwrap_or_default();
    // the API server asks for the second verb only after the first
    let verbs = if resource == "pods/portforward" { "verbs get,create".to_owned() } else { format!("verb {verb}") };
    Some(match quoted("in the namespace \"") {
        Some(namespace) => format!(
            "needs {verbs} on {resource}{group} in namespace {namespace} (see RBAC in --help); what else is missing: \
             kubectl etcdbackup check -n {namespace}"
        ),
        None => format!("needs {verbs} on {resource}{group} in the whole cluster (see RBAC in --help)"),
    })
}

/// How to get the namespace that is missing.
fn namespace(message: &str) -> Option<String> {
    let (name, _) = message.strip_prefix("namespaces \"")?.split_once("\" not found")?;
    Some(format!("kubectl create namespace {name}; or choose one of kubectl get namespaces with -n"))
}

/// An answer without a Status: of a proxy, a load balancer, or of no Kubernetes at all.
fn unparsed(code: u16, text: &str, server: &str) -> Error {
    if text.contains("HTTP request to an HTTPS server") {
        let sentence = format!("Unable to connect to the server: {} speaks https, not http", host(server));
        return Error::verbatim(ErrorKind::General, sentence).hint(format!("--server https://{}", host(server)));
    }
    let reason = match code {
        400 => "BadRequest",
        403 => "Forbidden",
        404 => "NotFound",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no text");
    let line: String = line.chars().take(MOST_SHOWN).collect();
    let sentence = format!("Error from server ({reason}): {} answered HTTP {code}: {line}", host(server));
    Error::verbatim(kind(code), sentence).hint("kubectl get --raw /version shows what answers there")
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

/// The server was not reached, or the connection broke.
fn from_transport(text: &str, server: &str) -> Error {
    let host = host(server);
    if text.contains("onnection refused") {
        let sentence =
            format!("The connection to the server {host} was refused - did you specify the right host or port?");
        return Error::verbatim(ErrorKind::General, sentence).hint(LOOK);
    }
    let late = text.contains("deadline has elapsed") || text.contains("timed out");
    let kind = if late { ErrorKind::TimedOut } else { ErrorKind::General };
    let hint = match text {
        _ if text.contains("UnknownIssuer") => "name the CA of the server with --certificate-authority FILE",
        _ if text.contains("not valid for name") => {
            "use a name that the certificate has, or give it with --tls-server-name"
        }
        _ if text.contains("InvalidContentType") => "the server may speak http, not https: give --server with http://",
        _ => LOOK,
    };
    Error::verbatim(kind, format!("Unable to connect to the server: {host}: {text}")).hint(hint)
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://api.example.com:6443/";

    fn status(json: serde_json::Value) -> Error {
        from_status(&serde_json::from_value(json).unwrap(), SERVER)
    }

    #[test]
    fn forbidden_is_verbatim_and_names_what_is_missing() {
        let refused = |message: &str| {
            let error = status(serde_json::json!({"code": 403, "reason": "Forbidden", "message": message}));
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.to_string().starts_with(&format!("Error from server (Forbidden): {message}")), "{error}");
            error.hints().first().cloned().unwrap_or_default()
        };
        let of = |verb: &str, resource: &str, group: &str, place: &str| {
            refused(&format!(
                "x is forbidden: User \"u\" cannot {verb} resource {resource:?} in API group {group:?} {place}"
            ))
        };
        let check = "what else is missing: kubectl etcdbackup check -n n";
        assert_eq!(
            of("list", "etcdbackups", "etcd.database.coreos.com", "in the namespace \"n\""),
            format!(
                "needs verb list on etcdbackups.etcd.database.coreos.com in namespace n (see RBAC in --help); {check}"
            )
        );
        assert_eq!(
            of("create", "pods/portforward", "", "in the namespace \"n\""),
            format!("needs verbs get,create on pods/portforward in namespace n (see RBAC in --help); {check}")
        );
        assert_eq!(
            of("impersonate", "users", "", "at the cluster scope"),
            "needs verb impersonate on users in the whole cluster (see RBAC in --help)"
        );
        assert_eq!(refused("secrets \"x\" is forbidden: exceeded quota"), "");
    }

    #[test]
    fn a_missing_object_is_verbatim_and_a_missing_namespace_can_be_made() {
        let missing =
            |message: &str| status(serde_json::json!({"code": 404, "reason": "NotFound", "message": message}));
        let error = missing("etcdbackups \"x\" not found");
        assert_eq!(error.to_string(), "Error from server (NotFound): etcdbackups \"x\" not found");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let hints = missing("namespaces \"x\" not found").hints().join("");
        assert!(hints.starts_with("kubectl create namespace x; "), "{hints}");
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

    #[test]
    fn a_connection_that_fails_names_the_server_and_what_to_change() {
        let host = "api.example.com:6443";
        for (text, kind, hint) in [
            ("invalid peer certificate: UnknownIssuer", ErrorKind::General, "--certificate-authority"),
            ("invalid peer certificate: certificate not valid for name \"x\"", ErrorKind::General, "--tls-server-name"),
            ("received corrupt message of type InvalidContentType", ErrorKind::General, "http://"),
            ("deadline has elapsed", ErrorKind::TimedOut, "kubectl config view --minify"),
            ("dns error: no such name", ErrorKind::General, "kubectl config view --minify"),
        ] {
            let error = from_transport(text, SERVER);
            assert_eq!(error.message(), format!("Unable to connect to the server: {host}: {text}"));
            assert!(error.kind() == kind && error.hints()[0].contains(hint), "{error}");
        }
    }
}
