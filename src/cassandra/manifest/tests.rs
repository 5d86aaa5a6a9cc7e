use proptest::prelude::*;

use super::*;

const NODE: &str = "team/e-dc1-r1-0/";

fn named(layout: Layout, text: &str) -> Result<Vec<(String, Option<u64>)>, String> {
    let entries = parse(layout, NODE, "nightly", text.as_bytes())?;
    Ok(entries.into_iter().map(|entry| (entry.key.to_string(), entry.size)).collect())
}

fn some(named: &[(&str, u64)]) -> Vec<(String, Option<u64>)> {
    named.iter().map(|(key, size)| ((*key).to_owned(), Some(*size))).collect()
}

const TEXT: &str = "43 data/ks/t-1/1-2/na-1-big-Data.db\n0 data/ks/t-1/1-2/a b\n9 tokens/nightly-tokens.yaml\n";

const ESOP: &str = r#"{"snapshot": {"name": "nightly", "keyspaces": {
  "ks": {"tables": {"t": {"sstables": {"na-1-big": [
    {"objectKey": "data/ks/t-1/1-2/na-1-big-Data.db", "type": "FILE", "size": 43, "hash": "ab"},
    {"objectKey": "data/ks/t-1/1-2/na-1-big-TOC.txt", "type": "FILE", "size": 0}]}, "id": "1", "schemaContent": "x"}}},
  "size": {"tables": {"type": {"sstables": {}, "id": "2"}}},
  "old": {"tables": {"u": {"entries": [{"objectKey": "data/old/u-1/schema.cql", "type": "CQL_SCHEMA", "size": 5}]}}}}},
  "tokens": ["-1", "2"], "schemaVersion": "s",
  "manifest": {"objectKey": "manifests/nightly.json", "type": "MANIFEST_FILE", "size": 7}}"#;

const MEDUSA: &str = r#"[{"keyspace": "ks", "columnfamily": "t-1", "objects": [
  {"path": "team/e-dc1-r1-0/data/ks/t-1/nb-1-big-Data.db", "MD5": "x", "size": 43}]},
  {"keyspace": "ks", "columnfamily": "u-1", "objects": []}]"#;

#[test]
fn each_form_is_read() {
    let data = "data/ks/t-1/1-2/na-1-big-Data.db";
    let expected = some(&[(data, 43), ("data/ks/t-1/1-2/a b", 0), ("tokens/nightly-tokens.yaml", 9)]);
    assert_eq!(named(Layout::Elassandra, TEXT), Ok(expected));
    let expected = some(&[(data, 43), ("data/ks/t-1/1-2/na-1-big-TOC.txt", 0), ("data/old/u-1/schema.cql", 5)]);
    assert_eq!(named(Layout::Esop, ESOP), Ok(expected));
    let mut expected = some(&[("data/ks/t-1/nb-1-big-Data.db", 43)]);
    expected.extend([("nightly/meta/tokenmap.json".to_owned(), None), ("nightly/meta/schema.cql".to_owned(), None)]);
    assert_eq!(named(Layout::Medusa, MEDUSA), Ok(expected));
}

#[test]
fn what_is_no_whole_manifest_is_said() {
    let escapes = "it names a key outside of the node's directory";
    for (layout, text, says) in [
        (Layout::Elassandra, "", "tokens/nightly-tokens.yaml, its last line, is not in it"),
        (Layout::Elassandra, "1 data/a\n", "tokens/nightly-tokens.yaml, its last line, is not in it"),
        (Layout::Elassandra, "1 data/a\n12 data/b", "is cut: its last line has no end"),
        (Layout::Elassandra, "1 data/a\n-2 b\n", "line 2 of the manifest is no size and key"),
        (Layout::Elassandra, "1 data/a\n2\n", "line 2 of the manifest is no size and key"),
        (Layout::Elassandra, "1 ../other-dc1-r1-0/data/a\n", "line 1 of the manifest names a key outside"),
        (Layout::Elassandra, "1 /data/a\n", "names a key outside"),
        (Layout::Esop, "", "is cut: it ends in line 1, column 0"),
        (Layout::Esop, "{}", "has no snapshot"),
        (Layout::Esop, r#"{"snapshot": {}}"#, "has no tokens"),
        (Layout::Esop, r#"{"snapshot": {}, "tokens": ["1"]}"#, "names no object"),
        (Layout::Esop, r#"{"snapshot": [{"objectKey": "../a", "size": 1}], "tokens": ["1"]}"#, escapes),
        (Layout::Esop, r#"{"snapshot": [{"objectKey": "a"}], "tokens": ["1"]}"#, "\"a\" has no size"),
        (Layout::Esop, r#"{"snapshot": [{"objectKey": "a", "size": -1}], "tokens": ["1"]}"#, "\"a\" has no size"),
        (Layout::Esop, "[]", "expected an object with a snapshot"),
        (Layout::Medusa, "{}", "expected an array of sections"),
        (Layout::Medusa, "[]", "names no object"),
        (Layout::Medusa, "[] x", "not of the form"),
        (Layout::Medusa, r#"[{"objects": [{"path": "team/e-dc1-r1-00/data/a", "size": 1}]}]"#, escapes),
        (Layout::Medusa, r#"[{"objects": [{"path": "team/e-dc1-r1-0/", "size": 1}]}]"#, escapes),
        (Layout::Medusa, r#"[{"objects": [{"path": "team/e-dc1-r1-0/../x", "size": 1}]}]"#, escapes),
        (Layout::Medusa, &"[".repeat(100_000), "not of the form"),
    ] {
        let why = named(layout, text).unwrap_err();
        assert!(why.contains(says), "{text:.60}: {why}");
    }
}

#[test]
fn a_manifest_that_names_too_much_is_refused() {
    let mut many = "1 a\n".repeat(MOST_ENTRIES);
    many.push_str("1 tokens/nightly-tokens.yaml\n");
    assert_eq!(named(Layout::Elassandra, &many), Err("the manifest names more than 500000 objects".to_owned()));
}

#[test]
fn no_cut_passes_for_a_whole_manifest() {
    for (layout, whole) in [(Layout::Elassandra, TEXT), (Layout::Esop, ESOP), (Layout::Medusa, MEDUSA)] {
        for end in 0..whole.len() {
            assert!(named(layout, &whole[..end]).is_err(), "{layout:?}: {}", &whole[..end]);
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_or_name_keys_below_the_node(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for layout in [Layout::Elassandra, Layout::Esop, Layout::Medusa] {
            for entry in parse(layout, NODE, "nightly", &bytes).unwrap_or_default() {
                prop_assert!(is_relative(&entry.key));
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_leads_out_of_the_node(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for (layout, whole) in [(Layout::Elassandra, TEXT), (Layout::Esop, ESOP), (Layout::Medusa, MEDUSA)] {
            let mut bytes = whole.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for entry in parse(layout, NODE, "nightly", &bytes).unwrap_or_default() {
                prop_assert!(is_relative(&entry.key));
            }
        }
    }
}
