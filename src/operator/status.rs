//! The status of an EtcdBackup, from what is there and what happened: pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::expiry;
use super::outcome::Start;
use super::trouble::Trouble;
use crate::api::conditions::{self, SCHEDULED, SUCCEEDED};
use crate::api::etcdbackup::{PERSISTENT_VOLUME, SnapshotStatus};
use crate::api::{EtcdBackup, EtcdBackupStatus, RunReport, names};

/// The condition's word for a failure that is final for a generation.
const BACKUP_FAILED: &str = "BackupFailed";

const RUNNING: &str = "Running";
const RETRYING: &str = "Retrying";

/// Longest `Reason`, in characters.
const MAX_REASON: usize = 2000;

/// Why nothing runs although nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// `--max-concurrent-runs` are running.
    Queued,
    /// `backupPolicy.suspend`.
    Suspended,
}

impl Idle {
    fn word(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Suspended => "Suspended",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Queued => "waits for another run to end",
            Self::Suspended => "spec.backupPolicy.suspend is set",
        }
    }
}

/// Where the schedule or interval of an EtcdBackup stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheduled {
    /// There is none: there is no condition.
    Not,
    /// A sentence that says when the next run is due.
    Yes(String),
    /// There is one, but it starts nothing: a word and a sentence.
    Stopped(Trouble),
}

impl Scheduled {
    /// `backupPolicy.suspend`.
    pub fn suspended() -> Self {
        let idle = Idle::Suspended;
        Self::Stopped(Trouble { reason: idle.word().to_owned(), message: idle.message().to_owned() })
    }

    fn put(&self, conditions: &mut Vec<Condition>, generation: Option<i64>, now: Timestamp) {
        let (status, reason, message) = match self {
            Self::Not => return conditions.retain(|found| found.type_ != SCHEDULED),
            Self::Yes(message) => ("True", "Scheduled", message),
            Self::Stopped(trouble) => ("False", trouble.reason.as_str(), &trouble.message),
        };
        let condition = Condition {
            type_: SCHEDULED.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: cut(message.clone()),
            observed_generation: generation,
            last_transition_time: Time(whole_seconds(now)),
        };
        put(conditions, condition, false);
    }
}

/// Where the backup of one generation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The object cannot be worked on as it is.
    Rejected(Trouble),
    Idle(Idle),
    /// No run could be started; it is tried again.
    Hindered(Trouble),
    Running {
        number: u32,
        job: String,
        start: Start,
    },
    /// An attempt failed; it is tried again.
    Retrying {
        number: u32,
        reason: String,
        silent: bool,
        at: Timestamp,
    },
    /// Final: a proved snapshot is stored. Always [`RunReport::Stored`].
    Stored {
        report: RunReport,
        at: Timestamp,
    },
    /// Final: the time is used up.
    GaveUp {
        reason: String,
        silent: bool,
        at: Timestamp,
    },
    /// A run that an earlier generation of the spec asked for has ended: `end` is `Stored` or `GaveUp`.
    Earlier {
        generation: i64,
        end: Box<Progress>,
    },
}

/// Whether nothing is to be run for the present generation any more. A rejection is no such end: it
/// is lifted by a label, a flag or a newer operator.
pub fn is_final(backup: &EtcdBackup) -> bool {
    match conditions::verdict(backup) {
        conditions::Verdict::Succeeded => true,
        conditions::Verdict::Failed => of_generation(backup).is_some_and(|found| found.reason == BACKUP_FAILED),
        conditions::Verdict::Open => false,
    }
}

/// When the work on the present generation began: idle time does not count.
pub fn since(backup: &EtcdBackup) -> Option<Timestamp> {
    let condition = of_generation(backup)?;
    (condition.status == "Unknown" && !is_idle(condition)).then_some(condition.last_transition_time.0)
}

fn of_generation(backup: &EtcdBackup) -> Option<&Condition> {
    let found = conditions::find(&backup.status.as_ref()?.conditions, SUCCEEDED)?;
    (found.observed_generation == backup.metadata.generation).then_some(found)
}

