//! Sends the object, and looks before at what it needs.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};

use super::credentials::SECRET;
use super::form::{self, Written};
use super::plan::Plan;
use super::{Args, EtcdBackup};
use crate::api::dialect::Served;
use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::{self, FIELD_MANAGER, Force, Session};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Most names that are tried when the one made from the time is taken.
const MOST_NAMES: u32 = 20;

/// EtcdBackups with the fields of whichever CRD is served.
pub(super) fn api(session: &Session) -> Api<DynamicObject> {
    Api::namespaced_with(session.client.clone(), &session.namespace, &ApiResource::erase::<EtcdBackup>(&()))
}

/// Finds a missing Secret before the backup does.
///
/// # Errors
/// [`ErrorKind::Denied`] when it is missing; the API server's.
pub(super) async fn require_secret(session: &Session, name: &str, ui: &Ui) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    match session.request(TIMEOUT, secrets.get_metadata(name)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let namespace = &session.namespace;
            let custom = if name == SECRET { String::new() } else { format!(" --secret-name {name}") };
            Err(Error::denied(format!("secret {name:?} not found in namespace {namespace:?}"))
                .hint(format!("kubectl etcdbackup credentials -n {namespace}{custom}"))
                .hint("or add --with-credentials, or --ambient to use none"))
        }
        Err(error) if error.kind() == ErrorKind::Denied => {
            ui.say(format!("not checked whether secret {name:?} exists: {}", error.message()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Finds a missing Service before the backup does, where its URL was made up.
///
/// # Errors
/// [`ErrorKind::NotFound`] when it is missing; the API server's.
pub(super) async fn require_service(session: &Session, name: &str, ui: &Ui) -> Result<()> {
    let services: Api<Service> = Api::namespaced(session.client.clone(), &session.namespace);
    match session.request(TIMEOUT, services.get_metadata(name)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::not_found(format!("service {name:?} not found in namespace {:?}", session.namespace))
                .hint("name the cluster's URLs with --etcd-endpoints"))
        }
        Err(error) if error.kind() == ErrorKind::Denied => {
            ui.say(format!("not checked whether service {name:?} exists: {}", error.message()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Finds a missing claim before the backup does.
///
/// # Errors
/// [`ErrorKind::NotFound`] when it is missing; the API server's.
pub(super) async fn require_claim(session: &Session, name: &str, ui: &Ui) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(session.client.clone(), &session.namespace);
    match session.request(TIMEOUT, claims.get_metadata(name)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let namespace = &session.namespace;
            Err(Error::not_found(format!("persistentvolumeclaim {name:?} not found in namespace {namespace:?}"))
                .hint(format!("kubectl get persistentvolumeclaims -n {namespace}"))
                .hint("--volume-size 10Gi in place of --claim has the claim CLUSTER-pvc made"))
        }
        Err(error) if error.kind() == ErrorKind::Denied => {
            ui.say(format!("not checked whether claim {name:?} exists: {}", error.message()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Creates the object or, with `--apply`, applies it; returns it with kubectl's word for what became of it. A name that
/// was made from the time and is taken gets a number.
///
/// # Errors
/// The API server's.
pub(super) async fn send(
    session: &Session,
    args: &Args,
    plan: &Plan,
    served: &Served,
    written: Written,
) -> Result<(DynamicObject, &'static str)> {
    let api = api(session);
    let mut object = written.object;
    let base = object.name_any();
    if args.apply {
        let force = Force::conflicts(args.force_conflicts);
        if args.dry_run == DryRun::None {
            take_to_apply(session, &api, &base).await?;
        }
        let (sent, applied) = kubernetes::apply(session, &api, &object, args.dry_run, force).await?;
        return Ok((sent, applied.as_str()));
    }
    let mut attempt = 1;
    loop {
        match kubernetes::create(session, &api, &object, args.dry_run).await {
            Ok(sent) => return Ok((sent, "created")),
            Err(error) if error.message().starts_with("Error from server (AlreadyExists)") => {
                attempt += 1;
                if !plan.timed || attempt > MOST_NAMES {
                    return Err(error.hint("choose another --name, or add --apply to update it"));
                }
                let name = format!("{base}-{attempt}");
                object = form::write(plan, &name, args.api, served, &session.namespace)?.object;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes what an earlier `create` set the applier's own: else an apply would conflict with ourselves, and could not take
/// a field away again, such as the interval of what is now a schedule.
///
/// Source: kubernetes/client-go, util/csaupgrade/upgrade.go.
async fn take_to_apply(session: &Session, api: &Api<DynamicObject>, name: &str) -> Result<()> {
    let found = match session.request(TIMEOUT, api.get(name)).await {
        Ok(found) => found,
        // nothing there yet, or not to be seen: the apply itself will tell
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(fields) = applied(found.metadata.managed_fields.unwrap_or_default()) else { return Ok(()) };
    let metadata = serde_json::json!({"managedFields": fields, "resourceVersion": found.metadata.resource_version});
    let patch = Patch::Merge(serde_json::json!({ "metadata": metadata }));
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    session.request(TIMEOUT, api.patch(name, &params, &patch)).await.map(|_| ())
}

/// The entries with our own creation turned into an apply; `None` where there is nothing to turn.
fn applied(mut fields: Vec<ManagedFieldsEntry>) -> Option<Vec<ManagedFieldsEntry>> {
    let is = |entry: &ManagedFieldsEntry, operation: &str| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    if fields.iter().any(|entry| is(entry, "Apply")) {
        return None;
    }
    let ours = fields.iter_mut().find(|entry| is(entry, "Update"))?;
    ours.operation = Some("Apply".to_owned());
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            operation: Some(operation.to_owned()),
            subresource: subresource.map(str::to_owned),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn only_our_own_creation_becomes_an_apply() {
        let (theirs, status) = (entry("kubectl", "Update", None), entry(FIELD_MANAGER, "Update", Some("status")));
        let (made, set) = (entry(FIELD_MANAGER, "Update", None), entry(FIELD_MANAGER, "Apply", None));
        let before = vec![theirs.clone(), status.clone(), made.clone()];
        assert_eq!(applied(before), Some(vec![theirs.clone(), status.clone(), set.clone()]));
        assert_eq!(applied(vec![made, set]), None);
        assert_eq!(applied(vec![theirs, status]), None);
    }
}
