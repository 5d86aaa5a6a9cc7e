//! How many requests the newest snapshot costs, counted before a real S3 server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use kubectl_etcdbackup::snapshot::Layout;
use kubectl_etcdbackup::source::s3::S3Source;
use kubectl_etcdbackup::source::{Extent, Wanted, select};

use crate::agent_backup::stored;
use crate::etcd::Etcd;
use crate::faults::{Fate, Network};
use crate::sandbox::Sandbox;
use crate::servers::{Bucket, READER, ROOT, STORE, snapshot};

const DIRECTORY: &str = "v1/etcd-a/";

fn counting() -> Network {
    Network::before(STORE.url.as_str(), |_, _| Fate::Deliver)
}

/// The lists and the other requests that were sent.
fn counted(network: &Network) -> (usize, usize) {
    let heads = network.heads();
    let lists = heads.iter().filter(|head| head.lines().next().unwrap().contains("list-type=2")).count();
    (lists, heads.len() - lists)
}

fn named(directory: &str, version: &str, revision: u64) -> String {
    format!("{directory}{version}_{revision:016x}_etcd.backup")
}

/// Stores empty objects, many at a time.
fn put_all(bucket: &Bucket<'_>, keys: Vec<String>) {
    let s3 = &bucket.s3;
    let put = |key| s3.client.put_object().bucket(&s3.bucket).key(key).send();
    let puts = futures::stream::iter(keys).map(put).buffer_unordered(32);
    let all = puts.for_each(|put| async { drop(put.unwrap()) });
    tokio::runtime::Runtime::new().unwrap().block_on(all);
}

#[test]
fn a_small_store_costs_one_list_for_all_layouts_and_one_get() {
    let (bucket, sandbox) = (STORE.bucket("few-requests"), Sandbox::with_keys(READER));
    for revision in 1..=3 {
        bucket.put(&named(DIRECTORY, "3.5.0", revision), &snapshot(48, 1));
    }
    bucket.put("other/things", b"mine");
    for more in ["", "--layout cluster", "--history first", "--etcd-version 3.5.1", "--revision 3"] {
        let network = counting();
        let get = format!("get etcd-a --from s3 --force {more} {}", bucket.flags_through(&network.url));
        let output = sandbox.run(&get);
        assert_eq!(output.code, Some(0), "{output}");
        assert!(output.stderr.contains("s3: 3 snapshots in s3://few-requests/v1/etcd-a/"), "{output}");
        assert_eq!(counted(&network), (1, 1), "{more}");
    }
}

#[test]
fn a_run_of_the_agent_lists_a_small_store_once() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("agent-requests"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    for _ in 0..2 {
        let network = counting();
        stored(&sandbox, &etcd, &bucket.flags_through(&network.url));
        assert_eq!(counted(&network).0, 1);
    }
}

#[test]
fn a_run_of_the_agent_finds_its_history_above_more_than_a_page_of_anothers_snapshots() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("agent-search"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    put_all(&bucket, (1000..2100).map(|nth| named(DIRECTORY, "3.4.0", nth)).collect());
    let first = stored(&sandbox, &etcd, &bucket.flags());
    assert_ne!(first["history"], "first", "{first}");
    let again = stored(&sandbox, &etcd, &bucket.flags());
    assert_eq!((&again["alreadyStored"], &again["history"]), (&true.into(), &first["history"]), "{again}");
}

#[test]
fn more_than_a_page_is_searched_and_what_is_older_is_looked_for_only_when_it_is_needed() {
    let (bucket, sandbox) = (STORE.bucket("search"), Sandbox::with_keys(READER));
    let mut keys: Vec<String> = (0..1150).map(|nth| named(DIRECTORY, "3.5.9", 1 + nth * nth)).collect();
    keys.extend((0..50).map(|nth| named(DIRECTORY, "3.5.10", nth)));
    keys.push(format!("{DIRECTORY}meta/x.json"));
    put_all(&bucket, keys);
    bucket.put(&named(DIRECTORY, "3.5.9", 1 + 1149 * 1149), &snapshot(8, 1));
    let network = counting();
    let get = format!("get etcd-a --from s3 --force {}", bucket.flags_through(&network.url));
    let output = sandbox.run(&get);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("only the newest was looked for"), "{output}");
    let (lists, gets) = counted(&network);
    assert!(lists <= 11 && gets == 1, "{lists} and {gets}");

    bucket.put(&named(DIRECTORY, "3.5.9", 1 + 1149 * 1149), b"no snapshot");
    let output = sandbox.run(&get);
    assert_eq!(output.code, Some(4), "{output}");
    assert!(output.stderr.contains(&format!("--revision {}", 1 + 1148 * 1148)), "{output}");

    bucket.put(&named("v1/etcd-a/history/20260101T000000Z_ab/", "3.6.0", 5), &snapshot(8, 2));
    let output = sandbox.run(&get);
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("20260101T000000Z_ab: newest 3.6.0_0000000000000005"), "{output}");
    assert_eq!(sandbox.run(&format!("{get} --history latest")).code, Some(0));

    // what the sidecar asks
    let source = S3Source { s3: bucket.s3.clone(), layout: Layout::Cluster, directory: DIRECTORY.to_owned() };
    let wanted = Wanted { history: Some("first".to_owned()), ..Wanted::default() };
    let listing = tokio::runtime::Runtime::new().unwrap().block_on(source.find(&wanted)).unwrap();
    assert_eq!(listing.extent, Extent::Deciding);
    assert_eq!(select(&listing.snapshots, &wanted).unwrap().name.revision(), 1 + 1149 * 1149);
}

