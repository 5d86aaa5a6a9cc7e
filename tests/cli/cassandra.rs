//! `cassandra list` and `cassandra verify` on a real S3 server that holds real manifests of each layout.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::cassandra_stored::{SCHEMA, Stored, elassandra, esop, host_id, medusa, pods};
use crate::fake_api::{FakeApi, refusal};
use crate::faults::{Fate, Network};
use crate::sandbox::{Output, Sandbox};
use crate::servers::{Bucket, READER, STORE};

/// A bucket that holds all this.
fn stored(name: &'static str, all: &[Stored]) -> Bucket<'static> {
    let bucket = STORE.bucket(name);
    bucket.put_all(all.iter().flatten());
    bucket
}

/// Runs `cassandra WORDS` on the bucket.
fn run(words: &str, place: &str) -> Output {
    through(&STORE.url, words, place)
}

fn through(url: &str, words: &str, place: &str) -> Output {
    let flags = format!("--location s3://{place} --endpoint-url {url} --force-path-style");
    Sandbox::with_keys(READER).run(&format!("cassandra {words} {flags}"))
}

fn value(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The ages, and the widths of their columns, differ from run to run.
fn shown(output: &Output) -> String {
    let is_age = |word: &str| word.strip_suffix(['s', 'm', 'h', 'd', 'y']).is_some_and(|n| n.parse::<u32>().is_ok());
    let words = |line: &str| {
        let words = line.split_whitespace().map(|word| if is_age(word) { "(age)" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    output.to_string().replace(&STORE.url, "http://s3").lines().map(words).collect::<Vec<_>>().join("\n")
}

const TAG: &str = "nightly";

#[test]
fn tags_of_every_layout_are_listed_and_proved() {
    let id = "backups/elassandra-orders-dc1/";
    stored(
        "cassandra-seed",
        &[
            elassandra(id, &pods("elassandra-orders-dc1-r1", 2), 16, "weekly"),
            elassandra(id, &pods("elassandra-orders-dc1-r1", 3), 24, TAG),
        ],
    );
    stored("cassandra-esop", &[esop("orders", "dc1", 3, 24, (TAG, 1_600_645_216_879))]);
    stored("cassandra-medusa", &[medusa("k8ssandra/", &pods("orders-dc1-r1-sts", 3), 24, TAG, true)]);
    for (layout, place) in
        [("seed", "cassandra-seed/backups"), ("esop", "cassandra-esop"), ("medusa", "cassandra-medusa/k8ssandra/")]
    {
        assert_snapshot!(format!("{layout}_list"), shown(&run("list -o wide", place)));
        assert_snapshot!(format!("{layout}_verify"), shown(&run("verify nightly", place)));
        let report = value(&run("verify nightly -o json -q", place));
        assert_eq!((&report["complete"], report["nodes"][2]["missing"].as_u64()), (&json!(true), Some(0)), "{report}");
        let tags = value(&run("ls -o json -q", place));
        assert_eq!((&tags["tags"][0]["nodes"], &tags["tags"][0]["nodesKnown"]), (&json!(3), &json!(3)), "{tags}");
    }
    assert_eq!(run("list -o name -q", "cassandra-seed/backups/elassandra-orders-dc1").to_string(), "nightly\nweekly\n");
    assert_eq!(run("verify weekly -q", "cassandra-seed/backups").code, Some(4));
    assert_eq!(run("verify weekly -q --nodes 2", "cassandra-seed/backups").code, Some(0));
    assert_eq!(run("verify weekly -q --nodes 4", "cassandra-seed/backups").code, Some(4));
}

#[test]
fn a_full_backup_of_medusas_has_data_of_its_own() {
    stored("cassandra-full", &[medusa("", &pods("orders-dc1-r1-sts", 2), 16, TAG, false)]);
    let output = run("verify nightly -q", "cassandra-full");
    assert_eq!(output.code, Some(0), "{output}");
}

#[test]
fn what_a_backup_lacks_is_found_and_named() {
    let nodes = pods("elassandra-a-dc1-r1", 3);
    let whole = elassandra("elassandra-a-dc1/", &nodes, 16, TAG);
    let node = "elassandra-a-dc1/elassandra-a-dc1-r1-1";
    let data = format!("{node}/data/shop/orders-52d74870fb9911eaa75583ff20360001/1-2620247400/na-1-big-Data.db");
    let manifest = format!("{node}/manifests/{TAG}");
    let mut other = whole.clone();
    other.extend(elassandra("elassandra-b-dc1/", &pods("elassandra-b-dc1-r1", 1), 8, TAG));
    let without = |key: &str| whole.iter().filter(|(at, _)| *at != key).map(|(k, v)| (k.clone(), v.clone())).collect();
    let with = |key: &str, bytes: &[u8]| {
        let mut changed: Stored = whole.clone();
        changed.insert(key.to_owned(), bytes.to_vec());
        changed
    };
    let torn = whole[&manifest][..whole[&manifest].len() / 2].to_vec();
    for (name, code, changed) in [
        ("cassandra-missing", 4, without(&data)),
        ("cassandra-size", 4, with(&data, b"another size")),
        ("cassandra-torn", 4, with(&manifest, &torn)),
        ("cassandra-hostile", 4, with(&manifest, b"1 ../elassandra-a-dc1-r1-0/data/x\n")),
        ("cassandra-absent", 4, without(&manifest)),
        ("cassandra-tokens", 4, without(&format!("{node}/tokens/{TAG}-tokens.yaml"))),
        ("cassandra-others", 3, other),
    ] {
        stored(name, &[changed]);
        let output = run("verify nightly", name);
        assert_eq!(output.code, Some(code), "{output}");
        assert_snapshot!(name, shown(&output));
    }
    let mine = run("verify nightly -q --cassandra-cluster a --cluster x", "cassandra-others");
    assert_eq!(mine.code, Some(0), "{mine}");
    assert_eq!(run("verify nightly -q", "cassandra-others/elassandra-b-dc1").code, Some(0));
    assert_eq!(run("verify never -q", "cassandra-others/elassandra-b-dc1").code, Some(3));
}

#[test]
fn nodes_of_the_topology_and_of_the_token_map_are_missed() {
    let mut of_esop = esop("orders", "dc1", 3, 8, (TAG, 1));
    of_esop.retain(|key, _| !key.contains(&host_id(2)));
    stored("cassandra-esop-absent", &[of_esop]);
    let mut of_medusa = medusa("", &pods("orders-dc1-r1-sts", 3), 8, TAG, true);
    of_medusa.retain(|key, _| !key.contains("sts-2"));
    stored("cassandra-medusa-absent", &[of_medusa]);
    for (bucket, node) in [
        ("cassandra-esop-absent", format!("dc1/{}", host_id(2))),
        ("cassandra-medusa-absent", "orders-dc1-r1-sts-2".into()),
    ] {
        let output = run("verify nightly -q", bucket);
        let says = format!("node {node}: has no manifest of the tag");
        assert!(output.code == Some(4) && output.stderr.contains(&says), "{output}");
    }
    let output = run(&format!("verify nightly-{SCHEMA}-1 -q"), "cassandra-esop-absent");
    assert_eq!(output.code, Some(4), "{output}");
}

#[test]
fn two_thousand_objects_are_listed_and_not_asked_for_one_by_one() {
    let nodes = pods("elassandra-a-dc1-r1", 2);
    let older = (0..29).map(|nth| elassandra("elassandra-a-dc1/", &nodes, 8, &format!("older-{nth}")));
    let all: Vec<Stored> = older.chain([elassandra("elassandra-a-dc1/", &nodes, 1000, TAG)]).collect();
    stored("cassandra-large", &all);
    let network = Network::before(&STORE.url, |_, _| Fate::Deliver);
    let output = through(&network.url, "verify nightly -q", "cassandra-large");
    assert_eq!(output.code, Some(0), "{output}");
    let requests = network.heads();
    assert!(requests.len() <= 2000 / 1000 + 2 * nodes.len() + 10, "{requests:?}");
    assert!(requests.iter().all(|head| head.starts_with("GET ")), "{requests:?}");
}

#[test]
fn pods_of_stateful_sets_are_expected_and_a_refusal_is_said() {
    stored("cassandra-pods", &[elassandra("elassandra-a-dc1/", &pods("elassandra-a-dc1-r1", 2), 8, TAG)]);
    let sets = |replicas: u32| {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSetList", "metadata": {}, "items": [{
            "metadata": {"name": "elassandra-a-dc1-r1"},
            "spec": {"replicas": replicas, "selector": {}, "serviceName": "x", "template": {}}}]})
    };
    let path = "GET /apis/apps/v1/namespaces/default/statefulsets";
    let none = json!({"apiVersion": "apps/v1", "kind": "StatefulSetList", "metadata": {}, "items": []});
    for (http, body, code, says) in [
        (200, sets(2).to_string(), 0, ""),
        (200, sets(3).to_string(), 4, "node elassandra-a-dc1-r1-2: has no manifest of the tag"),
        (200, none.to_string(), 3, "no StatefulSet with labels \"app=a\" in namespace \"default\""),
        (403, refusal(403, "Forbidden", "statefulsets.apps is forbidden"), 5, "statefulsets.apps is forbidden"),
    ] {
        let api = FakeApi::that_says(vec![(path, http, body)]);
        let output = run(&format!("verify nightly -q -l app=a --server {}", api.url), "cassandra-pods");
        assert!(output.code == Some(code) && output.stderr.contains(says), "{output}");
    }
}

#[test]
fn places_that_hold_no_backups_of_cassandra_are_said() {
    stored("cassandra-none", &[Stored::from([("v1/etcd-a/x".to_owned(), vec![1])])]);
    let none = run("list -q", "cassandra-none");
    assert_snapshot!("nothing_like_it", shown(&none));
    assert_eq!(none.code, Some(3), "{none}");
    for bad in ["cassandra-none//x", "c", "cassandra-none/../x"] {
        assert_eq!(run("list -q", bad).code, Some(2), "{bad}");
    }
    for words in ["verify", "verify a/b", "verify ../x"] {
        assert_eq!(run(words, "cassandra-none").code, Some(2), "{words}");
    }
    assert_eq!(Sandbox::new().run("cassandra list").code, Some(2));
}
