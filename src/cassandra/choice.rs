//! Whose tag is meant, and which nodes it should have.

use std::collections::BTreeSet;

use super::layout::{Layout, Place, Run, gaps};
use super::medusa::{self, Group};
use super::missed::Missed;
use super::rings::{self, Ring};
use super::store::Store;
use super::topology::{self, Topology};
use super::verify::Known;
use crate::aws::s3::Content;
use crate::error::{Error, Result};

/// Most topologies of a tag that are read.
const MOST_TOPOLOGIES: usize = 4;

/// The nodes that a tag should have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roll {
    /// Directories of nodes to look at.
    pub nodes: BTreeSet<String>,
    /// What says which nodes have to be there; none where only the directories in the bucket do.
    pub told_by: Option<&'static str>,
    /// How many nodes have to be there.
    pub at_least: usize,
    /// Nodes that have no directory that could be looked at.
    pub unknown: Vec<String>,
    /// The name of the manifests, where it is known before they are looked for.
    pub stem: Option<String>,
    pub warnings: Vec<String>,
}

/// A tag of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub ring: Ring,
    pub roll: Roll,
}

/// Finds the one cluster that holds the tag.
///
/// # Errors
/// [`Missed::NotThere`] where none does, [`Missed::Unclear`] where several do; those of the store.
pub async fn choose(store: &impl Store, place: &Place, tag: &str, known: &Known) -> Result<Chosen, Missed> {
    let mut rings = rings::find(store, place).await?;
    if rings.len() > 1 {
        rings = holding(store, rings, tag).await?;
    }
    let names: Vec<&str> = rings.iter().map(|ring| ring.name.as_str()).collect();
    if rings.len() > 1 {
        return Err(Error::not_found(format!("{} clusters hold tag {tag:?}: {}", rings.len(), names.join(", ")))
            .hint("choose one with --cassandra-cluster and --cassandra-datacenter")
            .into());
    }
    let ring = rings.pop().ok_or_else(|| no_tag(tag, &store.url(&place.prefix)))?;
    let roll = match ring.layout {
        Layout::Elassandra => elassandra(&ring, known),
        Layout::Esop => esop(store, &ring, place, tag, known).await?,
        Layout::Medusa => of_medusa(store, &ring, place, tag, known).await?,
    };
    Ok(Chosen { ring, roll: Roll { at_least: roll.at_least.max(known.nodes), ..roll } })
}

/// That nobody stored the tag.
pub fn no_tag(tag: &str, at: &str) -> Missed {
    let error = Error::not_found(format!("no node has a manifest of tag {tag:?} at {at}"));
    Missed::NotThere(error.hint("kubectl etcdbackup cassandra list shows the tags that are there"))
}

/// The rings of which a node has a manifest of the tag.
async fn holding(store: &impl Store, rings: Vec<Ring>, tag: &str) -> Result<Vec<Ring>> {
    let mut found = Vec::new();
    for ring in rings {
        for node in &ring.nodes {
            let directory = format!("{}manifests/", ring.node(node));
            let mut holds = false;
            store
                .each(&format!("{directory}{tag}"), |object| {
                    let name = object.key.strip_prefix(&directory).unwrap_or_default();
                    holds |= match ring.layout {
                        Layout::Esop => name.strip_suffix(".json").and_then(Run::parse).is_some_and(|run| run.is(tag)),
                        _ => name == tag,
                    };
                })
                .await?;
            if holds {
                found.push(ring);
                break;
            }
        }
    }
    Ok(found)
}

fn elassandra(ring: &Ring, known: &Known) -> Roll {
    let mut nodes: BTreeSet<String> = ring.nodes.iter().cloned().collect();
    let by_pods = !known.pods.is_empty();
    nodes.extend(if by_pods { known.pods.clone() } else { gaps(&ring.nodes) });
    let warnings = strangers(known, |pod| ring.nodes.contains(pod)).into_iter().collect();
    Roll { nodes, told_by: by_pods.then_some("StatefulSets"), at_least: known.pods.len(), warnings, ..Roll::default() }
}

/// A sentence for pods of today that the backup has nothing of.
fn strangers(known: &Known, is_there: impl Fn(&String) -> bool) -> Option<String> {
    let pods: Vec<&str> = known.pods_now.iter().filter(|pod| !is_there(pod)).map(String::as_str).collect();
    (!pods.is_empty()).then(|| {
        format!(
            "the backup has nothing of pods that the datacenter has now, newer or never backed up: {}",
            pods.join(", ")
        )
    })
}

