//! The two meta pages at the beginning of a database.
//!
//! `tx.WriteTo` writes both from one transaction, so in a snapshot both are valid and differ only in their number, the
//! transaction and the checksum: a database in use may have lost one in a crash, a snapshot cannot.

use super::{ReadAt, fault, u16_at, u32_at, u64_at};
use crate::error::{Error, Result};
use crate::snapshot::trailer::{TRAILER_BYTES, check_size};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const FLAG: u16 = 4;

/// Bytes of the page header and of the meta record after it.
const HEADER: usize = 16;
const RECORD: usize = 64;

/// Bytes of the record that both pages share: all before the transaction.
const SHARED: usize = 48;

/// In the place of the freelist's page: the free pages are those that nothing refers to.
const NO_FREELIST: u64 = u64::MAX;

/// A page is as large as the operating system's, at most 64 KiB; the size rule's block is the least that makes sense.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub page_size: u64,
    /// Page of the root bucket.
    pub root: u64,
    /// Page of the list of free pages, if it was written.
    pub freelist: Option<u64>,
    /// Pages of the file: bbolt's high water mark.
    pub pages: u64,
}

impl Meta {
    /// Reads both pages and compares them with each other and with the size of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for other bytes; those of `reader`.
    pub(super) fn read<R: ReadAt + ?Sized>(reader: &R) -> Result<Self> {
        check_size(reader.size())?;
        let first = record(reader, 0, 0)?;
        let page_size = u32_at(&first, 8);
        if !page_size.is_power_of_two() || !PAGE_SIZES.contains(&page_size) {
            return Err(fault(0, 0, format!("the page size cannot be {page_size} bytes")));
        }
        let second = record(reader, 1, page_size.into())?;
        if first[..SHARED] != second[..SHARED] {
            return Err(fault(1, page_size.into(), "the two meta pages are not of one snapshot"));
        }
        let meta = Self {
            page_size: page_size.into(),
            root: u64_at(&first, 16),
            freelist: Some(u64_at(&first, 32)).filter(|page| *page != NO_FREELIST),
            pages: u64_at(&first, 40),
        };
        meta.fits(reader.size()).map(|()| meta)
    }

    fn fits(&self, size: u64) -> Result<()> {
        let Self { page_size, pages, .. } = *self;
        if pages.checked_mul(page_size) != Some(size - TRAILER_BYTES) {
            return Err(Error::unproved(format!(
                "snapshot is incomplete or has grown: {pages} pages of {page_size} bytes and {TRAILER_BYTES} of the \
                 trailer are not {size} bytes"
            )));
        }
        for (what, page) in [("root bucket", Some(self.root)), ("freelist", self.freelist)] {
            if page.is_some_and(|page| !(2..pages).contains(&page)) {
                return Err(fault(
                    0,
                    page_size,
                    format!("there is no page {} for the {what}", page.unwrap_or_default()),
                ));
            }
        }
        Ok(())
    }
}

/// The record of one meta page, its checksum compared.
fn record<R: ReadAt + ?Sized>(reader: &R, page: u64, at: u64) -> Result<[u8; RECORD]> {
    let mut bytes = [0; HEADER + RECORD];
    if reader.size() < at + bytes.len() as u64 {
        return Err(fault(page, at, "the file ends before the second meta page"));
    }
    reader.read_at(at, &mut bytes)?;
    let mut record = [0; RECORD];
    record.copy_from_slice(&bytes[HEADER..]);
    let wrong = |what: &str| Err(fault(page, at, what));
    if (u32_at(&record, 0), u32_at(&record, 4)) != (MAGIC, VERSION) {
        return wrong("not a database of etcd: the magic number of bbolt is missing");
    }
    if u64_at(&record, RECORD - 8) != fnv1a(&record[..RECORD - 8]) {
        return wrong("the checksum of the meta page does not match");
    }
    if (u64_at(&bytes, 0), u16_at(&bytes, 8)) != (page, FLAG) {
        return wrong("the header is not that of a meta page");
    }
    Ok(record)
}

/// FNV-1a of 64 bits (Go's hash/fnv, `New64a`).
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
