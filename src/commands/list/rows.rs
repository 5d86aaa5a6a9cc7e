//! What `list` prints of EtcdBackups and of stored snapshots: pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::table::{NONE, Table, age, size, span};
use crate::api::conditions::{self, SUCCEEDED, Verdict};
use crate::api::{EtcdBackup, names};
use crate::commands::get::item::Item;

/// Which columns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct View {
    pub wide: bool,
    pub headers: bool,
    pub namespaces: bool,
}

/// The table of EtcdBackups.
pub(super) fn backups(backups: &[EtcdBackup], view: View, now: Timestamp) -> String {
    let mut headers = vec!["NAME", "CLUSTER", "STATUS", "SCHEDULE", "REVISION", "LAST SUCCESS", "AGE"];
    if view.namespaces {
        headers.insert(0, "NAMESPACE");
    }
    if view.wide {
        headers.extend(["ETCD", "SIZE", "LOCATION", "REASON"]);
    }
    let mut table = Table::new(&headers, view.headers);
    for backup in backups {
        table.row(backup_row(backup, view, now));
    }
    table.render()
}

fn backup_row(backup: &EtcdBackup, view: View, now: Timestamp) -> Vec<String> {
    let status = backup.status.clone().unwrap_or_default();
    let path = status.path();
    let mut row = vec![
        backup.name_any(),
        names::cluster_of(backup),
        standing(backup),
        schedule(backup).unwrap_or_default(),
        status.etcd_revision.map(|revision| revision.to_string()).unwrap_or_default(),
        age(status.last_success_date.map(|time| time.0), now),
        age(backup.creation_timestamp().map(|time| time.0), now),
    ];
    if view.namespaces {
        row.insert(0, backup.namespace().unwrap_or_default());
    }
    if view.wide {
        let bytes = status.snapshot.as_ref().and_then(|snapshot| u64::try_from(snapshot.size).ok());
        row.extend([status.etcd_version, bytes.map(size).unwrap_or_default(), path, status.reason]);
    }
    row
}

/// One word for where a backup stands: the verdict, else the operator's word for what it waits for.
pub(in crate::commands) fn standing(backup: &EtcdBackup) -> String {
    let status = backup.status.clone().unwrap_or_default();
    let condition = conditions::find(&status.conditions, SUCCEEDED);
    let current = condition.filter(|found| found.observed_generation == backup.metadata.generation);
    match (conditions::verdict(backup), current) {
        (Verdict::Succeeded, _) => "Succeeded".to_owned(),
        (Verdict::Failed, _) => "Failed".to_owned(),
        (Verdict::Open, Some(condition)) => condition.reason.clone(),
        // etcd-operator wrote no conditions
        (Verdict::Open, None) if condition.is_none() && status.succeeded => "Succeeded".to_owned(),
        (Verdict::Open, None) if condition.is_none() && !status.reason.is_empty() => "Failed".to_owned(),
        (Verdict::Open, None) => "Pending".to_owned(),
    }
}

/// When it is repeated: the cron schedule, or the interval; `None` for a single backup.
pub(in crate::commands) fn schedule(backup: &EtcdBackup) -> Option<String> {
    let policy = backup.spec.backup_policy.as_ref()?;
    if !policy.schedule.is_empty() {
        return Some(policy.schedule.clone());
    }
    let interval = policy.backup_interval_in_second.and_then(|seconds| u64::try_from(seconds).ok());
    interval.filter(|seconds| *seconds > 0).map(|seconds| format!("every {}", exact_span(seconds)))
}

/// An interval that loses nothing: `1h`, `90s`.
fn exact_span(seconds: u64) -> String {
    let shown = span(seconds);
    let unit = [86400, 3600, 60].into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    // years would hide days
    if seconds.is_multiple_of(unit) && !shown.ends_with('y') { shown } else { format!("{seconds}s") }
}

