//! What an agent tells the operator about a run, through the termination message of its container.

use serde::{Deserialize, Serialize};

use crate::api::etcdbackup::HashKvStatus;
use crate::snapshot::Layout;

/// Most bytes of a report: the kubelet cuts termination messages of a pod at 4 KiB, shared by its
/// containers (kubernetes/kubernetes, pkg/kubelet/kuberuntime, `maxTerminationMessageLength`).
pub const MAX_REPORT_BYTES: usize = 2048;

/// The container's path for the report.
pub const REPORT_PATH: &str = "/dev/termination-log";

/// The outcome of one `agent backup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RunReport {
    /// A proved snapshot is in the store, seen there by a HEAD.
    Stored {
        /// `BUCKET/KEY`, or the path of the file on a volume, which begins with a slash.
        s3_path: String,
        /// Version of the member.
        etcd_version: String,
        /// Revision of the snapshot's name.
        etcd_revision: i64,
        /// Bytes, trailer included.
        size: i64,
        /// The trailer, in hex.
        sha256: String,
        /// etcd's cluster id, in hex.
        #[serde(rename = "clusterID")]
        cluster_id: String,
        /// etcd's member id, in hex.
        member: String,
        /// etcd's hash of all keys, where it could tell.
        #[serde(rename = "hashKV", default, skip_serializing_if = "Option::is_none")]
        hash_kv: Option<HashKvStatus>,
        /// Whether a quorum confirmed the revision; without one the snapshot may be behind.
        #[serde(default)]
        quorum: bool,
        /// The layout that was used; none for a path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layout: Option<Layout>,
        /// The history that the snapshot went to; empty for a path.
        #[serde(default)]
        history: String,
        /// Whether this revision was in the store before, from the same cluster: nothing was stored.
        already_stored: bool,
        /// Snapshots that the run expired.
        #[serde(default)]
        expired: u32,
        /// Why not all that should be were; the snapshot is stored all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expiry_failed: Option<String>,
    },
    /// Nothing was stored.
    Failed {
        /// A sentence that a person can act on.
        reason: String,
    },
}

impl RunReport {
    /// The report as the termination message; a long reason is cut to fit.
    pub fn to_message(&self) -> String {
        let json = |report: &Self| serde_json::to_string(report).unwrap_or_default();
        let message = json(self);
        if message.len() <= MAX_REPORT_BYTES {
            return message;
        }
        let mut short = self.clone();
        match &mut short {
            Self::Failed { reason } => {
                // JSON escapes can grow a character sixfold
                let cut: String = reason.chars().take(MAX_REPORT_BYTES / 8).collect();
                *reason = format!("{cut}…");
            }
            Self::Stored { expiry_failed, .. } => {
                // the key alone may be half of it
                *expiry_failed = expiry_failed.is_some().then(|| "see the log of the run".to_owned());
            }
        }
        json(&short)
    }

    /// Reads a termination message; `None` when it is not a report.
    pub fn from_message(message: &str) -> Option<Self> {
        serde_json::from_str(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(s3_path: &str, expiry_failed: Option<String>) -> RunReport {
        RunReport::Stored {
            s3_path: s3_path.to_owned(),
            etcd_version: "3.5.21".to_owned(),
            etcd_revision: 15,
            size: 24608,
            sha256: "00".repeat(32),
            cluster_id: "cdf818182e3b5f18".to_owned(),
            member: "8e9e05c52164694d".to_owned(),
            hash_kv: None,
            quorum: true,
            layout: Some(Layout::Cluster),
            history: "first".to_owned(),
            already_stored: false,
            expired: 0,
            expiry_failed,
        }
    }

    #[test]
    fn a_report_survives_the_termination_message() {
        let stored = stored("b/v1/etcd-a/3.5.21_000000000000000f_etcd.backup", Some("denied".to_owned()));
        assert_eq!(RunReport::from_message(&stored.to_message()), Some(stored));
        assert_eq!(RunReport::from_message("panicked at"), None);
    }

    #[test]
    fn a_long_reason_is_cut_to_the_limit() {
        let message = RunReport::Failed { reason: "\u{1}".repeat(5000) }.to_message();
        assert!(message.len() <= MAX_REPORT_BYTES, "{}", message.len());
        assert!(matches!(RunReport::from_message(&message), Some(RunReport::Failed { .. })));
        let message = stored(&"k".repeat(1024), Some("\u{1}".repeat(500))).to_message();
        assert!(message.len() <= MAX_REPORT_BYTES, "{}", message.len());
        assert!(matches!(RunReport::from_message(&message), Some(RunReport::Stored { expiry_failed: Some(_), .. })));
    }
}
