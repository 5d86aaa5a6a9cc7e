//! Our own client against our own server.

use std::sync::Mutex;

use futures::TryStreamExt;
use semver::Version;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::ErrorKind;
use crate::sha256::Sha256;
use crate::source::Wanted;
use crate::source::origin::Failure;
use crate::source::service::ServiceSource;
use crate::transfer::download::{self, How, Target};

impl Running {
    fn source(&self) -> ServiceSource {
        ServiceSource::at(&format!("http://127.0.0.1:{}", self.port)).unwrap()
    }
}

async fn read(source: &ServiceSource, snapshot: &StoredSnapshot) -> Result<Vec<u8>> {
    source
        .open(snapshot, None)
        .await
        .map_err(Failure::into_error)?
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn finds_and_reads_the_newest() {
    let server = start(3_000_000, Fault::None).await;
    let mut source = server.source();
    let found = source.head(&Wanted::default()).await.unwrap();
    assert_eq!(found.name.as_str(), "3.1.0_000000000000000a_etcd.backup");
    assert_eq!(
        (found.size, found.etag.as_deref(), &found.history),
        (Some(3_000_000), Some("\"tag\""), &History::First)
    );
    assert_eq!(read(&source, &found).await.unwrap(), server.bytes);
}

#[tokio::test]
async fn a_broken_store_is_an_error_at_the_client() {
    for fault in [Fault::Breaks, Fault::EndsEarly] {
        let server = start(3_000_000, fault).await;
        let mut source = server.source();
        let found = source.head(&Wanted::default()).await.unwrap();
        let error = read(&source, &found).await.unwrap_err();
        assert!(error.message().contains("broke off"), "{}", error.message());
    }
}

#[tokio::test]
async fn refusals_come_with_their_text_and_kind() {
    let later = History::Later("20260101T000000Z_ab".to_owned());
    let both =
        vec![snapshot("3.5.0_ff_etcd.backup", History::First, 10), snapshot("3.5.0_02_etcd.backup", later.clone(), 10)];
    let server = start_with(both, 10, Fault::None).await;
    let mut source = server.source();
    let error = source.head(&Wanted::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("20260101T000000Z_ab: newest"), "{}", error.message());
    let latest = Wanted { history: Some("latest".to_owned()), ..Wanted::default() };
    let found = source.head(&latest).await.unwrap();
    assert_eq!((found.name.revision(), &found.history), (2, &later));
    assert_eq!(read(&source, &found).await.unwrap(), server.bytes);
    let version = Wanted { etcd_version: Some(Version::new(3, 9, 0)), ..latest.clone() };
    let error = source.head(&version).await.unwrap_err();
    assert!(
        error.message().ends_with("requested version (3.9) is not compatible with the backup (3.5)"),
        "{}",
        error.message()
    );
    let error = start_with(Vec::new(), 0, Fault::None).await.source().head(&Wanted::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_revision_without_a_version_is_looked_for() {
    let all = vec![
        snapshot("3.5.0_0a_etcd.backup", History::First, 10),
        snapshot("3.5.0_0f_etcd.backup", History::First, 10),
    ];
    let server = start_with(all, 10, Fault::None).await;
    let mut source = server.source();
    for revision in [15, 10] {
        let wanted = Wanted { revision: Some(revision), ..Wanted::default() };
        let found = source.head(&wanted).await.unwrap();
        assert_eq!(found.name.revision(), revision);
        assert_eq!(read(&source, &found).await.unwrap(), server.bytes);
    }
    let error = source.head(&Wanted { revision: Some(11), ..Wanted::default() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_changed_object_is_not_read() {
    let server = start(10, Fault::None).await;
    let mut source = server.source();
    let mut found = source.head(&Wanted::default()).await.unwrap();
    found.etag = Some("\"other\"".to_owned());
    let error = read(&source, &found).await.unwrap_err();
    assert!(error.message().contains("changed since it was chosen"), "{}", error.message());
}

/// A line to the server that breaks once, after so many bytes of the first answer to a GET; the heads of all requests.
async fn breaking(port: u16, after: u64) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (own, heads) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let text = String::from_utf8(head.clone()).unwrap();
            let first = text.starts_with("GET") && !seen.lock().unwrap().iter().any(|head| head.starts_with("GET"));
            seen.lock().unwrap().push(text);
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // one request on each connection
            let head = [&head[..head.len() - 2], b"connection: close\r\n\r\n"].concat();
            server.write_all(&head).await.unwrap();
            let mut answer = server.take(if first { after } else { u64::MAX });
            tokio::spawn(async move { tokio::io::copy(&mut answer, &mut client).await });
        }
    });
    (own, heads)
}

#[tokio::test]
async fn a_download_that_breaks_within_the_frame_goes_on_with_a_range_of_plain_bytes() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut whole: Vec<u8> = (0..4 << 20).map(|n| if n % 3 == 0 { random.u8(..) } else { 0 }).collect();
    whole.extend_from_slice(&Sha256::of(&whole));
    let snapshots = vec![snapshot("3.1.0_0a_etcd.backup", History::First, whole.len())];
    let server = start_of(snapshots, whole.clone().into(), Fault::None).await;
    let (port, heads) = breaking(server.port, 1 << 20).await;
    let mut source = ServiceSource::at(&format!("http://127.0.0.1:{port}")).unwrap();
    let found = source.head(&Wanted::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = Target::File { path: directory.path().join("out"), force: false };
    let came = Arc::<AtomicUsize>::default();
    let told = Arc::clone(&came);
    let advance = Arc::new(move |bytes: u64| {
        told.fetch_add(bytes as usize, Ordering::Relaxed);
    });
    let how = How { concurrency: 1, part_size: u64::MAX, first_pause: std::time::Duration::ZERO, ..How::NEAR };
    let origin = Arc::new(source).origin(&found);
    let proof = download::fetch(origin, &target, &how, advance, &CancellationToken::new()).await.unwrap();
    assert_eq!((proof.size, came.load(Ordering::Relaxed)), (whole.len() as u64, whole.len()));
    assert!(std::fs::read(directory.path().join("out")).unwrap() == whole);
    let heads = heads.lock().unwrap();
    let [_, first, second] = heads.as_slice() else { panic!("{heads:?}") };
    assert!(first.contains("accept-encoding: zstd\r\n") && !first.contains("\nrange: "), "{first}");
    assert!(second.contains("if-match: \"tag\"\r\n") && !second.contains("accept-encoding"), "{second}");
    let start = second.split("\r\nrange: bytes=").nth(1).and_then(|rest| rest.split('-').next()).unwrap();
    // more plain bytes than came over the line
    assert!(start.parse::<usize>().unwrap() > 1 << 20, "{second}");
}
