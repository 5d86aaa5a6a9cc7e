//! What the credentials may do in a bucket: list, read, write and delete, tried on small objects.

use std::hash::{BuildHasher, RandomState};

use super::{S3, explain};
use crate::error::Result;

/// The first page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Objects on the page.
    pub objects: usize,
    /// Whether there are more.
    pub more: bool,
    /// The newest of them that holds bytes.
    pub newest: Option<String>,
}

/// A key below `prefix` that no snapshot and no other run has.
pub fn key(prefix: &str) -> String {
    let random = RandomState::new().hash_one(prefix);
    match prefix.trim_matches('/') {
        "" => format!(".kubectl-etcdbackup-probe-{random:016x}"),
        prefix => format!("{prefix}/.kubectl-etcdbackup-probe-{random:016x}"),
    }
}

/// Lists up to 1000 objects below `prefix`.
///
/// # Errors
/// As [`explain`].
pub async fn list(s3: &S3, prefix: &str) -> Result<Page> {
    let listed = s3.client.list_objects_v2().bucket(&s3.bucket).prefix(prefix).send().await;
    let page = listed.map_err(|error| explain(&error, &format!("listing {}", s3.url(prefix)), s3))?;
    let holding_bytes = page.contents().iter().filter(|object| object.size().is_some_and(|size| size > 0));
    let newest =
        holding_bytes.max_by_key(|object| object.last_modified().map(|time| (time.secs(), time.subsec_nanos())));
    Ok(Page {
        objects: page.contents().len(),
        more: page.is_truncated() == Some(true),
        newest: newest.and_then(|object| object.key()).map(str::to_owned),
    })
}

/// Reads the first byte of an object.
///
/// # Errors
/// As [`explain`].
pub async fn read(s3: &S3, key: &str) -> Result<()> {
    s3.open(key, None, "bytes=0-0").await.map(drop)
}

/// Writes a small object.
///
/// # Errors
/// As [`explain`].
pub async fn write(s3: &S3, key: &str) -> Result<()> {
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"written by kubectl etcdbackup credentials check\n");
    let put = s3.client.put_object().bucket(&s3.bucket).key(key).body(body).send().await;
    put.map(drop).map_err(|error| explain(&error, &format!("writing {}", s3.url(key)), s3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_lie_below_the_prefix_and_differ() {
        assert!(key("/team/").starts_with("team/.kubectl-etcdbackup-probe-"));
        assert!(key("").starts_with(".kubectl-etcdbackup-probe-"));
        assert_ne!(key(""), key(""));
    }
}
