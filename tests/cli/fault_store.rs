//! An S3 server that holds one snapshot and does wrong what a test wants it to do wrong; it keeps account of every
//! request. Only faults that a real store does not produce on demand are its business.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::pages::snapshot_with;

/// Keys that every request is signed with, unless a test has others.
pub const KEYS: (&str, &str) = ("AKIDOFTHESETESTS", "secret-of-these-tests");

/// The key of a second run: the last requests of a run that was killed may arrive after it.
pub const AGAIN: &str = "AKIDOFASECONDRUN";

/// The name of the snapshot.
pub const NAME: &str = "3.5.21_00000000000000ff_etcd.backup";

/// Bytes of one write to a client.
const WRITE: usize = 64 << 10;

pub const MIB: u64 = 1 << 20;

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What a good server does.
    None,
    /// A refusal: status, code and more of the XML, and more headers, each with its end of line.
    Refuse(u16, &'static str, &'static str, &'static str),
    /// So many bytes of the body, and then this.
    After(u64, End),
    /// The bit is flipped at this offset of the body.
    Flip(u64),
    /// Status 200 and the whole object, whatever range was asked for.
    Whole,
    /// So many bytes more or fewer are announced than sent.
    Announce(i64),
    /// Bytes after the right ones, until the client has enough.
    Endless,
    /// A byte at a time.
    Drip,
    /// None, but that the headers tell this CRC-64/NVME of this type.
    Offer(u64, &'static str),
}

/// How a body ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The connection is reset.
    Reset,
    /// The connection is closed.
    Close,
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// The rest comes when the test says so.
    Held,
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// In lower case.
    pub head: String,
    /// The bytes that were asked for; `None` for anything but the object.
    pub range: Option<Range<u64>>,
    sent: Arc<AtomicU64>,
}

impl Request {
    /// Bytes of the body that were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether it asks for bytes of the part that begins here, as its first request does.
    pub fn begins(&self, at: u64) -> bool {
        self.range.as_ref().is_some_and(|range| range.start == at)
    }
}

type Rule = dyn Fn(&Request, &[Request]) -> Fault + Send + Sync;

struct Shared {
    bytes: Vec<u8>,
    rule: Box<Rule>,
    /// Bytes per second over all connections.
    pace: Option<u64>,
    /// When the next bytes may go.
    due: Mutex<Instant>,
    sent: AtomicU64,
    requests: Mutex<Vec<Request>>,
    etag: Mutex<String>,
    held: watch::Sender<bool>,
    /// Nothing is sent beyond so many bytes over all connections.
    limit: watch::Sender<u64>,
}

/// The server; it ends with the test.
pub struct Store {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Store {
    /// `rule` is asked with each request and with those that came before.
    pub fn new(bytes: Vec<u8>, rule: impl Fn(&Request, &[Request]) -> Fault + Send + Sync + 'static) -> Self {
        Self::paced(bytes, None, rule)
    }

