use proptest::prelude::*;

use super::Database;
use super::freelist::FLAG as FREELIST;
use crate::error::{ErrorKind, Result};
use crate::snapshot::keyspace::{self, Contents};
use crate::snapshot::proof;

#[path = "../../../tests/harness/pages.rs"]
mod pages;

use pages::*;

type Elements<'e> = Vec<(u32, &'e [u8], Vec<u8>)>;

fn examine(bytes: &[u8]) -> Result<Contents> {
    let verdict = proof::examine(bytes, None);
    assert!(matches!(verdict.sha256, None | Some(Ok(_))), "a test's own trailer is right");
    verdict.bolt.unwrap_or_else(|| verdict.size.and_then(|()| Database::open(bytes)).and_then(keyspace::examine))
}

/// A root whose bucket `key` begins at page 3.
fn root() -> Vec<u8> {
    page(2, LEAF, 2, 0, &leaf(&[(1, b"key", at(3)), (1, b"meta", inline(&[]))]))
}

/// A leaf of revisions.
fn revisions(id: u64, mains: &[u64]) -> Vec<u8> {
    let keys: Vec<_> = mains.iter().map(|main| revision(*main, 0)).collect();
    let elements: Elements<'_> = keys.iter().map(|key| (0, key.as_slice(), record(b"a"))).collect();
    page(id, LEAF, mains.len(), 0, &leaf(&elements))
}

fn parent(id: u64, children: &[(u64, u64)]) -> Vec<u8> {
    let keys: Vec<_> = children.iter().map(|(main, _)| revision(*main, 0)).collect();
    let elements: Vec<_> = keys.iter().zip(children).map(|(key, (_, child))| (key.as_slice(), *child)).collect();
    page(id, BRANCH, children.len(), 0, &branch(&elements))
}

