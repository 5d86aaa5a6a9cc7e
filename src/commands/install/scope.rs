//! An operator is either for one namespace or for all: what the other scope would leave behind.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::Api;

use super::manifests::{OPERATOR, is_ours};
use super::{TIMEOUT, installed};
use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::Session;

/// There is one ClusterRoleBinding of the operator's name, so a second cluster-wide operator would take the
/// permissions of the first.
///
/// # Errors
/// [`ErrorKind::General`] when there is one in another namespace; the API server's.
pub async fn refuse_second_operator(session: &Session) -> Result<()> {
    let Some(namespace) = bound_namespace(session).await?.filter(|bound| *bound != session.namespace) else {
        return Ok(());
    };
    let deployments = Api::<Deployment>::namespaced(session.client.clone(), &namespace);
    if session.request(TIMEOUT, deployments.get_opt(OPERATOR)).await?.is_none() {
        return Ok(());
    }
    Err(Error::general(format!("a cluster-wide operator is installed in namespace {namespace:?}"))
        .hint(format!("kubectl etcdbackup uninstall -n {namespace}"))
        .hint("add --force to take its permissions over; its Deployment stays"))
}

/// The namespace of the cluster-wide operator, if there is one that this program installed.
///
/// # Errors
/// The API server's; a ClusterRoleBinding that may not be read counts as none.
pub async fn bound_namespace(session: &Session) -> Result<Option<String>> {
    let bindings = Api::<ClusterRoleBinding>::all(session.client.clone());
    let binding = match session.request(TIMEOUT, bindings.get_opt(OPERATOR)).await {
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(None),
        found => found?.filter(|found| is_ours(&found.metadata)),
    };
    let mut subjects = binding.into_iter().flat_map(|binding| binding.subjects.unwrap_or_default());
    Ok(subjects.find(|subject| subject.name == OPERATOR).and_then(|subject| subject.namespace))
}

/// Removes the roles and the bindings of the scope that is not `cluster_wide`'s, if they are this operator's.
///
/// # Errors
/// The API server's.
pub async fn remove_other(session: &Session, cluster_wide: bool, dry_run: DryRun, ui: &Ui) -> Result<()> {
    let others = if cluster_wide {
        installed::roles(session).await?
    } else if bound_namespace(session).await?.as_ref() == Some(&session.namespace) {
        installed::cluster_roles(session).await?
    } else {
        Vec::new()
    };
    for object in others {
        object.delete(session, dry_run).await?;
        ui.data(format!("{} deleted{}", object.shown(), dry_run.suffix()))?;
    }
    Ok(())
}
