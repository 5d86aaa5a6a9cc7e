//! The manifests: which objects make up the backup of a node. They are read as hostile bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::entries::Entry;
use super::layout::{Layout, is_relative};

/// Most bytes of a manifest: about 200,000 objects in the longest form, esop's.
pub const MOST_BYTES: usize = 64 << 20;

/// Most objects that a manifest may name.
pub const MOST_ENTRIES: usize = 500_000;

/// The tokens of a tag, below the directory of a node in the layout [`Layout::Elassandra`].
pub fn tokens_key(tag: &str) -> String {
    format!("tokens/{tag}-tokens.yaml")
}

/// The objects that a manifest names, and those that belong to it whatever it says, below the node's `directory`.
///
/// # Errors
/// A sentence about why it is no manifest, or not a whole one.
pub fn parse(layout: Layout, directory: &str, tag: &str, bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let entries = match layout {
        Layout::Elassandra => text(tag, bytes),
        Layout::Esop => esop(bytes),
        Layout::Medusa => medusa(directory, tag, bytes),
    }?;
    match entries.is_empty() {
        true => Err("the manifest names no object".to_owned()),
        false => Ok(entries),
    }
}

/// Lines of `SIZE KEY`. The writer ends each with a line break, and the tokens are the last one, so a manifest that was
/// cut shows it.
fn text(tag: &str, bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the manifest is not text".to_owned())?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the manifest is cut: its last line has no end".to_owned());
    }
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let of_form = line.split_once(' ').and_then(|(size, key)| Some((size.parse().ok()?, key)));
        let (size, key) = of_form.ok_or_else(|| format!("line {number} of the manifest is no size and key"))?;
        check(key).map_err(|why| format!("line {number} of the manifest {why}"))?;
        full(&entries)?;
        entries.push(Entry::new(key, Some(size)));
    }
    let tokens = tokens_key(tag);
    match entries.iter().any(|entry| *entry.key == *tokens) {
        true => Ok(entries),
        false => Err(format!("the manifest is cut: {tokens}, its last line, is not in it")),
    }
}

fn check(key: &str) -> Result<(), String> {
    match is_relative(key) {
        true => Ok(()),
        false => Err(format!("names a key outside of the node's directory: {:?}", shortened(key))),
    }
}

fn full(entries: &[Entry]) -> Result<(), String> {
    match entries.len() < MOST_ENTRIES {
        true => Ok(()),
        false => Err(format!("the manifest names more than {MOST_ENTRIES} objects")),
    }
}

fn shortened(key: &str) -> String {
    key.chars().take(80).collect()
}

/// `snapshot.keyspaces.KS.tables.T.sstables.S[]{objectKey, size, type}`, before version 2 `….T.entries[]`, and `tokens`.
fn esop(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let found: Esop = json(bytes, EsopVisitor)?;
    match (found.entries, found.tokens) {
        (None, _) => Err("the manifest has no snapshot".to_owned()),
        (_, 0) => Err("the manifest has no tokens".to_owned()),
        (Some(entries), _) => Ok(entries),
    }
}

/// Sections of `{keyspace, columnfamily, objects[]{path, size, MD5}}`; paths are whole keys, prefix and all.
fn medusa(directory: &str, tag: &str, bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries = json(bytes, MedusaVisitor { directory })?;
    if !entries.is_empty() {
        // written before the manifest, and a restore needs them
        entries.extend(["tokenmap.json", "schema.cql"].map(|name| Entry::new(&format!("{tag}/meta/{name}"), None)));
    }
    Ok(entries)
}

/// Files that Cassandra writes anew beside immutable data, so that a shared object may be newer than the manifest.
/// Source: thelastpickle/cassandra-medusa, medusa/verify.py (`validate_manifest`).
pub fn may_change(layout: Layout, key: &str) -> bool {
    layout == Layout::Medusa && (key.ends_with("-Statistics.db") || key.ends_with("-Summary.db"))
}

fn json<'de, V: Visitor<'de>>(bytes: &'de [u8], visitor: V) -> Result<V::Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = deserializer.deserialize_any(visitor).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| match error.is_eof() {
        true => format!("the manifest is cut: it ends in line {}, column {}", error.line(), error.column()),
        false => format!("the manifest is not of the form: {error}"),
    })
}

struct Esop {
    entries: Option<Vec<Entry>>,
    tokens: usize,
}

struct EsopVisitor;

impl<'de> Visitor<'de> for EsopVisitor {
    type Value = Esop;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a snapshot and tokens")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Esop, A::Error> {
        let mut found = Esop { entries: None, tokens: 0 };
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "snapshot" => {
                    let mut entries = Vec::new();
                    let walk = Walk { key: "objectKey", below: None, entries: &mut entries };
                    map.next_value_seed(walk)?;
                    found.entries = Some(entries);
                }
                // an element of it takes no memory
                "tokens" => found.tokens = map.next_value::<Option<Vec<IgnoredAny>>>()?.map_or(0, |all| all.len()),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

struct MedusaVisitor<'a> {
    directory: &'a str,
}

impl<'de> Visitor<'de> for MedusaVisitor<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of sections with objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sections: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        let mut walk = Walk { key: "path", below: Some(self.directory), entries: &mut entries };
        while sections.next_element_seed(walk.deeper())?.is_some() {}
        Ok(entries)
    }
}

/// Collects the objects with a key and a size, however deep they lie, and keeps nothing else.
struct Walk<'a> {
    /// The name of the field with the key.
    key: &'static str,
    /// The directory that keys begin with, where they are whole ones.
    below: Option<&'a str>,
    entries: &'a mut Vec<Entry>,
}

impl Walk<'_> {
    fn deeper(&mut self) -> Walk<'_> {
        Walk { key: self.key, below: self.below, entries: self.entries }
    }

    fn take(&mut self, key: &str, size: Option<u64>) -> Result<(), String> {
        let size = size.ok_or_else(|| format!("{:?} has no size", shortened(key)))?;
        let own = match self.below {
            Some(directory) => key.strip_prefix(directory).unwrap_or_default(),
            None => key,
        };
        check(own).map_err(|_| format!("it names a key outside of the node's directory: {:?}", shortened(key)))?;
        full(self.entries)?;
        self.entries.push(Entry::new(own, Some(size)));
        Ok(())
    }
}

/// A value that may be a part of an entry; a keyspace, too, may be called `size`.
enum Leaf {
    Text(String),
    Number(u64),
    Other,
}

impl Leaf {
    fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Leaf;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Leaf, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Leaf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Leaf, A::Error> {
        let (mut key, mut size, mut own) = (None, None, false);
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.deeper())?;
            match (name.as_str(), value) {
                ("size", Leaf::Number(bytes)) => size = Some(bytes),
                // the manifest's entry for itself
                ("type", value) => own = value.text().as_deref() == Some("MANIFEST_FILE"),
                (name, value) if name == self.key => key = value.text(),
                _ => {}
            }
        }
        match key {
            Some(key) if !own => self.take(&key, size).map_err(A::Error::custom)?,
            _ => {}
        }
        Ok(Leaf::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Leaf, A::Error> {
        while all.next_element_seed(self.deeper())?.is_some() {}
        Ok(Leaf::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Leaf, E> {
        Ok(Leaf::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Leaf, E> {
        Ok(Leaf::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Leaf, E> {
        Ok(Leaf::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Leaf, E> {
        Ok(Leaf::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Leaf, E> {
        Ok(Leaf::Other)
    }

    fn visit_unit<E>(self) -> Result<Leaf, E> {
        Ok(Leaf::Other)
    }
}

#[cfg(test)]
mod tests;
