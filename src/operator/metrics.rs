//! `/metrics` of the operator, in the Prometheus text format.
//!
//! Source of the format: prometheus/docs, content/docs/instrumenting/exposition_formats.md, version 0.0.4.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};

use super::cached::Cached;
use super::status::Progress;
use crate::api::EtcdBackup;

/// Upper bounds of the duration's buckets, in seconds.
const BUCKETS: [u64; 8] = [1, 5, 15, 60, 300, 900, 3600, 14400];

/// Most different reasons; what comes after them is `Other`.
const MAX_REASONS: usize = 50;

const OTHER: &str = "Other";

/// What is counted since the operator started; clones count together. What an object's status tells is read
/// from the cache when somebody asks, so that it goes with the object.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counts: Mutex<Counts>,
    backups: OnceLock<Store<Cached>>,
}

#[derive(Default)]
struct Counts {
    attempts: u64,
    /// By outcome and reason.
    runs: BTreeMap<(&'static str, String), u64>,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
    durations: u64,
    /// Names of the unfinished Jobs, by the uid of their EtcdBackup.
    running: BTreeMap<String, BTreeSet<String>>,
}

impl Metrics {
    /// Reads what objects tell from `backups` from now on.
    pub fn of(&self, backups: Store<Cached>) {
        // the first cache is the only one
        let _ = self.0.backups.set(backups);
    }

    /// The unfinished Jobs of an EtcdBackup as they are now; the names of those that were not seen before.
    pub fn running(&self, uid: &str, jobs: BTreeSet<String>) -> Vec<String> {
        let mut counts = self.counts();
        let before = counts.running.remove(uid).unwrap_or_default();
        let fresh: Vec<String> = jobs.difference(&before).cloned().collect();
        counts.attempts += fresh.len() as u64;
        if !fresh.is_empty() {
            // those of EtcdBackups that are gone
            let known = self.0.backups.get().map(Store::state).unwrap_or_default();
            let known: BTreeSet<&str> = known.iter().filter_map(|backup| backup.meta().uid.as_deref()).collect();
            counts.running.retain(|uid, _| known.contains(uid.as_str()));
        }
        if !jobs.is_empty() {
            counts.running.insert(uid.to_owned(), jobs);
        }
        fresh
    }

    /// The status was written after `progress`; counts the end of a run that took `duration`.
    pub fn ended(&self, progress: &Progress, duration: Option<Duration>) {
        let mut counts = self.counts();
        match progress {
            Progress::Stored { .. } => counts.run("succeeded", ""),
            Progress::Retrying { reason, .. } | Progress::GaveUp { reason, .. } => counts.run("failed", reason),
            _ => return,
        }
        if let Some(duration) = duration {
            counts.took(duration);
        }
    }

