//! The EtcdBackups that wait for a place among the running Jobs, and who wakes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::batch::v1::Job;
use kube::runtime::reflector::ObjectRef;

use super::cached::Cached;
use super::job;
use crate::api::EtcdBackup;

/// What the controller calls an EtcdBackup.
pub type Reference = ObjectRef<Cached>;

/// First come, first served. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct Queue(Arc<Mutex<VecDeque<Reference>>>);

impl Queue {
    /// Waits for a place. To be called before the places are counted, or a Job that ends in between wakes nobody.
    pub fn join(&self, backup: &EtcdBackup) {
        let reference = reference(backup);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(&reference) {
            waiting.push_back(reference);
        }
    }

    /// Waits no longer.
    pub fn leave(&self, backup: &EtcdBackup) {
        let reference = reference(backup);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|waiting| *waiting != reference);
    }

    /// Who is to be looked at after a change of `job`: its EtcdBackup and, when it has ended or is gone, the next
    /// that waits and, by `exists`, is still there.
    pub fn woken_by(&self, job: &Job, gone: bool, exists: impl Fn(&Reference) -> bool) -> Vec<Reference> {
        let next = match gone || job::finish(job).is_some() {
            true => {
                let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                std::iter::from_fn(|| waiting.pop_front()).find(exists)
            }
            false => None,
        };
        job::backup_of(job).into_iter().chain(next).collect()
    }
}

fn reference(backup: &EtcdBackup) -> Reference {
    let name = backup.metadata.name.as_deref().unwrap_or_default();
    ObjectRef::new(name).within(backup.metadata.namespace.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn job(conditions: serde_json::Value) -> Job {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "x", "annotations": {"etcd.database.coreos.com/backup": "own"}},
            "status": {"conditions": conditions}
        }))
        .unwrap()
    }

    #[test]
    fn the_end_of_a_job_wakes_the_first_that_waits() {
        let queue = Queue::default();
        for name in ["deleted", "first", "second", "first", "third"] {
            let mut backup = samples::backup(serde_json::json!({"storageType": "S3"}));
            backup.metadata.name = Some(name.to_owned());
            queue.join(&backup);
        }
        let by = |job: &Job, gone| -> Vec<String> {
            let woken = queue.woken_by(job, gone, |found| found.name != "deleted");
            woken.into_iter().map(|found| found.name).collect()
        };
        let woken = |job: &Job| by(job, false);
        assert_eq!(woken(&job(serde_json::json!([]))), ["own"]);
        let ended = job(serde_json::json!([{"type": "Complete", "status": "True"}]));
        assert_eq!(woken(&ended), ["own", "first"]);
        assert_eq!(woken(&ended), ["own", "second"]);
        assert_eq!(by(&job(serde_json::json!([])), true), ["own", "third"]);
        assert_eq!(woken(&ended), ["own"]);
    }
}
