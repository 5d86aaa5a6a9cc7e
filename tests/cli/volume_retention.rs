//! Expiry of EBS snapshots: `volume prune`, the CronJob of bsycorp/etcd-backup, and `volume adopt`.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Snapshot};
use insta::assert_snapshot;

use crate::aws::{Aws, Kops, tag};
use crate::fake_aws::{self, FakeAws};
use crate::sandbox::{Output, Sandbox};
use crate::volume_snapshot::{shown, three_masters, value};

const CLUSTER: &str = "k.example.com";

/// A snapshot of ours as the fake keeps it, so many minutes old.
fn ours(set: &str, etcd: &str, member: &str, minutes: i64) -> fake_aws::Snapshot {
    let tags = [
        ("managed", "1"),
        ("cluster", CLUSTER),
        ("etcd", etcd),
        ("member", member),
        ("members", "a,b,c"),
        ("etcds", etcd),
        ("set", set),
    ];
    fake_aws::Snapshot {
        owner: "123456789012".to_owned(),
        status: "completed".to_owned(),
        started: jiff::Timestamp::now().as_second() - minutes * 60,
        size: 20,
        tier: "standard".to_owned(),
        tags: tags.map(|(key, value)| (format!("etcdbackup/{key}"), value.to_owned())).into(),
        ..fake_aws::Snapshot::default()
    }
}

/// A fake with so many complete sets of `main`, `set-1` the newest, an hour between two.
fn with_sets(count: i64) -> FakeAws {
    let fake = FakeAws::start();
    fake.state(|state| {
        for n in 1..=count {
            for member in ["a", "b", "c"] {
                state
                    .snapshots
                    .insert(format!("snap-{n:05}-{member}"), ours(&format!("set-{n}"), "main", member, n * 60));
            }
        }
    });
    fake
}

fn ids(fake: &FakeAws) -> Vec<String> {
    fake.state(|state| state.snapshots.keys().cloned().collect())
}

/// The set names of what is left, without repetition.
fn sets(fake: &FakeAws) -> Vec<String> {
    let mut sets: Vec<String> =
        fake.state(|state| state.snapshots.values().filter_map(|it| it.tags.get("etcdbackup/set").cloned()).collect());
    sets.sort();
    sets.dedup();
    sets
}

fn ok(output: Output) -> Output {
    assert_eq!(output.code, Some(0), "{output}");
    output
}

#[test]
fn a_dry_run_says_what_stays_and_what_goes_and_why() {
    let fake = with_sets(3);
    fake.state(|state| {
        let mut pending = ours("set-0", "main", "a", 1);
        pending.status = "pending".to_owned();
        pending.left = 1000;
        state.snapshots.insert("snap-00000-a".to_owned(), pending);
    });
    let output = ok(fake.sandbox().run("volume prune --keep-last 1 --dry-run"));
    assert_snapshot!("dry_run", shown(&output, &fake));
    assert!(!fake.count().contains_key("DeleteSnapshot"));
}

#[test]
fn whole_sets_go_the_oldest_first_and_no_more_than_a_run_may_delete() {
    let fake = with_sets(5);
    let output = ok(fake.sandbox().run("volume prune --keep-last 2 --max-deletions 7"));
    assert_snapshot!("capped", shown(&output, &fake));
    assert_eq!(sets(&fake), ["set-1", "set-2", "set-3"]);
    ok(fake.sandbox().run("volume prune --keep-last 2"));
    assert_eq!(sets(&fake), ["set-1", "set-2"]);
    let again = ok(fake.sandbox().run("volume prune --keep-last 2"));
    assert!(again.stderr.contains("nothing to expire: 2 sets stay"), "{again}");
}

#[test]
fn locked_snapshots_and_those_in_use_do_not_stop_the_rest() {
    let fake = with_sets(4);
    fake.state(|state| {
        state.snapshots.get_mut("snap-00004-a").unwrap().locked = true;
        state.snapshots.get_mut("snap-00003-b").unwrap().used_by = Some("ami-1".to_owned());
    });
    let output = fake.sandbox().run("volume prune --keep-last 1");
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("2 of 9 snapshots could not be deleted: snap-00004-a, snap-00003-b"), "{output}");
    assert_eq!(ids(&fake), ["snap-00001-a", "snap-00001-b", "snap-00001-c", "snap-00003-b", "snap-00004-a"]);
}

