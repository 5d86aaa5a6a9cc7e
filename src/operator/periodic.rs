//! An EtcdBackup with a schedule or an interval: reads how its runs ended, and sees to the next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;

use super::argv::Run;
use super::claim::{self, Hurdle};
use super::outcome::{Outcome, Start};
use super::plan::{Plan, Trigger};
use super::reconcile::{Look, QUEUE, SOON, WATCH};
use super::runs::{self, Started};
use super::status::{self, Progress, Scheduled};
use super::trouble::{self, Trouble};
use super::{Context, cronjob, endpoints, job, requests, schedule};
use crate::api::EtcdBackup;
use crate::api::cron::Timetable;
use crate::error::Result;

/// How long before a run etcd is looked for once more where a CronJob has no lasting address of it.
const BEFORE: Duration = Duration::from_secs(60);

/// How often it is looked for if the time of the next run is not known.
const REFRESH: Duration = Duration::from_secs(300);

/// How soon after its time a run that Kubernetes is to start must be there.
const PUNCTUAL: Duration = Duration::from_secs(20);

/// Reads the ends of runs that the status does not tell yet, and sees to the next run. `None` when the object was
/// overtaken by a change.
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
    let mut look = Look { steps: ended(context, backup, plan, jobs, now).await?, ..Look::default() };
    if let Some(job) = jobs.iter().filter(|job| job::finish(job).is_none()).max_by_key(|job| job::created(job)) {
        let outcome = runs::outcome(context, plan, job, now).await?;
        running(backup, job, outcome, &mut look);
    }
    match &plan.trigger {
        Trigger::Once => Ok(Some(look)),
        Trigger::Every(every) => interval(context, backup, plan, jobs, *every, look, now).await,
        Trigger::Cron { schedule, time_zone } => {
            let cron = Timetable::of(schedule, time_zone);
            by_cron_job(context, backup, plan, jobs, cron, look, now).await.map(Some)
        }
    }
}

