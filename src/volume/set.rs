//! Sets: the snapshots that one run took of all members. Only a whole set is a backup of an etcd of several members:
//! each member's identity is inside its own volume (kubernetes#40027), and one that is older than its peers panics
//! (etcd#13509).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Snapshot, State};
use super::tags::{self, Disk};

/// Members whose snapshots began further apart than this had time to differ by a restart or an election
/// (etcd#13136: unsynchronised snapshots of a live cluster are tricky).
pub const WIDE_SPREAD: SignedDuration = SignedDuration::from_secs(60);

/// The snapshots of one run in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub id: String,
    pub cluster: String,
    /// By disk; of two of one disk, the newer that completed, else the newer.
    pub snapshots: BTreeMap<Disk, Snapshot>,
    /// Other snapshots of those disks in this set: a repeated call made them.
    pub doubles: Vec<Snapshot>,
    /// Disks that the set should have and has not.
    pub missing: Vec<Disk>,
}

impl Set {
    /// Whether nothing is missing and all of it completed.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.snapshots.values().all(|snapshot| snapshot.state == State::Completed)
    }

    /// When its first snapshot began: what the set is the state of.
    pub fn started(&self) -> Option<Timestamp> {
        self.snapshots.values().filter_map(|snapshot| snapshot.started).min()
    }

    /// When its last snapshot began. Far from [`Self::started`], its members are not of one moment.
    pub fn last_started(&self) -> Option<Timestamp> {
        self.snapshots.values().filter_map(|snapshot| snapshot.started).max()
    }

    /// Between its first and its last snapshot.
    pub fn spread(&self) -> SignedDuration {
        let ends = self.started().zip(self.last_started());
        ends.map_or(SignedDuration::ZERO, |(first, last)| last.duration_since(first))
    }

    /// The etcds that it has snapshots of.
    pub fn etcds(&self) -> BTreeSet<&str> {
        self.snapshots.keys().map(|disk| disk.etcd.as_str()).collect()
    }

    /// The members that it has snapshots of.
    pub fn members(&self) -> BTreeSet<&str> {
        self.snapshots.keys().map(|disk| disk.member.as_str()).collect()
    }

    /// All snapshots, doubles too.
    pub fn all(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values().chain(&self.doubles)
    }
}

/// Groups snapshots of ours into sets, newest first. Those without a disk or a set in their tags are left out.
pub fn of(snapshots: &[Snapshot]) -> Vec<Set> {
    of_all(snapshots.to_vec())
}

/// The same without a copy of each: there may be thousands.
pub fn of_all(snapshots: Vec<Snapshot>) -> Vec<Set> {
    let mut grouped: BTreeMap<(String, String), Vec<(Disk, Snapshot)>> = BTreeMap::new();
    for snapshot in snapshots {
        if let (Some(disk), Some(set)) = (snapshot.disk(), snapshot.set()) {
            grouped.entry((set.to_owned(), disk.cluster.clone())).or_default().push((disk, snapshot));
        }
    }
    let mut sets: Vec<Set> = grouped.into_iter().map(|((id, cluster), of_set)| set(id, cluster, of_set)).collect();
    sets.sort_by(|a, b| b.started().cmp(&a.started()).then_with(|| b.id.cmp(&a.id)));
    sets
}

fn set(id: String, cluster: String, mut found: Vec<(Disk, Snapshot)>) -> Set {
    let rank = |snapshot: &Snapshot| (snapshot.state == State::Completed, snapshot.started);
    found.sort_by(|(_, a), (_, b)| rank(b).cmp(&rank(a)).then_with(|| a.id.cmp(&b.id)));
    let missing = wanted(&cluster, &found).into_iter().filter(|disk| !found.iter().any(|(of, _)| of == disk));
    let missing = missing.collect();
    let (mut snapshots, mut doubles) = (BTreeMap::new(), Vec::new());
    for (disk, snapshot) in found {
        match snapshots.contains_key(&disk) {
            true => doubles.push(snapshot),
            false => drop(snapshots.insert(disk, snapshot)),
        }
    }
    Set { id, cluster, snapshots, doubles, missing }
}

