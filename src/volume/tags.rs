//! Tags of etcd's volumes and of their snapshots: what kops writes, and what is ours.
//!
//! Ours are on snapshots and on volumes that a restore made or put aside, never on a volume in use: `kops update
//! cluster` deletes every tag of a volume that it does not know (kops `getEBSVolumeTagsToDelete`).

use std::collections::BTreeMap;

/// Keys and values, in the order of the keys.
pub type Tags = BTreeMap<String, String>;

/// Marks a snapshot as ours; retention looks at no other.
pub const MANAGED: &str = "etcdbackup/managed";
/// The value of [`MANAGED`].
pub const MANAGED_VALUE: &str = "1";
/// The cluster, the etcd in it (`main`, `events`, …) and the member: together the [`Disk`].
pub const CLUSTER: &str = "etcdbackup/cluster";
pub const ETCD: &str = "etcdbackup/etcd";
pub const MEMBER: &str = "etcdbackup/member";
/// All members of this etcd, separated by commas: what a complete set needs.
pub const MEMBERS: &str = "etcdbackup/members";
/// The names of all etcds of this set, separated by commas.
pub const ETCDS: &str = "etcdbackup/etcds";
/// One run: its snapshots belong together.
pub const SET: &str = "etcdbackup/set";
/// What the volume was, for a restore after it is gone.
pub const ZONE: &str = "etcdbackup/az";
pub const VOLUME_TYPE: &str = "etcdbackup/volume-type";
pub const IOPS: &str = "etcdbackup/iops";
pub const THROUGHPUT: &str = "etcdbackup/throughput";
pub const KMS_KEY: &str = "etcdbackup/kms-key-id";
pub const SOURCE_VOLUME: &str = "etcdbackup/source-volume";
/// Why it was taken, where that is not the schedule: one of [`SAFETY`], or `adopted`.
pub const REASON: &str = "etcdbackup/reason";
/// The run of the restore that made this volume, or that took it out of use.
pub const RESTORE: &str = "etcdbackup/restore";
/// The set whose state that run brought back. Retention keeps the set while a volume names it.
pub const RESTORED_SET: &str = "etcdbackup/restored-set";
/// On a snapshot: the last run that made a volume of it. Retention keeps it until the mark goes, with the last volume
/// that was put aside. A volume in use has no mark, so this and the volume put aside are the record of a restore.
pub const RESTORED_BY: &str = "etcdbackup/restored-by";
/// On a volume that is not in use: since when (RFC 3339). `cleanup` deletes no volume without it.
pub const PUT_ASIDE: &str = "etcdbackup/put-aside";
/// On a volume put aside by a restore: the volume that took its place.
pub const REPLACED_BY: &str = "etcdbackup/replaced-by";
/// On a volume of a restore that was rolled back: the run again.
pub const ROLLED_BACK: &str = "etcdbackup/rolled-back";
/// Before the key of a tag that was taken from a volume put aside, with its value.
pub const ORIGINAL: &str = "etcdbackup/orig/";
/// Values of [`REASON`] of the sets that a restore and its rollback take first. They are the state that somebody
/// wanted to leave, so only a person who names them restores them.
pub const PRE_RESTORE: &str = "pre-restore";
pub const PRE_ROLLBACK: &str = "pre-rollback";
/// The same of the sets that a restore takes of volumes that it deletes, after they were put aside.
pub const PRE_DELETE: &str = "pre-delete";
/// All of those.
pub const SAFETY: [&str; 3] = [PRE_RESTORE, PRE_ROLLBACK, PRE_DELETE];
/// All tags of ours begin so.
pub const OURS: &str = "etcdbackup/";

/// Tags that AWS reserves: nobody else can write them.
pub const RESERVED: &str = "aws:";
/// Tags of one resource, and characters of a key and of a value (EC2 User Guide, "Tag restrictions").
pub const MOST_TAGS: usize = 50;
/// Tags that a snapshot gets before anything is restored of it: then [`RESTORED_BY`] must have room.
pub const MOST_TAGS_AT_FIRST: usize = MOST_TAGS - 1;
pub const LONGEST_KEY: usize = 128;
pub const LONGEST_VALUE: usize = 256;

/// Of kops (`pkg/model/master_volumes.go`): `k8s.io/etcd/<name>` = `<member>/<all members, separated by commas>`.
pub const KOPS_ETCD: &str = "k8s.io/etcd/";
pub const KOPS_CLUSTER: &str = "KubernetesCluster";
pub const KOPS_OWNED: &str = "kubernetes.io/cluster/";
pub const KOPS_ROLE: &str = "k8s.io/role/";
pub const NAME: &str = "Name";

/// The disk of one member of one etcd: what stays the same when a restore replaces the volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disk {
    pub cluster: String,
    pub etcd: String,
    pub member: String,
}

impl std::fmt::Display for Disk {
    /// As kops names its volumes: `a.etcd-main.cluster.example.com`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.etcd-{}.{}", self.member, self.etcd, self.cluster)
    }
}

/// Whose disk a volume with the tags of kops is, and all members of that etcd; `None` for other volumes.
pub fn of_kops(tags: &Tags) -> Option<(Disk, Vec<String>)> {
    let owned = || tags.keys().find_map(|key| key.strip_prefix(KOPS_OWNED)).map(str::to_owned);
    let cluster = tags.get(KOPS_CLUSTER).cloned().or_else(owned)?;
    let (etcd, value) = tags.iter().find_map(|(key, value)| Some((key.strip_prefix(KOPS_ETCD)?, value)))?;
    let (member, members) = value.split_once('/').unwrap_or((value, value));
    let members = members.split(',').map(|member| member.trim().to_owned()).filter(|member| !member.is_empty());
    let (member, etcd) = (member.trim().to_owned(), etcd.to_owned());
    (!member.is_empty() && !etcd.is_empty()).then(|| (Disk { cluster, etcd, member }, members.collect()))
}

/// Whether a tag is one of those by which kops and etcd-manager know a volume.
pub fn is_of_kops(key: &str) -> bool {
    let starts = [KOPS_ETCD, KOPS_OWNED, KOPS_ROLE, KOPS_CLUSTER];
    starts.iter().any(|start| key.starts_with(start)) || key == NAME
}

/// Whose disk a snapshot of ours is of.
pub fn of_ours(tags: &Tags) -> Option<Disk> {
    let get = |key| tags.get(key).filter(|value: &&String| !value.is_empty()).cloned();
    Some(Disk { cluster: get(CLUSTER)?, etcd: get(ETCD)?, member: get(MEMBER)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn kops_says_whose_volume_it_is() {
        let of = |pairs: &[(&str, &str)]| of_kops(&tags(pairs)).map(|(disk, members)| (disk.to_string(), members));
        let all = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let wanted = Some(("b.etcd-main.k.example.com".to_owned(), all));
        assert_eq!(of(&[(KOPS_CLUSTER, "k.example.com"), ("k8s.io/etcd/main", "b/a,b,c")]), wanted);
        assert_eq!(of(&[("kubernetes.io/cluster/k.example.com", "owned"), ("k8s.io/etcd/main", "b/a,b,c")]), wanted);
        assert_eq!(of(&[(KOPS_CLUSTER, "k"), ("Name", "a.etcd-main.k")]), None);
        assert_eq!(of(&[(KOPS_CLUSTER, "k"), ("k8s.io/etcd/main", "")]), None);
        assert_eq!(of(&[("k8s.io/etcd/main", "a/a")]), None);
    }
}
