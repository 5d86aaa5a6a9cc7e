//! Moving snapshots: downloads that are proved before they get their name, uploads that are completed
//! only when they are proved.

pub mod download;
pub mod upload;

use crate::error::{Error, Result};

/// Does what waits for a disk or keeps a processor busy where it holds up nothing else.
///
/// # Errors
/// Those of the work; [`ErrorKind::General`](crate::error::ErrorKind::General) where it broke off.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::general(format!("the work broke off: {error}")))?
}