/// The ends of runs that the status does not tell, oldest first.
async fn ended(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    jobs: &[Job],
    now: Timestamp,
) -> Result<Vec<Progress>> {
    let mut steps = Vec::new();
    for job in jobs.iter().filter(|job| job::finish(job).is_some() && !job::recorded(job)) {
        match runs::outcome(context, plan, job, now).await? {
            Outcome::Stored { report, at } => steps.push((at, end_of(backup, job, Progress::Stored { report, at }))),
            Outcome::Failed { reason, at, silent } => {
                steps.push((at, end_of(backup, job, Progress::GaveUp { reason, silent, at })));
            }
            Outcome::Running(_) => {}
        }
    }
    let told = schedule::past(status::told(backup), now).map_or(i64::MIN, |told| told.as_second());
    steps.retain(|(at, _)| at.as_second() >= told);
    steps.sort_by_key(|(at, _)| *at);
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// The end of the run of `job`, marked if it is one of an earlier spec: what that stored is not what the present one
/// asks for.
fn end_of(backup: &EtcdBackup, job: &Job, end: Progress) -> Progress {
    match job::generation(job) {
        Some(generation) if Some(generation) != backup.metadata.generation => {
            Progress::Earlier { generation, end: Box::new(end) }
        }
        _ => end,
    }
}

/// A run that goes well leaves what the status tells of the last one; one that does not start is told at once.
fn running(backup: &EtcdBackup, job: &Job, outcome: Outcome, look: &mut Look) {
    let Outcome::Running(start) = outcome else { return };
    if start != Start::Over {
        look.again = Some(WATCH);
    }
    let nothing_told = look.steps.is_empty() && status::is_open(backup);
    if matches!(start, Start::Hindered(_)) || nothing_told {
        look.steps.push(Progress::Running { number: 1, job: job.name_any(), start });
    }
}

async fn interval(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    jobs: &[Job],
    every: Duration,
    mut look: Look,
    now: Timestamp,
) -> Result<Option<Look>> {
    let due = schedule::due(backup, jobs, status::told(backup), every, now);
    let runs = jobs.iter().any(|job| job::finish(job).is_none());
    look.scheduled = Scheduled::Yes(if runs && due <= now {
        "the next run is due when the running one has ended".to_owned()
    } else {
        next_run(due)
    });
    if plan.suspended {
        look.scheduled = Scheduled::suspended();
    } else if due > now {
        look.again_in(until(due, now));
    } else if !runs {
        return start(context, backup, plan, (due, every), look, now).await;
    }
    Ok(Some(look))
}

async fn start(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    (due, every): (Timestamp, Duration),
    mut look: Look,
    now: Timestamp,
) -> Result<Option<Look>> {
    let minute = schedule::minute(due);
    let make = |run: &Run<'_>| job::periodic(backup, plan, &context.settings.image, minute, run);
    let still = |fresh: &EtcdBackup| status::told(fresh) == status::told(backup);
    match runs::start(context, backup, plan, plan.timeout, make, still).await? {
        Started::Made(job) => {
            let every = SignedDuration::try_from(every.max(schedule::SHORTEST)).unwrap_or(SignedDuration::MAX);
            look.scheduled = Scheduled::Yes(next_run(now.saturating_add(every).unwrap_or(Timestamp::MAX)));
            if look.steps.is_empty() && status::is_open(backup) {
                look.steps.push(Progress::Running { number: 1, job: job.name_any(), start: Start::Over });
            }
            look.again_in(WATCH);
        }
        Started::Queued => {
            look.scheduled = Scheduled::Yes("due now; waits for another run to end".to_owned());
            look.again_in(QUEUE);
        }
        Started::Overtaken => return Ok(None),
        Started::Hindered(trouble) => {
            let (progress, again) = runs::hindered(backup, plan, trouble, now);
            look.steps.push(progress);
            look.again_in(again.unwrap_or(SOON));
        }
        Started::Rejected(trouble) => {
            look.scheduled = Scheduled::Stopped(trouble.clone());
            look.steps.push(Progress::Rejected(trouble));
            look.again_in(QUEUE);
        }
    }
    Ok(Some(look))
}

async fn by_cron_job(
    context: &Context,
    backup: &EtcdBackup,
    plan: &Plan,
    jobs: &[Job],
    cron: Option<Timetable>,
    mut look: Look,
    now: Timestamp,
) -> Result<Look> {
    // an etcd that is not there yet is expected under its Service's name, and the run tells what it met
    let found = endpoints::find(&context.session, plan).await?.unwrap_or_else(|_| endpoints::expected(plan));
    let stale_after = runs::stale_after(context, plan);
    let (one_node, missed) = match claim::prepare(&context.session, plan).await? {
        Ok(one_node) => (one_node, None),
        // where nothing is known of a claim its pods are kept together
        Err(Hurdle::Passing(trouble)) => (true, Some(trouble)),
        Err(Hurdle::Lasting(trouble)) => {
            look.again_in(QUEUE);
            return stop(context, backup, jobs, trouble, look).await;
        }
    };
    let run = Run { endpoints: &found.urls, timeout: plan.timeout, stale_after, one_node };
    let wanted = schedule::cron_job(backup, plan, &context.settings.image, &run, found.fleeting);
    let Some(wanted) = wanted else { return Ok(look) };
    let next = cron.as_ref().and_then(|cron| cron.next(now));
    let applied = match (&cron, next) {
        (Some(_), None) => Err(never(plan)),
        _ => cronjob::apply(&context.session, &wanted).await?,
    };
    let applied = match applied {
        Ok(applied) => applied,
        Err(trouble) => return stop(context, backup, jobs, trouble, look).await,
    };
    cronjob::retire(&context.session, backup, jobs, Some(&applied.name_any())).await?;
    if plan.suspended {
        look.scheduled = Scheduled::suspended();
        return Ok(look);
    }
    look.scheduled = Scheduled::Yes(next.map_or_else(|| by_schedule(plan), next_run));
    look.again = look.again.into_iter().chain(when_to_look(next, found.fleeting, now)).min();
    look.steps.extend(missed.map(Progress::Hindered));
    if overdue(&applied, cron.as_ref(), now)
        && let Some(trouble) = late(context, &applied).await?
    {
        look.steps.push(Progress::Hindered(trouble));
    }
    Ok(look)
}

/// The schedule that was valid once must not go on in the place of one that is not.
async fn stop(context: &Context, backup: &EtcdBackup, jobs: &[Job], trouble: Trouble, mut look: Look) -> Result<Look> {
    cronjob::retire(&context.session, backup, jobs, None).await?;
    look.scheduled = Scheduled::Stopped(trouble.clone());
    look.steps.push(Progress::Rejected(trouble));
    Ok(look)
}

/// What there is to tell between two runs of a plan that is periodic, by what is known of its Jobs and its CronJob.
/// `None` when something is to be done now.
pub fn between(
    backup: &EtcdBackup,
    plan: &Plan,
    jobs: &[Job],
    cron_job: Option<&CronJob>,
    now: Timestamp,
) -> Option<Look> {
    let scheduled = |scheduled, again| Some(Look { scheduled, again, ..Look::default() });
    if plan.suspended {
        return scheduled(Scheduled::suspended(), None);
    }
    match &plan.trigger {
        Trigger::Once => None,
        Trigger::Every(every) => {
            let due = schedule::due(backup, jobs, status::told(backup), *every, now);
            if due > now { scheduled(Scheduled::Yes(next_run(due)), Some(until(due, now))) } else { None }
        }
        Trigger::Cron { schedule, time_zone } => {
            let cron = Timetable::of(schedule, time_zone);
            let next = cron.as_ref().and_then(|cron| cron.next(now));
            let cron_job = cron_job?;
            let fleeting = schedule::endpoints_of(cron_job).fleeting;
            // the time to look for etcd once more
            let look = fleeting && next.is_none_or(|next| until(next, now) <= BEFORE);
            if look || overdue(cron_job, cron.as_ref(), now) {
                return None;
            }
            let told = Scheduled::Yes(next.map_or_else(|| by_schedule(plan), next_run));
            scheduled(told, when_to_look(next, fleeting, now))
        }
    }
}

/// After the next run is due, and once more before it if etcd may have another address by then.
fn when_to_look(next: Option<Timestamp>, fleeting: bool, now: Timestamp) -> Option<Duration> {
    let Some(next) = next else { return fleeting.then_some(REFRESH) };
    let due = until(next, now);
    let before = due.saturating_sub(BEFORE);
    Some(if fleeting && !before.is_zero() { before } else { due + PUNCTUAL })
}

/// Whether Kubernetes should have made the Job of a run by now.
fn overdue(cron_job: &CronJob, cron: Option<&Timetable>, now: Timestamp) -> bool {
    let status = cron_job.status.as_ref();
    let running = status.and_then(|status| status.active.as_ref()).is_some_and(|active| !active.is_empty());
    let last = status.and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    let since = last.or_else(|| cron_job.creation_timestamp().map(|time| time.0));
    let due = since.zip(cron).and_then(|(since, cron)| cron.next(since));
    !running && due.is_some_and(|due| now.duration_since(due) >= SignedDuration::from_secs(15))
}

/// Why Kubernetes could not make the Job of a run that is due.
async fn late(context: &Context, cron_job: &CronJob) -> Result<Option<Trouble>> {
    let namespace = cron_job.namespace().unwrap_or_default();
    let events = requests::events_of(&context.session, &namespace, std::slice::from_ref(cron_job)).await?;
    Ok(trouble::of_owner(&events))
}

fn next_run(at: Timestamp) -> String {
    format!("next run at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

/// Kubernetes takes a schedule such as 31 February, and never runs it.
fn never(plan: &Plan) -> Trouble {
    let schedule = match &plan.trigger {
        Trigger::Cron { schedule, .. } => schedule.as_str(),
        _ => "",
    };
    Trouble::new("InvalidSchedule", format!("spec.backupPolicy.schedule: {schedule:?} names no day that ever comes"))
}

fn by_schedule(plan: &Plan) -> String {
    match &plan.trigger {
        Trigger::Cron { schedule, time_zone } => format!("next run by {schedule:?} in time zone {time_zone}"),
        _ => String::new(),
    }
}

fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default().max(SOON)
}

#[cfg(test)]
mod tests {
    use super::super::samples::at;
    use super::*;

    #[test]
    fn etcd_is_looked_for_once_more_before_a_run_only_where_its_address_does_not_last() {
        let hour = at(3600);
        assert_eq!(when_to_look(Some(hour), false, at(0)), Some(Duration::from_secs(3620)));
        assert_eq!(when_to_look(Some(hour), true, at(0)), Some(Duration::from_secs(3540)));
        assert_eq!(when_to_look(Some(hour), true, at(3540)), Some(Duration::from_secs(80)));
        assert_eq!(when_to_look(None, false, at(0)), None);
        assert_eq!(when_to_look(None, true, at(0)), Some(REFRESH));
    }
}