#[test]
fn what_a_restore_needs_stays() {
    let fake = with_sets(7);
    fake.state(|state| {
        // a mark on the set, a volume put aside that names it, a volume out of use that was made of it; one in use is
        // nothing that a restore needs
        let marked = state.snapshots.get_mut("snap-00003-a").unwrap();
        marked.tags.insert("etcdbackup/restored-by".to_owned(), "run-7".to_owned());
    });
    let volume = |snapshot: Option<&str>, key: &str, value: &str| {
        let made = fake.ec2.create_volume().availability_zone("eu-west-1a").size(1);
        let made = fake.block_on(made.set_snapshot_id(snapshot.map(str::to_owned)).send()).unwrap();
        let tagged = fake.ec2.create_tags().resources(made.volume_id().unwrap()).tags(tag(key, value));
        fake.block_on(tagged.send()).unwrap();
    };
    volume(None, "etcdbackup/restored-set", "set-4");
    volume(Some("snap-00005-b"), "etcdbackup/restore", "run-7");
    volume(Some("snap-00006-b"), "k8s.io/etcd/main", "b/a,b,c");
    let output = ok(fake.sandbox().run("volume prune --keep-last 2 --dry-run -q"));
    let reasons: Vec<String> = shown(&output, &fake)
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().skip(4).collect::<Vec<_>>().join(" "))
        .collect();
    let wanted = [
        "keep the newest of a.etcd-main.k.example.com",
        "keep number 2 of the last 2",
        "keep restore run-7 is not cleaned up",
        "keep (volume) names it as what was restored",
        "keep (volume) was made of it",
        "delete no rule keeps it",
        "delete no rule keeps it",
    ];
    assert_eq!(reasons, wanted);
    ok(fake.sandbox().run("volume prune --keep-last 2"));
    assert_eq!(sets(&fake), ["set-1", "set-2", "set-3", "set-4", "set-5"]);
}

#[test]
fn snapshots_of_others_and_unmarked_ones_are_not_even_judged() {
    let fake = with_sets(3);
    fake.state(|state| {
        let mut foreign = ours("set-9", "main", "a", 9000);
        foreign.owner = "999999999999".to_owned();
        state.snapshots.insert("snap-foreign".to_owned(), foreign);
        let mut mine = ours("set-8", "main", "a", 9000);
        mine.tags.remove("etcdbackup/managed");
        state.snapshots.insert("snap-mine".to_owned(), mine);
    });
    let output = ok(fake.sandbox().run("volume prune --keep-last 1"));
    assert!(!output.to_string().contains("set-9") && !output.to_string().contains("set-8"), "{output}");
    // the fake lists those of others all the same
    let requests = fake.requests();
    let mut listings = requests.iter().filter(|request| request.action == "DescribeSnapshots");
    assert!(listings.all(|request| request.is("Owner.1", "self")), "{requests:?}");
    assert_eq!(ids(&fake), ["snap-00001-a", "snap-00001-b", "snap-00001-c", "snap-foreign", "snap-mine"]);
}

#[test]
fn thousands_of_snapshots_come_in_pages_and_all_of_them_count() {
    // 2,499 snapshots, three pages
    let fake = with_sets(833);
    let output = ok(fake.sandbox().run("volume prune --keep-last 830 --max-deletions 9"));
    assert_eq!(fake.count()["DescribeSnapshots"], 3, "{output}");
    assert!(!sets(&fake).iter().any(|set| ["set-831", "set-832", "set-833"].contains(&set.as_str())), "{output}");
    assert_eq!(ids(&fake).len(), 830 * 3);
}

#[test]
fn nothing_goes_unless_something_says_what_stays() {
    let fake = with_sets(3);
    let output = fake.sandbox().run("volume prune");
    assert_eq!((output.code, fake.requests().len()), (Some(2), 0), "{output}");
    let mut sandbox = fake.sandbox();
    sandbox.set("SNAPSHOT_RETENTION", "2");
    ok(sandbox.run("volume prune"));
    assert_eq!(sets(&fake), ["set-1", "set-2"]);
}

