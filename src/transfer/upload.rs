//! From a stream of bytes to an object that exists only if its trailer matched.

use std::collections::BTreeMap;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, pin_mut};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::aws::{Encryption, PayloadHash, S3, explain};
use crate::error::{Error, Result};
use crate::snapshot::metadata::Metadata;
use crate::snapshot::{Proof, TrailerHasher};

/// S3 takes 10,000 parts (AWS, "Amazon S3 multipart upload limits"); the announced size may be a little off.
const MAX_PARTS: u64 = 9_000;

/// The largest object (AWS, "Amazon S3 multipart upload limits", until 2025); no etcd comes near it, and parts
/// of more would not fit into memory.
const MAX_TOTAL_BYTES: u64 = 5 << 40;

/// Smallest part that we make; S3's own minimum is 5 MiB for all parts but the last.
const MIN_PART_BYTES: u64 = 8 << 20;

/// Parts being sent while the next one fills.
const IN_FLIGHT: usize = 2;

/// How long parts that are being sent may take to end before their upload is aborted.
const PARTS_END: std::time::Duration = std::time::Duration::from_secs(5);

/// Where an upload goes and what it carries.
#[derive(Debug, Clone)]
pub struct Destination {
    pub key: String,
    pub metadata: Metadata,
    /// What the store is asked to do; `None` leaves it to the bucket.
    pub encryption: Option<Encryption>,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// The object is new.
    Stored(Proof),
    /// The key was there already, from the same cluster: an earlier run whose answer was lost, or another agent.
    AlreadyStored,
}

/// Bytes of a part for a snapshot of `total` bytes.
pub fn part_bytes(total: u64) -> u64 {
    total.div_ceil(MAX_PARTS).max(MIN_PART_BYTES)
}

/// Stores a snapshot under `destination.key`: completed only when the trailer matched and the key is
/// free, aborted otherwise and when `cancel` fires. `total` is the announced size in bytes.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when the trailer does not match;
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) when cancelled; the stream's; as [`explain`].
pub async fn store(
    s3: &S3,
    destination: &Destination,
    total: u64,
    body: impl Stream<Item = Result<Bytes>>,
    cancel: &CancellationToken,
) -> Result<Uploaded> {
    if total > MAX_TOTAL_BYTES {
        return Err(Error::unproved(format!("a snapshot of {total} bytes is announced, which no store takes")));
    }
    let upload = Upload { s3, key: &destination.key, id: begin(s3, destination).await? };
    let mut parts = JoinSet::new();
    let sent = tokio::select! {
        sent = upload.send(part_bytes(total) as usize, body, &mut parts) => sent,
        () = cancel.cancelled() => Err(Error::interrupted("the upload was cancelled")),
    };
    let done = match sent {
        Ok((sent, parts)) => upload.complete(sent, parts, &destination.metadata).await,
        Err(error) => Err(error),
    };
    if !matches!(done, Ok(Uploaded::Stored(_))) {
        // a part that arrives after the abort would stay, and be paid for
        let ended = async { while parts.join_next().await.is_some() {} };
        if tokio::time::timeout(PARTS_END, ended).await.is_err() {
            tracing::warn!("aborting the upload while parts are still being sent");
        }
        upload.abort().await;
    }
    done
}

async fn begin(s3: &S3, destination: &Destination) -> Result<String> {
    let metadata: BTreeMap<String, String> = destination.metadata.to_pairs();
    let mut request = s3.client.create_multipart_upload().bucket(&s3.bucket).key(&destination.key);
    request = request.set_metadata(Some(metadata.into_iter().collect()));
    if let Some(encryption) = &destination.encryption {
        let key = encryption.kms_key_id.clone();
        request = request.server_side_encryption(encryption.algorithm.clone()).set_ssekms_key_id(key);
    }
    let doing = format!("starting the upload of {}", s3.url(&destination.key));
    let answer = request.send().await.map_err(|error| explain(&error, &doing, s3))?;
    answer.upload_id().map(str::to_owned).ok_or_else(|| Error::general(format!("s3: no upload id, {doing}")))
}

/// The next part that is there; `None` when none is being sent.
async fn next(sending: &mut JoinSet<Result<CompletedPart>>) -> Result<Option<CompletedPart>> {
    match sending.join_next().await {
        None => Ok(None),
        Some(Ok(part)) => part.map(Some),
        Some(Err(error)) => Err(Error::general(format!("sending a part: {error}"))),
    }
}

