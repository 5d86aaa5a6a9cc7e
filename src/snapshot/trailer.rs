//! The proof of a snapshot's bytes: etcd appends the sha256 of the database to it.
//!
//! Source: etcd-io/etcd, server/etcdserver/api/v3rpc/maintenance.go (`Snapshot`) and
//! etcdutl/snapshot/v3_snapshot.go (`hasChecksum`: `n % 512 == 32`), v3.5.

use crate::error::{Error, Result};
use crate::sha256::{Hex, Sha256};

/// Bytes of the sha256 at the end of a snapshot.
pub const TRAILER_BYTES: u64 = 32;

/// bbolt databases are a multiple of this many bytes (etcdutl's rule; pages are at least 4 KiB).
const BLOCK_BYTES: u64 = 512;

/// Whether a snapshot of `size` bytes can have a trailer.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when it is empty or cannot.
pub fn check_size(size: u64) -> Result<()> {
    if size == 0 {
        return Err(Error::unproved("snapshot is empty"));
    }
    let rest = size % BLOCK_BYTES;
    if rest == TRAILER_BYTES && size >= BLOCK_BYTES {
        return Ok(());
    }
    let sentence =
        format!("snapshot has no sha256 trailer (size {size} % {BLOCK_BYTES} = {rest}, not {TRAILER_BYTES})");
    Err(Error::unproved(sentence).hint("cut short, or copied from a data directory? Such a file cannot be proved"))
}

/// A snapshot whose trailer matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Bytes of the whole snapshot, trailer included.
    pub size: u64,
    /// The sha256 of the database, which is also the snapshot's last 32 bytes.
    pub sha256: [u8; 32],
}

impl Proof {
    /// The sha256 in lower-case hex.
    pub fn sha256_hex(&self) -> String {
        Hex(&self.sha256).to_string()
    }
}

/// Hashes a snapshot while it passes, holding back the last 32 bytes that it has seen.
#[derive(Default)]
pub struct TrailerHasher {
    sha: Sha256,
    held: [u8; TRAILER_BYTES as usize],
    size: u64,
}

impl TrailerHasher {
    /// Takes the next bytes of the snapshot.
    pub fn update(&mut self, chunk: &[u8]) {
        const TRAILER: usize = TRAILER_BYTES as usize;
        let held = (self.size as usize).min(TRAILER);
        self.size += chunk.len() as u64;
        // so many of the held bytes turn out not to be the trailer
        let released = (held + chunk.len()).saturating_sub(TRAILER);
        let from_held = released.min(held);
        let from_chunk = released - from_held;
        self.sha.update(&self.held[..from_held]);
        self.sha.update(&chunk[..from_chunk]);
        self.held.copy_within(from_held..held, 0);
        let kept = held - from_held;
        let rest = &chunk[from_chunk..];
        self.held[kept..kept + rest.len()].copy_from_slice(rest);
    }

    /// Bytes seen so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Compares the trailer with the hash of what came before it.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when the snapshot is empty, has no
    /// trailer by its size, or has another one than its bytes ask for.
    pub fn finish(self) -> Result<Proof> {
        check_size(self.size)?;
        let sha256 = self.sha.finish();
        if sha256 != self.held {
            return Err(Error::unproved(format!(
                "sha256 mismatch: trailer {}, computed {}",
                Hex(&self.held),
                Hex(&sha256)
            )));
        }
        Ok(Proof { size: self.size, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn snapshot(blocks: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..blocks * 512).map(|i| (i * 31 % 251) as u8).collect();
        let sha = Sha256::of(&bytes);
        bytes.extend_from_slice(&sha);
        bytes
    }

    fn prove(bytes: &[u8], chunk: usize) -> Result<Proof> {
        let mut hasher = TrailerHasher::default();
        bytes.chunks(chunk.max(1)).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    #[test]
    fn empty_short_and_trailerless_are_refused() {
        for (bytes, text) in [
            (Vec::new(), "snapshot is empty"),
            (vec![0; 32], "no sha256 trailer"),
            (vec![7; 1024], "no sha256 trailer"),
            (snapshot(2)[..1000].to_vec(), "no sha256 trailer"),
            (vec![0; 544], "sha256 mismatch"),
        ] {
            let error = prove(&bytes, 100).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unproved);
            assert!(error.message().contains(text), "{}", error.message());
        }
    }

    proptest! {
        #[test]
        fn proof_does_not_depend_on_how_the_bytes_are_cut(blocks in 1usize..12, chunk in 1usize..2000) {
            let bytes = snapshot(blocks);
            let proof = prove(&bytes, chunk).unwrap();
            prop_assert_eq!(proof.size, bytes.len() as u64);
            prop_assert_eq!(&proof.sha256[..], &bytes[bytes.len() - 32..]);
        }

        #[test]
        fn one_flipped_bit_is_always_seen(blocks in 1usize..8, at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = snapshot(blocks);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(prove(&bytes, 333).is_err());
        }
    }
}
