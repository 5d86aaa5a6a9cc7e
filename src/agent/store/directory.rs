//! A directory on a volume. Each is opened from the one above it, and no link is followed: whoever else may write to
//! the volume must not decide where the agent writes.

mod lock;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// A link in the place of a file is not followed, and a pipe not waited for.
const CAREFULLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    /// For messages.
    path: PathBuf,
}

/// A name in a directory: what is there itself, not what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub is_file: bool,
    pub is_directory: bool,
    /// Bytes.
    pub size: u64,
    pub modified: Option<Timestamp>,
}

impl Directory {
    /// Opens the directory that a person named: there a link is the person's own word.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when it is none; as [`cannot`].
    pub(super) fn mounted(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| cannot("use", path, error))?;
        match rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Self { file: file.into(), path }),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let sentence = format!("{} is no directory", path.display());
                Err(Error::usage(sentence).hint("name with --volume-dir where the volume is mounted"))
            }
            Err(error) => Err(cannot("open", &path, error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory `below` this one, names with slashes between them; `None` when there is none.
    ///
    /// # Errors
    /// As [`cannot`], also for a link on the way.
    pub(super) fn at(&self, below: &str) -> Result<Option<Self>> {
        let mut directory = self.again()?;
        for name in names(below) {
            match directory.child(name)? {
                Some(child) => directory = child,
                None => return Ok(None),
            }
        }
        Ok(Some(directory))
    }

    /// The same, and makes what is not there, for its owner only.
    ///
    /// # Errors
    /// As [`cannot`], also for a link on the way.
    pub(super) fn made_at(&self, below: &str) -> Result<Self> {
        let mut directory = self.again()?;
        for name in names(below) {
            directory = match directory.child(name)? {
                Some(child) => child,
                None => directory.make(name)?,
            };
        }
        Ok(directory)
    }

    fn again(&self) -> Result<Self> {
        let file = self.file.try_clone().map_err(|error| cannot("open", &self.path, error))?;
        Ok(Self { file, path: self.path.clone() })
    }

    fn child(&self, name: &str) -> Result<Option<Self>> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.file, name, OFlags::DIRECTORY | CAREFULLY, Mode::empty()) {
            Ok(file) => Ok(Some(Self { file: file.into(), path })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(cannot("open", &path, error)),
        }
    }

    fn make(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.file, name, Mode::RWXU) {
            // another run may have made it just now
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(cannot("make", &path, error)),
        }
        self.sync()?;
        self.child(name)?.ok_or_else(|| Error::general(format!("{} was removed again", path.display())))
    }

    /// The names in it; those that are no text are none of ours.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let read = || {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.file)? {
                names.extend(entry?.file_name().to_str().map(str::to_owned));
            }
            Ok::<_, Errno>(names)
        };
        let mut names = read().map_err(|error| cannot("read", &self.path, error))?;
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// What is under `name`.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn look(&self, name: &str) -> Result<Option<Entry>> {
        let found = match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(cannot("look at", &self.path.join(name), error)),
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        Ok(Some(Entry {
            is_file: kind.is_file(),
            is_directory: kind.is_dir(),
            size: u64::try_from(found.st_size).unwrap_or_default(),
            modified: Timestamp::new(found.st_mtime, found.st_mtime_nsec as i32).ok(),
        }))
    }

    /// Opens a file for reading; `None` for what is not there, or is no file.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn file(&self, name: &str) -> Result<Option<File>> {
        let failed = |error: io::Error| cannot("read", &self.path.join(name), error);
        let file = match rustix::fs::openat(&self.file, name, CAREFULLY, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let is_file = file.metadata().map_err(failed)?.is_file();
        Ok(is_file.then_some(file))
    }

    /// Makes a file that only its owner can read, to write to.
    ///
    /// # Errors
    /// As [`cannot`]; a name that is taken.
    pub(super) fn create(&self, name: &str) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | CAREFULLY;
        let made = rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR);
        made.map(File::from).map_err(|error| cannot("write", &self.path.join(name), error))
    }

    /// Removes a file or a link; one that is gone is no error.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.file, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(cannot("remove", &self.path.join(name), error)),
        }
    }

    /// Gives the file `from` the name `name` in `to`, whatever was there before.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn replace(&self, from: &str, to: &Self, name: &str) -> Result<()> {
        let moved = rustix::fs::renameat(&self.file, from, &to.file, name);
        moved.map_err(|error| cannot("write", &to.path.join(name), error))
    }

    /// Gives the file `from` the name `name` in `to`; `false` when that is taken. Afterwards it may still have its old
    /// name, too.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn publish(&self, from: &str, to: &Self, name: &str) -> Result<bool> {
        let named = match rustix::fs::renameat_with(&self.file, from, &to.file, name, RenameFlags::NOREPLACE) {
            // NFS cannot (Linux, fs/nfs/dir.c, `nfs_rename`: EINVAL for any flag); a link takes no name either
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => return self.link(from, to, name),
            named => named,
        };
        untaken(named).map_err(|error| cannot("write", &to.path.join(name), error))
    }

    fn link(&self, from: &str, to: &Self, name: &str) -> Result<bool> {
        let named = rustix::fs::linkat(&self.file, from, &to.file, name, AtFlags::empty());
        let path = to.path.join(name);
        untaken(named).map_err(|error| match error {
            // link(2): what a file system without hard links says
            Errno::PERM | Errno::NOTSUP => Error::general(format!(
                "cannot write {}: the file system can neither rename without replacing nor link: {error}",
                path.display()
            ))
            .hint("store on another file system, such as ext4, xfs or NFS"),
            error => cannot("write", &path, error),
        })
    }

    /// Brings the names in it to the disk.
    ///
    /// # Errors
    /// As [`cannot`].
    pub(super) fn sync(&self) -> Result<()> {
        match self.file.sync_all() {
            // some file systems sync no directories (fsync(2): EINVAL)
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INVAL) => Err(cannot("write", &self.path, error)),
            _ => Ok(()),
        }
    }
}

