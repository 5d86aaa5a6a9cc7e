//! When the runs of a periodic EtcdBackup are due, and the CronJob that starts those of a schedule: pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobTemplateSpec};
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::argv::{self, Run};
use super::endpoints::Found;
use super::job;
use super::plan::{Plan, Trigger};
use super::pod::{self, applied};
use super::status::SKEW;
use crate::api::{EtcdBackup, names};

/// How late a run may start: a window that was missed is made up for once, for as long as a day.
const STARTING_DEADLINE: i64 = 86400;

/// How many finished Jobs of each kind stay, so that their results outlive an outage of the operator.
const HISTORY: i32 = 10;

/// The shortest interval: the minute is what tells the names of two runs apart.
pub const SHORTEST: Duration = Duration::from_secs(60);

/// The name of the CronJob of `backup`.
pub fn name(backup: &EtcdBackup, cluster: &str) -> String {
    names::deterministic(cluster, &backup.uid().unwrap_or_default(), "schedule")
}

/// The annotation of a CronJob whose addresses of etcd do not last.
const FLEETING: &str = "etcd.database.coreos.com/fleeting-endpoints";

fn pod_of(cron_job: &CronJob) -> Option<&PodSpec> {
    cron_job.spec.as_ref()?.job_template.spec.as_ref()?.template.spec.as_ref()
}

/// Whether the pods of a CronJob's runs are kept on the node of the others with their claim.
pub fn is_on_one_node(cron_job: &CronJob) -> bool {
    pod::is_on_one_node(pod_of(cron_job))
}

/// The client URLs that a CronJob's runs get, and whether they do not last.
pub fn endpoints_of(cron_job: &CronJob) -> Found {
    let argv = pod_of(cron_job).and_then(|spec| spec.containers.first()?.args.clone()).unwrap_or_default();
    Found { urls: argv::endpoints(&argv), fleeting: cron_job.annotations().contains_key(FLEETING) }
}

/// The CronJob, for server-side apply; `None` for what has no cron schedule.
pub fn cron_job(backup: &EtcdBackup, plan: &Plan, image: &str, run: &Run<'_>, fleeting: bool) -> Option<CronJob> {
    let Trigger::Cron { schedule, time_zone } = &plan.trigger else { return None };
    let labels = job::labels(backup, plan);
    let mut cron_job = CronJob {
        metadata: ObjectMeta {
            name: Some(name(backup, &plan.cluster)),
            namespace: Some(plan.namespace.clone()),
            labels: Some(labels.clone()),
            owner_references: backup.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..Default::default()
        },
        spec: Some(CronJobSpec {
            schedule: schedule.clone(),
            time_zone: Some(time_zone.clone()),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(STARTING_DEADLINE),
            successful_jobs_history_limit: Some(HISTORY),
            failed_jobs_history_limit: Some(HISTORY),
            suspend: Some(plan.suspended),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(job::annotations(backup)),
                    ..Default::default()
                }),
                spec: Some(job::periodic_spec(plan, image, run)),
            },
        }),
        status: None,
    };
    cron_job.metadata.annotations = fleeting.then(|| [(FLEETING.to_owned(), "true".to_owned())].into());
    cron_job.metadata.annotations = Some(applied(&cron_job));
    Some(cron_job)
}

/// `time`, if it is not one that a wrong clock wrote: from the future nothing can be told.
pub fn past(time: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    time.filter(|time| now.duration_since(*time) >= -SKEW)
}

/// When the next run of an interval is due: the start of the last plus the interval, and at once for the first.
/// `told` is up to when the status tells how runs ended; a run that got no Job is known by it alone. What a clock
/// wrote that was ahead for a while does not count, or no run would be due until that time.
pub fn due(backup: &EtcdBackup, jobs: &[Job], told: Option<Timestamp>, every: Duration, now: Timestamp) -> Timestamp {
    let wrong = told.is_some() || !jobs.is_empty();
    let told = past(told, now);
    let newest =
        job::newest(jobs.iter().filter(|job| job::created(job).is_none_or(|at| past(Some(at), now).is_some())));
    let started = newest.and_then(job::created);
    let ended = newest.and_then(job::finish).and_then(|finish| finish.at);
    let last = match (started, told) {
        (Some(started), Some(told)) if told > ended.unwrap_or(Timestamp::MAX) => started.max(told),
        (Some(started), _) => started,
        (None, told) => match told {
            Some(told) => told,
            None if wrong => return now,
            None => return backup.creation_timestamp().map_or(now, |time| time.0.min(now)),
        },
    };
    let every = SignedDuration::try_from(every.max(SHORTEST)).unwrap_or(SignedDuration::MAX);
    last.saturating_add(every).unwrap_or(Timestamp::MAX)
}

