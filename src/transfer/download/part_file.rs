//! `TARGET.part` and `TARGET.part.state`: what is there of a download, until it gets its name.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, OFlags};

use super::blocks;
use super::journal::{Journal, RECORD};
use crate::error::{Error, Result};

/// A link in the place of a file is not followed.
const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits() as i32;

/// The file that a download writes to, locked against other runs.
pub(super) struct PartFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    journal: Mutex<Journal<File>>,
    recording: bool,
    /// Whether the path is no longer this run's.
    gone: AtomicBool,
}

/// What the blocks are of: with it a later run can go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    pub size: u64,
    pub identity: &'a str,
}

/// Bytes that are free for this user, that the file takes, and that it is long.
#[derive(Debug, Clone, Copy)]
struct Space {
    free: u64,
    taken: u64,
    length: u64,
}

impl PartFile {
    /// Opens or makes the file for `target`. With `of`, blocks of an earlier run that are still what was recorded
    /// are kept, and the numbers of those are returned; everything else is written anew. Space for `size` bytes is
    /// taken, where that is known.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when another run holds the file, when it is not
    /// this user's own, and for the disk, a full one with the numbers.
    pub(super) fn open(target: &Path, of: Option<Of<'_>>, size: Option<u64>) -> Result<(Self, Vec<u64>)> {
        let (path, state) = (with_suffix(target, ".part"), with_suffix(target, ".part.state"));
        let file = own(&path)?;
        lock(&file, &path)?;
        let records = own(&state)?;
        let fail = |error: io::Error| unwritable(&path, &error);
        let (journal, found) = match of {
            Some(of) => Journal::resume(records, of.size, of.identity).map_err(fail)?,
            None => Journal::resume(records, 0, "").map_err(fail)?,
        };
        let mut part = Self {
            target: target.to_owned(),
            path,
            file,
            journal: Mutex::new(journal),
            recording: of.is_some(),
            gone: AtomicBool::new(false),
        };
        let kept = match (of, found) {
            (Some(of), Some(found)) => part.verified(of.size, &found),
            _ => Vec::new(),
        };
        if kept.is_empty() {
            part.begin(of)?;
        }
        if let Some(size) = size {
            part.reserve(size, !kept.is_empty())?;
        }
        if let Some(of) = of {
            part.reserve_records(of.size);
        }
        Ok((part, kept))
    }

    fn begin(&mut self, of: Option<Of<'_>>) -> Result<()> {
        let shown = self.path.clone();
        let fail = |error: io::Error| unwritable(&shown, &error);
        self.file.set_len(0).map_err(fail)?;
        let journal = self.journal.get_mut().unwrap_or_else(PoisonError::into_inner);
        journal.file().set_len(0).map_err(fail)?;
        match of {
            Some(of) => journal.begin(of.size, of.identity).map_err(fail),
            None => Ok(()),
        }
    }

    /// The recorded blocks whose bytes are still those that were recorded.
    fn verified(&self, size: u64, recorded: &std::collections::BTreeMap<u64, u64>) -> Vec<u64> {
        let same = |(block, crc): (&u64, &u64)| {
            let bytes = self.read(blocks::range(*block, size)).ok()?;
            (crc64(&[bytes]) == *crc).then_some(*block)
        };
        recorded.iter().filter_map(same).collect()
    }

