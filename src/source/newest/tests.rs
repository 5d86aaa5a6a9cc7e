//! The search against stores in memory: its answers, and how many requests they cost.

mod lister;

use std::collections::BTreeSet;

use futures::executor::block_on;
use proptest::prelude::*;

use self::lister::{Computed, DIRECTORY, Odd, Oddly, Ordered, Share, Spacing, Walked, object};
use super::*;
use crate::source::select;

const SPACINGS: [Spacing; 4] = [Spacing::Uniform, Spacing::Random, Spacing::LogUniform, Spacing::FarTail];
const VERSIONS: [&str; 5] = ["3.8.0", "3.9.0", "3.10.0", "3.11.0-rc.1", "3.12.0"];
const LATER: &str = "history/20260101T000000Z_ab/";

fn padded(version: &str, revision: u64) -> String {
    format!("{version}_{revision:016x}_etcd.backup")
}

fn keys(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().map(|name| format!("{DIRECTORY}{name}")).collect()
}

fn wanting(history: Option<&str>, etcd: Option<&str>) -> Wanted {
    Wanted { revision: None, etcd_version: etcd.map(|etcd| etcd.parse().unwrap()), history: history.map(str::to_owned) }
}

fn found(lister: &impl Lister, wanted: &Wanted) -> Listing {
    let first = block_on(lister.page(DIRECTORY, "", PAGE)).unwrap();
    block_on(deciding(lister, DIRECTORY, first, wanted)).unwrap()
}

/// The answer in the end: a key, or the error with its hints.
fn answer(listing: &Listing, wanted: &Wanted) -> Result<String> {
    select(&listing.snapshots, wanted).map(|snapshot| snapshot.location.clone())
}

fn linear(keys: &BTreeSet<String>) -> Listing {
    whole::listing(DIRECTORY, keys.iter().map(|key| object(key)).collect())
}

/// What the newest of these keys is, by a search, and by how many requests.
fn newest(keys: &BTreeSet<String>) -> (String, usize) {
    let lister = Ordered::new(keys, 1000);
    let listing = found(&lister, &Wanted::default());
    assert!(!*lister.listed.lock().unwrap(), "everything was listed");
    let newest = answer(&listing, &Wanted::default()).unwrap();
    (newest.strip_prefix(DIRECTORY).unwrap().to_owned(), lister.requests())
}

/// The bound that goes with a number of keys and of versions; one request more is for later histories.
fn bound(total: u64, versions: usize) -> usize {
    (2.0 * (total as f64 / 1000.0).log2()).max(0.0) as usize + 2 * versions + 7
}

