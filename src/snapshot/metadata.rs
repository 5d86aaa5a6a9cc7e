//! What the agent writes beside a snapshot: the mark by which a stored object is known as ours.
//!
//! The metadata is given when a multipart upload is created, and an upload is completed only after
//! its trailer matched, so an object that carries it was proved when it was stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who took a snapshot and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Version of the agent.
    pub agent: String,
    /// etcd's cluster id.
    #[serde(rename = "clusterID")]
    pub cluster_id: u64,
    /// etcd's member id of the member that the snapshot was streamed from.
    pub member: u64,
    /// The revision that was read from that member before the snapshot.
    pub revision: u64,
    /// etcd's hash of all keys at that revision, if etcd told it in time.
    #[serde(default, rename = "hashKV", skip_serializing_if = "Option::is_none")]
    pub hash_kv: Option<KeyHash>,
    /// Whether a quorum confirmed that revision; without one the member may have been behind.
    #[serde(default = "confirmed")]
    pub quorum: bool,
}

fn confirmed() -> bool {
    true
}

/// etcd's hash of the keys between two revisions: equal only for equal data, comparable only after the same
/// compaction (etcd-io/etcd, api/etcdserverpb/rpc.proto, `HashKVResponse`, v3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyHash {
    /// The last revision in the hash.
    pub revision: u64,
    /// The compaction that it starts after; -1 before the first one.
    pub compact_revision: i64,
    pub hash: u32,
}

/// Whether two looks saw the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    Same,
    Different,
    /// Nobody can tell: one hash is missing, or there was a compaction in between.
    Unknown,
}

impl Sameness {
    /// Compares two hashes.
    pub fn of(one: Option<KeyHash>, other: Option<KeyHash>) -> Self {
        match (one, other) {
            (Some(one), Some(other)) if one == other => Self::Same,
            (Some(one), Some(other))
                if (one.revision, one.compact_revision) == (other.revision, other.compact_revision) =>
            {
                Self::Different
            }
            _ => Self::Unknown,
        }
    }
}

const AGENT: &str = "etcdbackup-agent";
const CLUSTER_ID: &str = "etcdbackup-cluster-id";
const MEMBER: &str = "etcdbackup-member";
const REVISION: &str = "etcdbackup-revision";
const HASH_KV: &str = "etcdbackup-hashkv";
const QUORUM: &str = "etcdbackup-quorum";

impl Metadata {
    /// As S3 user metadata; ids in lower-case hex as etcd prints them, the revision in decimal.
    pub fn to_pairs(&self) -> BTreeMap<String, String> {
        let hash = |kv: KeyHash| format!("{}/{}/{:08x}", kv.revision, kv.compact_revision, kv.hash);
        let hash_kv = self.hash_kv.map(|kv| (HASH_KV.to_owned(), hash(kv)));
        let always = [
            (AGENT.to_owned(), self.agent.clone()),
            (CLUSTER_ID.to_owned(), format!("{:x}", self.cluster_id)),
            (MEMBER.to_owned(), format!("{:x}", self.member)),
            (REVISION.to_owned(), self.revision.to_string()),
        ];
        let no_quorum = (!self.quorum).then(|| (QUORUM.to_owned(), "false".to_owned()));
        always.into_iter().chain(hash_kv).chain(no_quorum).collect()
    }

    /// Whether the snapshot with this metadata is the one that `other` describes: of the same cluster and revision,
    /// and nothing says that the data was another. A compaction in between leaves the hashes without a say.
    pub fn is_as_good_as(&self, other: &Self) -> bool {
        (self.cluster_id, self.revision) == (other.cluster_id, other.revision)
            && Sameness::of(self.hash_kv, other.hash_kv) != Sameness::Different
    }

    /// Reads S3 user metadata; `None` when the object was not stored by our agent.
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            agent: get(AGENT)?.to_owned(),
            cluster_id: u64::from_str_radix(get(CLUSTER_ID)?, 16).ok()?,
            member: u64::from_str_radix(get(MEMBER)?, 16).ok()?,
            revision: get(REVISION)?.parse().ok()?,
            hash_kv: get(HASH_KV).and_then(read_hash),
            quorum: get(QUORUM) != Some("false"),
        })
    }
}

/// `<revision>/<compact revision>/<hash>`.
fn read_hash(text: &str) -> Option<KeyHash> {
    let mut parts = text.split('/');
    let hash = KeyHash {
        revision: parts.next()?.parse().ok()?,
        compact_revision: parts.next()?.parse().ok()?,
        hash: u32::from_str_radix(parts.next()?, 16).ok()?,
    };
    parts.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        Metadata {
            agent: "0.1.0".to_owned(),
            cluster_id: 0xcdf8_1818_2e3b_5f18,
            member: 1,
            revision: 15,
            hash_kv: Some(KeyHash { revision: 15, compact_revision: -1, hash: 0xab }),
            quorum: true,
        }
    }

    #[test]
    fn reads_back_what_it_writes_and_nothing_less() {
        for metadata in [sample(), Metadata { quorum: false, hash_kv: None, ..sample() }] {
            let mut pairs = metadata.to_pairs();
            assert_eq!(Metadata::from_pairs(|key| pairs.get(key).map(String::as_str)), Some(metadata));
            pairs.remove(MEMBER);
            assert_eq!(Metadata::from_pairs(|key| pairs.get(key).map(String::as_str)), None);
        }
    }

    #[test]
    fn only_the_same_cluster_and_revision_with_no_other_data_is_as_good() {
        let compacted = Some(KeyHash { revision: 15, compact_revision: 9, hash: 0xcd });
        for same in [sample(), Metadata { hash_kv: None, ..sample() }, Metadata { hash_kv: compacted, ..sample() }] {
            assert!(sample().is_as_good_as(&same), "{same:?}");
        }
        let other_data = Some(KeyHash { revision: 15, compact_revision: -1, hash: 0xcd });
        for other in [
            Metadata { hash_kv: other_data, ..sample() },
            Metadata { revision: 16, ..sample() },
            Metadata { cluster_id: 1, ..sample() },
        ] {
            assert!(!sample().is_as_good_as(&other), "{other:?}");
        }
    }

    #[test]
    fn data_is_the_same_only_if_its_hash_can_say_so() {
        let hash = |revision, compact_revision, hash| Some(KeyHash { revision, compact_revision, hash });
        assert_eq!(Sameness::of(hash(5, 1, 7), hash(5, 1, 7)), Sameness::Same);
        assert_eq!(Sameness::of(hash(5, 1, 7), hash(5, 1, 8)), Sameness::Different);
        for other in [hash(5, 2, 7), hash(6, 1, 7), None] {
            assert_eq!(Sameness::of(hash(5, 1, 7), other), Sameness::Unknown);
        }
    }
}
