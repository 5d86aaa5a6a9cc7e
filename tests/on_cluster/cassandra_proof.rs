//! `cassandra backup --wait` and `cassandra restore-snippet` where the operator says one thing and the bucket another.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::cassandra::{run, stdout};
use crate::cassandra_crds::{Ring, elassandra, medusa};
use crate::cassandra_stored;
use crate::servers::{Bucket, READER, STORE};

/// A bucket, a reader of it, and the flags that name it.
fn looked_at(ring: &Ring, name: &'static str) -> (Bucket<'static>, String) {
    let bucket = STORE.bucket(name);
    let keys = format!("[default]\naws_access_key_id={}\naws_secret_access_key={}\n", READER.0, READER.1);
    ring.api.sandbox.write(".aws/credentials", &keys);
    let way = bucket.flags().replace(&format!("--bucket {name}"), &format!("--location s3://{name}"));
    (bucket, way)
}

fn elassandra_pods() -> [String; 2] {
    ["elassandra-cl1-dc1-rack1-0", "elassandra-cl1-dc1-rack1-1"].map(str::to_owned)
}

#[test]
fn a_success_is_believed_only_when_the_bucket_shows_it() {
    let ring = Ring::start(&elassandra(), "cass-proof");
    let (bucket, way) = looked_at(&ring, "cass-proof");
    bucket.put_all(cassandra_stored::elassandra("elassandra-cl1-dc1/", &elassandra_pods(), 8, "whole").iter());
    let mut cut = cassandra_stored::elassandra("elassandra-cl1-dc1/", &elassandra_pods(), 8, "torn");
    let manifest = cut.get_mut("elassandra-cl1-dc1/elassandra-cl1-dc1-rack1-1/manifests/torn").unwrap();
    manifest.truncate(manifest.len() / 2);
    bucket.put_all(cut.iter());
    let backup = |tag: &str, timeout: &str| {
        std::thread::scope(|scope| {
            scope.spawn(|| ring.report(tag, &json!({"status": {"phase": "SUCCEED"}})));
            run(&ring, &format!("cassandra backup dc1 --tag {tag} --wait --timeout {timeout} {way}"))
        })
    };
    let whole = backup("whole", "2m");
    assert_eq!(whole.code, Some(0), "{whole}");
    assert!(stdout(&whole).ends_with("/whole whole in the bucket\n"), "{whole}");
    let queued = backup("queued", "20s");
    assert_eq!(queued.code, Some(4), "{queued}");
    assert!(
        queued.stderr.contains("the operator says SUCCEED, and no node has a manifest of tag \"queued\""),
        "{queued}"
    );
    assert!(queued.stderr.contains("hint: some operators say so when a backup is only queued"), "{queued}");
    // a bucket that is not there is a mistake, and nothing to wait for
    let mistyped = std::thread::scope(|scope| {
        scope.spawn(|| ring.report("mistyped", &json!({"status": {"phase": "SUCCEED"}})));
        let way = way.replace("s3://cass-proof", "s3://cass-prof");
        run(&ring, &format!("cassandra backup dc1 --tag mistyped --wait --timeout 5m {way}"))
    });
    assert_eq!(mistyped.code, Some(3), "{mistyped}");
    assert!(mistyped.stderr.contains("bucket \"cass-prof\" does not exist"), "{mistyped}");
    // nothing can come after a manifest, so nobody waits for it
    let torn = backup("torn", "5m");
    assert_eq!(torn.code, Some(4), "{torn}");
    assert!(torn.stderr.contains("node elassandra-cl1-dc1-rack1-1: "), "{torn}");

    let snippet = |tag: &str| run(&ring, &format!("cassandra restore-snippet {tag} --datacenter dc1 {way}"));
    let printed = snippet("whole");
    assert_eq!(printed.code, Some(0), "{printed}");
    assert!(stdout(&printed).contains("; the backup is whole in the bucket\n"), "{printed}");
    let torn = snippet("torn");
    assert_eq!((torn.code, torn.stdout.len()), (Some(4), 0), "{torn}");
}

/// Stores what a backup of these pods consists of in the order of the operator: manifests last.
fn store(bucket: &Bucket<'_>, pods: &[String], tag: &str) {
    let objects = cassandra_stored::elassandra("elassandra-cl1-dc1/", pods, 8, tag);
    let (manifests, rest): (Vec<_>, Vec<_>) = objects.iter().partition(|(key, _)| key.contains("/manifests/"));
    bucket.put_all(rest.into_iter());
    bucket.put_all(manifests.into_iter());
}

#[test]
fn a_backup_that_was_only_queued_is_waited_for() {
    let ring = Ring::start(&elassandra(), "cass-queued");
    let (bucket, way) = looked_at(&ring, "cass-queued");
    let line = format!("cassandra backup dc1 --tag late --wait --timeout 5m {way} -n {}", ring.namespace);
    let mut command = ring.api.sandbox.command(&line.split_whitespace().collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ring.report("late", &json!({"status": {"phase": "SUCCEED", "pods": {"a": "SUCCEED", "b": "SUCCEED"}}}));
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let empty = said.find(|line| line.starts_with("not yet in the bucket: nothing at s3://cass-queued/ looks like"));
    assert!(empty.is_some());
    // the operator has asked two nodes, of which the bucket knows only one
    store(&bucket, &elassandra_pods()[..1], "late");
    let mut seen = Vec::new();
    let half = said.find(|line| {
        seen.push(line.clone());
        line.starts_with("not yet in the bucket: 1 of 2 nodes are whole")
    });
    assert!(half.is_some(), "{seen:?}");
    store(&bucket, &elassandra_pods()[1..], "late");
    assert!(said.any(|line| line.contains(": 2 nodes are whole, by ")));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_node_that_was_never_backed_up_is_missed() {
    let ring = Ring::start(&medusa(), "cass-never");
    let (bucket, way) = looked_at(&ring, "cass-never");
    let pods = ["cl1-dc1-r1-sts-0", "cl1-dc1-r1-sts-1"].map(str::to_owned);
    bucket.put_all(cassandra_stored::medusa("", &pods, 8, "nightly", true).iter());
    // another cluster shares the prefix and the tag
    let others = ["cl2-dc1-r1-sts-0"].map(str::to_owned);
    bucket.put_all(cassandra_stored::medusa("", &others, 8, "nightly", true).iter());
    ring.stateful_set("cl1-dc1-r1-sts", 3);
    let finished = json!({"status": {"finishTime": "2026-01-01T00:00:00Z", "finished": pods}});
    let output = std::thread::scope(|scope| {
        scope.spawn(|| ring.report("nightly", &finished));
        run(&ring, &format!("cassandra backup dc1 --tag nightly --wait --timeout 2m {way}"))
    });
    assert_eq!(output.code, Some(4), "{output}");
    assert!(output.stderr.contains("node cl1-dc1-r1-sts-2: has no manifest of the tag"), "{output}");
    assert!(output.stderr.contains("is not complete: 2 of 3 nodes are"), "{output}");
    // long after, nobody can tell it from one that came later
    let snippet = run(&ring, &format!("cassandra restore-snippet nightly --datacenter dc1 {way}"));
    assert_eq!(snippet.code, Some(0), "{snippet}");
    assert!(snippet.stderr.contains("newer or never backed up: cl1-dc1-r1-sts-2\n"), "{snippet}");
}
