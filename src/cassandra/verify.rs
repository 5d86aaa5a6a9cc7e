//! Whether a backup of a cluster is whole: every node has its manifest, and every object that it names is there.
//!
//! The objects are listed, not asked for one by one: a node takes one request for its manifest and one for each
//! thousand objects. No data file is read, so the bytes themselves are not proved.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::choice::{self, Chosen, Roll};
pub use super::layout::{Layout, Place};
pub use super::missed::Missed;
use super::proof::Node;
pub use super::proof::{NodeReport, State};
use super::store::Store;
use crate::error::{Error, Result};

/// Nodes that are looked at at the same time.
const AT_ONCE: usize = 8;

/// What tells the nodes where nothing better does.
const DIRECTORIES: &str = "the directories in the bucket";

/// Nodes that an error names.
const TOLD: usize = 3;

/// What is known of the cluster besides what the bucket tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// How many nodes it has at least; 0 where that is not known.
    pub nodes: usize,
    /// Names of its pods, such as [`super::pods::of`] finds them.
    pub pods: Vec<String>,
    /// Names of the pods that it has long after the backup: one that the backup has nothing of may be newer than it, and
    /// is only warned of.
    pub pods_now: Vec<String>,
}

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub tag: String,
    /// Where the cluster's nodes are.
    pub location: String,
    pub layout: Layout,
    /// Whether every node is.
    pub complete: bool,
    /// What says which nodes there should be.
    pub nodes_told_by: String,
    /// In the order of their names.
    pub nodes: Vec<NodeReport>,
    /// Nodes that should be there, and of which the bucket knows nothing; `?` where only their number is known.
    pub unknown: Vec<String>,
    pub warnings: Vec<String>,
}

/// Looks at the backup `tag` of the cluster at `place`. `told` hears how many nodes of how many are done.
///
/// A backup that is not whole is no error: see [`Report::check`].
///
/// # Errors
/// [`Missed::NotThere`] where no node has a manifest of the tag, [`Missed::Unclear`] where several clusters have, and
/// those of the store.
pub async fn verify<S: Store>(
    store: &S,
    place: &Place,
    tag: &str,
    known: &Known,
    told: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Report, Missed> {
    let Chosen { ring, roll } = choice::choose(store, place, tag, known).await?;
    let (large, all) = (Semaphore::new(1), roll.nodes.len());
    let nodes = stream::iter(&roll.nodes).map(|name| {
        let (layout, directory, large) = (ring.layout, ring.node(name), &large);
        let stem = roll.stem.clone();
        async move { Node { store, layout, name, directory, tag, large }.prove(stem).await }
    });
    let mut nodes = nodes.buffer_unordered(AT_ONCE);
    let mut done = Vec::new();
    told(0, all);
    while let Some(node) = nodes.try_next().await? {
        done.push(node);
        told(done.len(), all);
    }
    drop(nodes);
    done.sort_by(|a, b| a.name.cmp(&b.name));
    let location = store.url(&ring.directory);
    if done.iter().all(|node| node.state == State::Absent) {
        return Err(choice::no_tag(tag, &location));
    }
    Ok(judge(Report::new(tag, location, ring.layout), roll, done, &known.pods))
}

/// Puts together what is known of the nodes.
fn judge(report: Report, roll: Roll, mut nodes: Vec<NodeReport>, pods: &[String]) -> Report {
    let (mut unknown, mut warnings) = (roll.unknown, roll.warnings);
    let holders = nodes.iter().filter(|node| node.state != State::Absent).count();
    if roll.told_by.is_none() && roll.at_least > 0 && holders >= roll.at_least {
        // directories of nodes that are gone
        let gone: Vec<String> =
            nodes.extract_if(.., |node| node.state == State::Absent).map(|node| node.name).collect();
        if !gone.is_empty() {
            warnings.push(format!("in the bucket, and without a manifest of the tag: {}", gone.join(", ")));
        }
    }
    if roll.told_by == Some("StatefulSets") {
        nodes.retain(|node| node.state != State::Absent || pods.contains(&node.name));
    }
    let known = nodes.len() + unknown.len();
    unknown.extend((known..roll.at_least).map(|_| "?".to_owned()));
    if let Some(warning) = of_runs(&nodes, report.layout) {
        warnings.push(warning);
    }
    let complete = unknown.is_empty() && nodes.iter().all(|node| node.state == State::Complete);
    let nodes_told_by = roll.told_by.unwrap_or(DIRECTORIES).to_owned();
    Report { complete, nodes_told_by, nodes, unknown, warnings, ..report }
}

/// A sentence for nodes of which a restore would take different runs of one tag.
fn of_runs(nodes: &[NodeReport], layout: Layout) -> Option<String> {
    let names = nodes.iter().filter_map(|node| node.manifest.as_deref()?.rsplit('/').next());
    let runs: BTreeSet<&str> = names.collect();
    (layout == Layout::Esop && runs.len() > 1)
        .then(|| format!("the nodes' newest manifests are of {} runs", runs.len()))
}

impl Report {
    fn new(tag: &str, location: String, layout: Layout) -> Self {
        let (nodes, unknown, warnings) = (Vec::new(), Vec::new(), Vec::new());
        let (tag, nodes_told_by) = (tag.to_owned(), String::new());
        Self { tag, location, layout, complete: false, nodes_told_by, nodes, unknown, warnings }
    }

    /// Nodes that should be there.
    pub fn expected(&self) -> usize {
        self.nodes.len() + self.unknown.len()
    }

    /// Whether all that is wrong is that nodes have no manifest, which is written last.
    pub fn may_still_come(&self) -> bool {
        !self.complete && self.nodes.iter().all(|node| node.state != State::Incomplete)
    }

    /// Nodes of which every object is there.
    pub fn whole(&self) -> usize {
        self.nodes.iter().filter(|node| node.state == State::Complete).count()
    }

    /// That the backup is whole.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) where it is not, with the first nodes that are not
    /// and the first thing that is wrong with each.
    pub fn check(&self) -> Result<()> {
        if self.complete {
            return Ok(());
        }
        let (tag, location, whole, expected) = (&self.tag, &self.location, self.whole(), self.expected());
        let mut sentence = format!("tag {tag:?} at {location} is not complete: {whole} of {expected} nodes are");
        let broken = self.nodes.iter().filter_map(|node| Some((&node.name, node.wrong.as_deref()?)));
        let unknown = self.unknown.iter().map(|name| (name, "is expected, and the bucket knows nothing of it"));
        let lines: Vec<_> = broken.chain(unknown).collect();
        for (name, wrong) in lines.iter().take(TOLD) {
            sentence.push_str(&format!("\nnode {name}: {wrong}"));
        }
        if let Some(more) = lines.len().checked_sub(TOLD).filter(|more| *more > 0) {
            sentence.push_str(&format!("\nand {more} more"));
        }
        let error =
            Error::unproved(sentence).hint("back up again under another tag: a restore of this one would lack data");
        let maybe_gone = self.nodes_told_by == DIRECTORIES && self.nodes.iter().any(|node| node.state == State::Absent);
        Err(if maybe_gone {
            error.hint("nodes that are gone do not count: cassandra verify --nodes N says how many there are")
        } else {
            error
        })
    }
}

#[cfg(test)]
mod tests;
