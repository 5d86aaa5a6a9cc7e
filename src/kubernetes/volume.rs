//! A claim, the volume that it is bound to, the pods that mount it, and the nodes: where a reader of it has to run.

mod manual;
mod missing;
mod plan;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

pub use self::manual::manual;
pub use self::plan::{Plan, access_modes, plan, retain};

use super::Session;
use crate::error::{Error, ErrorKind, Result};

/// Longest wait for an answer of the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What was found of a claim.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub claim: PersistentVolumeClaim,
    /// `None` for a claim that is not bound, and where volumes may not be read.
    pub volume: Option<PersistentVolume>,
    /// Pods of the namespace that name the claim and have not ended.
    pub users: Vec<Pod>,
    /// `None` where nodes may not be listed: then only the scheduler knows.
    pub nodes: Option<Vec<Node>>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// Reads a claim with its volume, its users and the nodes. The volume and the nodes only explain, so that whoever may
/// not read them goes on without.
///
/// # Errors
/// [`ErrorKind::NotFound`] with what to do when the claim is gone; those of the API server.
pub async fn find(session: &Session, name: &str) -> Result<Found> {
    let namespace = &session.namespace;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(session.client.clone(), namespace);
    let Some(claim) = session.request(TIMEOUT, claims.get_opt(name)).await? else {
        return Err(gone(session, name, &claims).await);
    };
    let mut found = Found { claim, ..Found::default() };
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
    let pods = session.request(TIMEOUT, pods.list(&ListParams::default())).await?;
    found.users = pods.items.into_iter().filter(|pod| plan::uses(pod, name)).collect();
    let volume = found.claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    if let Some(volume) = volume {
        let volumes: Api<PersistentVolume> = Api::all(session.client.clone());
        let read = session.request(TIMEOUT, volumes.get_opt(&volume)).await;
        found.volume = permitted(read, &mut found.unread)?.flatten();
    }
    let nodes: Api<Node> = Api::all(session.client.clone());
    let nodes = session.request(TIMEOUT, nodes.list(&ListParams::default())).await;
    found.nodes = permitted(nodes, &mut found.unread)?.map(|list| list.items);
    Ok(found)
}

/// What was read; `None`, and a line that says so, for what may not be.
fn permitted<T>(read: Result<T>, unread: &mut Vec<String>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ErrorKind::Denied => {
            unread.push(error.message().to_owned());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Why the claim is not there, as far as other claims and volumes tell.
async fn gone(session: &Session, name: &str, claims: &Api<PersistentVolumeClaim>) -> Error {
    let all = session.request(TIMEOUT, claims.list(&ListParams::default())).await;
    let names: Vec<String> = all.map(|list| list.items.iter().map(|one| one.name_any()).collect()).unwrap_or_default();
    let volumes: Api<PersistentVolume> = Api::all(session.client.clone());
    let volumes = session.request(TIMEOUT, volumes.list(&ListParams::default())).await;
    let volumes = volumes.map(|list| list.items).unwrap_or_default();
    missing::explain(name, &session.namespace, &names, &volumes)
}
