//! Which history a snapshot belongs to, decided from what is stored and what etcd says.
//!
//! A cluster that was recreated or restored in place has lower revisions than its stored snapshots;
//! putting them into one directory would make the greatest revision the wrong snapshot.

use std::collections::BTreeMap;

use crate::snapshot::History;
use crate::snapshot::metadata::{KeyHash, Sameness};

/// What is known of a stored history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Greatest revision in it.
    pub greatest: u64,
    /// The etcd cluster that its snapshots came from, where that is recorded.
    pub cluster_id: Option<u64>,
    /// etcd's hash of all keys at that revision, where that is recorded.
    pub hash_kv: Option<KeyHash>,
}

/// What etcd says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub cluster_id: u64,
    pub revision: u64,
    /// Whether a quorum confirmed the revision.
    pub confirmed: bool,
    /// Whether etcd, at the greatest revision of the newest history, has the data that was stored then. A cluster
    /// that was recreated with the same addresses has the same id, and only its data tells.
    pub data: Sameness,
    pub time: jiff::Timestamp,
}

/// Where the snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Into this history.
    Into(History),
    /// Nowhere: two etcd clusters write to this place in turn.
    Shared { other: u64 },
}

/// Decides from the histories that are stored, which were read before etcd was asked.
pub fn decide(stored: &BTreeMap<History, Stored>, now: Now) -> Decision {
    let Some((newest, current)) = stored.last_key_value() else { return Decision::Into(History::First) };
    let begin = || Decision::Into(History::begin(now.time, now.cluster_id));
    match current.cluster_id {
        Some(other) if other != now.cluster_id => {
            let owned_before = stored.values().any(|history| history.cluster_id == Some(now.cluster_id));
            if owned_before { Decision::Shared { other } } else { begin() }
        }
        _ if now.data == Sameness::Different => begin(),
        // without a quorum a member may only lag behind
        _ if now.revision < current.greatest && now.confirmed => begin(),
        _ => Decision::Into(newest.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: u64 = 0xaa;
    const OTHER: u64 = 0xbb;

    fn now(revision: u64, confirmed: bool) -> Now {
        Now {
            cluster_id: MINE,
            revision,
            confirmed,
            data: Sameness::Unknown,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    fn first(greatest: u64, cluster_id: Option<u64>) -> BTreeMap<History, Stored> {
        BTreeMap::from([(History::First, Stored { greatest, cluster_id, hash_kv: None })])
    }

    fn begun() -> Decision {
        Decision::Into(History::Later("20260102T030405Z_aa".to_owned()))
    }

    #[test]
    fn an_empty_store_and_a_growing_revision_stay_in_the_first() {
        assert_eq!(decide(&BTreeMap::new(), now(1, true)), Decision::Into(History::First));
        assert_eq!(decide(&first(10, Some(MINE)), now(11, true)), Decision::Into(History::First));
        assert_eq!(decide(&first(10, None), now(10, true)), Decision::Into(History::First));
    }

    #[test]
    fn a_recreated_cluster_begins_a_new_one() {
        assert_eq!(decide(&first(10, Some(OTHER)), now(99, true)), begun());
    }

    #[test]
    fn a_cluster_restored_in_place_begins_a_new_one_only_when_a_quorum_says_so() {
        assert_eq!(decide(&first(10, Some(MINE)), now(9, true)), begun());
        assert_eq!(decide(&first(10, Some(MINE)), now(9, false)), Decision::Into(History::First));
    }

    #[test]
    fn a_cluster_recreated_with_its_old_id_begins_a_new_one() {
        let other_data = Now { data: Sameness::Different, ..now(11, true) };
        assert_eq!(decide(&first(10, Some(MINE)), other_data), begun());
        let same_data = Now { data: Sameness::Same, ..now(11, true) };
        assert_eq!(decide(&first(10, Some(MINE)), same_data), Decision::Into(History::First));
    }

    #[test]
    fn two_clusters_on_one_prefix_are_told_apart() {
        let mut stored = first(10, Some(MINE));
        stored.insert(
            History::begin(now(1, true).time, OTHER),
            Stored { greatest: 1, cluster_id: Some(OTHER), hash_kv: None },
        );
        assert_eq!(decide(&stored, now(11, true)), Decision::Shared { other: OTHER });
    }
}