    /// The same, with so many bytes per second.
    pub fn paced(
        bytes: Vec<u8>,
        pace: Option<u64>,
        rule: impl Fn(&Request, &[Request]) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            bytes,
            rule: Box::new(rule),
            pace,
            due: Mutex::new(Instant::now()),
            sent: AtomicU64::new(0),
            requests: Mutex::default(),
            etag: Mutex::new("\"the-first\"".to_owned()),
            held: watch::Sender::new(true),
            limit: watch::Sender::new(u64::MAX),
        });
        let serving = shared.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = serving.clone();
                // a client that goes away in the middle is what these tests are about
                tokio::spawn(async move { converse(client, &shared).await.ok() });
            }
        });
        Self { url, shared, _runtime: runtime }
    }

    /// The words that lead here, in parts of 1 MiB and two at a time.
    pub fn get(&self) -> String {
        let flags = format!("--bucket bbb --endpoint-url {} --force-path-style", self.url);
        format!("get etcd-a --from s3 -O out --part-size 1 --concurrency 2 --stall-timeout 60s {flags}")
    }

    pub fn bytes(&self) -> &[u8] {
        &self.shared.bytes
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The ranges that were asked for, in their order in the object.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<_> = self.requests().into_iter().filter_map(|request| request.range).collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges
    }

    /// The ranges that were asked for with [`AGAIN`], and their bytes together.
    pub fn asked_again(&self) -> (Vec<Range<u64>>, u64) {
        let again = format!("credential={}/", AGAIN.to_lowercase());
        let requests = self.requests().into_iter().filter(|request| request.head.contains(&again));
        let ranges: Vec<_> = requests.filter_map(|request| request.range).collect();
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        (ranges, bytes)
    }

    /// Bytes of the object that were sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Puts another object of the same size under the key.
    pub fn replace(&self) {
        *self.shared.etag.lock().unwrap() = "\"the-second\"".to_owned();
    }

    /// Lets go what is [`End::Held`].
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Sends nothing beyond so many bytes over all connections.
    pub fn stop_at(&self, sent: u64) {
        self.shared.limit.send_replace(sent);
    }

    /// Waits until `enough` is true of the requests so far.
    pub fn wait(&self, enough: impl Fn(&[Request]) -> bool) {
        while !enough(&self.requests()) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A snapshot of about so many bytes, no two blocks of which are alike.
pub fn snapshot(bytes: u64) -> Vec<u8> {
    // the first three pages are those of the database
    let words = 0..(bytes / 512 - 3) * 64;
    snapshot_with(words.flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()).collect())
}

async fn converse(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        while !received.windows(4).any(|end| end == b"\r\n\r\n") {
            if client.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&received).to_lowercase();
        received.clear();
        let is_object =
            head.starts_with("get ") && head.split(['?', '\n']).next().unwrap().contains(&format!("/{NAME}"));
        let request = Request {
            range: is_object.then(|| asked(&head).unwrap_or(0..shared.bytes.len() as u64)),
            head,
            sent: Arc::default(),
        };
        let fault = {
            let mut requests = shared.requests.lock().unwrap();
            let fault = (shared.rule)(&request, &requests);
            requests.push(request.clone());
            fault
        };
        match &request.range {
            _ if request.head.starts_with("head ") => client.write_all(headers(fault, shared).as_bytes()).await?,
            _ if matches!(fault, Fault::Refuse(..)) => refuse(&mut client, fault).await?,
            None => client.write_all(listing(&request.head, shared).as_bytes()).await?,
            Some(range) => object(&mut client, &request, range.clone(), fault, shared).await?,
        }
    }
}

fn asked(head: &str) -> Option<Range<u64>> {
    let (first, last) = head.split_once("range: bytes=")?.1.lines().next()?.split_once('-')?;
    Some(first.parse().ok()?..last.parse::<u64>().ok()? + 1)
}

/// The answer to a question for the object's headers.
fn headers(fault: Fault, shared: &Shared) -> String {
    match fault {
        Fault::Refuse(status, _, _, headers) => format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n{headers}\r\n"),
        _ => {
            let (size, etag) = (shared.bytes.len(), shared.etag.lock().unwrap());
            let offer = match fault {
                Fault::Offer(crc64, kind) => {
                    let crc64 = STANDARD.encode(crc64.to_be_bytes());
                    format!("x-amz-checksum-crc64nvme: {crc64}\r\nx-amz-checksum-type: {kind}\r\n")
                }
                _ => String::new(),
            };
            format!("HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {size}\r\n{offer}\r\n")
        }
    }
}

async fn refuse(client: &mut TcpStream, fault: Fault) -> io::Result<()> {
    let Fault::Refuse(status, code, more, headers) = fault else { return Ok(()) };
    let body = format!("<Error><Code>{code}</Code><Message>as the test wants it</Message>{more}</Error>");
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n");
    client.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).await
}