/// Requests for the newest, and for the one before it, which has to be at most a few more.
fn cost(total: u64, spacing: Spacing, versions: &[&'static str], share: Share, most: usize) -> usize {
    let keys = Computed::new(total, spacing, versions, share);
    let lister = Ordered::new(&keys, 1000);
    let listing = found(&lister, &Wanted::default());
    let case = format!("{total} keys, {spacing:?}, {} versions {share:?}", versions.len());
    let newest = select(&listing.snapshots, &Wanted::default()).unwrap();
    assert_eq!(newest.name.revision(), keys.revision(total - 1), "{case}");
    let requests = lister.requests();
    assert!(requests <= most, "{case}: {requests} requests, not {most}");
    let older = block_on(before(&lister, DIRECTORY, newest)).unwrap();
    assert_eq!(older, Some(keys.revision(total - 2)), "{case}");
    let with_older = lister.requests();
    assert!(with_older <= requests + versions.len() + 2, "{case}: {with_older} with the older one");
    requests
}

#[test]
#[expect(clippy::print_stdout, reason = "benches/newest shows the table")]
fn requests_for_the_newest_of_10_3_10_5_and_10_7_snapshots() {
    println!("snapshots   versions   requests: {SPACINGS:?}, then the versions mixed");
    for (total, most) in [(1000, 1), (100_000, 30), (10_000_000, 40)] {
        for versions in [&VERSIONS[..1], &VERSIONS] {
            let shares = [Share::InTurn, Share::Mixed];
            let costs = shares.map(|share| SPACINGS.map(|spacing| cost(total, spacing, versions, share, most)));
            println!("{total:9}   {:8}   {:?} {:?}", versions.len(), costs[0], costs[1]);
        }
    }
}

#[test]
fn the_number_of_keys_does_not_have_to_be_a_round_one() {
    for total in (1..60).map(|step| 1000 + step * step * 977) {
        cost(total, Spacing::Random, &VERSIONS[..1], Share::InTurn, bound(total, 1));
    }
}

#[test]
fn a_few_pages_of_one_version_cost_hardly_more_than_reading_them() {
    for pages in 1..=4 {
        for spacing in SPACINGS {
            let keys = Computed::new(pages * 1000 - 1, spacing, &VERSIONS[..1], Share::InTurn);
            let lister = Ordered::new(&keys, 1000);
            let newest = answer(&found(&lister, &Wanted::default()), &Wanted::default()).unwrap();
            assert!(newest.contains(&padded("3.8.0", keys.revision(pages * 1000 - 2))), "{spacing:?}: {newest}");
            let requests = lister.requests();
            assert!(requests <= pages as usize + 1, "{spacing:?}: {requests} requests for {pages} pages");
        }
    }
}

#[test]
fn what_lies_beside_the_snapshots_is_not_paged_through() {
    let mut names: BTreeSet<String> = (0..3000).map(|revision| padded("3.5.0", revision)).collect();
    let beside = ["3scale/", "meta/", "tmp/", "3.5.0-x/"];
    names.extend(beside.iter().flat_map(|dir| (0..20_000).map(move |n| format!("{dir}{}", padded("3.9.0", n)))));
    let (newest, requests) = newest(&keys(names));
    assert_eq!(newest, padded("3.5.0", 2999));
    assert!(requests <= 13, "{requests}");
}

#[test]
fn names_that_break_the_order_are_found_where_they_hide() {
    let clean: BTreeSet<String> = (0..0xbcde).map(|revision| padded("3.5.0", revision)).collect();
    for odd in ["000000000000BCDF", "000000000000Bcdf", "000000000000bCdf", "bcdf", "0BCDF", "000000000000CDEF"] {
        let odd = format!("3.5.0_{odd}_etcd.backup");
        let (newest, requests) = newest(&keys(clean.iter().chain([&odd]).cloned()));
        assert_eq!(newest, odd);
        assert!(requests < 41, "{requests} of {} pages", clean.len() / 1000);
    }
}

#[test]
fn foreign_names_are_told_and_skipped() {
    let names = (0..5000).map(|revision| padded("3.5.0", revision));
    let foreign = ["0-notes", "3.5.0_0000000000001388_etcd.backup.part", "3.5.0_zzz"];
    let keys = keys(names.chain(foreign.map(str::to_owned)));
    let lister = Ordered::new(&keys, 1000);
    let listing = found(&lister, &Wanted::default());
    assert_eq!(answer(&listing, &Wanted::default()), Ok(format!("{DIRECTORY}{}", padded("3.5.0", 4999))));
    let told: BTreeSet<String> = listing.foreign.into_iter().collect();
    assert_eq!(told, foreign.map(|name| format!("{DIRECTORY}{name}")).into());
    assert!(lister.requests() < 21);
    let junk = self::keys((0..5000).map(|n| format!("{n:04}.log")));
    let listing = found(&Ordered::new(&junk, 1000), &Wanted::default());
    assert_eq!((listing.snapshots.len(), listing.foreign.len()), (0, 100));
}

#[test]
fn a_store_that_answers_oddly_is_listed_and_that_is_said() {
    let in_order: Vec<String> = keys((0..5000).map(|n| padded("3.5.0", n))).into_iter().collect();
    let mixed: Vec<String> = (0..5000).map(|n| format!("{DIRECTORY}{}", padded("3.5.0", n * 2377 % 5000))).collect();
    let others: Vec<String> = in_order.iter().cloned().chain(["zzz".to_owned()]).collect();
    for (odd, keys, why) in [
        (Odd::Order, mixed.clone(), "in no order"),
        (Odd::StartAfter, in_order.clone(), "does not heed start-after"),
        (Odd::Prefix, others, "not asked for"),
        (Odd::NoKeys, in_order, "lists none"),
        (Odd::Told, mixed, "told"),
    ] {
        let listing = found(&Oddly { keys, odd }, &Wanted::default());
        assert_eq!(
            answer(&listing, &Wanted::default()),
            Ok(format!("{DIRECTORY}{}", padded("3.5.0", 4999))),
            "{odd:?}"
        );
        let Extent::Greatest(said) = &listing.extent else { panic!("{odd:?}: {:?}", listing.extent) };
        assert!(said.contains(why), "{odd:?}: {said}");
        // of a listing of any length only the end is kept
        assert!(listing.snapshots.len() < 200);
        assert_eq!(next_older(&listing.snapshots, listing.snapshots.last().unwrap()), Some(4998));
    }
}

#[test]
fn more_versions_than_a_cluster_can_have_are_listed() {
    let keys = keys((0..3000).map(|n| padded(&format!("3.{}.{n}", n % 7), n)));
    let lister = Ordered::new(&keys, 1000);
    let listing = found(&lister, &Wanted::default());
    assert_eq!(answer(&listing, &Wanted::default()), answer(&linear(&keys), &Wanted::default()));
    assert!(matches!(listing.extent, Extent::Greatest(_)) && lister.requests() < 20);
}

#[test]
fn another_history_costs_one_request_more_and_is_never_overlooked() {
    let mut names: BTreeSet<String> = (0..100_000).map(|revision| padded("3.5.0", revision)).collect();
    let (_, alone) = newest(&keys(names.clone()));
    names.insert(format!("{LATER}{}", padded("3.5.0", 7)));
    let keys = keys(names);
    for (history, most) in [(Some("latest"), 4), (Some("first"), alone + 1), (None, alone + 2), (Some("nope"), 99)] {
        let (lister, wanted) = (Ordered::new(&keys, 1000), wanting(history, None));
        assert_eq!(answer(&found(&lister, &wanted), &wanted), answer(&linear(&keys), &wanted));
        let requests = lister.requests();
        assert!(requests <= most, "{history:?}: {requests}");
    }
}

#[test]
fn one_page_tells_of_all_layouts_where_little_is_stored() {
    let directories = ["b/v1/default/a/", "b/v1/a/", "b/a/"].map(str::to_owned);
    let pages = |lister: &Ordered<'_, BTreeSet<String>>| -> Vec<(usize, bool)> {
        let pages = block_on(openings(lister, "b/", &directories)).unwrap();
        pages.into_iter().map(|page| page.map_or((0, true), |page| (page.objects.len(), page.truncated))).collect()
    };
    let few = ["a/b", "b/a/1", "b/v1/a/1", "b/v1/a/2", "b/v1/ab/1", "b/v1/default/a/1", "c"];
    let few: BTreeSet<String> = few.map(str::to_owned).into();
    let lister = Ordered::new(&few, 1000);
    assert_eq!((pages(&lister), lister.requests()), (vec![(1, false), (2, false), (1, false)], 1));
    let mut many = few.clone();
    many.extend((0..3000).map(|n| format!("b/v1/a/{n:04}")));
    let lister = Ordered::new(&many, 1000);
    assert_eq!((pages(&lister), lister.requests()), (vec![(1, false), (1000, true), (1, false)], 3));
    // with others in between, each directory has a request of its own, and none has two
    let mut apart = few.clone();
    apart.extend(["b/b", "b/v1/b"].iter().flat_map(|dir| (0..3000).map(move |n| format!("{dir}/{n:04}"))));
    let lister = Ordered::new(&apart, 1000);
    assert_eq!((pages(&lister), lister.requests()), (vec![(1, false), (2, false), (1, false)], 3));
    let mut lister = Ordered::new(&few, 1000);
    lister.refused = Some("b/v1/default/a/".to_owned());
    assert_eq!((pages(&lister), lister.requests()), (vec![(0, true), (2, false), (1, false)], 4));
}

