//! Adopts the snapshots that bsycorp/etcd-backup left behind: with our tags they show in sets and expire, also after
//! a restore has replaced the volumes that the script knew them by.
//!
//! Source: bsycorp/etcd-backup, etcd-backup.sh, commit b3ce9fc: the description is `Automatic snapshot by $HOSTNAME`,
//! and the volume's tags are copied. It ran one Job a master and etcd, all in the same minute, so what began within
//! [`WINDOW`] in one cluster, each disk once, becomes one set.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::inventory::{self, Snapshot, State, Volume, filter};
use super::tags::{self, Disk, LONGEST_VALUE, MOST_TAGS, MOST_TAGS_AT_FIRST, Tags};
use super::{marks, retag};
use crate::aws::compute::Compute;
use crate::error::Result;

/// The start of the script's descriptions.
pub const DESCRIPTION: &str = "Automatic snapshot by ";
/// The value of [`tags::REASON`].
pub const ADOPTED: &str = "adopted";
/// How far apart snapshots of one set may begin: Jobs of one minute wait for images and for each other.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// Values of one filter (EC2 API reference, "List and filter using the CLI and API").
const MOST_VALUES: usize = 200;
const AT_ONCE: usize = 4;

/// A snapshot, and the tags that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    pub id: String,
    pub disk: Disk,
    pub set: String,
    pub started: Option<Timestamp>,
    pub tags: Tags,
}

/// What can be adopted, and what cannot, with the reason as a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// By set and disk.
    pub adoptions: Vec<Adoption>,
    pub refused: Vec<String>,
    /// Those that an earlier run adopted.
    pub before: usize,
}

/// Looks for the script's snapshots, of one cluster where one is named.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn find(compute: &Compute, cluster: Option<&str>) -> Result<Plan> {
    let of_script = filter("description", [format!("{DESCRIPTION}*")]);
    let found = inventory::snapshots(compute, vec![of_script]).await?;
    let ids: BTreeSet<&str> = found.iter().map(|snapshot| snapshot.volume.as_str()).collect();
    let (ids, mut volumes): (Vec<&str>, Vec<Volume>) = (ids.into_iter().collect(), Vec::new());
    for some in ids.chunks(MOST_VALUES) {
        volumes.extend(inventory::volumes(compute, vec![filter("volume-id", some.iter().copied())]).await?);
    }
    let volumes = volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect();
    Ok(plan(&found, &volumes, cluster))
}

/// Writes the tags; `done` is told of each.
///
/// # Errors
/// As [`Compute::explain`]; running it again goes on.
pub async fn adopt(compute: &Compute, plan: &Plan, done: impl Fn(&Adoption) -> Result<()>) -> Result<()> {
    let work = plan.adoptions.iter().map(async |one| {
        retag::create(compute, std::slice::from_ref(&one.id), &one.tags).await?;
        Ok(one)
    });
    let mut work = std::pin::pin!(futures::stream::iter(work).buffered(AT_ONCE));
    while let Some(one) = work.try_next().await? {
        done(one)?;
    }
    Ok(())
}

/// A snapshot of the script, and whose disk it is of.
struct Known<'a> {
    snapshot: &'a Snapshot,
    started: Timestamp,
    disk: Disk,
    members: Vec<String>,
}

/// What is to be tagged, out of the script's snapshots and the volumes that are still there.
pub fn plan(found: &[Snapshot], volumes: &BTreeMap<String, Volume>, cluster: Option<&str>) -> Plan {
    let mut plan = Plan::default();
    let mut known: Vec<Known<'_>> = Vec::new();
    for snapshot in found.iter().filter(|snapshot| snapshot.description.starts_with(DESCRIPTION)) {
        match whose(snapshot, volumes) {
            Ok(one) if cluster.is_none_or(|cluster| one.disk.cluster == cluster) => known.push(one),
            Ok(_) => {}
            Err(reason) => plan.refused.push(reason),
        }
    }
    known.sort_by(|a, b| (&a.disk.cluster, a.started, &a.disk).cmp(&(&b.disk.cluster, b.started, &b.disk)));
    for group in groups(&known) {
        let (set, etcds) = (set_of(group), etcds(group));
        for one in group {
            if one.snapshot.set().is_some() {
                plan.before += 1;
                continue;
            }
            match adoption(one, &set, &etcds, volumes.get(&one.snapshot.volume)) {
                Ok(adoption) => plan.adoptions.push(adoption),
                Err(reason) => plan.refused.push(reason),
            }
        }
    }
    plan
}

