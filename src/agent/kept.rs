//! What the store holds under a key already.

use super::store::Store;
use crate::error::Result;
use crate::snapshot::metadata::Metadata;
use crate::snapshot::trailer::TRAILER_BYTES;
use crate::transfer::upload::key_exists;

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
/// Those of the store.
pub(super) async fn look(store: &Store, key: &str, wanted: &Metadata) -> Result<Under> {
    let Some(found) = store.head(key).await? else { return Ok(Under::Nothing) };
    let Some(ours) = &found.metadata else { return Ok(Under::Foreign) };
    match found.size.filter(|size| *size > TRAILER_BYTES) {
        Some(size) if ours.is_as_good_as(wanted) => {
            let sha256 = store.trailer(key, &found, size).await?;
            Ok(Under::Same(Kept { key: key.to_owned(), size, sha256, already_stored: true }))
        }
        _ => Ok(Under::Other),
    }
}

/// The snapshot if it is there; `None` if the key is free.
///
/// # Errors
/// Reason `KeyExists` for any other object: a store that ignores the condition on completion would overwrite it.
pub(super) async fn or_free(store: &Store, key: &str, wanted: &Metadata) -> Result<Option<Kept>> {
    match look(store, key, wanted).await? {
        Under::Nothing => Ok(None),
        Under::Same(kept) => Ok(Some(kept)),
        Under::Other | Under::Foreign => Err(key_exists(&store.url(key))),
    }
}
