//! The client against scripted sidecars, old ones among them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::kubernetes::forward::Fate;

const OLD: &str = "HTTP/1.1 200 OK\r\nX-Etcd-Version: 3.4.0\r\nX-Revision: 15\r\n";

/// Answers each connection with what `script` says to its request line, and then hangs up.
async fn sidecar_that(script: impl Fn(&str) -> String + Send + 'static) -> (ServiceSource, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let line = String::from_utf8(request).unwrap().lines().next().unwrap().to_owned();
            stream.write_all(script(&line).as_bytes()).await.unwrap();
            seen.lock().unwrap().push(line);
        }
    });
    (ServiceSource::at(&url).unwrap(), asked)
}

async fn read(source: &ServiceSource, snapshot: &StoredSnapshot) -> Result<Vec<u8>> {
    let chunks: Vec<_> = source.open(snapshot, None).await.map_err(Failure::into_error)?.try_collect().await?;
    Ok(chunks.concat())
}

fn old(line: &str, body: &str) -> String {
    if line.starts_with("HEAD") {
        format!("{OLD}\r\n")
    } else {
        format!("{OLD}Transfer-Encoding: chunked\r\n\r\n{body}")
    }
}

#[tokio::test]
async fn an_old_sidecar_is_read_without_length_tag_and_version() {
    let (mut source, asked) = sidecar_that(|line| old(line, "5\r\nhello\r\n0\r\n\r\n")).await;
    let found = source.head(&Wanted::default()).await.unwrap();
    assert_eq!((found.name.as_str(), found.size), ("3.4.0_000000000000000f_etcd.backup", None));
    assert_eq!(read(&source, &found).await.unwrap(), b"hello");
    assert_eq!(*asked.lock().unwrap(), ["HEAD /v1/backup HTTP/1.1", "GET /v1/backup HTTP/1.1"]);
}

#[tokio::test]
async fn a_body_without_its_end_is_an_error() {
    for body in ["5\r\nhello\r\n", "5\r\nhel", ""] {
        let (mut source, _) = sidecar_that(move |line| old(line, body)).await;
        let found = source.head(&Wanted::default()).await.unwrap();
        let error = read(&source, &found).await.unwrap_err();
        assert!(error.message().contains("broke off"), "{}", error.message());
    }
    let (mut source, _) = sidecar_that(|_| format!("{OLD}Content-Length: 9\r\n\r\nhello")).await;
    let found = source.head(&Wanted::default()).await.unwrap();
    assert!(read(&source, &found).await.unwrap_err().message().contains("broke off"));
    let (mut source, _) = sidecar_that(|_| format!("{OLD}\r\nhello")).await;
    let found = source.head(&Wanted::default()).await.unwrap();
    assert!(read(&source, &found).await.unwrap_err().message().contains("does not say where it ends"));
}

#[tokio::test]
async fn a_newer_backup_between_look_and_read_is_noticed() {
    let newer = OLD.replace("15", "16") + "Content-Length: 0\r\n\r\n";
    let (mut source, _) =
        sidecar_that(move |line| if line.starts_with("HEAD") { old(line, "") } else { newer.clone() }).await;
    let found = source.head(&Wanted::default()).await.unwrap();
    assert!(read(&source, &found).await.unwrap_err().message().contains("changed since it was chosen"));
}

#[tokio::test]
async fn a_refusal_is_asked_again_for_its_text_and_bounded() {
    let (mut source, asked) = sidecar_that(|line| match line.starts_with("HEAD") {
        true => "HTTP/1.1 500 x\r\n\r\n".to_owned(),
        false => format!("HTTP/1.1 500 x\r\nContent-Length: 90000\r\n\r\n{}", "x".repeat(90_000)),
    })
    .await;
    let error = source.head(&Wanted::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.message().matches('x').count()), (ErrorKind::General, 4096));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

