//! The text of `describe`: pure.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;

use super::Described;
use crate::api::cron::Timetable;
use crate::api::etcdbackup::{BackupPolicy, EtcdBackupStatus};
use crate::api::{EtcdBackup, S3Source, names};
use crate::cli::ui::one_line;
use crate::commands::list::table::{NONE, Table, age, size, span};
use crate::commands::list::{schedule, standing};

/// Lines of `Key:   value`, values in one column.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn say(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((format!("{key}:"), one_line(&value.into())));
    }

    /// Says it where there is something to say.
    fn tell(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.say(key, value);
        }
    }

    fn render(&self, indent: &str) -> String {
        let width = self.0.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        let line =
            |(key, value): &(String, String)| format!("{indent}{key:width$}  {value}").trim_end().to_owned() + "\n";
        self.0.iter().map(line).collect()
    }
}

/// The whole text.
pub(super) fn describe(found: &Described, now: Timestamp) -> String {
    let backup = &found.backup;
    let mut head = Lines::default();
    head.say("Name", backup.name_any());
    head.say("Namespace", backup.namespace().unwrap_or_default());
    head.say("Cluster", names::cluster_of(backup));
    head.say("Created", ago(backup.creation_timestamp().map(|time| time.0), now));
    head.say("Status", standing(backup));
    let status = backup.status.clone().unwrap_or_default();
    head.tell("Reason", &status.reason);
    let sections = [
        ("Spec", spec(backup).render("  ")),
        ("Runs", runs(found, &status, now).render("  ")),
        ("Snapshot", snapshot(&status).render("  ")),
        ("Sidecar", sidecar(backup)),
        ("Conditions", conditions(&status, now)),
        ("Jobs", jobs(&found.jobs, now)),
        ("Events", events(&found.events, now)),
    ];
    let section = |(name, text): (&str, String)| match text.is_empty() {
        true => format!("{name}:  {NONE}\n"),
        false => format!("{name}:\n{text}"),
    };
    head.render("") + &sections.map(section).concat()
}

fn spec(backup: &EtcdBackup) -> Lines {
    let (mut lines, spec) = (Lines::default(), &backup.spec);
    let cluster = names::cluster_of(backup);
    let etcd = match (&spec.kubeadm, spec.etcd_endpoints.as_slice()) {
        (Some(_), _) => "the control plane's own (kubeadm)".to_owned(),
        (None, []) => format!("Service {}, else pods etcd_cluster={cluster}", names::client_service(&cluster)),
        (None, endpoints) => endpoints.join(", "),
    };
    lines.say("Etcd", etcd);
    lines.tell("Client certificate", &secret(&spec.client_tls_secret));
    lines.tell("Client password", &secret(&spec.client_auth_secret));
    lines.say("Storage", spec.storage_type.clone());
    if let Some(s3) = &spec.s3 {
        place(&mut lines, s3);
    }
    if let Some(volume) = &spec.persistent_volume {
        lines.say("Claim", names::claim_of(backup).unwrap_or_default());
        let size = volume.volume_size_in_mb.filter(|_| volume.claim_name.is_empty());
        lines
            .tell("Claim's size", &size.map(|size| format!("{size} MiB, where it has to be made")).unwrap_or_default());
    }
    let policy = spec.backup_policy.clone().unwrap_or_default();
    policy_words(&mut lines, backup, &policy);
    lines.tell("Service account", &spec.service_account_name);
    lines
}

fn secret(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("Secret {name}") }
}

fn place(lines: &mut Lines, s3: &S3Source) {
    lines.tell("Path", &s3.path);
    lines.tell("Bucket", &s3.s3_bucket);
    if s3.path.is_empty() && s3.s3_bucket.is_empty() {
        lines.say("Bucket", "the operator's");
    }
    lines.tell("Prefix", &s3.prefix);
    lines.tell("Endpoint", &s3.endpoint);
    lines.tell("Region", &s3.region);
    lines.tell("Endpoint's CA", &secret(&s3.ca_secret));
    lines.tell("Encryption", [&s3.server_side_encryption, &s3.kms_key_id].map(String::as_str).join(" ").trim());
    let credentials = secret(&s3.aws_secret);
    lines.say(
        "Credentials",
        if credentials.is_empty() { "the operator's, else of the pod itself" } else { &credentials },
    );
}

