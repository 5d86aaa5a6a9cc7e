//! What bbolt's `tx.Check` looks for, and more: every page is in use once or free once, keys are in order, elements lie
//! in their pages.

use super::ledger::Ledger;
use super::{Bucket, Database, Place, ReadAt, Value, fault, freelist, walk};
use crate::error::Result;

/// Most buckets that are followed: etcd has a dozen.
const MOST_BUCKETS: usize = 1024;

/// Most bytes of all buckets' names: etcd's are short words.
const MOST_NAMES: usize = 64 * 1024;

/// A check that is under way: walk every bucket once, then [`Check::finish`] it.
pub struct Check<'a, R: ?Sized> {
    database: Database<'a, R>,
    ledger: Ledger,
}

/// What a checked database takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub page_size: u64,
    /// Pages of the file.
    pub pages: u64,
    /// Pages that hold something, the two meta pages included.
    pub used: u64,
}

impl<'a, R: ReadAt + ?Sized> Check<'a, R> {
    /// Reads the list of free pages and the names of the buckets, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for what bbolt does not write, and for entries
    /// beside the buckets, which etcd does not make; those of the reader.
    pub fn begin(database: Database<'a, R>) -> Result<(Self, Vec<Bucket>)> {
        let mut ledger = Ledger::new(database.pages(), database.page_size());
        if let Some(page) = database.meta.freelist {
            freelist::read(&database, page, &mut ledger)?;
        }
        let (mut buckets, mut names) = (Vec::new(), 0);
        walk::tree(&database, Place::Page(database.meta.root), Some(&mut ledger), &mut |key, bucket, mut value| {
            names += key.len();
            if !bucket || buckets.len() == MOST_BUCKETS || names > MOST_NAMES {
                return Err(value.fault("the root holds what is no bucket of etcd's"));
            }
            buckets.push(Bucket { name: key.to_owned(), place: value.bucket()? });
            Ok(())
        })?;
        Ok((Self { database, ledger }, buckets))
    }

    /// Checks a bucket's pages and visits its entries in the order of their keys.
    ///
    /// # Errors
    /// As [`Check::begin`], those of `visit`, and a bucket within the bucket, which etcd does not make.
    pub fn walk(
        &mut self,
        bucket: &Bucket,
        mut visit: impl FnMut(&[u8], Value<'_, '_, R>) -> Result<()>,
    ) -> Result<()> {
        walk::tree(&self.database, bucket.place, Some(&mut self.ledger), &mut |key, nested, value| {
            if nested {
                return Err(value.fault("holds a bucket within a bucket of etcd's"));
            }
            visit(key, value)
        })
    }

    /// Visits the entries of a bucket that was walked before once more.
    ///
    /// # Errors
    /// Those of the reader and of `visit`.
    pub fn walk_again(
        &self,
        bucket: &Bucket,
        mut visit: impl FnMut(&[u8], Value<'_, '_, R>) -> Result<()>,
    ) -> Result<()> {
        walk::tree(&self.database, bucket.place, None, &mut |key, _, value| visit(key, value))
    }

    /// Accounts for all pages.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for a page that is neither in use nor free, where
    /// the free ones are listed.
    pub fn finish(self) -> Result<Usage> {
        let (page_size, pages) = (self.database.page_size(), self.database.pages());
        match self.ledger.lost().filter(|_| self.database.meta.freelist.is_some()) {
            Some(page) => Err(fault(page, page_size, "is neither in use nor on the list of free pages")),
            None => Ok(Usage { page_size, pages, used: self.ledger.used() }),
        }
    }
}