async fn of_medusa(store: &impl Store, ring: &Ring, place: &Place, tag: &str, known: &Known) -> Result<Roll, Missed> {
    // pods tell a cluster better than the beginning of their names
    let named = Place { cluster: place.cluster.clone().filter(|_| known.pods.is_empty()), ..place.clone() };
    let mut groups = medusa::groups(store, ring, &named, tag).await?;
    if groups.len() > 1 && !known.pods.is_empty() {
        groups.retain(|group| known.pods.iter().any(|pod| group.nodes.contains(pod)));
    }
    if groups.len() > 1 {
        let names: Vec<String> = groups.iter().map(Group::name).collect();
        let sentence = format!("{} clusters share this prefix and hold tag {tag:?}", groups.len());
        return Err(Error::not_found(format!("{sentence}; a node of each: {}", names.join(", ")))
            .hint("choose one with --cassandra-cluster, the beginning of its nodes' names, or --cassandra-datacenter")
            .into());
    }
    let group = groups.pop().ok_or_else(|| no_tag(tag, &store.url(&medusa::index(ring, tag))))?;
    let mut roll = Roll { at_least: group.at_least.max(known.pods.len()), ..Roll::default() };
    if group.is_told {
        roll.told_by = Some("the token map");
    } else {
        roll.warnings.push("no token map names the nodes: only their number is known".to_owned());
    }
    roll.nodes = group.nodes;
    roll.warnings.extend(strangers(known, |pod| roll.nodes.contains(pod)));
    roll.nodes.extend(known.pods.iter().cloned());
    Ok(roll)
}

async fn esop(store: &impl Store, ring: &Ring, place: &Place, tag: &str, known: &Known) -> Result<Roll> {
    let Some((stem, found)) = topology_of(store, ring, tag).await? else {
        let nodes = ring.nodes.iter().cloned().collect();
        return Ok(Roll { nodes, at_least: known.pods.len(), ..Roll::default() });
    };
    let in_bucket = |dc: &str| ring.nodes.iter().any(|node| node.split_once('/').is_some_and(|(of, _)| of == dc));
    let meant = |dc: &str| place.datacenter.as_deref().map_or_else(|| in_bucket(dc), |wanted| wanted == dc);
    let (ours, others): (Vec<_>, Vec<_>) = found.topology.into_iter().partition(|node| meant(&node.dc));
    let others: BTreeSet<String> = others.into_iter().map(|node| node.dc).collect();
    let mut roll = Roll { stem: Some(stem), told_by: Some("the topology"), ..Roll::default() };
    if place.datacenter.is_none() {
        roll.warnings = others.iter().map(|dc| format!("datacenter {dc} has nothing in the bucket")).collect();
    }
    // a host's name may be the pod's with a domain (CassandraClusterTopology.java)
    let is_there = |pod: &String| ours.iter().any(|node| node.hostname.split('.').next() == Some(pod.as_str()));
    roll.unknown = known.pods.iter().filter(|pod| !is_there(pod)).cloned().collect();
    roll.warnings.extend(strangers(known, is_there));
    roll.nodes = ours.into_iter().map(|node| format!("{}/{}", node.dc, node.node_id)).collect();
    Ok(roll)
}

/// The newest topology of the tag that is of this cluster, and the name of its run. It lies beside the clusters.
async fn topology_of(store: &impl Store, ring: &Ring, tag: &str) -> Result<Option<(String, Topology)>> {
    let above = ring.directory.trim_end_matches('/').rsplit_once('/').map(|(above, _)| format!("{above}/"));
    let directory = format!("{}topology/", above.unwrap_or_default());
    let mut runs = Vec::new();
    store
        .each(&directory, |object| {
            let Some(name) = object.key.strip_prefix(&directory).and_then(|name| name.strip_suffix(".json")) else {
                return;
            };
            // older ones begin with the name of the cluster
            let without = name.strip_prefix(&ring.name).and_then(|rest| rest.strip_prefix('-'));
            let stem = [Some(name), without].into_iter().flatten().find_map(|stem| {
                let run = Run::parse(stem).filter(|run| run.is(tag))?;
                Some((run.millis, stem.to_owned()))
            });
            runs.extend(stem.map(|(millis, stem)| (millis, stem, object.key.clone())));
        })
        .await?;
    runs.sort();
    for (_, stem, key) in runs.into_iter().rev().take(MOST_TOPOLOGIES) {
        if let Some(Content::Whole(bytes)) = store.read(&key, topology::MOST_BYTES).await?
            && let Some(found) = topology::topology(&bytes).filter(|found| found.cluster_name == ring.name)
        {
            return Ok(Some((stem, found)));
        }
    }
    Ok(None)
}
