//! Stores in memory: ten million keys are computed, not kept.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::aws::s3::{Object, Page};
use crate::error::{Error, Result};
use crate::source::newest::Lister;

/// Directory of the cluster.
pub const DIRECTORY: &str = "team/v1/default/etcd-a/";

/// Keys in the order of their bytes.
pub trait Keys: Sync {
    /// The first `most` keys after a key.
    fn after(&self, after: &str, most: usize) -> Vec<String>;
}

impl Keys for BTreeSet<String> {
    fn after(&self, after: &str, most: usize) -> Vec<String> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = (Excluded(after.to_owned()), Unbounded);
        self.range(from).take(most).cloned().collect()
    }
}

/// An ordered store that returns at most `most` keys whatever is asked.
pub struct Ordered<'a, K> {
    keys: &'a K,
    most: usize,
    /// A prefix that may not be listed, and nothing that it begins with.
    pub refused: Option<String>,
    requests: AtomicUsize,
    /// Whether everything was listed.
    pub listed: Mutex<bool>,
}

impl<'a, K> Ordered<'a, K> {
    pub fn new(keys: &'a K, most: usize) -> Self {
        Self { keys, most, refused: None, requests: AtomicUsize::new(0), listed: Mutex::new(false) }
    }

    /// The requests since this was asked last.
    pub fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::Relaxed)
    }
}

pub fn object(key: &str) -> Object {
    Object { key: key.to_owned(), size: 1, etag: None, modified: None }
}

impl<K: Keys> Lister for Ordered<'_, K> {
    fn disorder(&self) -> Option<&'static str> {
        None
    }

    async fn page(&self, prefix: &str, after: &str, most: u32) -> Result<Page> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.refused.as_ref().is_some_and(|refused| refused.starts_with(prefix)) {
            return Err(Error::denied("no"));
        }
        let most = self.most.min(most as usize);
        // a key that is the prefix itself is none of ours
        let mut keys = self.keys.after(after.max(prefix), most + 1);
        keys.retain(|key| key.starts_with(prefix));
        let truncated = keys.len() > most;
        keys.truncate(most);
        Ok(Page { objects: keys.iter().map(|key| object(key)).collect(), truncated })
    }

    async fn each(&self, prefix: &str, mut take: impl FnMut(Object) + Send) -> Result<()> {
        *self.listed.lock().unwrap() = true;
        let mut last = String::new();
        loop {
            let page = self.page(prefix, &last, 1000).await?;
            last = page.objects.last().map(|object| object.key.clone()).unwrap_or_default();
            page.objects.into_iter().for_each(&mut take);
            if !page.truncated {
                return Ok(());
            }
        }
    }
}

/// What a store does to its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// It lists in an order of its own.
    Order,
    /// It lists from its first key on, whatever is asked.
    StartAfter,
    /// It lists keys of others, too.
    Prefix,
    /// It says that there is more, and lists nothing.
    NoKeys,
    /// It says itself that it has no order.
    Told,
}

/// A store that lists in pages of a thousand, oddly.
pub struct Oddly {
    pub keys: Vec<String>,
    pub odd: Odd,
}

impl Lister for Oddly {
    fn disorder(&self) -> Option<&'static str> {
        (self.odd == Odd::Told).then_some("told")
    }

    async fn page(&self, prefix: &str, after: &str, most: u32) -> Result<Page> {
        let from = match self.odd {
            Odd::StartAfter | Odd::Order | Odd::Told => 0,
            _ => self.keys.partition_point(|key| key.as_str() <= after),
        };
        let of_prefix = |key: &&String| key.starts_with(prefix) || self.odd == Odd::Prefix;
        let mut objects: Vec<Object> =
            self.keys[from..].iter().filter(of_prefix).take(most as usize).map(|key| object(key)).collect();
        if self.odd == Odd::NoKeys && !after.is_empty() {
            objects.clear();
        }
        Ok(Page { objects, truncated: self.keys.len() > 1000 })
    }

    async fn each(&self, prefix: &str, take: impl FnMut(Object) + Send) -> Result<()> {
        self.keys.iter().filter(|key| key.starts_with(prefix)).map(|key| object(key)).for_each(take);
        Ok(())
    }
}

/// A store that sorts by the names of directories without their slash: `a/` before `a-b/`.
pub struct Walked(pub Vec<String>);

