//! EC2 and Auto Scaling in one account and region, and who asks them.

use aws_config::retry::RetryConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::error::Asked;
use super::identity::{self, Identity};
use super::s3::load;
use super::{Access, CredentialSource};
use crate::error::{Error, Result};

/// Attempts of a call that may be repeated. EC2 throttles each account as a whole, so others' calls count too.
const ATTEMPTS: u32 = 8;

/// Clients of one account and region.
#[derive(Debug, Clone)]
pub struct Compute {
    pub ec2: aws_sdk_ec2::Client,
    /// The same without retries: for calls that are not idempotent, such as `CreateSnapshot`.
    pub ec2_once: aws_sdk_ec2::Client,
    pub scaling: aws_sdk_autoscaling::Client,
    pub identity: Identity,
    pub region: String,
    /// Which credentials it uses, in words.
    pub credentials: String,
    renewal: String,
}

impl Compute {
    /// Makes the clients and asks STS whose the credentials are.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) without a region or usable credentials, and when the
    /// account is not `account`; [`ErrorKind::General`](crate::error::ErrorKind::General) when STS cannot be reached.
    pub async fn open(source: &CredentialSource, access: &Access, account: Option<&str>) -> Result<Self> {
        let config = load(source, access).await?;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Error::denied(format!("no AWS region: {} has none", source.describe())).hint("pass --region"));
        };
        let identity = identity::whose(source, access).await?;
        if let Some(account) = account.filter(|account| *account != identity.account) {
            let message =
                format!("the credentials of {} are for account {}, not {account}", source.describe(), identity.account);
            return Err(Error::denied(message).hint("choose others with --profile, or correct --account"));
        }
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let ec2 = aws_sdk_ec2::config::Builder::from(&config);
        Ok(Self {
            ec2: aws_sdk_ec2::Client::from_conf(ec2.clone().retry_config(retries.clone()).build()),
            ec2_once: aws_sdk_ec2::Client::from_conf(ec2.retry_config(RetryConfig::disabled()).build()),
            scaling: aws_sdk_autoscaling::Client::from_conf(
                aws_sdk_autoscaling::config::Builder::from(&config).retry_config(retries).build(),
            ),
            identity,
            region,
            credentials: source.describe(),
            renewal: source.renewal(),
        })
    }

    /// Says what failed while `doing` something. `service` is `ec2` or `autoscaling`.
    pub fn explain<E>(&self, error: &SdkError<E, HttpResponse>, service: &str, doing: &str) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + RequestId + 'static,
    {
        let (credentials, renewal, region) = (&self.credentials, &self.renewal, &self.region);
        Asked { service, credentials, renewal, bucket: "", region }.explain(error, doing)
    }
}
