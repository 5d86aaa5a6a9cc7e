//! Whether the backup of one node is whole: its manifest, and one listing that is checked against it.

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::entries::Entries;
use super::layout::{Layout, Run};
use super::manifest;
use super::store::Store;
use crate::aws::s3::Content;
use crate::error::{Error, Result};

/// Bytes of a manifest up to which several are held at once; of larger ones only one is.
const SMALL: usize = 4 << 20;

/// Most manifests of a tag that appear one after the other while a node is looked at.
const MOST_RUNS: usize = 4;

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// Every object that the manifest names is there with its size.
    Complete,
    /// The manifest is broken, or an object is missing or has another size.
    Incomplete,
    /// There is no manifest of the tag: it is written last.
    Absent,
}

/// The backup of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    pub name: String,
    pub state: State,
    /// Key of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// When the manifest was stored, by the store's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<Timestamp>,
    /// Objects that the manifest names.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    pub missing: usize,
    pub other_size: usize,
    /// Objects of another size that Cassandra may write anew, which is no fault.
    pub rewritten: usize,
    /// The first thing that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
    /// The key that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl NodeReport {
    fn new(name: &str, state: State) -> Self {
        let name = name.to_owned();
        let (manifest, taken, wrong, key) = (None, None, None, None);
        Self { name, state, manifest, taken, objects: 0, bytes: 0, missing: 0, other_size: 0, rewritten: 0, wrong, key }
    }

    /// A node without a manifest.
    pub fn absent(name: &str) -> Self {
        Self { wrong: Some("has no manifest of the tag".to_owned()), ..Self::new(name, State::Absent) }
    }
}

/// A node that is looked at.
pub struct Node<'a, S> {
    pub store: &'a S,
    pub layout: Layout,
    pub name: &'a str,
    /// Its key prefix, with a slash at its end.
    pub directory: String,
    pub tag: &'a str,
    /// One permit: for a large manifest.
    pub large: &'a Semaphore,
}

/// What was listed beside the objects of the manifest.
#[derive(Default)]
struct Beside {
    taken: Option<Timestamp>,
    /// The name of a later run of the same tag: that is the one a restore takes.
    later: Option<(i64, String)>,
}

/// What came of one look.
enum Look {
    Done(Box<NodeReport>),
    /// Another run counts: this one, or whichever is the newest.
    Again(Option<String>),
}

