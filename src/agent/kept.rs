//! What the store holds under a key already.

use crate::aws::S3;
use crate::error::{Error, Result};
use crate::snapshot::metadata::Metadata;
use crate::snapshot::trailer::{Hex, TRAILER_BYTES};
use crate::transfer::upload::{key_exists, metadata_of};

/// A snapshot that is in the store: from just now, or from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub key: String,
    /// Bytes, trailer included.
    pub size: u64,
    /// The trailer, in hex.
    pub sha256: String,
    pub already_stored: bool,
}

/// What a look at a key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Under {
    Nothing,
    /// The snapshot that was asked for, proved when it was stored.
    Same(Kept),
    /// Another one that our agent stored.
    Other,
    /// Somebody else's object.
    Foreign,
}

/// Looks for the snapshot that `wanted` describes under `key`.
///
/// # Errors
/// As [`crate::aws::explain`].
pub(super) async fn look(s3: &S3, key: &str, wanted: &Metadata) -> Result<Under> {
    let Some(head) = s3.head(key).await? else { return Ok(Under::Nothing) };
    let Some(ours) = metadata_of(&head) else { return Ok(Under::Foreign) };
    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
    match size.filter(|size| *size > TRAILER_BYTES) {
        Some(size) if ours.is_as_good_as(wanted) => {
            let sha256 = trailer(s3, key, head.e_tag(), size).await?;
            Ok(Under::Same(Kept { key: key.to_owned(), size, sha256, already_stored: true }))
        }
        _ => Ok(Under::Other),
    }
}

/// The snapshot if it is there; `None` if the key is free.
///
/// # Errors
/// Reason `KeyExists` for any other object: a store that ignores the condition on completion would overwrite it.
pub(super) async fn or_free(s3: &S3, key: &str, wanted: &Metadata) -> Result<Option<Kept>> {
    match look(s3, key, wanted).await? {
        Under::Nothing => Ok(None),
        Under::Same(kept) => Ok(Some(kept)),
        Under::Other | Under::Foreign => Err(key_exists(&s3.url(key))),
    }
}

/// The object's own last 32 bytes, in hex.
async fn trailer(s3: &S3, key: &str, etag: Option<&str>, size: u64) -> Result<String> {
    let range = format!("bytes={}-{}", size - TRAILER_BYTES, size - 1);
    let tail = s3.open(key, etag, &range).await?.body.collect().await;
    let tail = tail.map_err(|error| Error::general(format!("s3: reading {}: {error}", s3.url(key))))?;
    Ok(Hex(&tail.into_bytes()).to_string())
}
