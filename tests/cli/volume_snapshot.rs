//! `volume snapshot` against moto's server, and against a fake for the faults that moto does not produce.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Snapshot;
use insta::assert_snapshot;

use crate::aws::{Aws, Kops, tag};
use crate::fake_aws::{FakeAws, Fault, throttled};
use crate::sandbox::Output;

const CLUSTER: &str = "k.example.com";

/// What a snapshot says of itself in a tag.
pub fn value<'a>(snapshot: &'a Snapshot, key: &str) -> Option<&'a str> {
    snapshot.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
}

/// The fake with a cluster of three masters in it.
pub fn three_masters() -> FakeAws {
    let fake = FakeAws::start();
    Kops::of_three(CLUSTER).make(&fake);
    fake.forget();
    fake
}

/// Normalised: ids, the set's name, times and the account differ from run to run.
pub fn shown(output: &Output, aws: &Aws) -> String {
    let words = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    let text = output.to_string().replace(&aws.account, "(account)");
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_name = bare.len() == 22 && bare.starts_with("20") && bare.matches('-').count() == 2;
    let kinds = [("snap-", "(snapshot)"), ("vol-", "(volume)"), ("i-", "(instance)")];
    let id = kinds.iter().find(|(start, _)| bare.strip_prefix(start).is_some_and(|rest| rest.len() >= 8));
    match id {
        Some((_, kind)) => word.replace(bare, kind),
        None if is_name => word.replace(bare, "(set)"),
        None => word.to_owned(),
    }
}

