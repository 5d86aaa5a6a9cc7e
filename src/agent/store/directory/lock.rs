//! Locks: agents on one volume hold each other off, and a file that is being written is known by its lock.

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::{CAREFULLY, Directory};

/// The file in a directory that is locked in place of it.
const LOCK: &str = "lock";

/// Between two tries for a lock.
const AGAIN: Duration = Duration::from_millis(50);

impl Directory {
    /// Holds other agents off this directory until the file that is returned is dropped, where the file system has
    /// locks; for the rest, and for one that is held longer than `patience`, it goes on without. The lock is on a file
    /// that is open for writing: NFS knows no other (flock(2), "NFS details").
    pub(in crate::agent::store) fn lock(&self, patience: Duration) -> Option<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | CAREFULLY;
        let opened = rustix::fs::openat(&self.file, LOCK, flags, Mode::RUSR | Mode::WUSR).map(File::from);
        let file = opened.inspect_err(|error| self.goes_on(error)).ok()?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => std::thread::sleep(AGAIN),
                Err(error) => {
                    self.goes_on(&error);
                    return None;
                }
            }
        }
    }

    fn goes_on(&self, error: &dyn Display) {
        tracing::warn!(directory = %self.path.display(), %error, "goes on without a lock");
    }

    /// Whether nobody holds the lock of the file `name`; `false` where that cannot be told.
    pub(in crate::agent::store) fn is_unlocked(&self, name: &str) -> bool {
        let opened = rustix::fs::openat(&self.file, name, OFlags::WRONLY | CAREFULLY, Mode::empty());
        opened.is_ok_and(|file| File::from(file).try_lock().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_waited_for_only_so_long() {
        let disk = tempfile::tempdir().unwrap();
        let mount = Directory::mounted(disk.path()).unwrap();
        let held = mount.lock(Duration::ZERO).unwrap();
        assert!(!mount.is_unlocked(LOCK) && mount.lock(Duration::ZERO).is_none());
        drop(held);
        assert!(mount.is_unlocked(LOCK) && mount.lock(Duration::ZERO).is_some());
        assert!(!mount.is_unlocked("missing"));
    }
}
