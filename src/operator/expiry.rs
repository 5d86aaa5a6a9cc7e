//! The condition `Expired` of an EtcdBackup that keeps only so many snapshots: pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::status::{cut, put, whole_seconds};
use super::trouble::Trouble;
use crate::api::conditions::{self, EXPIRED};
use crate::api::{EtcdBackup, EtcdBackupStatus, RunReport};

/// A run stored its snapshot and could not delete all older ones that were to go.
const FAILED: &str = "ExpiryFailed";

/// There is one key, so nothing is ever older.
const NO_EFFECT: &str = "NoEffect";

/// Snapshots to keep; `None` where all are kept.
fn keep(backup: &EtcdBackup) -> Option<i64> {
    backup.spec.backup_policy.as_ref()?.max_backups.filter(|most| *most > 0)
}

/// Whether `backup` asks for one snapshot under one key.
fn has_one_key(backup: &EtcdBackup) -> bool {
    let policy = backup.spec.backup_policy.as_ref();
    let periodic = policy.is_some_and(|policy| {
        !policy.schedule.is_empty() || policy.backup_interval_in_second.is_some_and(|seconds| seconds > 0)
    });
    !periodic && backup.spec.s3.as_ref().is_some_and(|s3| !s3.path.is_empty())
}

/// Takes up what a run says of the snapshots that were to go.
pub fn after_run(status: &mut EtcdBackupStatus, backup: &EtcdBackup, report: &RunReport, now: Timestamp) {
    let (RunReport::Stored { expired, expiry_failed, .. }, Some(keep)) = (report, keep(backup)) else { return };
    let (verdict, reason, message) = match expiry_failed {
        None => {
            ("True", "Expired", format!("no more than {keep} are to be kept; the last run deleted {expired} older"))
        }
        Some(why) => ("False", FAILED, failure(keep, *expired, why)),
    };
    tell(status, backup, (verdict, reason, message), now);
}

fn failure(keep: i64, expired: u32, why: &str) -> String {
    let remedy = match why.contains("denied") || why.contains("Denied") {
        true => {
            "; let the credentials of the run delete objects (s3:DeleteObject), or leave out spec.backupPolicy.maxBackups"
        }
        false => "",
    };
    format!(
        "the snapshot is stored, but older ones than the {keep} to be kept are left, {expired} were deleted: {why}; \
         the next run tries again{remedy}"
    )
}

/// Corrects what follows from the spec alone, whatever runs have said.
pub fn settle(status: &mut EtcdBackupStatus, backup: &EtcdBackup, now: Timestamp) {
    match keep(backup) {
        Some(_) if has_one_key(backup) => {
            let message = "spec.backupPolicy.maxBackups has no effect: one backup to spec.s3.path has one key; \
                           add a schedule or an interval, or leave maxBackups out";
            tell(status, backup, ("False", NO_EFFECT, message.to_owned()), now);
        }
        Some(_) => status.conditions.retain(|found| found.type_ != EXPIRED || found.reason != NO_EFFECT),
        None => status.conditions.retain(|found| found.type_ != EXPIRED),
    }
}

/// What the last run could not delete, for an Event.
pub fn trouble(status: &EtcdBackupStatus) -> Option<Trouble> {
    let found = conditions::find(&status.conditions, EXPIRED)?;
    (found.reason == FAILED).then(|| Trouble::new(FAILED, found.message.clone()))
}

fn tell(
    status: &mut EtcdBackupStatus,
    backup: &EtcdBackup,
    (verdict, reason, message): (&str, &str, String),
    now: Timestamp,
) {
    let condition = Condition {
        type_: EXPIRED.to_owned(),
        status: verdict.to_owned(),
        reason: reason.to_owned(),
        message: cut(message),
        observed_generation: backup.metadata.generation,
        last_transition_time: Time(whole_seconds(now)),
    };
    put(&mut status.conditions, condition, false);
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, at};
    use super::*;

    fn backup(s3: serde_json::Value, policy: serde_json::Value) -> EtcdBackup {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": s3, "backupPolicy": policy});
        samples::backup(spec)
    }

    fn ran(backup: &EtcdBackup, failed: Option<&str>) -> EtcdBackupStatus {
        let mut report = serde_json::to_value(samples::stored()).unwrap();
        report["expiryFailed"] = failed.into();
        let mut status = backup.status.clone().unwrap_or_default();
        after_run(&mut status, backup, &serde_json::from_value(report).unwrap(), at(60));
        settle(&mut status, backup, at(60));
        status
    }

    fn word(status: &EtcdBackupStatus) -> Option<(&str, &str)> {
        conditions::find(&status.conditions, EXPIRED).map(|found| (found.status.as_str(), found.reason.as_str()))
    }

    #[test]
    fn what_could_not_be_deleted_is_told_until_a_run_can() {
        let mut backup = backup(serde_json::json!({"s3Bucket": "b"}), serde_json::json!({"maxBackups": 3}));
        let denied = "s3: access denied deleting s3://b/x (AccessDenied)";
        let status = ran(&backup, Some(denied));
        assert_eq!(word(&status), Some(("False", "ExpiryFailed")));
        let message = trouble(&status).unwrap().message;
        assert!(message.contains(denied) && message.contains("s3:DeleteObject"), "{message}");
        assert!(!trouble(&ran(&backup, Some("s3: time-out"))).unwrap().message.contains("s3:DeleteObject"));
        backup.status = Some(status);
        let status = ran(&backup, None);
        assert_eq!((word(&status), trouble(&status)), (Some(("True", "Expired")), None));
        backup.status = Some(status);
        backup.spec.backup_policy = None;
        assert_eq!(word(&ran(&backup, None)), None);
    }

    #[test]
    fn a_limit_that_has_no_effect_is_told_and_one_that_has_is_not() {
        let path = serde_json::json!({"path": "b/k"});
        let of = |s3: &serde_json::Value, policy: serde_json::Value| {
            let mut status = EtcdBackupStatus::default();
            let backup = backup(s3.clone(), policy);
            settle(&mut status, &backup, at(0));
            let first = status.clone();
            settle(&mut status, &backup, at(600));
            assert_eq!(status, first);
            word(&status).map(|(verdict, reason)| format!("{verdict} {reason}"))
        };
        assert_eq!(of(&path, serde_json::json!({"maxBackups": 3})).as_deref(), Some("False NoEffect"));
        assert_eq!(of(&path, serde_json::json!({"maxBackups": 0})), None);
        assert_eq!(of(&path, serde_json::json!({"maxBackups": 3, "backupIntervalInSecond": 60})), None);
        assert_eq!(of(&path, serde_json::json!({"maxBackups": 3, "schedule": "@daily"})), None);
        assert_eq!(of(&serde_json::json!({"s3Bucket": "b"}), serde_json::json!({"maxBackups": 3})), None);
    }

    #[test]
    fn a_limit_that_has_an_effect_again_is_told_no_more() {
        let mut backup = backup(serde_json::json!({"path": "b/k"}), serde_json::json!({"maxBackups": 3}));
        let mut status = EtcdBackupStatus::default();
        settle(&mut status, &backup, at(0));
        backup.spec.backup_policy.as_mut().unwrap().schedule = "@daily".to_owned();
        settle(&mut status, &backup, at(60));
        assert_eq!(word(&status), None);
    }
}
