//! Sends the object, and looks before at what it needs.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt};

use super::credentials::SECRET;
use super::form::{self, Written};
use super::plan::Plan;
use super::{Args, EtcdBackup};
use crate::api::dialect::Served;
use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, Force, Session};

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
    if args.apply {
        let force = Force::conflicts(args.force_conflicts);
        let (sent, applied) = kubernetes::apply(session, &api, &object, args.dry_run, force).await?;
        return Ok((sent, applied.as_str()));
    }
    let base = object.name_any();
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
