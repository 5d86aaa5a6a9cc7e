//! The flags that say where backups of Cassandra are.

use std::path::PathBuf;

use clap::Args;

use crate::cassandra::layout::{Place, parse_location};
use crate::cli::completion::live;
use crate::cli::{KubeFlags, S3Flags, S3ReadFlags, Ui};
use crate::commands::get::place::{Resolved, resolve};
use crate::error::Result;
use crate::source::flags::{HEADING as S3, parse_url};

/// A bucket, the way to it, and whose backups are meant.
#[derive(Debug, Clone, Args)]
pub struct BucketFlags {
    /// s3://BUCKET[/PREFIX]: the directory above the clusters, or a cluster's
    #[arg(long, value_name = "URL", value_parser = parse_location)]
    location: (String, String),
    /// Cassandra cluster, or its directory, where the place holds several
    #[arg(long, value_name = "NAME")]
    cassandra_cluster: Option<String>,
    /// Datacenter, where the place holds several
    #[arg(long, value_name = "NAME")]
    datacenter: Option<String>,
    /// AWS region
    #[arg(long, value_name = "REGION", help_heading = S3)]
    region: Option<String>,
    /// URL of an S3-compatible service
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = S3)]
    endpoint_url: Option<String>,
    /// Put the bucket into the path of the URL, not into its host name
    #[arg(long, help_heading = S3)]
    force_path_style: bool,
    /// AWS profile of yours to use
    #[arg(long, value_name = "NAME", conflicts_with = "secret", help_heading = S3)]
    profile: Option<String>,
    /// Secret in the namespace with the AWS credentials to use
    #[arg(long, value_name = "NAME", add = live::secrets(), help_heading = S3)]
    secret: Option<String>,
    /// CA certificates to trust for the endpoint
    #[arg(long, value_name = "FILE", help_heading = S3)]
    ca_bundle: Option<PathBuf>,
}

impl BucketFlags {
    /// Where in the bucket.
    pub(super) fn place(&self) -> Place {
        let (_, prefix) = self.location.clone();
        Place { prefix, cluster: self.cassandra_cluster.clone(), datacenter: self.datacenter.clone() }
    }

    /// A client for the bucket; says which credentials it uses.
    ///
    /// # Errors
    /// As [`resolve`].
    pub(super) async fn open(&self, kube: &KubeFlags, ui: &Ui) -> Result<Resolved> {
        let place = S3Flags {
            bucket: Some(self.location.0.clone()),
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            force_path_style: self.force_path_style,
            ..S3Flags::default()
        };
        let (profile, secret, ca_bundle) = (self.profile.clone(), self.secret.clone(), self.ca_bundle.clone());
        resolve("", &S3ReadFlags { place, profile, secret, ca_bundle }, kube, ui).await
    }
}
