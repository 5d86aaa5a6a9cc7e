//! Snapshots in an S3 bucket, read without Kubernetes.

use super::newest::{self, PAGE};
use super::{Listing, StoredSnapshot, Wanted};
use crate::aws::S3;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Layout;

/// The directory of one cluster in a bucket.
#[derive(Debug, Clone)]
pub struct S3Source {
    pub s3: S3,
    pub layout: Layout,
    /// Key prefix with a trailing slash.
    pub directory: String,
}

/// Which cluster is looked for, and below which prefix.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub prefix: &'a str,
    pub namespace: &'a str,
    pub cluster: &'a str,
    /// Look only here.
    pub layout: Option<Layout>,
}

impl Place<'_> {
    fn layouts(&self) -> Vec<Layout> {
        self.layout.map_or_else(|| Layout::PROBED.to_vec(), |layout| vec![layout])
    }

    /// The directory of the cluster in a layout, as a key prefix with a trailing slash.
    pub fn directory(&self, layout: Layout) -> String {
        layout.directory(self.prefix, self.namespace, self.cluster)
    }

    /// The key prefix that all layouts share.
    fn root(&self) -> String {
        let directory = self.directory(Layout::Unversioned);
        let own = format!("{}/", self.cluster);
        directory.strip_suffix(&own).unwrap_or_default().to_owned()
    }
}

/// What was found in the layouts that were looked at.
#[derive(Debug, Default)]
pub struct Probe {
    /// The layouts that hold snapshots of the cluster, with what they hold.
    pub found: Vec<(Layout, Listing)>,
    /// Layouts that could not be listed, and why.
    pub refused: Vec<(Layout, Error)>,
}

/// Lists the cluster's directory in every layout.
///
/// # Errors
/// The first refusal when no layout could be listed at all; anything but a refusal at once.
pub async fn probe(s3: &S3, place: Place<'_>) -> Result<Probe> {
    let mut probe = Probe::default();
    for layout in place.layouts() {
        probe.add(layout, newest::all(s3, &place.directory(layout)).await)?;
    }
    probe.unless_all_refused(place)
}

/// Finds what decides about the snapshot that is `wanted`, in every layout: fewer requests than [`probe`] where much
/// is stored, and where little is, one for all layouts together.
///
/// # Errors
/// As [`probe`].
pub async fn probe_for(s3: &S3, place: Place<'_>, wanted: &Wanted) -> Result<Probe> {
    let directories: Vec<String> = place.layouts().into_iter().map(|layout| place.directory(layout)).collect();
    let first_pages = newest::openings(s3, &place.root(), &directories).await?;
    let mut probe = Probe::default();
    for ((layout, directory), first) in place.layouts().into_iter().zip(&directories).zip(first_pages) {
        let listing = match first {
            Ok(first) => newest::deciding(s3, directory, first, wanted).await,
            Err(refused) => Err(refused),
        };
        probe.add(layout, listing)?;
    }
    probe.unless_all_refused(place)
}

impl Probe {
    fn add(&mut self, layout: Layout, listing: Result<Listing>) -> Result<()> {
        match listing {
            Ok(listing) if listing.snapshots.is_empty() => {}
            Ok(listing) => self.found.push((layout, listing)),
            // a policy may allow only this cluster's own directory
            Err(error) if error.kind() == ErrorKind::Denied => self.refused.push((layout, error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn unless_all_refused(self, place: Place<'_>) -> Result<Self> {
        match self.refused.first() {
            Some((_, error)) if self.refused.len() == place.layouts().len() => Err(error.clone()),
            _ => Ok(self),
        }
    }

    /// The one layout that holds snapshots.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when none does, or more than one.
    pub fn one(mut self, s3: &S3, place: Place<'_>) -> Result<(S3Source, Listing)> {
        let at = |layout| s3.url(&place.directory(layout));
        let all = |layouts: Vec<Layout>| layouts.into_iter().map(at).collect::<Vec<_>>().join(", ");
        if self.found.len() > 1 {
            let found = self.found.iter().map(|(layout, _)| *layout).collect();
            return Err(Error::not_found(format!(
                "more than one layout holds snapshots of {:?}: {}",
                place.cluster,
                all(found)
            ))
            .hint("choose one with --layout namespaced or --layout cluster"));
        }
        if let Some((layout, listing)) = self.found.pop() {
            return Ok((S3Source { s3: s3.clone(), layout, directory: place.directory(layout) }, listing));
        }
        let looked = all(place.layouts());
        let mut error = Error::not_found(format!("no snapshots of cluster {:?} found in {looked}", place.cluster));
        if let Some((layout, refused)) = self.refused.first() {
            error = error.hint(format!("{} could not be listed: {}", at(*layout), refused.message()));
        }
        Err(error.hint("check CLUSTER, -n and --prefix"))
    }
}

impl S3Source {
    /// Everything in the directory, all pages.
    ///
    /// # Errors
    /// As [`crate::aws::explain`].
    pub async fn list(&self) -> Result<Listing> {
        newest::all(&self.s3, &self.directory).await
    }

    /// What decides about the snapshot that is `wanted`: one request where little is stored.
    ///
    /// # Errors
    /// As [`crate::aws::explain`].
    pub async fn find(&self, wanted: &Wanted) -> Result<Listing> {
        let first = match wanted.revision {
            Some(_) => return self.list().await,
            None => self.s3.page(&self.directory, "", PAGE).await?,
        };
        newest::deciding(&self.s3, &self.directory, first, wanted).await
    }

    /// The revision of the snapshot before `snapshot` in its history; a search of its own.
    ///
    /// # Errors
    /// As [`crate::aws::explain`].
    pub async fn before(&self, snapshot: &StoredSnapshot) -> Result<Option<u64>> {
        newest::before(&self.s3, &self.directory, snapshot).await
    }
}
