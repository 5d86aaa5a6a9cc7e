//! The name of a stored snapshot: `<etcd version>_<revision, 16 hex digits>_etcd.backup`.
//!
//! Source: coreos/etcd-operator, pkg/backup/util/util.go at v0.6.1 (`MakeBackupName`, `GetLatestBackupName`).

use std::fmt;

use semver::Version;

const SUFFIX: &str = "etcd.backup";

/// A name of the etcd-operator lineage, taken apart.
///
/// Readers of that lineage accept a revision without its leading zeros, so the text that was read
/// is kept: it is the key in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotName {
    version: Version,
    revision: u64,
    text: String,
}

impl SnapshotName {
    /// The canonical name for a snapshot of an etcd `version` at `revision`.
    pub fn new(version: Version, revision: u64) -> Self {
        let text = format!("{version}_{revision:016x}_{SUFFIX}");
        Self { version, revision, text }
    }

    /// Takes a name apart; `None` for anything that is not a name of this form.
    ///
    /// The version must be a full semantic version and the revision a non-negative 64-bit signed
    /// number, as etcd's are; a name that passes is therefore safe to print and to use as a file name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '_');
        let (version, revision, suffix) = (parts.next()?, parts.next()?, parts.next()?);
        if suffix != SUFFIX || !(1..=16).contains(&revision.len()) {
            return None;
        }
        // from_str_radix would take a leading plus sign
        if !revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let revision = u64::from_str_radix(revision, 16).ok().filter(|&r| r <= i64::MAX as u64)?;
        Some(Self { version: Version::parse(version).ok()?, revision, text: text.to_owned() })
    }

    /// The version of the etcd member that the snapshot was taken from.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The etcd revision that was read just before the snapshot was taken.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The name as it stands in the store.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Ord for SnapshotName {
    /// By revision as a number, over all versions; the version only breaks ties.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.revision
            .cmp(&other.revision)
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for SnapshotName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> SnapshotName {
        SnapshotName::parse(text).unwrap_or_else(|| panic!("{text} is a name"))
    }

    #[test]
    fn reads_what_the_operator_writes() {
        let name = name("3.1.0_000000000000000f_etcd.backup");
        assert_eq!((name.version().to_string(), name.revision()), ("3.1.0".to_owned(), 15));
        assert_eq!(SnapshotName::new(Version::new(3, 1, 0), 15), name);
    }

    #[test]
    fn refuses_what_is_not_a_name() {
        let hostile = [
            "",
            "etcd.backup",
            "_etcd.backup",
            "3.1.0__etcd.backup",
            "3.0.1_18_etcd.tmp",
            "3.0.1_badbackup_etcd.backup",
            "3.1_000000000000000f_etcd.backup",
            "3.1.0_+f_etcd.backup",
            "3.1.0_-f_etcd.backup",
            "3.1.0_0x1_etcd.backup",
            "3.1.0_8000000000000000_etcd.backup",
            "3.1.0_00000000000000001_etcd.backup",
            "3.1.0_000000000000000f_etcd.backup.part",
            "3.1.0_000000000000000f_x_etcd.backup",
            "../3.1.0_000000000000000f_etcd.backup",
            "3.1.0\u{1b}[2J_000000000000000f_etcd.backup",
            "3.1.0\n_000000000000000f_etcd.backup",
        ];
        for text in hostile {
            assert_eq!(SnapshotName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn newest_is_the_greatest_revision_whatever_the_version() {
        let names = [
            name("3.9.0_0000000000000009_etcd.backup"),
            name("3.10.0_0000000000000002_etcd.backup"),
            name("3.0.0_1f_etcd.backup"),
        ];
        assert_eq!(names.iter().max().map(SnapshotName::revision), Some(0x1f));
        assert!(name("3.10.0_02_etcd.backup") > name("3.9.0_02_etcd.backup"));
    }

    proptest! {
        #[test]
        fn every_canonical_name_reads_back(major in 0u64..10, minor in 0u64..100, patch in 0u64..100, revision in 0..=i64::MAX as u64) {
            let made = SnapshotName::new(Version::new(major, minor, patch), revision);
            prop_assert_eq!(SnapshotName::parse(made.as_str()), Some(made));
        }

        #[test]
        fn any_text_is_read_without_a_panic_and_a_name_is_plain_text(text in any::<String>()) {
            if let Some(name) = SnapshotName::parse(&text) {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic() && b != b'/'));
            }
        }

        #[test]
        fn order_is_the_order_of_the_numbers(a in 0..=i64::MAX as u64, b in 0..=i64::MAX as u64) {
            let (x, y) = (SnapshotName::new(Version::new(3, 10, 0), a), SnapshotName::new(Version::new(3, 9, 0), b));
            if a != b {
                prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            }
        }
    }
}
