//! What became of one Job: its report, or why there is none.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event, Pod};

use super::job::{self, Finish};
use super::plan::Plan;
use super::pod::CONTAINER;
use super::trouble::{self, Trouble};
use crate::api::RunReport;

/// Longest line of a log that becomes part of a reason.
const MAX_LINE: usize = 300;

/// How far a Job that is not finished got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Not known: the pod is on its way up, or, at the deadline, on its way down.
    Between,
    /// Something keeps it from starting.
    Hindered(Trouble),
    /// Its container runs.
    Over,
}

/// The state of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not finished.
    Running(Start),
    /// A report says that a proved snapshot is stored: always [`RunReport::Stored`].
    Stored { report: RunReport, at: Timestamp },
    /// Nothing stored as far as anybody can tell.
    Failed { reason: String, at: Timestamp, silent: bool },
}

/// Reads the outcome of `job`. A finished Job without a readable report counts as failed, never as success.
/// `silent` failures say nothing of their cause: what was seen before they ended says more.
pub fn read(
    plan: &Plan,
    job: &Job,
    pods: &[Pod],
    pod_events: &[Event],
    job_events: &[Event],
    now: Timestamp,
) -> Outcome {
    let Some(finish) = job::finish(job) else {
        return Outcome::Running(match trouble::find(plan, pods, pod_events, job_events) {
            Some(trouble) => Start::Hindered(trouble),
            None if trouble::over(pods) => Start::Over,
            None => Start::Between,
        });
    };
    let ended: Vec<&ContainerStateTerminated> = pods.iter().filter_map(terminated).collect();
    let created = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // the same at every look: attempts are told apart by it
    let finished = finish.at.or(created).unwrap_or(now);
    // a node's clock may be wrong: the API server's says between which times it was
    let at = |state: &ContainerStateTerminated| {
        let ended = state.finished_at.as_ref().map_or(finished, |time| time.0);
        ended.max(created.unwrap_or(ended)).min(finished)
    };
    let reports = ended.iter().filter_map(|state| {
        let report = RunReport::from_message(state.message.as_deref()?.trim())?;
        Some((report, at(state)))
    });
    // a stored snapshot is stored, whatever else happened to the Job
    let best = reports.max_by_key(|(report, at)| (matches!(report, RunReport::Stored { .. }), *at));
    match best {
        Some((report @ RunReport::Stored { .. }, at)) => Outcome::Stored { report, at },
        Some((RunReport::Failed { reason }, at)) => Outcome::Failed { reason, at, silent: false },
        None => unreported(&finish, ended.last().copied(), ended.last().map_or(finished, |state| at(state))),
    }
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let agent = statuses.iter().find(|status| status.name == CONTAINER)?;
    agent.state.as_ref()?.terminated.as_ref()
}

fn unreported(finish: &Finish, state: Option<&ContainerStateTerminated>, at: Timestamp) -> Outcome {
    let failed = |reason: String, silent| Outcome::Failed { reason, at, silent };
    if let Some((word, message)) = &finish.failure
        && word == "DeadlineExceeded"
    {
        return failed(format!("DeadlineExceeded: {message}"), true);
    }
    let Some(state) = state else {
        return failed("NoReport: the pod of the run is gone".to_owned(), false);
    };
    if state.reason.as_deref() == Some("OOMKilled") {
        let hint = "the agent was killed at its memory limit; raise spec.pod.resources.limits.memory";
        return failed(format!("OutOfMemory: {hint}"), false);
    }
    let last = state.message.as_deref().and_then(|text| text.lines().rev().find(|line| tells(line)));
    let last: String =
        last.map(|line| format!(": {}", line.trim())).unwrap_or_default().chars().take(MAX_LINE).collect();
    failed(format!("NoReport: the run ended with exit code {} and without a report{last}", state.exit_code), false)
}

/// Whether a line of a log may say why: an empty one and the runtime's advice about backtraces do not.
fn tells(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("note: ")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, at};
    use super::*;

    fn job(condition: Option<(&str, &str)>) -> Job {
        let conditions: Vec<serde_json::Value> = condition
            .map(|(kind, reason)| {
                serde_json::json!({"type": kind, "status": "True", "reason": reason, "message": "m",
                    "lastTransitionTime": "2026-01-01T00:01:00Z"})
            })
            .into_iter()
            .collect();
        serde_json::from_value(serde_json::json!({"metadata": {}, "status": {"conditions": conditions}})).unwrap()
    }

    fn pod(code: i32, reason: &str, message: &str) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {}, "status": {"containerStatuses": [{
            "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "reason": reason, "message": message,
                "finishedAt": "2026-01-01T00:00:50Z"}}}]}}))
        .unwrap()
    }

    fn outcome(condition: Option<(&str, &str)>, pods: &[Pod]) -> Outcome {
        read(&samples::full_plan(), &job(condition), pods, &[], &[], at(600))
    }

    fn reason(condition: (&str, &str), pods: &[Pod]) -> (String, bool) {
        match outcome(Some(condition), pods) {
            Outcome::Failed { reason, silent, .. } => (reason, silent),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stored_report_is_success() {
        let report = samples::stored();
        let pods = [pod(0, "Completed", &report.to_message())];
        assert_eq!(outcome(Some(("Complete", "")), &pods), Outcome::Stored { report: report.clone(), at: at(50) });
        assert_eq!(outcome(Some(("Failed", "DeadlineExceeded")), &pods), Outcome::Stored { report, at: at(50) });
        assert_eq!(outcome(None, &pods), Outcome::Running(Start::Between));
    }

    #[test]
    fn completion_without_a_report_is_never_success() {
        let (text, silent) = reason(("Complete", ""), &[pod(0, "Completed", "")]);
        assert_eq!(text, "NoReport: the run ended with exit code 0 and without a report");
        assert!(!silent);
        assert!(reason(("Complete", ""), &[]).0.starts_with("NoReport: "));
    }

    #[test]
    fn a_node_whose_clock_is_wrong_tells_no_time_outside_that_of_the_job() {
        let mut job = job(Some(("Complete", "")));
        job.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(30)));
        let report = samples::stored();
        for (node, told) in [("2040-01-01T00:00:00Z", 60), ("2001-01-01T00:00:00Z", 30)] {
            let mut pod = pod(0, "Completed", &report.to_message());
            let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
            let ended = statuses[0].state.as_mut().unwrap().terminated.as_mut().unwrap();
            ended.finished_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(node.parse().unwrap()));
            let found = read(&samples::full_plan(), &job, &[pod], &[], &[], at(600));
            assert_eq!(found, Outcome::Stored { report: report.clone(), at: at(told) });
        }
    }

    #[test]
    fn failures_say_what_they_know() {
        let failed = RunReport::Failed { reason: "KeyExists: x".to_owned() }.to_message();
        assert_eq!(reason(("Failed", ""), &[pod(1, "Error", &failed)]).0, "KeyExists: x");
        assert!(reason(("Failed", ""), &[pod(137, "OOMKilled", "")]).0.starts_with("OutOfMemory: "));
        let (text, _) = reason(
            ("Failed", ""),
            &[pod(101, "Error", "starting\nthread 'main' panicked\nnote: run with `RUST_BACKTRACE=1`\n")],
        );
        assert!(text.ends_with("exit code 101 and without a report: thread 'main' panicked"), "{text}");
        assert_eq!(reason(("Failed", "DeadlineExceeded"), &[]), ("DeadlineExceeded: m".to_owned(), true));
    }
}
