//! What a broken-off download has left: which blocks of the `.part` file were written, and their checksums.
//!
//! A header line of JSON, then records of 16 bytes: number and CRC-64/NVME of a block, little-endian. It is only
//! appended to, so a crash can at worst lose or cut its last record, and a record that does not fit its block
//! costs nothing but fetching that block again.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use super::blocks;

/// Bytes of a record.
pub(super) const RECORD: usize = 16;

/// Most bytes of the header: an identity is a URL and an ETag.
const HEADER: u64 = 8192;

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: u32,
    size: u64,
    identity: String,
}

/// The records of one download, open for more.
pub(super) struct Journal<F> {
    file: F,
}

impl<F: Read + Write + Seek> Journal<F> {
    /// Reads the journal of an earlier run: the checksum of each block that it recorded. `None` when there is none,
    /// or one of another object.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn resume(file: F, size: u64, identity: &str) -> io::Result<(Self, Option<BTreeMap<u64, u64>>)> {
        let mut journal = Self { file };
        let Some((found, end)) = journal.read(size, identity)? else { return Ok((journal, None)) };
        // over a record that a crash has cut: behind it none would be read in its place
        journal.file.seek(SeekFrom::Start(end))?;
        Ok((journal, Some(found)))
    }

    /// Begins anew; the file has been emptied.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn begin(&mut self, size: u64, identity: &str) -> io::Result<()> {
        let header = Header { format: 1, size, identity: identity.to_owned() };
        let mut line = serde_json::to_vec(&header)?;
        line.push(b'\n');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&line)
    }

    /// Records a block whose bytes have been written.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn record(&mut self, block: u64, crc: u64) -> io::Result<()> {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&block.to_le_bytes());
        record[8..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all(&record)
    }

    /// The underlying file.
    pub(super) fn file(&self) -> &F {
        &self.file
    }

    /// The records of this object, and where the last one ends.
    fn read(&mut self, size: u64, identity: &str) -> io::Result<Option<(BTreeMap<u64, u64>, u64)>> {
        // a journal records a block once a run; more than a few runs' worth is not ours
        let most = HEADER + blocks::count(size).saturating_mul(8 * RECORD as u64);
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        Read::by_ref(&mut self.file).take(most).read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().take(HEADER as usize).position(|byte| *byte == b'\n') else { return Ok(None) };
        let header: Option<Header> = serde_json::from_slice(&bytes[..end]).ok();
        if header != Some(Header { format: 1, size, identity: identity.to_owned() }) {
            return Ok(None);
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let records = bytes[end + 1..].chunks_exact(RECORD);
        let end = bytes.len() - records.remainder().len();
        let records = records.map(|record| (number(&record[..8]), number(&record[8..])));
        let found = records.filter(|(block, _)| *block < blocks::count(size)).collect();
        Ok(Some((found, end as u64)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn written() -> Vec<u8> {
        let mut journal = Journal { file: Cursor::new(Vec::new()) };
        journal.begin(3 * blocks::BLOCK, "s3://b/k \"etag\"").unwrap();
        journal.record(2, 7).unwrap();
        journal.record(0, 9).unwrap();
        journal.file.into_inner()
    }

    fn read(bytes: Vec<u8>, size: u64, identity: &str) -> Option<BTreeMap<u64, u64>> {
        Journal::resume(Cursor::new(bytes), size, identity).unwrap().1
    }

    #[test]
    fn what_was_recorded_is_read_back_and_appended_to() {
        let size = 3 * blocks::BLOCK;
        let (mut journal, found) = Journal::resume(Cursor::new(written()), size, "s3://b/k \"etag\"").unwrap();
        assert_eq!(found.unwrap(), BTreeMap::from([(0, 9), (2, 7)]));
        journal.record(1, 1).unwrap();
        assert_eq!(read(journal.file.into_inner(), size, "s3://b/k \"etag\"").unwrap().len(), 3);
    }

    #[test]
    fn another_object_or_a_cut_record_is_not_taken_for_ours() {
        let size = 3 * blocks::BLOCK;
        assert_eq!(read(written(), size, "s3://b/k \"other\""), None);
        assert_eq!(read(written(), size + 1, "s3://b/k \"etag\""), None);
        let mut cut = written();
        cut.pop();
        let (mut journal, found) = Journal::resume(Cursor::new(cut), size, "s3://b/k \"etag\"").unwrap();
        assert_eq!(found.unwrap(), BTreeMap::from([(2, 7)]));
        journal.record(1, 5).unwrap();
        let gone_on = journal.file.into_inner();
        assert_eq!(read(gone_on, size, "s3://b/k \"etag\"").unwrap(), BTreeMap::from([(1, 5), (2, 7)]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, size: u64) {
            let _ = read(bytes, size, "x");
        }
    }
}