#[test]
fn a_layout_that_a_page_passes_over_is_not_taken_for_empty() {
    let directories = ["v1/default/etcd-a/", "v1/etcd-a/", "etcd-a/"].map(str::to_owned);
    let mut keys: Vec<String> = (0..3000).map(|n| format!("v1/etcd/{n:04}")).collect();
    keys.push("v1/etcd-a/1".to_owned());
    let pages = block_on(openings(&Walked(keys), "", &directories)).unwrap();
    assert_eq!(pages.into_iter().map(|page| page.unwrap().objects.len()).collect::<Vec<_>>(), [0, 1, 0]);
}

fn any_revision() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..40, 0u64..5000, 0x9f0u64..0xb10, 0xabc_d000u64..0xabc_e000, 0..=i64::MAX as u64]
}

fn any_name(lenient: bool) -> impl Strategy<Value = String> {
    let version = prop::sample::select(vec!["3.9.0", "3.10.0", "3.10.0-rc.1", "3.5.2+x"]);
    let form = if lenient { 0..6u8 } else { 0..1 };
    (version, any_revision(), form).prop_map(|(version, revision, form)| {
        let digits = match form {
            1 => format!("{revision:x}"),
            2 => format!("{revision:016X}"),
            3 => format!("{revision:X}"),
            4 => format!("{revision:08x}"),
            5 => format!("{revision:016x}").replacen('a', "A", 1).replace('c', "C"),
            _ => format!("{revision:016x}"),
        };
        format!("{version}_{digits}_etcd.backup")
    })
}

