//! `agent backup`: one snapshot, from the best member into the store, proved on the way.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::history::Now;
use super::kept::{self, Kept};
use super::place::{self, Place, Series};
use super::retention::Rule;
use super::store::Store;
use super::{member, retention, stale};
use crate::VERSION;
use crate::agent::args::BackupArgs;
use crate::api::etcdbackup::HashKvStatus;
use crate::api::{RunReport, names};
use crate::aws::{self, Encryption};
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::{Chosen, Endpoint};
use crate::signals;
use crate::snapshot::metadata::Metadata;
use crate::transfer::upload::{Destination, Uploaded};

/// Left of `--timeout` to abort the upload and to report.
const TO_CLEAN_UP: Duration = Duration::from_secs(10);

/// Takes the snapshot, writes the report, and says in one line what was stored.
///
/// # Errors
/// Usage errors; those of the store, of etcd and of the upload; [`ErrorKind::TimedOut`] after
/// `--timeout`, [`ErrorKind::Interrupted`] after SIGTERM or SIGINT, the upload aborted in both cases.
pub async fn run(args: &BackupArgs, namespace: &str) -> Result<String> {
    signals::bear_file_limit();
    let cancel = CancellationToken::new();
    let mut work = Box::pin(back_up(args, namespace, &cancel));
    let ended = tokio::select! {
        ended = &mut work => ended,
        reason = stop(args.timeout) => {
            cancel.cancel();
            match tokio::time::timeout(TO_CLEAN_UP, work).await {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => Err(reason.and("nothing was stored")),
                Ok(ended) => ended,
                Err(_) => Err(reason.and("whether it was stored is not known; the next run will tell")),
            }
        }
    };
    let report = match &ended {
        Ok(report) => report.clone(),
        Err(error) => RunReport::Failed { reason: aws::reason(error) },
    };
    if let Some(path) = &args.report {
        write_report(path, &report);
    }
    ended.map(|report| line(&report))
}

/// Why the work has to end.
enum Stop {
    Signal,
    Timeout(Duration),
}

impl Stop {
    fn and(self, what: &str) -> Error {
        match self {
            Self::Signal => Error::interrupted(format!("stopped by a signal; {what}")),
            Self::Timeout(timeout) => {
                Error::timed_out(format!("not done within {timeout:?}; {what}")).hint("raise timeoutInSecond")
            }
        }
    }
}

async fn stop(timeout: Duration) -> Stop {
    tokio::select! {
        () = signals::asked_to_end() => Stop::Signal,
        () = tokio::time::sleep(timeout.saturating_sub(TO_CLEAN_UP).max(timeout / 2)) => Stop::Timeout(timeout),
    }
}

/// Refuses flags that cannot mean anything together, and a name that is none.
fn check(args: &BackupArgs) -> Result<()> {
    if args.keep > 0 && args.store.s3.path.is_some() && !args.periodic {
        return Err(Error::usage(
            "--keep with --path is for --periodic runs: one run has one key, and nothing expires",
        )
        .hint("leave out --keep, or pass --periodic"));
    }
    names::check_cluster_name(&args.store.cluster)
}

async fn back_up(args: &BackupArgs, namespace: &str, cancel: &CancellationToken) -> Result<RunReport> {
    check(args)?;
    let endpoints = args.endpoints.iter().map(|url| url.parse()).collect::<Result<Vec<Endpoint>>>()?;
    let encryption = Encryption::new(args.server_side_encryption.as_deref(), args.kms_key_id.as_deref())?;
    let access = member::access(args)?;
    // the store first: a snapshot that others store meanwhile can then only be newer than what we saw
    let (store, place) = place::open(args, namespace).await?;
    let mut chosen = member::choose(&endpoints, &access).await?;
    let now = member::ask(&mut chosen, place.newest_hash()).await?;
    let now = Now { time: place.time(now.time), ..now };
    let series = place.series(&store, now)?;
    let status = chosen.answer.status.clone();
    let metadata = Metadata {
        agent: VERSION.to_owned(),
        cluster_id: now.cluster_id,
        member: status.member_id,
        revision: now.revision,
        hash_kv: member::hash_at(&mut chosen, now.revision).await,
        quorum: now.confirmed,
    };
    let destination = Destination { key: series.key(&status.version, now), metadata, encryption };
    let (stale, keep) = (args.stale_after, args.keep as usize);
    let rule = |current| Rule { current, cluster_id: now.cluster_id, keep };
    let mut tidied = Tidied::default();
    let kept = match place.unchanged(&store, &destination).await? {
        Some(kept) => kept,
        None => {
            if let Store::Volume(_) = &store {
                // there what should be gone already may take the room that this one needs
                tidied.tidy(&store, &series, rule(&destination.key), stale, cancel).await;
            }
            take(&store, &destination, &mut chosen, cancel).await?
        }
    };
    tidied.tidy(&store, &series, rule(&kept.key), stale, cancel).await;
    Ok(report(&store, &destination.metadata, &status.version, (&place, &series), kept, tidied))
}

