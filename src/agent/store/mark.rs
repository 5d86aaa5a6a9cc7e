//! The mark of our agent beside a file: a bucket keeps what belongs to an object with it, a volume in a file of its own.

use serde::{Deserialize, Serialize};

use crate::sha256::Hex;
use crate::snapshot::Proof;
use crate::snapshot::metadata::Metadata;

/// A mark is shorter.
pub(super) const MOST_BYTES: u64 = 64 * 1024;

/// The JSON of `meta/<name>.json`. It names the bytes that it is of: a file that somebody put there later, or a run
/// that was killed between the two, makes no foreign file ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(flatten)]
    metadata: Metadata,
    /// Bytes of the snapshot, trailer included.
    size: u64,
    /// The trailer, in hex.
    sha256: String,
}

impl Mark {
    /// The mark of a snapshot that was proved.
    pub(super) fn new(metadata: Metadata, proof: &Proof) -> Self {
        Self { metadata, size: proof.size, sha256: proof.sha256_hex() }
    }

    /// Its text.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a text; `None` when it is no mark.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// What is recorded with a file of `size` bytes that ends with `trailer`; `None` when the mark is of other bytes.
    pub(super) fn of(self, size: u64, trailer: &[u8]) -> Option<Metadata> {
        ((self.size, self.sha256) == (size, Hex(trailer).to_string())).then_some(self.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::metadata::KeyHash;

    fn sample() -> (Metadata, Proof) {
        let hash_kv = Some(KeyHash { revision: 15, compact_revision: -1, hash: 0xab });
        let metadata = Metadata {
            agent: "0.1.0".to_owned(),
            cluster_id: u64::MAX,
            member: 1,
            revision: 15,
            hash_kv,
            quorum: false,
        };
        (metadata, Proof { size: 544, sha256: [7; 32] })
    }

    #[test]
    fn reads_back_what_it_writes_for_the_same_bytes_only() {
        let (metadata, proof) = sample();
        let text = Mark::new(metadata.clone(), &proof).to_json();
        let read = || Mark::parse(text.as_bytes()).unwrap();
        assert_eq!(read().of(544, &[7; 32]), Some(metadata));
        assert_eq!((read().of(545, &[7; 32]), read().of(544, &[8; 32])), (None, None));
    }

    #[test]
    fn what_is_no_mark_is_none() {
        let (metadata, proof) = sample();
        let text = Mark::new(metadata, &proof).to_json();
        for broken in ["", "{}", "null", "[", &text[..text.len() - 1], &text.replace("\"size\":544,", "")] {
            assert_eq!(Mark::parse(broken.as_bytes()), None, "{broken}");
        }
    }
}
