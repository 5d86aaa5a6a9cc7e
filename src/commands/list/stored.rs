//! The snapshots of a cluster that are really stored.

use std::path::Path;

use super::From;
use crate::cli::{KubeFlags, S3ReadFlags, Ui};
use crate::commands::get::dir;
use crate::commands::get::item::Item;
use crate::commands::get::place::{self, At, Resolved};
use crate::commands::get::pv::Reading;
use crate::commands::get::warn_of_foreign;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::source::s3::{S3Source, probe};
use crate::source::service::ServiceSource;
use crate::source::{Listing, StoredSnapshot, Wanted, choose_history, path};

/// What is stored, as far as it can be told.
#[derive(Default)]
pub(in crate::commands) struct Stored {
    /// The newest first.
    pub items: Vec<Item>,
    /// Why there may be more.
    pub failed: Option<Error>,
}

impl Stored {
    fn of(found: Result<Vec<Item>>) -> Self {
        match found {
            Ok(items) => Self { items, failed: None },
            Err(error) => Self { items: Vec::new(), failed: Some(error) },
        }
    }
}

/// Lists the snapshots of `cluster`, or those at the path of the flags.
pub(super) async fn find(
    cluster: &str,
    from: From,
    history: Option<&str>,
    flags: &S3ReadFlags,
    kube: &KubeFlags,
    ui: &Ui,
) -> Stored {
    if from == From::Service {
        return Stored::of(offered(cluster, history, kube, ui).await);
    }
    let unplaced = match place::resolve(cluster, flags, kube, ui).await {
        Ok(place) => match listed_where_it_is(place, cluster, history, ui).await {
            Ok(items) => return Stored { items, failed: None },
            Err(error) => Err(error),
        },
        Err(error) => Ok(error),
    };
    if from == From::S3 || flags.place.path.is_some() {
        return Stored { items: Vec::new(), failed: Some(unplaced.unwrap_or_else(|error| error)) };
    }
    match (offered(cluster, history, kube, ui).await, unplaced) {
        // nobody names a bucket and there is no service: nothing is stored that we could know of
        (Err(service), Ok(place)) if is_absent(&service) && is_absent(&place) => Stored::default(),
        (Err(service), Ok(place)) if is_absent(&place) => Stored { items: Vec::new(), failed: Some(service) },
        (Err(service), Ok(s3) | Err(s3)) => {
            ui.say(format!("{}; not listed", service.message()));
            Stored { items: Vec::new(), failed: Some(s3) }
        }
        (Ok(items), Ok(place)) if is_absent(&place) => Stored { items, failed: None },
        (Ok(items), Ok(s3) | Err(s3)) => Stored { items, failed: Some(s3) },
    }
}

