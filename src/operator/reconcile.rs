//! One look at one EtcdBackup: reads what is there, has the pure modules decide, and does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::cached::Cached;
use super::plan::{self, Plan, Rejection, Trigger, plan};
use super::status::{self, Progress, Scheduled};
use super::trouble::Trouble;
use super::{Context, announce, cronjob, expiry, job, once, periodic, requests, serving, settled, writing};
use crate::api::conditions::{self, SCHEDULED};
use crate::api::{EtcdBackup, EtcdBackupStatus};
use crate::error::{Error, ErrorKind, Result};

/// How often the pod of a Job that does not run yet is looked at.
pub const WATCH: Duration = Duration::from_secs(5);

/// How often a queued run asks for its turn if nobody wakes it: another operator's Jobs take places too.
pub const QUEUE: Duration = Duration::from_secs(300);

/// How soon a decision that was overtaken is made again.
pub const SOON: Duration = Duration::from_secs(1);

/// How often everything is looked at although nothing has changed: between this and twice this, so that a
/// thousand objects do not come at once.
const RESYNC: Duration = Duration::from_secs(4 * 3600);

/// What came of one look.
pub struct Look {
    /// What has happened, in its order.
    pub steps: Vec<Progress>,
    pub scheduled: Scheduled,
    /// When to look again, if not only after a change.
    pub again: Option<Duration>,
}

impl Default for Look {
    fn default() -> Self {
        Self { steps: Vec::new(), scheduled: Scheduled::Not, again: None }
    }
}

impl Look {
    /// Of an object without a schedule.
    pub fn once(progress: Progress, again: Option<Duration>) -> Self {
        Self { steps: vec![progress], again, ..Self::default() }
    }

    /// Looks again after `wait` at the latest.
    pub fn again_in(&mut self, wait: Duration) {
        self.again = Some(self.again.map_or(wait, |again| again.min(wait)));
    }
}

/// How often in a row the work on EtcdBackups has failed, by their uids.
#[derive(Default)]
pub struct Failures(Mutex<BTreeMap<String, u32>>);

impl Failures {
    /// One more failure: how long to wait. A minute at most, so that the end of an outage is soon seen.
    fn back_off(&self, uid: String) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid).or_default();
        *count = count.saturating_add(1);
        Duration::from_secs(5).saturating_mul(2_u32.saturating_pow(*count - 1)).min(Duration::from_secs(60))
    }

    fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Brings one EtcdBackup forward.
///
/// # Errors
/// Those of the API server; [`after_error`] says when to try again.
pub async fn reconcile(guarded: Arc<Cached>, context: Arc<Context>) -> Result<Action> {
    context.caches.until_full().await;
    let action = forward(&guarded, &context).await?;
    context.failures.forget(guarded.meta().uid.as_deref().unwrap_or_default());
    Ok(action)
}

async fn forward(guarded: &Cached, context: &Context) -> Result<Action> {
    let backup = match &guarded.0 {
        Ok(backup) if backup.meta().deletion_timestamp.is_none() => backup,
        Ok(_) => return Ok(Action::await_change()),
        Err(invalid) => {
            let (namespace, name) = (&invalid.metadata.namespace, &invalid.metadata.name);
            tracing::warn!(?namespace, ?name, error = %invalid.error, "an EtcdBackup cannot be read");
            return Ok(Action::await_change());
        }
    };
    let planned = plan(backup, &context.settings);
    if !planned.as_ref().is_ok_and(|plan| !plan.suspended) {
        // the place that comes free is another's
        context.queue.leave(backup);
    }
    if let Some(wait) = settled::wait(context, backup, &planned, Timestamp::now()) {
        see(context, backup, &[]).await;
        return Ok(Action::requeue(wait.map_or(resync(backup), |wait| wait.min(resync(backup)))));
    }
    let jobs = requests::jobs_of(&context.session, backup).await?;
    see(context, backup, &jobs).await;
    let Some(look) = look(context, backup, &planned, &jobs).await? else { return Ok(Action::requeue(SOON)) };
    let Some(written) = record(context, backup, &look, &jobs).await? else { return Ok(Action::requeue(SOON)) };
    if let Ok(plan) = &planned {
        // the last start of an interval is known by its Job
        let stays = matches!(plan.trigger, Trigger::Every(_)).then(|| job::newest(&jobs)).flatten();
        requests::close(&context.session, &jobs, stays).await?;
    }
    let serving = serving::keep(context, &written).await?;
    if !note(context, &written, &serving).await? {
        return Ok(Action::requeue(SOON));
    }
    // before the first backup the status itself tells of the change
    let is_known = plan(&written, &context.settings).is_ok_and(|plan| plan.store.is_known());
    let serving = serving.look_again(&written, Timestamp::now()).filter(|_| is_known);
    let waits = [look.again, serving, Some(resync(&written))];
    Ok(Action::requeue(waits.into_iter().flatten().min().unwrap_or(RESYNC)))
}