fn json(output: &Output) -> serde_json::Value {
    assert_eq!(output.code, Some(0), "{output}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_run_takes_a_whole_set_with_all_that_a_restore_needs_to_know() {
    let aws = Aws::moto();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let labels = vec![label("team", "x"), label("aws:cloudformation:stack-name", "s")];
    Kops { labels, ..Kops::of_three(CLUSTER) }.make(&aws);
    let output = aws.sandbox().run("volume snapshot --wait");
    assert_snapshot!("whole_set", shown(&output, &aws));
    let taken = aws.snapshots();
    assert_eq!(taken.len(), 6);
    let sets: BTreeSet<_> = taken.iter().map(|it| value(it, "etcdbackup/set").unwrap()).collect();
    assert_eq!(sets.len(), 1);
    let disks: BTreeSet<_> =
        taken.iter().map(|it| (value(it, "etcdbackup/etcd"), value(it, "etcdbackup/member"))).collect();
    assert_eq!(disks.len(), 6);
    for it in &taken {
        let member = value(it, "etcdbackup/member").unwrap();
        assert_eq!(value(it, "etcdbackup/az"), Some(format!("eu-west-1{member}").as_str()));
        assert_eq!(value(it, "etcdbackup/source-volume"), it.volume_id());
        let facts = ["volume-type", "iops", "throughput", "members", "etcds", "managed"]
            .map(|key| value(it, &format!("etcdbackup/{key}")).unwrap_or_default());
        assert_eq!(facts, ["gp3", "3000", "125", "a,b,c", "events,main", "1"]);
        assert_eq!((value(it, "team"), value(it, "aws:cloudformation:stack-name")), (Some("x"), None));
        assert_eq!(value(it, "KubernetesCluster"), Some(CLUSTER));
    }
    let wide = aws.sandbox().run("volume list -o wide -q").to_string();
    let row: Vec<&str> = wide.lines().nth(1).unwrap().split_whitespace().skip(1).collect();
    assert_eq!(row[..7], [CLUSTER, "events,main", "a,b,c", "6/6", "Complete", "120Gi", "eu-west-1a,b,c"], "{wide}");
}

#[test]
fn a_dry_run_prints_the_volumes_and_takes_none() {
    let fake = three_masters();
    let output = fake.sandbox().run("volume snapshot --etcd main --dry-run -q");
    assert_snapshot!("dry_run", shown(&output, &fake));
    assert!(!fake.count().contains_key("CreateSnapshot"), "{:?}", fake.count());
}

#[test]
fn the_volumes_of_one_instance_are_taken_at_one_moment_and_without_its_other_volumes() {
    let fake = three_masters();
    // a volume of somebody else at the first master
    let data = fake.ec2.create_volume().availability_zone("eu-west-1a").size(1).send();
    let data = fake.block_on(data).unwrap().volume_id().unwrap().to_owned();
    let instance = fake.instances()[0].instance_id().unwrap().to_owned();
    fake.block_on(fake.ec2.attach_volume().volume_id(&data).instance_id(&instance).device("/dev/sdf").send()).unwrap();
    fake.forget();
    let set = json(&fake.sandbox().run("volume snapshot --wait -o json -q"));
    assert_eq!((&set["status"], set["snapshots"].as_array().unwrap().len()), (&"Complete".into(), 6));
    assert!(fake.snapshots().iter().all(|it| it.volume_id() != Some(&data)));
    let count = fake.count();
    assert_eq!((count.get("CreateSnapshots"), count.get("CreateSnapshot")), (Some(&3), None), "{count:?}");
    for it in fake.snapshots() {
        let started = fake.snapshots().iter().filter(|other| other.start_time() == it.start_time()).count();
        assert!(started >= 2 && value(&it, "etcdbackup/etcd").is_some(), "{it:?}");
    }
}

#[test]
fn a_service_that_cannot_leave_volumes_out_is_said_to_have_taken_more() {
    let aws = Aws::moto();
    Kops::of_one(CLUSTER).make(&aws);
    let data = aws.ec2.create_volume().availability_zone("eu-west-1a").size(1).send();
    let data = aws.block_on(data).unwrap().volume_id().unwrap().to_owned();
    let instance = aws.instances()[0].instance_id().unwrap().to_owned();
    aws.block_on(aws.ec2.attach_volume().volume_id(&data).instance_id(&instance).device("/dev/sdf").send()).unwrap();
    let output = aws.sandbox().run("volume snapshot --wait -o name");
    assert_eq!((output.code, output.stdout.split(|byte| *byte == b'\n').count()), (Some(0), 3), "{output}");
    let words = format!("of {data}, which was not asked for; it stays");
    assert!(output.stderr.contains(&words), "{output}");
    assert_eq!(aws.snapshots().len(), 3);
}

#[test]
fn a_reply_that_was_lost_makes_no_second_snapshot() {
    for (action, flags, cut) in [
        ("CreateSnapshot", "--etcd main", Fault::CutAfter),
        ("CreateSnapshot", "--etcd main", Fault::CutBefore),
        ("CreateSnapshots", "", Fault::CutAfter),
        ("CreateSnapshots", "", Fault::Refuse(500, "InternalError", "An internal error has occurred".to_owned())),
    ] {
        let fake = three_masters();
        let mut first = Some(cut.clone());
        fake.before(move |request, _| match request.action == action {
            true => first.take().unwrap_or(Fault::None),
            false => Fault::None,
        });
        let output = fake.sandbox().run(&format!("volume snapshot --wait {flags}"));
        assert_eq!(output.code, Some(0), "{cut:?}: {output}");
        assert!(output.stderr.contains("looking whether it was done"), "{output}");
        let wanted = if flags.is_empty() { 6 } else { 3 };
        assert_eq!(fake.snapshots().len(), wanted, "{cut:?}: {output}");
        let tagged = fake.snapshots().iter().filter(|it| value(it, "etcdbackup/etcd").is_some()).count();
        assert_eq!(tagged, wanted, "{cut:?}");
    }
}

#[test]
fn a_refusal_for_being_too_fast_is_waited_for() {
    let slow = Fault::Refuse(400, "SnapshotCreationPerVolumeRateExceeded", "too fast".to_owned());
    for fault in [throttled(), slow] {
        let fake = three_masters();
        let mut first = Some(fault);
        fake.before(move |request, _| match request.action == "CreateSnapshot" {
            true => first.take().unwrap_or(Fault::None),
            false => Fault::None,
        });
        let output = fake.sandbox().run("volume snapshot --etcd main --member a --wait");
        assert_eq!((output.code, fake.snapshots().len()), (Some(0), 1), "{output}");
        assert!(output.stderr.contains("trying again in 3 s"), "{output}");
    }
}

#[test]
fn a_snapshot_that_fails_is_exit_7_with_ec2s_reason() {
    let fake = three_masters();
    fake.state(|state| {
        state.snapshots_fail = true;
        state.snapshot_takes = 3;
    });
    let output = fake.sandbox().run("volume snapshot --etcd main --member a --wait");
    assert_eq!(output.code, Some(7), "{output}");
    assert!(output.stderr.contains("of a.etcd-main.k.example.com failed: An internal error occurred"), "{output}");
}

#[test]
fn a_wait_that_runs_out_is_exit_6_and_without_one_it_is_said_how_to_look() {
    let fake = three_masters();
    fake.state(|state| state.snapshot_takes = 10_000);
    let output = fake.sandbox().run("volume snapshot --etcd main --member a --wait=1s");
    assert_eq!(output.code, Some(6), "{output}");
    assert!(output.stderr.contains("0 of 1 snapshots completed"), "{output}");
    let output = fake.sandbox().run("volume snapshot --etcd main --member a");
    assert_snapshot!("without_wait", shown(&output, &fake));
}

#[test]
fn snapshots_that_began_far_apart_are_warned_of() {
    let fake = three_masters();
    fake.before(|request, state| {
        state.now += if request.action == "CreateSnapshot" { 61 } else { 0 };
        Fault::None
    });
    let output = fake.sandbox().run("volume snapshot --set s1 --etcd main --wait");
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("warning: the snapshots of set s1 began 12"), "{output}");
    assert!(output.stderr.contains(" s apart: they are not of one moment"), "{output}");
}

