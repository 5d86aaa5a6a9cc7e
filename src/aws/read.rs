//! A profile file of the user's, read within bounds.

use std::io::Read;
use std::path::Path;

use super::profile::Kind;
use crate::error::{Error, Result};

/// Most bytes of a profile file: Kubernetes takes no more into a Secret
/// (kubernetes/kubernetes, pkg/apis/core/types.go, `MaxSecretSize`).
pub const MAX_BYTES: u64 = 1024 * 1024;

/// A file's text, and what its owner should know about it.
#[derive(Debug)]
pub struct UserFile {
    pub text: String,
    pub warnings: Vec<String>,
}

/// Reads one file; `None` when it is not there.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for a directory, a file that cannot be read,
/// is larger than [`MAX_BYTES`] or is not text, and a link to nothing.
pub fn user_file(path: &Path, kind: Kind) -> Result<Option<UserFile>> {
    let shown = path.display();
    let bytes = match bounded(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match std::fs::read_link(path) {
                Ok(target) => Err(Error::denied(format!(
                    "cannot read {shown}: it links to {}, which is not there",
                    target.display()
                ))),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(Error::denied(format!("cannot read {shown}: {error}"))),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Error::denied(format!("{shown} is UTF-16")).hint("save it as UTF-8"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::denied(format!("{shown} is not text")).hint("is it a profile file of the AWS CLI?"))?;
    // keys may stand in the config file as well
    let secret = kind == Kind::Credentials || text.contains("aws_secret_access_key");
    let warnings = if secret { readable_by_others(path).into_iter().collect() } else { Vec::new() };
    Ok(Some(UserFile { text, warnings }))
}

/// The bytes of a file of at most [`MAX_BYTES`].
///
/// # Errors
/// Those of the system, and `InvalidData` for a larger file.
pub(super) fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::other("it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Says who else can read the file; of a link, its target counts.
fn readable_by_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o777;
    let who = match (mode & 0o070, mode & 0o007) {
        (0, 0) => return None,
        (_, 0) => "its group",
        _ => "others on this machine",
    };
    let shown = path.display();
    Some(match std::fs::read_link(path) {
        Ok(_) => {
            let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let target = target.display();
            format!("{shown} is a link to {target}, which can be read by {who} (mode {mode:04o}); chmod 600 {target}")
        }
        Err(_) => format!("{shown} can be read by {who} (mode {mode:04o}); chmod 600 {shown}"),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn written(bytes: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn refusal(path: &Path) -> String {
        user_file(path, Kind::Credentials).unwrap_err().message().replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn what_is_no_profile_file_is_told_apart() {
        for (bytes, says) in [
            (&b"\xff\xfe[\0d\0"[..], "FILE is UTF-16"),
            (b"\x7fELF\xc0", "FILE is not text"),
            (&vec![b'x'; 1024 * 1024 + 1], "cannot read FILE: it is larger than 1 MiB"),
        ] {
            let (_directory, path) = written(bytes, 0o600);
            assert_eq!(refusal(&path), says);
        }
        let (directory, path) = written(&vec![b'x'; 1024 * 1024], 0o600);
        assert!(user_file(&path, Kind::Credentials).is_ok());
        assert_eq!(refusal(directory.path()), "cannot read FILE: it is a directory");
        assert!(user_file(&directory.path().join("none"), Kind::Config).unwrap().is_none());
    }

    #[test]
    fn a_file_without_an_end_takes_no_memory() {
        assert_eq!(refusal(Path::new("/dev/zero")), "cannot read FILE: it is larger than 1 MiB");
    }

    #[test]
    fn who_else_can_read_it_is_said() {
        let warnings = |path: &Path, kind| user_file(path, kind).unwrap().unwrap().warnings.join("\n");
        for (mode, says) in [(0o600, ""), (0o640, "can be read by its group (mode 0640)"), (0o604, "others on this")] {
            let (_directory, path) = written(b"", mode);
            let found = warnings(&path, Kind::Credentials);
            assert!(found.contains(says) && found.is_empty() == says.is_empty(), "{found}");
        }
        let (_directory, path) = written(b"[default]\nregion=r\n", 0o644);
        assert_eq!(warnings(&path, Kind::Config), "");
        let (_directory, path) = written(b"[default]\naws_secret_access_key=k\n", 0o644);
        assert!(warnings(&path, Kind::Config).contains("others on this machine"));
    }

    #[test]
    fn of_a_link_the_target_counts() {
        let (directory, path) = written(b"", 0o644);
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        let warnings = user_file(&link, Kind::Credentials).unwrap().unwrap().warnings;
        let target = path.canonicalize().unwrap().display().to_string();
        assert!(warnings[0].contains(&format!("is a link to {target}")), "{warnings:?}");
        assert!(warnings[0].ends_with(&format!("chmod 600 {target}")), "{warnings:?}");
        std::fs::remove_file(&path).unwrap();
        assert!(refusal(&link).contains("which is not there"));
    }
}
