//! The tags of a new snapshot: ours, then those of the volume, within EC2's limits.

use std::collections::BTreeSet;

use super::inventory::Volume;
use super::selection::Wanted;
use super::tags::{self, LONGEST_KEY, LONGEST_VALUE, MOST_TAGS_AT_FIRST, OURS, RESERVED, Tags};

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub set: &'a str,
    /// The etcds of the set.
    pub etcds: &'a BTreeSet<&'a str>,
    /// Why it is taken, where that is not the schedule.
    pub reason: Option<&'a str>,
}

/// Tags, and how many of the volume's had no room or were too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    pub tags: Tags,
    pub left_out: usize,
}

/// All tags of the snapshot of `wanted`.
pub fn of_snapshot(wanted: &Wanted, run: Run<'_>) -> Marks {
    let mut ours = of_run(&wanted.disk.cluster, run);
    ours.extend(of_disk(wanted));
    ours.extend(of_volume(&wanted.volume));
    with_room(ours, &wanted.volume.tags)
}

/// What all snapshots of a run have in common.
pub fn of_run(cluster: &str, run: Run<'_>) -> Tags {
    let etcds: Vec<&str> = run.etcds.iter().copied().collect();
    let mut tags = Tags::from([
        (tags::MANAGED.to_owned(), tags::MANAGED_VALUE.to_owned()),
        (tags::CLUSTER.to_owned(), cluster.to_owned()),
        (tags::ETCDS.to_owned(), etcds.join(",")),
        (tags::SET.to_owned(), run.set.to_owned()),
    ]);
    tags.extend(run.reason.map(|reason| (tags::REASON.to_owned(), reason.to_owned())));
    tags
}

fn of_disk(wanted: &Wanted) -> [(String, String); 3] {
    [
        (tags::ETCD.to_owned(), wanted.disk.etcd.clone()),
        (tags::MEMBER.to_owned(), wanted.disk.member.clone()),
        (tags::MEMBERS.to_owned(), wanted.members.join(",")),
    ]
}

/// What a restore needs to know of a volume that is gone.
pub fn of_volume(volume: &Volume) -> Tags {
    let known = [
        (tags::ZONE, Some(volume.zone.clone())),
        (tags::VOLUME_TYPE, Some(volume.kind.clone())),
        (tags::IOPS, volume.iops.map(|iops| iops.to_string())),
        (tags::THROUGHPUT, volume.throughput.map(|throughput| throughput.to_string())),
        (tags::KMS_KEY, volume.kms_key.clone()),
        (tags::SOURCE_VOLUME, Some(volume.id.clone())),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

/// `ours` and as many of the volume's `others` as fit. Those of kops come first: they too say whose disk it is.
fn with_room(ours: Tags, others: &Tags) -> Marks {
    let long = |key: &str, value: &str| key.chars().count() > LONGEST_KEY || value.chars().count() > LONGEST_VALUE;
    let mut tags = ours;
    tags.retain(|key, value| !long(key, value));
    let mut others: Vec<_> =
        others.iter().filter(|(key, _)| !key.starts_with(RESERVED) && !key.starts_with(OURS)).collect();
    others.sort_by_key(|(key, _)| !tags::is_of_kops(key));
    let mut left_out = 0;
    for (key, value) in others {
        match tags.len() < MOST_TAGS_AT_FIRST && !long(key, value) {
            true => drop(tags.insert(key.clone(), value.clone())),
            false => left_out += 1,
        }
    }
    Marks { tags, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::tags::Disk;

    fn wanted(tags: &[(String, String)]) -> Wanted {
        let volume = Volume {
            id: "vol-1".to_owned(),
            disk: None,
            members: Vec::new(),
            zone: "eu-west-1a".to_owned(),
            kind: "gp3".to_owned(),
            size: 20,
            iops: Some(3000),
            throughput: Some(125),
            encrypted: true,
            kms_key: Some("arn:aws:kms:eu-west-1:123456789012:key/1".to_owned()),
            state: "in-use".to_owned(),
            attachments: Vec::new(),
            tags: tags.iter().cloned().collect(),
            snapshot: None,
            created: None,
        };
        let disk = Disk { cluster: "k".to_owned(), etcd: "main".to_owned(), member: "a".to_owned() };
        Wanted { disk, members: vec!["a".to_owned(), "b".to_owned()], volume }
    }

    fn marks(tags: &[(&str, &str)]) -> Marks {
        let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let etcds = BTreeSet::from(["events", "main"]);
        of_snapshot(&wanted(&tags), Run { set: "s", etcds: &etcds, reason: None })
    }

    #[test]
    fn ours_are_written_and_those_of_the_volume_are_copied() {
        let Marks { tags, left_out } = marks(&[("k8s.io/etcd/main", "a/a,b"), ("team", "x")]);
        let shown: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let ours = [
            "etcdbackup/az=eu-west-1a",
            "etcdbackup/cluster=k",
            "etcdbackup/etcd=main",
            "etcdbackup/etcds=events,main",
            "etcdbackup/iops=3000",
            "etcdbackup/kms-key-id=arn:aws:kms:eu-west-1:123456789012:key/1",
            "etcdbackup/managed=1",
            "etcdbackup/member=a",
            "etcdbackup/members=a,b",
            "etcdbackup/set=s",
            "etcdbackup/source-volume=vol-1",
            "etcdbackup/throughput=125",
            "etcdbackup/volume-type=gp3",
        ];
        assert_eq!(shown, [&ours[..], &["k8s.io/etcd/main=a/a,b", "team=x"]].concat());
        assert_eq!(left_out, 0);
    }

    #[test]
    fn reserved_tags_and_old_ones_of_ours_are_not_copied() {
        let tags = marks(&[("aws:cloudformation:stack-name", "x"), ("etcdbackup/set", "old")]).tags;
        assert!(!tags.contains_key("aws:cloudformation:stack-name"));
        assert_eq!(tags["etcdbackup/set"], "s");
    }

    #[test]
    fn of_too_many_tags_ours_and_those_of_kops_stay_and_that_of_a_restore_has_room() {
        let many: Vec<(String, String)> = (0..60).map(|n| (format!("a{n:02}"), String::new())).collect();
        let mut pairs: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.push(("k8s.io/etcd/main", "a/a,b"));
        let Marks { tags, left_out } = marks(&pairs);
        assert_eq!((tags.len(), left_out), (49, 60 + 1 + 13 - 49));
        assert!(tags.contains_key("k8s.io/etcd/main") && tags.contains_key("etcdbackup/set"));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let (key, value) = ("k".repeat(LONGEST_KEY + 1), "é".repeat(LONGEST_VALUE));
        let longer = value.clone() + "x";
        let Marks { tags, left_out } = marks(&[(&key, ""), ("fits", &value), ("long", &longer)]);
        assert_eq!((tags.contains_key("fits"), tags.contains_key("long"), left_out), (true, false, 2));
    }
}
