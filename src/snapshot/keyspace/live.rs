//! How many keys exist, in bounded memory.
//!
//! Revisions come in their order, so a key exists when the last of its revisions is no deletion. Keys are known by a
//! hash of 64 bits, whose order nobody can choose. Where more than [`MOST`] exist at a time, only a share of the hashes
//! is counted in one pass, and further passes count the other shares.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::record;
use crate::error::Result;
use crate::snapshot::bolt::{ReadAt, Value};

/// Hashes at a time: their table takes 19 MiB, and half as much again while it grows.
const MOST: usize = (1 << 21) / 8 * 7;

pub(super) struct LiveKeys {
    state: RandomState,
    seen: HashSet<u64>,
    /// Shares less one, all its bits set; and the share of this pass.
    mask: u64,
    share: u64,
    most: usize,
}

impl LiveKeys {
    pub(super) fn new() -> Self {
        Self::of(MOST)
    }

    fn of(most: usize) -> Self {
        Self { state: RandomState::new(), seen: HashSet::new(), mask: 0, share: 0, most }
    }

    /// Takes the next revision.
    ///
    /// # Errors
    /// Those of its value.
    pub(super) fn see<R: ReadAt + ?Sized>(&mut self, deleted: bool, value: &mut Value<'_, '_, R>) -> Result<()> {
        let (mut at, mut length) = record::key_of(value)?;
        let mut hasher = self.state.build_hasher();
        while length > 0 {
            let bytes = value.get(at, length)?;
            hasher.write(bytes);
            let taken = bytes.len() as u64;
            (at, length) = (at + taken, length - taken);
        }
        self.enter(hasher.finish(), deleted);
        Ok(())
    }

    fn enter(&mut self, hash: u64, deleted: bool) {
        if hash & self.mask != self.share {
            return;
        }
        match deleted {
            true => self.seen.remove(&hash),
            false => self.seen.insert(hash),
        };
        // later passes have as many as the first one, so only that one chooses the shares
        while self.share == 0 && self.seen.len() > self.most {
            self.mask = self.mask << 1 | 1;
            let mask = self.mask;
            self.seen.retain(|hash| hash & mask == 0);
        }
    }

    /// Counts after the first pass; `pass` shows the same revisions again.
    ///
    /// # Errors
    /// Those of `pass`.
    pub(super) fn count(mut self, mut pass: impl FnMut(&mut Self) -> Result<()>) -> Result<u64> {
        let mut count = self.seen.len() as u64;
        while self.share < self.mask {
            self.share += 1;
            self.seen.clear();
            pass(&mut self)?;
            count += self.seen.len() as u64;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_give_the_count_of_the_whole() {
        let hashes: Vec<u64> = (0..10_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7).collect();
        let show = |live: &mut LiveKeys| {
            hashes.iter().for_each(|hash| live.enter(*hash, false));
            hashes.iter().step_by(3).for_each(|hash| live.enter(*hash, true));
        };
        for most in [7, 1000, 100_000] {
            let mut live = LiveKeys::of(most);
            show(&mut live);
            let count = live.count(|live| {
                show(live);
                assert!(live.seen.len() < 2 * most + 100, "{}", live.seen.len());
                Ok(())
            });
            assert_eq!(count, Ok(6666));
        }
    }
}