/// A sidecar of ours that answers `each` requests on a connection and then hangs up; gives the requests with the
/// number of their connection.
async fn ours_that_answers(each: usize) -> (ServiceSource, Arc<Mutex<Vec<(usize, String)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<_>>> = Arc::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        for connection in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..each {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let method = String::from_utf8(request).unwrap().split(' ').next().unwrap().to_owned();
                let body = if method == "HEAD" { "" } else { "hello" };
                let answer =
                    format!("{OLD}X-Etcdbackup-History: first\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\n{body}");
                seen.lock().unwrap().push((connection, method));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (ServiceSource::at(&url).unwrap(), asked)
}

#[tokio::test]
async fn bytes_come_over_the_connection_of_the_look_unless_that_is_closed() {
    for (each, connections) in [(2, [1, 1]), (1, [1, 2])] {
        let (mut source, asked) = ours_that_answers(each).await;
        let found = source.head(&Wanted::default()).await.unwrap();
        assert_eq!(read(&source, &found).await.unwrap(), b"hello");
        let [first, second] = connections;
        assert_eq!(*asked.lock().unwrap(), [(first, "HEAD".to_owned()), (second, "GET".to_owned())]);
    }
}

fn of(revision: Option<u64>, version: Option<&str>) -> Wanted {
    Wanted { revision, etcd_version: version.map(|text| text.parse().unwrap()), history: None }
}

/// The query of every request so far.
fn queries(asked: &Mutex<Vec<String>>) -> Vec<String> {
    let query = |line: &String| line.split(' ').nth(1).unwrap().trim_start_matches("/v1/backup").to_owned();
    asked.lock().unwrap().iter().map(query).collect()
}

#[tokio::test]
async fn an_old_sidecar_is_not_asked_about_an_etcd_that_it_cannot_know() {
    let (mut source, asked) = sidecar_that(|line| old(line, "")).await;
    let found = source.head(&of(None, Some("3.5.21"))).await.unwrap();
    assert_eq!(found.name.revision(), 15);
    assert!(source.notes()[0].contains("knows no etcd after 3.2") && source.notes()[0].contains("3.5.21"));
    let error = source.head(&of(None, Some("3.6.0"))).await.unwrap_err();
    assert!(error.message().ends_with("requested version (3.6) is not compatible with the backup (3.4)"), "{error}");
    assert!(source.refused());
    let error = source.head(&of(Some(14), None)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.hints()[0].contains("--from s3"), "{error}");
    assert!(!source.refused(), "another source may have the revision");
    assert_eq!(queries(&asked), [""; 3]);
}

#[tokio::test]
async fn an_old_sidecar_of_an_old_etcd_is_asked_in_its_own_words() {
    let (mut source, asked) = sidecar_that(|line| {
        let answer = old(line, "").replace("3.4.0", "3.1.0");
        if line.contains("etcdRevision") { answer.replace("15", "14") } else { answer }
    })
    .await;
    assert_eq!(source.head(&of(None, Some("3.2.1"))).await.unwrap().name.revision(), 15);
    assert_eq!(source.head(&of(Some(14), Some("3.2.1"))).await.unwrap().name.revision(), 14);
    assert!(source.notes().is_empty());
    assert_eq!(queries(&asked), ["", "?etcdVersion=3.2.1", "", "?etcdVersion=3.1.0&etcdRevision=14"]);
}

#[tokio::test]
async fn a_sidecar_that_selects_no_revision_has_none_such() {
    let (mut source, _) = sidecar_that(|line| old(line, "").replace("3.4.0", "3.1.0")).await;
    let error = source.head(&of(Some(14), None)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.message().contains("was offered 15"), "{error}");
}

#[tokio::test]
async fn a_token_goes_where_it_was_meant_to_and_nowhere_else() {
    let (elsewhere, there) = sidecar_that(|line| old(line, "")).await;
    let to = elsewhere.base.url();
    let (source, _) = sidecar_that(move |_| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n")).await;
    let door = || Door::new(Some("t0ken"), None, "db", "etcd-a").unwrap();
    let error = source.through(door()).head(&Wanted::default()).await.unwrap_err();
    assert!(error.message().contains("redirect"), "{error}");
    assert_eq!(there.lock().unwrap().len(), 0);
    let (source, _) = sidecar_that(|_| "HTTP/1.1 401 x\r\nContent-Length: 4\r\n\r\nno\r\n".to_owned()).await;
    let error = source.through(door()).head(&Wanted::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hints()[0].contains("-n db --audience etcdbackup/db/etcd-a"), "{error}");
    assert!(!error.to_string().contains("t0ken"));
    for bad in ["", "two words", "t\n", "tö"] {
        assert_eq!(
            Door::new(Some(bad), None, "", "").err().map(|error| error.kind()),
            Some(ErrorKind::Usage),
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there_and_somebody_else_there() {
    let error = ServiceSource::at("http://127.0.0.1:1").unwrap().head(&Wanted::default()).await.unwrap_err();
    assert!(error.message().contains("cannot connect"), "{}", error.message());
    for other in ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-x\r\n", ""] {
        let (mut source, _) = sidecar_that(move |_| other.to_owned()).await;
        assert!(source.head(&Wanted::default()).await.is_err(), "{other:?}");
    }
}

/// A forwarded connection: what it sends, and what becomes of it.
fn forwarded(sent: &'static str, stays_open: bool, fate: Fate) -> Line {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let mut request = [0; 4];
        theirs.read_exact(&mut request).await.unwrap();
        theirs.write_all(sent.as_bytes()).await.unwrap();
        if stays_open {
            std::future::pending::<()>().await;
        }
    });
    Line::over(ours, fate)
}

async fn exchanged(line: Line) -> Result<Vec<u8>> {
    let request = Base::of_service("s", "ns").request(Method::GET, request::PATH, "", HeaderMap::new())?;
    let body = Exchange::start(line, request, "service s").await?.into_body()?;
    let chunks: Vec<_> = body.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn a_failed_forward_is_an_error_that_says_why() {
    let refused = || Fate::of(async { Some("connection refused".to_owned()) });
    for (sent, stays_open) in [("", true), ("", false), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true)] {
        let started = Instant::now();
        let error = exchanged(forwarded(sent, stays_open, refused())).await.unwrap_err();
        assert!(error.message().contains("connection refused"), "{}", error.message());
        assert!(started.elapsed() < Duration::from_secs(8));
    }
}

#[tokio::test]
async fn a_forward_that_fails_after_the_last_byte_spoils_nothing() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let late = Fate::of(async { Some("broken pipe".to_owned()) });
    assert_eq!(exchanged(forwarded(whole, false, late)).await.unwrap(), b"hello");
    let quiet = Fate::of(async { None });
    assert_eq!(exchanged(forwarded(whole, true, quiet)).await.unwrap(), b"hello");
}
