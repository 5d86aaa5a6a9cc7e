//! A connection to a port of the pod behind a Service, through the API server and without a local port.

mod target;

use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams, Portforwarder};
use tokio::io::DuplexStream;
use tokio::sync::oneshot;

pub use self::target::Target;
use super::{Session, explain};
use crate::error::{Error, Result, chain};

/// Longest wait for an answer of the API server about the Service and its pods.
const LOOKUP: Duration = Duration::from_secs(30);

/// Longest wait for the forwarded connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest wait for a pod that takes the place of another.
const REPLACEMENT: Duration = Duration::from_secs(15);

/// How often is asked whether it is ready.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// Time for the connection to close politely: an aborted stream can wedge the ones beside it
/// (kubernetes#74551).
const FAREWELL: Duration = Duration::from_secs(2);

/// Finds the pod and the port behind `port` of the Service `name` in the session's namespace.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when there is no such Service;
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when no pod behind it is ready or the port leads
/// nowhere; the API server's own.
pub async fn find(session: &Session, name: &str, port: u16) -> Result<Target> {
    look(session, name, port).await?.ok_or_else(|| unready(name))
}

/// As [`find`], for a pod that may just be replaced: waits 15 s for one that is ready.
///
/// # Errors
/// Those of [`find`].
pub async fn find_again(session: &Session, name: &str, port: u16) -> Result<Target> {
    let ready = async {
        loop {
            match look(session, name, port).await.transpose() {
                Some(found) => return found,
                None => tokio::time::sleep(ASKED_EVERY).await,
            }
        }
    };
    tokio::time::timeout(REPLACEMENT, ready).await.unwrap_or_else(|_| Err(unready(name)))
}

fn unready(name: &str) -> Error {
    Error::general(format!("service {name}: no ready endpoints"))
}

/// `None` while no pod is ready.
async fn look(session: &Session, name: &str, port: u16) -> Result<Option<Target>> {
    let namespace = &session.namespace;
    let services: Api<Service> = Api::namespaced(session.client.clone(), namespace);
    let service = session.request(LOOKUP, services.get_opt(name)).await?;
    let service = service.ok_or_else(|| Error::not_found(format!("no service {name} in namespace {namespace}")))?;
    let selector = target::selector(name, &service)?;
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
    let pods = session.request(LOOKUP, pods.list(&ListParams::default().labels(&selector))).await?;
    target::resolve(name, port, &service, &pods.items)
}

/// Opens one connection to the target. A port-forward carries exactly one, so every attempt needs its own.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) with the verbs that are needed;
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when the pod is gone;
/// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) after 10 s; the API server's own. What fails later
/// is told by [`Tunnel::fate`].
pub async fn open(session: &Session, target: &Target) -> Result<Tunnel> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
    let ports = [target.port];
    let call = async { Ok(pods.portforward(&target.pod, &ports).await) };
    let mut forwarder = session.request(CONNECT, call).await?.map_err(|error| explain(&error, &session.server))?;
    let (stream, error) = (forwarder.take_stream(target.port), forwarder.take_error(target.port));
    let (Some(stream), Some(error)) = (stream, error) else {
        return Err(Error::general(format!("port {} of pod {} was not forwarded", target.port, target.pod)));
    };
    let (report, reported) = oneshot::channel();
    let (closed, closing) = oneshot::channel();
    tokio::spawn(attend(forwarder, error, report, closing));
    let fate = Fate::of(async { reported.await.ok().flatten() });
    Ok(Tunnel { stream, fate, closed: Closed(closed) })
}

/// A connection to a port of a pod.
///
/// Both directions are to be kept open until the answer is complete: containerd ends a forward one second
/// after either direction ended (sandbox_portforward_linux.go), and kube has no half-close.
pub struct Tunnel {
    pub stream: DuplexStream,
    pub fate: Fate,
    /// To be kept as long as the stream.
    pub closed: Closed,
}

/// Dropped when the connection is no longer needed.
pub struct Closed(#[expect(dead_code, reason = "only its drop counts")] oneshot::Sender<()>);

/// What became of a forwarded connection. On the stream itself a failure looks like a plain end.
#[derive(Clone)]
pub struct Fate(Option<Shared<BoxFuture<'static, Option<String>>>>);

impl Fate {
    /// The fate of a connection that tells by itself how it ends.
    pub fn none() -> Self {
        Self(None)
    }

    /// The fate that `reason` tells once the connection has ended: why it failed, if it did.
    pub fn of(reason: impl Future<Output = Option<String>> + Send + 'static) -> Self {
        Self(Some(reason.boxed().shared()))
    }

    /// Why the forward failed, if it did and that is known within `limit`.
    pub async fn reason(&self, limit: Duration) -> Option<String> {
        tokio::time::timeout(limit, self.0.clone()?).await.ok().flatten()
    }

    /// Why the forward has failed by now, if it has.
    pub fn now(&self) -> Option<String> {
        self.0.clone()?.now_or_never().flatten()
    }

    /// Why the forward failed; never resolves when it did not.
    pub async fn failed(&self) -> String {
        match &self.0 {
            Some(reason) => match reason.clone().await {
                Some(reason) => reason,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// Waits for the end of a forward, reports how it ended, and cleans up when nobody needs it any more.
async fn attend(
    forwarder: Portforwarder,
    error: impl Future<Output = Option<String>>,
    report: oneshot::Sender<Option<String>>,
    mut closing: oneshot::Receiver<()>,
) {
    let mut error = std::pin::pin!(error);
    tokio::select! {
        message = &mut error => match message {
            Some(message) => {
                // nobody listening means nobody to tell
                let _ = report.send(Some(message.trim().to_owned()));
                // bytes that came before the message may still be on their way
                let _ = closing.await;
                forwarder.abort();
            }
            // the error channel closes with the task, whose own result is then the truth
            None => {
                let failure = forwarder.join().await.err().map(|error| chain(&error));
                let _ = report.send(failure);
            }
        },
        _ = &mut closing => {
            let _ = tokio::time::timeout(FAREWELL, error).await;
            forwarder.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fate_speaks_only_of_failure() {
        let (report, reported) = oneshot::channel();
        let fate = Fate::of(async { reported.await.ok().flatten() });
        report.send(Some("connection refused".to_owned())).unwrap();
        assert_eq!(
            (fate.failed().await, fate.failed().await),
            ("connection refused".to_owned(), "connection refused".to_owned())
        );
        assert_eq!(fate.reason(CONNECT).await.as_deref(), Some("connection refused"));
        assert_eq!(fate.now().as_deref(), Some("connection refused"));
        let quiet = Fate::of(async { None });
        assert!(quiet.failed().now_or_never().is_none() && quiet.reason(CONNECT).await.is_none());
        assert!(Fate::none().failed().now_or_never().is_none() && Fate::none().reason(CONNECT).await.is_none());
        assert!(quiet.now().is_none() && Fate::none().now().is_none());
    }
}
