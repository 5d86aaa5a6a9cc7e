//! A snapshot from a directory: `--from dir`. No kubeconfig is read and nobody is contacted.

use std::path::{Path, PathBuf};

use super::Args;
use super::find::{Found, counted, warn_of_foreign};
use super::item::Item;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, Result};
use crate::source::dir::{self, Looked, Sought};
use crate::source::{self, Wanted};
use crate::transfer::download::Target;

/// What is sought; only what was typed tells the namespace.
pub(in crate::commands) fn sought<'a>(path: &'a Path, cluster: Option<&'a str>, kube: &'a KubeFlags) -> Sought<'a> {
    Sought { path, cluster, namespace: kube.namespace.as_deref() }
}

/// Looks below the path, and says what it could not look at.
///
/// # Errors
/// Those of [`dir::look`].
pub(in crate::commands) async fn look(sought: &Sought<'_>, ui: &Ui) -> Result<Looked> {
    let (path, cluster) = (sought.path.to_owned(), sought.cluster.map(str::to_owned));
    let namespace = sought.namespace.map(str::to_owned);
    // a disk may be slow or stuck, and Ctrl-C has to be heard
    let looking = tokio::task::spawn_blocking(move || {
        dir::look(&Sought { path: &path, cluster: cluster.as_deref(), namespace: namespace.as_deref() })
    });
    let looked = looking.await.map_err(|error| Error::general(format!("cannot look: {error}")))??;
    // where nothing is found the error says so
    if !looked.found.is_empty() {
        looked.refused.iter().for_each(|error| ui.say(format!("dir: {}; passed over", error.message())));
        let shown = looked.links.iter().map(|link| link.display().to_string());
        shown.take(3).for_each(|link| ui.say(format!("dir: {link} is a symbolic link and was not followed")));
    }
    Ok(looked)
}

pub(super) async fn find(path: &Path, args: &Args, wanted: &Wanted, kube: &KubeFlags, ui: &Ui) -> Result<Found> {
    let sought = sought(path, args.cluster.as_deref(), kube);
    let found = look(&sought, ui).await?.one(&sought)?;
    ui.say(format!("dir: {} in {}", counted(found.listing.snapshots.len()), found.path.display()));
    warn_of_foreign(&found.listing, ui);
    let snapshot = source::select(&found.listing.snapshots, wanted)?;
    let older = source::next_older(&found.listing.snapshots, snapshot);
    Ok(Found::in_file(Item::of_dir(snapshot, found.layout), older, found.file(snapshot)))
}

/// Refuses a target in the directory that the snapshot is in: it is there already, and a store is no place for
/// other files.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage).
pub(super) fn refuse_store(source: &Path, target: &Target) -> Result<()> {
    let Target::File { path, .. } = target else { return Ok(()) };
    let directory = |file: &Path| -> Option<PathBuf> {
        let parent = file.parent()?;
        if parent.as_os_str().is_empty() { Path::new(".") } else { parent }.canonicalize().ok()
    };
    match (directory(source), directory(path)) {
        (Some(store), Some(directory)) if store == directory => {
            let sentence = format!("{} would lie among the backups themselves", path.display());
            Err(Error::usage(sentence).hint("name another directory with -O DIRECTORY"))
        }
        _ => Ok(()),
    }
}
