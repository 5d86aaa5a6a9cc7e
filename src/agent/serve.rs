//! The sidecar: serves the stored snapshots of one cluster over HTTP.
//!
//! Source of the interface: coreos/etcd-operator, pkg/backup/backup_service.go and doc/user/download_backup.md at
//! v0.6.1. What the original lacked is added without changing what its clients send and read: lengths,
//! entity tags, ranges, zstd, histories, and an aborted connection instead of a short 200.

mod access;
mod answer;
mod backup;
mod choose;
mod coding;
mod guard;
mod listen;
mod metrics;
mod presence;
mod query;
mod range;
mod ready;
mod review;
mod router;
mod snapshots;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod volume;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::access::Link;
use self::guard::{Clients, Guard};
use self::listen::Bounded;
use self::presence::Presence;
use self::review::Reviewer;
use self::router::Server;
use self::store::{Mounted, Store};
use self::volume::Volume;
use crate::agent::args::ServeArgs;
use crate::error::Result;
use crate::kubernetes::{KubeFlags, Session};
use crate::signals;

/// Kubernetes kills a pod 30 s after SIGTERM by default; running downloads get most of that.
const DRAIN: Duration = Duration::from_secs(25);

/// Serves the store of `args` until SIGTERM, Ctrl-C or the end of its patience, then lets running downloads finish
/// for 25 s.
///
/// # Errors
/// Those of [`agent::store::open`](crate::agent::store::open); [`ErrorKind::General`](crate::error::ErrorKind::General)
/// when the address cannot be listened on.
pub async fn run(args: &ServeArgs, namespace: &str, kube: &KubeFlags) -> Result<()> {
    match &args.volume_dir {
        Some(directory) => serve_from(Volume::new(directory, &args.store.cluster), args, namespace, kube).await,
        None => serve_from(Mounted::open(&args.store, namespace).await?, args, namespace, kube).await,
    }
}

async fn serve_from<S: Store>(store: S, args: &ServeArgs, namespace: &str, kube: &KubeFlags) -> Result<()> {
    let listeners = listen::bind(args.listen).await?;
    let guard = Guard::new(clients(args, namespace, kube).await, namespace, &args.store.cluster);
    let server = Arc::new(Server::new(store, guard));
    tracing::info!(address = %args.listen, cluster = args.store.cluster, namespace, "serving snapshots");
    let presence = Presence::default();
    let idle = presence.clone();
    let end = async {
        tokio::select! {
            () = signals::asked_to_end() => {}
            () = idle.gone_for(args.idle_timeout) => tracing::info!("no connection for the idle time; ending"),
        }
    };
    serve(server, listeners, presence, end).await;
    Ok(())
}

/// Without a ServiceAccount's token there is nobody to ask about tokens; a port-forward works all the same.
async fn clients(args: &ServeArgs, namespace: &str, kube: &KubeFlags) -> Clients {
    if args.anonymous {
        return Clients::Everybody;
    }
    if args.listen.ip().is_loopback() {
        return Clients::Loopback;
    }
    match Session::connect(kube).await {
        Ok(session) => Clients::Tokens(Box::new(Reviewer::new(session, namespace, &args.store.cluster))),
        Err(error) => {
            tracing::warn!(error = error.message(), "tokens cannot be reviewed; only loopback is served");
            Clients::Loopback
        }
    }
}

/// Serves on `listeners` until `stop` resolves.
async fn serve<S: Store>(
    server: Arc<Server<S>>,
    listeners: Vec<TcpListener>,
    presence: Presence,
    stop: impl Future<Output = ()>,
) {
    let app = router::router(Arc::clone(&server));
    let (stopping, stopped) = watch::channel(());
    let mut serving = JoinSet::new();
    for listener in listeners {
        let app = app.clone().into_make_service_with_connect_info::<Link>();
        let mut stopped = stopped.clone();
        // the sender is dropped to stop, so an error is the signal
        let signal = async move { while stopped.changed().await.is_ok() {} };
        let serve = axum::serve(Bounded::new(listener, presence.clone()), app).with_graceful_shutdown(signal);
        serving.spawn(serve.into_future());
    }
    let mut watching = JoinSet::new();
    watching.spawn(ready::watch(server));
    stop.await;
    drop(stopping);
    let drained = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("stopping with downloads unfinished");
    }
}
