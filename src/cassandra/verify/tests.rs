use std::process::Command;

use super::*;
use crate::cassandra::double::Bucket;
use crate::cassandra::inventory::{self, inventory};
use crate::error::ErrorKind;

#[path = "../../../tests/harness/cassandra.rs"]
mod stored;

use stored::{SCHEMA, Stored, elassandra, esop, host_id, medusa, pods};

const TAG: &str = "nightly";

fn bucket(stored: &[Stored]) -> Bucket {
    let mut bucket = Bucket::default();
    stored.iter().flatten().for_each(|(key, bytes)| bucket.put(key.clone(), bytes.clone()));
    bucket
}

async fn look(bucket: &Bucket, place: &Place, known: &Known) -> Result<Report, Missed> {
    verify(bucket, place, TAG, known, &mut |_, _| {}).await
}

async fn report(bucket: &Bucket) -> Report {
    look(bucket, &Place::default(), &Known::default()).await.unwrap()
}

fn all_of(layout: Layout) -> Bucket {
    match layout {
        Layout::Elassandra => bucket(&[elassandra("elassandra-a-dc1/", &pods("elassandra-a-dc1-r1", 3), 20, TAG)]),
        Layout::Esop => bucket(&[esop("a", "dc1", 3, 20, (TAG, 1))]),
        Layout::Medusa => bucket(&[medusa("", &pods("a-dc1-r1-sts", 3), 20, TAG, true)]),
    }
}

/// The key that ends so, of the second node.
fn key(bucket: &Bucket, end: &str) -> String {
    let of_second = |key: &&String| key.contains("-1/") || key.contains(&host_id(1));
    bucket.objects.keys().filter(of_second).find(|key| key.ends_with(end)).unwrap().clone()
}

fn manifest_end(layout: Layout) -> String {
    match layout {
        Layout::Elassandra => format!("manifests/{TAG}"),
        Layout::Esop => format!("manifests/{TAG}-{SCHEMA}-1.json"),
        Layout::Medusa => format!("{TAG}/meta/manifest.json"),
    }
}

const LAYOUTS: [Layout; 3] = [Layout::Elassandra, Layout::Esop, Layout::Medusa];

#[tokio::test]
async fn a_backup_that_lacks_nothing_is_complete_in_every_layout() {
    for layout in LAYOUTS {
        let report = report(&all_of(layout)).await;
        assert!(report.complete && report.layout == layout, "{report:?}");
        assert_eq!(report.check(), Ok(()));
        let more = match layout {
            Layout::Elassandra => 1,
            Layout::Esop => 0,
            Layout::Medusa => 2,
        };
        assert!(report.nodes.iter().all(|node| node.objects == 20 + more && node.taken.is_some()), "{report:?}");
    }
    let full = bucket(&[medusa("team/", &pods("a-dc1-r1-sts", 2), 20, TAG, false)]);
    let place = Place { prefix: "team/".to_owned(), ..Place::default() };
    assert!(look(&full, &place, &Known::default()).await.unwrap().complete);
}

#[tokio::test]
async fn the_object_that_is_missing_or_has_another_size_is_named() {
    for layout in LAYOUTS {
        for (other, says) in [(None, "-Data.db is missing"), (Some(99), "-Data.db has 99 bytes, not the 2")] {
            let mut bucket = all_of(layout);
            let key = key(&bucket, "na-1-big-Data.db");
            match other {
                None => drop(bucket.objects.remove(&key)),
                Some(size) => bucket.put(key.clone(), vec![0; size]),
            }
            let report = report(&bucket).await;
            let broken: Vec<_> = report.nodes.iter().filter(|node| node.state == State::Incomplete).collect();
            assert_eq!(broken.len(), 1, "{report:?}");
            assert_eq!(broken[0].key.as_ref(), Some(&key));
            let error = report.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unproved);
            assert!(error.message().contains("2 of 3 nodes are") && error.message().contains(says), "{error}");
        }
    }
}

