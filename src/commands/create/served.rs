//! What EtcdBackups the API server keeps: asked of its CRD, else of its OpenAPI document.

use std::time::Duration;

use serde_json::Value;

use crate::api::dialect::{CRD_NAME, Served};
use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads it, and says where it could not.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is no such CRD or it does not serve our version; the API server's.
pub(super) async fn read(session: &Session, ui: &Ui) -> Result<Served> {
    match get(session, &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD_NAME}")).await {
        Ok(crd) => Served::of_crd(&crd).ok_or_else(no_resource),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(no_resource()),
        // few may read CRDs, but everybody who may log in reads this (ClusterRole system:discovery)
        Err(error) if error.kind() == ErrorKind::Denied => {
            let document = get(session, "/openapi/v3/apis/etcd.database.coreos.com/v1beta2").await;
            match document.as_ref().ok().and_then(Served::of_openapi) {
                Some(served) => Ok(served),
                None => {
                    ui.say(format!("api: the CRD cannot be read, this program's own is assumed: {}", error.message()));
                    Served::ours()
                }
            }
        }
        Err(error) => Err(error),
    }
}

async fn get(session: &Session, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| Error::general(format!("cannot ask for {path}: {error}")))?;
    session.request(TIMEOUT, session.client.request(request)).await
}

fn no_resource() -> Error {
    Error::not_found(
        "the server doesn't have a resource type \"etcdbackups\" in version \"v1beta2\" of group \"etcd.database.coreos.com\"",
    )
    .hint("kubectl etcdbackup install")
}
