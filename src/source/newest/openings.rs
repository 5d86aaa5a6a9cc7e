//! The first pages of several directories that may hold the snapshots of a cluster, for as few requests as can be.

use super::reader::in_order;
use super::{Lister, PAGE};
use crate::aws::s3::Page;
use crate::error::{ErrorKind, Result};

/// The first page of each of `directories`, all of which lie below `root`; refusals stand in their place. Where all are
/// refused, the first refusal of all stands there: what was asked next may not have been asked with the same keys.
///
/// A page that begins where a directory does and goes on behind its end tells of the next directory, too, so a small
/// store answers for all of them at once. Where the root may not be listed, or the store has no order, each directory
/// is asked for alone.
///
/// # Errors
/// Any error of the store but a refusal.
pub async fn openings(lister: &impl Lister, root: &str, directories: &[String]) -> Result<Vec<Result<Page>>> {
    let mut shared = directories.len() > 1 && lister.disorder().is_none();
    let mut order: Vec<usize> = (0..directories.len()).collect();
    order.sort_by_key(|index| directories.get(*index));
    let mut opened: Vec<(usize, Result<Page>)> = Vec::new();
    let (mut last, mut refusal) = (None, None);
    for index in order {
        let Some(directory) = directories.get(index) else { continue };
        if let Some(part) = last.as_ref().and_then(|page| part(page, directory)).filter(|part| !part.truncated) {
            opened.push((index, Ok(part)));
            continue;
        }
        if shared {
            last = match lister.page(root, directory, PAGE).await {
                // a policy may allow only the cluster's own directories
                Err(error) if error.kind() == ErrorKind::Denied => {
                    refusal = Some(error);
                    None
                }
                page => Some(page?).filter(|page| in_order(root, directory, page).is_ok()),
            };
            shared = last.as_ref().is_some_and(|page| part(page, directory).is_some());
        }
        let page = match last.as_ref().and_then(|page| part(page, directory)) {
            Some(part) if shared => Ok(part),
            _ => lister.page(directory, "", PAGE).await,
        };
        match page {
            Err(error) if error.kind() != ErrorKind::Denied => return Err(error),
            page => opened.push((index, page)),
        }
    }
    opened.sort_by_key(|(index, _)| *index);
    let mut pages: Vec<Result<Page>> = opened.into_iter().map(|(_, page)| page).collect();
    if let Some(first) = refusal.filter(|_| pages.iter().all(Result::is_err)) {
        pages.fill(Err(first));
    }
    Ok(pages)
}

/// What a page that begins at or before `directory` tells of it; `None` if it ends before.
///
/// A page that is not the last and lists nothing of it tells nothing either: a store that sorts directories by their
/// names without the slash lists `a/` before `a-b/`, and nothing on that page need show it (versity/versitygw#1283).
fn part(page: &Page, directory: &str) -> Option<Page> {
    let last = page.objects.last().map_or("", |last| last.key.as_str());
    let reaches_in = last.starts_with(directory);
    let objects: Vec<_> = page.objects.iter().filter(|object| object.key.starts_with(directory)).cloned().collect();
    let told = !page.truncated || !objects.is_empty();
    told.then_some(Page { objects, truncated: page.truncated && reaches_in })
}
