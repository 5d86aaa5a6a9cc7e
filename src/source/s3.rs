//! Snapshots in an S3 bucket, read without Kubernetes.

use super::{Listing, StoredSnapshot};
use crate::aws::S3;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Layout;
use crate::snapshot::layout::{Entry, classify};

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
    let mut listed = 0;
    for layout in place.layouts() {
        let source = S3Source { s3: s3.clone(), layout, directory: place.directory(layout) };
        match source.list().await {
            Ok(listing) => {
                listed += 1;
                if !listing.snapshots.is_empty() {
                    probe.found.push((layout, listing));
                }
            }
            // a policy may allow only this cluster's own directory
            Err(error) if error.kind() == ErrorKind::Denied => probe.refused.push((layout, error)),
            Err(error) => return Err(error),
        }
    }
    match probe.refused.first() {
        Some((_, error)) if listed == 0 => Err(error.clone()),
        _ => Ok(probe),
    }
}

impl Probe {
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
        let mut listing = Listing::default();
        for object in self.s3.list(&self.directory).await? {
            let Some(relative) = object.key.strip_prefix(&self.directory) else { continue };
            match classify(relative) {
                Entry::Snapshot(history, name) => listing.snapshots.push(StoredSnapshot {
                    name,
                    history,
                    location: object.key,
                    size: Some(object.size),
                    etag: object.etag,
                    modified: object.modified,
                }),
                Entry::Foreign => listing.foreign.push(object.key),
                Entry::Known => {}
            }
        }
        Ok(listing)
    }
}
