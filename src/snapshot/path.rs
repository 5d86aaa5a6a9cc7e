//! The key of a periodic snapshot whose place is a path: `<path>_v<revision>_<YYYY-MM-DD-HH:MM:SS>`, in UTC.
//!
//! Source: coreos/etcd-operator, pkg/backup/backup_manager.go at v0.9.4 (`SaveSnap`); the revision is decimal.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const TIME: &str = "%Y-%m-%d-%H:%M:%S";

/// What such a key says besides its path. Ordered by time, then by revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathName {
    /// When the snapshot was taken, in whole seconds.
    pub time: Timestamp,
    /// The etcd revision that was read just before.
    pub revision: u64,
}

impl PathName {
    /// The key below `path`, in which no character has a meaning.
    pub fn key(&self, path: &str) -> String {
        format!("{path}_v{}_{}", self.revision, self.time.strftime(TIME))
    }

    /// Takes a key apart; `None` for a sibling that only shares the prefix, and for other spellings.
    pub fn parse(path: &str, key: &str) -> Option<Self> {
        let (revision, time) = key.strip_prefix(path)?.strip_prefix("_v")?.split_once('_')?;
        let revision = revision.parse().ok().filter(|&revision: &u64| revision <= i64::MAX as u64)?;
        let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let name = Self { time, revision };
        (name.key(path) == key).then_some(name)
    }

    /// Takes apart the key of a path that is not known.
    pub fn of(key: &str) -> Option<Self> {
        Self::parse(key.rsplit_once("_v")?.0, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes_also_below_an_odd_path() {
        let name = PathName { time: "2019-02-27T10:00:00Z".parse().unwrap(), revision: 42 };
        assert_eq!(name.key("etcd.backup"), "etcd.backup_v42_2019-02-27-10:00:00");
        for path in ["a/etcd.backup", "100%s/%d_v1_", "ä ö"] {
            assert_eq!(PathName::parse(path, &name.key(path)), Some(name), "{path}");
            assert_eq!(PathName::of(&name.key(path)), Some(name), "{path}");
        }
    }

    #[test]
    fn siblings_and_other_spellings_are_none() {
        for other in [
            "p",
            "p2_v1_2026-01-01-10:00:00",
            "p_v01_2026-01-01-10:00:00",
            "p_v+1_2026-01-01-10:00:00",
            "p_v9223372036854775808_2026-01-01-10:00:00",
            "p_v1_2026-13-01-10:00:00",
            "p_v1_2026-01-01-10:00:00.gz",
            "p_v1_2026-1-1-10:00:00",
        ] {
            assert_eq!(PathName::parse("p", other), None, "{other}");
        }
        for other in ["p", "p_v1", "p_v01_2026-01-01-10:00:00", "p_v1_2026-01-01-10:00:00.gz"] {
            assert_eq!(PathName::of(other), None, "{other}");
        }
    }
}
