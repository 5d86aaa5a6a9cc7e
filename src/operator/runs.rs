//! What one-shot and periodic backups share: looking at a Job, and making one.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::argv::Run;
use super::claim::{self, Hurdle};
use super::outcome::{self, Outcome};
use super::plan::{self, DEFAULT_TIMEOUT, Plan};
use super::status::Progress;
use super::trouble::Trouble;
use super::{Context, announce, endpoints, job, oneshot, requests, status};
use crate::api::EtcdBackup;
use crate::error::{ErrorKind, Result};

/// From when on an upload that nobody completed is nobody's, however short the backups are.
const STALE: Duration = Duration::from_secs(86400);

/// What came of the wish to start a run.
pub enum Started {
    /// The Job is there, ours or another operator's.
    Made(Box<Job>),
    /// `--max-concurrent-runs` are running; the end of one wakes us.
    Queued,
    /// The object has changed since it was read.
    Overtaken,
    /// Something keeps the run from starting.
    Hindered(Trouble),
    /// The object names what no run can use.
    Rejected(Trouble),
}

/// Makes the Job that `make` describes, if there is a place for it and `still` holds for the object as it is now.
///
/// # Errors
/// Those of the API server, but for a Job that it refuses: that is trouble.
pub async fn start(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    timeout: Duration,
    make: impl FnOnce(&Run<'_>) -> Job,
    still: impl FnOnce(&EtcdBackup) -> bool,
) -> Result<Started> {
    let found = match endpoints::find(&context.session, plan).await? {
        Ok(found) => found,
        Err(trouble) => return Ok(Started::Hindered(trouble)),
    };
    let one_node = match claim::prepare(&context.session, plan).await? {
        Ok(one_node) => one_node,
        Err(Hurdle::Passing(trouble)) => return Ok(Started::Hindered(trouble)),
        Err(Hurdle::Lasting(trouble)) => return Ok(Started::Rejected(trouble)),
    };
    let job = make(&Run { endpoints: &found.urls, timeout, stale_after: stale_after(context, plan), one_node });
    // counted and created by one at a time, or several would take the last place
    let _turn = context.turn.lock().await;
    context.queue.join(backup);
    if requests::unfinished(&context.session, &context.jobs).await? >= usize::from(context.settings.max_runs.get()) {
        return Ok(Started::Queued);
    }
    context.queue.leave(backup);
    // the cache may be behind, and what is done must never run again
    match requests::reread(&context.session, backup).await? {
        Some(fresh) if fresh.metadata.generation == backup.metadata.generation && still(&fresh) => {}
        _ => return Ok(Started::Overtaken),
    }
    match requests::create(&context.session, &job).await {
        Ok(created) => {
            if created {
                announce::started(context, backup, &job).await;
            }
            Ok(Started::Made(Box::new(job)))
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(error),
        Err(error) => Ok(Started::Hindered(Trouble::new("JobRefused", error.message()))),
    }
}

/// Twice the longest backup of anybody with this bucket or claim: its upload may still be going on.
pub fn stale_after(context: &Context, plan: &Plan) -> Duration {
    let (state, store) = (context.backups.state(), plan.store.shown());
    let others = state.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    let timeouts = others.filter_map(|backup| {
        let seconds = u64::try_from(backup.spec.backup_policy.as_ref()?.timeout_in_second?).ok()?;
        let matters = seconds > STALE.as_secs() / 2;
        let same = || plan::named(backup, &context.settings).as_deref() == Some(store.as_str());
        (matters && same()).then(|| Duration::from_secs(seconds.min(plan::LONGEST_TIMEOUT)))
    });
    let longest = timeouts.max().unwrap_or(DEFAULT_TIMEOUT).max(plan.timeout);
    longest.saturating_mul(2).max(STALE)
}

/// What became of `job`, from its pods and, as long as it is not finished, from the events.
///
/// # Errors
/// Those of the API server.
pub async fn outcome(context: &Context, plan: &Plan, job: &Job, now: Timestamp) -> Result<Outcome> {
    let session = &context.session;
    let pods = requests::pods_of(session, job).await?;
    let (mut pod_events, mut job_events) = (Vec::new(), Vec::new());
    if job::finish(job).is_none() {
        pod_events = requests::events_of(session, &plan.namespace, &pods).await?;
        if pods.is_empty() {
            job_events = requests::events_of(session, &plan.namespace, std::slice::from_ref(job)).await?;
        }
    }
    Ok(outcome::read(plan, job, &pods, &pod_events, &job_events, now))
}

/// Nothing could be started: tried again after a while, until the time is used up.
pub fn hindered(backup: &EtcdBackup, plan: &Plan, trouble: Trouble, now: Timestamp) -> (Progress, Option<Duration>) {
    let since = status::since(backup);
    if oneshot::left(since, plan.timeout, now).is_zero() {
        return (Progress::GaveUp { reason: trouble.text(), silent: false, at: now }, None);
    }
    (Progress::Hindered(trouble), Some(oneshot::look_again(since, now)))
}
