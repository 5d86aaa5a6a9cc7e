//! A bounds-checked reader of the database in a snapshot: bbolt's pages, read by position and never mapped.
//!
//! Source: etcd-io/bbolt v1.4.2, internal/common/{page,meta,bucket,inode}.go, internal/freelist/shared.go, tx.go
//! (`WriteTo`) and tx_check.go; the pages are the same since bolt v1.0. All numbers are little-endian.
//!
//! Whatever the bytes say, memory is bounded: two bits a page of the real file, and one page of each level of a tree.

mod check;
mod find;
mod freelist;
mod ledger;
mod meta;
mod node;
#[cfg(test)]
mod tests;
mod walk;

pub use check::{Check, Usage};
pub use node::Value;

use crate::error::{Error, Result};
use meta::Meta;

/// Bytes that can be read by position.
pub trait ReadAt {
    /// Bytes of the whole snapshot, trailer included.
    fn size(&self) -> u64;

    /// Fills `bytes` with what stands at `at`.
    ///
    /// # Errors
    /// Those of the medium, and an end that comes before `bytes` are full.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..bytes.len()));
        let from = from.ok_or_else(|| Error::general(format!("the bytes end before byte {at}")))?;
        bytes.copy_from_slice(from);
        Ok(())
    }
}

/// A database whose two meta pages are as `tx.WriteTo` writes them, and whose size is what they say.
pub struct Database<'a, R: ?Sized> {
    reader: &'a R,
    meta: Meta,
}

impl<R: ?Sized> Clone for Database<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: ?Sized> Copy for Database<'_, R> {}

/// The pages of a bucket: a tree of them, or one within the value that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: Vec<u8>,
    place: Place,
}

/// Where a tree begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At a page of its own.
    Page(u64),
    /// In a leaf's value: the page that holds it, the byte in the file, and how many.
    Inline { page: u64, at: u64, length: u64 },
}

impl<'a, R: ReadAt + ?Sized> Database<'a, R> {
    /// Reads and compares both meta pages.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for anything that etcd does not write; those of
    /// `reader`.
    pub fn open(reader: &'a R) -> Result<Self> {
        Ok(Self { reader, meta: Meta::read(reader)? })
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        self.meta.page_size
    }

    /// Pages of the file, free ones included.
    pub fn pages(&self) -> u64 {
        self.meta.pages
    }
}

/// Bytes that are not what a page must hold, and where they are.
fn fault(page: u64, page_size: u64, what: impl std::fmt::Display) -> Error {
    Error::unproved(format!("page {page} (byte {}): {what}", page.saturating_mul(page_size)))
}

/// A number of `N` bytes; nought where `bytes` end, which callers have excluded.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = at.checked_add(N).and_then(|end| bytes.get(at..end)?.try_into().ok());
    found.unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(bytes, at))
}