/// A service that keeps connections open and counts them; `answer` is given the first line of each request.
fn keeping(answer: fn(&str) -> (&'static str, Vec<u8>)) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, connections) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || converse(client, answer).ok());
        }
    });
    (url, connections)
}

fn converse(mut client: TcpStream, answer: fn(&str) -> (&'static str, Vec<u8>)) -> std::io::Result<()> {
    let mut received = Vec::new();
    loop {
        while let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            let (headers, body) = answer(String::from_utf8_lossy(&head).lines().next().unwrap());
            write!(client, "HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len())?;
            client.write_all(&body)?;
        }
        let mut chunk = [0; 4096];
        let count = client.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn one_connection_carries_all_requests() {
    let (url, connections) = keeping(|line| match line.contains("list-type=2") {
        true => {
            let size = snapshot(48, 1).len();
            let key = "v1/etcd-a/3.5.0_0000000000000001_etcd.backup";
            let object = format!("<Contents><Key>{key}</Key><Size>{size}</Size><ETag>\"e\"</ETag></Contents>");
            ("content-type: application/xml\r\n", format!("<ListBucketResult>{object}</ListBucketResult>").into())
        }
        false => ("etag: \"e\"\r\n", snapshot(48, 1)),
    });
    let sandbox = Sandbox::with_keys(READER);
    let get = format!("get etcd-a --from s3 --bucket bucket --endpoint-url {url} --force-path-style");
    let output = sandbox.run(&get);
    assert_eq!((output.code, connections.load(Ordering::Relaxed)), (Some(0), 1), "{output}");
}

/// A sandbox that would ask this instance metadata service.
fn on_an_instance(url: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWS_EC2_METADATA_DISABLED", "false");
    sandbox.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
    sandbox
}

#[test]
fn whoever_brings_keys_does_not_ask_the_metadata_service() {
    let (metadata, asked) = keeping(|_| ("", Vec::new()));
    let bucket = STORE.bucket("metadata");
    bucket.put(&named(DIRECTORY, "3.5.0", 1), &snapshot(8, 1));
    let keys = |name| format!("[{name}]\naws_access_key_id={}\naws_secret_access_key={}\n", READER.0, READER.1);
    let get = format!("get etcd-a --from s3 -o name {}", bucket.flags());
    let mut in_environment = on_an_instance(&metadata);
    in_environment.set("AWS_ACCESS_KEY_ID", READER.0);
    in_environment.set("AWS_SECRET_ACCESS_KEY", READER.1);
    let (by_default, by_profile) = (on_an_instance(&metadata), on_an_instance(&metadata));
    by_default.write(".aws/credentials", &keys("default"));
    by_profile.write(".aws/credentials", &keys("team"));
    for (sandbox, more) in [(&in_environment, ""), (&by_default, ""), (&by_profile, "--profile team")] {
        let output = sandbox.run(&format!("{get} {more}"));
        assert_eq!((output.code, asked.load(Ordering::Relaxed)), (Some(0), 0), "{output}");
    }
    // without a region of their own: AWS itself is not guessed at either
    for (sandbox, more) in [(&in_environment, ""), (&by_profile, "--profile team")] {
        let output = sandbox.run(&format!("get etcd-a --from s3 --bucket metadata {more}"));
        assert_eq!((output.code, asked.load(Ordering::Relaxed)), (Some(5), 0), "{output}");
        assert!(output.stderr.contains("no AWS region"), "{output}");
    }
    // only where nothing else is named
    let output = on_an_instance(&metadata).run("get etcd-a --from s3 --bucket metadata");
    assert!(output.code == Some(5) && asked.load(Ordering::Relaxed) > 0, "{output}");
}