fn names(below: &str) -> impl Iterator<Item = &str> {
    below.split('/').filter(|name| !name.is_empty())
}

fn untaken(named: Result<(), Errno>) -> Result<bool, Errno> {
    match named {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says what could not be done on the volume: [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) where it is not
/// allowed to, else [`ErrorKind::General`](crate::error::ErrorKind::General).
pub(super) fn cannot(what: &str, path: &Path, error: impl Into<io::Error>) -> Error {
    let (shown, error) = (path.display(), error.into());
    let sentence = format!("cannot {what} {shown}: {error}");
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS | Errno::PERM) => {
            let user = rustix::process::geteuid().as_raw();
            // in the sentence, because the report of a run has no hints
            Error::denied(format!("{sentence}; the volume has to let uid {user} read and write it"))
                .hint("fsGroup in a pod's securityContext does that, or chown where the driver knows no groups")
        }
        Some(Errno::ROFS) => Error::general(sentence).hint("mount the volume so that it can be written to"),
        Some(Errno::LOOP | Errno::NOTDIR) => {
            Error::general(format!("{shown} is a link or a file, where the agent has a directory; nothing was written"))
                .hint("look who made it, remove it, and run it again")
        }
        Some(Errno::NOSPC | Errno::DQUOT) => Error::general(format!("VolumeFull: {sentence}")).hint(ROOM),
        _ => Error::general(sentence),
    }
}

/// What to do about a full volume.
pub(super) const ROOM: &str = "make the volume larger, or keep fewer snapshots: maxBackups";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::error::ErrorKind;

    fn disk() -> (tempfile::TempDir, Directory) {
        let disk = tempfile::tempdir().unwrap();
        let mount = Directory::mounted(disk.path()).unwrap();
        (disk, mount)
    }

    #[test]
    fn directories_are_made_for_their_owner_only_and_found_again() {
        let (disk, mount) = disk();
        assert!(mount.at("v1/a/").unwrap().is_none());
        let made = mount.made_at("v1/a/").unwrap();
        assert_eq!(made.path(), disk.path().join("v1/a"));
        assert_eq!(disk.path().join("v1/a").metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(disk.path().join("v1/a/x"), "1").unwrap();
        assert_eq!(mount.at("v1/a").unwrap().unwrap().names().unwrap(), ["x"]);
    }

    #[test]
    fn a_link_is_neither_a_directory_nor_a_file() {
        let (disk, mount) = disk();
        std::fs::write(disk.path().join("file"), "1").unwrap();
        symlink("/tmp", disk.path().join("v1")).unwrap();
        symlink("file", disk.path().join("link")).unwrap();
        for below in ["v1", "v1/x", "file/x"] {
            for error in [mount.at(below).unwrap_err(), mount.made_at(below).unwrap_err()] {
                assert!(error.message().contains("is a link or a file"), "{below}: {error}");
            }
        }
        assert!(mount.file("link").unwrap().is_none() && mount.file("file").unwrap().is_some());
        assert!(mount.create("link").is_err());
        assert_eq!(mount.look("link").unwrap().map(|found| found.is_file), Some(false));
        mount.remove("link").unwrap();
        assert!(disk.path().join("file").exists() && !disk.path().join("link").is_symlink());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let (disk, mount) = disk();
        let pipe = disk.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(mount.file("pipe").unwrap().is_none());
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_away_by_a_rename_or_by_a_link() {
        let (disk, mount) = disk();
        let read = |name: &str| std::fs::read_to_string(disk.path().join(name)).unwrap();
        for name in ["one", "two", "taken"] {
            std::fs::write(disk.path().join(name), name).unwrap();
        }
        symlink("nowhere", disk.path().join("dangling")).unwrap();
        type Publish = fn(&Directory, &str, &Directory, &str) -> Result<bool>;
        for (publish, from) in [(Directory::publish as Publish, "one"), (Directory::link, "two")] {
            for taken in ["taken", "dangling"] {
                assert!(!publish(&mount, from, &mount, taken).unwrap(), "{taken}");
            }
            let free = format!("free-{from}");
            assert!(publish(&mount, from, &mount, &free).unwrap());
            assert_eq!((read(&free).as_str(), read("taken").as_str()), (from, "taken"));
        }
    }

    #[test]
    fn a_file_system_that_syncs_no_directories_is_no_obstacle() {
        assert_eq!(Directory::mounted(Path::new("/proc")).unwrap().sync(), Ok(()));
    }

    #[test]
    fn what_is_no_directory_is_the_command_lines_fault() {
        let (disk, _) = disk();
        let missing = Directory::mounted(&disk.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Usage);
    }

    #[test]
    fn what_the_disk_says_becomes_a_sentence_that_helps() {
        let said = |errno: Errno| cannot("write", Path::new("/v/x"), errno);
        assert_eq!(said(Errno::ACCESS).kind(), ErrorKind::Denied);
        assert!(said(Errno::NOSPC).message().starts_with("VolumeFull: cannot write /v/x: "));
        for errno in [Errno::ACCESS, Errno::ROFS, Errno::NOTDIR, Errno::DQUOT] {
            assert_eq!(said(errno).hints().len(), 1, "{errno}");
        }
    }
}