/// When to try again after an error.
pub fn after_error(guarded: Arc<Cached>, error: &Error, context: Arc<Context>) -> Action {
    let meta = guarded.meta();
    tracing::warn!(namespace = ?meta.namespace, name = ?meta.name, error = error.message(), "could not work on an EtcdBackup");
    let wait = context.failures.back_off(meta.uid.clone().unwrap_or_default());
    Action::requeue(if error.kind() == ErrorKind::Denied { wait.max(Duration::from_secs(60)) } else { wait })
}

fn resync(backup: &EtcdBackup) -> Duration {
    let uid = backup.uid().unwrap_or_default();
    let number = uid.bytes().fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
    RESYNC + Duration::from_secs(number % RESYNC.as_secs())
}

/// Counts the running Jobs, and tells of those that Kubernetes has started in this operator's time.
async fn see(context: &Context, backup: &EtcdBackup, jobs: &[Job]) {
    let unfinished = jobs.iter().filter(|job| job::finish(job).is_none());
    let names: BTreeSet<String> = unfinished.map(ResourceExt::name_any).collect();
    let fresh = context.metrics.running(&backup.uid().unwrap_or_default(), names);
    let ours_to_tell = |job: &&Job| job::created(job).is_some_and(|created| created >= context.began);
    let fresh = jobs.iter().filter(|job| fresh.contains(&job.name_any()) && !job::made_by_an_operator(job));
    for job in fresh.filter(ours_to_tell) {
        announce::started(context, backup, job).await;
    }
}

/// `None` when the object was overtaken by a change.
async fn look(
    context: &Context,
    backup: &EtcdBackup,
    planned: &Result<Plan, Rejection>,
    jobs: &[Job],
) -> Result<Option<Look>> {
    let now = Timestamp::now();
    let told = backup.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let scheduled = conditions::find(told, SCHEDULED).is_some()
        || !jobs.iter().all(job::made_by_an_operator)
        || !context.caches.cron_jobs.of(&backup.uid().unwrap_or_default()).is_empty();
    let on_cron = planned.as_ref().is_ok_and(|plan| matches!(plan.trigger, Trigger::Cron { .. }));
    // whatever is not wanted any more must start nothing
    let retired = on_cron || !scheduled || cronjob::retire(&context.session, backup, jobs, None).await?;
    let look = match planned {
        Ok(plan) if plan.trigger != Trigger::Once => periodic::look(context, backup, plan, jobs, now).await?,
        Ok(_) if status::is_final(backup) => Some(Look::default()),
        Ok(plan) => once::look(context, backup, plan, jobs, now).await?,
        Err(rejection) => Some(rejected(backup, rejection)),
    };
    Ok(look.map(|mut look| {
        if !retired {
            // the condition is what reminds us of the CronJob
            if look.scheduled == Scheduled::Not {
                let message = "the schedule is gone; its CronJob goes when no Job of it runs".to_owned();
                look.scheduled = Scheduled::Stopped(Trouble { reason: "Ending".to_owned(), message });
            }
            look.again_in(SOON * 2);
        }
        look
    }))
}

/// What to tell of an object that cannot be worked on.
pub fn rejected(backup: &EtcdBackup, rejection: &Rejection) -> Look {
    let policy = backup.spec.backup_policy.clone().unwrap_or_default();
    let periodic = !policy.schedule.is_empty() || policy.backup_interval_in_second.is_some_and(|seconds| seconds > 0);
    if !periodic && status::is_final(backup) {
        // done is done: when the rejection is lifted it must not run again
        return Look::default();
    }
    let trouble = Trouble::new(rejection.reason, rejection.message.clone());
    let scheduled = if periodic { Scheduled::Stopped(trouble.clone()) } else { Scheduled::Not };
    Look { scheduled, ..Look::once(Progress::Rejected(trouble), None) }
}

