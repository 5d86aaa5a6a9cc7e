//! The server over real sockets on loopback, with a store in memory.

mod client;
mod coding;
mod http;
mod tokens;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::connect_info::MockConnectInfo;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::access::Link;
use super::guard::{Clients, Guard};
use super::router::{Server, router};
use super::store::Store;
use super::{listen, presence, serve};
use crate::error::{Error, Result};
use crate::snapshot::{History, SnapshotName};
use crate::source::{Body, Listing, StoredSnapshot, Wanted};

const CHUNK: usize = 64 * 1024;

/// What a store in memory does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Breaks off with an error half way.
    Breaks,
    /// Ends politely half way.
    EndsEarly,
    /// Sends more than it had listed, in one piece.
    TooMuch,
    /// Has lost the object since it was listed.
    Gone,
    /// Cannot be listed.
    Closed,
}

struct Memory {
    snapshots: Vec<StoredSnapshot>,
    bytes: Bytes,
    fault: Fault,
    opened: Arc<AtomicUsize>,
}

impl Store for Memory {
    async fn list(&self) -> Result<Listing> {
        if self.fault == Fault::Closed {
            return Err(Error::denied("s3: access denied listing s3://secret-bucket/"));
        }
        Ok(Listing { snapshots: self.snapshots.clone(), ..Listing::default() })
    }

    async fn find(&self, _: &Wanted) -> Result<Listing> {
        self.list().await
    }

    async fn open(&self, _: &StoredSnapshot, range: Option<RangeInclusive<u64>>) -> Result<Body> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let whole = match range {
            Some(range) => self.bytes.slice(*range.start() as usize..=*range.end() as usize),
            None => self.bytes.clone(),
        };
        let half = whole.slice(..whole.len() / 2);
        let (sent, end) = match self.fault {
            Fault::Gone => return Err(Error::not_found("s3: not there")),
            Fault::Breaks => (half, Some(Err(Error::general("the store broke off")))),
            Fault::EndsEarly => (half, None),
            Fault::TooMuch => (Bytes::new(), Some(Ok([&whole[..], b"more"].concat().into()))),
            _ => (whole, None),
        };
        let starts = (0..sent.len()).step_by(CHUNK);
        let chunks: Vec<_> = starts.map(|at| Ok(sent.slice(at..(at + CHUNK).min(sent.len())))).chain(end).collect();
        Ok(stream::iter(chunks).boxed())
    }

    async fn refresh(&self) {}
}

/// A running server; dropping it stops it.
struct Running {
    port: u16,
    bytes: Bytes,
    opened: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

fn snapshot(name: &str, history: History, size: usize) -> StoredSnapshot {
    let name = SnapshotName::parse(name).unwrap();
    StoredSnapshot {
        location: format!("v1/etcd-a/{name}"),
        name,
        history,
        size: Some(size as u64),
        etag: Some("\"tag\"".to_owned()),
        modified: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    }
}

fn guard(clients: Clients) -> Guard {
    Guard::new(clients, "ns", "etcd-a")
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|i| (i * 31 % 251) as u8).collect()
}

/// Serves a snapshot of ten bytes as if every connection came from another pod; the port.
async fn start_on_pod_network(clients: Clients, opened: &Arc<AtomicUsize>) -> u16 {
    let snapshots = vec![snapshot("3.1.0_0a_etcd.backup", History::First, 10)];
    let store = Memory { snapshots, bytes: bytes(10), fault: Fault::None, opened: Arc::clone(opened) };
    let link = Link { local: "10.0.0.7:19999".parse().ok(), peer: "10.0.0.8:4000".parse().unwrap() };
    let app = router(Arc::new(Server::new(store, guard(clients)))).layer(MockConnectInfo(link));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, app).into_future());
    port
}

/// Serves one snapshot of `size` bytes, `3.1.0` at revision 10.
async fn start(size: usize, fault: Fault) -> Running {
    start_with(vec![snapshot("3.1.0_000000000000000a_etcd.backup", History::First, size)], size, fault).await
}

async fn start_with(snapshots: Vec<StoredSnapshot>, size: usize, fault: Fault) -> Running {
    start_of(snapshots, bytes(size), fault).await
}

async fn start_of(snapshots: Vec<StoredSnapshot>, bytes: Bytes, fault: Fault) -> Running {
    let opened = Arc::default();
    let store = Memory { snapshots, bytes: bytes.clone(), fault, opened: Arc::clone(&opened) };
    let server = Arc::new(Server::new(store, guard(Clients::Loopback)));
    let listeners = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listeners[0].local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(server, listeners, presence::Presence::default(), async {
        let _ = stopped.await;
    }));
    Running { port, bytes, opened, _stop: stop }
}

/// An answer as it came over the socket; status 0 when the connection was aborted before the first byte.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::trim)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Running {
    async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "").await
    }

    async fn ask(&self, method: &str, target: &str, headers: &str) -> Reply {
        raw(self.port, &format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")).await
    }
}

async fn raw(port: u16, request: &str) -> Reply {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // a reset after the last byte is how an aborted answer may end
    let _ = stream.read_to_end(&mut answer).await;
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        assert!(answer.is_empty());
        return Reply { status: 0, head: String::new(), body: answer };
    };
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Reply { status: head[9..12].parse().unwrap(), head, body: answer.split_off(end) }
}
