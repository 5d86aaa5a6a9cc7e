//! Which tags are in a bucket. Names are looked at, and where that is cheap the manifests; never the data.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::entries::Entries;
use super::layout::{Layout, Place, Run};
use super::manifest;
use super::medusa::Indexed;
use super::missed::Missed;
use super::rings::{self, Ring};
use super::store::Store;
use crate::aws::s3::{Content, Object};
use crate::error::{Error, Result};

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// Most manifests whose names are kept.
const MOST_MANIFESTS: usize = 500_000;

/// Most bytes of manifests that are read unasked, and how many manifests.
const CHEAP: (u64, usize) = (32 << 20, 500);

/// Most bytes of one manifest that is read for its sizes.
const MOST_BYTES: usize = 8 << 20;

/// What the names in the bucket say of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// Fewer nodes have its manifest than began it, or than have directories.
    Partial,
    /// Every node has its manifest; whether the objects are there was not looked at.
    Unverified,
}

/// A tag of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredTag {
    pub tag: String,
    /// The last name of the directory of the cluster.
    pub cluster: String,
    pub location: String,
    pub layout: Layout,
    pub state: State,
    /// Nodes that have a manifest of it.
    pub nodes: usize,
    /// Nodes that began it or have directories.
    pub nodes_known: usize,
    /// When the last manifest was stored, by the store's clock.
    pub time: Option<Timestamp>,
    /// Bytes of the objects that the manifests name; an object of several tags counts in each.
    pub size: Option<u64>,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The newest first.
    pub tags: Vec<StoredTag>,
    /// Manifests that are there.
    pub manifests: usize,
    /// Their bytes.
    pub manifest_bytes: u64,
    /// Whether they were read, for the sizes.
    pub read: bool,
}

/// The manifest of one node.
struct Found {
    node: String,
    object: Object,
}

/// The manifests of one tag.
#[derive(Default)]
struct Tag {
    found: Vec<Found>,
    began: BTreeSet<String>,
    finished: Option<Timestamp>,
}

/// Lists the tags at the place; `sizes` reads all manifests, however many.
///
/// # Errors
/// Those of the store, and where nothing at the place looks like a backup of Cassandra.
pub async fn inventory(store: &impl Store, place: &Place, sizes: bool) -> Result<Inventory> {
    let mut rings = Vec::new();
    for ring in rings::find(store, place).await.map_err(Missed::into_error)? {
        let tags = match ring.layout {
            Layout::Medusa => indexed(store, &ring).await?,
            _ => named(store, &ring).await?,
        };
        rings.push((ring, tags));
    }
    let manifests = || rings.iter().flat_map(|(_, tags)| tags.values()).flat_map(|tag| &tag.found);
    let (count, bytes) = (manifests().count(), manifests().map(|found| found.object.size).sum());
    let read = sizes || count <= CHEAP.1 && bytes <= CHEAP.0;
    let mut inventory = Inventory { tags: Vec::new(), manifests: count, manifest_bytes: bytes, read };
    for (ring, tags) in &rings {
        for (name, tag) in tags {
            let size = if read { total(store, ring, name, tag).await? } else { None };
            inventory.tags.push(stored(store, ring, name, tag, size));
        }
    }
    inventory.tags.sort_by(|a, b| (b.time, &a.cluster, &a.tag).cmp(&(a.time, &b.cluster, &b.tag)));
    Ok(inventory)
}

fn stored(store: &impl Store, ring: &Ring, name: &str, tag: &Tag, size: Option<u64>) -> StoredTag {
    let nodes: BTreeSet<&str> = tag.found.iter().map(|found| found.node.as_str()).collect();
    let nodes_known = if ring.layout == Layout::Medusa { tag.began.len() } else { ring.nodes.len() };
    StoredTag {
        tag: name.to_owned(),
        cluster: ring.name.clone(),
        location: store.url(&ring.directory),
        layout: ring.layout,
        state: if nodes.len() < nodes_known { State::Partial } else { State::Unverified },
        nodes: nodes.len(),
        nodes_known,
        time: tag.finished.or_else(|| tag.found.iter().filter_map(|found| found.object.modified).max()),
        size,
    }
}

