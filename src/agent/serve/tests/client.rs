//! Our own client against our own server.

use futures::TryStreamExt;
use semver::Version;

use super::*;
use crate::error::ErrorKind;
use crate::source::Wanted;
use crate::source::origin::Failure;
use crate::source::service::ServiceSource;

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
