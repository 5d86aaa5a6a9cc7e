//! The whole proof of a snapshot: its size, its trailer, and the database in it.

use super::bolt::{Database, ReadAt};
use super::keyspace::{self, Contents};
use super::trailer::{Proof, TrailerHasher, check_size};
use crate::error::{Error, Result};

/// Bytes that are hashed at a time.
const BLOCK: usize = 1 << 20;

/// What each step of the proof found. Later steps are taken even if an earlier one failed, because they may say where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub size: Result<()>,
    /// `None` where the size forbids a trailer.
    pub sha256: Option<Result<Proof>>,
    /// `None` where the size forbids a database.
    pub bolt: Option<Result<Contents>>,
}

impl Verdict {
    /// The first thing that is wrong; what the pages say of a wrong hash is a hint.
    pub fn first_wrong(&self) -> Option<Error> {
        let bolt = self.bolt.as_ref().and_then(|bolt| bolt.as_ref().err());
        if let Some(Err(error)) = &self.sha256 {
            let where_it_is = bolt.map(|bolt| format!("the damage shows at {}", bolt.message()));
            return Some(where_it_is.into_iter().fold(error.clone(), Error::hint));
        }
        self.size.as_ref().err().or(bolt).cloned()
    }
}

/// Proves a snapshot. The hash and the pages are two threads; a hash that `proved` has seen is not made again.
pub fn examine<R: ReadAt + Sync + ?Sized>(reader: &R, proved: Option<Proof>) -> Verdict {
    let size = check_size(reader.size());
    if size.is_err() {
        return Verdict { size, sha256: None, bolt: None };
    }
    let walk = || Database::open(reader).and_then(keyspace::examine);
    let (sha256, bolt) = match proved {
        Some(proof) => (Ok(proof), walk()),
        None => std::thread::scope(|scope| {
            let hashing = std::thread::Builder::new().spawn_scoped(scope, || hash(reader));
            let bolt = walk();
            let hashed = hashing.map_err(|error| Error::general(format!("cannot hash: {error}")));
            (
                hashed.and_then(|thread| thread.join().unwrap_or_else(|_| Err(Error::general("the hash broke off")))),
                bolt,
            )
        }),
    };
    Verdict { size, sha256: Some(sha256), bolt: Some(bolt) }
}

fn hash<R: ReadAt + ?Sized>(reader: &R) -> Result<Proof> {
    let mut hasher = TrailerHasher::default();
    let mut block = vec![0; BLOCK];
    while hasher.size() < reader.size() {
        let left = usize::try_from(reader.size() - hasher.size()).unwrap_or(BLOCK);
        let block = &mut block[..left.min(BLOCK)];
        reader.read_at(hasher.size(), block)?;
        hasher.update(block);
    }
    hasher.finish()
}
