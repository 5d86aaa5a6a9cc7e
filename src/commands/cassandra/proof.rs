//! Whether the bucket has a backup whole, whatever an operator says of it.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::cassandra::layout;
use crate::cassandra::location::{Cloud, Location};
use crate::cassandra::objects::Names;
use crate::cassandra::verify::{Known, verify};
use crate::cli::flags::parse_url;
use crate::cli::{KubeFlags, S3Flags, S3ReadFlags, Ui};
use crate::commands::get::place::resolve;
use crate::error::Result;

/// The way to the bucket, for the look at it.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "To look at the bucket")]
pub(super) struct ProofFlags {
    /// AWS region of the bucket
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// URL of an S3-compatible service
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    endpoint_url: Option<String>,
    /// Put the bucket into the path of the URL, not into its host name
    #[arg(long)]
    force_path_style: bool,
    /// AWS profile of yours to use
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// CA certificates to trust for the endpoint
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
}

impl ProofFlags {
    /// The first of these flags that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        self.to(None).first_given()
    }

    fn to(&self, bucket: Option<String>) -> S3ReadFlags {
        let place = S3Flags {
            bucket,
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            force_path_style: self.force_path_style,
            ..S3Flags::default()
        };
        S3ReadFlags { place, profile: self.profile.clone(), secret: None, ca_bundle: self.ca_bundle.clone() }
    }
}

/// What the look at the bucket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proved {
    /// Every object of every node is there.
    Whole,
    /// Nobody could look.
    Unseen,
}

impl Proved {
    /// What to say of the backup.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole in the bucket",
            Self::Unseen => "not verified: the bucket was not looked at",
        }
    }
}

/// Looks whether the bucket has the tag whole; says why where it cannot look.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) where a node or an object is missing; those of S3.
pub(super) async fn prove(
    names: Option<&Names>,
    location: Option<&Location>,
    tag: &str,
    flags: &ProofFlags,
    kube: &KubeFlags,
    ui: &Ui,
) -> Result<Proved> {
    let Some(location) = location else {
        ui.warn("the bucket is not looked at: no --location names it");
        return Ok(Proved::Unseen);
    };
    if location.cloud != Cloud::Aws {
        ui.warn(format!("the bucket is not looked at: {location} is not S3"));
        return Ok(Proved::Unseen);
    }
    let mut bucket = resolve("", &flags.to(Some(location.bucket.clone())), kube, ui).await?;
    let place = layout::Place {
        prefix: Some(format!("{}/", location.prefix)).filter(|prefix| prefix != "/").unwrap_or_default(),
        cluster: names.map(|names| names.cluster.clone()),
        datacenter: names.map(|names| names.datacenter.clone()),
    };
    let (known, mut quiet) = (Known::default(), |_, _| ());
    let report = match verify(&bucket.s3, &place, tag, &known, &mut quiet).await {
        Err(_) if bucket.follow(ui) => verify(&bucket.s3, &place, tag, &known, &mut quiet).await,
        report => report,
    }?;
    report.warnings.iter().for_each(|warning| ui.warn(warning));
    report.check()?;
    ui.say(format!("{}: {} nodes are whole, by {}", report.location, report.expected(), report.nodes_told_by));
    Ok(Proved::Whole)
}
