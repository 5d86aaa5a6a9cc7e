//! The store of an agent: a bucket, by flags and mounted Secrets, or a volume that is mounted.

mod directory;
mod mark;
mod volume;
mod write;

use bytes::Bytes;
use futures::Stream;
use tokio_util::sync::CancellationToken;

pub use self::volume::Volume;
use crate::agent::args::StoreArgs;
use crate::aws::s3::{BegunUpload, Object, read_ca_bundle};
use crate::aws::{Access, CredentialSource, ProfileFiles, S3, invalid};
use crate::error::{Error, Result};
use crate::sha256::Hex;
use crate::snapshot::metadata::Metadata;
use crate::snapshot::trailer::TRAILER_BYTES;
use crate::source::s3::{Place, S3Source};
use crate::transfer::upload::{self, Destination, Uploaded, metadata_of};

/// Where an agent keeps snapshots. A key is one in the bucket, or a path below where the volume is mounted.
#[derive(Debug, Clone)]
pub enum Store {
    S3(S3),
    Volume(Volume),
}

/// What is under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bytes, where the store tells.
    pub size: Option<u64>,
    /// What our agent recorded with it; `None` when our agent did not store it.
    pub metadata: Option<Metadata>,
    etag: Option<String>,
}

impl Store {
    /// The place of a key for people: `s3://bucket/key`, or the path of the file.
    pub fn url(&self, key: &str) -> String {
        match self {
            Self::S3(s3) => s3.url(key),
            Self::Volume(volume) => volume.url(key),
        }
    }

    /// The place of a key in a status: `bucket/key`, or the path of the file, which begins with a slash.
    pub fn path(&self, key: &str) -> String {
        match self {
            Self::S3(s3) => format!("{}/{key}", s3.bucket),
            Self::Volume(volume) => volume.url(key),
        }
    }

    /// What is under the key; `None` when nothing is.
    ///
    /// # Errors
    /// As [`crate::aws::explain`]; those of the disk.
    pub async fn head(&self, key: &str) -> Result<Option<Found>> {
        let s3 = match self {
            Self::S3(s3) => s3,
            Self::Volume(volume) => return volume.head(key).await,
        };
        Ok(s3.head(key).await?.map(|head| Found {
            size: head.content_length().and_then(|size| u64::try_from(size).ok()),
            metadata: metadata_of(&head),
            etag: head.e_tag().map(str::to_owned),
        }))
    }

    /// The last 32 bytes of what was `found` under the key, in hex. It has `size` bytes, which are more.
    ///
    /// # Errors
    /// As [`Store::head`]; on a volume reason `Damaged` for bytes that changed since.
    pub async fn trailer(&self, key: &str, found: &Found, size: u64) -> Result<String> {
        let s3 = match self {
            Self::S3(s3) => s3,
            Self::Volume(volume) => return volume.proved(key).await,
        };
        let range = format!("bytes={}-{}", size - TRAILER_BYTES, size - 1);
        let tail = s3.open(key, found.etag.as_deref(), &range).await?.body.collect().await;
        let tail = tail.map_err(|error| Error::general(format!("s3: reading {}: {error}", s3.url(key))))?;
        Ok(Hex(&tail.into_bytes()).to_string())
    }

    /// All objects whose keys begin with `prefix`; on a volume those of a cluster's directory or of a history's.
    ///
    /// # Errors
    /// As [`Store::head`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        match self {
            Self::S3(s3) => s3.list(prefix).await,
            Self::Volume(volume) => volume.list(prefix).await,
        }
    }

    /// Stores a snapshot, under its key only if its trailer matches and the key is free: as [`upload::store`].
    ///
    /// # Errors
    /// Those of [`upload::store`]; reason `VolumeFull`; those of the disk.
    pub async fn put(
        &self,
        destination: &Destination,
        total: u64,
        body: impl Stream<Item = Result<Bytes>>,
        cancel: &CancellationToken,
    ) -> Result<Uploaded> {
        match self {
            Self::S3(s3) => upload::store(s3, destination, total, body, cancel).await,
            Self::Volume(volume) => volume.store(destination, total, body, cancel).await,
        }
    }

    /// Deletes what is under a key; what is gone already is no error.
    ///
    /// # Errors
    /// As [`Store::head`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self {
            Self::S3(s3) => s3.delete(key).await,
            Self::Volume(volume) => volume.delete(key).await,
        }
    }

    /// What runs began to store below `root`, the directory of a cluster, and did not end.
    ///
    /// # Errors
    /// As [`Store::head`].
    pub async fn begun_uploads(&self, root: &str) -> Result<Vec<BegunUpload>> {
        match self {
            Self::S3(s3) => s3.begun_uploads(root).await,
            Self::Volume(volume) => volume.begun_uploads(root).await,
        }
    }

    /// Clears away what such a run left.
    ///
    /// # Errors
    /// As [`Store::head`].
    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        match self {
            Self::S3(s3) => s3.abort_upload(key, id).await,
            Self::Volume(volume) => volume.abort_upload(key, id).await,
        }
    }
}

/// Makes the client; credentials come from the mounted directories alone where one is given.
///
/// # Errors
/// Those of [`ProfileFiles::from_directory`] and [`S3::new`]; a missing bucket is
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage). Credentials that cannot be used are marked as [`invalid`].
pub async fn client(args: &StoreArgs) -> Result<S3> {
    let flags = &args.s3;
    let bucket = flags.bucket.as_deref().ok_or_else(|| Error::usage("required: --bucket"))?;
    let access = Access {
        region: flags.region.clone(),
        endpoint_url: flags.endpoint_url.clone(),
        force_path_style: flags.force_path_style,
        ca_pem: args.ca_bundle.as_deref().map(read_ca_bundle).transpose()?,
    };
    S3::new(bucket, &credentials(args).map_err(invalid)?, &access).await.map_err(invalid)
}

fn credentials(args: &StoreArgs) -> Result<CredentialSource> {
    let secret = args.aws_secret_dir.as_deref().map(ProfileFiles::from_directory).transpose()?;
    let config = args.aws_config_dir.as_deref().map(ProfileFiles::from_directory).transpose()?;
    secret.iter().chain(&config).flat_map(|files| &files.warnings).for_each(|warning| tracing::warn!("{warning}"));
    Ok(match (secret, config) {
        (Some(secret), Some(config)) => CredentialSource::Files(secret.or_config(config)),
        (Some(files), None) | (None, Some(files)) => CredentialSource::Files(files),
        (None, None) => CredentialSource::Chain { profile: None },
    })
}

/// The place that the flags name.
pub fn place<'a>(args: &'a StoreArgs, namespace: &'a str) -> Place<'a> {
    Place { prefix: args.s3.prefix.as_deref().unwrap_or(""), namespace, cluster: &args.cluster, layout: args.s3.layout }
}

/// The directory of one cluster in the one layout that the flags name; the Cluster layout without one.
///
/// # Errors
/// As [`client`].
pub async fn open(args: &StoreArgs, namespace: &str) -> Result<S3Source> {
    let layout = args.s3.layout.unwrap_or(crate::snapshot::Layout::Cluster);
    let prefix = args.s3.prefix.as_deref().unwrap_or("");
    let directory = layout.directory(prefix, namespace, &args.cluster);
    Ok(S3Source { s3: client(args).await?, layout, directory })
}
