//! One look at one EtcdBackup: reads what is there, has the pure modules decide, and does it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::job::{self, Attempt};
use super::oneshot::{self, Clock, Newest, Step};
use super::outcome::{self, Start};
use super::plan::{Plan, plan};
use super::status::{self, Idle, Progress};
use super::trouble::Trouble;
use super::{Context, announce, endpoints, requests, serving};
use crate::api::EtcdBackup;
use crate::error::{Error, ErrorKind, Result};

/// How often a running Job's pod is looked at; the Job itself tells of its end.
const WATCH: Duration = Duration::from_secs(5);

/// How often a queued run asks for its turn.
const QUEUE: Duration = Duration::from_secs(15);

/// How soon a decision that was overtaken is made again.
const SOON: Duration = Duration::from_secs(1);

/// How often everything is looked at although nothing has changed.
const RESYNC: Duration = Duration::from_secs(600);

/// What came of one look.
struct Look {
    progress: Progress,
    /// When to look again, if not only after a change.
    again: Option<Duration>,
}

/// Brings one EtcdBackup forward.
///
/// # Errors
/// Those of the API server; [`after_error`] says when to try again.
pub async fn reconcile(guarded: Arc<DeserializeGuard<EtcdBackup>>, context: Arc<Context>) -> Result<Action> {
    let backup = match &guarded.0 {
        Ok(backup) if backup.meta().deletion_timestamp.is_none() => backup,
        Ok(_) => return Ok(Action::await_change()),
        Err(invalid) => {
            let (namespace, name) = (&invalid.metadata.namespace, &invalid.metadata.name);
            tracing::warn!(?namespace, ?name, error = %invalid.error, "an EtcdBackup cannot be read");
            return Ok(Action::await_change());
        }
    };
    let jobs = requests::jobs_of(&context.session, backup).await?;
    let (mut backup, mut again) = (backup.clone(), None);
    if !status::is_final(&backup) {
        let Some(look) = look(&context, &backup, &jobs).await? else { return Ok(Action::requeue(SOON)) };
        let Some(written) = record(&context, &backup, &look.progress).await? else { return Ok(Action::requeue(SOON)) };
        (backup, again) = (written, look.again);
    }
    requests::expire(&context.session, &jobs).await?;
    let serving = serving::keep(&context, &backup).await?;
    if !note(&context, &backup, &serving).await? {
        return Ok(Action::requeue(SOON));
    }
    let waits = [again, serving.look_again(), Some(RESYNC)];
    Ok(Action::requeue(waits.into_iter().flatten().min().unwrap_or(RESYNC)))
}

/// When to try again after an error.
pub fn after_error(guarded: Arc<DeserializeGuard<EtcdBackup>>, error: &Error, _: Arc<Context>) -> Action {
    let meta = guarded.meta();
    tracing::warn!(namespace = ?meta.namespace, name = ?meta.name, error = error.message(), "could not work on an EtcdBackup");
    let wait = if error.kind() == ErrorKind::Denied { 60 } else { 10 };
    Action::requeue(Duration::from_secs(wait))
}

/// Decides on the run of the present generation and starts it if it is to be started. `None` when the object
/// was overtaken by a change: the cache will tell.
async fn look(context: &Context, backup: &EtcdBackup, jobs: &[Job]) -> Result<Option<Look>> {
    let plan = match plan(backup, &context.settings) {
        Ok(plan) => plan,
        Err(rejection) => {
            let trouble = Trouble { reason: rejection.reason.to_owned(), message: rejection.message };
            return Ok(Some(Look { progress: Progress::Rejected(trouble), again: None }));
        }
    };
    let now = Timestamp::now();
    let generation = backup.metadata.generation.unwrap_or_default();
    let newest = newest(context, &plan, jobs, generation, now).await?;
    let told = backup.status.as_ref().and_then(|status| status.last_execution_date.as_ref()).map(|time| time.0);
    let step =
        oneshot::decide(newest, Clock { since: since(backup, jobs, generation), told, timeout: plan.timeout, now });
    let look = |progress, again| Some(Look { progress, again });
    Ok(match step {
        Step::Watch { number, job, start } => look(Progress::Running { number, job, start }, Some(WATCH)),
        Step::Retry { number, reason, silent, at, wait } => {
            look(Progress::Retrying { number, reason, silent, at }, Some(wait.max(SOON)))
        }
        Step::Succeed { report, at } => look(Progress::Stored { report, at }, None),
        Step::GiveUp { reason, silent, at } => look(Progress::GaveUp { reason, silent, at }, None),
        Step::Start { .. } if plan.suspended => look(Progress::Idle(Idle::Suspended), None),
        // two agents of one object at a time would be one too many
        Step::Start { .. } if jobs.iter().any(|job| job::finish(job).is_none()) => {
            look(Progress::Idle(Idle::Queued), Some(QUEUE))
        }
        Step::Start { number, timeout } => {
            start(context, backup, &plan, Attempt { generation, number }, timeout, now).await?
        }
    })
}

