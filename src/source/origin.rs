//! What a download reads from: an object that can be asked for ranges, or a stream that cannot.

use std::ops::Range;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::Body;
use crate::error::Error;

/// Why an origin gave no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try: a broken connection, a busy server.
    Passing(Error),
    /// Every further try would end alike: refused, or gone.
    Final(Error),
    /// It is another object by now: what has come of this one can never be completed.
    Changed(Error),
    /// The server sends the whole, whatever range it is asked for.
    NoRanges,
}

impl Failure {
    /// The failure in words.
    pub fn into_error(self) -> Error {
        match self {
            Self::Passing(error) | Self::Final(error) | Self::Changed(error) => error,
            Self::NoRanges => Error::general("the server sends the whole, whatever range it is asked for"),
        }
    }
}

/// A request that is being made; an error of the body itself is always worth another try.
pub type Opening<'a> = BoxFuture<'a, Result<Body, Failure>>;

/// An object whose bytes can be asked for by range, always of the same version.
pub trait Ranges: Send + Sync {
    /// The bytes of `range`; a body that is longer or shorter is the caller's to notice.
    fn open(&self, range: Range<u64>) -> Opening<'_>;
}

/// A body from its first byte on, again at each call.
pub trait Stream: Send + Sync {
    /// The whole body.
    fn open(&self) -> Opening<'_>;
}

/// What is to be downloaded.
#[derive(Clone)]
pub enum Origin {
    /// In parts, several at a time, and resumable.
    Ranged {
        /// Bytes of the whole object.
        size: u64,
        /// Tells this version of this object from every other, as bucket, key and ETag do.
        identity: String,
        /// CRC-64/NVME of the whole object, where the store offers it.
        crc64: Option<u64>,
        ranges: Arc<dyn Ranges>,
    },
    /// In one go, from the start again after a break.
    Streamed {
        /// Bytes of the whole body, where they are known.
        size: Option<u64>,
        stream: Arc<dyn Stream>,
    },
}

impl Origin {
    /// Bytes of the whole, where they are known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Ranged { size, .. } => Some(*size),
            Self::Streamed { size, .. } => *size,
        }
    }
}
