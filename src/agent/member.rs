//! What a backup asks of etcd, over the one connection to the member that was chosen.

use std::time::Duration;

use super::history::Now;
use crate::agent::args::BackupArgs;
use crate::error::Result;
use crate::etcd::{self, Chosen, Endpoint, HashKv};
use crate::snapshot::metadata::{KeyHash, Sameness};

/// For a connection to etcd, and for each answer but the snapshot's bytes.
const CONNECT: Duration = Duration::from_secs(5);

/// For an answer of etcd and for each next piece of a snapshot: hashing a large database takes a while.
const ANSWER: Duration = Duration::from_secs(20);

/// An election takes about as long (etcd-io/etcd, server/embed/config.go, `election-timeout` 1000 ms, v3.5).
const ELECTION: Duration = Duration::from_secs(2);

/// How etcd is reached.
///
/// # Errors
/// Those of [`etcd::Tls::from_directory`] and [`etcd::UserPassword::from_directory`].
pub(super) fn access(args: &BackupArgs) -> Result<etcd::Access> {
    Ok(etcd::Access {
        tls: args.tls_dir.as_deref().map(etcd::Tls::from_directory).transpose()?,
        auth: args.auth_dir.as_deref().map(etcd::UserPassword::from_directory).transpose()?,
        connect_timeout: CONNECT,
        request_timeout: ANSWER,
    })
}

/// Chooses the member to back up, and says in the log what became of the others.
///
/// # Errors
/// Those of [`etcd::survey`].
pub(super) async fn choose(endpoints: &[Endpoint], access: &etcd::Access) -> Result<Chosen> {
    let survey = etcd::survey(endpoints, access).await?;
    for (endpoint, outcome) in &survey.others {
        tracing::info!(%endpoint, "not used: {outcome}");
    }
    Ok(survey.chosen)
}

/// Asks the chosen member for its cluster and revision, confirmed by a quorum if there is one, and whether it has
/// the data that `newest`, the greatest stored of the newest history, was taken of.
///
/// # Errors
/// Those of [`etcd::Member::revision`].
pub(super) async fn ask(chosen: &mut Chosen, newest: Option<KeyHash>) -> Result<Now> {
    let mut linearizable = chosen.member.revision(true).await;
    if linearizable.is_err() {
        // right after the loss of a leader etcd refuses at once, and a moment later it has a new one
        tokio::time::sleep(ELECTION).await;
        linearizable = chosen.member.revision(true).await;
    }
    let (revision, confirmed) = match linearizable {
        Ok(revision) => (revision, true),
        Err(error) => {
            tracing::warn!("no quorum answers, the member's own revision is used: {}", error.message());
            (chosen.member.revision(false).await?, false)
        }
    };
    let cluster_id = chosen.answer.status.cluster_id;
    let data = match newest {
        Some(then) if then.revision <= revision => Sameness::of(Some(then), hash_at(chosen, then.revision).await),
        _ => Sameness::Unknown,
    };
    Ok(Now { cluster_id, revision, confirmed, data, time: jiff::Timestamp::now() })
}

/// etcd's hash of all keys at a revision; `None` when it cannot tell, as after a compaction beyond it.
pub(super) async fn hash_at(chosen: &mut Chosen, revision: u64) -> Option<KeyHash> {
    match chosen.member.hash_kv(revision).await {
        Ok(HashKv { revision, compact_revision, hash }) => Some(KeyHash { revision, compact_revision, hash }),
        Err(error) => {
            tracing::warn!(revision, "no hash of the keys: {}", error.message());
            None
        }
    }
}
