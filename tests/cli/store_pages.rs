//! Listings of services whose pages a real one would not send: they are whole, or an error.

use kubectl_etcdbackup::aws::{Access, CredentialSource, ProfileFiles, S3};
use kubectl_etcdbackup::error::Result;

use crate::faults::{Fate, Network};

/// A service that answers only what `pages` makes of the first line of a request.
fn service(pages: impl Fn(&str) -> String + Send + Sync + 'static) -> Network {
    let answer = move |head: &str, _: &[String]| Fate::Answer(200, pages(head.lines().next().unwrap()).leak());
    Network::before("http://127.0.0.1:1", answer)
}

fn ask<T>(network: &Network, what: impl AsyncFnOnce(S3) -> Result<T>) -> Result<T> {
    let credentials = "[default]\naws_access_key_id=a\naws_secret_access_key=b\n".to_owned();
    let files =
        ProfileFiles { origin: "test".to_owned(), credentials: Some(credentials), config: None, warnings: vec![] };
    let access = Access { endpoint_url: Some(network.url.clone()), force_path_style: true, ..Access::default() };
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(async { what(S3::new("bucket", &CredentialSource::Files(files), &access).await.unwrap()).await })
}

fn keys(network: &Network) -> Result<Vec<String>> {
    let objects = ask(network, async |s3| s3.list("p/").await)?;
    Ok(objects.into_iter().map(|object| object.key).collect())
}

fn page(keys: &[&str], more: &str) -> String {
    let objects: String =
        keys.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).collect();
    format!("<ListBucketResult>{more}{objects}</ListBucketResult>")
}

const MORE: &str = "<IsTruncated>true</IsTruncated>";

#[test]
fn pages_without_a_token_go_on_after_the_last_key() {
    let network = service(|line| match line {
        line if line.contains("start-after=p%2Fb") => page(&["p/c"], ""),
        _ => page(&["p/a", "p/b"], MORE),
    });
    assert_eq!(keys(&network).unwrap(), ["p/a", "p/b", "p/c"]);
}

#[test]
fn a_token_says_that_there_is_more_and_a_key_counts_once() {
    let network = service(|line| match line {
        line if line.contains("continuation-token=2") => page(&["p/c", "p/b"], ""),
        _ => page(&["p/a", "p/b"], "<NextContinuationToken>2</NextContinuationToken>"),
    });
    assert_eq!(keys(&network).unwrap(), ["p/a", "p/b", "p/c"]);
}

#[test]
fn pages_that_never_end_are_an_error_and_not_a_short_list() {
    let token = || format!("{MORE}<NextContinuationToken>{}</NextContinuationToken>", jiff::Timestamp::now());
    let services: [fn(&str) -> String; 3] = [
        |_| page(&["p/a"], MORE),
        |_| page(&[], MORE),
        |_| page(&[], &format!("{MORE}<NextContinuationToken>1</NextContinuationToken>")),
    ];
    let always_new = service(move |_| page(&["p/a"], &token()));
    for network in services.map(service).iter().chain([&always_new]) {
        let error = keys(network).unwrap_err();
        assert!(error.message().contains("do not come to an end"), "{error}");
        assert!(network.heads().len() < 4);
    }
}

#[test]
fn names_of_others_with_odd_characters_hide_nothing() {
    let network = service(|_| page(&["p/a&#x1;b&#xA;c", "p/d e+f%2F", "p/../x"], ""));
    assert_eq!(keys(&network).unwrap(), ["p/../x", "p/a\u{1}b\nc", "p/d e+f%2F"]);
}

#[test]
fn unfinished_uploads_are_read_to_the_last_page() {
    let upload = |key: &str| {
        format!("<Upload><Key>{key}</Key><UploadId>1</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>")
    };
    let answer = move |more: &str, keys: &[&str]| {
        let uploads: String = keys.iter().map(|key| upload(key)).collect();
        format!("<ListMultipartUploadsResult>{more}{uploads}</ListMultipartUploadsResult>")
    };
    let next =
        "<IsTruncated>true</IsTruncated><NextKeyMarker>p/a</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>";
    let listed = |network: &Network| -> Result<Vec<String>> {
        let uploads = ask(network, async |s3| s3.begun_uploads("p/").await)?;
        Ok(uploads.into_iter().map(|upload| upload.key).collect())
    };
    let two = service(move |line| match line {
        line if line.contains("key-marker=p%2Fa") && line.contains("upload-id-marker=1") => answer("", &["p/b"]),
        _ => answer(next, &["p/a"]),
    });
    assert_eq!(listed(&two).unwrap(), ["p/a", "p/b"]);
    let endless = service(move |_| answer(next, &["p/a"]));
    assert!(listed(&endless).unwrap_err().message().contains("do not come to an end"));
    assert_eq!(endless.heads().len(), 2);
}
