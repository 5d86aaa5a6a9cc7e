//! An S3 client that knows which credentials it uses, and the calls that snapshots need.

mod listing;
mod region;

use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use self::listing::{BegunUpload, Object, Page};
pub use self::region::Told;
use super::renewal::Renewal;
use super::{ProfileFiles, explain, http, provider};
use crate::error::{Error, Result, chain};

/// Where credentials come from.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// The AWS SDK's own chain: environment, profile files, web identity, container, instance role.
    Chain { profile: Option<String> },
    /// Profile files in memory, profile `default`; nothing else is consulted.
    Files(ProfileFiles),
}

impl CredentialSource {
    /// The source in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Chain { profile: Some(profile) } => format!("AWS profile {profile:?}"),
            Self::Chain { profile: None } => {
                "the AWS default chain (environment, ~/.aws, web identity, instance role)".to_owned()
            }
            Self::Files(files) => files.origin.clone(),
        }
    }

    /// What their owner should know; for the caller to print.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Files(files) => &files.warnings,
            Self::Chain { .. } => &[],
        }
    }

    /// What to do when the credentials have expired.
    pub fn renewal(&self) -> String {
        match self {
            Self::Chain { profile: Some(profile) } => {
                format!("aws sso login --profile {profile}, or put new keys into the profile")
            }
            Self::Chain { profile: None } => "aws sso login, or put new keys where the AWS CLI finds them".to_owned(),
            Self::Files(files) => format!("put new keys into it: {}", super::files::remake(&files.origin)),
        }
    }

    /// What lacks a region.
    fn without_region(&self) -> String {
        match self {
            Self::Files(files) if files.config.is_some() => {
                format!("\"config\" in {} has no region for profile [default]", files.origin)
            }
            Self::Files(files) => format!("{} has none", files.origin),
            Self::Chain { profile: Some(_) } => format!("{} has none or is not defined", self.describe()),
            Self::Chain { profile: None } => format!("{} has none", self.describe()),
        }
    }
}

/// The way to an S3 service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    pub force_path_style: bool,
    /// CA certificates to trust besides the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// A client for one bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    pub client: Client,
    pub bucket: String,
    /// Which credentials it uses, in words.
    pub credentials: String,
    /// What to do when they have expired.
    pub renewal: String,
    /// The region that it signs for.
    pub region: String,
    /// URL of an S3-compatible service; none for AWS.
    pub endpoint: Option<String>,
    /// Where the service says that the bucket is.
    pub told: Told,
}

/// What was read of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Whole(Vec<u8>),
    /// It has more bytes than were wanted; none are kept.
    Larger,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// For a signature where no region means anything.
const ANY_REGION: Region = Region::from_static("us-east-1");

impl S3 {
    /// Makes a client; contacts nobody but what the credential chain needs for a region.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) without a region, unless an endpoint is
    /// given; [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for unusable CA certificates.
    pub async fn new(bucket: impl Into<String>, source: &CredentialSource, access: &Access) -> Result<Self> {
        let config = load(source, access).await?;
        let credentials = source.describe();
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Error::denied(format!("no AWS region: {}", source.without_region())).hint("pass --region"));
        };
        let renewal = Renewal::new();
        let mut conf = aws_sdk_s3::config::Builder::from(&config);
        if config.endpoint_url().is_some_and(|url| url.starts_with("http://")) {
            conf = conf.http_client(http::plain()?);
        }
        let conf = conf
            .identity_cache(renewal.clone())
            .retry_classifier(renewal.clone())
            .interceptor(renewal)
            .force_path_style(access.force_path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(match access.endpoint_url {
                // S3-compatible services fail on checksums that they do not know
                Some(_) => ResponseChecksumValidation::WhenRequired,
                None => ResponseChecksumValidation::WhenSupported,
            })
            .build();
        Ok(Self {
            client: Client::from_conf(conf),
            bucket: bucket.into(),
            credentials,
            renewal: source.renewal(),
            region,
            endpoint: access.endpoint_url.clone(),
            told: Told::default(),
        })
    }

    /// The names of all buckets that these credentials own.
    ///
    /// # Errors
    /// As [`explain`].
    pub async fn buckets(&self) -> Result<Vec<String>> {
        let answer = self.client.list_buckets().send().await;
        let answer = answer.map_err(|error| explain(&error, "listing buckets", self))?;
        Ok(answer.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned)).collect())
    }

    /// `s3://bucket/key`.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// The object's headers; `None` when there is no such key.
    ///
    /// # Errors
    /// As [`explain`].
    pub async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => Ok(Some(head)),
            Err(error) if error.as_service_error().is_some_and(|cause| cause.is_not_found()) => Ok(None),
            Err(error) => Err(explain(&error, &format!("looking at {}", self.url(key)), self)),
        }
    }

    /// The store's CRC-64/NVME of a whole object, where an `etag` is given of the object that has it; `None` where the
    /// store has none or does not tell: it may want a right to the key of an encrypted one.
    pub async fn crc64(&self, key: &str, etag: Option<&str>) -> Option<u64> {
        let request = self.client.head_object().bucket(&self.bucket).key(key).set_if_match(etag.map(str::to_owned));
        let head = request.checksum_mode(ChecksumMode::Enabled).send().await.ok()?;
        let whole = matches!(head.checksum_type(), None | Some(ChecksumType::FullObject));
        let bytes = STANDARD.decode(head.checksum_crc64_nvme().filter(|_| whole)?).ok()?;
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    /// A few bytes of an object, where an `etag` is given only of the object that has it; `range` as in HTTP.
    ///
    /// # Errors
    /// As [`explain`].
    pub async fn open(&self, key: &str, etag: Option<&str>, range: &str) -> Result<GetObjectOutput> {
        let request = self.client.get_object().bucket(&self.bucket).key(key).range(range);
        let request = request.set_if_match(etag.map(str::to_owned));
        request.send().await.map_err(|error| explain(&error, &format!("reading {}", self.url(key)), self))
    }

    /// The bytes of a small object; `None` when there is no such key.
    ///
    /// # Errors
    /// As [`explain`], and for an answer that breaks off.
    pub async fn read(&self, key: &str, most: usize) -> Result<Option<Content>> {
        let answer = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|cause| cause.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(explain(&error, &format!("reading {}", self.url(key)), self)),
        };
        if answer.content_length().and_then(|length| usize::try_from(length).ok()).is_some_and(|length| length > most) {
            return Ok(Some(Content::Larger));
        }
        let (mut body, mut bytes) = (answer.body, Vec::new());
        while let Some(chunk) = body.try_next().await.map_err(|error| {
            Error::general(format!("s3: the answer broke off, reading {}: {}", self.url(key), chain(&error)))
        })? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > most {
                return Ok(Some(Content::Larger));
            }
        }
        Ok(Some(Content::Whole(bytes)))
    }

    /// Deletes an object; one that is gone already is no error.
    ///
    /// # Errors
    /// As [`explain`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let deleted = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        deleted.map(drop).map_err(|error| explain(&error, &format!("deleting {}", self.url(key)), self))
    }

    /// Aborts an upload: its parts are gone, and nothing shows under its key.
    ///
    /// # Errors
    /// As [`explain`]; an upload that has ended already is none.
    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(id);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|cause| cause.is_no_such_upload()) => Ok(()),
            Err(error) => Err(explain(&error, &format!("aborting the upload of {}", self.url(key)), self)),
        }
    }
}

