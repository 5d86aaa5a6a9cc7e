//! Requests about the CronJobs of EtcdBackups.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::Status;

use super::TIMEOUT;
use super::job::{self, UID_LABEL};
use super::requests::OPERATOR;
use super::trouble::Trouble;
use crate::api::EtcdBackup;
use crate::error::{ErrorKind, Result};
use crate::kubernetes::Session;

/// Applies a CronJob. The inner error is what the API server has against it, `InvalidSchedule` for the schedule.
///
/// # Errors
/// Those of the API server otherwise.
pub async fn apply(session: &Session, cron_job: &CronJob) -> Result<Result<CronJob, Trouble>> {
    let api = Api::<CronJob>::namespaced(session.client.clone(), &cron_job.namespace().unwrap_or_default());
    let params = PatchParams::apply(OPERATOR).force();
    let (name, patch) = (cron_job.name_any(), Patch::Apply(cron_job));
    let answer = session.request(TIMEOUT, async {
        match api.patch(&name, &params, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Err(invalid(&status))),
            answer => answer.map(Ok),
        }
    });
    match answer.await {
        Err(error) if error.kind() == ErrorKind::Denied => Ok(Err(Trouble::new("CronJobRefused", error.message()))),
        answer => answer,
    }
}

/// The API server's words, one sentence a field.
fn invalid(status: &Status) -> Trouble {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    let of_schedule = causes.iter().any(|cause| ["spec.schedule", "spec.timeZone"].contains(&cause.field.as_str()));
    let reason = if of_schedule { "InvalidSchedule" } else { "CronJobRefused" };
    let words: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    Trouble::new(reason, if words.is_empty() { status.message.clone() } else { words.join("; ") })
}

/// Stops all CronJobs of `backup` but `keep`, and removes those of which no Job runs; their finished Jobs go with
/// them. Whether none is left.
///
/// # Errors
/// Those of the API server.
pub async fn retire(session: &Session, backup: &EtcdBackup, jobs: &[Job], keep: Option<&str>) -> Result<bool> {
    let api = Api::<CronJob>::namespaced(session.client.clone(), &backup.namespace().unwrap_or_default());
    let params = ListParams::default().labels(&format!("{UID_LABEL}={}", backup.uid().unwrap_or_default()));
    let found = session.request(TIMEOUT, api.list(&params)).await?.items;
    let mut left = false;
    for cron_job in found.iter().filter(|found| Some(found.name_any().as_str()) != keep) {
        let runs = jobs.iter().any(|job| job::finish(job).is_none() && is_of(job, cron_job));
        let suspended = cron_job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        left |= runs || !suspended;
        // stopped first: a run that starts meanwhile must not go with it
        let done = if !suspended {
            let patch = Patch::Merge(serde_json::json!({"spec": {"suspend": true}}));
            session
                .request(TIMEOUT, api.patch_metadata(&cron_job.name_any(), &PatchParams::default(), &patch))
                .await
                .map(drop)
        } else if !runs {
            let only_this = Preconditions { uid: cron_job.uid(), resource_version: None };
            let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::background() };
            session.request(TIMEOUT, api.delete(&cron_job.name_any(), &params)).await.map(drop)
        } else {
            Ok(())
        };
        done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    Ok(!left)
}

fn is_of(job: &Job, cron_job: &CronJob) -> bool {
    job.owner_references().iter().any(|owner| Some(&owner.uid) == cron_job.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_schedule_is_told_in_the_api_servers_words() {
        let status = |field: &str| -> Status {
            serde_json::from_value(serde_json::json!({"code": 422, "reason": "Invalid", "message": "m", "details": {
                "causes": [{"field": field, "message": "Invalid value: \"x\": expected exactly 5 fields"}]}}))
            .unwrap()
        };
        let want = "InvalidSchedule: spec.schedule: Invalid value: \"x\": expected exactly 5 fields";
        assert_eq!(invalid(&status("spec.schedule")).text(), want);
        assert_eq!(invalid(&status("spec.jobTemplate")).reason, "CronJobRefused");
        assert_eq!(invalid(&Status { details: None, ..status("x") }).text(), "CronJobRefused: m");
    }
}
