//! One attempt at a backup is one Job.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::argv;
use super::plan::Plan;
use super::pod::{self, AGENT_APP, Role};
use crate::api::{EtcdBackup, names};

/// The label of a Job that names its EtcdBackup.
pub const UID_LABEL: &str = "etcd.database.coreos.com/backup-uid";

const GENERATION: &str = "etcd.database.coreos.com/generation";
const ATTEMPT: &str = "etcd.database.coreos.com/attempt";

/// What the Job gets beyond the agent's own time-out: to start, to abort its upload, and to report.
const GRACE: Duration = Duration::from_secs(60);

/// Which attempt at which generation of the spec a Job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub generation: i64,
    /// Counted from 1.
    pub number: u32,
}

impl Attempt {
    /// Reads it from a Job; `None` for a Job that is no attempt of ours.
    pub fn of(job: &Job) -> Option<Self> {
        let read = |key| job.annotations().get(key);
        Some(Self { generation: read(GENERATION)?.parse().ok()?, number: read(ATTEMPT)?.parse().ok()? })
    }
}

/// The Job of an attempt; the agent gets `timeout`. The name follows from the object and the attempt
/// alone, so two operators cannot double a run.
pub fn build(
    backup: &EtcdBackup,
    plan: &Plan,
    image: &str,
    attempt: Attempt,
    endpoints: &[String],
    timeout: Duration,
) -> Job {
    let uid = backup.uid().unwrap_or_default();
    let purpose = format!("backup/{}/{}", attempt.generation, attempt.number);
    let mut labels = pod::labels(AGENT_APP, &plan.cluster);
    labels.insert(UID_LABEL.to_owned(), uid.clone());
    let annotations = BTreeMap::from([
        (GENERATION.to_owned(), attempt.generation.to_string()),
        (ATTEMPT.to_owned(), attempt.number.to_string()),
    ]);
    let role = Role {
        app: AGENT_APP,
        argv: argv::backup(plan, endpoints, timeout),
        reaches_etcd: true,
        container: Container::default(),
        restart_policy: "Never",
    };
    Job {
        metadata: ObjectMeta {
            name: Some(names::deterministic(&plan.cluster, &uid, &purpose)),
            namespace: Some(plan.namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: backup.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..Default::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: i64::try_from((timeout + GRACE).as_secs()).ok(),
            template: pod::template(plan, image, role),
            ..Default::default()
        }),
        status: None,
    }
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    pub at: Option<Timestamp>,
    /// The Job controller's reason and message for a failure, such as `DeadlineExceeded`.
    pub failure: Option<(String, String)>,
}

/// How `job` ended, if it has.
pub fn finish(job: &Job) -> Option<Finish> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|found| found.status == "True" && matches!(found.type_.as_str(), "Complete" | "Failed"))?;
    let failure = (condition.type_ == "Failed")
        .then(|| (condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default()));
    Some(Finish { at: condition.last_transition_time.as_ref().map(|time| time.0), failure })
}

/// Whether `job` has ended and may stay for ever: its result is in the status by now, so a time to live can be set.
pub fn outlives_its_use(job: &Job) -> bool {
    finish(job).is_some() && job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_none())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_job_runs_once_and_belongs_to_its_backup() {
        let backup = samples::backup(serde_json::json!({"storageType": "S3"}));
        let attempt = Attempt { generation: 3, number: 2 };
        let plan = samples::full_plan();
        let job = build(&backup, &plan, "image:1", attempt, &["https://a:2379".to_owned()], Duration::from_secs(300));
        assert_eq!(Attempt::of(&job), Some(attempt));
        let other = Attempt { number: 3, ..attempt };
        assert_ne!(job.name_any(), build(&backup, &plan, "image:1", other, &[], Duration::ZERO).name_any());
        let json = serde_json::to_value(&job).unwrap();
        assert_eq!(json["spec"]["backoffLimit"], 0);
        assert_eq!(json["spec"]["activeDeadlineSeconds"], 360);
        assert_eq!(json["spec"]["ttlSecondsAfterFinished"], serde_json::Value::Null);
        assert_eq!(json["spec"]["template"]["spec"]["restartPolicy"], "Never");
        let owner = &json["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&"u-1".into(), &true.into()));
        assert_eq!(json["metadata"]["labels"][UID_LABEL], "u-1");
        assert_eq!(json["metadata"]["labels"]["etcd_cluster"], "etcd-a");
    }

    #[test]
    fn a_job_is_finished_by_its_conditions_only() {
        let job = |conditions: serde_json::Value| -> Job {
            serde_json::from_value(serde_json::json!({"metadata": {}, "status": {"conditions": conditions}})).unwrap()
        };
        assert_eq!(finish(&job(serde_json::json!([{"type": "FailureTarget", "status": "True"}]))), None);
        assert_eq!(finish(&job(serde_json::json!([{"type": "Failed", "status": "False"}]))), None);
        let failed =
            serde_json::json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m"}]);
        let want = Some(("DeadlineExceeded".to_owned(), "m".to_owned()));
        assert_eq!(finish(&job(failed)).unwrap().failure, want);
    }
}
