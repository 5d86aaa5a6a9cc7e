//! The list of free pages, where it was written: etcd leaves it out since 3.4.

use super::ledger::Ledger;
use super::{Database, ReadAt, fault, u16_at, u32_at, u64_at};
use crate::error::Result;

pub(super) const FLAG: u16 = 0x10;
const HEADER: u64 = 16;

/// In the place of the count: the count stands before the list.
const MANY: u16 = 0xFFFF;

/// Enters the list and its own pages into `ledger`.
pub(super) fn read<R: ReadAt + ?Sized>(database: &Database<'_, R>, page: u64, ledger: &mut Ledger) -> Result<()> {
    let page_size = database.meta.page_size;
    let wrong = |what: String| Err(fault(page, page_size, what));
    let start = page * page_size;
    let mut header = [0; HEADER as usize + 8];
    database.reader.read_at(start, &mut header)?;
    let (id, flags, overflow) = (u64_at(&header, 0), u16_at(&header, 8), u64::from(u32_at(&header, 12)));
    if (id, flags) != (page, FLAG) {
        return wrong(format!("not the list of free pages (page {id}, flags {flags:#x})"));
    }
    ledger.take(page, overflow)?;
    let (at, count) = match u16_at(&header, 10) {
        MANY => (HEADER + 8, u64_at(&header, HEADER as usize)),
        count => (HEADER, count.into()),
    };
    let space = ((overflow + 1) * page_size - at) / 8;
    if count > space {
        return wrong(format!("lists {count} free pages and has space for {space}"));
    }
    let mut chunk = [0; 4096];
    for first in (0..count).step_by(chunk.len() / 8) {
        let length = (count - first).min(chunk.len() as u64 / 8) * 8;
        let bytes = &mut chunk[..usize::try_from(length).unwrap_or_default()];
        database.reader.read_at(start + at + first * 8, bytes)?;
        bytes.chunks_exact(8).try_for_each(|one| ledger.release(u64_at(one, 0), page))?;
    }
    Ok(())
}