/// bsycorp/etcd-backup, etcd-backup.sh: finds the volume by a device letter, takes a snapshot, copies the volume's
/// tags, and deletes what comes after the first so many in the order in which EC2 lists the snapshots of the volume.
/// Returns the new snapshot.
fn script(aws: &Aws, master: &str, pod: &str, retention: usize) -> String {
    let name = Filter::builder().name("tag:Name").values(master).build();
    let found = aws.block_on(aws.ec2.describe_instances().filters(name).send()).unwrap();
    let mappings = found.reservations()[0].instances()[0].block_device_mappings().to_vec();
    let mapping = mappings.iter().find(|it| it.device_name() == Some("/dev/xvdu")).unwrap();
    let volume = mapping.ebs().unwrap().volume_id().unwrap().to_owned();
    let new = scripts_snapshot(aws, &volume, pod);
    let of_volume = Filter::builder().name("volume-id").values(&volume).build();
    let all = aws.block_on(aws.ec2.describe_snapshots().filters(of_volume).send()).unwrap();
    for old in all.snapshots().iter().skip(retention) {
        aws.block_on(aws.ec2.delete_snapshot().snapshot_id(old.snapshot_id().unwrap()).send()).unwrap();
    }
    new
}

fn scripts_snapshot(aws: &Aws, volume: &str, pod: &str) -> String {
    let create = aws.ec2.create_snapshot().volume_id(volume).description(format!("Automatic snapshot by {pod}"));
    let new = aws.block_on(create.send()).unwrap().snapshot_id().unwrap().to_owned();
    let of_volume = aws.volumes().into_iter().find(|it| it.volume_id() == Some(volume)).unwrap();
    let tags = Some(of_volume.tags().to_vec());
    aws.block_on(aws.ec2.create_tags().resources(&new).set_tags(tags).send()).unwrap();
    new
}

/// The environment of the old CronJob.
fn old_job(aws: &Aws, master: &str, retention: &str) -> Sandbox {
    let mut sandbox = aws.sandbox();
    for (name, value) in [("INSTANCE_NAME", master), ("VOLUME", "main"), ("SNAPSHOT_RETENTION", retention)] {
        sandbox.set(name, value);
    }
    sandbox
}

/// The ids of the snapshots that the set of the last run holds.
fn there(aws: &Aws) -> Vec<String> {
    aws.snapshots().iter().map(|it| it.snapshot_id().unwrap().to_owned()).collect()
}

