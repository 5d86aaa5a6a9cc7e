//! `operator`: turns EtcdBackup objects into Jobs, keeps their status and the sidecars.
//!
//! It decides purely and acts thinly: [`plan`], [`job`], [`sidecar`], [`outcome`], [`oneshot`] and [`status`] are
//! functions of what was read; [`reconcile`] and [`serving`] read, ask them and act. All state is in the cluster:
//! names of Jobs follow from the object and the attempt, so a restart and even a second operator double nothing.

mod announce;
mod argv;
mod endpoints;
mod health;
mod job;
mod oneshot;
mod outcome;
mod plan;
mod pod;
mod reconcile;
mod requests;
#[cfg(test)]
mod samples;
mod serving;
mod settings;
mod sidecar;
mod status;
mod token_review;
mod trouble;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Controller, Error as ControllerError};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use self::health::Readiness;
use self::settings::Settings;
use crate::api::EtcdBackup;
use crate::commands::operator::Args;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{FIELD_MANAGER, Session};
use crate::signals;

pub use pod::{MANAGED_BY, container_security, pod_security};
pub use sidecar::probe;
pub use token_review::{TOKEN_REVIEW, token_review_labels};

/// Time for one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a cluster without the CRD is asked for it again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What every reconcile needs.
struct Context {
    session: Session,
    settings: Settings,
    recorder: Recorder,
    /// The cache of the EtcdBackups in scope.
    backups: Store<DeserializeGuard<EtcdBackup>>,
    /// The Jobs in scope.
    jobs: Api<Job>,
    /// Held while Jobs are counted and created.
    turn: tokio::sync::Mutex<()>,
}

/// Runs the operator in the session's namespace, or in all with `--cluster-wide`, until SIGTERM or SIGINT.
///
/// # Errors
/// [`ErrorKind::General`] when the health port cannot be had. What the API
/// server refuses is logged and tried again.
pub async fn run(args: Args, session: Session) -> Result<()> {
    let stop = stop_on_signal();
    let ready = Readiness::default();
    health::serve(args.health_port, ready.clone(), stop.clone()).await?;
    let namespace = if args.cluster_wide { "" } else { session.namespace.as_str() };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, image = %args.image, "the operator starts");
    let backups: Api<DeserializeGuard<EtcdBackup>> = scoped(&session, args.cluster_wide);
    tokio::select! {
        () = until_served(&session, &backups) => {}
        () = stop.cancelled() => return Ok(()),
    }
    ready.set();
    work(&args, session, backups, stop).await;
    tracing::info!("the operator stopped");
    Ok(())
}

async fn work(args: &Args, session: Session, backups: Api<DeserializeGuard<EtcdBackup>>, stop: CancellationToken) {
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER}"));
    let chosen = watcher::Config { label_selector: args.selector.clone(), ..watcher::Config::default() };
    let controller = Controller::new(backups, chosen)
        .owns(scoped::<Job>(&session, args.cluster_wide), ours.clone())
        .owns(scoped::<Deployment>(&session, args.cluster_wide), ours)
        .graceful_shutdown_on(stop.cancelled_owned());
    let context = Arc::new(Context {
        settings: Settings::new(args),
        recorder: announce::recorder(session.client.clone()),
        backups: controller.store(),
        jobs: scoped(&session, args.cluster_wide),
        turn: tokio::sync::Mutex::default(),
        session,
    });
    let sweeping = token_review::sweep(Arc::clone(&context));
    let working = controller.run(reconcile::reconcile, reconcile::after_error, context);
    tokio::select! {
        () = working.for_each(|done| async { log(done) }) => {}
        () = sweeping => {}
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

/// Waits until EtcdBackups can be listed; says what is missing as long as they cannot.
async fn until_served<K: Clone + DeserializeOwned + Debug>(session: &Session, api: &Api<K>) {
    while let Err(error) = session.request(TIMEOUT, api.list(&ListParams::default().limit(1))).await {
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
