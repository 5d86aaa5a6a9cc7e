//! `create --wait`: follows one object to its outcome.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::Deserialize;

use super::form::full_name;
use super::send;
use crate::api::{EtcdBackupStatus, conditions};
use crate::cli::Ui;
use crate::commands::wait::{Followed, Look};
use crate::error::{Error, Result};
use crate::kubernetes::Session;
use crate::signals;

/// How a backup stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Running(Option<String>),
    Succeeded,
    Failed(String),
}

/// Waits until the backup that was made has succeeded, and returns it, or has failed.
///
/// # Errors
/// [`ErrorKind::BackupFailed`](crate::error::ErrorKind::BackupFailed) with the operator's Reason,
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) after Ctrl-C, and those of [`Followed::outcome`].
pub(super) async fn outcome(
    session: &Session,
    made: &DynamicObject,
    timeout: Duration,
    ui: &Ui,
) -> Result<DynamicObject> {
    ui.say("Waiting for the backup to complete; it continues in the cluster if you press Ctrl-C.");
    tokio::select! {
        done = follow(session, made, timeout, ui) => done,
        () = signals::asked_to_end() => {
            let name = made.name_any();
            Err(Error::interrupted("stopped waiting; the backup continues in the cluster")
                .hint(format!("kubectl get etcdbackups.etcd.database.coreos.com {name} -n {} -o yaml", session.namespace)))
        }
    }
}

async fn follow(session: &Session, made: &DynamicObject, timeout: Duration, ui: &Ui) -> Result<DynamicObject> {
    let (api, name) = (send::api(session), made.name_any());
    let shown = format!("etcdbackups/{name}");
    let followed = Followed { session, api: &api, made, shown, idle: "kubectl etcdbackup check" };
    let judge = |found: DynamicObject| match standing(&status(&found)?, made.metadata.generation) {
        Standing::Succeeded => Ok(Look::Done(found)),
        Standing::Failed(reason) => Err(failure(session, &name, &reason)),
        Standing::Running(message) => Ok(Look::Running(message)),
    };
    followed.outcome(timeout, judge, ui).await
}

/// The status in the fields that all operators of this group share; empty when there is none yet.
fn status(backup: &DynamicObject) -> Result<EtcdBackupStatus> {
    let Some(status) = backup.data.get("status").filter(|status| !status.is_null()) else {
        return Ok(EtcdBackupStatus::default());
    };
    let unreadable = |error| Error::general(format!("cannot read the status of {}: {error}", full_name(backup)));
    EtcdBackupStatus::deserialize(status).map_err(unreadable)
}

/// Reads the status of any operator of this group: ours has conditions, others only the two fields.
fn standing(status: &EtcdBackupStatus, generation: Option<i64>) -> Standing {
    if status.observed_generation.is_some_and(|observed| Some(observed) < generation) {
        return Standing::Running(None);
    }
    let text = |reason: &str, message: &str| match (reason, message) {
        (reason, "") => reason.to_owned(),
        (_, message) => message.to_owned(),
    };
    match conditions::find(&status.conditions, conditions::SUCCEEDED) {
        Some(condition) => match condition.status.as_str() {
            "True" => Standing::Succeeded,
            "False" => Standing::Failed(text(&status.reason, &condition.message)),
            _ => Standing::Running(Some(text(&condition.reason, &condition.message)).filter(|text| !text.is_empty())),
        },
        None if status.succeeded => Standing::Succeeded,
        None if !status.reason.is_empty() => Standing::Failed(status.reason.clone()),
        None => Standing::Running(None),
    }
}

/// The line of a backup that has succeeded.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when its status cannot be read.
pub(super) fn success(backup: &DynamicObject) -> Result<String> {
    let status = status(backup)?;
    let revision = status.etcd_revision.unwrap_or_default();
    let mut line = format!("{} succeeded  revision={revision} etcd={}", full_name(backup), status.etcd_version);
    // operators that were given a path store exactly there, and their status does not repeat it
    let given = backup.data["spec"]["s3"]["path"].as_str().unwrap_or_default();
    let path = if status.path().is_empty() && !given.is_empty() { format!("s3://{given}") } else { status.url() };
    if !path.is_empty() {
        line.push_str(&format!("  {path}"));
    }
    Ok(line)
}

fn failure(session: &Session, name: &str, reason: &str) -> Error {
    let namespace = &session.namespace;
    Error::backup_failed(format!("backup {name:?} failed: {reason}"))
        .hint(format!("kubectl describe etcdbackups.etcd.database.coreos.com {name} -n {namespace}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(status: serde_json::Value) -> DynamicObject {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "x"},
            "spec": {"storageType": "S3", "s3": {"path": "bucket/key"}}, "status": status
        }))
        .unwrap()
    }

    #[test]
    fn reads_old_and_new_operators() {
        let at = |value| standing(&status(&backup(value)).unwrap(), Some(2));
        let condition = |status: &str| {
            serde_json::json!({"conditions": [{"type": "Succeeded", "status": status, "reason": "R", "message": "why",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}], "observedGeneration": 2})
        };
        assert_eq!(at(serde_json::json!({})), Standing::Running(None));
        assert_eq!(at(serde_json::Value::Null), Standing::Running(None));
        assert_eq!(at(serde_json::json!({"succeeded": true})), Standing::Succeeded);
        assert_eq!(at(serde_json::json!({"Reason": "no"})), Standing::Failed("no".to_owned()));
        let fork = serde_json::json!({"Reason": "no", "succeeded": false, "lastSuccessDate": null, "etcdVersion": ""});
        assert_eq!(at(fork), Standing::Failed("no".to_owned()));
        assert_eq!(at(serde_json::json!({"succeeded": true, "observedGeneration": 1})), Standing::Running(None));
        assert_eq!(at(condition("True")), Standing::Succeeded);
        assert_eq!(at(condition("False")), Standing::Failed("why".to_owned()));
        assert_eq!(at(condition("Unknown")), Standing::Running(Some("why".to_owned())));
    }

    #[test]
    fn a_status_without_a_path_leaves_the_one_that_was_given() {
        let status = serde_json::json!({"succeeded": true, "etcdVersion": "3.5.21", "etcdRevision": 15});
        let line = success(&backup(status)).unwrap();
        assert!(line.ends_with("/x succeeded  revision=15 etcd=3.5.21  s3://bucket/key"), "{line}");
    }
}
