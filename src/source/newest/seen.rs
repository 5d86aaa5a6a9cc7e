//! What was read of a directory, and where a greater revision could still stand.

use std::collections::BTreeMap;

use semver::Version;

use crate::aws::s3::Object;
use crate::snapshot::{History, SnapshotName};
use crate::source::{StoredSnapshot, suits};

/// Above any revision: etcd's are signed 64-bit numbers.
pub const NO_LIMIT: u64 = 1 << 63;

/// Foreign keys that are kept.
const MOST_FOREIGN: usize = 100;

/// Which snapshot is looked for: the greatest that this allows.
#[derive(Debug, Clone, Copy)]
pub struct Goal<'a> {
    /// Only revisions below it count.
    pub below: u64,
    /// Only what can start this etcd counts.
    pub etcd: Option<&'a Version>,
}

impl Goal<'_> {
    /// Whether snapshots of this version can count.
    pub fn takes_version(&self, version: &str) -> bool {
        self.etcd.is_none_or(|etcd| Version::parse(version).is_ok_and(|version| suits(etcd, &version)))
    }

    fn takes(&self, name: &SnapshotName) -> bool {
        name.revision() < self.below && self.etcd.is_none_or(|etcd| suits(etcd, name.version()))
    }
}

/// What was read.
#[derive(Debug)]
pub struct Seen {
    history: History,
    snapshots: BTreeMap<SnapshotName, StoredSnapshot>,
    pub foreign: Vec<String>,
    /// Stretches of which every key was read: after the first name, through the second or to the end.
    covered: Vec<(String, Option<String>)>,
}

impl Seen {
    pub fn new(history: History) -> Self {
        Self { history, snapshots: BTreeMap::new(), foreign: Vec::new(), covered: Vec::new() }
    }

    /// Takes in an object whose key without the directory is `name`.
    pub fn add(&mut self, name: &str, object: Object) {
        if name.is_empty() || name.contains('/') {
            return;
        }
        let Some(name) = SnapshotName::parse(name) else {
            if self.foreign.len() < MOST_FOREIGN && !self.foreign.contains(&object.key) {
                self.foreign.push(object.key);
            }
            return;
        };
        let snapshot = StoredSnapshot {
            name: name.clone(),
            history: self.history.clone(),
            location: object.key,
            size: Some(object.size),
            etag: object.etag,
            modified: object.modified,
        };
        self.snapshots.insert(name, snapshot);
    }

    /// Notes that every key after `after` was read, through `through` or to the end.
    pub fn cover(&mut self, after: &str, through: Option<&str>) {
        let through = through.map(str::to_owned);
        match self.covered.iter_mut().find(|(_, end)| end.as_deref() == Some(after)) {
            Some((_, end)) => *end = through,
            None => self.covered.push((after.to_owned(), through)),
        }
    }

    /// The greatest snapshot that the goal allows.
    pub fn best(&self, goal: &Goal<'_>) -> Option<&StoredSnapshot> {
        self.snapshots.values().rev().find(|snapshot| goal.takes(&snapshot.name))
    }

    /// A place after which an unread name of `version` could be greater than the best; `None` when every such name was
    /// read. The stretch that is most likely to have it comes first with `end_first`. At or above the goal's limit
    /// everything is taken for read.
    pub fn gap(&self, version: &str, goal: &Goal<'_>, end_first: bool) -> Option<String> {
        let Some(best) = self.best(goal) else {
            return self.unread(format!("{version}_/"), &format!("{version}_g"));
        };
        let best = best.name.revision();
        let end = || self.tail_gap(version, best);
        if end_first {
            end().or_else(|| self.capital_gap(version, best))
        } else {
            self.capital_gap(version, best).or_else(end)
        }
    }

    /// A place after which an unread name of `version` sorts after that of `revision`.
    ///
    /// A name without all its leading zeros sorts after every full one of a smaller revision, because its first digit
    /// other than zero stands further left; so it is found here, too.
    pub fn tail_gap(&self, version: &str, revision: u64) -> Option<String> {
        self.unread(format!("{version}_{revision:016x}`"), &format!("{version}_g"))
    }

    /// A place after which a greater name in capital digits could stand. It sorts before the name of `revision` only
    /// where it has a capital letter in the place of a small one, and all digits before are the same.
    fn capital_gap(&self, version: &str, revision: u64) -> Option<String> {
        let digits = format!("{revision:016x}");
        let letters = digits.bytes().enumerate().filter(|(_, digit)| digit.is_ascii_lowercase());
        letters.map(|(at, _)| format!("{version}_{}", digits.get(..at).unwrap_or_default())).find_map(|same| {
            // no whole name is as short as these bounds
            self.unread(format!("{same}A"), &format!("{same}G"))
        })
    }

    /// The first place between two names after which it is not known what comes.
    fn unread(&self, from: String, to: &str) -> Option<String> {
        let mut at = from;
        while at.as_str() < to {
            let known = self
                .covered
                .iter()
                .find(|(after, through)| *after <= at && through.as_ref().is_none_or(|through| *through > at));
            match known {
                Some((_, Some(through))) => at.clone_from(through),
                Some((_, None)) => return None,
                None => return Some(at),
            }
        }
        None
    }
}

/// The revision of a name of `version` that sorts by its revision: all 16 digits, small letters.
pub fn canonical(name: &str, version: &str) -> Option<u64> {
    let digits = name.strip_prefix(version)?.strip_prefix('_')?.get(..16)?;
    let revision = SnapshotName::parse(name)?.revision();
    (format!("{revision:016x}") == digits).then_some(revision)
}

/// Whether a name lies where those of `version` do.
pub fn of_version(name: &str, version: &str) -> bool {
    let rest = name.strip_prefix(version).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest < "g")
}