/// The tags of the manifests in the nodes' directories.
async fn named(store: &impl Store, ring: &Ring) -> Result<BTreeMap<String, Tag>> {
    let listed = stream::iter(&ring.nodes).map(|node| async move {
        let (directory, mut found) = (format!("{}manifests/", ring.node(node)), Vec::new());
        store
            .each(&directory, |object| {
                let name = object.key.strip_prefix(&directory).filter(|name| !name.is_empty() && !name.contains('/'));
                let tag = name.and_then(|name| tag_of(ring.layout, name)).map(str::to_owned);
                if let Some(tag) = tag.filter(|_| found.len() <= MOST_MANIFESTS) {
                    found.push((tag, Found { node: node.clone(), object }));
                }
            })
            .await?;
        Ok::<_, Error>(found)
    });
    let mut listed = listed.buffer_unordered(AT_ONCE);
    let (mut tags, mut count) = (BTreeMap::<String, Tag>::new(), 0);
    while let Some(found) = listed.try_next().await? {
        count += found.len();
        few(count)?;
        found.into_iter().for_each(|(tag, found)| tags.entry(tag).or_default().found.push(found));
    }
    if ring.layout == Layout::Esop {
        tags.values_mut().for_each(newest_runs);
    }
    Ok(tags)
}

fn few(count: usize) -> Result<()> {
    match count > MOST_MANIFESTS {
        true => Err(Error::general(format!("there are more than {MOST_MANIFESTS} manifests"))
            .hint("name one cluster with --cassandra-cluster, or its directory with --location")),
        false => Ok(()),
    }
}

/// The tag of a manifest, by its name.
fn tag_of(layout: Layout, name: &str) -> Option<&str> {
    match layout {
        Layout::Esop => name.strip_suffix(".json").and_then(Run::parse).map(|run| run.tag),
        _ => Some(name),
    }
}

/// Leaves the newest run of each node: that is the one a restore takes.
fn newest_runs(tag: &mut Tag) {
    let millis = |found: &Found| {
        let name = found.object.key.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
        name.and_then(Run::parse).map(|run| run.millis)
    };
    tag.found.sort_by(|a, b| (&a.node, millis(b)).cmp(&(&b.node, millis(a))));
    tag.found.dedup_by(|later, first| later.node == first.node);
}

/// The tags of Medusa's index.
async fn indexed(store: &impl Store, ring: &Ring) -> Result<BTreeMap<String, Tag>> {
    let directory = format!("{}index/backup_index/", ring.directory);
    let (mut tags, mut count) = (BTreeMap::<String, Tag>::new(), 0);
    store
        .each(&directory, |object| {
            let parts = object.key.strip_prefix(&directory).and_then(|rest| rest.split_once('/'));
            let Some((tag, told)) = parts.and_then(|(tag, name)| Some((tag, Indexed::parse(name)?))) else { return };
            count += 1;
            if count > MOST_MANIFESTS {
                return;
            }
            let tag = tags.entry(tag.to_owned()).or_default();
            match told {
                Indexed::Started(node) => {
                    tag.began.insert(node.to_owned());
                }
                Indexed::Finished(_, seconds) => tag.finished = tag.finished.max(Timestamp::from_second(seconds).ok()),
                Indexed::Manifest(node) => {
                    let node = node.to_owned();
                    tag.began.insert(node.clone());
                    tag.found.push(Found { node, object });
                }
            }
        })
        .await?;
    few(count)?;
    Ok(tags)
}

/// The bytes that all manifests of a tag name; `None` where one cannot be read.
async fn total(store: &impl Store, ring: &Ring, name: &str, tag: &Tag) -> Result<Option<u64>> {
    let sizes = stream::iter(&tag.found).map(|found| async move {
        let Some(Content::Whole(bytes)) = store.read(&found.object.key, MOST_BYTES).await? else { return Ok(None) };
        let entries = manifest::parse(ring.layout, &ring.node(&found.node), name, &bytes).ok();
        Ok::<_, Error>(entries.map(|entries| Entries::new(entries).bytes()))
    });
    let sizes: Vec<Option<u64>> = sizes.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(sizes.into_iter().try_fold(0_u64, |sum, size| size.map(|size| sum.saturating_add(size))))
}