#[test]
fn a_set_that_was_begun_is_gone_on_with_by_its_name() {
    let fake = three_masters();
    let refused = Fault::Refuse(400, "InvalidVolume.NotFound", "The volume does not exist.".to_owned());
    let volume = fake.volumes()[2].volume_id().unwrap().to_owned();
    fake.before(move |request, _| match request.is("VolumeId", &volume) {
        true => refused.clone(),
        false => Fault::None,
    });
    let output = fake.sandbox().run("volume snapshot --set mine --etcd main --wait");
    assert!(output.code != Some(0) && output.stderr.contains("run it again with --set mine to go on"), "{output}");
    fake.forget();
    let output = fake.sandbox().run("volume snapshot --set mine --etcd main --wait");
    assert_eq!((output.code, fake.snapshots().len()), (Some(0), 3), "{output}");
    let set = json(&fake.sandbox().run("volume list -o json -q"));
    assert_eq!((&set["sets"][0]["set"], &set["sets"][0]["status"]), (&"mine".into(), &"Complete".into()));
}

#[test]
fn a_volume_with_too_many_tags_gets_its_snapshot_and_ours_come_first() {
    let fake = FakeAws::start();
    let labels = (0..42).map(|n| (format!("label-{n:02}"), "x".to_owned())).collect();
    Kops { labels, ..Kops::of_one(CLUSTER) }.make(&fake);
    let output = fake.sandbox().run("volume snapshot --wait");
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("are not copied: EC2 allows 50 in all"), "{output}");
    for it in fake.snapshots() {
        // a restore has room for its own
        assert_eq!((it.tags().len(), value(&it, "etcdbackup/member")), (49, Some("a")));
        assert_eq!(value(&it, "KubernetesCluster"), Some(CLUSTER));
    }
}

#[test]
fn volumes_of_one_instance_are_taken_together_where_all_tags_have_room() {
    // beside these, 6 of kops and 12 of ours
    for (labels, together) in [(31, true), (32, false), (34, false), (38, false)] {
        let fake = FakeAws::start();
        let labels = (0..labels).map(|n| (format!("label-{n:02}"), "x".to_owned())).collect();
        Kops { labels, ..Kops::of_one(CLUSTER) }.make(&fake);
        let output = fake.sandbox().run("volume snapshot --wait");
        assert_eq!(output.code, Some(0), "{output}");
        assert_eq!(fake.count().contains_key("CreateSnapshots"), together, "{output}");
        assert_eq!(fake.snapshots().len(), 2);
        for it in fake.snapshots() {
            assert_eq!((it.tags().len(), value(&it, "etcdbackup/source-volume")), (49, it.volume_id()), "{output}");
        }
    }
}

#[test]
fn which_volumes_is_asked_where_it_cannot_be_told() {
    let fake = FakeAws::start();
    let said = |line: &str| {
        let output = fake.sandbox().run(line);
        assert_eq!((output.code, output.stdout.len()), (Some(3), 0), "{line}: {output}");
        shown(&output, &fake).lines().filter(|line| !line.contains("AWS account")).collect::<Vec<_>>().join("\n")
    };
    let mut all = vec![said("volume snapshot")];
    Kops::of_one("k.example.com").make(&fake);
    Kops::of_one("l.example.com").make(&fake);
    for line in [
        "volume snapshot",
        "volume snapshot --cluster-name m.example.com",
        "volume snapshot --cluster-name k.example.com --etcd cilium",
        "volume snapshot --volume vol-99999999",
        "volume snapshot --instance nobody --etcd main",
    ] {
        all.push(said(line));
    }
    assert_snapshot!("ambiguous", all.join("\n\n"));
    assert_eq!(fake.snapshots().len(), 0);
}

#[test]
fn volumes_that_kops_did_not_tag_are_taken_by_id_or_by_tag() {
    let aws = Aws::moto();
    let made = aws.ec2.create_volume().availability_zone("eu-west-1a").size(1).send();
    let id = aws.block_on(made).unwrap().volume_id().unwrap().to_owned();
    aws.block_on(aws.ec2.create_tags().resources(&id).tags(tag("role", "etcd")).send()).unwrap();
    let sandbox = aws.sandbox();
    let named = "--cluster-name mine --etcd main --member node-1";
    for which in [format!("--volume {id}"), "--volume-tag role=etcd".to_owned(), "--volume-tag role".to_owned()] {
        let output = sandbox.run(&format!("volume snapshot {which} {named} --wait"));
        assert_eq!(output.code, Some(0), "{output}");
        assert!(output.to_string().contains("created (node-1.etcd-main.mine"), "{output}");
    }
    assert_eq!(sandbox.run("volume list -q --no-headers").to_string().lines().count(), 3);
}
