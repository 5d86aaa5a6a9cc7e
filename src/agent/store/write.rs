//! From a stream of bytes to a file on a volume that has its name only if its trailer matched.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, pin_mut};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::directory::{Directory, ROOM, cannot};
use super::mark::Mark;
use super::volume::{META, Spot, TMP, Volume, mark_name, on_disk};
use crate::error::{Error, Result};
use crate::snapshot::metadata::Metadata;
use crate::snapshot::{Proof, TrailerHasher};
use crate::transfer::upload::{Destination, Uploaded, key_exists};

/// Chunks that wait for the disk; etcd sends 32 KiB at a time.
const WAITING: usize = 32;

/// Longest wait for another agent to name its file: it holds the lock for some writes to the disk only.
const PATIENCE: Duration = Duration::from_secs(10);

impl Volume {
    /// Stores a snapshot under `destination.key`: under a name in `tmp/` until its trailer matched and it is on the
    /// disk. `total` is the announced size in bytes. When this fails, and when `cancel` fires, nothing is left.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when the trailer does not match;
    /// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) when cancelled; reason `VolumeFull`, also
    /// before anything is written, and `KeyExists`; the stream's; those of the disk.
    pub(super) async fn store(
        &self,
        destination: &Destination,
        total: u64,
        body: impl Stream<Item = Result<Bytes>>,
        cancel: &CancellationToken,
    ) -> Result<Uploaded> {
        let (mount, key) = (self.mount(), destination.key.clone());
        let temporary = on_disk(move || Temporary::begin(&mount, &key, total)).await?;
        let (chunks, waiting) = mpsc::channel(WAITING);
        let writing = tokio::task::spawn_blocking(move || temporary.fill(waiting));
        let fed = tokio::select! {
            fed = feed(body, chunks) => fed,
            () = cancel.cancelled() => Err(Error::interrupted("the backup was cancelled")),
        };
        // in every case it ends, and removes its file when it is not used
        let written = writing.await.map_err(|error| Error::general(format!("cannot write: {error}")))?;
        fed?;
        let (temporary, proof) = written?;
        let (mount, of) = (self.mount(), destination.clone());
        let published = on_disk(move || temporary.publish(&mount, &of, &proof).map(|done| done.then_some(proof)));
        match published.await? {
            Some(proof) => Ok(Uploaded::Stored(proof)),
            None => self.taken(&destination.key, &destination.metadata).await,
        }
    }

    async fn taken(&self, key: &str, metadata: &Metadata) -> Result<Uploaded> {
        let theirs = self.head(key).await?.and_then(|found| found.metadata);
        match theirs.is_some_and(|theirs| theirs.is_as_good_as(metadata)) {
            true => Ok(Uploaded::AlreadyStored),
            false => Err(key_exists(&self.url(key))),
        }
    }
}

