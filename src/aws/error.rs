//! Errors of S3, of STS and of the credential chain in sentences that name the credentials, the region
//! and the bucket.

#[cfg(test)]
mod tests;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{CredentialSource, S3};
use crate::error::{Error, ErrorKind, chain};

/// The first word of a [`reason`] when the store refused the credentials.
const REFUSED: &str = "CredentialsRefused";

/// The first word of an [`invalid`] Secret.
const INVALID: &str = "CredentialsInvalid";

/// Says what failed while `doing` something with `s3`.
pub fn explain<E>(error: &SdkError<E, HttpResponse>, doing: &str, s3: &S3) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + RequestId + 'static,
{
    let asked = Asked {
        service: "s3",
        credentials: &s3.credentials,
        renewal: &s3.renewal,
        bucket: &s3.bucket,
        region: &s3.region,
    };
    if let SdkError::ServiceError(failure) = error
        && matches!(failure.raw().status().as_u16(), 301 | 400)
        && let Some(region) = bucket_region(failure.raw())
    {
        s3.told.tell(&region);
    }
    let explained = asked.explain(error, doing);
    match error.raw_response().map(|answer| answer.status().as_u16()) {
        Some(301) if s3.endpoint.is_some() => explained.hint("give its endpoint too: --endpoint-url"),
        _ => explained,
    }
}

/// The text of an agent's report for an error: `CredentialsRefused: …` when the store refused the
/// credentials, so that no retry with the same ones can help, else the bare message.
pub fn reason(error: &Error) -> String {
    let message = error.message();
    let of_the_store = ["s3: ", "no AWS credentials for ", "cannot get AWS credentials "]
        .iter()
        .any(|start| message.starts_with(start));
    match error.kind() {
        ErrorKind::Denied if of_the_store => format!("{REFUSED}: {message}"),
        _ => message.to_owned(),
    }
}

/// Marks a Secret that holds nothing that could be shown to the store: `CredentialsInvalid: …`.
pub fn invalid(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Denied => error.context(INVALID),
        _ => error,
    }
}

/// Says why `source` gave no credentials for `doing`.
pub(super) fn explain_provider(error: &CredentialsError, doing: &str, source: &CredentialSource) -> Error {
    let (credentials, renewal) = (source.describe(), source.renewal());
    Asked { service: "sts", credentials: &credentials, renewal: &renewal, bucket: "", region: "" }.no_keys(error, doing)
}

/// What was asked, and with which credentials.
pub(super) struct Asked<'a> {
    /// The service's name in front of each message.
    pub service: &'a str,
    pub credentials: &'a str,
    /// What to do when they have expired.
    pub renewal: &'a str,
    /// Empty for a service without buckets.
    pub bucket: &'a str,
    pub region: &'a str,
}

