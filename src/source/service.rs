//! Snapshots from the backup sidecar of a cluster, ours or etcd-operator's.
//!
//! Source of the interface: coreos/etcd-operator, doc/user/download_backup.md at v0.2.5 and
//! pkg/backup/backup_service.go at v0.6.1. Ours is known by the header X-Etcdbackup-History, which it always sends. An
//! old sidecar announces no length and no tag, knows no histories and no etcd after 3.2, and ends the body politely when
//! its store breaks off; only the trailer tells then.
//!
//! Ours is asked for the whole as zstd, and for what is missing after a break as a range of the plain bytes: a frame
//! cannot be gone on with. Whoever reads an [`Origin`] gets plain bytes either way.

mod answer;
mod decode;
mod door;
mod exchange;
mod list;
mod request;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, IF_MATCH, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use semver::Version;

pub use self::door::Door;

use self::answer::{Coding, Seen, length, refuse};
use self::exchange::{Exchange, Idle, Line};
use self::request::{Base, PATH, exact, query};
use super::origin::{Failure, Opening, Origin, Ranges, Stream};
use super::{Body, StoredSnapshot, Wanted, suits, unsuitable};
use crate::api::names::{SIDECAR_PORT, sidecar};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::kubernetes::forward::{self, Target};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The first minor of etcd that no etcd-operator sidecar knows: its table ends at 3.2.
const UNKNOWN_TO_OLD: (u64, u64) = (3, 3);

/// A sidecar that answers.
pub struct ServiceSource {
    way: Way,
    base: Base,
    /// The query of the last successful look, and whether the sidecar knows exact selection for any etcd.
    asked: Option<(String, bool)>,
    refused: bool,
    notes: Vec<String>,
    /// Whether bytes were asked for: whoever asks again has lost a connection.
    opened: AtomicBool,
    /// The connection of the last look at a sidecar of ours: a second port-forward would cost as much as the first.
    idle: Mutex<Option<Idle>>,
}

