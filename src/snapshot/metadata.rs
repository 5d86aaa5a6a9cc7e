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
}

const AGENT: &str = "etcdbackup-agent";
const CLUSTER_ID: &str = "etcdbackup-cluster-id";
const MEMBER: &str = "etcdbackup-member";
const REVISION: &str = "etcdbackup-revision";

impl Metadata {
    /// As S3 user metadata; ids in lower-case hex as etcd prints them, the revision in decimal.
    pub fn to_pairs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (AGENT.to_owned(), self.agent.clone()),
            (CLUSTER_ID.to_owned(), format!("{:x}", self.cluster_id)),
            (MEMBER.to_owned(), format!("{:x}", self.member)),
            (REVISION.to_owned(), self.revision.to_string()),
        ])
    }

    /// Reads S3 user metadata; `None` when the object was not stored by our agent.
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            agent: get(AGENT)?.to_owned(),
            cluster_id: u64::from_str_radix(get(CLUSTER_ID)?, 16).ok()?,
            member: u64::from_str_radix(get(MEMBER)?, 16).ok()?,
            revision: get(REVISION)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes_and_nothing_less() {
        let metadata =
            Metadata { agent: "0.1.0".to_owned(), cluster_id: 0xcdf8_1818_2e3b_5f18, member: 1, revision: 15 };
        let mut pairs = metadata.to_pairs();
        assert_eq!(Metadata::from_pairs(|key| pairs.get(key).map(String::as_str)), Some(metadata));
        pairs.remove(MEMBER);
        assert_eq!(Metadata::from_pairs(|key| pairs.get(key).map(String::as_str)), None);
    }
}
