//! The body of an answer: exactly the bytes that were announced, or a broken connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::metrics::Metrics;
use crate::error::{Error, Result};
use crate::source::Body;

/// Longest wait for the next bytes from the store.
const STALL: Duration = Duration::from_secs(60);

/// One snapshot on its way from the store to a client.
pub(super) struct Transfer {
    pub body: Body,
    /// Bytes that were announced and are still to come; `None` when no length was announced.
    pub left: Option<u64>,
    pub metrics: Arc<Metrics>,
    /// Held to the end: the number of transfers is bounded.
    #[expect(dead_code, reason = "only its drop counts")]
    pub slot: OwnedSemaphorePermit,
}

impl Transfer {
    /// The bytes. An error aborts the connection, which is how a client sees that the rest is missing.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::unfold(Some(self), |transfer| async {
            let mut transfer = transfer?;
            match transfer.next().await {
                Ok(None) => None,
                Ok(Some(chunk)) => {
                    transfer.metrics.sent(chunk.len());
                    Some((Ok(chunk), Some(transfer)))
                }
                Err(error) => {
                    transfer.metrics.broke_off();
                    tracing::warn!(error = error.message(), "a download was broken off");
                    Some((Err(error), None))
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = match tokio::time::timeout(STALL, self.body.next()).await {
            Ok(chunk) => chunk.transpose()?,
            Err(_) => return Err(Error::timed_out(format!("no bytes from the store for {STALL:?}"))),
        };
        let Some(left) = &mut self.left else { return Ok(chunk) };
        match &chunk {
            None if *left > 0 => Err(Error::general(format!("the store ended {left} bytes early"))),
            None => Ok(None),
            Some(bytes) => match left.checked_sub(bytes.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    Ok(chunk)
                }
                None => Err(Error::general("the store sent more bytes than it had announced")),
            },
        }
    }
}