/// By the tags that the script copied, else by those of the volume.
fn whose<'a>(snapshot: &'a Snapshot, volumes: &BTreeMap<String, Volume>) -> Result<Known<'a>, String> {
    let Snapshot { id, state, .. } = snapshot;
    if *state != State::Completed {
        return Err(format!("{id} is not completed"));
    }
    let started = snapshot.started.ok_or_else(|| format!("nobody knows how old {id} is"))?;
    let of_volume = || volumes.get(&snapshot.volume).and_then(|volume| tags::of_kops(&volume.tags));
    let (disk, members) = tags::of_kops(&snapshot.tags)
        .or_else(of_volume)
        .ok_or_else(|| format!("{id} has no tags of kops, and its volume {} has none or is gone", snapshot.volume))?;
    Ok(Known { snapshot, started, disk, members })
}

/// Sorted snapshots in groups of one cluster and one [`WINDOW`], each disk once.
fn groups<'k, 'a>(known: &'k [Known<'a>]) -> Vec<&'k [Known<'a>]> {
    let (mut groups, mut begin) = (Vec::new(), 0);
    for (at, one) in known.iter().enumerate() {
        let Some(group) = known.get(begin..at) else { continue };
        let fits = |first: &Known<'_>| {
            first.disk.cluster == one.disk.cluster
                && one.started.duration_since(first.started) <= WINDOW
                && group.iter().all(|other| other.disk != one.disk)
        };
        if group.first().is_some_and(|first| !fits(first)) {
            groups.push(group);
            begin = at;
        }
    }
    groups.extend(known.get(begin..).filter(|group| !group.is_empty()));
    groups
}

