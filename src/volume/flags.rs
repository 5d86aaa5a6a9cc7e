//! The flags that say which AWS account and region is meant, the same for every `volume` command.

use std::path::PathBuf;

use clap::Args;

use crate::aws::compute::Compute;
use crate::aws::{Access, CredentialSource, s3};
use crate::error::Result;

/// The heading in `--help` above the flags of AWS.
pub const HEADING: &str = "AWS flags";

/// The way to EC2 and Auto Scaling. None of it needs Kubernetes, which may be what is being restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct AwsFlags {
    /// AWS region
    #[arg(long, value_name = "REGION", help_heading = HEADING)]
    pub region: Option<String>,
    /// AWS profile of yours to use
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub profile: Option<String>,
    /// Refuse to work in any other account
    #[arg(long, value_name = "ID", value_parser = parse_account, help_heading = HEADING)]
    pub account: Option<String>,
    /// URL of a service that stands in for AWS
    #[arg(long, value_name = "URL", value_parser = crate::source::flags::parse_url, help_heading = HEADING)]
    pub endpoint_url: Option<String>,
    /// CA certificates to trust for the endpoint
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub ca_bundle: Option<PathBuf>,
}

impl AwsFlags {
    /// Makes the clients, and asks STS for the account.
    ///
    /// # Errors
    /// As [`Compute::open`]; [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for an unusable CA bundle.
    pub async fn open(&self) -> Result<Compute> {
        let access = Access {
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            ca_pem: self.ca_bundle.as_deref().map(s3::read_ca_bundle).transpose()?,
            ..Access::default()
        };
        let source = CredentialSource::Chain { profile: self.profile.clone() };
        Compute::open(&source, &access, self.account.as_deref()).await
    }
}

/// An account: 12 digits, which may be written with hyphens.
///
/// # Errors
/// What an account looks like.
pub fn parse_account(text: &str) -> Result<String, String> {
    let digits = text.replace('-', "");
    match digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(digits),
        false => Err("an account has 12 digits".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_account;

    #[test]
    fn an_account_has_12_digits() {
        assert_eq!(parse_account("1234-5678-9012").as_deref(), Ok("123456789012"));
        for bad in ["", "12345678901", "1234567890123", "12345678901x"] {
            assert!(parse_account(bad).is_err(), "{bad}");
        }
    }
}
