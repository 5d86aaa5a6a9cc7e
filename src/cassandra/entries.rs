//! The objects that a manifest names, and which of them a listing showed.

/// An object that has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key below the node's directory.
    pub key: Box<str>,
    /// Bytes; none where the manifest does not tell.
    pub size: Option<u64>,
}

impl Entry {
    /// An entry.
    pub fn new(key: &str, size: Option<u64>) -> Self {
        Self { key: key.into(), size }
    }
}

/// What was seen of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Whole,
    /// It is there with so many bytes, which are not those of the manifest.
    OtherSize(u64),
}

/// The entries of one manifest, checked off in whatever order a listing comes.
#[derive(Debug)]
pub struct Entries {
    sorted: Vec<(Entry, Seen)>,
}

/// What is wrong with the objects of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrong {
    pub missing: usize,
    pub other_size: usize,
    /// Objects of another size that Cassandra writes anew while it runs; they do not make a backup incomplete.
    pub rewritten: usize,
    /// The first key that is missing or has another size, and what is wrong with it.
    pub first: Option<(String, String)>,
}

impl Entries {
    /// The entries of a manifest; what it names twice counts once.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| (&a.key, a.size).cmp(&(&b.key, b.size)));
        entries.dedup();
        Self { sorted: entries.into_iter().map(|entry| (entry, Seen::Nothing)).collect() }
    }

    /// How many objects there have to be.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.sorted.iter().filter_map(|(entry, _)| entry.size).fold(0, u64::saturating_add)
    }

    /// Checks off an object that was listed.
    pub fn see(&mut self, key: &str, size: u64) {
        let from = self.sorted.partition_point(|(entry, _)| &*entry.key < key);
        for (entry, seen) in self.sorted.iter_mut().skip(from).take_while(|(entry, _)| &*entry.key == key) {
            *seen = match entry.size {
                Some(wanted) if wanted != size => Seen::OtherSize(size),
                _ => Seen::Whole,
            };
        }
    }

    /// Whether all of them lie below a prefix.
    pub fn all_below(&self, prefix: &str) -> bool {
        self.sorted.iter().all(|(entry, _)| entry.key.starts_with(prefix))
    }

    /// What is wrong after everything was listed; `may_change` says which files Cassandra writes anew.
    pub fn wrong(&self, may_change: impl Fn(&str) -> bool) -> Wrong {
        let mut wrong = Wrong::default();
        for (entry, seen) in &self.sorted {
            let what = match (seen, entry.size) {
                (Seen::Whole, _) => continue,
                (Seen::OtherSize(_), _) if may_change(&entry.key) => {
                    wrong.rewritten += 1;
                    continue;
                }
                (Seen::OtherSize(is), Some(wanted)) => {
                    wrong.other_size += 1;
                    format!("has {is} bytes, not the {wanted} of the manifest")
                }
                _ => {
                    wrong.missing += 1;
                    "is missing".to_owned()
                }
            };
            wrong.first.get_or_insert_with(|| (entry.key.to_string(), what));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(named: &[(&str, u64)]) -> Entries {
        Entries::new(named.iter().map(|(key, size)| Entry::new(key, Some(*size))).collect())
    }

    #[test]
    fn the_first_object_that_is_missing_or_has_another_size_is_named() {
        let mut named = entries(&[("data/c", 3), ("data/a", 1), ("data/b", 2), ("data/b", 2)]);
        assert_eq!((named.len(), named.bytes()), (3, 6));
        assert_eq!(named.wrong(|_| false).first, Some(("data/a".to_owned(), "is missing".to_owned())));
        for (key, size) in [("data/c", 3), ("data/bb", 9), ("data/b", 4), ("data/a", 1)] {
            named.see(key, size);
        }
        let wrong = named.wrong(|_| false);
        let first = ("data/b".to_owned(), "has 4 bytes, not the 2 of the manifest".to_owned());
        assert_eq!(wrong, Wrong { other_size: 1, first: Some(first), ..Wrong::default() });
        assert_eq!(named.wrong(|key| key == "data/b"), Wrong { rewritten: 1, ..Wrong::default() });
        assert!(named.all_below("data/") && !named.all_below("data/a"));
    }

    proptest! {
        #[test]
        fn whatever_is_left_out_of_a_listing_in_any_order_is_missed(
            keys in proptest::collection::btree_set("[a-c/]{1,6}", 1..30),
            left_out in any::<prop::sample::Index>(),
            shuffled in any::<u64>(),
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let mut named = entries(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
            let left_out = left_out.get(&keys).clone();
            let mut listed = keys.clone();
            fastrand::Rng::with_seed(shuffled).shuffle(&mut listed);
            listed.iter().filter(|key| **key != left_out).for_each(|key| named.see(key, 1));
            let wrong = named.wrong(|_| false);
            prop_assert_eq!((wrong.missing, wrong.first.map(|(key, _)| key)), (1, Some(left_out)));
        }
    }
}
