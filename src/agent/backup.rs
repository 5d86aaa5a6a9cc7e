//! `agent backup`: one snapshot, from the best member into the store, proved on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::history::{self, Decision, Now, Stored};
use super::store;
use crate::api::etcdbackup::HashKvStatus;
use crate::api::{RunReport, names};
use crate::aws::{self, S3};
use crate::cli::Ui;
use crate::commands::agent::BackupArgs;
use crate::commands::version::VERSION;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::{self, Chosen, Endpoint, HashKv};
use crate::signals;
use crate::snapshot::metadata::{KeyHash, Metadata, Sameness};
use crate::snapshot::{History, Layout, SnapshotName};
use crate::source::s3::probe;
use crate::source::{Listing, StoredSnapshot};
use crate::transfer::upload::{self, Destination, Uploaded};

/// For a connection to etcd, and for each answer but the snapshot's bytes.
const ETCD_CONNECT: Duration = Duration::from_secs(5);

/// For an answer of etcd and for each next piece of a snapshot: hashing a large database takes a while.
const ETCD_TIMEOUT: Duration = Duration::from_secs(20);

/// An election takes about as long (etcd-io/etcd, server/embed/config.go, `election-timeout` 1000 ms, v3.5).
const ELECTION: Duration = Duration::from_secs(2);

/// Left of `--timeout` to abort the upload and to report.
const TO_CLEAN_UP: Duration = Duration::from_secs(10);

