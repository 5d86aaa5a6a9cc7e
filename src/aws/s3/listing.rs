//! Listings that are whole or an error: where a page is lost, an old snapshot passes for the newest.

use std::collections::HashSet;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::S3;
use crate::aws::explain;
use crate::error::{Error, Result};

/// Most directories whose names are kept.
pub const MOST_DIRECTORIES: usize = 100_000;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    pub size: u64,
    pub etag: Option<String>,
    pub modified: Option<jiff::Timestamp>,
}

/// One answer to a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<Object>,
    /// Whether the service has more keys after these.
    pub truncated: bool,
}

/// A multipart upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunUpload {
    pub key: String,
    pub id: String,
    /// When it was begun, by the store's clock.
    pub begun: jiff::Timestamp,
    /// Whether it is known that nobody goes on with it; a bucket does not tell.
    pub abandoned: bool,
}

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Next {
    Token(String),
    /// After this key, for services that say "truncated" and give no token.
    After(String),
}

/// Ends a listing that goes in circles.
#[derive(Default)]
struct Pages {
    turned: HashSet<Next>,
    /// The first key of each page: the same page may come again under another token.
    begun: HashSet<String>,
}

impl Pages {
    /// Where the page after `page` begins; `None` after the last one, an error where it has been before.
    fn after(&mut self, page: &ListObjectsV2Output) -> Result<Option<Next>, ()> {
        let key = |object: &aws_sdk_s3::types::Object| object.key().map(str::to_owned);
        if page.contents().first().and_then(key).is_some_and(|first| !self.begun.insert(first)) {
            return Err(());
        }
        if !is_truncated(page) {
            return Ok(None);
        }
        let token = token(page);
        let last = || page.contents().last().and_then(key).map(Next::After);
        let next = token.map(|token| Next::Token(token.to_owned())).or_else(last).ok_or(())?;
        if self.turned.insert(next.clone()) { Ok(Some(next)) } else { Err(()) }
    }
}

impl S3 {
    /// All objects below `prefix` in the order of their keys, each once.
    ///
    /// # Errors
    /// As [`S3::each`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        self.each(prefix, |object| objects.push(object)).await?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        objects.dedup_by(|a, b| a.key == b.key);
        Ok(objects)
    }

    /// Gives all objects below `prefix` to `take`, page by page, in the service's order. A service whose pages overlap
    /// gives an object more than once.
    ///
    /// # Errors
    /// As [`explain`]; a service whose pages do not lead to an end.
    pub async fn each(&self, prefix: &str, mut take: impl FnMut(Object) + Send) -> Result<()> {
        self.pages(prefix, None, |page| page.contents().iter().filter_map(object).for_each(&mut take)).await
    }

    /// The names of the directories directly below `prefix`, without slashes, in the service's order.
    ///
    /// # Errors
    /// As [`S3::each`], and for more than [`MOST_DIRECTORIES`].
    pub async fn directories(&self, prefix: &str) -> Result<Vec<String>> {
        let (mut names, mut count) = (Vec::new(), 0_usize);
        self.pages(prefix, Some("/"), |page| {
            let below = page.common_prefixes().iter().filter_map(|below| below.prefix());
            let below = below.filter_map(|below| below.strip_prefix(prefix)?.strip_suffix('/'));
            for name in below.filter(|name| !name.is_empty()) {
                count += 1;
                if count <= MOST_DIRECTORIES {
                    names.push(name.to_owned());
                }
            }
        })
        .await?;
        match count > MOST_DIRECTORIES {
            true => {
                Err(Error::general(format!("s3: more than {MOST_DIRECTORIES} directories in {}", self.url(prefix))))
            }
            false => Ok(names),
        }
    }

    /// Gives every page of a listing to `take`.
    async fn pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut take: impl FnMut(&ListObjectsV2Output) + Send,
    ) -> Result<()> {
        let (mut pages, mut next) = (Pages::default(), None);
        loop {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let request = request.set_delimiter(delimiter.map(str::to_owned));
            let request = match next {
                None => request,
                Some(Next::Token(token)) => request.continuation_token(token),
                Some(Next::After(key)) => request.start_after(key),
            };
            let doing = format!("listing {}", self.url(prefix));
            let page = request.send().await.map_err(|error| explain(&error, &doing, self))?;
            take(&page);
            next = pages.after(&page).map_err(|()| endless(&doing))?;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The first objects below `prefix` whose keys sort after `after`, at most `most`; from the first one on if
    /// `after` is empty. Whether the service heeds `after` and the order is the caller's to check.
    ///
    /// # Errors
    /// As [`explain`].
    pub async fn page(&self, prefix: &str, after: &str, most: u32) -> Result<Page> {
        let after = Some(after.to_owned()).filter(|after| !after.is_empty());
        // services send a thousand unasked
        let most = i32::try_from(most).ok().filter(|most| *most < 1000);
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let answer = request.set_start_after(after).set_max_keys(most).send().await;
        let answer = answer.map_err(|error| explain(&error, &format!("listing {}", self.url(prefix)), self))?;
        Ok(Page { objects: answer.contents().iter().filter_map(object).collect(), truncated: is_truncated(&answer) })
    }

    /// Unfinished uploads below `prefix`, page by page.
    ///
    /// # Errors
    /// As [`S3::list`].
    pub async fn begun_uploads(&self, prefix: &str) -> Result<Vec<BegunUpload>> {
        let (mut uploads, mut turned) = (Vec::new(), HashSet::new());
        let mut after: Option<(String, Option<String>)> = None;
        loop {
            let (key, id) = after.unzip();
            let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(prefix);
            let page = request.set_key_marker(key).set_upload_id_marker(id.flatten()).send().await;
            let doing = format!("listing unfinished uploads below {}", self.url(prefix));
            let page = page.map_err(|error| explain(&error, &doing, self))?;
            uploads.extend(page.uploads().iter().filter_map(begun));
            if page.is_truncated() != Some(true) {
                return Ok(uploads);
            }
            let key = page.next_key_marker().filter(|key| !key.is_empty()).ok_or_else(|| endless(&doing))?;
            let next = (key.to_owned(), page.next_upload_id_marker().map(str::to_owned));
            if !turned.insert(next.clone()) {
                return Err(endless(&doing));
            }
            after = Some(next);
        }
    }
}

fn token(page: &ListObjectsV2Output) -> Option<&str> {
    page.next_continuation_token().filter(|token| !token.is_empty())
}

/// What a page says of more pages; some services only give a token.
fn is_truncated(page: &ListObjectsV2Output) -> bool {
    page.is_truncated().unwrap_or(token(page).is_some())
}

fn endless(doing: &str) -> Error {
    Error::general(format!("s3: the service's pages do not come to an end, {doing}"))
        .hint("what is stored there cannot be told: look at it with another tool, or ask the service's makers")
}

fn begun(upload: &aws_sdk_s3::types::MultipartUpload) -> Option<BegunUpload> {
    let begun = jiff::Timestamp::new(upload.initiated()?.secs(), 0).ok()?;
    Some(BegunUpload { key: upload.key()?.to_owned(), id: upload.upload_id()?.to_owned(), begun, abandoned: false })
}

fn object(object: &aws_sdk_s3::types::Object) -> Option<Object> {
    let modified = object.last_modified().and_then(|time| jiff::Timestamp::new(time.secs(), 0).ok());
    Some(Object {
        key: object.key()?.to_owned(),
        size: u64::try_from(object.size()?).ok()?,
        etag: object.e_tag().map(str::to_owned),
        modified,
    })
}
