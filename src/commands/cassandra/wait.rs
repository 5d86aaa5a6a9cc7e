//! `cassandra backup --wait`: follows one object to what the operator says of it.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::cassandra::served::Served;
use crate::cassandra::standing::{Standing, standing};
use crate::cli::{Ui, output};
use crate::commands::wait::{Followed, Look};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

/// Waits until the operator says that the backup is done; returns the object and the operator's word.
///
/// # Errors
/// [`ErrorKind::BackupFailed`](crate::error::ErrorKind::BackupFailed) in the operator's words, and those of
/// [`Followed::outcome`].
pub(super) async fn outcome(
    session: &Session,
    served: &Served,
    made: &DynamicObject,
    timeout: Duration,
    ui: &Ui,
) -> Result<(DynamicObject, String)> {
    ui.say("Waiting for the operator; the backup continues in the cluster if you press Ctrl-C.");
    let api = served.backup.api(session);
    let shown = served.backup.shown(&made.name_any());
    let idle = "does one run, and watch this namespace?";
    let followed = Followed { session, api: &api, made, shown: shown.clone(), idle };
    let judge = |found: DynamicObject| match standing(served.generation, &output::to_value(&found)?) {
        Standing::Done(word) => Ok(Look::Done((found, word))),
        Standing::Failed(why) => Err(failed(session, &shown, &why)),
        Standing::Running(text) => Ok(Look::Running(text)),
    };
    followed.outcome(timeout, judge, ui).await
}

fn failed(session: &Session, shown: &str, why: &str) -> Error {
    Error::backup_failed(format!("{shown} failed: {why}")).hint(format!(
        "kubectl get {shown} -n {} -o yaml, and the logs of the operator and the sidecars",
        session.namespace
    ))
}
