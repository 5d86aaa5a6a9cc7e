//! What the operator does, as Events of the object and as lines of its log.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};

use super::job::Attempt;
use super::outcome::Start;
use super::status::{Progress, what_was_stored};
use super::{Context, expiry, requests};
use crate::api::{EtcdBackup, EtcdBackupStatus};

/// The API server refuses notes of 1024 bytes and more.
const MAX_NOTE: usize = 1000;

/// The recorder of this operator.
pub fn recorder(client: Client) -> Recorder {
    Recorder::new(client, Reporter { controller: requests::OPERATOR.to_owned(), instance: None })
}

/// A Job was created, by us or by Kubernetes.
pub async fn started(context: &Context, backup: &EtcdBackup, job: &Job) {
    let (namespace, name, job_name) = (backup.namespace().unwrap_or_default(), backup.name_any(), job.name_any());
    let attempt = Attempt::of(job).map(|attempt| attempt.number);
    tracing::info!(%namespace, %name, job = %job_name, attempt, "a backup starts");
    let mut related = job.object_ref(&());
    related.resource_version = None;
    let note = match attempt {
        Some(number) => format!("attempt {number} runs as Job {job_name}"),
        None => format!("a periodic backup runs as Job {job_name}"),
    };
    publish(context, backup, EventType::Normal, "Started", note, Some(related)).await;
}

/// The status was written after `progress`.
pub async fn progress(context: &Context, backup: &EtcdBackup, progress: &Progress, status: &EtcdBackupStatus) {
    let (namespace, name) = (backup.namespace().unwrap_or_default(), backup.name_any());
    let reason = status.reason.clone();
    match progress {
        Progress::Stored { report, .. } => {
            tracing::info!(%namespace, %name, path = %status.path(), revision = status.etcd_revision, "stored a backup");
            publish(context, backup, EventType::Normal, "Succeeded", what_was_stored(report), None).await;
            if let Some(trouble) = expiry::trouble(status) {
                tracing::warn!(%namespace, %name, reason = %trouble.message, "old snapshots are left");
                publish(context, backup, EventType::Warning, &trouble.reason, trouble.message, None).await;
            }
        }
        Progress::GaveUp { .. } | Progress::Rejected(_) => {
            tracing::warn!(%namespace, %name, %reason, "gave up");
            publish(context, backup, EventType::Warning, "Failed", reason, None).await;
        }
        Progress::Retrying { number, .. } => {
            tracing::warn!(%namespace, %name, attempt = number, %reason, "an attempt failed");
            publish(context, backup, EventType::Warning, "AttemptFailed", reason, None).await;
        }
        Progress::Hindered(trouble) | Progress::Running { start: Start::Hindered(trouble), .. } => {
            tracing::warn!(%namespace, %name, %reason, "a backup is kept from running");
            publish(context, backup, EventType::Warning, &trouble.reason, trouble.message.clone(), None).await;
        }
        Progress::Idle(idle) => tracing::info!(%namespace, %name, ?idle, "a backup waits"),
        Progress::Running { .. } | Progress::Earlier { .. } => {}
    }
}

/// Events are for people; one that cannot be written must not stop the work.
async fn publish(
    context: &Context,
    backup: &EtcdBackup,
    type_: EventType,
    reason: &str,
    note: String,
    secondary: Option<ObjectReference>,
) {
    let event =
        Event { type_, reason: reason.to_owned(), note: Some(cut(note)), action: "Backup".to_owned(), secondary };
    let mut regarding = backup.object_ref(&());
    regarding.resource_version = None;
    if let Err(error) = context.recorder.publish(&event, &regarding).await {
        tracing::warn!(%error, "cannot write an Event");
    }
}

fn cut(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        note.truncate(note.floor_char_boundary(MAX_NOTE));
        note.push('…');
    }
    note
}