/// When the work on this generation began: what the status says or the oldest Job, whichever is earlier.
fn since(backup: &EtcdBackup, jobs: &[Job], generation: i64) -> Option<Timestamp> {
    let of_generation = jobs.iter().filter(|job| Attempt::of(job).is_some_and(|found| found.generation == generation));
    let oldest = of_generation.filter_map(|job| job.creation_timestamp().map(|time| time.0)).min();
    status::since(backup).into_iter().chain(oldest).min()
}

/// The newest attempt at this generation, with what became of it.
async fn newest(
    context: &Context,
    plan: &Plan,
    jobs: &[Job],
    generation: i64,
    now: Timestamp,
) -> Result<Option<Newest>> {
    let attempts = jobs.iter().filter_map(|job| Some((Attempt::of(job)?, job)));
    let of_generation = attempts.filter(|(attempt, _)| attempt.generation == generation);
    let Some((attempt, job)) = of_generation.max_by_key(|(attempt, _)| attempt.number) else { return Ok(None) };
    let session = &context.session;
    let pods = requests::pods_of(session, job).await?;
    let (mut pod_events, mut job_events) = (Vec::new(), Vec::new());
    if job::finish(job).is_none() {
        pod_events = requests::events_of(session, &plan.namespace, &pods).await?;
        if pods.is_empty() {
            job_events = requests::events_of(session, &plan.namespace, std::slice::from_ref(job)).await?;
        }
    }
    let outcome = outcome::read(plan, job, &pods, &pod_events, &job_events, now);
    Ok(Some(Newest { number: attempt.number, job: job.name_any(), outcome }))
}

async fn start(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    attempt: Attempt,
    timeout: Duration,
    now: Timestamp,
) -> Result<Option<Look>> {
    let urls = match endpoints::find(&context.session, plan).await? {
        Ok(urls) => urls,
        Err(trouble) => return Ok(Some(hindered(backup, plan, trouble, now))),
    };
    let job = job::build(backup, plan, &context.settings.image, attempt, &urls, timeout);
    // counted and created by one at a time, or several would take the last place
    let _turn = context.turn.lock().await;
    if requests::unfinished(&context.session, &context.jobs).await? >= usize::from(context.settings.max_runs.get()) {
        return Ok(Some(Look { progress: Progress::Idle(Idle::Queued), again: Some(QUEUE) }));
    }
    // the cache may be behind, and a backup that is final must never run again
    match requests::reread(&context.session, backup).await? {
        Some(fresh) if fresh.metadata.generation == backup.metadata.generation && !status::is_final(&fresh) => {}
        _ => return Ok(None),
    }
    match requests::create(&context.session, &job).await {
        Ok(created) => {
            if created {
                announce::started(context, backup, &job, attempt.number).await;
            }
            // what hindered the start is over, whatever the pod meets
            let progress = Progress::Running { number: attempt.number, job: job.name_any(), start: Start::Over };
            Ok(Some(Look { progress, again: Some(WATCH) }))
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(error),
        Err(error) => {
            let trouble = Trouble { reason: "JobRefused".to_owned(), message: error.message().to_owned() };
            Ok(Some(hindered(backup, plan, trouble, now)))
        }
    }
}

/// Nothing could be started: tried again, until the time is used up.
fn hindered(backup: &EtcdBackup, plan: &Plan, trouble: Trouble, now: Timestamp) -> Look {
    let since = status::since(backup);
    if oneshot::left(since, plan.timeout, now).is_zero() {
        let progress = Progress::GaveUp { reason: trouble.text(), silent: false, at: now };
        return Look { progress, again: None };
    }
    Look { progress: Progress::Hindered(trouble), again: Some(oneshot::look_again(since, now)) }
}

/// Writes the status if it changed, and tells of it. `None`: the object has changed meanwhile.
async fn record(context: &Context, backup: &EtcdBackup, progress: &Progress) -> Result<Option<EtcdBackup>> {
    let next = status::next(backup, progress, Timestamp::now());
    if backup.status.as_ref() == Some(&next) {
        return Ok(Some(backup.clone()));
    }
    let written = requests::write_status(&context.session, backup, &next).await?;
    if written.is_some() {
        announce::progress(context, backup, progress, &next).await;
    }
    Ok(written)
}

/// Writes the sidecar's condition if it changed; `false` when the object has changed meanwhile.
async fn note(context: &Context, backup: &EtcdBackup, serving: &serving::Serving) -> Result<bool> {
    let Some(old) = &backup.status else { return Ok(true) };
    let mut next = old.clone();
    match serving.condition(backup.metadata.generation, Timestamp::now()) {
        Some(condition) => status::put(&mut next.conditions, condition, false),
        None => next.conditions.retain(|found| found.type_ != crate::api::conditions::SIDECAR_READY),
    }
    if next == *old {
        return Ok(true);
    }
    Ok(requests::write_status(&context.session, backup, &next).await?.is_some())
}
