//! `create` where neither the CRD nor the OpenAPI document can be read. The forms of other projects' CRDs are tried on a
//! real API server: on_cluster/foreign_crds.rs.

use serde_json::json;

use crate::fake_api::{Answers, FakeApi};
use crate::sandbox::Sandbox;

#[test]
fn with_neither_readable_our_own_is_assumed_and_said() {
    let objects = vec![("services/etcd-a-client", json!({})), ("secrets/aws-credential", json!({}))];
    let api = FakeApi::start(Answers { objects, ..Answers::default() });
    let output = Sandbox::new().run(&format!("create etcd-a --bucket etcd-backups --server {}", api.url));
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("this program's own is assumed"), "{output}");
    assert_eq!(api.posted()[0]["spec"]["clusterName"], "etcd-a");
}
