//! Where a download goes, and what is there already.

use std::path::{Path, PathBuf};

use super::of;
use super::part_file::LeftOver;
use crate::error::{Error, Result};
use crate::source::origin::Origin;

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file; one that exists is left alone unless `force`.
    File { path: PathBuf, force: bool },
    /// Standard output: the proof comes after the bytes.
    Stdout,
}

impl Target {
    /// Refuses a target that must not be written, before anything is transferred.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) for a file that exists, and even with `force` for
    /// anything that is not a regular file: a device, a pipe, a link.
    pub fn check(&self) -> Result<()> {
        let Self::File { path, force } = self else { return Ok(()) };
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => Err(Error::general(format!("{} is not a regular file", path.display()))
                .hint("name another one with -O PATH")),
            Ok(_) if !force => Err(exists(path)),
            _ => Ok(()),
        }
    }

    /// What an earlier download, or one that ended just now, has left.
    pub fn left_over(&self) -> Option<LeftOver> {
        match self {
            Self::File { path, .. } => LeftOver::of(path),
            Self::Stdout => None,
        }
    }

    /// Whether what an earlier download has left is of `origin`; `None` when it has left nothing.
    pub fn earlier(&self, origin: &Origin) -> Option<bool> {
        self.left_over()?.is_of(of(origin))
    }

    /// The target in words.
    pub fn shown(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Stdout => "stdout".to_owned(),
        }
    }
}

pub(super) fn exists(path: &Path) -> Error {
    Error::general(format!("{} exists", path.display()))
}