#[tokio::test]
async fn a_torn_manifest_and_an_absent_node_are_told_apart() {
    for layout in LAYOUTS {
        let (mut torn, mut absent) = (all_of(layout), all_of(layout));
        let manifest = key(&torn, &manifest_end(layout));
        let half = torn.objects[&manifest].len() / 2;
        torn.objects.get_mut(&manifest).unwrap().truncate(half);
        absent.objects.remove(&manifest);
        let states = |report: &Report| report.nodes.iter().map(|node| node.state).collect::<Vec<_>>();
        let report_of_torn = report(&torn).await;
        assert_eq!(states(&report_of_torn), [State::Complete, State::Incomplete, State::Complete]);
        let error = report_of_torn.check().unwrap_err();
        assert!(error.message().contains("manifest is cut") || error.message().contains("is missing"), "{error}");
        let report_of_absent = report(&absent).await;
        assert_eq!(states(&report_of_absent), [State::Complete, State::Absent, State::Complete]);
        assert!(report_of_absent.check().unwrap_err().message().contains("has no manifest of the tag"));
    }
}

#[tokio::test]
async fn tokens_and_what_else_a_restore_needs_must_be_there() {
    for (layout, end) in [
        (Layout::Elassandra, "tokens/nightly-tokens.yaml"),
        (Layout::Medusa, "meta/tokenmap.json"),
        (Layout::Medusa, "meta/schema.cql"),
    ] {
        let mut bucket = all_of(layout);
        let key = key(&bucket, end);
        bucket.objects.remove(&key);
        let error = report(&bucket).await.check().unwrap_err();
        assert!(error.message().contains(&format!("{end} is missing")), "{error}");
    }
}

#[tokio::test]
async fn what_cassandra_writes_anew_is_no_fault_as_long_as_it_is_there() {
    let mut bucket = all_of(Layout::Medusa);
    let key = key(&bucket, "na-1-big-Statistics.db");
    bucket.put(key.clone(), "another size");
    let found = report(&bucket).await;
    assert!(found.complete && found.nodes[1].rewritten == 1, "{found:?}");
    bucket.objects.remove(&key);
    assert!(!report(&bucket).await.complete);
}

#[tokio::test]
async fn the_same_tag_of_another_cluster_is_not_mixed_in() {
    let two = bucket(&[
        elassandra("x/elassandra-a-dc1/", &pods("elassandra-a-dc1-r1", 2), 9, TAG),
        elassandra("x/elassandra-a-dc10/", &pods("elassandra-a-dc10-r1", 3), 9, TAG),
        elassandra("x/elassandra-b-dc1/", &pods("elassandra-b-dc1-r1", 3), 9, "nightly-2"),
    ]);
    let place = Place { prefix: "x/".to_owned(), ..Place::default() };
    let error = look(&two, &place, &Known::default()).await.unwrap_err().into_error();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.message().contains("2 clusters hold tag \"nightly\": elassandra-a-dc1, elassandra-a-dc10"),
        "{error}"
    );
    let place = Place { datacenter: Some("dc1".to_owned()), cluster: Some("a".to_owned()), ..place };
    let report = look(&two, &place, &Known::default()).await.unwrap();
    assert_eq!((report.location.as_str(), report.nodes.len()), ("s3://backups/x/elassandra-a-dc1/", 2));

    let shared = bucket(&[medusa("", &pods("a-sts", 2), 9, TAG, true), medusa("", &pods("b-sts", 2), 9, TAG, true)]);
    let error = look(&shared, &Place::default(), &Known::default()).await.unwrap_err().into_error();
    assert!(error.message().contains("2 clusters share this prefix"), "{error}");
    let place = Place { cluster: Some("b".to_owned()), ..Place::default() };
    let report = look(&shared, &place, &Known::default()).await.unwrap();
    assert!(report.complete && report.nodes.iter().all(|node| node.name.starts_with("b-sts")), "{report:?}");
}

