//! A snapshot as zstd, to any HTTP client that asks for it.

use async_compression::tokio::write::ZstdDecoder;

use super::*;

const ASKS: &str = "accept-encoding: gzip, zstd\r\n";

/// The body without the framing of HTTP; `None` when its end is missing.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        let chunk = body.get(line + 2..line + 2 + size)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(chunk);
        body = body.get(line + 4 + size..)?;
    }
}

async fn decoded(frame: &[u8]) -> Vec<u8> {
    let mut decoder = ZstdDecoder::new(Vec::new());
    decoder.write_all(frame).await.unwrap();
    decoder.shutdown().await.unwrap();
    decoder.into_inner()
}

#[tokio::test]
async fn whoever_asks_for_zstd_gets_it_with_a_tag_of_its_own() {
    let server = start(3_000_000, Fault::None).await;
    let reply = server.ask("GET", "/v1/backup", ASKS).await;
    let head = server.ask("HEAD", "/v1/backup", ASKS).await;
    for reply in [&reply, &head] {
        assert_eq!(reply.status, 200);
        for (header, value) in [
            ("content-encoding", Some("zstd")),
            ("etag", Some("\"tag-zstd\"")),
            ("vary", Some("accept-encoding")),
            ("x-snapshot-size", Some("3000000")),
            ("x-revision", Some("10")),
            ("content-length", None),
        ] {
            assert_eq!(reply.header(header), value, "{}", reply.head);
        }
    }
    assert_eq!((reply.header("transfer-encoding"), head.body.len()), (Some("chunked"), 0));
    let frame = unchunked(&reply.body).unwrap();
    assert!(frame.len() < 300_000, "{}", frame.len());
    assert!(decoded(&frame).await == server.bytes);
    assert_eq!(server.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn whoever_does_not_ask_for_it_gets_plain_bytes() {
    let server = start(300_000, Fault::None).await;
    for asks in ["", "accept-encoding: gzip, br\r\n", "accept-encoding: *\r\n", "accept-encoding: zstd;q=0\r\n"] {
        let reply = server.ask("GET", "/v1/backup", asks).await;
        assert_eq!((reply.status, &reply.body[..]), (200, &server.bytes[..]), "{asks}");
        assert_eq!((reply.header("etag"), reply.header("content-encoding")), (Some("\"tag\""), None));
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
    }
    let part = server.ask("GET", "/v1/backup", &format!("{ASKS}range: bytes=10-19\r\n")).await;
    assert_eq!((part.status, &part.body[..]), (206, &server.bytes[10..20]));
    assert_eq!((part.header("etag"), part.header("content-encoding")), (Some("\"tag\""), None));
    assert_eq!((part.header("vary"), part.header("x-snapshot-size")), (Some("accept-encoding"), Some("300000")));
}

#[tokio::test]
async fn conditions_know_both_tags() {
    let server = start(1000, Fault::None).await;
    for tag in ["\"tag\"", "\"tag-zstd\"", "*"] {
        for asks in ["", ASKS] {
            let reply = server.ask("GET", "/v1/backup", &format!("{asks}if-match: {tag}\r\n")).await;
            assert_eq!(reply.status, 200, "{tag} {asks}");
        }
    }
    for (asks, tag, status) in [
        ("", "\"tag\"", 304),
        (ASKS, "\"tag-zstd\"", 304),
        (ASKS, "W/\"tag-zstd\"", 304),
        ("", "*", 304),
        ("", "\"tag-zstd\"", 200),
        (ASKS, "\"tag\"", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = server.ask(method, "/v1/backup", &format!("{asks}if-none-match: {tag}\r\n")).await;
            assert_eq!((reply.status, reply.header("vary")), (status, Some("accept-encoding")), "{method} {asks}{tag}");
            assert!(reply.status == 200 || reply.body.is_empty());
        }
    }
}

#[tokio::test]
async fn every_answer_says_that_it_depends_on_the_coding() {
    let server = start(1000, Fault::None).await;
    for (target, headers, status) in [
        ("/v1/backup?etcdVersion=x", "", 400),
        ("/v1/backup?etcdVersion=3.1.0&etcdRevision=11", "", 404),
        ("/v1/backup", "if-match: \"old\"\r\n", 412),
        ("/v1/backup", "range: bytes=1000-\r\n", 416),
    ] {
        let reply = server.ask("GET", target, headers).await;
        assert_eq!((reply.status, reply.header("vary")), (status, Some("accept-encoding")), "{target}");
    }
}

#[tokio::test]
async fn a_store_that_fails_leaves_a_frame_without_an_end_in_a_body_without_an_end() {
    for fault in [Fault::Breaks, Fault::EndsEarly, Fault::TooMuch] {
        let server = start(3_000_000, fault).await;
        let reply = server.ask("GET", "/v1/backup", ASKS).await;
        assert!(reply.status == 0 || reply.header("content-encoding") == Some("zstd"), "{fault:?}: {}", reply.head);
        assert!(unchunked(&reply.body).is_none(), "{fault:?}");
        let metrics = server.get("/metrics").await;
        assert!(metrics.text().contains("etcdbackup_sidecar_broken_downloads_total 1\n"), "{}", metrics.text());
    }
    assert_eq!(start(10, Fault::Gone).await.ask("GET", "/v1/backup", ASKS).await.status, 404);
}