/// Memory for a part. That of a part of unusual size grows with what really comes: the size is only announced.
fn room(part_bytes: usize) -> BytesMut {
    BytesMut::with_capacity(part_bytes.min(MIN_PART_BYTES as usize))
}

/// What is computed of the snapshot while it is sent.
struct Sums {
    trailer: TrailerHasher,
    crc64: crc_fast::Digest,
}

/// What the whole turned out to be.
#[derive(Debug, Clone)]
struct Sent {
    proof: Proof,
    /// CRC-64/NVME.
    crc64: u64,
}

impl Default for Sums {
    fn default() -> Self {
        let crc64 = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        Self { trailer: TrailerHasher::default(), crc64 }
    }
}

impl Sums {
    fn finish(self) -> Result<Sent> {
        Ok(Sent { proof: self.trailer.finish()?, crc64: self.crc64.finalize() })
    }
}

/// Hashes a part on another thread, when the one before it is hashed.
async fn hash(hashing: JoinHandle<Sums>, part: Bytes) -> Result<JoinHandle<Sums>> {
    let mut sums = ended(hashing).await?;
    Ok(spawn_blocking(move || {
        sums.trailer.update(&part);
        sums.crc64.update(&part);
        sums
    }))
}

/// What another thread computed.
async fn ended<T>(work: JoinHandle<T>) -> Result<T> {
    work.await.map_err(|error| Error::general(format!("cannot hash: {error}")))
}

struct Upload<'a> {
    s3: &'a S3,
    key: &'a str,
    id: String,
}

impl Upload<'_> {
    /// Sends all parts; the whole snapshot is proved when they are there.
    async fn send(
        &self,
        part_bytes: usize,
        body: impl Stream<Item = Result<Bytes>>,
        sending: &mut JoinSet<Result<CompletedPart>>,
    ) -> Result<(Sent, Vec<CompletedPart>)> {
        pin_mut!(body);
        let mut hashing = spawn_blocking(Sums::default);
        let mut filling = room(part_bytes);
        let mut parts = Vec::new();
        let mut number = 0;
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk?;
            while !chunk.is_empty() {
                let taken = chunk.split_to(chunk.len().min(part_bytes - filling.len()));
                filling.extend_from_slice(&taken);
                if filling.len() == part_bytes {
                    if sending.len() == IN_FLIGHT {
                        parts.extend(next(sending).await?);
                    }
                    number += 1;
                    let full = std::mem::replace(&mut filling, room(part_bytes)).freeze();
                    hashing = hash(hashing, full.clone()).await?;
                    sending.spawn(self.part(number, full));
                }
            }
        }
        let rest = filling.freeze();
        let sent = ended(hash(hashing, rest.clone()).await?).await?.finish()?;
        if !rest.is_empty() {
            sending.spawn(self.part(number + 1, rest));
        }
        while let Some(part) = next(sending).await? {
            parts.push(part);
        }
        parts.sort_by_key(CompletedPart::part_number);
        Ok((sent, parts))
    }

    fn part(&self, number: i32, bytes: Bytes) -> impl Future<Output = Result<CompletedPart>> + use<> {
        let s3 = self.s3.clone();
        let doing = format!("sending part {number} of {}", s3.url(self.key));
        let request = s3.client.upload_part().bucket(&s3.bucket).key(self.key).upload_id(&self.id);
        let request = request.part_number(number);
        async move {
            let body = bytes.clone();
            let payload = ended(spawn_blocking(move || PayloadHash::of(&body))).await?;
            let request = request.body(ByteStream::from(bytes)).customize().interceptor(payload);
            let answer = request.send().await.map_err(|error| explain(&error, &doing, &s3))?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag().map(str::to_owned)).build())
        }
    }

    async fn complete(&self, sent: Sent, parts: Vec<CompletedPart>, metadata: &Metadata) -> Result<Uploaded> {
        // a store that ignores the condition below would overwrite what came while the parts were sent
        if self.s3.head(self.key).await?.is_some() {
            return self.taken(metadata).await;
        }
        let request =
            self.s3.client.complete_multipart_upload().bucket(&self.s3.bucket).key(self.key).upload_id(&self.id);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        match request.multipart_upload(parts).if_none_match("*").send().await {
            Ok(_) => self.seen(sent).await,
            Err(error) if key_may_be_taken(&error) => self.taken(metadata).await,
            Err(error) => {
                let failed = explain(&error, &format!("completing the upload of {}", self.s3.url(self.key)), self.s3);
                // the request may have arrived and only its answer got lost
                if refused(&error) { Err(failed) } else { self.taken(metadata).await.map_err(|_| failed) }
            }
        }
    }

    /// The store's own word that the object is there, whole.
    async fn seen(&self, Sent { proof, crc64 }: Sent) -> Result<Uploaded> {
        let url = self.s3.url(self.key);
        let size = self.s3.head(self.key).await?.and_then(|head| head.content_length());
        if size != i64::try_from(proof.size).ok() {
            let shown = format!("s3: {url} was completed with {} bytes, but the store shows {size:?}", proof.size);
            return Err(Error::general(shown));
        }
        match self.s3.crc64(self.key, None).await {
            Some(stored) if stored != crc64 => Err(Error::general(format!(
                "s3: {url} was completed with the CRC-64/NVME {crc64:016x}, but the store shows {stored:016x}"
            ))),
            _ => Ok(Uploaded::Stored(proof)),
        }
    }

    async fn taken(&self, metadata: &Metadata) -> Result<Uploaded> {
        let url = self.s3.url(self.key);
        let Some(head) = self.s3.head(self.key).await? else {
            return Err(Error::general(format!(
                "s3: the upload of {url} was not completed, and no such object is there"
            )));
        };
        match metadata_of(&head) {
            Some(theirs) if theirs.is_as_good_as(metadata) => Ok(Uploaded::AlreadyStored),
            _ => Err(key_exists(&url)),
        }
    }

    async fn abort(&self) {
        if let Err(error) = self.s3.abort_upload(self.key, &self.id).await {
            tracing::warn!("{}", error.message());
        }
    }
}

