use super::super::samples::{self, at};
use super::*;

fn backup() -> EtcdBackup {
    samples::backup(serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": "b"}}))
}

/// The object after one progress after the other, each a minute later.
fn after(steps: &[Progress]) -> EtcdBackup {
    let mut backup = backup();
    for (minute, step) in (0..).zip(steps) {
        backup.status = Some(next(&backup, step, at(minute * 60)));
    }
    backup
}

fn status(backup: &EtcdBackup) -> &EtcdBackupStatus {
    backup.status.as_ref().unwrap()
}

fn trouble(reason: &str) -> Trouble {
    Trouble { reason: reason.to_owned(), message: "m".to_owned() }
}

fn running(number: u32, trouble: Option<Trouble>) -> Progress {
    Progress::Running { number, job: "j".to_owned(), start: trouble.map_or(Start::Over, Start::Hindered) }
}

fn retrying(reason: &str, silent: bool) -> Progress {
    Progress::Retrying { number: 1, reason: reason.to_owned(), silent, at: at(50) }
}

#[test]
fn a_stored_report_fills_the_status() {
    let done = after(&[running(1, None), Progress::Stored { report: samples::stored(), at: at(42) }]);
    let json = serde_json::to_value(status(&done)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "succeeded": true, "etcdVersion": "3.5.21", "etcdRevision": 15, "layout": "Cluster", "history": "first",
            "lastSuccessDate": "2026-01-01T00:00:42Z", "lastExecutionDate": "2026-01-01T00:00:42Z",
            "s3Path": "own/v1/etcd-a/3.5.21_000000000000000f_etcd.backup", "observedGeneration": 1,
            "snapshot": {"size": 24608, "sha256": "00".repeat(32), "clusterID": "cdf818182e3b5f18", "member": "8e9e05c52164694d"},
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Stored", "observedGeneration": 1,
                "message": "stored own/v1/etcd-a/3.5.21_000000000000000f_etcd.backup", "lastTransitionTime": "2026-01-01T00:01:00Z"}]
        })
    );
    assert!(is_final(&done));
}

#[test]
fn nothing_but_a_final_outcome_is_final() {
    for open in [
        running(1, None),
        retrying("no", false),
        Progress::Idle(Idle::Queued),
        Progress::Hindered(trouble("EtcdNotFound")),
    ] {
        let backup = after(std::slice::from_ref(&open));
        assert!(!is_final(&backup), "{open:?}");
        assert!(!status(&backup).succeeded);
    }
    let gone = after(&[Progress::GaveUp { reason: "no".to_owned(), silent: false, at: at(1) }]);
    assert!(is_final(&gone));
    assert_eq!((status(&gone).reason.as_str(), status(&gone).succeeded), ("no", false));
    let rejected = after(&[Progress::Rejected(trouble("Unsupported"))]);
    assert_eq!(conditions::verdict(&rejected), conditions::Verdict::Failed);
    assert!(!is_final(&rejected));
    assert_eq!(status(&rejected).reason, "Unsupported: m");
}

#[test]
fn a_new_generation_starts_anew() {
    let mut done = after(&[Progress::Stored { report: samples::stored(), at: at(42) }]);
    done.metadata.generation = Some(2);
    assert!(!is_final(&done));
    assert_eq!(since(&done), None);
    done.status = Some(next(&done, &running(1, None), at(600)));
    assert_eq!(since(&done), Some(at(600)));
    assert_eq!(status(&done).etcd_revision, Some(15));
}

#[test]
fn the_clock_runs_from_the_first_try_and_not_while_idle() {
    assert_eq!(since(&backup()), None);
    let backup = after(&[Progress::Idle(Idle::Queued), Progress::Idle(Idle::Queued)]);
    assert_eq!(since(&backup), None);
    let backup = after(&[Progress::Idle(Idle::Queued), running(1, None), retrying("no", false), running(2, None)]);
    assert_eq!(since(&backup), Some(at(60)));
}

#[test]
fn trouble_is_told_while_it_lasts_and_kept_when_the_run_ends_without_a_word() {
    let stuck = trouble("SecretNotFound");
    let backup = after(&[running(1, Some(stuck.clone()))]);
    assert_eq!(status(&backup).reason, "SecretNotFound: m");
    assert_eq!(status(&after(&[running(1, Some(stuck.clone())), running(1, None)])).reason, "");
    let between = Progress::Running { number: 1, job: "j".to_owned(), start: Start::Between };
    assert_eq!(status(&after(&[running(1, Some(stuck.clone())), between.clone()])).reason, "SecretNotFound: m");
    assert_eq!(status(&after(&[Progress::Hindered(trouble("EtcdNotFound")), running(1, None)])).reason, "");
    let silent = Progress::GaveUp { reason: "DeadlineExceeded: m".to_owned(), silent: true, at: at(1) };
    assert_eq!(status(&after(&[running(1, Some(stuck)), between, silent.clone()])).reason, "SecretNotFound: m");
    assert_eq!(status(&after(&[running(1, None), silent])).reason, "DeadlineExceeded: m");
}

