//! EC2 and Auto Scaling in one account and region, and who asks them.

mod refusal;

use aws_config::retry::RetryConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use self::refusal::Refusal;
use super::error::Asked;
use super::identity::{self, Identity};
use super::s3::load;
use super::{Access, CredentialSource};
use crate::error::{Error, ErrorKind, Result};

/// Attempts of a call that may be repeated, unless the variable of all AWS SDKs says otherwise. EC2 throttles each
/// account as a whole, so others' calls count too.
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
        let identity = identity::whose(source, access).await.map_err(|error| elsewhere(error, &region, access))?;
        if let Some(account) = account.filter(|account| *account != identity.account) {
            let message =
                format!("the credentials of {} are for account {}, not {account}", source.describe(), identity.account);
            return Err(Error::denied(message).hint("choose others with --profile, or correct --account"));
        }
        let attempts = std::env::var("AWS_MAX_ATTEMPTS").ok().and_then(|text| text.parse().ok()).unwrap_or(ATTEMPTS);
        let retries = RetryConfig::standard().with_max_attempts(attempts);
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
        if let SdkError::ServiceError(failure) = error {
            let cause = failure.err();
            let refusal = Refusal {
                code: cause.code().unwrap_or_default(),
                message: cause.message().unwrap_or_default(),
                request_id: cause.request_id(),
                service,
                region,
                account: &self.identity.account,
                credentials,
            };
            if let Some(explained) = refusal.explain(doing) {
                return explained;
            }
        }
        Asked { service, credentials, renewal, bucket: "", region }.explain(error, doing)
    }
}

/// STS lives in every region: where it cannot be reached or knows nobody, the region may be the reason.
fn elsewhere(error: Error, region: &str, access: &Access) -> Error {
    let unreachable = error.kind() == ErrorKind::General && error.message().contains("could not reach");
    let unknown = error.message().contains("InvalidClientTokenId");
    match access.endpoint_url {
        None if unreachable => error.hint(format!("is {region:?} a region? aws ec2 describe-regions --all-regions")),
        None if unknown => error.hint(format!(
            "if they work elsewhere: is the region enabled? aws account get-region-opt-status --region-name {region}"
        )),
        _ => error,
    }
}
