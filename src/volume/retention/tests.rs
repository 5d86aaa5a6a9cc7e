use proptest::prelude::*;

use super::*;
use crate::volume::set;
use crate::volume::tags::{self, Tags};

const NOW: i64 = 1_800_000_000;

/// A snapshot of `member.etcd` in a set, so many seconds old.
fn snapshot(set: &str, etcd: &str, member: &str, state: State, age: i64) -> Snapshot {
    let tags = [
        (tags::MANAGED, "1"),
        (tags::CLUSTER, "k"),
        (tags::ETCD, etcd),
        (tags::MEMBER, member),
        (tags::MEMBERS, "a,b"),
        (tags::SET, set),
    ];
    Snapshot {
        id: format!("snap-{set}-{etcd}-{member}"),
        volume: String::new(),
        owner: "1".to_owned(),
        state,
        progress: String::new(),
        started: Timestamp::from_second(NOW - age).ok(),
        size: 20,
        encrypted: false,
        kms_key: None,
        tier: "standard".to_owned(),
        description: String::new(),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Tags>(),
    }
}

/// A complete set of `main`.
fn whole(set: &str, age: i64) -> Vec<Snapshot> {
    ["a", "b"].map(|member| snapshot(set, "main", member, State::Completed, age)).into()
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// The sets that stay, the newest first, each with the reason.
fn kept(snapshots: &[Snapshot], rules: &Rules) -> Vec<String> {
    let sets = set::of(snapshots);
    let verdicts = judge(&sets, rules, now());
    let shown = |(set, verdict): (&Set, Verdict)| match verdict {
        Verdict::Keep(reason) => Some(format!("{}: {reason}", set.id)),
        Verdict::Delete(_) => None,
    };
    sets.iter().zip(verdicts).filter_map(shown).collect()
}

fn names(kept: &[String]) -> Vec<&str> {
    kept.iter().map(|line| line.split(':').next().unwrap()).collect()
}

fn last(last: usize) -> Rules {
    Rules { last, ..Rules::default() }
}

#[test]
fn the_last_so_many_sets_stay() {
    let all = [whole("3", 10), whole("2", 20), whole("1", 30)].concat();
    assert_eq!(kept(&all, &last(2)), ["3: the newest of a.etcd-main.k", "2: number 2 of the last 2"]);
    assert_eq!(names(&kept(&all, &last(5))), ["3", "2", "1"]);
}

#[test]
fn without_any_rule_the_newest_complete_set_stays() {
    let mut all = [whole("2", 20), whole("1", 30)].concat();
    assert_eq!(names(&kept(&all, &Rules::default())), ["2"]);
    // newer ones of single members leave no complete set that could be restored
    all.push(snapshot("a", "main", "a", State::Completed, 5));
    all.push(snapshot("b", "main", "b", State::Completed, 4));
    let reasons =
        ["b: the newest of b.etcd-main.k", "a: the newest of a.etcd-main.k", "2: the newest complete set of etcd main"];
    assert_eq!(kept(&all, &last(1)), reasons);
}

#[test]
fn what_is_not_completed_never_counts_and_stays_while_it_may_complete() {
    let mut all = [whole("2", 20), whole("1", 30)].concat();
    all.extend(["a", "b"].map(|member| snapshot("3", "main", member, State::Pending, 10)));
    assert_eq!(names(&kept(&all, &last(1))), ["3", "2"]);
    all.extend(["a", "b"].map(|member| snapshot("4", "main", member, State::Failed(String::new()), 5)));
    assert_eq!(names(&kept(&all, &last(1))), ["4", "3", "2"]);
    all.extend(whole("5", 1));
    assert_eq!(names(&kept(&all, &last(1))), ["5", "3"]);
}

#[test]
fn a_set_stays_whole_when_one_disk_of_it_needs_it() {
    // member b failed in the newest set
    let mut all = [whole("2", 20), whole("1", 30)].concat();
    all.push(snapshot("3", "main", "a", State::Completed, 10));
    all.push(snapshot("3", "main", "b", State::Failed(String::new()), 10));
    assert_eq!(names(&kept(&all, &last(1))), ["3", "2"]);
}

#[test]
fn a_set_that_can_be_restored_stays_although_each_etcd_has_a_newer_one_of_its_own() {
    let of = |set: &str, main: State, events: State, age| {
        let both = |member| {
            [snapshot(set, "main", member, main.clone(), age), snapshot(set, "events", member, events.clone(), age)]
        };
        ["a", "b"].map(both).concat()
    };
    let failed = || State::Failed(String::new());
    let all = [
        of("3", failed(), State::Completed, 10),
        of("2", State::Completed, failed(), 20),
        of("1", State::Completed, State::Completed, 30),
        of("0", State::Completed, State::Completed, 40),
    ];
    assert_eq!(names(&kept(&all.concat(), &last(1))), ["3", "2", "1"]);
}

#[test]
fn each_disk_counts_for_itself() {
    let single = |name: &str, etcd: &str, age| snapshot(name, etcd, "a", State::Completed, age);
    let all = [
        single("m2", "main", 10),
        single("m1", "main", 20),
        single("e2", "events", 1000),
        single("e1", "events", 2000),
    ];
    assert_eq!(names(&kept(&all, &last(1))), ["m2", "e2"]);
}

#[test]
fn hours_days_and_weeks_keep_the_newest_of_each() {
    let all: Vec<Snapshot> = (0..200).flat_map(|n| whole(&format!("{n:03}"), n * HOUR / 2)).collect();
    let rules = Rules { hourly: 3, ..Rules::default() };
    assert_eq!(names(&kept(&all, &rules)), ["000", "001", "003"]);
    // NOW is 08:00 UTC on a Friday
    let rules = Rules { daily: 3, ..Rules::default() };
    assert_eq!(names(&kept(&all, &rules)), ["000", "017", "065"]);
    let weeks: Vec<Snapshot> = (0..40).flat_map(|n| whole(&format!("{n:03}"), n * DAY)).collect();
    let rules = Rules { weekly: 3, ..Rules::default() };
    assert_eq!(names(&kept(&weeks, &rules)), ["000", "005", "012"]);
    let rules = Rules { within: Some(SignedDuration::from_secs(2 * DAY)), ..Rules::default() };
    assert_eq!(names(&kept(&weeks, &rules)), ["000", "001", "002"]);
}

#[test]
fn one_without_a_time_stays() {
    let mut all = [whole("2", 20), whole("1", 30)].concat();
    all[3].started = None;
    assert_eq!(names(&kept(&all, &last(1))), ["2", "1"]);
}

#[test]
fn what_a_restore_took_first_pushes_no_backup_out() {
    let mut safety = whole("4", 5);
    safety.iter_mut().for_each(|it| drop(it.tags.insert(tags::REASON.to_owned(), tags::PRE_RESTORE.to_owned())));
    let all = [safety, whole("3", 10), whole("2", 20), whole("1", 30)].concat();
    assert_eq!(names(&kept(&all, &last(1))), ["4", "3"]);
    assert_eq!(names(&kept(&all, &last(2))), ["4", "3", "2"]);
}

fn any_snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let state = prop_oneof![
        6 => Just(State::Completed),
        1 => Just(State::Pending),
        1 => Just(State::Failed(String::new())),
    ];
    let one = (0..12_u8, 0..2_usize, 0..2_usize, state, 0..20 * HOUR);
    proptest::collection::vec(one, 0..60).prop_map(|all| {
        let of = |(set, etcd, member, state, age): (u8, usize, usize, State, i64)| {
            snapshot(&set.to_string(), ["main", "events"][etcd], ["a", "b"][member], state, age)
        };
        all.into_iter().map(of).collect()
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (0..4_usize, 0..4_usize, 0..3_usize, 0..2_usize, proptest::option::of(0..10 * HOUR)).prop_map(
        |(last, hourly, daily, weekly, within)| Rules {
            last,
            hourly,
            daily,
            weekly,
            within: within.map(SignedDuration::from_secs),
        },
    )
}

/// The youngest completed snapshot of each disk, and how many disks have so many completed.
fn newest(sets: &[Set]) -> BTreeMap<Disk, Timestamp> {
    let mut newest = BTreeMap::new();
    for (disk, snapshot) in sets.iter().flat_map(|set| &set.snapshots).filter(|(_, snapshot)| is_completed(snapshot)) {
        let started = snapshot.started.unwrap();
        let known = newest.entry(disk.clone()).or_insert(started);
        *known = started.max(*known);
    }
    newest
}

proptest! {
    #[test]
    fn whatever_the_rules_are_the_newest_of_each_disk_stays(all in any_snapshots(), rules in any_rules()) {
        let sets = set::of(&all);
        let verdicts = judge(&sets, &rules, now());
        let left = |keep: bool| sets.iter().zip(&verdicts).filter(move |(_, verdict)| matches!(verdict, Verdict::Keep(_)) == keep);
        let stays: Vec<Set> = left(true).map(|(set, _)| set.clone()).collect();
        prop_assert_eq!(newest(&stays), newest(&sets));
        prop_assert_eq!(newest_complete(&stays).len(), newest_complete(&sets).len());
        // what goes is not pending, and so many younger ones of each of its disks stay
        for (gone, _) in left(false) {
            prop_assert!(gone.all().all(|snapshot| snapshot.state != State::Pending));
            for (disk, snapshot) in gone.snapshots.iter().filter(|(_, snapshot)| is_completed(snapshot)) {
                let of_disk = stays.iter().filter_map(|set| set.snapshots.get(disk)).filter(|other| is_completed(other));
                let younger = of_disk.filter(|other| other.started >= snapshot.started).count();
                prop_assert!(younger >= rules.last.max(1));
            }
        }
        // running it again finds nothing more
        prop_assert!(judge(&stays, &rules, now()).iter().all(|verdict| matches!(verdict, Verdict::Keep(_))));
    }
}