fn policy_words(lines: &mut Lines, backup: &EtcdBackup, policy: &BackupPolicy) {
    let zone = if policy.time_zone.is_empty() { String::new() } else { format!(" ({})", policy.time_zone) };
    let suspended = if policy.suspend { ", suspended" } else { "" };
    let often = schedule(backup).unwrap_or_else(|| "once".to_owned());
    lines.say("Schedule", format!("{often}{zone}{suspended}"));
    if !policy.drill_schedule.is_empty() {
        lines.say("Drill schedule", format!("{}{zone}{suspended}", policy.drill_schedule));
    }
    let keep = policy.max_backups.filter(|most| *most > 0);
    lines.say("Keep", keep.map_or_else(|| "all".to_owned(), |most| format!("the last {most}")));
    let limit = policy.timeout_in_second.and_then(|seconds| u64::try_from(seconds).ok()).filter(|limit| *limit > 0);
    lines.say("Time-out", limit.map_or_else(|| "the operator's default".to_owned(), |limit| format!("{limit}s")));
}

fn runs(found: &Described, status: &EtcdBackupStatus, now: Timestamp) -> Lines {
    let mut lines = Lines::default();
    lines.say("Last success", ago(status.last_success_date.as_ref().map(|time| time.0), now));
    lines.say("Last run", ago(status.last_execution_date.as_ref().map(|time| time.0), now));
    lines.say("Next run", next_run(found, status, now));
    lines
}

/// When it runs again: by the CronJob, or an interval after the last start.
fn next_run(found: &Described, status: &EtcdBackupStatus, now: Timestamp) -> String {
    let Some(policy) = &found.backup.spec.backup_policy else { return NONE.to_owned() };
    if policy.suspend {
        return format!("{NONE}, suspended");
    }
    let by = found.cron_jobs.iter().find(|job| job.spec.as_ref().is_some_and(|spec| spec.schedule == policy.schedule));
    let by = by.map(|job| format!(", by CronJob {}", job.name_any())).unwrap_or_default();
    if !policy.schedule.is_empty() {
        let next = Timetable::of(&policy.schedule, &policy.time_zone).and_then(|table| table.next(now));
        let zone =
            if policy.time_zone.is_empty() { String::new() } else { format!(" in time zone {}", policy.time_zone) };
        return next
            .map_or_else(|| format!("by schedule {}{zone}{by}", policy.schedule), |next| until(next, now) + &by);
    }
    let interval = policy.backup_interval_in_second.filter(|seconds| *seconds > 0);
    let started = found.jobs.first().and_then(|job| job.status.as_ref()?.start_time.clone());
    let last = started.or(status.last_execution_date.clone()).map(|time| time.0);
    match (interval, last) {
        (None, _) => NONE.to_owned(),
        (Some(_), None) => "soon: there was none yet".to_owned(),
        (Some(interval), Some(last)) => {
            let next = last.checked_add(jiff::SignedDuration::from_secs(interval));
            next.map_or_else(|_| NONE.to_owned(), |next| until(next, now))
        }
    }
}

fn snapshot(status: &EtcdBackupStatus) -> Lines {
    let mut lines = Lines::default();
    if status.path().is_empty() {
        return lines;
    }
    lines.say("Path", status.url());
    lines.tell("Etcd version", &status.etcd_version);
    lines.tell("Revision", &status.etcd_revision.map(|revision| revision.to_string()).unwrap_or_default());
    if let Some(snapshot) = &status.snapshot {
        let human = u64::try_from(snapshot.size).map(size).unwrap_or_default();
        lines.say("Size", format!("{} bytes ({human})", snapshot.size));
        lines.tell("Sha256", &snapshot.sha256);
        lines.tell("Etcd cluster", &snapshot.cluster_id);
        lines.tell("Etcd member", &snapshot.member);
        let hash = snapshot.hash_kv.map(|kv| format!("{:08x} at revision {}", kv.hash, kv.revision));
        lines.tell("Hash of keys", &hash.unwrap_or_default());
    }
    lines.tell("Layout", &status.layout.map(|layout| layout.to_string()).unwrap_or_default());
    lines.tell("History", &status.history);
    lines
}

