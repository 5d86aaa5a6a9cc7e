//! The doubles of AWS are what the tests of `volume` believe them to be.

use std::sync::{Arc, Mutex};

use crate::aws::{Aws, Kops, REGION, tag};
use crate::fake_aws::{FakeAws, Fault, Snapshot, throttled};

/// What both doubles must say of a new cluster.
fn a_cluster_of_kops(aws: &Aws) {
    Kops::of_three("k.example.com").make(aws);
    let volumes = aws.etcd_volumes();
    assert_eq!(volumes.len(), 6);
    for volume in volumes {
        assert_eq!(volume.state().unwrap().as_str(), "in-use", "{volume:?}");
        assert!(volume.availability_zone().unwrap().starts_with(REGION));
        assert_ne!(volume.attachments()[0].delete_on_termination(), Some(true));
    }
    let groups = aws.groups();
    assert_eq!(groups.len(), 3);
    assert_eq!(groups[0].desired_capacity(), Some(1));
    assert_eq!(groups[0].instances()[0].lifecycle_state().unwrap().as_str(), "InService");
    assert_eq!(aws.instances().len(), 3);
    let first = aws.etcd_volumes()[0].volume_id().unwrap().to_owned();
    aws.block_on(aws.ec2.create_snapshot().volume_id(&first).send()).unwrap();
    let stop = aws.scaling.update_auto_scaling_group().min_size(0).desired_capacity(0);
    aws.block_on(stop.auto_scaling_group_name(groups[0].auto_scaling_group_name().unwrap()).send()).unwrap();
    let available = |aws: &Aws| aws.etcd_volumes().iter().filter(|volume| volume.attachments().is_empty()).count();
    // the end of an instance shows with the request after it
    assert_eq!((aws.groups()[0].instances().len(), available(aws)), (0, 2));
    assert_eq!(aws.snapshots().len(), 1);
    assert_eq!(aws.snapshots()[0].state().unwrap().as_str(), "completed");
}

#[test]
fn moto_has_a_cluster_of_kops() {
    a_cluster_of_kops(&Aws::moto());
}

#[test]
fn the_fake_has_a_cluster_of_kops() {
    let fake = FakeAws::start();
    a_cluster_of_kops(&fake);
    let live = fake.state(|state| state.live());
    assert_eq!(live.len(), 6);
    assert!(live.values().all(|volumes| volumes.len() == 1), "{live:?}");
}

#[test]
fn accounts_of_moto_do_not_see_each_other() {
    let (one, other) = (Aws::moto(), Aws::moto());
    Kops::of_one("k.example.com").make(&one);
    assert_eq!((one.etcd_volumes().len(), other.volumes().len()), (2, 0));
}

#[test]
fn a_lost_reply_of_the_fake_is_work_done() {
    let fake = FakeAws::start();
    Kops::of_one("k.example.com").make(&fake);
    let volume = fake.volumes()[0].volume_id().unwrap().to_owned();
    fake.forget();
    fake.before(|request, _| match (request.action.as_str(), request.number) {
        ("CreateSnapshot", 1) => Fault::CutAfter,
        ("CreateSnapshot", 2) => Fault::CutBefore,
        ("CreateSnapshot", 3) => throttled(),
        _ => Fault::None,
    });
    let once = aws_sdk_ec2::config::Builder::new().retry_config(aws_config::retry::RetryConfig::disabled());
    for _ in 0..3 {
        let call = fake.ec2.create_snapshot().volume_id(&volume).customize().config_override(once.clone());
        assert!(fake.block_on(call.send()).is_err());
    }
    assert_eq!(fake.count(), [("CreateSnapshot".to_owned(), 3)].into());
    assert_eq!(fake.snapshots().len(), 1);
}

#[test]
fn the_fake_gives_pages() {
    let fake = FakeAws::start();
    Kops::of_three("k.example.com").make(&fake);
    fake.forget();
    let pages = fake.ec2.describe_volumes().max_results(4).into_paginator().items().send().try_collect();
    assert_eq!(fake.block_on(pages).unwrap().len(), 6);
    assert_eq!(fake.count()["DescribeVolumes"], 2);
}

#[test]
fn the_fake_takes_its_time_and_fails_when_told() {
    let fake = FakeAws::start();
    let kops = Kops { labels: vec![("team".to_owned(), "etcd".to_owned())], ..Kops::of_one("k.example.com") };
    kops.make(&fake);
    let volume = fake.volumes()[0].clone();
    assert!(volume.tags().contains(&tag("team", "etcd")), "{volume:?}");
    fake.forget();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&seen);
    fake.after(move |request, state| {
        let mut left: Vec<u32> = state.snapshots.values().map(|snapshot| snapshot.left).collect();
        left.push(u32::try_from(request.number).unwrap());
        keeps.lock().unwrap().push(left);
    });
    fake.state(|state| {
        (state.snapshot_takes, state.snapshots_fail) = (2, true);
        let foreign = Snapshot { owner: "210987654321".to_owned(), ..Snapshot::default() };
        state.snapshots.insert("snap-foreign".to_owned(), foreign);
    });
    fake.block_on(fake.ec2.create_snapshot().volume_id(volume.volume_id().unwrap()).send()).unwrap();
    let states = [(); 3].map(|()| fake.snapshots()[0].state().unwrap().as_str().to_owned());
    assert_eq!(states, ["pending", "pending", "error"]);
    assert_eq!(*seen.lock().unwrap(), [vec![2, 0, 1], vec![1, 0, 2], vec![0, 0, 3], vec![0, 0, 4]]);
    let actions: Vec<String> = fake.requests().into_iter().map(|request| request.action).collect();
    assert_eq!(actions[..2], ["CreateSnapshot", "DescribeSnapshots"]);
}

#[test]
fn the_fake_allows_what_a_policy_of_iam_allows() {
    let fake = FakeAws::start();
    Kops::of_one("k.example.com").make(&fake);
    let volume = fake.volumes()[0].volume_id().unwrap().to_owned();
    fake.block_on(fake.ec2.create_snapshot().volume_id(&volume).send()).unwrap();
    let snapshot = fake.snapshots()[0].snapshot_id().unwrap().to_owned();
    let marked = serde_json::json!({"StringEquals": {"aws:ResourceTag/ours": "1"}});
    fake.state(|state| {
        state.policy = Some(serde_json::json!({"Statement": [
            {"Action": ["ec2:DeleteSnapshot"], "Condition": marked}, {"Action": ["ec2:CreateTags"]}]}));
    });
    let delete = || {
        let deleted = fake.block_on(fake.ec2.delete_snapshot().snapshot_id(&snapshot).send());
        deleted.map(drop).map_err(|error| error.into_service_error().meta().code().map(str::to_owned))
    };
    assert_eq!(delete(), Err(Some("UnauthorizedOperation".to_owned())));
    fake.block_on(fake.ec2.create_tags().resources(&snapshot).tags(tag("ours", "1")).send()).unwrap();
    assert_eq!(delete(), Ok(()));
}