#[tokio::test]
async fn nodes_that_the_bucket_knows_nothing_of_are_missed() {
    let of = |known: &[usize]| {
        let pods: Vec<String> = known.iter().map(|nth| format!("elassandra-a-dc1-r1-{nth}")).collect();
        bucket(&[elassandra("elassandra-a-dc1/", &pods, 9, TAG)])
    };
    let place = Place::default();
    let gap = report(&of(&[0, 2])).await;
    assert_eq!((gap.complete, gap.nodes[1].name.as_str()), (false, "elassandra-a-dc1-r1-1"));
    let counted = look(&of(&[0, 1]), &place, &Known { nodes: 3, ..Known::default() }).await.unwrap();
    assert_eq!((counted.complete, counted.unknown.as_slice()), (false, &["?".to_owned()][..]));
    assert!(counted.check().unwrap_err().message().contains("2 of 3 nodes are"), "{counted:?}");
    let by_pods = Known { pods: pods("elassandra-a-dc1-r1", 3), ..Known::default() };
    let asked = look(&of(&[0, 1]), &place, &by_pods).await.unwrap();
    assert_eq!((asked.complete, asked.nodes[2].state), (false, State::Absent));
    // a node that is gone since is known to the bucket alone
    let mut shrunk = of(&[0, 1]);
    shrunk.put("elassandra-a-dc1/elassandra-a-dc1-r1-2/manifests/older", "");
    assert!(!report(&shrunk).await.complete);
    let counted = look(&shrunk, &place, &Known { nodes: 2, ..Known::default() }).await.unwrap();
    assert!(counted.complete && counted.warnings[0].contains("elassandra-a-dc1-r1-2"), "{counted:?}");
    let by_pods = Known { pods: pods("elassandra-a-dc1-r1", 2), ..Known::default() };
    assert!(look(&shrunk, &place, &by_pods).await.unwrap().complete);
}

#[tokio::test]
async fn pods_of_today_that_the_backup_has_nothing_of_are_a_warning_and_no_verdict() {
    let racks = ["elassandra-a-dc1-r1", "cassandra-a-dc1-r1", "a-dc1-r1-sts"];
    for (layout, rack) in LAYOUTS.into_iter().zip(racks) {
        let bucket = all_of(layout);
        let known = |count| Known { pods_now: pods(rack, count), ..Known::default() };
        let same = look(&bucket, &Place::default(), &known(3)).await.unwrap();
        assert!(same.complete && same.warnings.is_empty(), "{same:?}");
        let grown = look(&bucket, &Place::default(), &known(4)).await.unwrap();
        assert!(grown.complete && grown.warnings[0].ends_with(&format!(": {rack}-3")), "{grown:?}");
    }
}

#[tokio::test]
async fn of_several_runs_of_a_tag_the_newest_counts_as_in_a_restore() {
    let mut bucket = all_of(Layout::Esop);
    let later = esop("a", "dc1", 1, 28, (TAG, 10));
    later.into_iter().filter(|(key, _)| !key.starts_with("topology")).for_each(|(key, bytes)| bucket.put(key, bytes));
    let found = report(&bucket).await;
    assert!(found.complete && found.nodes[0].objects == 28 && found.nodes[1].objects == 20, "{found:?}");
    assert_eq!(found.warnings, ["the nodes' newest manifests are of 2 runs"]);
    // a broken run does not hide the newer one
    bucket.put(format!("a/dc1/{}/manifests/{TAG}-{SCHEMA}-1.json", host_id(0)), "{");
    assert!(report(&bucket).await.complete);
    // without a topology only the directories tell
    bucket.objects.retain(|key, _| !key.starts_with("topology"));
    let found = report(&bucket).await;
    assert!(found.complete && found.nodes_told_by == "the directories in the bucket", "{found:?}");
}