/// Every member of every etcd that a snapshot of the set names.
fn wanted(cluster: &str, found: &[(Disk, Snapshot)]) -> BTreeSet<Disk> {
    let list = |snapshot: &Snapshot, key: &str| -> Vec<String> {
        let names = snapshot.tags.get(key).map(String::as_str).unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let mut wanted = BTreeSet::new();
    let disk = |etcd: &str, member: String| Disk { cluster: cluster.to_owned(), etcd: etcd.to_owned(), member };
    let mut members_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (of, snapshot) in found {
        let mut members = list(snapshot, tags::MEMBERS);
        if members.is_empty() {
            // a call for several volumes gives it none of its own, and the run may have ended there
            members = tags::of_kops(&snapshot.tags).map(|(_, members)| members).unwrap_or_default();
        }
        members_of.entry(of.etcd.clone()).or_default().extend(members.into_iter().chain([of.member.clone()]));
    }
    let everyone: BTreeSet<String> = members_of.values().flatten().cloned().collect();
    let etcds: BTreeSet<String> = found.iter().flat_map(|(_, snapshot)| list(snapshot, tags::ETCDS)).collect();
    for etcd in etcds.iter().chain(members_of.keys()) {
        // an etcd of which nothing was taken has, as far as anybody knows, the members of the others
        let members = members_of.get(etcd).unwrap_or(&everyone);
        wanted.extend(members.iter().map(|member| disk(etcd, member.clone())));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(id: &str, etcd: &str, member: &str, state: State, second: i64) -> Snapshot {
        let tags = [
            (tags::MANAGED, "1"),
            (tags::CLUSTER, "k"),
            (tags::ETCD, etcd),
            (tags::MEMBER, member),
            (tags::MEMBERS, "a,b"),
            (tags::ETCDS, "events,main"),
            (tags::SET, "s"),
        ];
        Snapshot {
            id: id.to_owned(),
            volume: "vol-1".to_owned(),
            owner: "1".to_owned(),
            state,
            progress: String::new(),
            started: Timestamp::from_second(second).ok(),
            size: 20,
            encrypted: false,
            kms_key: None,
            tier: "standard".to_owned(),
            description: String::new(),
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn a_set_is_whole_with_every_member_of_every_etcd() {
        use State::{Completed, Pending};
        let mut taken = vec![
            snapshot("snap-1", "main", "a", Completed, 1),
            snapshot("snap-2", "main", "b", Completed, 2),
            snapshot("snap-3", "events", "a", Completed, 3),
        ];
        let [set] = &of(&taken)[..] else { panic!("one set") };
        assert_eq!(set.missing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b.etcd-events.k"]);
        taken.push(snapshot("snap-4", "events", "b", Pending, 4));
        assert!(!of(&taken)[0].is_complete() && of(&taken)[0].missing.is_empty());
        taken[3].state = Completed;
        assert!(of(&taken)[0].is_complete());
    }

    #[test]
    fn an_etcd_of_which_nothing_was_taken_is_missing() {
        let taken = [snapshot("snap-1", "main", "a", State::Completed, 1)];
        let missing: Vec<_> = of(&taken)[0].missing.iter().map(ToString::to_string).collect();
        assert_eq!(missing, ["a.etcd-events.k", "b.etcd-events.k", "b.etcd-main.k"]);
    }

    #[test]
    fn without_its_own_tags_a_snapshot_names_the_members_by_those_of_kops() {
        let mut one = snapshot("snap-1", "main", "a", State::Completed, 1);
        for key in [tags::ETCD, tags::MEMBER, tags::MEMBERS] {
            one.tags.remove(key);
        }
        one.tags.insert(tags::ETCDS.to_owned(), "main".to_owned());
        one.tags.insert(tags::KOPS_CLUSTER.to_owned(), "k".to_owned());
        one.tags.insert("k8s.io/etcd/main".to_owned(), "a/a,b,c".to_owned());
        let missing = |one: &Snapshot| -> Vec<String> {
            of(std::slice::from_ref(one))[0].missing.iter().map(ToString::to_string).collect()
        };
        assert_eq!(missing(&one), ["b.etcd-main.k", "c.etcd-main.k"]);
        // its own say it better: kops may have gained a member since
        one.tags.insert(tags::MEMBERS.to_owned(), "a,b".to_owned());
        assert_eq!(missing(&one), ["b.etcd-main.k"]);
    }

    #[test]
    fn of_two_snapshots_of_one_disk_the_completed_one_counts() {
        let taken =
            [snapshot("snap-2", "main", "a", State::Pending, 2), snapshot("snap-1", "main", "a", State::Completed, 1)];
        let sets = of(&taken);
        assert_eq!(sets[0].snapshots.values().next().unwrap().id, "snap-1");
        assert_eq!(sets[0].doubles[0].id, "snap-2");
    }
}