#[test]
fn the_last_failure_stays_while_the_next_attempt_runs() {
    let backup = after(&[running(1, None), retrying("KeyExists: x", false), running(2, None)]);
    assert_eq!(status(&backup).reason, "KeyExists: x");
}

#[test]
fn an_unchanged_revision_is_a_look_that_went_well() {
    let RunReport::Stored { s3_path, .. } = samples::stored() else { panic!("not stored") };
    let mut again = serde_json::to_value(samples::stored()).unwrap();
    again["alreadyStored"] = true.into();
    let again = serde_json::from_value(again).unwrap();
    let backup = after(&[
        Progress::Stored { report: samples::stored(), at: at(42) },
        Progress::Stored { report: again, at: at(3642) },
    ]);
    let status = status(&backup);
    assert_eq!((status.succeeded, status.last_execution_date.as_ref().unwrap().0), (true, at(3642)));
    assert_eq!(status.conditions[0].message, format!("unchanged since {s3_path} was stored"));
}

#[test]
fn the_schedule_has_a_condition_while_there_is_one() {
    let mut backup = after(&[Progress::Rejected(trouble("InvalidSchedule"))]);
    let stopped = Scheduled::Stopped(trouble("InvalidSchedule"));
    backup.status = Some(schedule(&backup, &stopped, at(60)));
    let word = |backup: &EtcdBackup, kind: &str| {
        conditions::find(&status(backup).conditions, kind).map(|found| (found.status.clone(), found.reason.clone()))
    };
    assert_eq!(word(&backup, SCHEDULED), Some(("False".to_owned(), "InvalidSchedule".to_owned())));
    assert_eq!(status(&backup).reason, "InvalidSchedule: m");
    // corrected: what was wrong is not told any more, although no run has ended
    backup.status = Some(schedule(&backup, &Scheduled::Yes("next run at x".to_owned()), at(120)));
    assert_eq!(word(&backup, SCHEDULED), Some(("True".to_owned(), "Scheduled".to_owned())));
    assert_eq!((word(&backup, SUCCEEDED), status(&backup).reason.as_str()), (None, ""));
    let again = schedule(&backup, &Scheduled::Yes("next run at x".to_owned()), at(180));
    assert_eq!(*status(&backup), again);
    backup.status = Some(schedule(&backup, &Scheduled::Not, at(240)));
    assert_eq!(word(&backup, SCHEDULED), None);
}

#[test]
fn a_schedule_keeps_the_outcome_of_its_last_run() {
    let mut backup = after(&[Progress::GaveUp { reason: "KeyExists: x".to_owned(), silent: false, at: at(1) }]);
    backup.status = Some(schedule(&backup, &Scheduled::suspended(), at(60)));
    backup.status = Some(schedule(&backup, &Scheduled::Yes("soon".to_owned()), at(120)));
    assert_eq!((status(&backup).reason.as_str(), is_open(&backup)), ("KeyExists: x", false));
}

#[test]
fn the_same_progress_changes_nothing() {
    for step in [running(1, None), Progress::Idle(Idle::Queued), Progress::Hindered(trouble("EtcdNotFound"))] {
        let once = after(std::slice::from_ref(&step));
        let twice = after(&[step.clone(), step]);
        assert_eq!(status(&once), status(&twice));
    }
}

#[test]
fn what_was_wrong_is_told_no_more_when_it_is_right_though_suspended() {
    for scheduled in [Scheduled::suspended(), Scheduled::Yes("soon".to_owned())] {
        let mut backup = after(&[Progress::Rejected(trouble("InvalidSchedule"))]);
        backup.status = Some(schedule(&backup, &scheduled, at(60)));
        assert_eq!(status(&backup).reason, "", "{scheduled:?}");
    }
    let mut backup = after(&[Progress::Rejected(trouble("BucketNotSet"))]);
    backup.metadata.generation = Some(2);
    backup.status = Some(next(&backup, &Progress::Idle(Idle::Suspended), at(60)));
    assert_eq!(status(&backup).reason, "");
}