#[tokio::test]
async fn a_tag_that_nobody_has_is_not_found_and_a_refusal_is_no_verdict() {
    for layout in LAYOUTS {
        let mut bucket = all_of(layout);
        let missed = verify(&bucket, &Place::default(), "never", &Known::default(), &mut |_, _| {}).await.unwrap_err();
        assert!(matches!(missed, Missed::NotThere(_)), "{missed:?}");
        bucket.refused = Some(key(&bucket, &manifest_end(layout)));
        let error = look(&bucket, &Place::default(), &Known::default()).await.unwrap_err().into_error();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
}

#[tokio::test]
async fn the_tags_of_a_bucket_are_listed_by_names_and_small_manifests() {
    for layout in LAYOUTS {
        let mut bucket = all_of(layout);
        let complete = inventory(&bucket, &Place::default(), false).await.unwrap();
        let tag = &complete.tags[0];
        assert_eq!((tag.tag.as_str(), tag.state, tag.nodes), (TAG, inventory::State::Unverified, 3));
        let data: u64 = (0..20).map(|nth| nth % 7 + 1).sum();
        let tokens = if layout == Layout::Elassandra { 55 } else { 0 };
        assert_eq!(tag.size, Some(3 * (data + tokens)), "{layout:?}");
        let end =
            if layout == Layout::Medusa { "manifest_a-dc1-r1-sts-1.json".to_owned() } else { manifest_end(layout) };
        bucket.objects.retain(|key, _| {
            !(key.ends_with(&end) && (key.contains("-1/") || key.contains(&host_id(1)) || layout == Layout::Medusa))
        });
        let partial = inventory(&bucket, &Place::default(), false).await.unwrap();
        assert_eq!(
            (partial.tags[0].state, partial.tags[0].nodes, partial.tags[0].nodes_known),
            (inventory::State::Partial, 2, 3)
        );
    }
}

/// 100 nodes with 2000 objects each, and 30 tags of which 29 are small.
fn large(layout: Layout) -> Bucket {
    let tags: Vec<String> = (0..29).map(|nth| format!("{TAG}-{nth:02}")).chain([TAG.to_owned()]).collect();
    let of = |tag: &String| {
        let objects = if tag == TAG { 2000 } else { 16 };
        match layout {
            Layout::Elassandra => elassandra("elassandra-a-dc1/", &pods("elassandra-a-dc1-r1", 100), objects, tag),
            Layout::Esop => esop("a", "dc1", 100, objects, (tag, 1)),
            Layout::Medusa => medusa("", &pods("a-dc1-r1-sts", 100), objects, tag, true),
        }
    };
    let mut bucket = Bucket::default();
    tags.iter().flat_map(of).for_each(|(key, bytes)| bucket.put(key, bytes));
    bucket
}

/// Bytes that a look at them may take besides the bucket in memory.
const MOST_BYTES: u64 = 200 << 20;

/// Lets this process take so many more bytes.
fn limit_memory(more: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let now = data.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024;
    let limit = rustix::process::Rlimit { current: Some(now + more), maximum: Some(now + more) };
    rustix::process::setrlimit(rustix::process::Resource::Data, limit).unwrap();
}

#[test]
fn two_hundred_thousand_objects_take_few_requests_and_little_memory() {
    const LIMITED: &str = "ETCDBACKUP_TEST_LIMITED";
    let Ok(limited) = std::env::var(LIMITED) else {
        // a limit is for a whole process
        let itself = "cassandra::verify::tests::two_hundred_thousand_objects_take_few_requests_and_little_memory";
        for layout in LAYOUTS {
            let mut child = Command::new(std::env::current_exe().unwrap());
            let output = child.args(["--exact", itself]).env(LIMITED, layout.name()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        return;
    };
    let layout = LAYOUTS.into_iter().find(|layout| layout.name() == limited).unwrap();
    let bucket = large(layout);
    limit_memory(MOST_BYTES);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = runtime.block_on(report(&bucket));
    assert!(report.complete && report.nodes.len() == 100, "{:?}", report.check());
    let most = 200_000 / 1000 + 2 * 100 + 10;
    assert!(bucket.requests() <= most, "{layout:?}: {} requests", bucket.requests());
}
