//! Whether there is nothing to do about an EtcdBackup, by what the watches have told: pure but for the caches.
//!
//! It may only err on the side of work: whatever is not certain is looked at again, with requests.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;

use super::argv::Run;
use super::plan::{Plan, Rejection, Trigger};
use super::reconcile::{self, Look};
use super::status::{self, Idle, Progress};
use super::{Context, endpoints, job, periodic, runs, schedule, serving};
use crate::api::{EtcdBackup, EtcdBackupStatus};

/// `Some` if nothing is to be done and nothing new to be told: for how long, or until something changes.
pub fn wait(
    context: &Context,
    backup: &EtcdBackup,
    planned: &Result<Plan, Rejection>,
    now: Timestamp,
) -> Option<Option<Duration>> {
    let uid = backup.uid()?;
    if !context.caches.are_full() {
        return None;
    }
    let jobs = context.caches.jobs.of(&uid);
    let cron_jobs = context.caches.cron_jobs.of(&uid);
    let look = match planned {
        Err(rejection) => at_rest(jobs.iter().all(|job| job::finish(job).is_some()) && cron_jobs.is_empty())
            .map(|()| reconcile::rejected(backup, rejection)),
        Ok(plan) => of_plan(backup, plan, &jobs, &cron_jobs, now),
    }?;
    let as_wanted = |plan: &Plan| cron_jobs.iter().all(|found| is_as_wanted(context, backup, plan, found));
    let told = reconcile::after(backup, &look, now).0 == backup.status.clone().unwrap_or_default();
    if !told || !planned.as_ref().map_or(true, as_wanted) {
        return None;
    }
    let serving = serving::settled(context, backup)?;
    let same = |next: EtcdBackupStatus| Some(next) == backup.status;
    serving.status(backup, now).is_none_or(same).then_some(look.again)
}

fn at_rest(yes: bool) -> Option<()> {
    yes.then_some(())
}

/// What there is to tell of a plan of which nothing runs and nothing is due.
fn of_plan(backup: &EtcdBackup, plan: &Plan, jobs: &[Job], cron_jobs: &[CronJob], now: Timestamp) -> Option<Look> {
    let stays =
        matches!(plan.trigger, Trigger::Every(_)).then(|| job::newest(jobs)).flatten().and_then(|job| job.uid());
    let closed =
        |job: &Job| job::finish(job).is_some() && job::closing(job, stays.is_some() && job.uid() == stays).is_none();
    let on_cron = matches!(plan.trigger, Trigger::Cron { .. });
    at_rest(jobs.iter().all(closed) && cron_jobs.len() == usize::from(on_cron))?;
    match plan.trigger {
        Trigger::Once if status::is_final(backup) => Some(Look::default()),
        Trigger::Once if plan.suspended && jobs.is_empty() => Some(Look::once(Progress::Idle(Idle::Suspended), None)),
        Trigger::Once => None,
        _ => periodic::between(backup, plan, jobs, cron_jobs.first(), now),
    }
}

/// Whether the CronJob of `plan` is as it is to be, with the addresses of etcd and the node that it
/// has.
fn is_as_wanted(context: &Context, backup: &EtcdBackup, plan: &Plan, cron_job: &CronJob) -> bool {
    let found = endpoints::given(plan).unwrap_or_else(|| schedule::endpoints_of(cron_job));
    let one_node = schedule::is_on_one_node(cron_job);
    let stale_after = runs::stale_after(context, plan);
    let run = Run { endpoints: &found.urls, timeout: plan.timeout, stale_after, one_node };
    let wanted = schedule::cron_job(backup, plan, &context.settings.image, &run, found.fleeting);
    wanted.is_some_and(|wanted| context.caches.cron_jobs.has(&wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::plan::plan;
    use super::super::samples::{self, at};
    use super::*;

    fn backup(policy: Value) -> EtcdBackup {
        samples::backup(json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {}, "backupPolicy": policy}))
    }

    fn job(recorded: bool, ended: bool) -> Job {
        let annotations = if recorded { json!({"etcd.database.coreos.com/recorded": "true"}) } else { json!({}) };
        let conditions = if ended { json!([{"type": "Complete", "status": "True"}]) } else { json!([]) };
        serde_json::from_value(json!({
            "metadata": {"name": "j", "uid": "j", "annotations": annotations, "creationTimestamp": at(0).to_string()},
            "spec": {"template": {}}, "status": {"conditions": conditions}
        }))
        .unwrap()
    }

    fn rests(backup: &EtcdBackup, jobs: &[Job], seconds: i64) -> bool {
        of_plan(backup, &plan(backup, &samples::settings(true)).unwrap(), jobs, &[], at(seconds)).is_some()
    }

    #[test]
    fn an_interval_rests_until_its_next_run_and_while_nothing_is_to_be_recorded() {
        let hourly = backup(json!({"backupIntervalInSecond": 3600}));
        assert!(rests(&hourly, &[job(true, true)], 3599));
        assert!(!rests(&hourly, &[job(true, true)], 3600));
        assert!(!rests(&hourly, &[job(false, true)], 60));
        assert!(!rests(&hourly, &[job(false, false)], 60));
        assert!(!rests(&hourly, &[], 60));
        assert!(rests(&backup(json!({"backupIntervalInSecond": 3600, "suspend": true})), &[job(true, true)], 9999));
    }

    #[test]
    fn a_backup_that_is_asked_for_once_rests_when_it_is_done() {
        let mut once = backup(json!({}));
        assert!(!rests(&once, &[], 60));
        let stored = Progress::Stored { report: samples::stored(), at: at(5) };
        once.status = Some(status::next(&once, &stored, at(9)));
        assert!(rests(&once, &[], 60));
        assert!(!rests(&once, &[job(true, true)], 60), "its Job has no time to live yet");
        once.metadata.generation = Some(2);
        assert!(!rests(&once, &[], 60));
    }

    #[test]
    fn a_schedule_without_its_cron_job_does_not_rest() {
        assert!(!rests(&backup(json!({"schedule": "@daily"})), &[], 60));
        assert!(!rests(&backup(json!({"schedule": "@daily", "suspend": true})), &[], 60));
    }
}
