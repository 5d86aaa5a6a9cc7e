//! An API server in the test process: one that refuses, is slow or answers nonsense, as a real one does not on demand.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use serde_json::{Value, json};

/// What it answers.
#[derive(Default)]
pub struct Answers {
    /// The CRD; `None` forbids reading it.
    pub crd: Option<Value>,
    /// Services and Secrets, as `services/NAME` and `secrets/NAME`, with their other fields.
    pub objects: Vec<(&'static str, Value)>,
    /// Status of every EtcdBackup.
    pub status: Value,
    /// What is said instead: method and beginning of the path, code, body. The first that fits.
    pub faults: Vec<(&'static str, u16, String)>,
}

/// The server, on a port of its own.
pub struct FakeApi {
    pub url: String,
    posted: Arc<Mutex<Vec<Value>>>,
    _runtime: tokio::runtime::Runtime,
}

impl FakeApi {
    pub fn start(answers: Answers) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (answers, kept) = (Arc::new(answers), Arc::clone(&posted));
        let router = Router::new().fallback(async move |method: Method, uri: Uri, body: Bytes| {
            let asked = format!("{method} {}", uri.path());
            let fault = answers.faults.iter().find(|(start, ..)| asked.starts_with(start));
            let (code, text) = match fault {
                Some((_, code, text)) => (StatusCode::from_u16(*code).unwrap(), text.clone()),
                None => {
                    let (code, value) = answers.answer(&method, &uri, &body, &kept);
                    (code, value.to_string())
                }
            };
            (code, [("content-type", "application/json")], text)
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, posted, _runtime: runtime }
    }

    /// A server that gives these answers, and else those of a cluster that has our CRD and the etcd `etcd-a`.
    pub fn that_says(faults: Vec<(&'static str, u16, String)>) -> Self {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let objects = vec![("services/etcd-a-client", json!({}))];
        Self::start(Answers { crd: Some(crd(open)), objects, faults, ..Answers::default() })
    }

    /// The EtcdBackups that were made.
    pub fn posted(&self) -> Vec<Value> {
        self.posted.lock().unwrap().clone()
    }
}

impl Answers {
    fn answer(&self, method: &Method, uri: &Uri, body: &[u8], posted: &Mutex<Vec<Value>>) -> (StatusCode, Value) {
        let path = uri.path();
        let (_, last) = path.rsplit_once('/').unwrap();
        let forbidden = || status(403, "Forbidden", &format!("{path} is forbidden"));
        if path.contains("/customresourcedefinitions/") {
            return self.crd.clone().map_or_else(forbidden, |crd| (StatusCode::OK, crd));
        }
        if path.starts_with("/openapi/") {
            return forbidden();
        }
        if *method == Method::POST && last == "etcdbackups" {
            assert!(uri.query().unwrap().contains("fieldValidation=Strict"), "{uri}");
            return create(serde_json::from_slice(body).unwrap(), posted);
        }
        if path.contains("/etcdbackups/") {
            let posted = posted.lock().unwrap();
            let found = posted.iter().find(|object| object["metadata"]["name"] == last);
            let Some(mut object) = found.cloned() else { return status(404, "NotFound", "not found") };
            object["status"] = self.status.clone();
            return (StatusCode::OK, object);
        }
        let (_, rest) = path.split_once("/namespaces/default/").unwrap_or_default();
        let named = |(name, value): &(&str, Value)| {
            let mut object = value.clone();
            object["metadata"] = json!({"name": name.split_once('/').unwrap().1});
            object
        };
        if let Some(found) = self.objects.iter().find(|(name, _)| *name == rest) {
            return (StatusCode::OK, named(found));
        }
        if rest.contains('/') {
            return status(404, "NotFound", &format!("{rest} not found"));
        }
        let of_kind = self.objects.iter().filter(|(name, _)| name.starts_with(&format!("{rest}/")));
        (StatusCode::OK, json!({"metadata": {}, "items": of_kind.map(named).collect::<Vec<_>>()}))
    }
}

fn create(mut object: Value, posted: &Mutex<Vec<Value>>) -> (StatusCode, Value) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let mut posted = posted.lock().unwrap();
    if posted.iter().any(|old| old["metadata"]["name"] == name) {
        return status(409, "AlreadyExists", &format!("etcdbackups {name:?} already exists"));
    }
    object["metadata"]["uid"] = json!("uid-of-this-object");
    object["metadata"]["generation"] = json!(1);
    posted.push(object.clone());
    (StatusCode::CREATED, object)
}

fn status(code: u16, reason: &str, message: &str) -> (StatusCode, Value) {
    let value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    (StatusCode::from_u16(code).unwrap(), value)
}

/// The body of a refusal.
pub fn refusal(code: u16, reason: &str, message: &str) -> String {
    status(code, reason, message).1.to_string()
}

/// A CRD of the name with this schema.
pub fn crd(schema: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"versions": [
        {"name": "v1beta2", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}