impl<S: Store> Node<'_, S> {
    /// Looks at the node; `stem` is the name of esop's manifest, where it is known.
    ///
    /// # Errors
    /// Those of the store. What is wrong with the backup is no error.
    pub async fn prove(&self, mut stem: Option<String>) -> Result<NodeReport> {
        for _ in 0..MOST_RUNS {
            match self.look(stem).await? {
                Look::Done(report) => return Ok(*report),
                Look::Again(other) => stem = other,
            }
        }
        Err(Error::general(format!("node {}: manifests of tag {:?} keep appearing", self.name, self.tag))
            .hint("run it again when the backup is done"))
    }

    async fn look(&self, stem: Option<String>) -> Result<Look> {
        let was_known = stem.is_some();
        let absent = || Ok(Look::Done(Box::new(NodeReport::absent(self.name))));
        let Some(key) = self.manifest_key(stem).await? else { return absent() };
        let (content, _permit) = match self.manifest(&key).await? {
            Some(found) => found,
            None if was_known => return Ok(Look::Again(None)),
            None => return absent(),
        };
        let parsed = match content {
            Content::Whole(bytes) => manifest::parse(self.layout, &self.directory, self.tag, &bytes),
            Content::Larger => Err(format!("the manifest has more than {} bytes", manifest::MOST_BYTES)),
        };
        let report = match parsed {
            Ok(entries) => {
                let mut entries = Entries::new(entries);
                let beside = self.list(&key, &mut entries).await?;
                if let Some((_, later)) = beside.later {
                    return Ok(Look::Again(Some(later)));
                }
                self.report(key, &entries, beside.taken)
            }
            Err(why) => {
                let newest = self.newest_run().await?;
                if let Some(later) = newest.filter(|newest| self.run_key(newest) != key) {
                    return Ok(Look::Again(Some(later)));
                }
                let (wrong, manifest) = (Some(why), Some(key.clone()));
                NodeReport { wrong, manifest, key: Some(key), ..NodeReport::new(self.name, State::Incomplete) }
            }
        };
        Ok(Look::Done(Box::new(report)))
    }

    async fn manifest_key(&self, stem: Option<String>) -> Result<Option<String>> {
        Ok(match self.layout {
            Layout::Elassandra => Some(format!("{}manifests/{}", self.directory, self.tag)),
            Layout::Medusa => Some(format!("{}{}/meta/manifest.json", self.directory, self.tag)),
            Layout::Esop => match stem {
                Some(stem) => Some(self.run_key(&stem)),
                None => self.newest_run().await?.map(|stem| self.run_key(&stem)),
            },
        })
    }

    fn run_key(&self, stem: &str) -> String {
        format!("{}manifests/{stem}.json", self.directory)
    }

    /// The name of the newest of esop's manifests of the tag.
    async fn newest_run(&self) -> Result<Option<String>> {
        if self.layout != Layout::Esop {
            return Ok(None);
        }
        let mut newest = None;
        // the tag may be given with its schema and time, so what follows is not known
        self.store
            .each(&format!("{}manifests/{}", self.directory, self.tag), |object| {
                newest = newest.take().max(self.run(&object.key));
            })
            .await?;
        Ok(newest.map(|(_, stem)| stem))
    }

    /// The time and the name of the run whose manifest the key is, if it is of the tag.
    fn run(&self, key: &str) -> Option<(i64, String)> {
        let stem = key.strip_prefix(&self.directory)?.strip_prefix("manifests/")?.strip_suffix(".json")?;
        let run = Run::parse(stem).filter(|run| run.is(self.tag))?;
        Some((run.millis, stem.to_owned()))
    }

    /// The manifest, and a permit where it is large. A missing one is `None`.
    async fn manifest(&self, key: &str) -> Result<Option<(Content, Option<SemaphorePermit<'_>>)>> {
        match self.store.read(key, SMALL).await? {
            Some(Content::Larger) => {
                let permit = self.large.acquire().await.ok();
                Ok(self.store.read(key, manifest::MOST_BYTES).await?.map(|content| (content, permit)))
            }
            small => Ok(small.map(|content| (content, None))),
        }
    }

    /// Checks the entries off.
    async fn list(&self, manifest: &str, entries: &mut Entries) -> Result<Beside> {
        let mut beside = Beside::default();
        let current = self.run(manifest);
        // a full backup of Medusa's has a directory of its own, other tags have none of its objects
        let own = format!("{}/", self.tag);
        let within = if self.layout == Layout::Medusa && entries.all_below(&own) { own.as_str() } else { "" };
        self.store
            .each(&format!("{}{within}", self.directory), |object| {
                if object.key == manifest {
                    beside.taken = object.modified;
                } else if let Some(run) = self.run(&object.key).filter(|_| self.layout == Layout::Esop)
                    && Some(&run) > current.as_ref()
                {
                    beside.later = beside.later.take().max(Some(run));
                }
                if let Some(key) = object.key.strip_prefix(&self.directory) {
                    entries.see(key, object.size);
                }
            })
            .await?;
        Ok(beside)
    }

    fn report(&self, manifest: String, entries: &Entries, taken: Option<Timestamp>) -> NodeReport {
        let wrong = entries.wrong(|key| manifest::may_change(self.layout, key));
        let state = if wrong.first.is_none() { State::Complete } else { State::Incomplete };
        let (key, what) = wrong.first.unzip();
        NodeReport {
            manifest: Some(manifest),
            taken,
            objects: entries.len(),
            bytes: entries.bytes(),
            missing: wrong.missing,
            other_size: wrong.other_size,
            rewritten: wrong.rewritten,
            wrong: key.as_ref().zip(what).map(|(key, what)| format!("{key} {what}")),
            key: key.map(|key| format!("{}{key}", self.directory)),
            ..NodeReport::new(self.name, state)
        }
    }
}