fn sidecar(backup: &EtcdBackup) -> String {
    let wanted = backup.spec.sidecar.unwrap_or_default();
    if !wanted.enabled {
        return String::new();
    }
    let mut lines = Lines::default();
    lines.say("Service", format!("{}, port {}", names::sidecar(&names::cluster_of(backup)), names::SIDECAR_PORT));
    let conditions = backup.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let ready = crate::api::conditions::find(conditions, crate::api::conditions::SIDECAR_READY);
    lines.say(
        "Ready",
        ready.map_or_else(
            || "not known".to_owned(),
            |found| [&found.status, &found.reason, &found.message].map(String::as_str).join(" ").trim().to_owned(),
        ),
    );
    lines.say(
        "Open to",
        if wanted.anonymous { "everybody in the cluster's network" } else { "port-forward, and tokens" },
    );
    lines.render("  ")
}

fn conditions(status: &EtcdBackupStatus, now: Timestamp) -> String {
    let mut table = Table::new(&["  TYPE", "STATUS", "REASON", "AGE", "MESSAGE"], !status.conditions.is_empty());
    for found in &status.conditions {
        let since = age(Some(found.last_transition_time.0), now);
        let (kind, reason) = (format!("  {}", found.type_), found.reason.clone());
        table.row(vec![kind, found.status.clone(), reason, since, found.message.clone()]);
    }
    table.render()
}

fn jobs(jobs: &[Job], now: Timestamp) -> String {
    let mut table = Table::new(&["  NAME", "STATUS", "DURATION", "AGE"], !jobs.is_empty());
    for job in jobs {
        let status = job.status.clone().unwrap_or_default();
        let is = |kind: &str| status.conditions.iter().flatten().any(|one| one.type_ == kind && one.status == "True");
        let word = match (is("Complete"), is("Failed")) {
            (true, _) => "Complete",
            (_, true) => "Failed",
            _ => "Running",
        };
        let failed = status
            .conditions
            .iter()
            .flatten()
            .find(|one| one.type_ == "Failed")
            .map(|one| one.last_transition_time.clone());
        let end = status.completion_time.or(failed.flatten()).map_or(now, |time| time.0);
        let took = status.start_time.map(|start| end.as_second() - start.0.as_second());
        let took = took.and_then(|seconds| u64::try_from(seconds).ok()).map(span).unwrap_or_default();
        let since = age(job.creation_timestamp().map(|time| time.0), now);
        table.row(vec![format!("  {}", job.name_any()), word.to_owned(), took, since]);
    }
    table.render()
}

fn events(events: &[Event], now: Timestamp) -> String {
    let mut table = Table::new(&["  TYPE", "REASON", "AGE", "FROM", "MESSAGE"], !events.is_empty());
    for event in events {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let component = event.source.as_ref().and_then(|source| source.component.clone());
        let from = component.filter(|name| !name.is_empty()).or(event.reporting_component.clone()).unwrap_or_default();
        let kind = format!("  {}", text(&event.type_));
        table.row(vec![kind, text(&event.reason), age(time_of(event), now), from, text(&event.message)]);
    }
    table.render()
}

/// When an Event happened last.
pub(super) fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let exact = event.event_time.as_ref().map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(exact).or_else(|| event.creation_timestamp().map(|time| time.0))
}

/// A time and how long ago it was.
fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| NONE.to_owned(), |time| format!("{} ({} ago)", whole(time), age(Some(time), now)))
}

/// A time and how far away it is.
fn until(next: Timestamp, now: Timestamp) -> String {
    match u64::try_from(next.as_second() - now.as_second()) {
        Ok(seconds) => format!("{} (in {})", whole(next), span(seconds)),
        Err(_) => format!("{} (due)", whole(next)),
    }
}