/// The status after `look`, and the steps that changed it, each with the status then.
pub fn after<'a>(
    backup: &EtcdBackup,
    look: &'a Look,
    now: Timestamp,
) -> (EtcdBackupStatus, Vec<(&'a Progress, EtcdBackupStatus)>) {
    let mut next = backup.clone();
    let mut told = Vec::new();
    for step in &look.steps {
        let (step, generation) = match step {
            Progress::Earlier { generation, end } => (&**end, Some(*generation)),
            step => (step, backup.metadata.generation),
        };
        next.metadata.generation = generation;
        let status = status::next(&next, step, now);
        if next.status.as_ref() != Some(&status) {
            told.push((step, status.clone()));
            next.status = Some(status);
        }
    }
    next.metadata.generation = backup.metadata.generation;
    let mut status = status::schedule(&next, &look.scheduled, now);
    expiry::settle(&mut status, backup, now);
    status.cluster = plan::cluster(backup).unwrap_or_default();
    (status, told)
}

/// Writes the status if it changed, and tells of it. `None`: the object has changed meanwhile.
async fn record(context: &Context, backup: &EtcdBackup, look: &Look, jobs: &[Job]) -> Result<Option<EtcdBackup>> {
    let (status, told) = after(backup, look, Timestamp::now());
    if backup.status.as_ref() == Some(&status) || (backup.status.is_none() && status == EtcdBackupStatus::default()) {
        return Ok(Some(backup.clone()));
    }
    let written = writing::write_status(&context.session, backup, &status).await?;
    if written.is_some() {
        for (step, status) in told {
            context.metrics.ended(step, duration(step, jobs));
            announce::progress(context, backup, step, &status).await;
        }
    }
    Ok(written)
}

/// How long the run took whose agent ended with `step`; nothing for one that got no Job.
fn duration(step: &Progress, jobs: &[Job]) -> Option<Duration> {
    let (Progress::Stored { at, .. } | Progress::Retrying { at, .. } | Progress::GaveUp { at, .. }) = step else {
        return None;
    };
    let ended = |job: &&Job| {
        let end = job::finish(job).and_then(|finish| finish.at);
        end.is_some_and(|end| end.as_second() >= at.as_second())
    };
    let started = jobs.iter().filter(ended).filter_map(job::created).filter(|created| created <= at).max()?;
    Duration::try_from(at.duration_since(started)).ok()
}

/// Writes the sidecar's condition if it changed; `false` when the object has changed meanwhile.
async fn note(context: &Context, backup: &EtcdBackup, serving: &serving::Serving) -> Result<bool> {
    match (&backup.status, serving.status(backup, Timestamp::now())) {
        (Some(old), Some(next)) if next != *old => {
            Ok(writing::write_status(&context.session, backup, &next).await?.is_some())
        }
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, at};
    use super::*;

    #[test]
    fn a_rejection_does_not_undo_what_is_done() {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {}});
        let mut backup = samples::backup(spec);
        let no_bucket = plan(&backup, &samples::settings(false)).unwrap_err();
        assert_eq!(rejected(&backup, &no_bucket).steps.len(), 1);
        backup.status = Some(status::next(&backup, &Progress::Stored { report: samples::stored(), at: at(5) }, at(9)));
        backup.status.as_mut().unwrap().cluster = "etcd-a".to_owned();
        let look = rejected(&backup, &no_bucket);
        let (after, told) = after(&backup, &look, at(60));
        assert_eq!((Some(after), told.len()), (backup.status.clone(), 0));
        assert!(status::is_final(&backup));
    }

    #[test]
    fn a_run_of_an_earlier_spec_is_no_success_of_the_present_one() {
        let mut backup = samples::backup(serde_json::json!({"clusterName": "etcd-a", "storageType": "S3"}));
        backup.metadata.generation = Some(2);
        let end = Box::new(Progress::Stored { report: samples::stored(), at: at(5) });
        let look = Look {
            steps: vec![Progress::Earlier { generation: 1, end }],
            scheduled: Scheduled::Yes("next run at some time".to_owned()),
            again: None,
        };
        let (status, told) = after(&backup, &look, at(60));
        assert_eq!((status.observed_generation, told.len()), (Some(2), 1));
        assert!(status.last_success_date.is_some());
        backup.status = Some(status);
        assert_eq!(conditions::verdict(&backup), conditions::Verdict::Open);
    }

    #[test]
    fn the_cluster_is_named_for_every_dialect_if_it_has_a_usable_name() {
        let named = |label: Option<&str>, spec: serde_json::Value| {
            let mut backup = samples::backup(spec);
            backup.metadata.labels =
                label.map(|label| [(crate::api::etcdbackup::CLUSTER_LABEL.to_owned(), label.to_owned())].into());
            after(&backup, &Look::default(), at(0)).0.cluster
        };
        let endpoints = serde_json::json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3"});
        assert_eq!(named(None, serde_json::json!({"clusterName": "etcd-b", "storageType": "S3"})), "etcd-b");
        assert_eq!(named(Some("etcd-c"), serde_json::json!({"kubeadm": {}, "storageType": "S3"})), "etcd-c");
        assert_eq!(named(None, endpoints.clone()), "etcd-a-1");
        assert_eq!(named(Some("Not_A_Name"), endpoints), "");
    }

    #[test]
    fn failures_in_a_row_are_tried_again_ever_less_often_until_one_goes_well() {
        let failures = Failures::default();
        let waits = || failures.back_off("u".to_owned()).as_secs();
        assert_eq!([waits(), waits(), waits(), waits(), waits(), waits()], [5, 10, 20, 40, 60, 60]);
        failures.forget("u");
        assert_eq!(failures.back_off("u".to_owned()).as_secs(), 5);
    }
}
