//! What any HTTP client sees.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_get_has_the_headers_of_old_and_a_length() {
    let server = start(300_000, Fault::None).await;
    let reply = server.get("/v1/backup?etcdVersion=3.1.0").await;
    assert_eq!((reply.status, &reply.body[..]), (200, &server.bytes[..]));
    for (header, value) in [
        ("x-etcd-version", "3.1.0"),
        ("x-revision", "10"),
        ("x-etcdbackup-history", "first"),
        ("content-length", "300000"),
        ("etag", "\"tag\""),
        ("accept-ranges", "bytes"),
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=\"3.1.0_000000000000000a_etcd.backup\""),
    ] {
        assert_eq!(reply.header(header), Some(value), "{}", reply.head);
    }
}

#[tokio::test]
async fn a_head_has_the_same_headers_and_opens_nothing() {
    let server = start(300_000, Fault::None).await;
    let reply = server.ask("HEAD", "/v1/backup", "range: bytes=0-1\r\n").await;
    assert_eq!((reply.status, reply.body.len(), reply.header("content-length")), (200, 0, Some("300000")));
    assert_eq!(server.opened.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn ranges_and_conditions() {
    let server = start(1000, Fault::None).await;
    let reply = server.ask("GET", "/v1/backup", "range: bytes=990-2000\r\nif-range: \"tag\"\r\n").await;
    assert_eq!((reply.status, &reply.body[..]), (206, &server.bytes[990..]));
    assert_eq!(
        (reply.header("content-range"), reply.header("content-length")),
        (Some("bytes 990-999/1000"), Some("10"))
    );
    let reply = server.ask("GET", "/v1/backup", "range: bytes=1000-\r\n").await;
    assert_eq!((reply.status, reply.header("content-range")), (416, Some("bytes */1000")));
    let reply = server.ask("GET", "/v1/backup", "range: bytes=1-2\r\nif-range: \"old\"\r\n").await;
    assert_eq!((reply.status, reply.body.len()), (200, 1000));
    let reply = server.ask("GET", "/v1/backup", "if-match: \"old\"\r\n").await;
    assert_eq!(reply.status, 412);
}

#[tokio::test]
async fn refusals_are_plain_text() {
    let server = start(1000, Fault::None).await;
    for (target, status, text) in [
        ("/v1/backup?etcdVersion=3.3.0", 400, "requested version (3.3) is not compatible with the backup (3.1)\n"),
        ("/v1/backup?etcdVersion=3.1.0&etcdRevision=x", 400, "revision is not a vaild integer\n"),
        ("/v1/backup?etcdVersion=3.1.0&etcdRevision=11", 404, "backup not found\n"),
        ("/v1/backup/3.1.0_000000000000000a_etcd.backup", 404, "404 page not found\n"),
        ("/v1/backupnow", 404, "404 page not found\n"),
        ("/", 404, "404 page not found\n"),
    ] {
        let reply = server.get(target).await;
        assert_eq!((reply.status, reply.text()), (status, text), "{target}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    let reply = server.ask("POST", "/v1/backup", "content-length: 0\r\n").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn two_histories_are_a_conflict_with_candidates() {
    let later = History::Later("20260101T000000Z_ab".to_owned());
    let both = vec![snapshot("3.5.0_ff_etcd.backup", History::First, 10), snapshot("3.5.0_02_etcd.backup", later, 10)];
    let server = start_with(both, 10, Fault::None).await;
    let reply = server.get("/v1/backup").await;
    assert_eq!(reply.status, 409);
    assert_eq!(reply.text().lines().filter(|line| line.contains(": newest ")).count(), 2, "{}", reply.text());
    let reply = server.get("/v1/backup?history=latest").await;
    assert_eq!((reply.status, reply.header("x-revision")), (200, Some("2")));
    assert_eq!(reply.header("x-etcdbackup-history"), Some("20260101T000000Z_ab"));
}

#[tokio::test]
async fn a_store_that_fails_is_never_a_whole_answer() {
    for fault in [Fault::Breaks, Fault::EndsEarly, Fault::TooMuch] {
        let server = start(300_000, fault).await;
        let reply = server.get("/v1/backup").await;
        assert!(reply.status == 0 || reply.header("content-length") == Some("300000"), "{fault:?}: {}", reply.head);
        assert!(reply.body.len() < 300_000, "{fault:?}");
    }
    let mut unsized_one = snapshot("3.1.0_0a_etcd.backup", History::First, 0);
    unsized_one.size = None;
    let server = start_with(vec![unsized_one], 300_000, Fault::Breaks).await;
    let reply = server.get("/v1/backup").await;
    assert!(reply.status == 0 || reply.header("transfer-encoding") == Some("chunked"), "{}", reply.head);
    assert!(!reply.body.ends_with(b"0\r\n\r\n"));
    assert_eq!(start(10, Fault::Gone).await.get("/v1/backup").await.status, 404);
    assert_eq!(start(10, Fault::Closed).await.get("/v1/backup").await.status, 502);
}

#[tokio::test]
async fn health_readiness_metrics_and_status() {
    let server = start(1000, Fault::None).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let mut ready = server.get("/readyz").await.status;
    for _ in 0..100 {
        if ready == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ready = server.get("/readyz").await.status;
    }
    assert_eq!(ready, 200);
    server.get("/v1/backup").await;
    let metrics = server.get("/metrics").await;
    assert!(metrics.text().contains("etcdbackup_sidecar_sent_bytes_total 1000\n"), "{}", metrics.text());
    let status: serde_json::Value = serde_json::from_slice(&server.get("/v1/status").await.body).unwrap();
    assert_eq!((&status["backups"], &status["recentBackup"]["revision"]), (&1.into(), &10.into()));
    let closed = start(10, Fault::Closed).await;
    let reply = closed.get("/readyz").await;
    assert_eq!(reply.status, 503);
    assert!(!reply.text().contains("secret-bucket"), "{}", reply.text());
}

#[tokio::test]
async fn a_client_of_the_pod_network_gets_probes_and_no_snapshot() {
    for (anonymous, expected) in [(false, 503), (true, 200)] {
        let opened = Arc::default();
        let clients = if anonymous { Clients::Everybody } else { Clients::Loopback };
        let port = start_on_pod_network(clients, &opened).await;
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-forwarded-for: 127.0.0.1\r\nconnection: close\r\n\r\n")
        };
        for path in ["/v1/backup", "/v1/status", "//v1/backup", "/v1/../v1/backup", "/V1/backup", "/v1/%62ackup"] {
            let reply = raw(port, &get(path)).await;
            assert!(reply.status == expected || reply.status == 404, "{path}: {}", reply.status);
            assert!(anonymous || reply.status != 200, "{path}");
        }
        let reply = raw(port, &get("/v1/backup")).await;
        assert_eq!(reply.status, expected);
        if !anonymous {
            assert!(
                reply.text().contains("kubectl -n ns port-forward service/etcd-a-backup-sidecar"),
                "{}",
                reply.text()
            );
            assert_eq!(opened.load(Ordering::Relaxed), 0);
        }
        assert_eq!(raw(port, &get("/healthz")).await.status, 200);
    }
}

#[tokio::test]
async fn stopping_lets_a_download_finish() {
    let size = 32 * 1024 * 1024;
    let server = start(size, Fault::None).await;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    stream.write_all(b"GET /v1/backup HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    let port = server.port;
    drop(server);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > size, "{}", rest.len());
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