/// Hands on what comes until it ends, or until nobody takes it.
async fn feed(body: impl Stream<Item = Result<Bytes>>, chunks: mpsc::Sender<Bytes>) -> Result<()> {
    pin_mut!(body);
    while let Some(chunk) = body.next().await {
        if chunks.send(chunk?).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The file in `tmp/` that is being written; dropping it removes it.
struct Temporary {
    directory: Directory,
    name: String,
    file: File,
    /// Bytes that were announced.
    total: u64,
}

impl Temporary {
    /// Makes the file, and takes the space for it.
    fn begin(mount: &Directory, key: &str, total: u64) -> Result<Self> {
        let spot = Spot::of(key);
        let directory = mount.made_at(&format!("{}/{TMP}", spot.cluster))?;
        // two runs of one revision, and one that was killed and the next, are not in each other's way
        let name = format!("{}.{:016x}", spot.name, fastrand::u64(..));
        let file = directory.create(&name)?;
        // as long as this process lives, others see that the file is being written
        if let Err(error) = file.try_lock() {
            tracing::debug!(%name, %error, "goes on without a lock");
        }
        let temporary = Self { directory, name, file, total };
        temporary.reserve()?;
        Ok(temporary)
    }

    fn reserve(&self) -> Result<()> {
        let free = self.free();
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, self.total) {
            Ok(()) => Ok(()),
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(self.failed(error.into(), free)),
            // file systems without it say what is free, or find out while writing
            Err(_) if free.is_some_and(|free| free < self.total) => Err(self.failed(Errno::NOSPC.into(), free)),
            Err(_) => Ok(()),
        }
    }

    /// Bytes that are free on the volume, where it tells.
    fn free(&self) -> Option<u64> {
        let found = rustix::fs::fstatvfs(&self.file).ok().filter(|found| found.f_blocks > 0)?;
        found.f_bavail.checked_mul(found.f_frsize)
    }

    fn failed(&self, error: io::Error, free: Option<u64>) -> Error {
        let (volume, total) = (self.directory.path().display(), self.total);
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                let free = free.map_or_else(|| "too few".to_owned(), |free| free.to_string());
                Error::general(format!("VolumeFull: the snapshot has {total} bytes, {free} are free in {volume}"))
                    .hint(ROOM)
            }
            Some(Errno::FBIG) => {
                Error::general(format!("no file in {volume} may have the {total} bytes of the snapshot"))
                    .hint("raise the limit of the process or of the file system")
            }
            _ => cannot("write", &self.directory.path().join(&self.name), error),
        }
    }

    /// Writes what comes, hashing it, and brings it to the disk when the trailer matched.
    fn fill(mut self, mut chunks: mpsc::Receiver<Bytes>) -> Result<(Self, Proof)> {
        let mut hasher = TrailerHasher::default();
        while let Some(chunk) = chunks.blocking_recv() {
            hasher.update(&chunk);
            self.write(&chunk)?;
        }
        let proof = hasher.finish()?;
        // what was announced and did not come
        let cut = self.file.set_len(proof.size);
        cut.and_then(|()| self.file.sync_all()).map_err(|error| self.failed(error, self.free()))?;
        Ok((self, proof))
    }

    fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.file.write_all(chunk).map_err(|error| self.failed(error, self.free()))
    }

    /// Gives the file its name; `false` when that is taken.
    fn publish(self, mount: &Directory, destination: &Destination, proof: &Proof) -> Result<bool> {
        let spot = Spot::of(&destination.key);
        let directory = mount.made_at(spot.directory)?;
        let marks = directory.made_at(META)?;
        // of two runs at once the mark and the bytes must be of the same one
        let _held = marks.lock(PATIENCE);
        if directory.look(spot.name)?.is_some() {
            return Ok(false);
        }
        // the mark first: a file without one is nobody's, would never expire, and the next run could not use its name
        self.mark(&marks, spot.name, &Mark::new(destination.metadata.clone(), proof))?;
        let named = self.directory.publish(&self.name, &directory, spot.name)?;
        directory.sync()?;
        Ok(named)
    }

    /// Writes the mark of the file that is to be `name`; one that a killed run left there is of no file.
    fn mark(&self, marks: &Directory, name: &str, mark: &Mark) -> Result<()> {
        let temporary = mark_name(&self.name);
        let mut file = self.directory.create(&temporary)?;
        let written = file.write_all(mark.to_json().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| self.failed(error, self.free()))?;
        self.directory.replace(&temporary, marks, &mark_name(name))?;
        marks.sync()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        for name in [mark_name(&self.name), self.name.clone()] {
            if let Err(error) = self.directory.remove(&name) {
                tracing::warn!("a file is left: {}", error.message());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(total: u64) -> (tempfile::TempDir, Result<Temporary>) {
        let disk = tempfile::tempdir().unwrap();
        let mount = Directory::mounted(disk.path()).unwrap();
        let begun = Temporary::begin(&mount, "v1/a/3.5.0_000000000000000f_etcd.backup", total);
        (disk, begun)
    }

    fn left(disk: &tempfile::TempDir) -> usize {
        std::fs::read_dir(disk.path().join("v1/a/tmp")).unwrap().count()
    }

    #[test]
    fn more_than_the_disk_takes_is_refused_with_its_number_before_a_byte_is_written() {
        let (disk, begun) = temporary(1 << 50);
        let error = begun.err().unwrap();
        assert!(error.message().contains("1125899906842624 bytes"), "{error}");
        assert_eq!(left(&disk), 0);
    }

    #[test]
    fn a_disk_that_turns_out_to_be_full_leaves_nothing() {
        let (disk, begun) = temporary(4096);
        let mut full = begun.unwrap();
        full.file = File::options().write(true).open("/dev/full").unwrap();
        let (chunks, waiting) = mpsc::channel(1);
        chunks.try_send(Bytes::from_static(&[0; 4096])).unwrap();
        drop(chunks);
        let error = full.fill(waiting).err().unwrap();
        assert!(error.message().starts_with("VolumeFull: the snapshot has 4096 bytes, "), "{error}");
        assert_eq!(left(&disk), 0);
    }
}