fn whole(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(backup: serde_json::Value, job: serde_json::Value) -> Described {
        Described {
            backup: serde_json::from_value(backup).unwrap(),
            cron_jobs: vec![],
            jobs: vec![serde_json::from_value(job).unwrap()],
            events: vec![
                serde_json::from_value(serde_json::json!({
                    "metadata": {}, "involvedObject": {}, "type": "Normal", "reason": "Started", "message": "attempt 1",
                    "lastTimestamp": "2026-01-01T23:00:00Z", "reportingComponent": "etcdbackup-operator"
                }))
                .unwrap(),
            ],
        }
    }

    fn backup(policy: serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
            "metadata": {"name": "nightly", "namespace": "db", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"clusterName": "etcd-a", "storageType": "S3", "backupPolicy": policy,
                "s3": {"s3Bucket": "b", "awsSecret": "aws"}},
            "status": {"succeeded": true, "etcdVersion": "3.5.21", "etcdRevision": 15, "s3Path": "b/v1/etcd-a/x",
                "lastSuccessDate": "2026-01-01T23:00:30Z", "lastExecutionDate": "2026-01-01T23:00:30Z",
                "snapshot": {"size": 24608, "sha256": "ab", "clusterID": "c", "member": "d"},
                "layout": "Cluster", "history": "first",
                "conditions": [{"type": "Succeeded", "status": "True", "reason": "Stored", "message": "stored x",
                    "observedGeneration": 1, "lastTransitionTime": "2026-01-01T23:00:30Z"}]}
        })
    }

    fn job() -> serde_json::Value {
        serde_json::json!({"metadata": {"name": "etcd-a-1", "creationTimestamp": "2026-01-01T23:00:00Z"}, "status": {
            "startTime": "2026-01-01T23:00:00Z", "completionTime": "2026-01-01T23:00:30Z",
            "conditions": [{"type": "Complete", "status": "True"}]}})
    }

    const TEXT: &str = "\
Name:       nightly
Namespace:  db
Cluster:    etcd-a
Created:    2026-01-01T00:00:00Z (1d ago)
Status:     Succeeded
Spec:
  Etcd:         Service etcd-a-client, else pods etcd_cluster=etcd-a
  Storage:      S3
  Bucket:       b
  Credentials:  Secret aws
  Schedule:     every 2h
  Keep:         the last 7
  Time-out:     the operator's default
Runs:
  Last success:  2026-01-01T23:00:30Z (59m ago)
  Last run:      2026-01-01T23:00:30Z (59m ago)
  Next run:      2026-01-02T01:00:00Z (in 1h)
Snapshot:
  Path:          s3://b/v1/etcd-a/x
  Etcd version:  3.5.21
  Revision:      15
  Size:          24608 bytes (25kB)
  Sha256:        ab
  Etcd cluster:  c
  Etcd member:   d
  Layout:        Cluster
  History:       first
Sidecar:
  Service:  etcd-a-backup-sidecar, port 19999
  Ready:    not known
  Open to:  port-forward, and tokens
Conditions:
  TYPE        STATUS   REASON   AGE   MESSAGE
  Succeeded   True     Stored   59m   stored x
Jobs:
  NAME       STATUS     DURATION   AGE
  etcd-a-1   Complete   30s        1h
Events:
  TYPE     REASON    AGE   FROM                  MESSAGE
  Normal   Started   1h    etcdbackup-operator   attempt 1
";

    #[test]
    fn everything_about_a_backup_is_said() {
        let policy = serde_json::json!({"backupIntervalInSecond": 7200, "maxBackups": 7});
        let found = described(backup(policy), job());
        assert_eq!(describe(&found, "2026-01-02T00:00:00Z".parse().unwrap()), TEXT);
    }

    #[test]
    fn the_next_run_follows_from_the_policy() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let next = |policy: serde_json::Value| {
            let found = described(backup(policy), job());
            next_run(&found, &found.backup.status.clone().unwrap(), now)
        };
        assert_eq!(next(serde_json::json!({})), "<none>");
        assert_eq!(next(serde_json::json!({"schedule": "0 3 * * *"})), "2026-01-02T03:00:00Z (in 3h)");
        let zoned = |zone: &str| next(serde_json::json!({"schedule": "0 3 * * *", "timeZone": zone}));
        assert_eq!(zoned("Europe/Berlin"), "2026-01-02T02:00:00Z (in 2h)");
        assert_eq!(zoned("Mars/Olympus"), "by schedule 0 3 * * * in time zone Mars/Olympus");
        assert_eq!(next(serde_json::json!({"schedule": "@every 1h"})), "by schedule @every 1h");
        assert_eq!(next(serde_json::json!({"schedule": "0 3 * * *", "suspend": true})), "<none>, suspended");
        assert_eq!(next(serde_json::json!({"backupIntervalInSecond": 60})), "2026-01-01T23:01:00Z (due)");
    }
}
