use proptest::prelude::*;

use super::*;

const CLUSTER: u64 = 0xaa;

fn rule(current: &str, keep: usize) -> Rule<'_> {
    Rule { current, cluster_id: CLUSTER, keep }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 0).unwrap()
}

fn stored(revision: u64, uploaded: Option<i64>) -> Stored {
    let uploaded = uploaded.map(at);
    Stored { key: format!("{revision}-{uploaded:?}"), named: Named { revision, taken: None }, uploaded }
}

fn taken(revision: u64, taken: i64, uploaded: i64) -> Stored {
    let named = Named { revision, taken: Some(at(taken)) };
    Stored { named, ..stored(revision, Some(uploaded)) }
}

fn expired(ours: &[Stored], current: &str, keep: usize) -> Vec<u64> {
    plan(ours.to_vec(), rule(current, keep)).iter().map(|it| it.named.revision).collect()
}

#[test]
fn the_oldest_go_first_and_by_age_not_by_revision() {
    let ours = [stored(5, Some(50)), stored(9, Some(10)), stored(10, Some(60)), stored(3, Some(40))];
    assert_eq!(expired(&ours, "", 2), [9, 3]);
    assert_eq!(expired(&ours, "", 4), [0_u64; 0]);
    assert_eq!(expired(&ours, "", 0), [0_u64; 0]);
}

#[test]
fn the_greatest_revision_the_runs_own_and_one_without_a_time_stay() {
    let ours = [stored(99, Some(1)), stored(2, Some(2)), stored(3, None), stored(4, Some(4)), stored(5, Some(5))];
    assert_eq!(expired(&ours, "", 1), [2, 4]);
    assert_eq!(expired(&ours, &ours[1].key, 1), [4]);
}

#[test]
fn the_latest_by_its_name_stays_whatever_the_store_says_of_its_age() {
    // copied to another bucket, the newest first
    let ours = [taken(7, 30, 1), taken(9, 20, 2), taken(5, 10, 3)];
    assert_eq!(expired(&ours, "", 1), [0_u64; 0]);
    assert_eq!(expired(&[ours.as_slice(), &[taken(8, 25, 0)]].concat(), "", 1), [8]);
}

fn any_stored() -> impl Strategy<Value = Vec<Stored>> {
    proptest::collection::vec((0..20_u64, proptest::option::weighted(0.9, 0..20_i64)), 0..30).prop_map(|all| {
        let named = |(at, (revision, uploaded))| Stored { key: format!("{at}"), ..stored(revision, uploaded) };
        all.into_iter().enumerate().map(named).collect()
    })
}

/// What happens in a store that several agents use, each step at any time.
#[derive(Debug, Clone)]
enum Step {
    Store {
        revision: u64,
        uploaded: i64,
    },
    /// An agent lists, and sees each object or not: it looks at some only, and a new one may not show yet.
    List {
        agent: usize,
        unseen: u64,
    },
    DeleteNext {
        agent: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..5_u64, 0..3_i64).prop_map(|(revision, uploaded)| Step::Store { revision, uploaded }),
        1 => (0..3_usize, any::<u64>(), any::<bool>()).prop_map(|(agent, unseen, whole)| Step::List {
            agent, unseen: if whole { 0 } else { unseen }
        }),
        3 => (0..3_usize).prop_map(|agent| Step::DeleteNext { agent }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_stored_what_matters_stays(ours in any_stored(), keep in 0..10_usize, current in 0..40_usize) {
        let current = current.to_string();
        let gone = plan(ours.clone(), rule(&current, keep));
        let left: Vec<Stored> = ours.iter().filter(|it| !gone.contains(it)).cloned().collect();
        prop_assert!(left.len() >= ours.len().min(keep));
        prop_assert!(keep > 0 || gone.is_empty());
        let greatest = ours.iter().map(|it| it.named.revision).max();
        let youngest = ours.iter().filter_map(|it| it.uploaded).max();
        prop_assert!(left.iter().filter_map(|it| it.uploaded).max() == youngest);
        for it in gone {
            prop_assert!(it.key != current && Some(it.named.revision) != greatest && it.uploaded.is_some());
            // so many younger ones stay
            prop_assert!(left.iter().filter(|other| other.uploaded >= it.uploaded).count() >= keep.min(1));
        }
        // running it again finds nothing more
        prop_assert!(plan(left, rule(&current, keep)).is_empty());
    }

    #[test]
    fn agents_that_expire_at_once_leave_as_many_as_one(
        steps in proptest::collection::vec(any_step(), 0..80), keep in 1..4_usize
    ) {
        let (mut ever, mut there) = (Vec::<Stored>::new(), Vec::<Stored>::new());
        let mut doomed: [Vec<Stored>; 3] = Default::default();
        for step in steps {
            match step {
                Step::Store { revision, uploaded } => {
                    let new = Stored { key: format!("{:03}", ever.len()), ..stored(revision, Some(uploaded)) };
                    ever.push(new.clone());
                    there.push(new);
                }
                Step::List { agent, unseen } => {
                    let seen = there.iter().enumerate().filter(|(at, _)| unseen >> (at % 64) & 1 == 0);
                    let mut seen: Vec<Stored> = seen.map(|(_, it)| it.clone()).collect();
                    // the order of a listing is the store's affair
                    if agent == 1 {
                        seen.reverse();
                    }
                    doomed[agent] = plan(seen, rule("", keep));
                }
                Step::DeleteNext { agent } => {
                    let next = doomed[agent].pop();
                    there.retain(|it| Some(it) != next.as_ref());
                }
            }
            by_age(&mut ever);
            prop_assert!(ever.iter().take(keep).all(|it| there.contains(it)), "one of the youngest is gone");
            let greatest = |all: &[Stored]| all.iter().map(|it| it.named.revision).max();
            prop_assert_eq!(greatest(&ever), greatest(&there));
        }
    }
}
