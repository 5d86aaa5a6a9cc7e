//! Where the file goes, and what is refused before anything is transferred.

use std::path::{Path, PathBuf};

use super::again::Again;
use super::item::Item;
use crate::error::{Error, Result};
use crate::transfer::download::Target;

/// Refuses a target before anything is transferred.
pub(super) fn check_target(target: &Target, again: &Again) -> Result<()> {
    if let Target::File { path, .. } = target {
        check_directory(path)?;
    }
    let replaceable = matches!(target, Target::File { path, .. } if path.is_file() && !path.is_symlink());
    target.check().map_err(|error| match replaceable {
        true => error.hint(format!("replace it: {}; or choose another with -O PATH", again.with("--force", None))),
        false => error,
    })
}

/// Refuses a file in a directory that is not there; a slash at the end means a directory.
fn check_directory(file: &Path) -> Result<()> {
    let ends_in_slash = file.as_os_str().as_encoded_bytes().ends_with(b"/");
    let directory = if ends_in_slash { Some(file) } else { file.parent() };
    match directory.filter(|directory| !directory.as_os_str().is_empty()) {
        Some(directory) if !directory.exists() => {
            let shown = directory.display();
            Err(Error::general(format!("directory {shown} does not exist")).hint(format!("mkdir -p {shown}")))
        }
        Some(directory) if !directory.is_dir() => {
            Err(Error::general(format!("{} is not a directory", directory.display()))
                .hint("name another place with -O PATH"))
        }
        _ => Ok(()),
    }
}

/// The snapshot's own name as that of a file here.
pub(super) fn file_name(item: &Item) -> Result<&str> {
    match item.name.as_str() {
        // `-` would be stdout, which nobody asked for
        "" | "." | ".." | "-" => {
            Err(Error::usage(format!("{} names no file", item.location())).hint("name one with -O FILE"))
        }
        name => Ok(name),
    }
}

/// The target that a path names; `-` is stdout.
pub(super) fn target(force: bool, path: PathBuf) -> Target {
    match path.to_str() {
        Some("-") => Target::Stdout,
        _ => Target::File { path, force },
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::Place;
    use super::*;

    #[test]
    fn a_key_that_names_no_file_is_never_stdout() {
        let file = |key: &str| {
            let place = Place::S3 { bucket: "b".to_owned(), key: key.to_owned(), layout: None };
            let name = key.rsplit('/').next().unwrap().to_owned();
            let item = Item {
                name,
                revision: None,
                etcd_version: None,
                history: None,
                size: None,
                last_modified: None,
                place,
            };
            file_name(&item).map(str::to_owned)
        };
        assert_eq!(file("a/etcd.backup").as_deref(), Ok("etcd.backup"));
        for key in ["-", "a/-", "a/..", "."] {
            assert_eq!(file(key).unwrap_err().kind(), crate::error::ErrorKind::Usage, "{key}");
        }
    }
}
