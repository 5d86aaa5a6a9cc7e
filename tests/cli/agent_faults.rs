//! `agent backup` while the network or the agent itself breaks, and while another agent does the same.

use std::process::Stdio;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crate::agent_backup::{backup, etcd_version, failed, stored};
use crate::etcd::Etcd;
use crate::faults::{Fate, Network, completes, sends_later_part};
use crate::sandbox::Sandbox;
use crate::servers::{ROOT, STORE};

#[test]
fn a_lost_answer_to_the_completion_is_a_success() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    for (name, lost) in [("lost-once", 1), ("lost-always", usize::MAX)] {
        let bucket = STORE.bucket(name);
        let network = Network::before(STORE.url.as_str(), move |head, before| {
            let so_far = before.iter().filter(|head| completes(head)).count();
            if completes(head) && so_far < lost { Fate::LoseAnswer } else { Fate::Deliver }
        });
        let report = stored(&sandbox, &etcd, &bucket.flags_through(&network.url));
        // asked once more, a store may say that it is done, or that there is no such upload
        assert!(lost == 1 || report["alreadyStored"] == true, "{name}: {report}");
        assert!(network.heads().iter().filter(|head| completes(head)).count() > 1, "{name}");
        assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (1, 0), "{name}");
    }
}

#[test]
fn two_agents_at_once_store_one_object_and_both_succeed() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("race"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    // neither completes before both have sent all
    let arrived = Barrier::new(2);
    let network = Network::before(STORE.url.as_str(), move |head, before| {
        if completes(head) && before.iter().filter(|head| completes(head)).count() < 2 {
            arrived.wait();
        }
        Fate::Deliver
    });
    let agents = [(), ()].map(|()| {
        let line = format!(
            "agent backup --cluster-name etcd-a --endpoints {} {}",
            etcd.url,
            bucket.flags_through(&network.url)
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for agent in agents {
        let output = agent.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (1, 0));
}

/// What S3 answers when another request for the same key wins.
const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>";

#[test]
fn a_conflict_at_the_completion_is_decided_by_what_is_there() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    let conflict = |head: &str, _: &[String]| if completes(head) { Fate::Answer(409, CONFLICT) } else { Fate::Deliver };
    let bucket = STORE.bucket("conflict");
    let network = Network::before(STORE.url.as_str(), conflict);
    let reason = failed(&sandbox, &etcd, &bucket.flags_through(&network.url), 1);
    assert!(reason.contains("was not completed, and no such object is there"), "{reason}");
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (0, 0));
    // the winner is another agent of the same cluster, or somebody else; it comes while the completion is under way
    for (name, ours) in [("conflict-ours", true), ("conflict-theirs", false)] {
        let (bucket, by_another) = (STORE.bucket(name), Sandbox::with_keys(ROOT));
        let key = format!("v1/etcd-a/{}_0000000000000002_etcd.backup", etcd_version());
        let (asked, answered) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let network = Network::before(STORE.url.as_str(), {
            let (asked, answered) = (asked.clone(), answered.clone());
            move |head, _| {
                if !completes(head) {
                    return Fate::Deliver;
                }
                asked.wait();
                answered.wait();
                Fate::Answer(409, CONFLICT)
            }
        });
        let through = bucket.flags_through(&network.url);
        std::thread::scope(|scope| {
            let loser = scope.spawn(|| backup(&sandbox, &etcd, &through));
            asked.wait();
            if ours {
                stored(&by_another, &etcd, &bucket.flags());
            } else {
                bucket.put(&key, b"theirs");
            }
            answered.wait();
            let (output, report) = loser.join().unwrap();
            let report = serde_json::to_value(report).unwrap();
            match ours {
                true => assert_eq!(report["alreadyStored"], true, "{output}"),
                false => assert!(report["reason"].as_str().unwrap().starts_with("KeyExists"), "{output}"),
            }
        });
        assert_eq!((bucket.keys(), bucket.unfinished_uploads()), (vec![key], 0));
    }
}

#[test]
fn a_key_that_is_taken_while_the_parts_are_sent_is_not_completed_over() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("taken"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    let (sent, put) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let network = Network::before(STORE.url.as_str(), {
        let (sent, put) = (sent.clone(), put.clone());
        move |head, _| {
            if head.starts_with("PUT ") && head.lines().next().unwrap().contains("partNumber=1&") {
                sent.wait();
                put.wait();
            }
            Fate::Deliver
        }
    });
    let through = bucket.flags_through(&network.url);
    let reason = std::thread::scope(|scope| {
        let late = scope.spawn(|| failed(&sandbox, &etcd, &through, 1));
        sent.wait();
        bucket.put(&format!("v1/etcd-a/{}_0000000000000002_etcd.backup", etcd_version()), b"theirs");
        put.wait();
        late.join().unwrap()
    });
    assert!(reason.starts_with("KeyExists"), "{reason}");
    // a store may ignore the condition, so it is not even asked
    assert!(!network.heads().iter().any(|head| completes(head)));
    assert_eq!(bucket.unfinished_uploads(), 0);
}

#[test]
fn a_store_that_goes_away_in_the_middle_holds_nothing() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("away"), Sandbox::with_keys(ROOT));
    etcd.put_megabytes(20);
    let network = Network::before(STORE.url.as_str(), |head, before| {
        let gone = before.iter().any(|head| sends_later_part(head));
        if gone || sends_later_part(head) { Fate::Break } else { Fate::Deliver }
    });
    let reason = failed(&sandbox, &etcd, &bucket.flags_through(&network.url), 1);
    assert!(reason.starts_with("s3: could not reach the service, sending part"), "{reason}");
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (0, 1));
    // what could not be aborted then is stale later
    stored(&sandbox, &etcd, &format!("{} --stale-after 0", bucket.flags()));
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (1, 0));
}

