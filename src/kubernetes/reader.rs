//! A short-lived pod that mounts a claim read-only and serves what is on it to port-forwards: a Job that ends by itself.
//!
//! It listens on loopback only, so the right to forward a port to it is the guard. It ends when nobody was connected
//! for a minute, and Kubernetes then removes the Job: a client that was killed leaves nothing behind for long.

mod job;
mod standing;

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use tokio::time::Instant;

pub use self::job::{APP, Identity, Reader};
pub use self::standing::Trouble;

use self::standing::{Standing, standing};
use super::forward::Target;
use super::{DryRun, Session, create};
use crate::error::{Error, ErrorKind, Result};

/// Longest wait for an answer of the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks. A look is a list: whoever may list need not be allowed to watch.
const POLL: Duration = Duration::from_millis(500);

/// Longest wait for the helper, whatever is in its way: a disk may have to be attached first.
const START: Duration = Duration::from_secs(300);

/// Longest wait for the removal of a helper.
const REMOVAL: Duration = Duration::from_secs(10);

/// A Job that was asked for, whether or not it was made.
#[derive(Debug, Clone)]
pub struct Helper {
    pub name: String,
}

impl Helper {
    /// Makes the Job. It is to be ended whatever becomes of this: the answer may be lost.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn start(&self, session: &Session, reader: &Reader) -> Result<()> {
        let job = reader.job(&self.name, &session.namespace);
        create(session, &jobs(session), &job, DryRun::None).await.map(|_| ())
    }

    /// Waits until the container runs; `told` hears what is in the way, once each.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] where an admission refuses the pod; [`ErrorKind::TimedOut`] and [`ErrorKind::General`] with
    /// the words of whoever is in the way, and what to do.
    pub async fn running(&self, session: &Session, mut told: impl FnMut(&str)) -> Result<Target> {
        let begun = Instant::now();
        let mut met: Option<(Trouble, Instant)> = None;
        loop {
            match self.look(session).await? {
                Standing::Running(pod) => return Ok(Target { pod, port: job::PORT }),
                Standing::Ended(why) => return Err(why.into_error(&self.name, session)),
                Standing::Hindered(trouble) => {
                    let since = match &met {
                        Some((known, since)) if known.reason == trouble.reason => *since,
                        _ => {
                            told(&trouble.text());
                            Instant::now()
                        }
                    };
                    if since.elapsed() >= trouble.patience {
                        return Err(trouble.into_error(&self.name, session));
                    }
                    met = Some((trouble, since));
                }
                Standing::Starting => {}
            }
            if begun.elapsed() >= START {
                return Err(self.late(session, met.map(|(trouble, _)| trouble)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn late(&self, session: &Session, met: Option<Trouble>) -> Error {
        let namespace = &session.namespace;
        let error = Error::timed_out(format!("the helper {} did not start within {START:?}", self.name));
        let error = met.iter().fold(error, |error, trouble| error.hint(trouble.text()));
        error.hint(standing::events(namespace))
    }

    async fn look(&self, session: &Session) -> Result<Standing> {
        let namespaced = |field: &str, name: &str| ListParams::default().fields(&format!("{field}={name}"));
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let of_job = ListParams::default().labels(&format!("job-name={}", self.name));
        let pods = session.request(TIMEOUT, pods.list(&of_job)).await?.items;
        let pod = pods.first().and_then(|pod| pod.metadata.name.clone());
        let events: Api<Event> = Api::namespaced(session.client.clone(), &session.namespace);
        let about = namespaced("involvedObject.name", pod.as_deref().unwrap_or(&self.name));
        // they only explain
        let events = session.request(TIMEOUT, events.list(&about)).await.map(|list| list.items).unwrap_or_default();
        Ok(standing(pods.first(), &events))
    }

    /// Deletes the Job with its pod; that it is gone already is no error.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn end(&self, session: &Session) -> Result<()> {
        let params = DeleteParams::background();
        let jobs = jobs(session);
        match session.request(REMOVAL, jobs.delete(&self.name, &params)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn jobs(session: &Session) -> Api<Job> {
    Api::namespaced(session.client.clone(), &session.namespace)
}