/// Takes the snapshot into the store.
async fn take(
    store: &Store,
    destination: &Destination,
    chosen: &mut Chosen,
    cancel: &CancellationToken,
) -> Result<Kept> {
    let key = &destination.key;
    let member = format!("{:x}", destination.metadata.member);
    tracing::info!(endpoint = %chosen.member.endpoint(), member, %key, "snapshot begins");
    let snapshot = chosen.member.snapshot().await?;
    let size = snapshot.size();
    // behind a balancer the stream may have come from another member: then this call says so, and nothing is completed
    let member = &mut chosen.member;
    let still_the_same = async move { member.revision(false).await.map(|_| Bytes::new()) };
    let body = snapshot.chain(futures::stream::once(still_the_same));
    match store.put(destination, size, body, cancel).await? {
        Uploaded::Stored(proof) => {
            let sha256 = proof.sha256_hex();
            Ok(Kept { key: key.clone(), size: proof.size, sha256, already_stored: false })
        }
        Uploaded::AlreadyStored => kept::or_free(store, key, &destination.metadata).await?.ok_or_else(|| {
            Error::general(format!("{} was there a moment ago and is gone", store.url(key))).hint("run it again")
        }),
    }
}

/// What was cleared away.
#[derive(Default)]
struct Tidied {
    expired: u32,
    failed: Option<Error>,
}

impl Tidied {
    /// Aborts stale uploads and expires old snapshots. A failure fails no run and is only told.
    async fn tidy(
        &mut self,
        store: &Store,
        series: &Series,
        rule: Rule<'_>,
        stale: Duration,
        cancel: &CancellationToken,
    ) {
        let work = async {
            if let Err(error) = stale::abort(store, series, stale).await {
                tracing::warn!("stale uploads may be left: {}", error.message());
            }
            retention::expire(store, series, rule, &mut self.expired).await
        };
        let ended = tokio::select! {
            ended = work => ended,
            () = cancel.cancelled() => Err(Error::interrupted("stopped before it was known what may expire")),
        };
        self.failed = ended.err();
        if let Some(error) = &self.failed {
            tracing::warn!("old snapshots may be left: {}", error.message());
        }
    }
}

fn report(
    store: &Store,
    metadata: &Metadata,
    version: &semver::Version,
    (place, series): (&Place, &Series),
    kept: Kept,
    tidied: Tidied,
) -> RunReport {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    RunReport::Stored {
        s3_path: store.path(&kept.key),
        etcd_version: version.to_string(),
        etcd_revision: number(metadata.revision),
        size: number(kept.size),
        sha256: kept.sha256,
        cluster_id: format!("{:x}", metadata.cluster_id),
        member: format!("{:x}", metadata.member),
        hash_kv: metadata.hash_kv.map(|found| HashKvStatus {
            revision: number(found.revision),
            compact_revision: found.compact_revision,
            hash: found.hash.into(),
        }),
        quorum: metadata.quorum,
        layout: place.layout(),
        history: series.history().to_owned(),
        already_stored: kept.already_stored,
        expired: tidied.expired,
        expiry_failed: tidied.failed.map(|error| error.message().to_owned()),
    }
}

fn line(report: &RunReport) -> String {
    match report {
        RunReport::Stored { s3_path, etcd_revision, etcd_version, size, already_stored, expired, .. } => {
            let word = if *already_stored { "already stored" } else { "sha256 verified" };
            let expired = if *expired == 0 { String::new() } else { format!("  {expired} expired") };
            let scheme = if s3_path.starts_with('/') { "" } else { "s3://" };
            format!("{scheme}{s3_path}  revision {etcd_revision}  etcd {etcd_version}  {size} bytes  {word}{expired}")
        }
        RunReport::Failed { reason } => reason.clone(),
    }
}

/// A report that cannot be written changes nothing about what is stored.
fn write_report(path: &Path, report: &RunReport) {
    if let Err(error) = std::fs::write(path, report.to_message()) {
        tracing::warn!(path = %path.display(), %error, "cannot write the report");
    }
}