/// Takes the snapshot, writes the report, and prints one line.
///
/// # Errors
/// Usage errors; those of the store, of etcd and of the upload; [`ErrorKind::TimedOut`] after
/// `--timeout`, [`ErrorKind::Interrupted`] after SIGTERM or SIGINT, the upload aborted in both cases.
pub async fn run(args: &BackupArgs, namespace: &str, ui: &Ui) -> Result<()> {
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
    ui.data(line(&ended?))
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

async fn back_up(args: &BackupArgs, namespace: &str, cancel: &CancellationToken) -> Result<RunReport> {
    names::check_cluster_name(&args.store.cluster)?;
    let endpoints = args.endpoints.iter().map(|url| url.parse()).collect::<Result<Vec<Endpoint>>>()?;
    let access = access(args)?;
    // the store first: a snapshot that others store meanwhile can then only be newer than what we saw
    let s3 = store::client(&args.store).await?;
    let place = store::place(&args.store, namespace);
    let probed = probe(&s3, place).await?;
    let (layout, listing) = layout(probed.found, place.layout.unwrap_or(args.default_layout))?;
    // what is there cannot be seen, so nothing can be put there in its right history
    if let Some((_, refused)) = probed.refused.into_iter().find(|(refused, _)| *refused == layout) {
        return Err(refused);
    }
    let directory = layout.directory(place.prefix, namespace, place.cluster);
    let stored = histories(&s3, &listing).await?;

    let survey = etcd::survey(&endpoints, &access).await?;
    for (endpoint, outcome) in &survey.others {
        tracing::info!(%endpoint, "not used: {outcome}");
    }
    let mut chosen = survey.chosen;
    let newest = stored.last_key_value().and_then(|(_, newest)| newest.hash_kv);
    let now = ask(&mut chosen, newest).await?;
    let history = match history::decide(&stored, now) {
        Decision::Into(history) => history,
        Decision::Shared { other } => {
            return Err(Error::general(format!(
                "PrefixShared: {} holds snapshots of the etcd clusters {:x} and {other:x} in turn; nothing was stored",
                s3.url(&directory),
                now.cluster_id
            ))
            .hint("give each cluster a name or a prefix of its own"));
        }
    };
    let hash_kv = hash_at(&mut chosen, now.revision).await;
    let status = &chosen.answer.status;
    let name = SnapshotName::new(status.version.clone(), now.revision);
    let metadata = Metadata {
        agent: VERSION.to_owned(),
        cluster_id: now.cluster_id,
        member: status.member_id,
        revision: now.revision,
        hash_kv,
    };
    let key = format!("{}{name}", history.directory(&directory));
    tracing::info!(endpoint = %chosen.member.endpoint(), member = format!("{:x}", status.member_id), %name, "snapshot begins");
    let destination = Destination { key, metadata };
    let stored = store_snapshot(&s3, &destination, &mut chosen, cancel).await?;
    Ok(report(&s3, &destination, &name, layout, &history, now.confirmed, stored))
}

/// What is stored under the key: just now, or before.
struct Kept {
    size: u64,
    sha256: String,
    already_stored: bool,
}

async fn store_snapshot(
    s3: &S3,
    destination: &Destination,
    chosen: &mut Chosen,
    cancel: &CancellationToken,
) -> Result<Kept> {
    if let Some(kept) = kept(s3, destination).await? {
        return Ok(kept);
    }
    let snapshot = chosen.member.snapshot().await?;
    let size = snapshot.size();
    // behind a balancer the stream may have come from another member: then this call says so, and nothing is completed
    let member = &mut chosen.member;
    let still_the_same = async move { member.revision(false).await.map(|_| Bytes::new()) };
    let body = snapshot.chain(futures::stream::once(still_the_same));
    match upload::store(s3, destination, size, body, cancel).await? {
        Uploaded::Stored(proof) => Ok(Kept { size: proof.size, sha256: proof.sha256_hex(), already_stored: false }),
        Uploaded::AlreadyStored => kept(s3, destination).await?.ok_or_else(|| {
            Error::general(format!("s3: {} was there a moment ago and is gone", s3.url(&destination.key)))
                .hint("run it again")
        }),
    }
}

/// The object under the key if the same etcd cluster stored it: it was proved then. Anybody else's is an error.
async fn kept(s3: &S3, destination: &Destination) -> Result<Option<Kept>> {
    let Some(head) = s3.head(&destination.key).await? else { return Ok(None) };
    let ours = Metadata::from_pairs(|key| head.metadata()?.get(key).map(String::as_str));
    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
    match (ours, size) {
        (Some(ours), Some(size)) if ours.holds_what(&destination.metadata) && size > 32 => {
            let range = format!("bytes={}-{}", size - 32, size - 1);
            let tail = s3.open(&destination.key, head.e_tag(), Some(range)).await?.body.collect().await;
            let tail =
                tail.map_err(|error| Error::general(format!("s3: reading {}: {error}", s3.url(&destination.key))))?;
            let sha256 = crate::snapshot::trailer::Hex(&tail.into_bytes()).to_string();
            Ok(Some(Kept { size, sha256, already_stored: true }))
        }
        (Some(ours), _) if ours.cluster_id == destination.metadata.cluster_id => Err(Error::general(format!(
            "Unproved: {} is stored already, but etcd was compacted since and cannot tell whether it is the same data; \
             nothing was stored",
            s3.url(&destination.key)
        ))
        .hint("the next write to etcd gives it a new revision, which can be stored")),
        // a store that ignores the condition on completion would overwrite it
        _ => Err(upload::key_exists(&s3.url(&destination.key))),
    }
}

/// Asks the chosen member for its cluster and revision, confirmed by a quorum if there is one.
async fn ask(chosen: &mut Chosen, newest: Option<KeyHash>) -> Result<Now> {
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
async fn hash_at(chosen: &mut Chosen, revision: u64) -> Option<KeyHash> {
    match chosen.member.hash_kv(revision).await {
        Ok(HashKv { revision, compact_revision, hash }) => Some(KeyHash { revision, compact_revision, hash }),
        Err(error) => {
            tracing::warn!(revision, "no hash of the keys: {}", error.message());
            None
        }
    }
}

fn access(args: &BackupArgs) -> Result<etcd::Access> {
    Ok(etcd::Access {
        tls: args.tls_dir.as_deref().map(etcd::Tls::from_directory).transpose()?,
        auth: args.auth_dir.as_deref().map(etcd::UserPassword::from_directory).transpose()?,
        connect_timeout: ETCD_CONNECT,
        request_timeout: ETCD_TIMEOUT,
    })
}

/// The layout that already holds this cluster's snapshots, else the default one.
fn layout(found: Vec<(Layout, Listing)>, default: Layout) -> Result<(Layout, Listing)> {
    // the unversioned layout is read, never written
    let mut found: Vec<_> = found.into_iter().filter(|(layout, _)| *layout != Layout::Unversioned).collect();
    match found.len() {
        0 => Ok((default, Listing::default())),
        1 => Ok(found.remove(0)),
        _ => Err(Error::general("more than one layout holds snapshots of this cluster").hint("set spec.s3.layout")),
    }
}

/// The greatest revision and the owner of each stored history.
async fn histories(s3: &S3, listing: &Listing) -> Result<BTreeMap<History, Stored>> {
    let mut greatest: BTreeMap<&History, &StoredSnapshot> = BTreeMap::new();
    for snapshot in &listing.snapshots {
        let best = greatest.entry(&snapshot.history).or_insert(snapshot);
        if snapshot.name > best.name {
            *best = snapshot;
        }
    }
    let mut stored = BTreeMap::new();
    for (history, snapshot) in greatest {
        let head = s3.head(&snapshot.location).await?;
        let metadata = Metadata::from_pairs(|key| head.as_ref()?.metadata()?.get(key).map(String::as_str));
        let recorded = metadata.as_ref().map(|metadata| metadata.cluster_id);
        let of_history = Stored {
            greatest: snapshot.name.revision(),
            cluster_id: history.cluster_id().or(recorded),
            hash_kv: metadata.and_then(|metadata| metadata.hash_kv),
        };
        stored.insert(history.clone(), of_history);
    }
    Ok(stored)
}

fn report(
    s3: &S3,
    destination: &Destination,
    name: &SnapshotName,
    layout: Layout,
    history: &History,
    quorum: bool,
    kept: Kept,
) -> RunReport {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    RunReport::Stored {
        s3_path: format!("{}/{}", s3.bucket, destination.key),
        etcd_version: name.version().to_string(),
        etcd_revision: number(name.revision()),
        size: number(kept.size),
        sha256: kept.sha256,
        cluster_id: format!("{:x}", destination.metadata.cluster_id),
        member: format!("{:x}", destination.metadata.member),
        hash_kv: destination.metadata.hash_kv.map(|found| HashKvStatus {
            revision: number(found.revision),
            compact_revision: found.compact_revision,
            hash: found.hash.into(),
        }),
        quorum,
        layout: Some(layout),
        history: history.name().to_owned(),
        already_stored: kept.already_stored,
        expired: 0,
    }
}

fn line(report: &RunReport) -> String {
    match report {
        RunReport::Stored { s3_path, etcd_revision, etcd_version, size, already_stored, .. } => {
            let word = if *already_stored { "already stored" } else { "sha256 verified" };
            format!("s3://{s3_path}  revision {etcd_revision}  etcd {etcd_version}  {size} bytes  {word}")
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
