//! Which keys a source of credentials gives, and whose they are.

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sts::Client;

use super::error::{Asked, explain_provider};
use super::s3::load;
use super::{Access, CredentialSource};
use crate::error::{Error, Result};

/// Keys as far as they may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKeys {
    /// The key id with most of it left out: `AKIA…MPLE`.
    pub id: String,
    /// Whether they are temporary.
    pub session_token: bool,
}

/// Who the keys belong to, as STS tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
    pub user_id: String,
}

/// Asks the source for keys; a role or a login of SSO is resolved to the temporary keys that it gives.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) when it gives none, and why.
pub async fn keys(source: &CredentialSource, access: &Access) -> Result<ShownKeys> {
    // the S3 endpoint is no place to assume a role at
    let config = load(source, &Access { endpoint_url: None, ..access.clone() }).await?;
    let none = || Error::denied(format!("no AWS credentials: {} gave none", source.describe()));
    let provider = config.credentials_provider().ok_or_else(none)?;
    let keys = provider.provide_credentials().await;
    let keys = keys.map_err(|error| explain_provider(&error, "the check", source))?;
    Ok(ShownKeys { id: masked(keys.access_key_id()), session_token: keys.session_token().is_some() })
}

/// Asks STS at `sts.endpoint_url`, else at AWS, whose keys they are. It needs no permission.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for refused or expired credentials;
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when STS cannot be reached.
pub async fn whose(source: &CredentialSource, sts: &Access) -> Result<Identity> {
    let config = load(source, sts).await?;
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let (credentials, renewal) = (source.describe(), source.renewal());
    let asked = Asked { service: "sts", credentials: &credentials, renewal: &renewal, bucket: "", region: &region };
    let answer = Client::new(&config).get_caller_identity().send().await;
    let answer = answer.map_err(|error| asked.explain(&error, "asking for the identity"))?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(Identity { account: text(answer.account()), arn: text(answer.arn()), user_id: text(answer.user_id()) })
}

/// At most the first and the last four characters, and never more than half of all.
fn masked(id: &str) -> String {
    let count = id.chars().count();
    let shown = (count / 4).min(4);
    let first: String = id.chars().take(shown).collect();
    let last: String = id.chars().skip(count - shown).collect();
    format!("{first}…{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_shows_its_ends_at_most() {
        assert_eq!(masked("AKIAIOSFODNN7EXAMPLE"), "AKIA…MPLE");
        assert_eq!([masked("reader"), masked("abc"), masked("")], ["r…r", "…", "…"]);
    }
}
