//! The flags that say where backups of Cassandra are.

use std::path::PathBuf;

use clap::Args;

use crate::cassandra::layout::{Place, is_name};
use crate::cassandra::location::Location;
use crate::cli::completion::live;
use crate::cli::{KubeFlags, S3Flags, S3ReadFlags, Ui};
use crate::commands::get::place::{Resolved, resolve};
use crate::error::Result;
use crate::source::flags::{HEADING as S3, parse_url};

/// The way to a bucket, with a person's own credentials.
#[derive(Debug, Clone, Default, Args)]
pub struct WayFlags {
    /// AWS region of the bucket
    #[arg(long, value_name = "REGION", help_heading = S3)]
    region: Option<String>,
    /// URL of an S3-compatible service
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = S3)]
    endpoint_url: Option<String>,
    /// Put the bucket into the path of the URL, not into its host name
    #[arg(long, help_heading = S3)]
    force_path_style: bool,
    /// AWS profile of yours to use
    #[arg(long, value_name = "NAME", help_heading = S3)]
    profile: Option<String>,
    /// CA certificates to trust for the endpoint
    #[arg(long, value_name = "FILE", help_heading = S3)]
    ca_bundle: Option<PathBuf>,
}

impl WayFlags {
    /// The first of these flags that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        self.to(None, None).first_given()
    }

    /// The way to this bucket, with the credentials of a Secret where one is named.
    pub(super) fn to(&self, bucket: Option<String>, secret: Option<String>) -> S3ReadFlags {
        let place = S3Flags {
            bucket,
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            force_path_style: self.force_path_style,
            ..S3Flags::default()
        };
        S3ReadFlags { place, profile: self.profile.clone(), secret, ca_bundle: self.ca_bundle.clone() }
    }
}

/// A bucket, the way to it, and whose backups are meant.
#[derive(Debug, Clone, Args)]
pub struct BucketFlags {
    /// s3://BUCKET[/PREFIX]: the directory above the clusters, or a cluster's
    #[arg(long, value_name = "URL", value_parser = Location::of_s3)]
    location: Location,
    /// Cassandra cluster, or its directory, where the place holds several
    #[arg(long, value_name = "NAME")]
    cassandra_cluster: Option<String>,
    /// Cassandra's own name of the datacenter, where the place holds several
    #[arg(long, value_name = "NAME")]
    cassandra_datacenter: Option<String>,
    #[command(flatten)]
    way: WayFlags,
    /// Secret in the namespace with the AWS credentials to use
    #[arg(long, value_name = "NAME", conflicts_with = "profile", add = live::secrets(), help_heading = S3)]
    secret: Option<String>,
}

impl BucketFlags {
    /// Where in the bucket.
    pub(super) fn place(&self) -> Place {
        self.location.place((self.cassandra_cluster.clone(), self.cassandra_datacenter.clone()))
    }

    /// A client for the bucket; says which credentials it uses.
    ///
    /// # Errors
    /// As [`resolve`].
    pub(super) async fn open(&self, kube: &KubeFlags, ui: &Ui) -> Result<Resolved> {
        let bucket = Some(self.location.bucket.clone());
        resolve("", &self.way.to(bucket, self.secret.clone()), kube, ui).await
    }
}

/// A tag, which is a part of keys.
///
/// # Errors
/// A sentence for clap.
pub(super) fn parse_tag(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("a tag is a name without slashes and control characters".to_owned()),
    }
}
