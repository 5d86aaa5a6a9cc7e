//! A run is one Job; a backup that is asked for once gets one for each attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::argv::{self, Run};
use super::plan::Plan;
use super::pod::{self, AGENT_APP, Role};
use super::queue::Reference;
use crate::api::{EtcdBackup, names};

/// The label of a Job that names its EtcdBackup.
pub const UID_LABEL: &str = "etcd.database.coreos.com/backup-uid";

/// The annotation of a Job that names its EtcdBackup: a CronJob is what owns some.
const BACKUP: &str = "etcd.database.coreos.com/backup";

/// The annotation of a finished Job whose result is in the status.
const RECORDED: &str = "etcd.database.coreos.com/recorded";

/// How long a finished Job stays once its result is in the status, in seconds.
const TIME_TO_LIVE: i32 = 3600;

/// How often Kubernetes starts a periodic run's pod again when it fails, within the Job's deadline.
const RETRIES: i32 = 3;

/// Exit codes after which another pod would fail alike: usage, and credentials or permission.
const HOPELESS: [i32; 2] = [2, 5];

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

/// The Job of an attempt. The name follows from the object and the attempt alone, so two operators cannot
/// double a run.
pub fn build(backup: &EtcdBackup, plan: &Plan, image: &str, attempt: Attempt, run: &Run<'_>) -> Job {
    let purpose = format!("backup/{}/{}", attempt.generation, attempt.number);
    let name = names::deterministic(&plan.cluster, &backup.uid().unwrap_or_default(), &purpose);
    let mut annotations = annotations(backup);
    annotations.insert(GENERATION.to_owned(), attempt.generation.to_string());
    annotations.insert(ATTEMPT.to_owned(), attempt.number.to_string());
    owned(backup, plan, name, annotations, spec(plan, image, run))
}

/// The Job of an interval's run, named by the number of the minute in which it was due.
pub fn periodic(backup: &EtcdBackup, plan: &Plan, image: &str, minute: i64, run: &Run<'_>) -> Job {
    let hash = names::deterministic(&plan.cluster, &backup.uid().unwrap_or_default(), "interval");
    owned(backup, plan, format!("{hash}-{minute}"), annotations(backup), periodic_spec(plan, image, run))
}

fn owned(backup: &EtcdBackup, plan: &Plan, name: String, annotations: BTreeMap<String, String>, spec: JobSpec) -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(plan.namespace.clone()),
            labels: Some(labels(backup, plan)),
            annotations: Some(annotations),
            owner_references: backup.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..Default::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// The labels of all Jobs of `backup`.
pub fn labels(backup: &EtcdBackup, plan: &Plan) -> BTreeMap<String, String> {
    let mut labels = pod::labels(AGENT_APP, &plan.cluster);
    labels.insert(UID_LABEL.to_owned(), backup.uid().unwrap_or_default());
    labels
}

/// The annotations of all Jobs of `backup`: its name, and which of its specs they follow.
pub fn annotations(backup: &EtcdBackup) -> BTreeMap<String, String> {
    let generation = backup.metadata.generation.unwrap_or_default().to_string();
    BTreeMap::from([(BACKUP.to_owned(), backup.name_any()), (GENERATION.to_owned(), generation)])
}

/// The generation of the spec that `job` follows, where it says so.
pub fn generation(job: &Job) -> Option<i64> {
    job.annotations().get(GENERATION)?.parse().ok()
}

fn spec(plan: &Plan, image: &str, run: &Run<'_>) -> JobSpec {
    let role = Role {
        app: AGENT_APP,
        argv: argv::backup(plan, run),
        reaches_etcd: true,
        one_node: run.one_node,
        container: Container::default(),
        restart_policy: "Never",
    };
    JobSpec {
        backoff_limit: Some(0),
        active_deadline_seconds: i64::try_from((run.timeout + GRACE).as_secs()).ok(),
        template: pod::template(plan, image, role),
        ..Default::default()
    }
}

