//! Tokens, with an API server that answers reviews as Kubernetes does.

use std::sync::Mutex;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::agent::serve::review::Reviewer;
use crate::kubernetes::{KubeFlags, Session};

const AUDIENCE: &str = "etcdbackup/ns/etcd-a";

/// What the API server was sent, and whether it lets the sidecar review.
#[derive(Clone, Default)]
struct ApiServer {
    seen: Arc<Mutex<Vec<Value>>>,
    forbids: bool,
    fails: bool,
}

impl ApiServer {
    async fn answer(self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        self.seen.lock().unwrap().push(review["spec"].clone());
        if self.fails {
            return failure(500, "InternalError");
        }
        review["status"] = match path.rsplit('/').next().unwrap() {
            "selfsubjectaccessreviews" => json!({"allowed": !self.forbids}),
            _ if self.forbids => return failure(403, "Forbidden"),
            "tokenreviews" => token_status(review["spec"]["token"].as_str().unwrap()),
            _ => json!({"allowed": review["spec"]["user"] == "reader"}),
        };
        (StatusCode::CREATED, review.to_string()).into_response()
    }

    /// Starts it; a sidecar on the pod network that asks it, and its port.
    async fn sidecar(&self) -> u16 {
        let server = self.clone();
        let app = Router::new().fallback(move |request| server.clone().answer(request));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("config");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let flags = KubeFlags { kubeconfig: Some(kubeconfig), ..KubeFlags::default() };
        let session = Session::connect(&flags).await.unwrap();
        let reviewer = Box::new(Reviewer::new(session, "ns", "etcd-a"));
        start_on_pod_network(Clients::Tokens(reviewer), &Arc::default()).await
    }
}

fn failure(code: u16, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": "serviceaccount sa-of-the-sidecar"});
    (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
}

fn token_status(token: &str) -> Value {
    match token {
        "reader" | "stranger" => json!({"authenticated": true, "audiences": [AUDIENCE], "user": {
            "username": token, "uid": "7", "groups": ["system:authenticated"], "extra": {"a": ["b"]}}}),
        // as an authenticator answers that knows no audiences
        "unaware" => json!({"authenticated": true, "user": {"username": "reader"}}),
        "elsewhere" => {
            json!({"authenticated": true, "audiences": ["etcdbackup/ns/etcd-b"], "user": {"username": "reader"}})
        }
        _ => {
            json!({"authenticated": false, "error": "token audiences [\"https://kubernetes.default.svc\"] is invalid"})
        }
    }
}

async fn get(port: u16, path: &str, authorization: &str) -> Reply {
    raw(port, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\n")).await
}

async fn with_token(port: u16, token: &str) -> Reply {
    get(port, "/v1/backup", &format!("authorization: Bearer {token}\r\n")).await
}

#[tokio::test]
async fn only_a_token_for_this_sidecar_whose_user_may_read_gets_in() {
    let server = ApiServer::default();
    let port = server.sidecar().await;
    let realm = format!("Bearer realm=\"{AUDIENCE}\"");
    let reply = get(port, "/v1/backup", "").await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some(realm.as_str())));
    assert!(reply.text().contains("create token SERVICEACCOUNT --audience etcdbackup/ns/etcd-a\n"), "{}", reply.text());
    for token in ["api-servers", "elsewhere", "unaware"] {
        let reply = with_token(port, token).await;
        let invalid = format!("{realm}, error=\"invalid_token\"");
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some(invalid.as_str())), "{token}");
    }
    let reply = with_token(port, "stranger").await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (403, None));
    assert!(reply.text().starts_with("user \"stranger\" cannot get resource \"etcdbackups/snapshot\""));
    assert_eq!(with_token(port, "reader").await.body.len(), 10);
    let seen = server.seen.lock().unwrap().clone();
    assert!(seen.iter().filter(|spec| spec.get("token").is_some()).all(|spec| spec["audiences"] == json!([AUDIENCE])));
    let access = json!({"user": "reader", "uid": "7", "groups": ["system:authenticated"], "extra": {"a": ["b"]},
        "resourceAttributes": {"verb": "get", "group": "etcd.database.coreos.com", "resource": "etcdbackups",
            "subresource": "snapshot", "namespace": "ns", "name": "etcd-a"}});
    assert_eq!(seen.last(), Some(&access));
}

