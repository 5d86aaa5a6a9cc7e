//! Which snapshot `get` takes, and from which source.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::item::Item;
use super::place::{self, At, Resolved};
use super::pv::{self, Helpers, Reading};
use super::{Args, From, dir};
use crate::aws::S3;
use crate::aws::s3::read_ca_bundle;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, Session};
pub(super) use crate::source::counted;
use crate::source::origin::Origin;
use crate::source::s3::{S3Source, probe_for};
use crate::source::service::{Door, ServiceSource};
use crate::source::{self, Extent, Listing, StoredSnapshot, Wanted, clusters, object, path};
use crate::transfer::download::{How, Target};

/// Longest token that is read: those of Kubernetes have about 1 KiB.
const MOST_TOKEN: u64 = 64 * 1024;

/// A snapshot that was found, and the way to its bytes.
pub(super) struct Found {
    pub item: Item,
    older: Older,
    way: Way,
}

/// The revision of the next older one.
enum Older {
    /// As far as the source tells.
    Known(Option<u64>),
    /// Only the newest was looked for.
    Unread(Box<S3Source>, StoredSnapshot),
}

enum Way {
    Service(Arc<ServiceSource>, StoredSnapshot),
    S3 { s3: Box<S3>, key: String, etag: Option<String> },
    Volume(Reading, StoredSnapshot),
    File(PathBuf),
}

impl Found {
    /// A snapshot on a volume that is being served.
    pub(super) fn on_volume(item: Item, older: Option<u64>, reading: Reading, snapshot: StoredSnapshot) -> Self {
        Self { item, older: Older::Known(older), way: Way::Volume(reading, snapshot) }
    }

    /// A snapshot that is a file here.
    pub(super) fn in_file(item: Item, older: Option<u64>, file: PathBuf) -> Self {
        Self { item, older: Older::Known(older), way: Way::File(file) }
    }

    /// Refuses a target beside the snapshot itself.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`].
    pub(super) fn refuse_store(&self, target: &Target) -> Result<()> {
        match &self.way {
            Way::File(file) => dir::refuse_store(file, target),
            _ => Ok(()),
        }
    }

    /// Whether the backup service offers it.
    pub(super) fn is_of_service(&self) -> bool {
        matches!(self.way, Way::Service(..))
    }

    /// The revision of the next older snapshot, where the source tells.
    ///
    /// # Errors
    /// As [`S3Source::before`].
    pub(super) async fn older(&self) -> Result<Option<u64>> {
        match &self.older {
            Older::Known(older) => Ok(*older),
            Older::Unread(source, snapshot) => source.before(snapshot).await,
        }
    }

    /// The bytes, and what is sensible to fetch them.
    ///
    /// # Errors
    /// [`ErrorKind::General`] for a listing without size or ETag: such bytes cannot be pinned; those of
    /// [`source::dir::open`].
    pub(super) async fn origin(&self) -> Result<(Origin, How)> {
        match &self.way {
            Way::Service(source, snapshot) | Way::Volume(Reading { source, .. }, snapshot) => {
                // the tunnel is the limit, so a second connection would bring nothing
                let how = How { concurrency: 1, part_size: u64::MAX, ..How::NEAR };
                Ok((source.origin(snapshot), how))
            }
            Way::S3 { s3, key, etag } => {
                let (Some(size), Some(etag)) = (self.item.size, etag) else {
                    return Err(Error::general(format!("s3: {} was listed without its size or ETag", s3.url(key))));
                };
                let near = s3.endpoint.as_deref().is_some_and(is_near);
                let how = if near { How::NEAR } else { How::NETWORK };
                Ok((object::origin(s3, key, etag, size).await, how))
            }
            Way::File(file) => Ok((source::dir::open(file)?, How::NEAR)),
        }
    }
}