fn is_absent(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// The newest snapshot of the backup service: its interface lists nothing.
async fn offered(cluster: &str, history: Option<&str>, kube: &KubeFlags, ui: &Ui) -> Result<Vec<Item>> {
    let session = Session::connect(kube).await?;
    let mut source = ServiceSource::connect(&session, cluster).await?;
    let wanted = Wanted { history: history.map(str::to_owned), ..Wanted::default() };
    let snapshot = source.head(&wanted).await?;
    ui.say(format!("service {}: tells only of its newest snapshot", crate::api::names::sidecar(cluster)));
    Ok(vec![Item::of_service(&snapshot)])
}

async fn listed_where_it_is(mut place: Resolved, cluster: &str, history: Option<&str>, ui: &Ui) -> Result<Vec<Item>> {
    match listed(&place, cluster, history, ui).await {
        Err(_) if place.follow(ui) => listed(&place, cluster, history, ui).await,
        found => found,
    }
}

/// Lists what a directory of this machine holds of a cluster, or of the only one that is there.
///
/// # Errors
/// [`ErrorKind::NotFound`] for no snapshots and for several clusters; those of the disk.
pub(super) async fn in_dir(
    path: &Path,
    cluster: Option<&str>,
    history: Option<&str>,
    kube: &KubeFlags,
    ui: &Ui,
) -> Result<Vec<Item>> {
    let sought = dir::sought(path, cluster, kube);
    let mut items = Vec::new();
    for found in dir::look(&sought, ui).await?.of_one_cluster(&sought)? {
        ui.say(format!("dir: {}", found.path.display()));
        warn_of_foreign(&found.listing, ui);
        let layout = found.layout;
        items.extend(of_history(found.listing, history)?.iter().map(|snapshot| Item::of_dir(snapshot, layout)));
    }
    Ok(items)
}

/// What is on a volume that is being served.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a history that is not there.
pub(super) fn on_volume(reading: &Reading, history: Option<&str>, ui: &Ui) -> Result<Vec<Item>> {
    warn_of_foreign(&reading.listing, ui);
    let found = of_history(reading.listing.clone(), history)?;
    Ok(found.iter().map(|snapshot| Item::of_pv(snapshot, &reading.claim, reading.volume.as_deref())).collect())
}

/// Every layout counts: `list` shows what there is, and choosing is for `get`.
async fn listed(place: &Resolved, cluster: &str, history: Option<&str>, ui: &Ui) -> Result<Vec<Item>> {
    if let At::Path(key) = &place.at {
        let found = path::list(&place.s3, key).await?;
        return Ok(found.iter().map(|snapshot| Item::of_path(snapshot, &place.s3)).collect());
    }
    let at = place.as_place(cluster);
    let probed = probe(&place.s3, at).await?;
    for (layout, error) in &probed.refused {
        ui.say(format!("s3: layout {layout} could not be listed: {}", error.message()));
    }
    let mut items = Vec::new();
    for (layout, listing) in probed.found {
        let source = S3Source { s3: place.s3.clone(), layout, directory: at.directory(layout) };
        ui.say(format!("s3: {}", source.s3.url(&source.directory)));
        warn_of_foreign(&listing, ui);
        items.extend(of_history(listing, history)?.iter().map(|snapshot| Item::of_s3(snapshot, &source.s3, layout)));
    }
    Ok(items)
}

/// The snapshots of a directory, or of one history in it, the newest first.
fn of_history(listing: Listing, wanted: Option<&str>) -> Result<Vec<StoredSnapshot>> {
    let mut found = listing.snapshots;
    found.sort_by(|a, b| (&b.history, &b.name).cmp(&(&a.history, &a.name)));
    if wanted.is_some() {
        let history = choose_history(&found, wanted)?.cloned();
        found.retain(|snapshot| Some(&snapshot.history) == history.as_ref());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{History, SnapshotName};

    fn listing(names: &[(&str, History)]) -> Listing {
        let snapshot = |(name, history): &(&str, History)| StoredSnapshot {
            name: SnapshotName::parse(name).unwrap(),
            location: (*name).to_owned(),
            history: history.clone(),
            size: None,
            etag: None,
            modified: None,
        };
        Listing { snapshots: names.iter().map(snapshot).collect(), ..Listing::default() }
    }

    #[test]
    fn the_newest_history_comes_first_and_can_be_chosen() {
        let later = History::Later("20260101T000000Z_ab".to_owned());
        let all = || {
            listing(&[
                ("3.9.0_0f_etcd.backup", History::First),
                ("3.10.0_10_etcd.backup", History::First),
                ("3.5.0_02_etcd.backup", later.clone()),
            ])
        };
        let revisions = |wanted| -> Vec<u64> {
            of_history(all(), wanted).unwrap().iter().map(|snapshot| snapshot.name.revision()).collect()
        };
        assert_eq!(revisions(None), [2, 16, 15]);
        assert_eq!(revisions(Some("latest")), [2]);
        assert_eq!(revisions(Some("first")), [16, 15]);
        assert_eq!(of_history(all(), Some("nope")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
