//! One S3 object as the origin of a download: ranges of bytes, all of one version.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStreamError as Broken;
use futures::{StreamExt, stream};

use super::Body;
use super::origin::{Failure, Opening, Origin, Ranges};
use crate::aws::{S3, explain};
use crate::error::{Error, ErrorKind, chain};

/// Objects of fewer bytes are not asked for the checksum of the whole: the request would cost more than it tells.
const WORTH_A_HEAD: u64 = 64 << 20;

/// Longest wait for that checksum: nothing hangs on it.
const LONGEST_HEAD: Duration = Duration::from_secs(5);

struct Object {
    s3: S3,
    key: String,
    etag: String,
    size: u64,
}

/// The object with this ETag and size, as a listing gave them.
pub async fn origin(s3: &S3, key: &str, etag: &str, size: u64) -> Origin {
    let object = Object::new(s3, key, etag, size);
    let identity = format!("{} {} {etag}", s3.endpoint.as_deref().unwrap_or("aws"), s3.url(key));
    // the snapshot's own trailer is what counts, so a store that does not answer this has nothing to say
    let asked = async { if size >= WORTH_A_HEAD { s3.crc64(key, Some(etag)).await } else { None } };
    let crc64 = tokio::time::timeout(LONGEST_HEAD, asked).await.unwrap_or_default();
    Origin::Ranged { size, identity, crc64, ranges: Arc::new(object) }
}

/// The bytes of the object with this ETag and size; contacts nobody yet.
pub fn ranges(s3: &S3, key: &str, etag: &str, size: u64) -> impl Ranges + use<> {
    Object::new(s3, key, etag, size)
}

impl Object {
    fn new(s3: &S3, key: &str, etag: &str, size: u64) -> Self {
        Self { s3: s3.clone(), key: key.to_owned(), etag: etag.to_owned(), size }
    }

    async fn get(&self, range: Range<u64>) -> Result<Body, Failure> {
        let whole = range == (0..self.size);
        let header = (!whole).then(|| format!("bytes={}-{}", range.start, range.end - 1));
        let request = self.s3.client.get_object().bucket(&self.s3.bucket).key(&self.key);
        let request = request.if_match(&self.etag).set_range(header).customize().config_override(reading());
        let answer = request.send().await.map_err(|error| {
            let status = error.raw_response().map(|answer| answer.status().as_u16());
            let explained = explain(&error, &format!("reading {}", self.s3.url(&self.key)), &self.s3);
            match (explained.kind(), status) {
                (_, Some(412)) | (ErrorKind::NotFound, _) => Failure::Changed(explained),
                (ErrorKind::General, _) => Failure::Passing(explained),
                _ => Failure::Final(explained),
            }
        })?;
        self.check(&answer, (!whole).then_some(&range))?;
        let url = self.s3.url(&self.key);
        // as they were read: copying them together would cost more than it saves
        let chunks = stream::try_unfold(answer.body, |mut body| async {
            let chunk = body.try_next().await?;
            Ok(chunk.map(|chunk| (chunk, body)))
        });
        let broken = move |error: Broken| Error::general(format!("s3: reading {url} broke off: {}", chain(&error)));
        Ok(chunks.map(move |chunk| chunk.map_err(&broken)).boxed())
    }

    /// Whether the answer is what was asked for, of the object that was meant.
    fn check(&self, answer: &GetObjectOutput, range: Option<&Range<u64>>) -> Result<(), Failure> {
        let url = self.s3.url(&self.key);
        if answer.e_tag().is_some_and(|etag| etag != self.etag) {
            let changed = Error::general(format!("s3: {url} was replaced while it was read"));
            return Err(Failure::Changed(changed.hint("run it again")));
        }
        let Some(range) = range else { return Ok(()) };
        let expected = format!("bytes {}-{}/{}", range.start, range.end - 1, self.size);
        match answer.content_range() {
            Some(given) if given == expected => Ok(()),
            Some(given) => Err(Failure::Final(Error::general(format!(
                "s3: reading {url}: asked for {expected:?} and was given {given:?}"
            )))),
            None => Err(Failure::NoRanges),
        }
    }
}

/// How long a body may stand still or drip is for whoever reads it to say, and not for the SDK.
fn reading() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

impl Ranges for Object {
    fn open(&self, range: Range<u64>) -> Opening<'_> {
        Box::pin(self.get(range))
    }
}