/// Whether the host of a URL is this machine or in its own network, as far as the address alone tells.
fn is_near(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

/// Finds the snapshot in the first source that has one.
///
/// # Errors
/// Those of the sources.
pub(super) async fn find(args: &Args, kube: &KubeFlags, helpers: &Helpers, ui: &Ui) -> Result<Found> {
    let wanted =
        Wanted { revision: args.revision, etcd_version: args.etcd_version.clone(), history: args.history.clone() };
    if let Some(url) = &args.service_url {
        let source = ServiceSource::at(url)?.through(door(args, kube)?);
        return offered(source, &wanted, ui).await.map_err(NoService::into_error);
    }
    if let Some(path) = &args.dir {
        return dir::find(path, args, &wanted, kube, ui).await;
    }
    if args.is_pv() {
        return pv::find(args, &wanted, kube, ui, helpers).await;
    }
    from_service_or_store(args, &wanted, kube, helpers, ui).await
}

async fn from_service_or_store(
    args: &Args,
    wanted: &Wanted,
    kube: &KubeFlags,
    helpers: &Helpers,
    ui: &Ui,
) -> Result<Found> {
    let mut why = None;
    if args.from != From::S3 && args.s3.place.path.is_none() {
        match from_service(args, kube, wanted, ui).await {
            Ok(found) => return Ok(found),
            Err(NoService::Unreachable(error)) if args.from == From::Auto => {
                if let Some(told) = on_volume(args, kube).await {
                    ui.say(format!("{}; trying pv", error.message()));
                    ui.say(format!("s3: not read: {told}"));
                    // a pod takes longer to start than the patience for an API server that may be gone
                    kube.patience.lift();
                    let found = pv::find(args, wanted, kube, ui, helpers).await;
                    return found.map_err(|last| both(last, &error));
                }
                let skipped = if kube.patience.answered() { "" } else { "backup service not asked: " };
                ui.say(format!("{skipped}{}; trying s3", error.message()));
                why = Some(error);
            }
            Err(NoService::Unreachable(error)) => return Err(suggest(error, args, kube).await),
            Err(NoService::Refused(error)) => return Err(error),
        }
    }
    let error = match from_s3(args, kube, wanted, ui).await {
        Err(error) => why.map_or(error.clone(), |why| both(error, &why)),
        found => return found,
    };
    let place = &args.s3.place;
    match place.bucket.is_some() || place.path.is_some() {
        // these promise that no API server is contacted
        true if args.from == From::S3 => Err(error),
        _ => Err(suggest(error, args, kube).await),
    }
}

/// What says that the snapshots are on a volume, where no flag says that they are in S3.
async fn on_volume(args: &Args, kube: &KubeFlags) -> Option<String> {
    if args.s3.first_given().is_some() || !kube.patience.answered() {
        return None;
    }
    pv::told_by_backups(args.cluster(), kube).await
}

/// Adds which clusters are there, unless that would be asked of an API server that does not answer.
async fn suggest(error: Error, args: &Args, kube: &KubeFlags) -> Error {
    if kube.patience.answered() { clusters::suggest(error, args.cluster(), kube).await } else { error }
}

/// What the last source says, and after it what the one before advised: either may be the way on.
fn both(last: Error, before: &Error) -> Error {
    before.hints().iter().fold(last, |error, hint| match error.hints().contains(hint) {
        true => error,
        false => error.hint(hint.clone()),
    })
}

/// Why the backup service gave nothing.
enum NoService {
    /// It could not be asked; another source may have the snapshot.
    Unreachable(Error),
    /// It was asked and said no; another source would only hide its reason.
    Refused(Error),
}

impl NoService {
    fn into_error(self) -> Error {
        match self {
            Self::Unreachable(error) | Self::Refused(error) => error,
        }
    }
}

async fn from_service(args: &Args, kube: &KubeFlags, wanted: &Wanted, ui: &Ui) -> Result<Found, NoService> {
    let session = Session::connect(kube).await.map_err(NoService::Unreachable)?;
    let source = ServiceSource::connect(&session, args.cluster()).await.map_err(NoService::Unreachable)?;
    offered(source, wanted, ui).await
}

async fn offered(mut source: ServiceSource, wanted: &Wanted, ui: &Ui) -> Result<Found, NoService> {
    let answer = source.head(wanted).await;
    source.notes().iter().for_each(|note| ui.say(note));
    match answer {
        Ok(snapshot) => {
            let item = Item::of_service(&snapshot);
            Ok(Found { item, older: Older::Known(None), way: Way::Service(Arc::new(source), snapshot) })
        }
        Err(error) if source.refused() => Err(NoService::Refused(error)),
        Err(error) => Err(NoService::Unreachable(error)),
    }
}

async fn from_s3(args: &Args, kube: &KubeFlags, wanted: &Wanted, ui: &Ui) -> Result<Found> {
    let mut place = place::resolve(args.cluster(), &args.s3, kube, ui).await?;
    match in_place(args, &place, wanted, ui).await {
        Err(_) if place.follow(ui) => in_place(args, &place, wanted, ui).await,
        found => found,
    }
}

async fn in_place(args: &Args, place: &Resolved, wanted: &Wanted, ui: &Ui) -> Result<Found> {
    match &place.at {
        At::Path(key) => at_path(&place.s3, key, wanted, ui).await,
        At::Directories { .. } => in_directories(args.cluster(), place, wanted, ui).await,
    }
}

async fn in_directories(cluster: &str, place: &Resolved, wanted: &Wanted, ui: &Ui) -> Result<Found> {
    let at = place.as_place(cluster);
    let probed = probe_for(&place.s3, at, wanted).await?;
    // where nothing is found the error says so
    for (layout, error) in probed.refused.iter().filter(|_| !probed.found.is_empty()) {
        ui.say(format!("s3: layout {layout} could not be listed: {}", error.message()));
    }
    let (source, listing) = probed.one(&place.s3, at)?;
    say_what_was_read(&listing, &source.s3.url(&source.directory), ui);
    warn_of_foreign(&listing, ui);
    let snapshot = source::select(&listing.snapshots, wanted)?;
    let item = Item::of_s3(snapshot, &source.s3, source.layout);
    let way = Way::S3 { key: snapshot.location.clone(), etag: snapshot.etag.clone(), s3: Box::new(source.s3.clone()) };
    let older = match listing.extent {
        Extent::Deciding => Older::Unread(Box::new(source), snapshot.clone()),
        Extent::All | Extent::Greatest(_) => Older::Known(source::next_older(&listing.snapshots, snapshot)),
    };
    Ok(Found { item, older, way })
}

fn say_what_was_read(listing: &Listing, url: &str, ui: &Ui) {
    match &listing.extent {
        Extent::All => ui.say(format!("s3: {} in {url}", counted(listing.snapshots.len()))),
        Extent::Deciding => ui.say(format!("s3: many snapshots in {url}; only the newest was looked for")),
        Extent::Greatest(why) => ui.warn(format!("all of {url} was listed to find the newest: {why}")),
    }
}

async fn at_path(s3: &S3, key: &str, wanted: &Wanted, ui: &Ui) -> Result<Found> {
    if let Some(version) = &wanted.etcd_version {
        // an EtcdBackup with a path leads here too
        let sentence =
            format!("whether a snapshot suits etcd {version} cannot be told: keys below a path say no version");
        return Err(Error::usage(sentence).hint("leave out --etcd-version"));
    }
    if wanted.history.is_some() {
        return Err(Error::usage("a path has no histories").hint("leave out --history"));
    }
    let stored = path::list(s3, key).await?;
    ui.say(format!("s3: {} at {}", counted(stored.len()), s3.url(key)));
    let snapshot = path::select(&stored, wanted.revision, &s3.url(key))?;
    let older = Older::Known(path::next_older(&stored, snapshot));
    let way = Way::S3 { s3: Box::new(s3.clone()), key: snapshot.key.clone(), etag: snapshot.etag.clone() };
    Ok(Found { item: Item::of_path(snapshot, s3), older, way })
}

/// Says which objects in a cluster's directory are no snapshots.
pub(in crate::commands) fn warn_of_foreign(listing: &Listing, ui: &Ui) {
    let count = listing.foreign.len();
    let Some(first) = listing.foreign.first() else { return };
    let (objects, names) = if count == 1 { ("object", "name is") } else { ("objects", "names are") };
    ui.warn(format!(
        "skipped {count} {objects} whose {names} not VERSION_REVISION_etcd.backup: {}{}",
        first.escape_debug(),
        if count > 1 { ", …" } else { "" }
    ));
}

/// The token and the trust for `--service-url`. The token comes from a file: arguments show in process lists.
fn door(args: &Args, kube: &KubeFlags) -> Result<Door> {
    let token = args.token_file.as_deref().map(read_token).transpose()?;
    let ca_pem = args.s3.ca_bundle.as_deref().map(read_ca_bundle).transpose()?;
    let cluster = if args.cluster().is_empty() { "CLUSTER" } else { args.cluster() };
    Door::new(token.as_deref(), ca_pem, &kubernetes::namespace(kube), cluster)
}

fn read_token(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(MOST_TOKEN).read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|file| file.take(MOST_TOKEN).read_to_string(&mut text)),
    };
    match read {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(error) => {
            Err(Error::new(ErrorKind::Denied, format!("cannot read the token from {}: {error}", path.display()))
                .hint("name a file with --token-file, or - for stdin"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_both_sources_are_kept_once_and_in_order() {
        let service = Error::general("a").hint("one").hint("two");
        let s3 = Error::not_found("b").hint("three").hint("one");
        let error = both(s3, &service);
        assert_eq!(error.to_string(), "error: b\nhint: three\nhint: one\nhint: two");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
