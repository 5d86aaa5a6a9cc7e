//! A file of this machine, read by position.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::dir::unreadable;
use crate::error::{Error, Result};
use crate::snapshot::bolt::ReadAt;

/// A file whose size is taken once: what is appended later is not seen.
#[derive(Debug)]
pub struct LocalFile<F> {
    file: F,
    size: u64,
}

impl LocalFile<File> {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) for one that is not there,
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for one that may not be read, and
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) for one that cannot be read by position.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("{shown} does not exist")),
            _ => unreadable(path, &error),
        };
        // a pipe without a writer would not even open
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::general(format!("{shown} is not a regular file")).hint("pipe it in, and name - instead"));
        }
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Ok(Self { file, size })
    }
}

impl<F> LocalFile<F> {
    /// The first `size` bytes of a file that is open.
    pub fn of(file: F, size: u64) -> Self {
        Self { file, size }
    }
}

impl<F: std::borrow::Borrow<File>> ReadAt for LocalFile<F> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let read = self.file.borrow().read_exact_at(bytes, at);
        read.map_err(|error| Error::general(format!("cannot read {} bytes at byte {at}: {error}", bytes.len())))
    }
}