/// The table of snapshots; the column of histories only where there is something to tell apart.
pub(super) fn snapshots(items: &[Item], view: View, now: Timestamp) -> String {
    let histories = items.iter().any(|item| item.history != items[0].history);
    let mut headers = vec!["NAME", "ETCD", "REVISION", "SIZE", "AGE", "SOURCE"];
    if histories {
        headers.insert(3, "HISTORY");
    }
    if view.wide {
        headers.push("LOCATION");
    }
    let mut table = Table::new(&headers, view.headers);
    for item in items {
        let mut row = vec![
            item.name.clone(),
            item.etcd_version.clone().unwrap_or_default(),
            item.revision.map(|revision| revision.to_string()).unwrap_or_default(),
            item.size.map_or_else(|| NONE.to_owned(), size),
            age(item.last_modified, now),
            item.source().to_owned(),
        ];
        if histories {
            row.insert(3, item.history.clone().unwrap_or_default());
        }
        if view.wide {
            row.push(item.location());
        }
        table.row(row);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::get::item::Place;

    const NOW: &str = "2026-01-02T00:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn backup(spec: serde_json::Value, status: serde_json::Value) -> EtcdBackup {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
            "metadata": {"name": "nightly", "namespace": "db", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec, "status": status
        }))
        .unwrap()
    }

    fn of_policy(policy: serde_json::Value) -> EtcdBackup {
        backup(
            serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "backupPolicy": policy}),
            serde_json::json!({}),
        )
    }

    #[test]
    fn a_backup_is_a_row_with_everything_in_wide() {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "backupPolicy": {"schedule": "0 1 * * *"}});
        let status = serde_json::json!({"succeeded": true, "etcdRevision": 15, "etcdVersion": "3.5.21",
            "lastSuccessDate": "2026-01-01T22:00:00Z", "s3Path": "b/k",
            "snapshot": {"size": 24608, "sha256": "", "clusterID": "", "member": ""}});
        let all = [backup(spec, status)];
        let view = View { wide: true, headers: true, namespaces: true };
        assert_eq!(
            backups(&all, view, now()),
            "NAMESPACE   NAME      CLUSTER   STATUS      SCHEDULE    REVISION   LAST SUCCESS   AGE   ETCD     SIZE   LOCATION   REASON\n\
             db          nightly   etcd-a    Succeeded   0 1 * * *   15         2h             1d    3.5.21   25kB   b/k        <none>\n"
        );
        assert_eq!(backups(&all, View::default(), now()), "nightly   etcd-a   Succeeded   0 1 * * *   15   2h   1d\n");
    }

    #[test]
    fn where_a_backup_stands_is_one_word_for_every_operator() {
        let with = |status: serde_json::Value| standing(&backup(serde_json::json!({"storageType": "S3"}), status));
        let condition = |status: &str, generation: i64| {
            with(serde_json::json!({"succeeded": true, "conditions": [{"type": "Succeeded", "status": status,
                "reason": "Running", "message": "", "observedGeneration": generation,
                "lastTransitionTime": NOW}]}))
        };
        assert_eq!(
            [condition("True", 1), condition("False", 1), condition("Unknown", 1), condition("True", 0)],
            ["Succeeded", "Failed", "Running", "Pending"]
        );
        assert_eq!(with(serde_json::json!({})), "Pending");
        assert_eq!(with(serde_json::json!({"succeeded": true})), "Succeeded");
        assert_eq!(with(serde_json::json!({"Reason": "no"})), "Failed");
    }

    #[test]
    fn schedules_are_cron_or_an_exact_interval() {
        let every = |seconds: i64| schedule(&of_policy(serde_json::json!({"backupIntervalInSecond": seconds})));
        let shown = [3600, 90, 60, 5400, 86400, 45].map(|seconds| every(seconds).unwrap());
        assert_eq!(shown, ["every 1h", "every 90s", "every 1m", "every 5400s", "every 1d", "every 45s"]);
        assert_eq!(every(0), None);
        assert_eq!(schedule(&of_policy(serde_json::json!({"schedule": "@daily"}))).as_deref(), Some("@daily"));
    }

    #[test]
    fn histories_show_only_where_there_are_several() {
        let item = |revision: u64, history: &str| Item {
            name: format!("3.5.0_{revision:016x}_etcd.backup"),
            revision: Some(revision),
            etcd_version: Some("3.5.0".to_owned()),
            history: Some(history.to_owned()),
            size: Some(24608),
            last_modified: Some("2026-01-01T23:57:00Z".parse().unwrap()),
            place: Place::S3 { bucket: "b".to_owned(), key: "k".to_owned(), layout: None },
        };
        let view = View { headers: true, ..View::default() };
        assert_eq!(
            snapshots(&[item(15, "first")], view, now()),
            "NAME                                 ETCD    REVISION   SIZE   AGE   SOURCE\n\
             3.5.0_000000000000000f_etcd.backup   3.5.0   15         25kB   3m    s3\n"
        );
        let two = snapshots(&[item(15, "first"), item(2, "20260101T000000Z_ab")], view, now());
        assert!(two.contains("REVISION   HISTORY               SIZE") && two.contains("20260101T000000Z_ab"), "{two}");
    }
}