/// What our agent wrote beside an object; `None` when it was not our agent that stored it.
pub fn metadata_of(head: &HeadObjectOutput) -> Option<Metadata> {
    let pairs = head.metadata()?;
    Metadata::from_pairs(|key| pairs.get(key).map(String::as_str))
}

/// Another object is under the key: somebody else's, or another snapshot.
pub fn key_exists(url: &str) -> Error {
    Error::general(format!("KeyExists: {url} is in the store and is not this snapshot; nothing was overwritten"))
}

/// Whether the service said no: then nothing has happened.
fn refused<E>(error: &SdkError<E, HttpResponse>) -> bool {
    error.raw_response().is_some_and(|response| response.status().is_client_error())
}

/// The answers after which the key may hold an object: a precondition that failed, a race, or a lost
/// reply to an earlier try.
fn key_may_be_taken<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + RequestId,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    status == Some(412) || matches!(code, "PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchUpload")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_size_that_no_store_takes_is_refused_before_any_request() {
        use crate::aws::{Access, CredentialSource, ProfileFiles};
        let credentials = Some("[default]\naws_access_key_id=a\naws_secret_access_key=b\n".to_owned());
        let files = ProfileFiles { origin: "test".to_owned(), credentials, config: None, warnings: vec![] };
        // nobody listens there
        let access = Access { endpoint_url: Some("http://127.0.0.1:1".to_owned()), ..Access::default() };
        let s3 = S3::new("bucket", &CredentialSource::Files(files), &access).await.unwrap();
        let metadata =
            Metadata { agent: String::new(), cluster_id: 1, member: 1, revision: 1, hash_kv: None, quorum: true };
        let destination = Destination { key: "key".to_owned(), metadata, encryption: None };
        let body = futures::stream::empty();
        let error = store(&s3, &destination, u64::MAX, body, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Unproved);
    }

    #[test]
    fn parts_stay_below_the_limit_of_their_number() {
        assert_eq!(part_bytes(0), 8 << 20);
        assert_eq!(part_bytes(8 << 30), 8 << 20);
        for total in [100 << 30, 1_u64 << 40] {
            assert!(total.div_ceil(part_bytes(total)) <= MAX_PARTS);
        }
    }
}