    /// Takes the space before anything is transferred; where there is too little, what an earlier run has brought is
    /// `worth` keeping.
    fn reserve(&self, size: u64, worth: bool) -> Result<()> {
        use rustix::io::Errno;
        let space = self.space();
        let error = match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Ok(()) => return Ok(()),
            Err(Errno::NOSPC | Errno::DQUOT) => self.no_space(size, space),
            Err(Errno::FBIG) => self.too_big(size),
            // a file system without it: what it says is free has to do
            Err(_) => match space {
                Some(space) if space.free < size.saturating_sub(space.taken) => self.no_space(size, Some(space)),
                _ => return self.file.set_len(size).map_err(|error| unwritable(&self.path, &error)),
            },
        };
        match (worth, space) {
            // what was taken in vain is given back
            (true, Some(space)) => {
                let _ = self.file.set_len(space.length);
            }
            (true, None) => {}
            // an empty file is of no use to a later run
            (false, _) => self.discard(),
        }
        Err(error)
    }

    /// What is free, before more is taken.
    fn space(&self) -> Option<Space> {
        let (found, system) = (self.file.metadata().ok()?, rustix::fs::fstatvfs(&self.file).ok()?);
        // POSIX, sys/stat.h: a block of st_blocks has 512 bytes on every file system of Linux and macOS
        let taken = found.blocks() * 512;
        Some(Space { free: system.f_bavail * system.f_frsize, taken, length: found.len() })
    }

    /// Takes the space for the records too: where none is left in the middle, the bytes have theirs.
    fn reserve_records(&mut self, size: u64) {
        let journal = self.journal.get_mut().unwrap_or_else(PoisonError::into_inner).file();
        let most = journal.metadata().map_or(0, |found| found.len()) + blocks::count(size) * RECORD as u64;
        // file systems without it find out while writing
        let _ = rustix::fs::fallocate(journal, FallocateFlags::KEEP_SIZE, 0, most);
    }

    fn no_space(&self, size: u64, space: Option<Space>) -> Error {
        let free = space.map_or_else(|| "too few".to_owned(), |space| space.free.to_string());
        let here = match space.map(|space| space.taken).filter(|taken| *taken > 0) {
            Some(taken) => format!(", of which {taken} are here,"),
            None => ",".to_owned(),
        };
        let directory = directory_of(&self.path).display();
        Error::general(format!("no space in {directory}: the snapshot has {size} bytes{here} {free} are free"))
            .hint("free some, or choose another directory with -O PATH")
    }

    fn too_big(&self, size: u64) -> Error {
        let directory = directory_of(&self.path).display();
        Error::general(format!("no file in {directory} may have the {size} bytes of the snapshot"))
            .hint("ulimit -f unlimited; or choose a directory on another file system with -O PATH")
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        read.map_err(|error| Error::general(format!("cannot read {}: {error}", self.path.display())))?;
        Ok(Bytes::from(bytes))
    }

    /// Writes the chunks of a block that begins at `at`, and records it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn write(&self, at: u64, chunks: &[Bytes]) -> Result<()> {
        let mut offset = at;
        for chunk in chunks {
            self.file.write_all_at(chunk, offset).map_err(|error| unwritable(&self.path, &error))?;
            offset += chunk.len() as u64;
        }
        if self.recording {
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.record(at / blocks::BLOCK, crc64(chunks)).map_err(|error| unwritable(&self.path, &error))?;
        }
        Ok(())
    }

    /// Removes the file and its state: bytes that failed proof are of no use.
    pub(super) fn discard(&self) {
        if self.gone.swap(true, Ordering::Relaxed) {
            return;
        }
        let _ = std::fs::remove_file(with_suffix(&self.target, ".part.state"));
        let _ = std::fs::remove_file(&self.path);
    }

    /// Brings the bytes to the disk, gives them their name, and brings that to the disk.
    ///
    /// # Errors
    /// Those of the disk; a target that has come to exist meanwhile is left alone unless `force`.
    pub(super) fn publish(&self, size: u64, force: bool) -> Result<()> {
        let target = &self.target;
        self.file.set_len(size).map_err(|error| unwritable(&self.path, &error))?;
        self.file.sync_all().map_err(|error| unwritable(&self.path, &error))?;
        if !is_still(&self.file, &self.path) {
            let taken = Error::general(format!("{} was replaced while it was written", self.path.display()));
            return Err(taken.hint("choose a directory that only you can write to with -O PATH"));
        }
        let part = tempfile::TempPath::try_from_path(&self.path).map_err(|error| unwritable(&self.path, &error))?;
        self.gone.store(true, Ordering::Relaxed);
        let named = if force { part.persist(target) } else { part.persist_noclobber(target) };
        named.map_err(|failed| {
            let error = match failed.error.kind() {
                io::ErrorKind::AlreadyExists => super::target::exists(target),
                _ => unwritable(target, &failed.error),
            };
            // dropping the path would remove the bytes, and they are proved
            let _ = failed.path.keep();
            error
        })?;
        let _ = std::fs::remove_file(with_suffix(target, ".part.state"));
        let directory = directory_of(target);
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| unwritable(directory, &error))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // without a record nothing can be gone on with
        if !self.recording {
            self.discard();
        }
    }
}

/// What a download that ended has left, and a later one of the same object can go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    part: PathBuf,
    state: PathBuf,
}

impl LeftOver {
    /// What is left of a download to `target`; `None` when nothing is, or when another run is writing it.
    pub(super) fn of(target: &Path) -> Option<Self> {
        let (part, state) = (with_suffix(target, ".part"), with_suffix(target, ".part.state"));
        let recorded = state.symlink_metadata().is_ok_and(|state| state.is_file() && state.len() > 0)
            && part.symlink_metadata().is_ok_and(|part| part.is_file());
        let file = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(&part).ok().filter(|_| recorded)?;
        file.try_lock().ok().map(|()| Self { part, state })
    }

    /// Whether the blocks that were recorded are `of` this; `None` when none were.
    pub(super) fn is_of(&self, of: Option<Of<'_>>) -> Option<bool> {
        let records = File::open(&self.state).ok()?;
        let Some(of) = of else { return Some(false) };
        match Journal::resume(records, of.size, of.identity).ok()?.1 {
            Some(blocks) if blocks.is_empty() => None,
            found => Some(found.is_some()),
        }
    }

    /// How to go on with `command`, and how to give it up.
    pub fn advice(&self, command: &str) -> String {
        let (part, state) = (self.part.display(), self.state.display());
        format!("no file was written; go on where it ended: {command}; or give it up: rm -f {part} {state}")
    }
}

/// CRC-64/NVME of the chunks one after the other.
fn crc64(chunks: &[Bytes]) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    chunks.iter().for_each(|chunk| digest.update(chunk));
    digest.finalize()
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with_suffix(target: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = target.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens or makes a file that only this user can write to: what others could change proves nothing.
fn own(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(NOFOLLOW)
        .open(path);
    let file = file.map_err(|error| unwritable(path, &error))?;
    let found = file.metadata().map_err(|error| unwritable(path, &error))?;
    let ours = found.is_file()
        && found.nlink() == 1
        && found.mode() & 0o077 == 0
        && found.uid() == rustix::process::geteuid().as_raw();
    if ours {
        return Ok(file);
    }
    Err(Error::general(format!("{} exists and was not made by a download of yours", path.display()))
        .hint("choose another file with -O PATH"))
}

fn lock(file: &File, path: &Path) -> Result<()> {
    let busy = || {
        Error::general(format!("another download is writing {}", path.display()))
            .hint("choose another file with -O PATH")
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(error)) => return Err(unwritable(path, &error)),
    }
    // the run that held it may have given it its final name just now
    if is_still(file, path) { Ok(()) } else { Err(busy()) }
}

/// Whether the path is still that of the open file.
fn is_still(file: &File, path: &Path) -> bool {
    let same =
        |one: &std::fs::Metadata, other: &std::fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    matches!((file.metadata(), path.symlink_metadata()), (Ok(open), Ok(named)) if same(&open, &named))
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::general(format!("cannot write {}: {error}", path.display()))
        .hint("check the directory and its free space, or choose another with -O PATH")
}
