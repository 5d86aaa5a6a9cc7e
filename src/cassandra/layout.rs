//! How the tools that back up Cassandra name what they store.
//!
//! Sources: strapdata/elassandra-operator at cccbc770, java/backup (`BackupTask`, `StorageInteractor`), which is that
//! of instaclustr/cassandra-operator in Java; instaclustr/esop, README.adoc and `BaseBackupOperationCoordinator`;
//! thelastpickle/cassandra-medusa, docs/design.md and medusa/storage/node_backup.py.

use serde::Serialize;

/// Whose names they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Layout {
    /// `CLUSTERID/POD/manifests/TAG`, lines of text: Elassandra's sidecar, and instaclustr's before esop.
    Elassandra,
    /// `CLUSTER/DC/HOSTID/manifests/TAG-SCHEMA-MILLISECONDS.json`: instaclustr's esop and Icarus.
    Esop,
    /// `POD/TAG/meta/manifest.json`: Medusa, as K8ssandra runs it.
    Medusa,
}

impl Layout {
    /// The name as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elassandra => "Elassandra",
            Self::Esop => "Esop",
            Self::Medusa => "Medusa",
        }
    }
}

/// Where a bucket's backups of Cassandra are, and which of them are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Key prefix: empty, or with a slash at its end.
    pub prefix: String,
    /// Name of the Cassandra cluster, or of its directory.
    pub cluster: Option<String>,
    /// Name of the datacenter.
    pub datacenter: Option<String>,
}

/// Most bytes of a key (Amazon S3 User Guide, "Naming Amazon S3 objects").
const MOST_KEY_BYTES: usize = 1024;

/// Whether a key that stands in a manifest stays below the directory that it is relative to.
pub fn is_relative(key: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control);
    key.len() <= MOST_KEY_BYTES && key.split('/').all(is_name)
}

/// Whether a name is that of one file or directory.
pub fn is_name(name: &str) -> bool {
    !name.contains('/') && is_relative(name)
}

/// The name of an esop manifest, without `.json`: each run of a tag has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'a> {
    pub tag: &'a str,
    /// The tag with the version of the schema.
    of_schema: &'a str,
    /// When it was taken, in milliseconds since 1970.
    pub millis: i64,
}

impl<'a> Run<'a> {
    /// `TAG-SCHEMA-MILLISECONDS`; tags may hold dashes, so it is read from its end.
    pub fn parse(stem: &'a str) -> Option<Self> {
        let (of_schema, millis) = stem.rsplit_once('-')?;
        let at = of_schema.len().checked_sub(UUID)?;
        let (tag, schema) = (of_schema.get(..at)?, of_schema.get(at..)?);
        let tag = tag.strip_suffix('-').filter(|tag| !tag.is_empty())?;
        let digits = millis.len() <= 18 && millis.bytes().all(|byte| byte.is_ascii_digit());
        (digits && is_uuid(schema)).then_some(Self { tag, of_schema, millis: millis.parse().ok()? })
    }

    /// Whether `wanted` names this run: a tag, a tag with its schema, or all of it, as esop's `--snapshot-tag`.
    pub fn is(&self, wanted: &str) -> bool {
        self.tag == wanted || self.of_schema == wanted || format!("{}-{}", self.of_schema, self.millis) == wanted
    }
}

const UUID: usize = 36;

/// Whether this is a host id or a schema version.
pub fn is_uuid(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() == UUID
        && text.bytes().enumerate().all(|(at, b)| if dash(at) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// The pods whose ordinals are missing between 0 and the greatest of their rack: a StatefulSet has no gaps.
pub fn gaps(pods: &[String]) -> Vec<String> {
    let parts = pods.iter().filter_map(|pod| {
        let (rack, ordinal) = pod.rsplit_once('-')?;
        let number: usize = ordinal.parse().ok()?;
        // 01 is no ordinal, and a number without end is no rack
        (number.to_string() == ordinal && number < MOST_PODS).then_some((rack, number))
    });
    let mut greatest = std::collections::BTreeMap::new();
    parts.for_each(|(rack, number)| {
        let most = greatest.entry(rack).or_insert(number);
        *most = number.max(*most);
    });
    let all = greatest.into_iter().flat_map(|(rack, most)| (0..most).map(move |number| format!("{rack}-{number}")));
    all.filter(|pod| !pods.contains(pod)).collect()
}

/// Most pods of a rack that are thought possible.
const MOST_PODS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_manifest_stay_below_their_directory() {
        assert!(is_relative("data/ks/t-1/1-2/na-1-big-Data.db") && is_name("a.b c") && !is_name("a/b"));
        for bad in ["", "/a", "a/", "a//b", "../b", "a/../../b", "a/./b", "a\nb"] {
            assert!(!is_relative(bad), "{bad:?}");
        }
        assert!(!is_relative(&"a".repeat(1025)));
    }

    #[test]
    fn a_run_is_read_from_its_end() {
        let schema = "f1159959-593d-33d1-9ade-712ea55b31ef";
        let stem = format!("nightly-2-{schema}-1600645759830");
        let run = Run::parse(&stem).unwrap();
        assert_eq!((run.tag, run.millis), ("nightly-2", 1_600_645_759_830));
        for (wanted, is) in [
            ("nightly-2", true),
            ("nightly", false),
            (format!("nightly-2-{schema}").as_str(), true),
            (stem.as_str(), true),
            ("nightly-2-f1159959", false),
        ] {
            assert_eq!(run.is(wanted), is, "{wanted}");
        }
        for bad in ["", "nightly", "-1", &format!("{schema}-1"), &format!("-{schema}-1"), &format!("ä{schema}-x")] {
            assert_eq!(Run::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_rack_has_no_gaps() {
        let pods = ["e-dc1-r1-0", "e-dc1-r1-3", "e-dc1-r2-1", "other", "x-01", "y-99999999"].map(str::to_owned);
        assert_eq!(gaps(&pods), ["e-dc1-r1-1", "e-dc1-r1-2", "e-dc1-r2-0"]);
        assert!(gaps(&["e-dc1-r1-0".to_owned()]).is_empty());
    }
}