/// The number of the minute in which a run is due: both of two operators name its Job by it.
pub fn minute(due: Timestamp) -> i64 {
    due.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::super::plan::UTC;
    use super::super::samples::{self, at};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn object() -> EtcdBackup {
        samples::backup(serde_json::json!({"storageType": "S3"}))
    }

    fn job(created: i64, ended: Option<i64>) -> Job {
        let conditions: Vec<serde_json::Value> = ended
            .map(|ended| {
                serde_json::json!({"type": "Complete", "status": "True", "lastTransitionTime": at(ended).to_string()})
            })
            .into_iter()
            .collect();
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": created.to_string(), "creationTimestamp": at(created).to_string()},
            "status": {"conditions": conditions}
        }))
        .unwrap()
    }

    #[test]
    fn the_first_run_is_due_at_once_and_the_next_one_interval_after_the_last_start() {
        assert_eq!(due(&object(), &[], None, HOUR, at(9000)), at(0));
        let jobs = [job(100, Some(130)), job(7300, Some(7320)), job(3700, Some(3720))];
        assert_eq!(due(&object(), &jobs, Some(at(7319)), HOUR, at(9000)), at(7300 + 3600));
        assert_eq!(due(&object(), &[job(100, None)], Some(at(50)), HOUR, at(9000)), at(3700));
    }

    #[test]
    fn without_jobs_the_status_tells() {
        assert_eq!(due(&object(), &[], Some(at(130)), HOUR, at(9000)), at(3730));
        // the run of the second hour found no etcd and got no Job
        assert_eq!(due(&object(), &[job(100, Some(130))], Some(at(4000)), HOUR, at(9000)), at(7600));
    }

    #[test]
    fn what_a_clock_wrote_that_was_ahead_delays_no_run() {
        let (year, now) = (365 * 86400, at(9000));
        let told = Some(at(year));
        assert_eq!(due(&object(), &[job(8000, Some(8030))], told, HOUR, now), at(8000 + 3600));
        assert_eq!(due(&object(), &[], told, HOUR, now), now);
        assert_eq!(due(&object(), &[job(year, Some(year)), job(8000, Some(8030))], told, HOUR, now), at(11600));
        // and one that is behind does not delay the first run
        assert_eq!(due(&object(), &[], None, HOUR, at(-60)), at(-60));
    }

    #[test]
    fn two_runs_never_share_a_minute() {
        let second = Duration::from_secs(1);
        let first = due(&object(), &[], None, second, at(9000));
        let next = due(&object(), &[job(first.duration_since(at(0)).as_secs(), None)], None, second, at(9000));
        assert!(minute(next) > minute(first));
    }

    #[test]
    fn the_cron_job_makes_up_for_a_missed_run_once_and_keeps_results() {
        let mut plan = samples::full_plan();
        plan.trigger = Trigger::Cron { schedule: "0 3 * * *".to_owned(), time_zone: UTC.to_owned() };
        plan.suspended = true;
        let urls = ["https://a:2379".to_owned()];
        let run = Run { endpoints: &urls, timeout: plan.timeout, stale_after: HOUR, one_node: false };
        let cron = cron_job(&object(), &plan, "image:1", &run, true).unwrap();
        assert!(cron.name_any().len() <= 52, "{}", cron.name_any());
        let json = serde_json::to_value(&cron).unwrap();
        let spec = &json["spec"];
        assert_eq!((&spec["schedule"], &spec["timeZone"]), (&"0 3 * * *".into(), &"Etc/UTC".into()));
        assert_eq!((&spec["concurrencyPolicy"], &spec["suspend"]), (&"Forbid".into(), &true.into()));
        assert_eq!(spec["startingDeadlineSeconds"], 86400);
        assert_eq!((&spec["successfulJobsHistoryLimit"], &spec["failedJobsHistoryLimit"]), (&10.into(), &10.into()));
        let template = &spec["jobTemplate"];
        assert_eq!(template["metadata"]["labels"][job::UID_LABEL], "u-1");
        assert_eq!(template["metadata"]["annotations"]["etcd.database.coreos.com/backup"], "etcd-a-1");
        assert_eq!(template["spec"]["ttlSecondsAfterFinished"], serde_json::Value::Null);
        assert_eq!(template["spec"]["backoffLimit"], 3);
        assert_eq!(json["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(endpoints_of(&cron), Found { urls: urls.to_vec(), fleeting: true });
        assert_eq!(cron_job(&object(), &samples::full_plan(), "image:1", &run, true), None);
    }
}