/// The Job of a periodic run: Kubernetes tries it again, also while the operator is away.
pub fn periodic_spec(plan: &Plan, image: &str, run: &Run<'_>) -> JobSpec {
    let hopeless = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(pod::CONTAINER.to_owned()),
            operator: "In".to_owned(),
            values: HOPELESS.to_vec(),
        }),
        on_pod_conditions: None,
    };
    JobSpec {
        backoff_limit: Some(RETRIES),
        pod_failure_policy: Some(PodFailurePolicy { rules: vec![hopeless] }),
        ..spec(plan, image, run)
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

/// When `job` was made.
pub fn created(job: &Job) -> Option<Timestamp> {
    job.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The Job that was made last.
pub fn newest<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Option<&'a Job> {
    jobs.into_iter().max_by_key(|job| (created(job), job.name_any()))
}

/// The EtcdBackup that `job` belongs to.
pub fn backup_of(job: &Job) -> Option<Reference> {
    let owner =
        job.owner_references().iter().find(|owner| owner.kind == EtcdBackup::kind(&())).map(|owner| &owner.name);
    let name = job.annotations().get(BACKUP).or(owner)?;
    Some(Reference::new(name).within(job.metadata.namespace.as_deref()?))
}

/// Whether an operator made `job`, and not Kubernetes for a CronJob.
pub fn made_by_an_operator(job: &Job) -> bool {
    job.owner_references().iter().any(|owner| owner.kind == EtcdBackup::kind(&()))
}

/// Whether the result of `job` is in the status for certain.
pub fn recorded(job: &Job) -> bool {
    job.annotations().contains_key(RECORDED)
}

/// The merge patch for a finished Job whose result is in the status by now; `None` when nothing is left to do.
/// A Job that is to stay gets no time to live.
pub fn closing(job: &Job, stays: bool) -> Option<serde_json::Value> {
    let lives_on = job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_none());
    let expires = lives_on && !stays;
    finish(job)?;
    (expires || !recorded(job)).then(|| {
        let spec =
            if expires { serde_json::json!({"ttlSecondsAfterFinished": TIME_TO_LIVE}) } else { serde_json::json!({}) };
        serde_json::json!({"metadata": {"annotations": {RECORDED: "true"}}, "spec": spec})
    })
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
        let run = samples::run(300);
        let job = build(&backup, &plan, "image:1", attempt, &run);
        assert_eq!(Attempt::of(&job), Some(attempt));
        let other = Attempt { number: 3, ..attempt };
        assert_ne!(job.name_any(), build(&backup, &plan, "image:1", other, &run).name_any());
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
    fn an_interval_s_job_is_named_by_its_minute_and_tried_again_by_kubernetes() {
        let backup = samples::backup(serde_json::json!({"storageType": "S3"}));
        let job = periodic(&backup, &samples::full_plan(), "image:1", 29_453_760, &samples::run(300));
        assert!(job.name_any().ends_with("-29453760"), "{}", job.name_any());
        assert_eq!(Attempt::of(&job), None);
        assert!(made_by_an_operator(&job));
        assert_eq!(backup_of(&job).map(|found| found.name).as_deref(), Some("etcd-a-1"));
        let spec = job.spec.unwrap();
        assert_eq!((spec.backoff_limit, spec.active_deadline_seconds), (Some(3), Some(360)));
        assert_eq!(spec.pod_failure_policy.unwrap().rules[0].on_exit_codes.as_ref().unwrap().values, [2, 5]);
    }

    #[test]
    fn a_recorded_job_expires_unless_it_stays() {
        let job = |ttl: Option<i32>, recorded: bool| -> Job {
            let annotations = if recorded { serde_json::json!({RECORDED: "true"}) } else { serde_json::json!({}) };
            serde_json::from_value(serde_json::json!({"metadata": {"annotations": annotations},
                "spec": {"template": {}, "ttlSecondsAfterFinished": ttl},
                "status": {"conditions": [{"type": "Complete", "status": "True"}]}}))
            .unwrap()
        };
        let ttl = |patch: Option<serde_json::Value>| patch.unwrap()["spec"]["ttlSecondsAfterFinished"].clone();
        assert_eq!(ttl(closing(&job(None, false), false)), TIME_TO_LIVE);
        assert_eq!(ttl(closing(&job(None, true), false)), TIME_TO_LIVE);
        assert_eq!(ttl(closing(&job(None, false), true)), serde_json::Value::Null);
        assert_eq!(closing(&job(None, true), true), None);
        assert_eq!(closing(&job(Some(9), true), false), None);
        assert_eq!(closing(&Job { status: None, ..job(None, false) }, false), None);
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