impl Lister for Walked {
    fn disorder(&self) -> Option<&'static str> {
        None
    }

    async fn page(&self, prefix: &str, after: &str, most: u32) -> Result<Page> {
        let mut keys: Vec<_> = self.0.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after).collect();
        keys.sort_by_key(|key| key.split('/').collect::<Vec<_>>());
        let truncated = keys.len() > most as usize;
        Ok(Page { objects: keys.into_iter().take(most as usize).map(|key| object(key)).collect(), truncated })
    }

    async fn each(&self, prefix: &str, take: impl FnMut(Object) + Send) -> Result<()> {
        self.0.iter().filter(|key| key.starts_with(prefix)).map(|key| object(key)).for_each(take);
        Ok(())
    }
}

/// How far the revisions of stored snapshots lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    Uniform,
    Random,
    /// Gaps from 1 to a million, each magnitude as likely as the other.
    LogUniform,
    /// One after the other, then a hundredth of them far away and far apart.
    FarTail,
}

/// How several versions share the revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Upgrade after upgrade.
    InTurn,
    /// Every one everywhere.
    Mixed,
}

/// Snapshots that are computed.
pub struct Computed {
    /// In the order of time.
    versions: Vec<&'static str>,
    share: Share,
    total: u64,
    spacing: Spacing,
    /// For [`Spacing::LogUniform`]: the revision at the start of each block.
    blocks: Vec<u64>,
}

const BLOCK: u64 = 256;

fn hash(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    (x ^ (x >> 27)).wrapping_mul(0x81da_def4_bc2d_d44d) >> 20
}

fn gap(index: u64) -> u64 {
    let fraction = [10, 13, 16, 20, 25, 32, 40, 50, 63, 79];
    let step = hash(index) % 60;
    10u64.pow((step / 10) as u32) * fraction[(step % 10) as usize] / 10
}

impl Computed {
    pub fn new(total: u64, spacing: Spacing, versions: &[&'static str], share: Share) -> Self {
        let mut blocks = vec![1];
        if spacing == Spacing::LogUniform {
            for block in 0..total / BLOCK {
                let sum: u64 = (block * BLOCK..(block + 1) * BLOCK).map(gap).sum();
                blocks.push(blocks.last().unwrap() + sum);
            }
        }
        Self { versions: versions.to_vec(), share, total, spacing, blocks }
    }

    pub fn revision(&self, index: u64) -> u64 {
        match self.spacing {
            Spacing::Uniform => (index + 1) * 1000,
            Spacing::Random => index * 1000 + hash(index) % 1000 + 1,
            Spacing::LogUniform => {
                self.blocks[(index / BLOCK) as usize] + (index - index % BLOCK..index).map(gap).sum::<u64>()
            }
            Spacing::FarTail if index < self.total - self.total / 100 => index + 1,
            Spacing::FarTail => (1 << 40) + index * 1_000_000,
        }
    }

    /// How many snapshots a version has, and the name of each.
    fn count(&self, version: usize) -> u64 {
        let (all, version) = (self.versions.len() as u64, version as u64);
        match self.share {
            Share::InTurn => self.total / all,
            Share::Mixed => (self.total - version).div_ceil(all),
        }
    }

    fn name(&self, version: usize, nth: u64) -> String {
        let all = self.versions.len() as u64;
        let index = match self.share {
            Share::InTurn => version as u64 * (self.total / all) + nth,
            Share::Mixed => nth * all + version as u64,
        };
        format!("{}_{:016x}_etcd.backup", self.versions[version], self.revision(index))
    }
}

impl Keys for Computed {
    fn after(&self, after: &str, most: usize) -> Vec<String> {
        let after = after.strip_prefix(DIRECTORY).unwrap_or("");
        let mut names = Vec::new();
        let mut sorted: Vec<usize> = (0..self.versions.len()).collect();
        sorted.sort_by_key(|version| format!("{}_", self.versions[*version]));
        for version in sorted {
            let (mut low, mut high) = (0, self.count(version));
            while low < high {
                let middle = (low + high) / 2;
                if self.name(version, middle).as_str() > after { high = middle } else { low = middle + 1 }
            }
            let wanted = (most - names.len()) as u64;
            let found = low..self.count(version).min(low + wanted);
            names.extend(found.map(|nth| format!("{DIRECTORY}{}", self.name(version, nth))));
        }
        names
    }
}