impl Asked<'_> {
    pub(super) fn explain<E>(&self, error: &SdkError<E, HttpResponse>, doing: &str) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + RequestId + 'static,
    {
        match error {
            SdkError::ServiceError(failure) => {
                let cause = failure.err();
                let answer = Answer {
                    status: failure.raw().status().as_u16(),
                    code: cause.code().unwrap_or_default(),
                    message: cause.message().unwrap_or_default(),
                    request_id: cause.request_id(),
                    region: bucket_region(failure.raw()),
                };
                self.answered(&answer, doing)
            }
            SdkError::TimeoutError(_) => Error::general(format!("{}: no answer while {doing}", self.service)),
            other => match provider_error(other) {
                Some(cause) => self.no_keys(cause, doing),
                None => self.undelivered(other, doing),
            },
        }
    }

    /// The bucket is elsewhere or nowhere: the credentials may be right.
    fn misplaced(&self, answer: &Answer<'_>, doing: &str) -> Option<Error> {
        let (Self { bucket, region, .. }, detail) = (self, answer.detail());
        match (&answer.region, answer.code, answer.status) {
            (Some(other), _, 400 | 301) if other != region => Some(
                Error::denied(format!("bucket {bucket:?} is in {other}, not {region}"))
                    .hint(format!("pass --region {other}")),
            ),
            (_, _, 301) => Some(
                Error::denied(format!("bucket {bucket:?} is not in {region} {detail}"))
                    .hint("pass its region with --region, or its service with --endpoint-url"),
            ),
            (_, "NoSuchBucket", _) => Some(
                Error::not_found(format!("{}: bucket {bucket:?} does not exist, {doing} {detail}", self.service))
                    .hint("check --bucket and --endpoint-url"),
            ),
            _ => None,
        }
    }

    fn answered(&self, answer: &Answer<'_>, doing: &str) -> Error {
        if let Some(misplaced) = self.misplaced(answer, doing) {
            return misplaced;
        }
        let Self { service, credentials, .. } = *self;
        let used = format!("credentials used: {credentials}");
        let detail = answer.detail();
        match (answer.code, answer.status) {
            ("ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired", _) => {
                Error::denied(format!("{service}: the credentials of {credentials} have expired, {doing} {detail}"))
                    .hint(self.renewal)
            }
            ("InvalidToken", _) => Error::denied(format!(
                "{service}: the session token of {credentials} is not valid or has expired, {doing} {detail}"
            ))
            .hint(self.renewal),
            // the keys may be right
            ("RequestTimeTooSkewed", _) => {
                Error::general(format!("{service}: this machine's clock differs from the service's, {doing} {detail}"))
                    .hint("set the clock")
            }
            (
                "InvalidAccessKeyId"
                | "InvalidClientTokenId"
                | "SignatureDoesNotMatch"
                | "UnrecognizedClientException"
                | "AuthorizationHeaderMalformed",
                _,
            )
            | (_, 401) => {
                Error::denied(format!("{service}: the credentials were refused, {doing} {detail}")).hint(used)
            }
            (_, 403) => Error::denied(format!("{service}: access denied {doing} {detail}")).hint(used),
            (_, 404) => Error::not_found(format!("{service}: not there, {doing} {detail}")),
            (_, 412) => {
                Error::general(format!("{service}: the object changed while {doing} {detail}")).hint("run it again")
            }
            _ => Error::general(format!("{service}: failed {doing} {detail}")),
        }
    }

    /// The chain gave no credentials: there are none, or what gives them refused or could not be reached.
    fn no_keys(&self, error: &CredentialsError, doing: &str) -> Error {
        let (credentials, text) = (self.credentials, chain(error));
        let lower = text.to_ascii_lowercase();
        if matches!(error, CredentialsError::ProviderTimedOut(_)) || lower.contains("dispatch failure") {
            return Error::general(format!(
                "no answer from what gives the AWS credentials of {credentials}, {doing}: {text}"
            ))
            .hint("check the network");
        }
        if lower.contains("sso token") || lower.contains("ssotoken") || lower.contains("/sso/cache/") {
            return Error::denied(format!(
                "no AWS credentials for {doing}: the SSO login of {credentials} has expired or was never made ({text})"
            ))
            .hint(self.renewal);
        }
        if lower.contains("expired") {
            return Error::denied(format!(
                "no AWS credentials for {doing}: the credentials of {credentials} have expired ({text})"
            ))
            .hint(self.renewal);
        }
        let whole = credentials.strip_prefix("AWS profile ").unwrap_or_default().trim_matches('"');
        if !whole.is_empty() && text.contains(&format!("profile `{whole}` was not defined")) {
            return Error::denied(format!("no AWS credentials for {doing}: {credentials} is not defined"))
                .hint("choose another with --profile; aws configure list-profiles shows which there are");
        }
        if lower.contains("was not defined") {
            return Error::denied(format!("no AWS credentials for {doing}: {credentials} is not complete ({text})"))
                .hint("choose another with --profile");
        }
        if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
            return Error::denied(format!("no AWS credentials for {doing}: {credentials} gave none"))
                .hint("set up ~/.aws or the environment as for the AWS CLI, or pass --profile or --secret");
        }
        Error::denied(format!("cannot get AWS credentials from {credentials} for {doing}: {text}"))
            .hint("check the profile, and that the role may be assumed with its source")
    }

    fn undelivered(&self, error: &(dyn std::error::Error + 'static), doing: &str) -> Error {
        let text = match std::error::Error::source(error) {
            Some(cause) => chain(cause),
            None => chain(error),
        };
        if text.contains("no credentials found in chain") || text.contains("credential provider was not enabled") {
            return self.no_keys(&CredentialsError::not_loaded(text), doing);
        }
        // the endpoint rules of S3 say the first, those of STS and EC2 the second
        if text.contains("Invalid region") || text.contains("must be a valid host label") {
            return Error::denied(format!("{:?} is no AWS region", self.region))
                .hint("pass one such as us-east-1 with --region");
        }
        Error::general(format!("{}: could not reach the service, {doing}: {text}", self.service))
            .hint("check --endpoint-url and the network")
    }
}

/// The credential chain's own error, wherever it is wrapped.
fn provider_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CredentialsError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    request_id: Option<&'a str>,
    region: Option<String>,
}

impl Answer<'_> {
    /// `(AccessDenied: message, request id …)`, with what the service said.
    fn detail(&self) -> String {
        let code = if self.code.is_empty() { format!("HTTP {}", self.status) } else { self.code.to_owned() };
        let message = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        let id = self.request_id.map(|id| format!(", request id {id}")).unwrap_or_default();
        format!("({code}{message}{id})")
    }
}

/// The region that the bucket is in, as the service tells with a refusal: in a header (AWS), or in the
/// `<Region>` of the error's XML.
fn bucket_region(response: &HttpResponse) -> Option<String> {
    if let Some(region) = response.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    let region = body.split_once("<Region>")?.1.split_once("</Region>")?.0;
    (!region.is_empty() && region.len() < 64).then(|| region.to_owned())
}