enum Way {
    Forwarded {
        session: Box<Session>,
        service: String,
        target: Target,
    },
    /// One pod that nothing takes the place of.
    Pod {
        session: Box<Session>,
        target: Target,
    },
    Direct(Door),
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
        Ok(Self::new(way, base))
    }

    /// A sidecar at a URL that is reachable from here, such as `http://etcd-a-backup-sidecar:19999`; contacts nobody.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it is not an http or https URL.
    pub fn at(url: &str) -> Result<Self> {
        let (way, base) = (Way::Direct(Door::default()), Base::of_url(url)?);
        Ok(Self::new(way, base))
    }

    /// A pod of this version that serves as our sidecar does; `shown` is what messages call it.
    pub fn of_pod(session: &Session, target: Target, shown: &str) -> Self {
        let base = Base::of_service(&target.pod, &session.namespace).called(shown);
        let way = Way::Pod { session: Box::new(session.clone()), target };
        Self { asked: Some((String::new(), true)), ..Self::new(way, base) }
    }

    fn new(way: Way, base: Base) -> Self {
        Self {
            way,
            base,
            asked: None,
            refused: false,
            notes: Vec::new(),
            opened: AtomicBool::new(false),
            idle: Mutex::default(),
        }
    }

    /// Goes in with what `door` holds.
    #[must_use]
    pub fn through(self, door: Door) -> Self {
        Self { way: Way::Direct(door), ..self }
    }

    /// Which snapshot the sidecar would send.
    ///
    /// The newest is always looked at first: its answer tells whose sidecar it is, and so what can be asked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it has none such, or when a history has to be chosen;
    /// [`ErrorKind::Denied`]; [`ErrorKind::TimedOut`]; [`ErrorKind::General`] with the sidecar's own words, or when
    /// the snapshot does not suit `etcd_version`.
    pub async fn head(&mut self, wanted: &Wanted) -> Result<StoredSnapshot> {
        let newest = self.look(&Wanted { history: wanted.history.clone(), ..Wanted::default() }).await?;
        let found = match (wanted.revision, &wanted.etcd_version) {
            (Some(revision), _) if revision != newest.name.revision() => {
                self.exactly(revision, &newest, wanted).await?
            }
            // asked again, because only the sidecar can name an older one that suits
            (None, Some(version)) if self.knows(version) => self.look(wanted).await?,
            _ => newest,
        };
        let Some(version) = &wanted.etcd_version else { return Ok(found) };
        if !self.knows(version) {
            self.notes.push(format!(
                "{}: a sidecar of etcd-operator knows no etcd after 3.2, so it was not asked about {version}; \
                 whether the backup suits is decided here",
                self.base.shown
            ));
        }
        if suits(version, found.name.version()) {
            return Ok(found);
        }
        self.refused = true;
        let error = unsuitable(version, found.name.version()).context(&self.base.shown);
        Err(error.hint("--from s3 names an older one that suits; without --etcd-version you get this one"))
    }

    /// What should be known of how the last [`ServiceSource::head`] was answered.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A revision that is not the newest. The interface wants its version to the patch level: that of the newest
    /// is tried, then `--etcd-version`.
    async fn exactly(&mut self, revision: u64, newest: &StoredSnapshot, wanted: &Wanted) -> Result<StoredSnapshot> {
        let mut versions = vec![newest.name.version().clone()];
        versions.extend(wanted.etcd_version.clone().filter(|version| version != newest.name.version()));
        versions.retain(|version| self.knows(version));
        let shown = self.base.shown.clone();
        let mut missing = Error::not_found(format!(
            "{shown}: a sidecar of etcd-operator selects no revision of etcd 3.3 and later; it offers only {}",
            newest.name.revision()
        ))
        .hint("use --from s3, which reads every revision, or leave out --revision");
        for version in versions {
            let exact = Wanted { revision: Some(revision), etcd_version: Some(version.clone()), ..wanted.clone() };
            missing = match self.look(&exact).await {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::General) => {
                    let why = error.message().trim_start_matches(&format!("{shown}: ")).to_owned();
                    Error::not_found(format!("{shown}: found no revision {revision} of etcd {version}: {why}"))
                        .hint("name the snapshot's own version with --etcd-version, or use --from s3")
                }
                done => return done,
            };
        }
        // another source may well have it
        self.refused = false;
        Err(missing)
    }

    /// Whether the sidecar that answered last can be asked about this etcd.
    fn knows(&self, version: &Version) -> bool {
        self.asked.as_ref().is_some_and(|(_, modern)| *modern) || (version.major, version.minor) < UNKNOWN_TO_OLD
    }

    /// A snapshot that [`ServiceSource::head`] gave, as the origin of a download. Our sidecar sends ranges of one
    /// version; an old one sends a body of unknown length.
    pub fn origin(self: &Arc<Self>, snapshot: &StoredSnapshot) -> Origin {
        let offer = Arc::new(Offer { snapshot: snapshot.clone(), source: Arc::clone(self) });
        match (snapshot.size, &snapshot.etag, &self.asked) {
            (Some(size), Some(etag), Some((_, true))) => {
                let identity = format!("{} {} {etag}", self.base.shown, snapshot.name);
                Origin::Ranged { size, identity, crc64: None, ranges: offer }
            }
            _ => Origin::Streamed { size: snapshot.size, stream: offer },
        }
    }

    /// Whether the last [`ServiceSource::head`] ended with a no to the question itself: the backup does not suit, or
    /// it has to be asked more exactly. Every other failure is about the service or what it knows.
    pub fn refused(&self) -> bool {
        self.refused
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<StoredSnapshot> {
        let query = query(wanted);
        let mut answer = self.send(Method::HEAD, &query, HeaderMap::new(), false).await?;
        if answer.status() != StatusCode::OK {
            // an answer to HEAD has no body, and the body says why
            answer = self.send(Method::GET, &query, HeaderMap::new(), false).await?;
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
        if seen.modern {
            let idle = answer.into_idle().await;
            *self.idle() = idle;
        }
        Ok(seen.snapshot)
    }

    /// Each request goes over a connection of its own, but for one that follows a look; `again` after one that broke.
    async fn send(&self, method: Method, query: &str, mut headers: HeaderMap, again: bool) -> Result<Exchange> {
        if let Way::Direct(Door { token: Some(token), .. }) = &self.way {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let request = self.base.request(method, PATH, query, headers)?;
        let idle = self.idle().take();
        if let Some(idle) = idle {
            match Exchange::over(idle, request.clone(), &self.base.shown).await {
                // it may have been closed, or its pod replaced, since the look
                Err(error) => tracing::debug!("connects anew: {}", error.message()),
                begun => return begun,
            }
        }
        let line = self.dial(again).await?;
        Exchange::start(line, request, &self.base.shown).await
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dial(&self, again: bool) -> Result<Line> {
        let (session, service, target) = match &self.way {
            Way::Forwarded { session, service, target } => (session, service, target),
            Way::Pod { session, target } => return forward::open(session, target).await.map(Line::from),
            Way::Direct(door) => return door::dial(&self.base, door, CONNECT).await,
        };
        if !again {
            match forward::open(session, target).await {
                // the pod may have been replaced since it was found
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened.map(Line::from),
            }
        }
        let target = forward::find_again(session, service, SIDECAR_PORT).await?;
        forward::open(session, &target).await.map(Line::from)
    }

    /// The plain bytes of a snapshot that [`ServiceSource::head`] gave, all or a range.
    ///
    /// # Errors
    /// As [`ServiceSource::head`]; final when the sidecar now has another snapshot. The body ends with an error when
    /// it is cut short.
    pub async fn open(&self, snapshot: &StoredSnapshot, range: Option<Range<u64>>) -> Result<Body, Failure> {
        let query = match &self.asked {
            Some((query, false)) => query.clone(),
            _ => exact(snapshot),
        };
        let again = self.opened.swap(true, Ordering::Relaxed);
        let headers = self.conditions(snapshot, range.as_ref());
        let answer = self.send(Method::GET, &query, headers, again).await.map_err(Failure::Passing)?;
        match (answer.status(), &range) {
            (StatusCode::OK, None) | (StatusCode::PARTIAL_CONTENT, Some(_)) => {}
            (StatusCode::OK, Some(_)) => return Err(Failure::NoRanges),
            (StatusCode::PRECONDITION_FAILED, _) => return Err(Failure::Changed(self.changed())),
            (status, _) if status.is_server_error() => return Err(Failure::Passing(self.refusal(answer).await)),
            _ => return Err(Failure::Final(self.refusal(answer).await)),
        }
        let seen = Seen::read(answer.headers(), &self.base).map_err(Failure::Final)?;
        let coding = Coding::read(answer.headers(), &self.base).map_err(Failure::Final)?;
        if !seen.is_still(snapshot) || !coding.holds(answer.headers(), range.as_ref(), snapshot.size) {
            return Err(Failure::Changed(self.changed()));
        }
        let body = answer.into_body().map_err(Failure::Passing)?;
        Ok(match (coding, snapshot.size) {
            (Coding::Zstd, Some(size)) => decode::plain(body, size, &self.base.shown),
            _ => body,
        })
    }

    /// The headers that ask for the bytes of just this snapshot.
    fn conditions(&self, snapshot: &StoredSnapshot, range: Option<&Range<u64>>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(tag) = snapshot.etag.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok()) {
            headers.insert(IF_MATCH, tag);
        }
        let asked = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        if let Some(asked) = asked.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(RANGE, asked);
        }
        let ours = self.asked.as_ref().is_some_and(|(_, modern)| *modern);
        if ours && range.is_none() && snapshot.size.is_some() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("zstd"));
        }
        headers
    }

    async fn refusal(&self, answer: Exchange) -> Error {
        let status = answer.status();
        let shown = &self.base.shown;
        if status == StatusCode::PRECONDITION_FAILED {
            return self.changed();
        }
        if status.is_redirection() {
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            return Error::general(format!("{shown}: answers with a redirect to {to:?}, which is not followed"))
                .hint("give the URL itself: a token goes to no other host than the one that you named");
        }
        let error = refuse(status, &answer.text().await, shown);
        match &self.way {
            Way::Direct(door) if error.kind() == ErrorKind::Denied => door.advise(error),
            _ => error,
        }
    }

    fn changed(&self) -> Error {
        Error::general(format!("{}: the backup changed since it was chosen", self.base.shown)).hint("run it again")
    }
}

/// One snapshot of one sidecar.
struct Offer {
    source: Arc<ServiceSource>,
    snapshot: StoredSnapshot,
}

impl Ranges for Offer {
    fn open(&self, range: Range<u64>) -> Opening<'_> {
        let whole = self.snapshot.size == Some(range.end) && range.start == 0;
        Box::pin(self.source.open(&self.snapshot, (!whole).then_some(range)))
    }
}

impl Stream for Offer {
    fn open(&self) -> Opening<'_> {
        Box::pin(self.source.open(&self.snapshot, None))
    }
}
