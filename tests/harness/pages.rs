//! Databases of bbolt made by hand: the smallest that etcd could have written, and others page by page.
//!
//! Source: etcd-io/bbolt v1.4.2, internal/common/{page,meta,inode}.go.

use aws_lc_rs::digest::{SHA256, digest};

/// The size of the pages that are made here.
pub const PAGE: usize = 512;

pub const LEAF: u16 = 2;
pub const BRANCH: u16 = 1;

/// `meta.freelist` where the list of free pages was not written.
pub const NO_FREELIST: u64 = u64::MAX;

/// The bytes and the sha256 of them.
pub fn with_trailer(mut database: Vec<u8>) -> Vec<u8> {
    let sha256 = digest(&SHA256, &database);
    database.extend_from_slice(sha256.as_ref());
    database
}

/// The last 32 bytes anew, for the bytes before them as they are now.
pub fn prove_again(snapshot: &mut Vec<u8>) {
    snapshot.truncate(snapshot.len() - 32);
    *snapshot = with_trailer(std::mem::take(snapshot));
}

/// One page: a header, a table of elements and their data.
pub fn page(id: u64, flags: u16, count: usize, overflow: u32, content: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    page.extend(id.to_le_bytes());
    page.extend(flags.to_le_bytes());
    page.extend(u16::try_from(count).unwrap().to_le_bytes());
    page.extend(overflow.to_le_bytes());
    page.extend_from_slice(content);
    page.resize(page.len().next_multiple_of(PAGE), 0);
    page
}

/// The content of a leaf: flags, key and value of each element.
pub fn leaf(elements: &[(u32, &[u8], Vec<u8>)]) -> Vec<u8> {
    let (mut table, mut data) = (Vec::new(), Vec::new());
    for (index, (flags, key, value)) in elements.iter().enumerate() {
        let position = (elements.len() - index) * 16 + data.len();
        let lengths = [position, key.len(), value.len()].map(|length| u32::try_from(length).unwrap());
        table.extend(flags.to_le_bytes());
        lengths.iter().for_each(|length| table.extend(length.to_le_bytes()));
        data.extend_from_slice(key);
        data.extend_from_slice(value);
    }
    [table, data].concat()
}

/// The content of a branch: the first key and the page of each child.
pub fn branch(children: &[(&[u8], u64)]) -> Vec<u8> {
    let (mut table, mut data) = (Vec::new(), Vec::new());
    for (index, (key, child)) in children.iter().enumerate() {
        let position = (children.len() - index) * 16 + data.len();
        [position, key.len()].iter().for_each(|length| table.extend(u32::try_from(*length).unwrap().to_le_bytes()));
        table.extend(child.to_le_bytes());
        data.extend_from_slice(key);
    }
    [table, data].concat()
}

/// The value of a bucket whose only page lies within it.
pub fn inline(elements: &[(u32, &[u8], Vec<u8>)]) -> Vec<u8> {
    let mut value = vec![0; 16];
    value.extend([0; 8].into_iter().chain(LEAF.to_le_bytes()));
    value.extend(u16::try_from(elements.len()).unwrap().to_le_bytes());
    value.extend([0; 4]);
    value.extend(leaf(elements));
    value
}

/// The value of a bucket that begins at a page.
pub fn at(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), [0; 8]].concat()
}

/// A revision as etcd's key.
pub fn revision(main: u64, sub: u64) -> Vec<u8> {
    [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes()].concat()
}

/// The value of a revision: of this key, and nothing else.
pub fn record(key: &[u8]) -> Vec<u8> {
    [&[0x0a, u8::try_from(key.len()).unwrap()], key].concat()
}

/// Both meta pages of a database of so many pages.
pub fn metas(root: u64, freelist: u64, pages: u64) -> Vec<u8> {
    let one = |id: u64| {
        let mut meta = Vec::new();
        [0xED0C_DAED, 2, PAGE as u32, 0].iter().for_each(|number: &u32| meta.extend(number.to_le_bytes()));
        [root, 0, freelist, pages, 9 - id].iter().for_each(|number| meta.extend(number.to_le_bytes()));
        let sum = meta
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        meta.extend(sum.to_le_bytes());
        page(id, 4, 0, 0, &meta)
    };
    [one(0), one(1)].concat()
}

/// Pages 2 and following, the root of all buckets at page 2, with metas and a trailer.
pub fn database(freelist: u64, pages: &[Vec<u8>]) -> Vec<u8> {
    let rest = pages.concat();
    let count = 2 + rest.len() as u64 / PAGE as u64;
    with_trailer([metas(2, freelist, count), rest].concat())
}

/// The smallest one: one revision, greater than any that these tests name. Free pages hold `fill`.
pub fn snapshot(pages: usize, fill: u8) -> Vec<u8> {
    snapshot_with(vec![fill; (pages - 3) * PAGE])
}

/// The smallest one, with these bytes in free pages.
pub fn snapshot_with(free: Vec<u8>) -> Vec<u8> {
    let (newest, one) = (revision(1 << 40, 0), record(b"a"));
    let root = leaf(&[(1, b"key", inline(&[(0, &newest, one)])), (1, b"meta", inline(&[]))]);
    database(NO_FREELIST, &[page(2, LEAF, 2, 0, &root), free])
}