fn is_idle(condition: &Condition) -> bool {
    [Idle::Queued, Idle::Suspended].iter().any(|idle| idle.word() == condition.reason)
}

/// Whether the condition tells of something that hinders a run which may still succeed.
fn is_trouble(condition: &Condition) -> bool {
    condition.status == "Unknown" && !is_idle(condition) && ![RUNNING, RETRYING].contains(&condition.reason.as_str())
}

/// The status of `backup` with the condition `Scheduled`.
pub fn schedule(backup: &EtcdBackup, scheduled: &Scheduled, now: Timestamp) -> EtcdBackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    scheduled.put(&mut status.conditions, backup.metadata.generation, now);
    if matches!(scheduled, Scheduled::Yes(_)) || *scheduled == Scheduled::suspended() {
        lift_rejection(&mut status);
    }
    if *scheduled != Scheduled::Not {
        status.observed_generation = backup.metadata.generation;
    }
    status
}

/// What was wrong with the object is right by now, although no run has ended since.
fn lift_rejection(status: &mut EtcdBackupStatus) {
    if status.conditions.iter().any(is_rejection) {
        status.conditions.retain(|found| !is_rejection(found));
        status.reason.clear();
    }
}

fn is_rejection(condition: &Condition) -> bool {
    condition.type_ == SUCCEEDED && condition.status == "False" && condition.reason != BACKUP_FAILED
}

/// Whether nothing is known yet of a run for the present generation, or what is known is not the end of one.
pub fn is_open(backup: &EtcdBackup) -> bool {
    of_generation(backup).is_none_or(|found| found.status == "Unknown")
}

/// How far the clocks of two machines may differ.
pub const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Up to when the status tells how runs ended.
pub fn told(backup: &EtcdBackup) -> Option<Timestamp> {
    backup.status.as_ref()?.last_execution_date.as_ref().map(|time| time.0)
}

/// The status of `backup` after `progress`; everything that progress does not speak of stays.
pub fn next(backup: &EtcdBackup, progress: &Progress, now: Timestamp) -> EtcdBackupStatus {
    let old = of_generation(backup);
    let mut status = backup.status.clone().unwrap_or_default();
    let Some((verdict, word, message)) = tell(&mut status, old, progress) else { return status };
    status.observed_generation = backup.metadata.generation;
    let condition = Condition {
        type_: SUCCEEDED.to_owned(),
        status: verdict.to_owned(),
        reason: word,
        message: cut(message),
        observed_generation: backup.metadata.generation,
        last_transition_time: Time(whole_seconds(now)),
    };
    put(&mut status.conditions, condition, old.is_none_or(is_idle));
    if let Progress::Stored { report, .. } = progress {
        on_volume(&mut status, backup);
        expiry::after_run(&mut status, backup, report, now);
    }
    status
}

/// Puts `progress` into the fields of `status`, and gives status, reason and message of the condition.
fn tell(
    status: &mut EtcdBackupStatus,
    old: Option<&Condition>,
    progress: &Progress,
) -> Option<(&'static str, String, String)> {
    Some(match progress {
        Progress::Rejected(trouble) => {
            status.reason = cut(trouble.text());
            ("False", trouble.reason.clone(), trouble.text())
        }
        Progress::Idle(idle) => {
            if status.conditions.iter().any(is_rejection) {
                status.reason.clear();
            }
            ("Unknown", idle.word().to_owned(), idle.message().to_owned())
        }
        Progress::Earlier { .. } => return None,
        Progress::Hindered(trouble) | Progress::Running { start: Start::Hindered(trouble), .. } => {
            status.reason = cut(trouble.text());
            ("Unknown", trouble.reason.clone(), trouble.text())
        }
        // at the deadline the pod goes before the Job ends: what was in its way must still be told then
        Progress::Running { start: Start::Between, .. } if old.is_some_and(is_trouble) => return None,
        Progress::Running { number, job, .. } => {
            if *number == 1 || old.is_none_or(is_trouble) {
                status.reason.clear();
            }
            ("Unknown", RUNNING.to_owned(), format!("attempt {number} runs as Job {job}"))
        }
        Progress::Retrying { number, reason, silent, at } => {
            ended(status, old, reason, *silent, *at);
            ("Unknown", RETRYING.to_owned(), format!("attempt {number} failed: {}", status.reason))
        }
        Progress::GaveUp { reason, silent, at } => {
            ended(status, old, reason, *silent, *at);
            ("False", BACKUP_FAILED.to_owned(), status.reason.clone())
        }
        Progress::Stored { report, at } => {
            stored(status, report, *at);
            ("True", "Stored".to_owned(), what_was_stored(report))
        }
    })
}

