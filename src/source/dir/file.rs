//! One file as the origin of a download: ranges of bytes, all of one state of it.

use std::fs::{File, Metadata, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use rustix::fs::OFlags;

use super::unreadable;
use crate::error::{Error, Result};
use crate::source::Body;
use crate::source::origin::{Failure, Opening, Origin, Ranges};

/// Bytes of one read.
const READ_BYTES: u64 = 1 << 20;

/// A link is not followed, and a pipe not waited for.
const CAREFULLY: i32 = (OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits()) as i32;

/// Opens a file to be downloaded. It is told from others by device, inode, size and time of its last change, and one
/// that changes meanwhile is refused.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) where it may not be read; those of the disk.
pub fn open(path: &Path) -> Result<Origin> {
    let fail = |error: std::io::Error| unreadable(path, &error);
    let file = OpenOptions::new().read(true).custom_flags(CAREFULLY).open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(Error::general(format!("{} is not a regular file", path.display())));
    }
    let identity = identity(&metadata);
    let opened = Opened { file, path: path.to_owned(), identity: identity.clone() };
    Ok(Origin::Ranged { size: metadata.len(), identity, crc64: None, ranges: Arc::new(Shared(Arc::new(opened))) })
}

fn identity(of: &Metadata) -> String {
    format!("file {} {} {} {}.{:09}", of.dev(), of.ino(), of.len(), of.mtime(), of.mtime_nsec())
}

struct Opened {
    file: File,
    path: PathBuf,
    identity: String,
}

struct Shared(Arc<Opened>);

impl Opened {
    fn unchanged(&self) -> Result<(), Failure> {
        let found = self.file.metadata().map_err(|error| Failure::Final(unreadable(&self.path, &error)))?;
        match identity(&found) == self.identity {
            true => Ok(()),
            false => Err(Failure::Changed(
                Error::general(format!("{} was changed while it was read", self.path.display())).hint("run it again"),
            )),
        }
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, range.start).map_err(|error| unreadable(&self.path, &error))?;
        Ok(bytes.into())
    }
}

impl Ranges for Shared {
    fn open(&self, range: Range<u64>) -> Opening<'_> {
        let opened = Arc::clone(&self.0);
        Box::pin(async move {
            opened.unchanged()?;
            Ok(body(opened, range))
        })
    }
}

fn body(opened: Arc<Opened>, range: Range<u64>) -> Body {
    let next = async |(opened, range): (Arc<Opened>, Range<u64>)| {
        if range.is_empty() {
            return Ok(None);
        }
        let end = range.end.min(range.start + READ_BYTES);
        let reader = Arc::clone(&opened);
        let read = tokio::task::spawn_blocking(move || reader.read(range.start..end)).await;
        let bytes = read.map_err(|error| Error::general(format!("cannot read: {error}")))??;
        Ok(Some((bytes, (opened, end..range.end))))
    };
    futures::stream::try_unfold((opened, range), next).boxed()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn bytes(ranges: &Arc<dyn Ranges>, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let body = ranges.open(range).await?;
        Ok(body.try_collect::<Vec<Bytes>>().await.map_err(Failure::Passing)?.concat())
    }

    #[tokio::test]
    async fn ranges_are_read_from_where_they_are_until_the_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        let content: Vec<u8> = (0..3 * READ_BYTES).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let Origin::Ranged { size, ranges, .. } = open(&path).unwrap() else { panic!("a file has ranges") };
        assert_eq!(size, 3 * READ_BYTES);
        for range in [0..1, 7..2 * READ_BYTES + 9, 0..size, size - 1..size] {
            let expected = &content[range.start as usize..range.end as usize];
            assert!(bytes(&ranges, range.clone()).await.unwrap() == expected, "{range:?}");
        }
        std::fs::write(&path, b"another").unwrap();
        let Err(Failure::Changed(error)) = bytes(&ranges, 0..1).await else { panic!("a changed file is refused") };
        assert!(error.message().ends_with("was changed while it was read"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        assert!(open(directory.path()).is_err());
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(open(&pipe).err().unwrap().message().ends_with("is not a regular file"));
    }
}
