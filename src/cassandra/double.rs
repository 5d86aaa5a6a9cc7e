//! A bucket in memory that counts what it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::store::Store;
use crate::aws::s3::{Content, Object};
use crate::error::{Error, Result};

/// Keys and what is under them.
#[derive(Default)]
pub struct Bucket {
    pub objects: BTreeMap<String, Vec<u8>>,
    /// A key that may not be read.
    pub refused: Option<String>,
    requests: AtomicUsize,
}

impl Bucket {
    /// A bucket of empty objects.
    pub fn of(keys: &[&str]) -> Self {
        let objects = keys.iter().map(|key| ((*key).to_owned(), Vec::new())).collect();
        Self { objects, ..Self::default() }
    }

    /// Puts an object.
    pub fn put(&mut self, key: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.objects.insert(key.into(), bytes.into());
    }

    /// The requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts the requests of a listing with so many results.
    fn count(&self, results: usize) {
        self.requests.fetch_add(results.div_ceil(1000).max(1), Ordering::Relaxed);
    }
}

impl Store for Bucket {
    async fn each(&self, prefix: &str, mut take: impl FnMut(Object) + Send) -> Result<()> {
        let below: Vec<_> =
            self.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)).collect();
        self.count(below.len());
        for (key, bytes) in below {
            let modified = jiff::Timestamp::from_second(1_700_000_000).ok();
            take(Object { key: key.clone(), size: bytes.len() as u64, etag: None, modified });
        }
        Ok(())
    }

    async fn directories(&self, prefix: &str) -> Result<Vec<String>> {
        let below = self.objects.keys().filter_map(|key| Some(key.strip_prefix(prefix)?.split_once('/')?.0));
        let mut names = BTreeSet::new();
        // collecting would keep a copy of every key for a moment
        below.for_each(|name| drop(names.replace(name.to_owned())));
        self.count(names.len());
        Ok(names.into_iter().collect())
    }

    async fn read(&self, key: &str, most: usize) -> Result<Option<Content>> {
        self.count(1);
        if self.refused.as_deref() == Some(key) {
            return Err(Error::denied(format!("not allowed: {key}")));
        }
        Ok(self.objects.get(key).map(|bytes| match bytes.len() > most {
            true => Content::Larger,
            false => Content::Whole(bytes.clone()),
        }))
    }

    fn url(&self, key: &str) -> String {
        format!("s3://backups/{key}")
    }
}
