//! The conditions of an EtcdBackup, and what they say about the outcome of its backup.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::EtcdBackup;

/// Whether the backup that this generation of the spec asks for is stored: `Unknown` until that is final. Of a
/// schedule it tells of the last run that ended.
pub const SUCCEEDED: &str = "Succeeded";

/// Whether the sidecar serves the snapshots of this object's store.
pub const SIDECAR_READY: &str = "SidecarReady";

/// Whether runs are started by the schedule or interval; absent where there is neither.
pub const SCHEDULED: &str = "Scheduled";

/// Whether the snapshots that `maxBackups` has no place for are gone; absent where all are kept.
pub const EXPIRED: &str = "Expired";

/// What became of the backup that the present generation of the spec asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody knows yet: not seen by an operator, waiting, running, or about to be tried again.
    Open,
    /// A proved snapshot is stored.
    Succeeded,
    /// The operator gave up; `status.Reason` says why.
    Failed,
}

/// The verdict on `backup`: its `Succeeded` condition, if that speaks of the present generation.
pub fn verdict(backup: &EtcdBackup) -> Verdict {
    let conditions = backup.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let condition = find(conditions, SUCCEEDED).filter(|found| found.observed_generation == backup.metadata.generation);
    match condition.map(|found| found.status.as_str()) {
        Some("True") => Verdict::Succeeded,
        Some("False") => Verdict::Failed,
        _ => Verdict::Open,
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_on_another_generation_is_none() {
        let backup = |status: &str, generation: i64| -> EtcdBackup {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
                "metadata": {"name": "x", "generation": 2}, "spec": {"storageType": "S3"},
                "status": {"conditions": [{"type": "Succeeded", "status": status, "observedGeneration": generation,
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "x", "message": ""}]}
            }))
            .unwrap()
        };
        assert_eq!(verdict(&backup("True", 2)), Verdict::Succeeded);
        assert_eq!(verdict(&backup("False", 2)), Verdict::Failed);
        assert_eq!(verdict(&backup("Unknown", 2)), Verdict::Open);
        assert_eq!(verdict(&backup("True", 1)), Verdict::Open);
    }
}
