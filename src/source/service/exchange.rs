//! One HTTP/1.1 request over one connection, and a body that cannot end unnoticed.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::error::{Error, Result, chain};
use crate::kubernetes::forward::{Closed, Fate, Tunnel};
use crate::source::Body;

/// Longest wait for the headers of an answer.
const HEADERS: Duration = Duration::from_secs(30);

/// Longest wait for the next bytes of a text.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// What came before a forward failed may still be on its way for so long.
const GRACE: Duration = Duration::from_secs(2);

/// Most bytes of an error text.
const TEXT: usize = 4096;

/// A connection to a sidecar.
pub(super) struct Line {
    io: Box<dyn Io>,
    fate: Fate,
    closed: Option<Closed>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl From<Tunnel> for Line {
    fn from(tunnel: Tunnel) -> Self {
        Self { closed: Some(tunnel.closed), ..Self::over(tunnel.stream, tunnel.fate) }
    }
}

impl From<TcpStream> for Line {
    fn from(stream: TcpStream) -> Self {
        Self::over(stream, Fate::none())
    }
}

impl Line {
    /// A connection over `io`, of which `fate` tells what the bytes do not.
    pub(super) fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, fate: Fate) -> Self {
        Self { io: Box::new(io), fate, closed: None }
    }
}

/// A connection whose last answer is complete and that takes another request.
pub(super) struct Idle {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinSet<()>,
    fate: Fate,
    closed: Option<Closed>,
}

/// A request whose answer has begun.
pub(super) struct Exchange {
    response: Response<Incoming>,
    open: Open,
}

/// What keeps the connection open, and what is said when it breaks.
struct Open {
    shown: String,
    fate: Fate,
    /// What is dropped with the rest. A sender that is dropped tells hyper to close, and the write half has to stay
    /// open to the end; the driver is the task that drives the connection.
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinSet<()>,
    closed: Option<Closed>,
}

impl Exchange {
    /// Sends `request` and waits for the headers of the answer.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) after 30 s;
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when the connection or the forward fails.
    pub(super) async fn start(line: Line, request: Request<Empty<Bytes>>, shown: &str) -> Result<Self> {
        let failed = |error: hyper::Error| Error::general(format!("{shown}: {}", chain(&error)));
        let (sender, connection) = http1::handshake(TokioIo::new(line.io)).await.map_err(failed)?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // the request and the body get the same error
            let _ = connection.await;
        });
        Self::over(Idle { sender, driver, fate: line.fate, closed: line.closed }, request, shown).await
    }

    /// As [`Exchange::start`], over a connection that has had a request before.
    ///
    /// # Errors
    /// Those of [`Exchange::start`]; also when the other side has hung up by now.
    pub(super) async fn over(mut idle: Idle, request: Request<Empty<Bytes>>, shown: &str) -> Result<Self> {
        let answer = tokio::time::timeout(HEADERS, unless_failed(&idle.fate, idle.sender.send_request(request))).await;
        let open = Open {
            shown: shown.to_owned(),
            fate: idle.fate,
            sender: idle.sender,
            driver: idle.driver,
            closed: idle.closed,
        };
        match answer {
            Ok(Ok(Ok(response))) => Ok(Self { response, open }),
            Ok(Ok(Err(error))) => Err(open.broken(&chain(&error)).await),
            Ok(Err(reason)) => Err(Error::general(format!("{shown}: port-forward failed: {reason}"))),
            Err(_) => Err(Error::timed_out(format!("{shown}: no answer within {HEADERS:?}"))),
        }
    }

    /// The connection, after an answer without a body; `None` when the other side ends it.
    pub(super) async fn into_idle(self) -> Option<Idle> {
        let Open { fate, mut sender, driver, closed, .. } = self.open;
        let free = tokio::time::timeout(GRACE, sender.ready()).await;
        matches!(free, Ok(Ok(()))).then_some(Idle { sender, driver, fate, closed })
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The body as it arrives; an error instead of a short end. How long it may stand still is the reader's to say.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when the answer says neither its length nor its end:
    /// then a broken connection could not be told from a whole body.
    pub(super) fn into_body(self) -> Result<Body> {
        let headers = self.response.headers();
        if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
            return Err(Error::general(format!("{}: the answer does not say where it ends", self.open.shown)));
        }
        let start = Some((self.response.into_body(), self.open));
        let chunks = stream::unfold(start, |state| async {
            let (mut incoming, open) = state?;
            match open.next(&mut incoming).await {
                Ok(None) => {
                    open.ended();
                    None
                }
                Ok(Some(chunk)) => Some((Ok(chunk), Some((incoming, open)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(chunks.boxed())
    }

    /// The first 4 KiB of the body, as far as it came.
    pub(super) async fn text(self) -> String {
        let (mut incoming, mut bytes) = (self.response.into_body(), Vec::new());
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout(STALL, self.open.next(&mut incoming)).await {
            bytes.extend_from_slice(&chunk[..chunk.len().min(TEXT - bytes.len())]);
            if bytes.len() >= TEXT {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Open {
    /// The next bytes; `None` at the announced end.
    async fn next(&self, incoming: &mut Incoming) -> Result<Option<Bytes>> {
        loop {
            match unless_failed(&self.fate, incoming.frame()).await {
                Ok(None) => return Ok(None),
                // trailers carry no bytes
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => return Err(self.broken(&chain(&error)).await),
                Err(reason) => return Err(self.broken(&format!("port-forward: {reason}")).await),
            }
        }
    }

    /// The answer says that it is whole, so a forward that has failed by now cost nothing.
    fn ended(&self) {
        if let Some(reason) = self.fate.now() {
            tracing::info!("{}: the port-forward failed after the last byte: {reason}", self.shown);
        }
    }

    /// The connection ended too early; the forward may know why.
    async fn broken(&self, what: &str) -> Error {
        let reason = self.fate.reason(GRACE).await.filter(|reason| !what.contains(reason.as_str()));
        let reason = reason.map(|reason| format!(": port-forward: {reason}")).unwrap_or_default();
        Error::general(format!("{}: broke off: {what}{reason}", self.shown)).hint("run it again")
    }
}

/// Runs `work`; once the forward has failed, only for a moment longer.
async fn unless_failed<T>(fate: &Fate, work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        reason = fate.failed() => tokio::time::timeout(GRACE, work).await.map_err(|_| reason),
    }
}