#[test]
fn the_old_script_deletes_the_newest_and_its_successor_keeps_them() {
    let kops = Kops::of_one(CLUSTER);
    let aws = Aws::moto();
    kops.make(&aws);
    let master = kops.master("a");
    let made: Vec<String> = (1..=4).map(|run| script(&aws, &master, &format!("pod-{run}"), 2)).collect();
    let mut left = there(&aws);
    left.sort();
    let mut oldest = made[..2].to_vec();
    oldest.sort();
    // what this program is for: the third and the fourth are gone
    assert_eq!(left, oldest);

    let aws = Aws::moto();
    kops.make(&aws);
    // a CronJob whose image was exchanged: no arguments
    let sandbox = old_job(&aws, &master, "2");
    let mut runs = Vec::new();
    for _ in 0..4 {
        let before = there(&aws);
        ok(sandbox.run(""));
        let new: Vec<String> = there(&aws).into_iter().filter(|id| !before.contains(id)).collect();
        assert_eq!(new.len(), 1);
        runs.extend(new);
        // EC2's clock counts in seconds here, and two of one second have no order
        let second = jiff::Timestamp::now().as_second();
        while jiff::Timestamp::now().as_second() == second {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    assert_eq!(there(&aws), runs[2..]);
}

#[test]
fn the_old_cron_jobs_environment_takes_waits_and_expires() {
    let fake = three_masters();
    let master = Kops::of_three(CLUSTER).master("b");
    let sandbox = old_job(&fake, &master, "1");
    ok(sandbox.run("volume snapshot"));
    let output = ok(sandbox.run(""));
    assert_snapshot!("old_job", shown(&output, &fake));
    let left = fake.snapshots();
    assert_eq!(left.len(), 1);
    assert_eq!((value(&left[0], "etcdbackup/etcd"), value(&left[0], "etcdbackup/member")), (Some("main"), Some("b")));
    let [mut unset, mut unknown] = [old_job(&fake, "nobody", "1"), old_job(&fake, &master, "none")];
    unset.set("VOLUME", "");
    unknown.set("VOLUME", "data");
    let codes =
        [old_job(&fake, "nobody", "1").run(""), unset.run("volume snapshot"), unknown.run("")].map(|it| it.code);
    assert_eq!(codes, [Some(3), Some(2), Some(2)]);
}

#[test]
fn a_terminated_namesake_is_not_the_master() {
    let kops = Kops::of_one(CLUSTER);
    let fake = FakeAws::start();
    kops.make(&fake);
    let master = kops.master("a");
    fake.state(|state| {
        let mut old = state.instances.values().next().unwrap().clone();
        old.status = "terminated".to_owned();
        state.instances.insert("i-00000000000000000".to_owned(), old);
    });
    ok(old_job(&fake, &master, "2").run(""));
    fake.state(|state| state.instances.values_mut().for_each(|it| it.status = "terminated".to_owned()));
    let output = old_job(&fake, &master, "2").run("");
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("is running: i-00000000000000000 is terminated, "), "{output}");
}

fn by_set(all: &[Snapshot]) -> BTreeMap<String, usize> {
    let mut sets = BTreeMap::new();
    for it in all {
        *sets.entry(value(it, "etcdbackup/set").unwrap_or("none").to_owned()).or_default() += 1;
    }
    sets
}

#[test]
fn what_the_script_left_behind_is_adopted_as_sets_and_expires() {
    let (aws, kops) = (Aws::moto(), Kops::of_three(CLUSTER));
    kops.make(&aws);
    let volumes: Vec<String> =
        aws.volumes().iter().filter(|it| !it.tags().is_empty()).map(|it| it.volume_id().unwrap().to_owned()).collect();
    for volume in &volumes {
        scripts_snapshot(&aws, volume, "pod-1");
    }
    // by hand, and by the script of a volume that nobody knows any more
    aws.block_on(aws.ec2.create_snapshot().volume_id(&volumes[0]).description("mine").send()).unwrap();
    let unknown = aws.block_on(aws.ec2.create_volume().availability_zone("eu-west-1a").size(1).send()).unwrap();
    let lost = aws.ec2.create_snapshot().volume_id(unknown.volume_id().unwrap()).description("Automatic snapshot by x");
    aws.block_on(lost.send()).unwrap();
    let sandbox = aws.sandbox();
    let dry = ok(sandbox.run("volume adopt --dry-run -q"));
    assert_eq!(
        (dry.to_string().matches("adopted-").count(), by_set(&aws.snapshots())),
        (6, [("none".to_owned(), 8)].into())
    );
    let adopted = ok(sandbox.run("volume adopt"));
    assert!(adopted.stderr.contains("has no tags of kops"), "{adopted}");
    let sets = by_set(&aws.snapshots());
    assert_eq!(sets.values().copied().collect::<Vec<_>>(), [6, 2], "{sets:?}");
    let again = ok(sandbox.run("volume adopt"));
    assert!(again.stderr.contains("No snapshots to adopt in eu-west-1, 6 are already."), "{again}");
    let list = ok(sandbox.run("volume list -q --no-headers")).to_string();
    assert!(list.contains("6/6") && list.contains("Complete") && list.contains("eu-west-1a,b,c"), "{list}");
    // a set of ours takes their place
    ok(sandbox.run("volume snapshot --wait --keep-last 1 --set zzz"));
    ok(sandbox.run("volume prune --keep-last 1"));
    let sets = by_set(&aws.snapshots());
    assert!(sets.len() == 2 && sets["none"] == 2, "{sets:?}");
}