    /// The text of `/metrics`.
    pub fn text(&self) -> String {
        let state = self.0.backups.get().map(Store::state).unwrap_or_default();
        let backups: Vec<&EtcdBackup> = state.iter().filter_map(|guarded| guarded.0.as_ref().ok()).collect();
        let uids: BTreeSet<String> = backups.iter().filter_map(|backup| backup.uid()).collect();
        let mut counts = self.counts();
        counts.running.retain(|uid, _| uids.contains(uid));
        let mut text = String::new();
        counts.write(&mut text);
        drop(counts);
        of_objects(&mut text, &backups);
        text
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn run(&mut self, outcome: &'static str, reason: &str) {
        let word = word(reason);
        let known = self.runs.contains_key(&(outcome, word.to_owned()));
        let word = if known || self.runs.len() < MAX_REASONS { word } else { OTHER };
        *self.runs.entry((outcome, word.to_owned())).or_default() += 1;
    }

    fn took(&mut self, duration: Duration) {
        for (bound, count) in BUCKETS.iter().zip(&mut self.buckets) {
            *count += u64::from(duration <= Duration::from_secs(*bound));
        }
        self.seconds += duration.as_secs_f64();
        self.durations += 1;
    }

    fn write(&self, text: &mut String) {
        family(
            text,
            "etcdbackup_runs_total",
            "counter",
            "Finished runs by outcome and by the first word of the reason.",
        );
        for ((outcome, reason), count) in &self.runs {
            line(text, "etcdbackup_runs_total", &format!("{{outcome=\"{outcome}\",reason=\"{reason}\"}}"), count);
        }
        family(text, "etcdbackup_attempts_total", "counter", "Jobs seen running.");
        line(text, "etcdbackup_attempts_total", "", &self.attempts);
        family(text, "etcdbackup_jobs_running", "gauge", "Jobs that are not finished.");
        line(text, "etcdbackup_jobs_running", "", &self.running.values().map(BTreeSet::len).sum::<usize>());
        let name = "etcdbackup_run_duration_seconds";
        family(text, name, "histogram", "From the creation of a run's Job to the end of its agent.");
        for (bound, count) in BUCKETS.iter().zip(self.buckets) {
            line(text, &format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), &count);
        }
        line(text, &format!("{name}_bucket"), "{le=\"+Inf\"}", &self.durations);
        line(text, &format!("{name}_sum"), "", &self.seconds);
        line(text, &format!("{name}_count"), "", &self.durations);
    }
}

fn of_objects(text: &mut String, backups: &[&EtcdBackup]) {
    let labels = |backup: &EtcdBackup| {
        // names of Kubernetes need no escape
        format!("{{namespace=\"{}\",name=\"{}\"}}", backup.namespace().unwrap_or_default(), backup.name_any())
    };
    let name = "etcdbackup_last_success_timestamp_seconds";
    family(text, name, "gauge", "When the last successful run of an EtcdBackup ended.");
    for backup in backups {
        if let Some(time) = backup.status.as_ref().and_then(|status| status.last_success_date.as_ref()) {
            line(text, name, &labels(backup), &time.0.as_second());
        }
    }
    let name = "etcdbackup_last_size_bytes";
    family(text, name, "gauge", "Size of the last snapshot of an EtcdBackup.");
    for backup in backups {
        if let Some(snapshot) = backup.status.as_ref().and_then(|status| status.snapshot.as_ref()) {
            line(text, name, &labels(backup), &snapshot.size);
        }
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // writing to a String cannot fail
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

/// The first word of a reason, if it is one of those that we make: `KeyExists: …`.
fn word(reason: &str) -> &str {
    let word = reason.split_once(':').map_or(reason, |(word, _)| word);
    let ours = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if ours { word } else { OTHER }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, at};
    use super::*;

    fn failed(reason: &str) -> Progress {
        Progress::GaveUp { reason: reason.to_owned(), silent: false, at: at(1) }
    }

    #[test]
    fn runs_are_counted_by_the_first_word_of_their_reason() {
        let metrics = Metrics::default();
        let took = Some(Duration::from_millis(4500));
        metrics.ended(&Progress::Stored { report: samples::stored(), at: at(1) }, took);
        metrics.ended(&failed("KeyExists: b/k"), None);
        metrics.ended(&failed("cannot reach \"x\": no"), None);
        let text = metrics.text();
        for line in [
            "etcdbackup_runs_total{outcome=\"succeeded\",reason=\"\"} 1",
            "etcdbackup_runs_total{outcome=\"failed\",reason=\"KeyExists\"} 1",
            "etcdbackup_runs_total{outcome=\"failed\",reason=\"Other\"} 1",
            "etcdbackup_run_duration_seconds_bucket{le=\"1\"} 0",
            "etcdbackup_run_duration_seconds_bucket{le=\"5\"} 1",
            "etcdbackup_run_duration_seconds_sum 4.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn hostile_reasons_do_not_grow_it() {
        let metrics = Metrics::default();
        (0..1000).for_each(|number| metrics.ended(&failed(&format!("Word{number}: x")), None));
        let lines = metrics.text().lines().filter(|line| line.starts_with("etcdbackup_runs_total{")).count();
        assert_eq!(lines, MAX_REASONS + 1);
    }

    #[test]
    fn a_job_counts_once_and_while_it_runs() {
        let metrics = Metrics::default();
        let jobs = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(metrics.running("u", jobs(&["a"])), ["a"]);
        assert_eq!(metrics.running("u", jobs(&["a", "b"])), ["b"]);
        assert!(metrics.running("u", jobs(&[])).is_empty());
        assert!(metrics.text().contains("etcdbackup_attempts_total 2\n"));
        assert!(metrics.text().contains("etcdbackup_jobs_running 0\n"));
    }

    #[test]
    fn what_an_object_tells_goes_with_it() {
        let mut backup = samples::backup(serde_json::json!({"storageType": "S3"}));
        backup.status = Some(crate::api::EtcdBackupStatus {
            last_success_date: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0))),
            ..Default::default()
        });
        let mut text = String::new();
        of_objects(&mut text, &[&backup]);
        let want = "etcdbackup_last_success_timestamp_seconds{namespace=\"default\",name=\"etcd-a-1\"} 1767225600\n";
        assert!(text.contains(want), "{text}");
        assert!(!text.contains("etcdbackup_last_size_bytes{"), "{text}");
    }
}
