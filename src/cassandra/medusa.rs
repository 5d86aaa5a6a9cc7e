//! Medusa's index, and whose nodes a tag has: clusters that share a prefix are told apart by their token maps alone.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{Place, is_name};
use super::rings::Ring;
use super::store::Store;
use super::topology::{self, TokenMap};
use crate::aws::s3::Content;
use crate::error::{Error, Result};

/// Most clusters under one prefix whose token maps are read.
const MOST_CLUSTERS: usize = 16;

/// The nodes of one cluster that a tag should have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    pub nodes: BTreeSet<String>,
    /// How many nodes the token map has.
    pub at_least: usize,
    /// Whether the token map names these nodes as their directories are named.
    pub is_told: bool,
}

/// What the name of an object in the index says; its directory is the tag.
///
/// Source: thelastpickle/cassandra-medusa, medusa/index.py and medusa/storage/__init__.py.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed<'a> {
    Started(&'a str),
    Manifest(&'a str),
    /// With the time, in seconds since 1970.
    Finished(&'a str, i64),
}

impl<'a> Indexed<'a> {
    /// Reads a name; `None` for one that tells nothing.
    pub fn parse(name: &'a str) -> Option<Self> {
        let of = |front: &str, end: &str| name.strip_prefix(front)?.strip_suffix(end).filter(|node| is_name(node));
        if let Some(node) = of("tokenmap_", ".json") {
            return Some(Self::Started(node));
        }
        if let Some(node) = of("manifest_", ".json") {
            return Some(Self::Manifest(node));
        }
        let (node, seconds) = of("finished_", ".timestamp")?.rsplit_once('_')?;
        Some(Self::Finished(node, seconds.parse().ok()?))
    }
}

/// The key prefix of the index of a tag.
pub fn index(ring: &Ring, tag: &str) -> String {
    format!("{}index/backup_index/{tag}/", ring.directory)
}

/// The clusters that hold the tag, as far as the place's names mean them.
///
/// # Errors
/// Those of the store, and for more clusters than are thought possible.
pub async fn groups(store: &impl Store, ring: &Ring, place: &Place, tag: &str) -> Result<Vec<Group>> {
    let index = index(ring, tag);
    let mut rest = BTreeSet::new();
    store
        .each(&index, |object| {
            if let Some(Indexed::Started(node) | Indexed::Manifest(node)) =
                object.key.strip_prefix(&index).and_then(Indexed::parse)
            {
                rest.insert(node.to_owned());
            }
        })
        .await?;
    let (mut groups, mut unread) = (Vec::new(), BTreeSet::new());
    while let Some(node) = rest.pop_first() {
        if groups.len() == MOST_CLUSTERS {
            return Err(Error::general(format!("more than {MOST_CLUSTERS} clusters hold tag {tag:?}"))
                .hint("name a directory that fewer share with --location"));
        }
        match token_map(store, ring, &node, tag, &index).await? {
            Some(map) => {
                let group = group(&node, &map, &mut rest, place.datacenter.as_deref());
                unread.retain(|node: &String| !map.contains_key(node));
                groups.extend(group);
            }
            None => {
                unread.insert(node);
            }
        }
    }
    if !unread.is_empty() {
        groups.push(Group { at_least: unread.len(), nodes: unread, is_told: false });
    }
    groups.retain(|group| place.cluster.as_deref().is_none_or(|cluster| group.is_of(cluster)));
    Ok(groups)
}

/// The token map that a node stored, else the copy of it in the index.
async fn token_map(store: &impl Store, ring: &Ring, node: &str, tag: &str, index: &str) -> Result<Option<TokenMap>> {
    let keys = [format!("{}{tag}/meta/tokenmap.json", ring.node(node)), format!("{index}tokenmap_{node}.json")];
    for key in keys {
        if let Some(Content::Whole(bytes)) = store.read(&key, topology::MOST_BYTES).await?
            && let Some(map) = topology::token_map(&bytes)
        {
            return Ok(Some(map));
        }
    }
    Ok(None)
}

/// Takes the nodes of one cluster out of the `rest`; `None` where none of them is of the datacenter.
fn group(node: &str, map: &TokenMap, rest: &mut BTreeSet<String>, datacenter: Option<&str>) -> Option<Group> {
    let hosts: BTreeMap<_, _> =
        map.iter().filter(|(_, host)| datacenter.is_none_or(|wanted| host.dc.as_deref() == Some(wanted))).collect();
    if !map.contains_key(node) {
        // a token map of addresses does not tell whose nodes the others are
        let nodes = std::mem::take(rest).into_iter().chain([node.to_owned()]).collect();
        return Some(Group { nodes, at_least: hosts.len(), is_told: false });
    }
    rest.retain(|node| !map.contains_key(node));
    let nodes: BTreeSet<String> = hosts.into_keys().cloned().collect();
    (!nodes.is_empty()).then_some(Group { at_least: nodes.len(), nodes, is_told: true })
}

impl Group {
    /// Whether a name is that of the cluster: K8ssandra's pods are `CLUSTER-DC-RACK-sts-N`.
    fn is_of(&self, cluster: &str) -> bool {
        self.nodes
            .iter()
            .any(|node| node.strip_prefix(cluster).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    }

    /// What to call it: its first node.
    pub fn name(&self) -> String {
        self.nodes.first().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cassandra::double::Bucket;
    use crate::cassandra::layout::Layout;

    fn map(nodes: &[&str]) -> String {
        let hosts: Vec<String> = nodes.iter().map(|node| format!(r#""{node}": {{"dc": "{}"}}"#, &node[..3])).collect();
        format!("{{{}}}", hosts.join(","))
    }

    async fn found(bucket: &Bucket, place: &Place) -> Vec<Vec<String>> {
        let ring = Ring { layout: Layout::Medusa, directory: String::new(), name: String::new(), nodes: Vec::new() };
        let groups = groups(bucket, &ring, place, "t").await.unwrap();
        groups.into_iter().map(|group| group.nodes.into_iter().collect()).collect()
    }

    fn stored(nodes: &[(&str, &str)]) -> Bucket {
        let mut bucket = Bucket::default();
        for (node, map) in nodes {
            bucket.put(format!("{node}/t/meta/tokenmap.json"), *map);
            bucket.put(format!("index/backup_index/t/tokenmap_{node}.json"), "{}");
            bucket.put(format!("index/backup_index/t/manifest_{node}.json"), "");
        }
        bucket
    }

    #[tokio::test]
    async fn clusters_under_one_prefix_are_told_apart_by_their_token_maps() {
        let (one, two) = (map(&["dc1-a-0", "dc1-a-1", "dc2-a-0"]), map(&["dc1-b-0", "dc1-b-1"]));
        let bucket = stored(&[("dc1-a-0", &one), ("dc1-a-1", &one), ("dc1-b-0", &two), ("dc1-b-1", "torn")]);
        let expected = [vec!["dc1-a-0", "dc1-a-1", "dc2-a-0"], vec!["dc1-b-0", "dc1-b-1"]];
        assert_eq!(found(&bucket, &Place::default()).await, expected);
        // one listing, and a token map a cluster
        assert_eq!(bucket.requests(), 3);
        let place = Place { datacenter: Some("dc2".to_owned()), ..Place::default() };
        assert_eq!(found(&bucket, &place).await, [["dc2-a-0"]]);
        let place = Place { cluster: Some("dc1-b".to_owned()), ..Place::default() };
        assert_eq!(found(&bucket, &place).await, [["dc1-b-0", "dc1-b-1"]]);
    }

    #[tokio::test]
    async fn nodes_whose_token_maps_are_lost_are_looked_at_all_the_same() {
        let one = map(&["dc1-a-1"]);
        let bucket = stored(&[("dc1-a-0", "torn"), ("dc1-a-1", &one)]);
        assert_eq!(found(&bucket, &Place::default()).await, [["dc1-a-1"], ["dc1-a-0"]]);
    }

    #[test]
    fn names_of_the_index_are_read() {
        assert_eq!(Indexed::parse("tokenmap_a_b.json"), Some(Indexed::Started("a_b")));
        assert_eq!(Indexed::parse("finished_a_b_1600645759.timestamp"), Some(Indexed::Finished("a_b", 1_600_645_759)));
        for other in ["", "schema_a.cql", "finished_a.timestamp", "finished_a_x.timestamp", "manifest_.json"] {
            assert_eq!(Indexed::parse(other), None, "{other}");
        }
    }
}
