//! SHA-256 by the library that TLS uses: it has fast code also for processors without instructions for this hash,
//! where the portable code of the `sha2` crate takes about twice the time.

use std::fmt;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// A SHA-256 that grows with each piece.
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256 {
    /// The hash of bytes that are all there.
    pub fn of(bytes: &[u8]) -> [u8; 32] {
        array(&digest(&SHA256, bytes))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes that were taken.
    pub fn finish(self) -> [u8; 32] {
        array(&self.0.finish())
    }
}

/// Lower-case hex of bytes.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn array(digest: &Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha_256_however_the_bytes_are_cut() {
        // FIPS 180-2, appendix B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hex(&Sha256::of(b"abc")).to_string(), abc);
        let mut cut = Sha256::default();
        cut.update(b"a");
        cut.update(b"bc");
        assert_eq!(cut.finish(), Sha256::of(b"abc"));
    }
}
