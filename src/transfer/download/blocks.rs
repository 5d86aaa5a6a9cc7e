//! Which parts of a file are there and which have to be fetched: arithmetic on blocks of 1 MiB.

use std::ops::Range;

/// Unit of what is written, recorded and verified on resuming.
pub(super) const BLOCK: u64 = 1 << 20;

/// Number of blocks of a file; the last one may be shorter.
pub(super) fn count(size: u64) -> u64 {
    size.div_ceil(BLOCK)
}

/// Bytes of a block.
pub(super) fn range(block: u64, size: u64) -> Range<u64> {
    let start = block * BLOCK;
    start.min(size)..(start + BLOCK).min(size)
}

/// Most blocks of a part of `bytes` that wait to be hashed: all of a part of usual size, so that it can be done
/// before its turn comes.
pub(super) fn held(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(BLOCK).clamp(1, 16)).unwrap_or(16)
}

/// A piece of the file, in the order of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// On the disk already, and verified.
    Here(Range<u64>),
    /// To be fetched with one request.
    Missing(Range<u64>),
}

/// Cuts a file of `size` bytes into pieces; `here` tells of each block whether it is there. Requests never
/// cross a multiple of `part` bytes, so that they agree with the parts of the upload if those have that size.
pub(super) fn pieces(size: u64, part: u64, here: impl Fn(u64) -> bool) -> Vec<Piece> {
    let part = part.max(BLOCK) / BLOCK * BLOCK;
    let mut pieces: Vec<Piece> = Vec::new();
    for block in 0..count(size) {
        let bytes = range(block, size);
        match (here(block), pieces.last_mut()) {
            (true, Some(Piece::Here(last))) => last.end = bytes.end,
            (true, _) => pieces.push(Piece::Here(bytes)),
            (false, Some(Piece::Missing(last))) if !bytes.start.is_multiple_of(part) => last.end = bytes.end,
            (false, _) => pieces.push(Piece::Missing(bytes)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn missing_blocks_are_joined_up_to_a_part() {
        let have = [true, false, false, false, false, true, true];
        let size = 6 * BLOCK + 5;
        let found = pieces(size, 2 * BLOCK, |block| have[block as usize]);
        let want = [
            Piece::Here(0..BLOCK),
            Piece::Missing(BLOCK..2 * BLOCK),
            Piece::Missing(2 * BLOCK..4 * BLOCK),
            Piece::Missing(4 * BLOCK..5 * BLOCK),
            Piece::Here(5 * BLOCK..size),
        ];
        assert_eq!(found, want);
        assert_eq!(pieces(0, BLOCK, |_| false), []);
    }

    proptest! {
        #[test]
        fn pieces_cover_each_byte_once(size in 0..40 * BLOCK, part in 1..9 * BLOCK, have: [bool; 41]) {
            let mut at = 0;
            for piece in pieces(size, part, |block| have[block as usize]) {
                let (Piece::Here(bytes) | Piece::Missing(bytes)) = &piece;
                prop_assert_eq!(bytes.start, at);
                prop_assert!(bytes.end > bytes.start);
                if let Piece::Missing(bytes) = &piece {
                    prop_assert!(bytes.end - bytes.start <= part.max(BLOCK));
                }
                at = bytes.end;
            }
            prop_assert_eq!(at, size);
        }
    }
}