#[tokio::test]
async fn a_grant_is_remembered_and_a_refusal_is_not() {
    let server = ApiServer::default();
    let port = server.sidecar().await;
    let reviews = |token: &str| server.seen.lock().unwrap().iter().filter(|spec| spec["token"] == token).count();
    for _ in 0..3 {
        assert_eq!(with_token(port, "reader").await.status, 200);
        assert_eq!(with_token(port, "stranger").await.status, 403);
    }
    assert_eq!((reviews("reader"), reviews("stranger")), (1, 3));
}

#[tokio::test]
async fn where_reviews_are_not_permitted_nobody_is_asked_for_a_token() {
    let port = ApiServer { forbids: true, ..ApiServer::default() }.sidecar().await;
    for reply in [get(port, "/v1/backup", "").await, with_token(port, "reader").await] {
        assert_eq!((reply.status, reply.header("www-authenticate")), (503, None));
        assert!(reply.text().starts_with("token review not permitted\n"), "{}", reply.text());
        assert!(reply.text().contains("port-forward service/etcd-a-backup-sidecar"), "{}", reply.text());
    }
    assert_eq!(get(port, "/healthz", "").await.status, 200);
}

#[tokio::test]
async fn an_api_server_that_fails_lets_nobody_in_and_shows_nothing() {
    let port = ApiServer { fails: true, ..ApiServer::default() }.sidecar().await;
    for reply in [get(port, "/v1/backup", "").await, with_token(port, "reader").await] {
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
        assert!(!reply.text().contains("sa-of-the-sidecar"), "{}", reply.text());
    }
}

#[tokio::test]
async fn no_form_of_a_request_passes_the_guard() {
    let port = ApiServer::default().sidecar().await;
    let mine = "authorization: Bearer reader\r\n";
    let of = |line: &str, headers: &str| format!("{line}\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    let keep = |headers: &str| format!("GET /v1/backup HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    for (request, status) in [
        (of("HEAD /v1/backup HTTP/1.1", ""), 401),
        (of("GET http://127.0.0.1/v1/backup HTTP/1.1", ""), 401),
        ("GET /v1/backup HTTP/1.0\r\n\r\n".to_owned(), 401),
        (of("GET /v1/backup?etcdVersion=%00&access_token=reader HTTP/1.1", ""), 401),
        (of("GET /v1/backup/ HTTP/1.1", ""), 401),
        (of("GET /v1/status HTTP/1.1", "x-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n"), 401),
        (of("GET /v1/backup HTTP/1.1", &format!("{mine}{mine}")), 401),
        (of("GET /v1/backup HTTP/1.1", "authorization: Bearer reader, Bearer x\r\n"), 401),
        (of("GET /v1/backup HTTP/1.1", "proxy-authorization: Bearer reader\r\n"), 401),
        (format!("{}{}", keep(""), of("GET /v1/backup HTTP/1.1", "")), 401),
    ] {
        let reply = raw(port, &request).await;
        assert_eq!(reply.status, status, "{request}");
        assert!(!reply.body.windows(15).any(|part| part == b"HTTP/1.1 200 OK"), "{request}");
    }
    // of two on one connection each stands for itself
    let reply = raw(port, &format!("{}{}", keep(mine), of("GET /v1/backup HTTP/1.1", ""))).await;
    assert_eq!(reply.status, 200);
    assert!(String::from_utf8_lossy(&reply.body).contains("HTTP/1.1 401 Unauthorized"));
}
