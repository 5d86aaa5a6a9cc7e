//! A snapshot as it arrives.
//!
//! Source: etcd-io/etcd, server/etcdserver/api/v3rpc/maintenance.go (`Snapshot`), v3.5: pieces of the
//! database, each with the number of bytes that follow it, then the 32 bytes of its sha256, which
//! that number does not count.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;

use super::endpoint::Endpoint;
use super::failure;
use super::messages::{Call, SnapshotResponse};
use crate::error::{Error, Result};

/// Bytes of the sha256 after the database.
const HASH_BYTES: u64 = 32;

/// The bytes of a snapshot, database and sha256, in order. The stream ends without an error only if
/// exactly the announced number of bytes came; whether they are right, the sha256 says.
///
/// # Errors
/// Of the items: [`ErrorKind::General`](crate::error::ErrorKind::General) when the connection is
/// gone, etcd gives up, or no further piece comes in time;
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when there are fewer or more bytes than
/// announced. Nothing follows an error.
pub struct Snapshot {
    size: u64,
    pieces: BoxStream<'static, Result<Bytes>>,
}

impl Snapshot {
    /// Bytes of the whole snapshot, the sha256 included, as announced with the first piece.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A snapshot whose first message has come. `channel` is kept until the last one, so that the
    /// connection stays.
    pub(super) fn begin(
        endpoint: Endpoint,
        channel: Channel,
        stream: Streaming<SnapshotResponse>,
        first: Option<SnapshotResponse>,
        limit: Duration,
    ) -> Result<Self> {
        let source = Source { endpoint, stream, limit, _channel: channel };
        let first = first.ok_or_else(|| Error::unproved(format!("etcd {}: the snapshot is empty", source.endpoint)))?;
        let size = (first.blob.len() as u64)
            .checked_add(first.remaining_bytes)
            .and_then(|database| database.checked_add(HASH_BYTES))
            .ok_or_else(|| failure::answer(&source.endpoint, Call::SNAPSHOT, "the announced size is no size"))?;
        let count = Count { size, left: size };
        let rest = stream::try_unfold((source, count, Some(first)), |(mut source, mut count, first)| async move {
            let piece = match first {
                Some(first) => Some(first),
                None => source.receive().await?,
            };
            let counted = count.take(piece.map(|piece| piece.blob));
            let blob = counted.map_err(|error| error.context(format!("etcd {}", source.endpoint)))?;
            Ok(blob.map(|blob| (blob, (source, count, None))))
        });
        Ok(Self { size, pieces: rest.boxed() })
    }
}

impl Stream for Snapshot {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(context)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("size", &self.size).finish_non_exhaustive()
    }
}

struct Source {
    endpoint: Endpoint,
    stream: Streaming<SnapshotResponse>,
    limit: Duration,
    _channel: Channel,
}

impl Source {
    async fn receive(&mut self) -> Result<Option<SnapshotResponse>> {
        let late = |_| failure::answer(&self.endpoint, Call::SNAPSHOT, format!("nothing came for {:?}", self.limit));
        let message = timeout(self.limit, self.stream.message()).await.map_err(late)?;
        message.map_err(|status| failure::calling(&self.endpoint, Call::SNAPSHOT, &status))
    }
}

/// How much of the announced size is still to come.
struct Count {
    size: u64,
    left: u64,
}

impl Count {
    /// Counts a piece; `None` is the end of the stream.
    fn take(&mut self, piece: Option<Bytes>) -> Result<Option<Bytes>> {
        let Some(piece) = piece else {
            return match self.left {
                0 => Ok(None),
                left => Err(Error::unproved(format!("the snapshot ended {left} bytes short of {}", self.size))),
            };
        };
        // etcd sends empty pieces without end when it cannot read its own file
        if piece.is_empty() {
            return Err(Error::unproved(format!("an empty piece came {} bytes before the end", self.left)));
        }
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| Error::unproved(format!("the snapshot is longer than the announced {} bytes", self.size)))?;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pieces: &[usize]) -> Result<Option<Bytes>> {
        let mut count = Count { size: 10, left: 10 };
        for &length in pieces {
            count.take(Some(Bytes::from(vec![0; length])))?;
        }
        count.take(None)
    }

    #[test]
    fn only_the_announced_number_of_bytes_is_an_end() {
        assert_eq!(count(&[4, 6]).unwrap(), None);
        for (pieces, text) in [
            (&[4][..], "ended 6 bytes short of 10"),
            (&[4, 7], "longer than the announced 10 bytes"),
            (&[4, 6, 1], "longer than the announced 10 bytes"),
            (&[4, 0, 6], "empty piece came 6 bytes before the end"),
        ] {
            let error = count(pieces).unwrap_err();
            assert!(error.message().contains(text), "{error}");
        }
    }
}