fn any_beside() -> impl Strategy<Value = String> {
    let fixed = [
        "README",
        "!first",
        "",
        "1",
        "000.log",
        "9",
        "3.9.0",
        "3.9.0_",
        "3.9.0_-x",
        "3.9.0_zzz",
        "3.10.0_A",
        "3.10.0_0000000000000010_etcd.tmp",
        "3.10.0_00000000000009ff_etcd.backup.part",
        "3.10.0_00/x",
        "3.10.0_0000000000000a00/x",
        "3.9.0/x",
        "9lives/x",
        "notaversion_00",
        "4.0_00",
        "history/",
        "history/x",
        "history/odd/x",
        "meta/x",
        "tmp/x",
        "history/20260101T000000Z_ab/",
        "history/20260101T000000Z_ab/-",
        "history/20260102T000000Z_ab/5",
        "history/20260102T000000Z_ab/3/3",
        "zzz",
    ];
    let history = prop::sample::select(vec!["20260101T000000Z_ab", "20260102T000000Z_ab", "odd"]);
    prop_oneof![
        prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        (history, any_name(true)).prop_map(|(history, name)| format!("history/{history}/{name}")),
    ]
}

fn any_names() -> impl Strategy<Value = BTreeSet<String>> {
    let names = |(lenient, beside): (bool, usize)| {
        let names = prop::collection::vec(any_name(lenient), 0..150);
        (names, prop::collection::vec(any_beside(), 0..=beside))
    };
    let names = (any::<bool>(), prop::sample::select(vec![0usize, 2, 20])).prop_flat_map(names);
    names.prop_map(|(names, beside)| names.into_iter().chain(beside).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_answers_are_those_of_a_full_listing(names in any_names(), most in 1usize..40) {
        let keys = keys(names);
        let (all, lister) = (linear(&keys), Ordered::new(&keys, most));
        for (history, etcd) in [
            (None, None),
            (None, Some("3.9.0")),
            (Some("first"), None),
            (Some("first"), Some("3.10.9")),
            (Some("latest"), Some("3.5.0")),
            (Some("20260101T000000Z_ab"), None),
            (Some("nope"), None),
        ] {
            let wanted = wanting(history, etcd);
            let listing = found(&lister, &wanted);
            prop_assert_eq!(answer(&listing, &wanted), answer(&all, &wanted));
            if let (Extent::Deciding, Ok(newest)) = (&listing.extent, select(&listing.snapshots, &wanted)) {
                let older = block_on(before(&lister, DIRECTORY, newest)).unwrap();
                prop_assert_eq!(older, next_older(&all.snapshots, newest));
            }
        }
        prop_assert!(!*lister.listed.lock().unwrap());
        let revision = Wanted { revision: Some(5), ..Wanted::default() };
        prop_assert_eq!(answer(&found(&lister, &revision), &revision), answer(&all, &revision));
    }
}