/// A list of free pages.
fn free(id: u64, count: usize, numbers: &[u64]) -> Vec<u8> {
    page(id, FREELIST, count, 0, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
}

/// Puts `bytes` at a place of a page.
fn put(mut page: Vec<u8>, place: usize, bytes: &[u8]) -> Vec<u8> {
    page[place..place + bytes.len()].copy_from_slice(bytes);
    page
}

/// A database with two leaves below a branch, in which `change` replaces pages.
fn tree(freelist: u64, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut pages = vec![root(), parent(3, &[(2, 4), (5, 5)]), revisions(4, &[2, 3, 4]), revisions(5, &[5, 9])];
    change(&mut pages);
    database(freelist, &pages)
}

#[test]
fn the_smallest_database_is_read() {
    let contents = examine(&snapshot(8, 7)).unwrap();
    assert_eq!((contents.glance.revision, contents.keys, contents.revisions), (1 << 40, 1, 1));
    assert_eq!((contents.usage.pages, contents.usage.used, contents.usage.page_size), (8, 3, 512));
}

#[test]
fn a_tree_is_read_and_both_ways_find_the_same() {
    let bytes = tree(NO_FREELIST, |_| {});
    let contents = examine(&bytes).unwrap();
    assert_eq!((contents.glance.revision, contents.keys, contents.revisions), (9, 1, 5));
    assert_eq!(keyspace::glance(&Database::open(&bytes[..]).unwrap()).unwrap(), contents.glance);
}

#[test]
fn the_greatest_revision_is_that_of_a_compaction_that_left_nothing_so_young() {
    for (name, expected) in [("finishedCompactRev", 40), ("scheduledCompactRev", 40), ("consistent_index", 9)] {
        let meta = inline(&[(0, name.as_bytes(), revision(40, 0)), (0, b"storageVersion", b"3.6.0".to_vec())]);
        let root = page(2, LEAF, 2, 0, &leaf(&[(1, b"key", at(3)), (1, b"meta", meta)]));
        let bytes = tree(NO_FREELIST, |pages| pages[0] = root);
        let contents = examine(&bytes).unwrap();
        assert_eq!(contents.glance.revision, expected, "{name}");
        assert_eq!(contents.glance.storage_version, Some(semver::Version::new(3, 6, 0)));
        assert_eq!(keyspace::glance(&Database::open(&bytes[..]).unwrap()).unwrap(), contents.glance);
    }
}

#[test]
fn deleted_keys_do_not_count() {
    let keys = [revision(2, 0), [revision(3, 0), b"t".to_vec()].concat(), revision(4, 0)];
    let values = [b"a".as_slice(), b"a", b"b"];
    let elements: Elements<'_> = keys.iter().zip(values).map(|(key, of)| (0, key.as_slice(), record(of))).collect();
    let bytes = tree(NO_FREELIST, |pages| {
        pages[1..].clone_from_slice(&[page(3, LEAF, 3, 0, &leaf(&elements)), vec![0; PAGE], vec![0; PAGE]]);
    });
    let contents = examine(&bytes).unwrap();
    assert_eq!((contents.keys, contents.revisions, contents.usage.used), (1, 3, 4));
}

#[test]
fn both_forms_of_the_list_of_free_pages_are_read() {
    for list in [free(6, 2, &[7, 8]), free(6, 0xFFFF, &[2, 8, 7])] {
        let bytes = tree(6, |pages| pages.extend([list, vec![9; 2 * PAGE]]));
        assert_eq!(examine(&bytes).unwrap().usage.used, 7);
    }
}

/// What is wrong with a database, as the error says it.
fn wrong(freelist: u64, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> String {
    let error = examine(&tree(freelist, change)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unproved, "{error}");
    error.message().to_owned()
}

#[test]
fn damage_to_the_graph_of_pages_is_said_with_its_place() {
    let no = NO_FREELIST;
    let long = |pages: &mut Vec<Vec<u8>>| pages[2] = put(revisions(4, &[2]), 12, &9_u32.to_le_bytes());
    let lists = |count, numbers: &'static [u64]| move |pages: &mut Vec<Vec<u8>>| pages.push(free(6, count, numbers));
    for (said, expected) in [
        (wrong(no, |pages| pages[1] = parent(3, &[(2, 4), (5, 4)])), "page 4 (byte 2048): is referred to twice"),
        (wrong(no, |pages| pages[1] = parent(3, &[(2, 3)])), "page 3 (byte 1536): is referred to twice"),
        (
            wrong(no, |pages| pages[1] = parent(3, &[(2, 99)])),
            "page 99 (byte 50688): refers to it, but there are only 6",
        ),
        (wrong(no, |pages| pages[3] = revisions(7, &[5])), "page 5 (byte 2560): says that it is page 7"),
        (wrong(no, |pages| pages[3] = vec![0; PAGE]), "page 5 (byte 2560): says that it is page 0"),
        (wrong(no, |pages| pages[3] = page(5, FREELIST, 0, 0, &[])), "neither a branch nor a leaf (flags 0x10)"),
        (wrong(no, |pages| pages[1] = page(3, BRANCH, 0, 0, &[])), "a branch of 512 bytes with 0 elements"),
        (wrong(no, long), "page 4 (byte 2048): goes on for 9 pages, beyond the end"),
        (wrong(6, lists(1, &[5])), "page 5 (byte 2560): is in use and on the list of free pages"),
        (wrong(6, lists(1, &[6])), "page 6 is free and holds this list"),
        (wrong(6, lists(2, &[0, 1])), "page 0 cannot be free"),
        (wrong(6, lists(100, &[])), "lists 100 free pages and has space for 62"),
        (wrong(6, lists(0xFFFF, &[u64::MAX])), "free pages and has space for 61"),
        (wrong(6, |pages| pages.extend([free(6, 2, &[7, 7]), vec![0; PAGE]])), "page 7 is free twice"),
        (wrong(6, |pages| pages.extend([free(6, 0, &[]), vec![0; PAGE]])), "page 7 (byte 3584): is neither in use nor"),
        (wrong(5, |_| {}), "not the list of free pages"),
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn damage_within_pages_is_said_with_its_place() {
    let no = NO_FREELIST;
    let at_byte = |place: usize, bytes: &[u8]| {
        let changed = put(revisions(4, &[2, 3, 4]), place, bytes);
        wrong(no, |pages| pages[2] = changed)
    };
    let root_with = |element: (u32, &[u8], Vec<u8>)| {
        let changed = page(2, LEAF, 2, 0, &leaf(&[(1, b"key", at(3)), element]));
        wrong(no, |pages| pages[0] = changed)
    };
    for (said, expected) in [
        (
            wrong(no, |pages| pages[2] = revisions(4, &[2, 4, 3])),
            "page 4 (byte 2048): the key of element 2 is not greater",
        ),
        (wrong(no, |pages| pages[2] = revisions(4, &[2, 2])), "the key of element 1 is not greater"),
        (
            wrong(no, |pages| pages[2] = revisions(4, &[1, 2])),
            "page 4 (byte 2048): the key of element 0 is not greater",
        ),
        (
            wrong(no, |pages| pages[2] = revisions(4, &[2, 5])),
            "page 3 (byte 1536): the key of element 1 is not greater",
        ),
        (at_byte(16, &[2]), "element 0 is of no known kind"),
        (at_byte(20, &[1]), "element 0 does not follow"),
        (at_byte(24, &[0]), "element 0 has a key of 0 bytes"),
        (at_byte(60, &[0xff; 4]), "element 2 ends beyond its page"),
        (at_byte(10, &[0xff; 2]), "an element lies beyond the end of its page"),
        (at_byte(16, &[1]), "a bucket within a bucket"),
        (at_byte(16 + 3 * 16 + 40 + 8, b"-"), "holds a key that is no revision"),
        (at_byte(16 + 3 * 16 + 17, &[0x0b]), "the value of a revision is damaged at its byte 0"),
        (at_byte(16 + 3 * 16 + 18, &[0x7f]), "the value of a revision ends early"),
        (root_with((0, b"meta", at(3))), "the root holds what is no bucket"),
        (root_with((1, b"meta", vec![0; 8])), "a bucket's value is too short"),
        (root_with((1, b"meta", vec![0; 20])), "an element lies beyond the end of its page"),
        (root_with((1, b"meto", inline(&[]))), "there is no bucket \"meta\""),
        (root_with((1, b"meta", inline(&[(0, b"storageVersion", b"new".to_vec())]))), "is no version"),
        (
            root_with((1, b"meta", inline(&[(0, b"finishedCompactRev", vec![1; 17])]))),
            "a compaction that is no revision",
        ),
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_tree_that_is_too_deep_ends() {
    let mut pages = vec![root()];
    pages.extend((3..100).map(|id| parent(id, &[(2, id + 1)])));
    pages.push(revisions(100, &[2]));
    let error = examine(&database(NO_FREELIST, &pages)).unwrap_err();
    assert!(error.message().contains("the tree is too deep"), "{error}");
    let bytes = database(NO_FREELIST, &pages);
    assert!(keyspace::glance(&Database::open(&bytes[..]).unwrap()).is_err());
}

#[test]
fn both_meta_pages_must_be_right_and_fit_the_file() {
    let whole = |metas: Vec<u8>| with_trailer([metas, root(), revisions(3, &[2])].concat());
    let good = metas(2, NO_FREELIST, 4);
    for (metas, expected) in [
        (put(good.clone(), 16, &[0]), "not a database of etcd"),
        (put(good.clone(), 40, &[3]), "page 0 (byte 0): the checksum of the meta page"),
        (put(good.clone(), PAGE + 40, &[3]), "page 1 (byte 512): the checksum of the meta page"),
        (put(good.clone(), PAGE, &[0]), "the header is not that of a meta page"),
        ([&good[..PAGE], &metas(3, NO_FREELIST, 4)[PAGE..]].concat(), "not of one snapshot"),
        (metas(2, NO_FREELIST, 5), "5 pages of 512 bytes and 32 of the trailer are not 2080 bytes"),
        (metas(2, NO_FREELIST, u64::MAX), "incomplete or has grown"),
        (metas(1, NO_FREELIST, 4), "there is no page 1 for the root bucket"),
        (metas(2, 4, 4), "there is no page 4 for the freelist"),
    ] {
        let error = examine(&whole(metas)).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
    assert_eq!(examine(&whole(good)).unwrap().keys, 1);
    assert!(Database::open(&with_trailer(vec![0; 512])[..]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damage_under_a_right_trailer_is_refused_or_read(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        listed in any::<bool>(),
    ) {
        let mut bytes = match listed {
            true => tree(6, |pages| pages.extend([free(6, 1, &[7]), vec![9; PAGE]])),
            false => tree(NO_FREELIST, |_| {}),
        };
        for (place, byte) in places {
            // behind the meta pages, whose checksums would hide the rest
            let place = 2 * PAGE + place.index(bytes.len() - 2 * PAGE - 32);
            bytes[place] = byte;
        }
        prove_again(&mut bytes);
        match examine(&bytes) {
            Ok(contents) => prop_assert_eq!(
                keyspace::glance(&Database::open(&bytes[..]).unwrap()).unwrap(), contents.glance
            ),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Unproved),
        }
        let _ = keyspace::glance(&Database::open(&bytes[..]).unwrap());
    }

    #[test]
    fn any_pages_under_right_metas_and_a_right_trailer_are_refused_or_read(
        mut pages in prop::collection::vec(any::<u8>(), 4 * PAGE..=4 * PAGE),
        root in 0_u64..8,
        freelist in 0_u64..8,
        flags in 0_u8..4,
    ) {
        // a header that leads on: otherwise all ends at the first page
        for (id, page) in pages.chunks_mut(PAGE).enumerate() {
            page[..10].copy_from_slice(&[2 + id as u8, 0, 0, 0, 0, 0, 0, 0, flags, 0]);
        }
        let bytes = with_trailer([metas(root, freelist, 6), pages].concat());
        if let Err(error) = examine(&bytes) {
            prop_assert_eq!(error.kind(), ErrorKind::Unproved);
        }
    }
}
