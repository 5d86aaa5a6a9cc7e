//! The datacenter's object and the Secret that it or a backup names, as they are in the cluster.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::cassandra::generations::Generation;
use crate::cassandra::location::Cloud;
use crate::cassandra::pods;
use crate::cassandra::secret;
use crate::cassandra::served::Kind;
use crate::cli::Ui;
use crate::commands::get::place;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the datacenter.
///
/// # Errors
/// The API server's; where there is none of this name, the hint says which there are.
pub(super) async fn read(session: &Session, kind: &Kind, name: &str) -> Result<DynamicObject> {
    match session.request(TIMEOUT, kind.api(session).get(name)).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let resource = format!("{}.{}", kind.resource.plural, kind.resource.group);
            Err(error.hint(format!("kubectl get {resource} -n {} shows which there are", session.namespace)))
        }
        other => other,
    }
}

/// The pods that the datacenter has now; says why where they are not known.
pub(super) async fn pods(session: &Session, datacenter: &DynamicObject, ui: &Ui) -> Vec<String> {
    let only = "the nodes to be there are those that the bucket and the operator know";
    match pods::of_datacenter(session, datacenter).await {
        Ok(pods) => {
            if pods.is_empty() {
                ui.say(format!("{} has no StatefulSets; {only}", datacenter.name_any()));
            }
            pods
        }
        Err(error) => {
            ui.say(format!("StatefulSets were not looked at, {only}: {}", error.message()));
            Vec::new()
        }
    }
}

/// Looks whether the Secret is there with all keys, none of which ends in a line break. One that may not be read is
/// said and taken to be right.
///
/// # Errors
/// [`ErrorKind::Denied`] for a Secret that is missing or would fail in the pods; the API server's.
pub(super) async fn check_secret(
    session: &Session,
    name: &str,
    generation: Generation,
    cloud: Cloud,
    ui: &Ui,
) -> Result<()> {
    let form = generation.form()?;
    let namespace = &session.namespace;
    let cloud_flag = match cloud {
        Cloud::Aws => "",
        Cloud::Azure => " --cloud azure --access-file FILE --secret-file FILE",
        Cloud::Gcp => " --cloud gcp --secret-file FILE",
    };
    let remake =
        format!("kubectl etcdbackup cassandra secret {name} --format {}{cloud_flag} -n {namespace}", form.word());
    let data = match place::secret(session, name).await {
        Ok(data) => data,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::denied(format!("secret {name:?} not found in namespace {namespace:?}")).hint(remake));
        }
        Err(error) if error.kind() == ErrorKind::Denied => {
            ui.say(format!("not checked whether secret {name:?} has its keys: {}", error.message()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let origin = format!("secret {namespace}/{name}");
    secret::check(&origin, &data, form.needed(cloud)).map_err(|error| error.hint(remake))
}
