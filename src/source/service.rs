//! Snapshots from the backup sidecar of a cluster, ours or etcd-operator's.
//!
//! Source of the interface: coreos/etcd-operator, doc/user/download_backup.md at v0.2.5 and
//! pkg/backup/backup_service.go at v0.6.1. An old sidecar announces no length and no tag, knows no histories
//! and no etcd after 3.2, and ends the body politely when its store breaks off; only the trailer tells then.

mod answer;
mod exchange;
mod request;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::header::{CONTENT_LENGTH, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::net::TcpStream;

use self::answer::{Seen, refuse};
use self::exchange::{Exchange, Line};
use self::request::{Base, exact, query};
use super::{Body, StoredSnapshot, Wanted};
use crate::api::names::{SIDECAR_PORT, sidecar};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::kubernetes::forward::{self, Target};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A sidecar that answers.
pub struct ServiceSource {
    way: Way,
    base: Base,
    /// The query of the last successful look, and whether the sidecar knows exact selection for any etcd.
    asked: Option<(String, bool)>,
    refused: bool,
}

enum Way {
    Forwarded { session: Box<Session>, service: String, target: Target },
    Direct,
}

impl ServiceSource {
    /// Finds the ready pod behind the Service `<cluster>-backup-sidecar` in the session's namespace.
    ///
    /// # Errors
    /// Those of [`forward::find`]; nothing is forwarded yet.
    pub async fn connect(session: &Session, cluster: &str) -> Result<Self> {
        let service = sidecar(cluster);
        let target = forward::find(session, &service, SIDECAR_PORT).await?;
        let base = Base::of_service(&service, &session.namespace);
        let way = Way::Forwarded { session: Box::new(session.clone()), service, target };
        Ok(Self { way, base, asked: None, refused: false })
    }

    /// A sidecar at a URL that is reachable from here, such as `http://etcd-a-backup-sidecar:19999`; contacts nobody.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it is not an http URL.
    pub fn at(url: &str) -> Result<Self> {
        Ok(Self { way: Way::Direct, base: Base::of_url(url)?, asked: None, refused: false })
    }

    /// Which snapshot the sidecar would send. A revision without a version is looked for under the newest
    /// snapshot's version, because the interface takes no revision alone.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it has none such, or when a history has to be chosen;
    /// [`ErrorKind::Denied`]; [`ErrorKind::TimedOut`]; [`ErrorKind::General`] with the sidecar's own words.
    pub async fn head(&mut self, wanted: &Wanted) -> Result<StoredSnapshot> {
        let alone = wanted.revision.filter(|_| wanted.etcd_version.is_none());
        let Some(revision) = alone else { return self.look(wanted).await };
        let newest = self.look(&Wanted { revision: None, ..wanted.clone() }).await?;
        if newest.name.revision() == revision {
            return Ok(newest);
        }
        let version = newest.name.version().clone();
        let under_it = Wanted { etcd_version: Some(version.clone()), ..wanted.clone() };
        self.look(&under_it).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::General => {
                let name = &self.base.shown;
                let sentence = format!("{name}: found no revision {revision} of etcd {version}: {}", error.message());
                Error::not_found(sentence).hint("name the snapshot's own version with --etcd-version, or use --from s3")
            }
            _ => error,
        })
    }

    /// The bytes of a snapshot that [`ServiceSource::head`] gave, over a connection of its own, and their
    /// number where the sidecar announces it.
    ///
    /// # Errors
    /// As [`ServiceSource::head`]; [`ErrorKind::General`] when the sidecar now has another snapshot. The body
    /// ends with an error when it is cut short or stands still for a minute.
    pub async fn open(&self, snapshot: &StoredSnapshot) -> Result<(Body, Option<u64>)> {
        let mut condition = HeaderMap::new();
        let tag = snapshot.etag.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok());
        if let Some(tag) = tag {
            condition.insert(IF_MATCH, tag);
        }
        let query = match &self.asked {
            Some((query, false)) => query.clone(),
            _ => exact(snapshot),
        };
        let answer = self.send(Method::GET, &query, condition).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        let seen = Seen::read(answer.headers(), &self.base)?;
        let length = length(answer.headers());
        let resized = snapshot.size.is_some_and(|size| length.is_some_and(|length| length != size));
        if seen.snapshot.name != snapshot.name || seen.snapshot.history != snapshot.history || resized {
            return Err(self.changed());
        }
        Ok((answer.into_body()?, length))
    }

    /// Whether the last look ended with a no to the question itself: the newest does not suit, or it has to be
    /// asked more exactly. Every other failure is about the service or what it knows.
    pub fn refused(&self) -> bool {
        self.refused
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<StoredSnapshot> {
        let query = query(wanted);
        let mut answer = self.send(Method::HEAD, &query, HeaderMap::new()).await?;
        if answer.status() != StatusCode::OK {
            // an answer to HEAD has no body, and the body says why
            answer = self.send(Method::GET, &query, HeaderMap::new()).await?;
        }
        self.refused = matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::CONFLICT);
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        let mut seen = Seen::read(answer.headers(), &self.base)?;
        // some servers announce 0 where they know no length, and no snapshot is empty
        seen.snapshot.size = length(answer.headers()).filter(|length| *length > 0);
        seen.check(wanted, &self.base)?;
        self.asked = Some((query, seen.modern));
        Ok(seen.snapshot)
    }

    async fn send(&self, method: Method, query: &str, headers: HeaderMap) -> Result<Exchange> {
        let request = self.base.request(method, query, headers)?;
        let line = self.dial().await?;
        Exchange::start(line, request, &self.base.shown).await
    }

    async fn dial(&self) -> Result<Line> {
        match &self.way {
            Way::Forwarded { session, service, target } => match forward::open(session, target).await {
                // the pod may have been replaced since it was found
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let target = forward::find(session, service, SIDECAR_PORT).await?;
                    forward::open(session, &target).await.map(Line::from)
                }
                opened => opened.map(Line::from),
            },
            Way::Direct => {
                let (shown, address) = (&self.base.shown, self.base.address());
                match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => Ok(Line::from(stream)),
                    Ok(Err(error)) => Err(Error::general(format!("{shown}: cannot connect: {error}"))),
                    Err(_) => Err(Error::timed_out(format!("{shown}: no connection within {CONNECT:?}"))),
                }
            }
        }
    }

    async fn refusal(&self, answer: Exchange) -> Error {
        let status = answer.status();
        if status == StatusCode::PRECONDITION_FAILED {
            return self.changed();
        }
        refuse(status, &answer.text().await, &self.base.shown)
    }

    fn changed(&self) -> Error {
        Error::general(format!("{}: the backup changed since it was chosen", self.base.shown)).hint("run it again")
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
