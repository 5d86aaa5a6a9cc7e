//! An EtcdBackup that asks for one backup: reads its attempts and starts the next.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::Context;
use super::argv::Run;
use super::job::{self, Attempt};
use super::oneshot::{self, Clock, Newest, Step};
use super::outcome::Start;
use super::plan::Plan;
use super::reconcile::{Look, QUEUE, SOON, WATCH};
use super::runs::{self, Started};
use super::status::{self, Idle, Progress};
use crate::api::EtcdBackup;
use crate::error::Result;

/// Decides on the run of the present generation and starts it if it is to be started. `None` when the object
/// was overtaken by a change: the cache will tell.
///
/// # Errors
/// Those of the API server.
pub async fn look(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    jobs: &[Job],
    now: Timestamp,
) -> Result<Option<Look>> {
    let generation = backup.metadata.generation.unwrap_or_default();
    let newest = newest(context, plan, jobs, generation, now).await?;
    let clock =
        Clock { since: since(backup, jobs, generation), told: status::told(backup), timeout: plan.timeout, now };
    let look = |progress, again| Some(Look::once(progress, again));
    Ok(match oneshot::decide(newest, clock) {
        Step::Watch { number, job, start } => {
            // once its container runs the Job itself tells of its end
            let again = (start != Start::Over).then_some(WATCH);
            look(Progress::Running { number, job, start }, again)
        }
        Step::Retry { number, reason, silent, at, wait } => {
            look(Progress::Retrying { number, reason, silent, at }, Some(wait.max(SOON)))
        }
        Step::Succeed { report, at } => look(Progress::Stored { report, at }, None),
        Step::GiveUp { reason, silent, at } => look(Progress::GaveUp { reason, silent, at }, None),
        Step::Start { .. } if plan.suspended => look(Progress::Idle(Idle::Suspended), None),
        // two agents of one object at a time would be one too many
        Step::Start { .. } if jobs.iter().any(|job| job::finish(job).is_none()) => {
            look(Progress::Idle(Idle::Queued), None)
        }
        Step::Start { number, timeout } => {
            start(context, backup, plan, Attempt { generation, number }, timeout, now).await?
        }
    })
}

/// When the work on this generation began: what the status says or the oldest Job, whichever is earlier.
fn since(backup: &EtcdBackup, jobs: &[Job], generation: i64) -> Option<Timestamp> {
    let of_generation = jobs.iter().filter(|job| Attempt::of(job).is_some_and(|found| found.generation == generation));
    let oldest = of_generation.filter_map(job::created).min();
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
    let outcome = runs::outcome(context, plan, job, now).await?;
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
    let make = |run: &Run<'_>| job::build(backup, plan, &context.settings.image, attempt, run);
    let still = |fresh: &EtcdBackup| !status::is_final(fresh);
    Ok(match runs::start(context, backup, plan, timeout, make, still).await? {
        Started::Made(job) => {
            // what hindered the start is over, whatever the pod meets
            let progress = Progress::Running { number: attempt.number, job: job.name_any(), start: Start::Over };
            Some(Look::once(progress, Some(WATCH)))
        }
        Started::Queued => Some(Look::once(Progress::Idle(Idle::Queued), Some(QUEUE))),
        Started::Overtaken => None,
        // a claim may be replaced, and nobody tells of that
        Started::Rejected(trouble) => Some(Look::once(Progress::Rejected(trouble), Some(QUEUE))),
        Started::Hindered(trouble) => {
            let (progress, again) = runs::hindered(backup, plan, trouble, now);
            Some(Look::once(progress, again))
        }
    })
}