/// A page of one key, or of none.
fn listing(head: &str, shared: &Shared) -> String {
    let key = format!("v1/etcd-a/{NAME}");
    let line = head.lines().next().unwrap();
    let (size, etag) = (shared.bytes.len(), shared.etag.lock().unwrap().replace('"', "&quot;"));
    let value = |name: &str| {
        let value = line.split(['?', '&', ' ']).find_map(|pair| pair.strip_prefix(name))?;
        Some(value.replace("%2f", "/"))
    };
    let here =
        key.starts_with(&value("prefix=").unwrap_or_default()) && value("start-after=").is_none_or(|after| key > after);
    let contents = format!(
        "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>{etag}</ETag>\
         <Size>{size}</Size></Contents>"
    );
    let body = format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
        if here { &contents } else { "" }
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn object(
    client: &mut TcpStream,
    request: &Request,
    mut range: Range<u64>,
    fault: Fault,
    shared: &Shared,
) -> io::Result<()> {
    let (size, etag) = (shared.bytes.len() as u64, shared.etag.lock().unwrap().clone());
    if request.head.contains("if-match: ") && !request.head.contains(&format!("if-match: {etag}")) {
        return refuse(client, Fault::Refuse(412, "PreconditionFailed", "", "")).await;
    }
    let mut head = format!("content-range: bytes {}-{}/{size}\r\n", range.start, range.end - 1);
    let mut status = "206 Partial Content";
    if fault == Fault::Whole || !request.head.contains("range: bytes=") {
        (range, status, head) = (0..size, "200 OK", String::new());
    }
    let mut body = shared.bytes[range.start as usize..range.end as usize].to_vec();
    match fault {
        Fault::Flip(at) => body[at as usize] ^= 1,
        Fault::Endless => {
            let head = format!("HTTP/1.1 {status}\r\netag: {etag}\r\n{head}connection: close\r\n\r\n");
            client.write_all(head.as_bytes()).await?;
            send(client, request, &body, shared).await?;
            loop {
                client.write_all(&[0; WRITE]).await?;
            }
        }
        _ => {}
    }
    let announced = match fault {
        Fault::Announce(more) => body.len() as i64 + more,
        _ => body.len() as i64,
    };
    let head = format!("HTTP/1.1 {status}\r\netag: {etag}\r\n{head}content-length: {announced}\r\n\r\n");
    client.write_all(head.as_bytes()).await?;
    pour(client, request, &body, fault, shared).await
}

async fn pour(client: &mut TcpStream, request: &Request, body: &[u8], fault: Fault, shared: &Shared) -> io::Result<()> {
    match fault {
        Fault::After(some, end) => {
            let (first, rest) = body.split_at(body.len().min(some as usize));
            send(client, request, first, shared).await?;
            finish(client, end, shared).await?;
            send(client, request, rest, shared).await
        }
        Fault::Announce(more) => {
            send(client, request, &body[..body.len() - more.min(0).unsigned_abs() as usize], shared).await?;
            if more > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        }
        Fault::Drip => {
            for byte in body {
                send(client, request, &[*byte], shared).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
        _ => send(client, request, body, shared).await,
    }
}

/// Returns when the rest is to be sent.
async fn finish(client: &mut TcpStream, end: End, shared: &Shared) -> io::Result<()> {
    match end {
        End::Reset => client.set_zero_linger()?,
        End::Close => {}
        End::Stall => while client.read(&mut [0]).await? > 0 {},
        End::Held => {
            let _ = shared.held.subscribe().wait_for(|held| !held).await;
            return Ok(());
        }
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

async fn send(client: &mut TcpStream, request: &Request, bytes: &[u8], shared: &Shared) -> io::Result<()> {
    for bytes in bytes.chunks(WRITE) {
        let _ = shared.limit.subscribe().wait_for(|limit| shared.sent.load(Ordering::Relaxed) < *limit).await;
        client.write_all(bytes).await?;
        request.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        shared.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(pace) = shared.pace {
            let due = {
                let mut due = shared.due.lock().unwrap();
                *due = Instant::now().max(*due) + Duration::from_secs_f64(bytes.len() as f64 / pace as f64);
                *due
            };
            tokio::time::sleep_until(due.into()).await;
        }
    }
    Ok(())
}
