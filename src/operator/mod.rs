//! `operator`: turns EtcdBackup objects into Jobs, keeps their status and the sidecars.
//!
//! It decides purely and acts thinly: [`plan`], [`job`], [`schedule`], [`sidecar`], [`outcome`],
//! [`oneshot`] and [`status`] are functions of what was read; [`reconcile`] with [`once`] and [`periodic`], and
//! [`serving`], read, ask them and act. All state is in the cluster: names of Jobs follow from the object and the
//! attempt or the minute, so a restart and even a second operator double nothing.
//!
//! What starts a run is a change that is watched, or the time at which the next is due: an idle operator asks
//! nothing. What the watches told is kept ([`cache`]), and [`settled`] sees in it that there is nothing to do.

mod announce;
pub mod args;
mod argv;
mod cache;
mod cached;
mod claim;
mod cronjob;
mod endpoints;
mod expiry;
mod health;
mod job;
mod metrics;
mod once;
mod oneshot;
mod outcome;
mod own_image;
mod pauses;
mod periodic;
mod plan;
mod pod;
mod queue;
mod reconcile;
mod requests;
mod runs;
#[cfg(test)]
mod samples;
mod schedule;
mod serving;
mod settings;
mod settled;
mod sidecar;
mod status;
mod token_review;
mod trouble;
mod watching;
mod writing;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};
use kube::runtime::controller::{Config, Error as ControllerError};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use kube::runtime::{applier, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use self::args::Args;
use self::cached::Cached;
use self::health::Readiness;
use self::metrics::Metrics;
use self::queue::Queue;
use self::settings::Settings;
use self::watching::Caches;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::signals;

pub use own_image::CONTAINER;
pub use plan::unsupported;
pub use pod::{MANAGED_BY, container_security, control_plane_only, control_plane_too, pod_security};
pub use sidecar::probe;
pub use token_review::TOKEN_REVIEW;

/// Time for one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a cluster without the CRD is asked for it again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// How long the API server may take to serve a new CRD.
const UNTIL_SERVED: Duration = Duration::from_secs(1);

/// How many objects are worked on at a time: all of them want to be looked at after a start.
const AT_ONCE: u16 = 16;

/// How many EtcdBackups are read at a time.
const PAGE: u32 = 50;

/// What every reconcile needs.
struct Context {
    session: Session,
    settings: Settings,
    recorder: Recorder,
    /// The cache of the EtcdBackups in scope.
    backups: Store<Cached>,
    /// The Jobs in scope.
    jobs: Api<Job>,
    /// Held while Jobs are counted and created.
    turn: tokio::sync::Mutex<()>,
    /// Who waits for a place among the running Jobs.
    queue: Queue,
    metrics: Metrics,
    /// Rings when a sidecar was made, changed or removed.
    sidecars: tokio::sync::Notify,
    caches: Caches,
    /// When this operator began: what was started earlier was told by another.
    began: Timestamp,
    /// How often in a row the work on an EtcdBackup has failed.
    failures: reconcile::Failures,
}

/// Runs the operator in the session's namespace, or in all with `--cluster-wide`, until SIGTERM or SIGINT.
///
/// # Errors
/// [`ErrorKind::General`] when the health port cannot be had, [`ErrorKind::Usage`] when nothing says which image Jobs
/// get. What the API server refuses is logged and tried again.
pub async fn run(args: Args, session: Session) -> Result<()> {
    let stop = stop_on_signal();
    let ready = Readiness::default();
    let metrics = Metrics::default();
    health::serve(args.health_port, ready.clone(), metrics.clone(), stop.clone()).await?;
    let namespace = if args.cluster_wide { "" } else { session.namespace.as_str() };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, "the operator starts");
    let backups: Api<Cached> = scoped(&session, args.cluster_wide);
    tokio::select! {
        () = until_served(&session, &backups, args.create_crd) => {}
        () = stop.cancelled() => return Ok(()),
    }
    let image = tokio::select! {
        image = own_image::find(&session, &args) => image?,
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!(%image, "the image of Jobs and sidecars");
    ready.set();
    work(&args, image, session, backups, metrics, stop).await;
    tracing::info!("the operator stopped");
    Ok(())
}

async fn work(
    args: &Args,
    image: String,
    session: Session,
    backups: Api<Cached>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let (queue, caches) = (Queue::default(), Caches::default());
    let chosen = watcher::Config { label_selector: args.selector.clone(), ..watcher::Config::default() };
    let (store, own) = watching::own(backups, chosen.page_size(PAGE));
    let others = caches.follow(&session, args.cluster_wide, &queue, &store);
    metrics.of(store.clone());
    let context = Arc::new(Context {
        settings: Settings::new(args, image),
        recorder: announce::recorder(session.client.clone()),
        backups: store.clone(),
        jobs: scoped(&session, args.cluster_wide),
        turn: tokio::sync::Mutex::default(),
        queue,
        metrics,
        sidecars: tokio::sync::Notify::new(),
        caches,
        began: Timestamp::now(),
        failures: reconcile::Failures::default(),
        session,
    });
    let binding = token_review::keep(Arc::clone(&context));
    let reconcile = |backup, context| Box::pin(reconcile::reconcile(backup, context));
    let touched = futures::stream::select(own, others).take_until(stop.cancelled_owned());
    let config = Config::default().concurrency(AT_ONCE);
    let working = applier(reconcile, reconcile::after_error, context, store, touched, config);
    tokio::select! {
        () = working.for_each(|done| async { log(done) }) => {}
        () = binding => {}
    }
}

/// What `reconcile` failed with is logged where it is decided when to try again.
fn log<T>(done: Result<T, ControllerError<Error, watcher::Error>>) {
    match done {
        Ok(_) | Err(ControllerError::ReconcilerFailed(..) | ControllerError::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(error = %crate::error::chain(&error), "a watch broke off and is tried again"),
    }
}

fn scoped<K>(session: &Session, cluster_wide: bool) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let client: Client = session.client.clone();
    if cluster_wide { Api::all(client) } else { Api::namespaced(client, &session.namespace) }
}

/// Waits until EtcdBackups can be listed; says what is missing as long as they cannot, or makes the CRD.
async fn until_served<K: Clone + DeserializeOwned + Debug>(session: &Session, api: &Api<K>, create_crd: bool) {
    while let Err(error) = session.request(TIMEOUT, api.list(&ListParams::default().limit(1))).await {
        if create_crd && error.kind() == ErrorKind::NotFound {
            let made = requests::create_crd(session).await;
            match &made {
                Ok(true) => tracing::info!("made the CRD"),
                // another operator has just made it, or it is another project's
                Ok(false) => tracing::warn!("a CRD of that name is left as it is, and it does not serve v1beta2 yet"),
                Err(error) => tracing::warn!(error = error.message(), "cannot make the CRD"),
            }
            tokio::time::sleep(if made.is_ok_and(|made| made) { UNTIL_SERVED } else { ASK_AGAIN }).await;
            continue;
        }
        let hint = match error.kind() {
            ErrorKind::NotFound => "the CRD is not installed: kubectl etcdbackup install",
            ErrorKind::Denied => "the ServiceAccount may not list EtcdBackups: kubectl etcdbackup install",
            _ => "the API server does not answer",
        };
        tracing::warn!(error = error.message(), hint, "EtcdBackups cannot be listed, trying again in 10 s");
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signals::asked_to_end().await;
        token.cancel();
    });
    stop
}
