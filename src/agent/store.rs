//! The store as an agent gets it: flags and mounted Secrets to an S3 client.

use crate::agent::args::StoreArgs;
use crate::aws::s3::read_ca_bundle;
use crate::aws::{Access, CredentialSource, ProfileFiles, S3, invalid};
use crate::error::{Error, Result};
use crate::source::s3::{Place, S3Source};

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