/// The set that an earlier run chose, else one named after the time of the first.
fn set_of(group: &[Known<'_>]) -> String {
    let chosen = group.iter().find_map(|one| one.snapshot.set()).map(str::to_owned);
    let first = group.first().map(|one| one.started).unwrap_or_default().to_zoned(TimeZone::UTC);
    chosen.unwrap_or_else(|| format!("{ADOPTED}-{}", first.strftime("%Y%m%d-%H%M%S")))
}

fn etcds(group: &[Known<'_>]) -> String {
    let etcds: BTreeSet<&str> = group.iter().map(|one| one.disk.etcd.as_str()).collect();
    etcds.into_iter().collect::<Vec<_>>().join(",")
}

fn adoption(one: &Known<'_>, set: &str, etcds: &str, volume: Option<&Volume>) -> Result<Adoption, String> {
    let Disk { cluster, etcd, member } = &one.disk;
    let members = one.members.join(",");
    let ours = [
        (tags::MANAGED, tags::MANAGED_VALUE),
        (tags::CLUSTER, cluster),
        (tags::ETCD, etcd),
        (tags::MEMBER, member),
        (tags::MEMBERS, &members),
        (tags::ETCDS, etcds),
        (tags::SET, set),
        (tags::REASON, ADOPTED),
        (tags::SOURCE_VOLUME, &one.snapshot.volume),
    ];
    let mut tags: Tags = ours.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
    // of a volume that is gone nobody knows more
    tags.extend(volume.map(marks::of_volume).unwrap_or_default());
    tags.retain(|_, value| value.chars().count() <= LONGEST_VALUE);
    let new = tags.keys().filter(|key| !one.snapshot.tags.contains_key(*key)).count();
    let id = &one.snapshot.id;
    let there = one.snapshot.tags.len();
    if there + new > MOST_TAGS_AT_FIRST {
        return Err(format!("{id} has {there} tags; EC2 allows {MOST_TAGS}, {new} are needed, and 1 for a restore"));
    }
    Ok(Adoption { id: id.clone(), disk: one.disk.clone(), set: set.to_owned(), started: Some(one.started), tags })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(id: &str, etcd: &str, member: &str, second: i64) -> Snapshot {
        let tags = [
            ("KubernetesCluster".to_owned(), "k".to_owned()),
            (format!("k8s.io/etcd/{etcd}"), format!("{member}/a,b")),
        ];
        Snapshot {
            id: id.to_owned(),
            volume: format!("vol-{etcd}-{member}"),
            owner: "1".to_owned(),
            state: State::Completed,
            progress: String::new(),
            started: Timestamp::from_second(second).ok(),
            size: 20,
            encrypted: false,
            kms_key: None,
            tier: "standard".to_owned(),
            description: "Automatic snapshot by etcd-backup-main-a-1541041200-x7k2p".to_owned(),
            tags: tags.into_iter().collect(),
        }
    }

    fn planned(found: &[Snapshot]) -> Vec<String> {
        let plan = plan(found, &BTreeMap::new(), None);
        plan.adoptions.iter().map(|one| format!("{} {} {}", one.set, one.id, one.disk)).chain(plan.refused).collect()
    }

    #[test]
    fn what_began_in_one_window_is_one_set_and_each_disk_is_in_it_once() {
        let all = [
            snapshot("1", "main", "a", 0),
            snapshot("2", "events", "a", 300),
            snapshot("3", "main", "b", 600),
            // the same disk again, and one too late
            snapshot("4", "main", "a", 590),
            snapshot("5", "main", "b", 1191),
        ];
        let sets = [
            "adopted-19700101-000000 1 a.etcd-main.k",
            "adopted-19700101-000000 2 a.etcd-events.k",
            "adopted-19700101-000950 4 a.etcd-main.k",
            "adopted-19700101-000950 3 b.etcd-main.k",
            "adopted-19700101-001951 5 b.etcd-main.k",
        ];
        assert_eq!(planned(&all), sets);
    }

    #[test]
    fn an_interrupted_run_goes_on_with_the_set_that_it_began() {
        let mut all = [snapshot("1", "main", "a", 100), snapshot("2", "main", "b", 50)];
        all[0].tags.insert(tags::SET.to_owned(), "mine".to_owned());
        assert_eq!(planned(&all), ["mine 2 b.etcd-main.k"]);
        assert_eq!(plan(&all, &BTreeMap::new(), None).before, 1);
    }

    #[test]
    fn what_has_no_tags_of_kops_or_is_not_the_scripts_is_left_alone() {
        let mut all = [snapshot("1", "main", "a", 0), snapshot("2", "main", "b", 0), snapshot("3", "main", "b", 0)];
        all[0].tags.clear();
        all[1].description = "mine".to_owned();
        all[2].state = State::Pending;
        let refused = ["1 has no tags of kops, and its volume vol-main-a has none or is gone", "3 is not completed"];
        assert_eq!(planned(&all), refused);
    }

    #[test]
    fn a_snapshot_without_room_for_our_tags_is_refused() {
        let mut one = snapshot("1", "main", "a", 0);
        one.tags.extend((0..38).map(|n| (format!("t{n}"), String::new())));
        assert_eq!(planned(std::slice::from_ref(&one)), ["adopted-19700101-000000 1 a.etcd-main.k"]);
        one.tags.insert("one more".to_owned(), String::new());
        assert_eq!(planned(&[one]), ["1 has 41 tags; EC2 allows 50, 9 are needed, and 1 for a restore"]);
    }

    #[test]
    fn only_the_cluster_that_is_named_is_adopted() {
        let all = [snapshot("1", "main", "a", 0)];
        assert_eq!(plan(&all, &BTreeMap::new(), Some("other")).adoptions, []);
        let tags = &plan(&all, &BTreeMap::new(), Some("k")).adoptions[0].tags;
        assert_eq!((tags[tags::MEMBERS].as_str(), tags[tags::REASON].as_str()), ("a,b", "adopted"));
    }
}