/// `stored BUCKET/KEY`, or that it was there already.
pub fn what_was_stored(report: &RunReport) -> String {
    match report {
        RunReport::Stored { s3_path, already_stored: true, .. } => format!("unchanged since {s3_path} was stored"),
        RunReport::Stored { s3_path, expired: 0, .. } => format!("stored {s3_path}"),
        RunReport::Stored { s3_path, expired, .. } => format!("stored {s3_path}; expired {expired} older"),
        RunReport::Failed { reason } => reason.clone(),
    }
}

fn ended(status: &mut EtcdBackupStatus, old: Option<&Condition>, reason: &str, silent: bool, at: Timestamp) {
    // a run that was cut off without a word was kept from starting by what the status tells already
    if !(silent && old.is_some_and(is_trouble) && !status.reason.is_empty()) {
        status.reason = cut(reason.to_owned());
    }
    status.succeeded = false;
    status.last_execution_date = Some(Time(whole_seconds(at)));
}

fn stored(status: &mut EtcdBackupStatus, report: &RunReport, at: Timestamp) {
    let RunReport::Stored {
        s3_path,
        etcd_version,
        etcd_revision,
        size,
        sha256,
        cluster_id,
        member,
        layout,
        history,
        hash_kv,
        ..
    } = report
    else {
        return;
    };
    let at = Time(whole_seconds(at));
    status.succeeded = true;
    status.reason.clear();
    status.etcd_version.clone_from(etcd_version);
    status.etcd_revision = Some(*etcd_revision);
    status.last_success_date = Some(at.clone());
    status.last_execution_date = Some(at);
    status.s3_path.clone_from(s3_path);
    status.snapshot = Some(SnapshotStatus {
        size: *size,
        sha256: sha256.clone(),
        cluster_id: cluster_id.clone(),
        member: member.clone(),
        hash_kv: *hash_kv,
    });
    status.layout = *layout;
    status.history.clone_from(history);
}

/// What the agent calls by its mount is told by its claim: that is where people find it.
fn on_volume(status: &mut EtcdBackupStatus, backup: &EtcdBackup) {
    status.volume_path.clear();
    if let Some(claim) = names::claim_of(backup).filter(|_| backup.spec.storage_type == PERSISTENT_VOLUME) {
        status.volume_path = format!("{claim}:{}", std::mem::take(&mut status.s3_path));
    }
}

/// Sets a condition. Its time is that of the last change of its status, or now if `restart`.
pub fn put(conditions: &mut Vec<Condition>, mut condition: Condition, restart: bool) {
    match conditions.iter_mut().find(|found| found.type_ == condition.type_) {
        Some(found) => {
            if !restart && found.status == condition.status {
                condition.last_transition_time = found.last_transition_time.clone();
            } else if unchanged(found, &condition) {
                return;
            }
            *found = condition;
        }
        None => conditions.push(condition),
    }
}

fn unchanged(one: &Condition, other: &Condition) -> bool {
    let key = |condition: &Condition| {
        (condition.status.clone(), condition.reason.clone(), condition.message.clone(), condition.observed_generation)
    };
    key(one) == key(other)
}

/// The API's times have no fractions; one with a fraction would never equal what is read back.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// As much of a text as a status takes.
pub fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