pub(super) async fn load(source: &CredentialSource, access: &Access) -> Result<SdkConfig> {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts);
    loader = match source {
        CredentialSource::Chain { profile: Some(profile) } => {
            let keys = provider::of_user(profile, access.region.as_deref()).await;
            loader.profile_name(profile).credentials_provider(keys)
        }
        CredentialSource::Chain { profile: None } => match provider::of_environment() {
            Some(keys) => loader.credentials_provider(keys),
            None => loader,
        },
        CredentialSource::Files(files) => from_files(loader, files, access).await,
    };
    let region = match (&access.region, source) {
        (Some(region), _) => Some(Some(Region::new(region.clone()))),
        (None, CredentialSource::Chain { profile }) if !needs_metadata(profile.as_deref(), access) => {
            Some(provider::region(profile.as_deref()).region().await)
        }
        (None, _) => None,
    };
    if let Some(region) = &region {
        // without any, each part of the chain would ask the metadata service again
        loader = loader.region(region.clone().unwrap_or(ANY_REGION));
    }
    if let Some(url) = &access.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(pem) = &access.ca_pem {
        loader = loader.http_client(http::trusting(pem)?);
    }
    let config = loader.load().await;
    let unknown = region == Some(None) || config.region().is_none();
    // a service of one's own has no region to get wrong, but a signature needs one
    let instead = access.endpoint_url.as_ref().map(|_| ANY_REGION);
    Ok(if unknown { config.into_builder().region(instead).build() } else { config })
}

/// Whether an instance's own region can matter: not with keys that somebody chose, nor for a service that is not AWS's.
/// Where there is no metadata service, asking it is seconds of silence.
fn needs_metadata(profile: Option<&str>, access: &Access) -> bool {
    let own = access.endpoint_url.as_deref().is_some_and(|url| !url.contains(".amazonaws.com"));
    profile.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_none() && !own
}

/// Credentials from `files` alone: the environment of a pod must not win over a Secret that was named.
async fn from_files(
    loader: aws_config::ConfigLoader,
    files: &ProfileFiles,
    access: &Access,
) -> aws_config::ConfigLoader {
    use aws_config::profile::ProfileFileRegionProvider;
    let mut texts = EnvConfigFiles::builder();
    for (kind, text) in
        [(EnvConfigFileKind::Config, &files.config), (EnvConfigFileKind::Credentials, &files.credentials)]
    {
        texts = texts.with_contents(kind, text.clone().unwrap_or_default());
    }
    let texts = texts.build();
    let region = ProfileFileRegionProvider::builder().profile_files(texts.clone()).profile_name("default").build();
    let loader = loader.region(region).profile_files(texts.clone()).profile_name("default");
    match files.credentials {
        // a Secret with a config and no keys leaves the rest to the pod's role (etcd-operator v0.4.2 and later)
        None => loader,
        Some(_) => loader.credentials_provider(provider::of_texts(texts, access.region.as_deref()).await),
    }
}

/// Reads a file of CA certificates.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when it cannot be read or holds no certificate.
pub fn read_ca_bundle(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| Error::usage(format!("cannot read CA bundle {shown}: {error}")))?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(pem),
        _ => Err(Error::usage(format!("CA bundle {shown} holds no certificate")).hint("it must be a PEM file")),
    }
}