#[test]
fn a_killed_agent_leaves_no_object() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("killed"), Sandbox::with_keys(ROOT));
    etcd.put_megabytes(20);
    let hang = |head: &str, _: &[String]| if sends_later_part(head) { Fate::Hang } else { Fate::Deliver };
    let network = Network::before(STORE.url.as_str(), hang);
    let through = bucket.flags_through(&network.url);
    let line = format!("agent backup --cluster-name etcd-a --endpoints {} {through}", etcd.url);
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut agent = sandbox.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !network.heads().iter().any(|head| sends_later_part(head)) {
        assert_eq!(agent.try_wait().unwrap(), None);
        std::thread::sleep(Duration::from_millis(5));
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (0, 1));
    let report = stored(&sandbox, &etcd, &bucket.flags());
    assert_eq!(report["alreadyStored"], false, "{report}");
}

#[test]
fn encryption_is_asked_for_when_the_upload_begins() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("encrypted"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    let network = Network::before(STORE.url.as_str(), |_, _| Fate::Deliver);
    let through = bucket.flags_through(&network.url);
    // whether this server can do it is not the question
    backup(&sandbox, &etcd, &format!("{through} --server-side-encryption aws:kms --kms-key-id alias/etcd"));
    let begins = |head: &&String| head.starts_with("POST ") && head.lines().next().unwrap().contains("uploads");
    let begun = network.heads().iter().find(begins).unwrap().to_lowercase();
    for header in ["x-amz-server-side-encryption: aws:kms", "x-amz-server-side-encryption-aws-kms-key-id: alias/etcd"] {
        assert!(begun.contains(header), "{begun}");
    }
    let seen = network.heads().len();
    for wrong in ["--server-side-encryption rot13", "--server-side-encryption AES256 --kms-key-id alias/etcd"] {
        failed(&sandbox, &etcd, &format!("{through} {wrong}"), 2);
    }
    assert_eq!(network.heads().len(), seen);
}

const BUSY: &str = "<Error><Code>SlowDown</Code><Message>reduce your request rate</Message></Error>";

/// The number of the part that a request sends.
fn part(head: &str) -> Option<&str> {
    let line = head.strip_prefix("PUT ")?.lines().next()?;
    line.split(['?', '&', ' ']).find_map(|pair| pair.strip_prefix("partNumber="))
}

#[test]
fn parts_that_are_refused_or_cut_off_are_sent_again() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::with_keys(ROOT));
    etcd.put_megabytes(20);
    for (name, fate, times) in [("busy-parts", Fate::Answer(503, BUSY), 2), ("cut-parts", Fate::Break, 1)] {
        let bucket = STORE.bucket(name);
        let network = Network::before(STORE.url.as_str(), move |head, before| {
            let so_far = before.iter().filter(|before| part(before) == part(head)).count();
            if part(head).is_some() && so_far < times { fate } else { Fate::Deliver }
        });
        stored(&sandbox, &etcd, &bucket.flags_through(&network.url));
        let sent = network.heads().iter().filter(|head| part(head).is_some()).count();
        assert!(sent >= 3 * (times + 1), "{name}: {sent} requests");
        assert_eq!((bucket.keys().len(), bucket.unfinished_uploads()), (1, 0), "{name}");
    }
}
