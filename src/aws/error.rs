//! S3 errors in sentences that name the credentials, the region and the bucket.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::S3;
use crate::error::{Error, ErrorKind, chain};

/// Says what failed while `doing` something with `s3`.
pub fn explain<E>(error: &SdkError<E, HttpResponse>, doing: &str, s3: &S3) -> Error
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
            answer.explain(doing, s3)
        }
        SdkError::TimeoutError(_) => Error::general(format!("s3: no answer while {doing}")),
        SdkError::DispatchFailure(failure) => {
            let text = failure.as_connector_error().map_or_else(String::new, |error| chain(error));
            undelivered(&text, doing, s3)
        }
        other => undelivered(&chain(other), doing, s3),
    }
}

struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    request_id: Option<&'a str>,
    region: Option<String>,
}

impl Answer<'_> {
    fn explain(&self, doing: &str, s3: &S3) -> Error {
        let used = format!("credentials used: {}", s3.credentials);
        let detail = self.detail();
        match (self.code, self.status) {
            (_, 400 | 301) if self.region.as_ref().is_some_and(|region| *region != s3.region) => {
                let region = self.region.as_deref().unwrap_or_default();
                Error::denied(format!("bucket {:?} is in {region}, not {}", s3.bucket, s3.region))
                    .hint(format!("pass --region {region}"))
            }
            ("NoSuchBucket", _) => {
                Error::not_found(format!("s3: bucket {:?} does not exist, {doing} {detail}", s3.bucket))
                    .hint("check --bucket and --endpoint-url")
            }
            ("ExpiredToken" | "RequestExpired" | "TokenRefreshRequired", _) => {
                Error::denied(format!("s3: the credentials have expired, {doing} {detail}")).hint(used)
            }
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "AuthorizationHeaderMalformed", _)
            | (_, 401) => Error::denied(format!("s3: the credentials were refused, {doing} {detail}")).hint(used),
            (_, 403) => Error::denied(format!("s3: access denied {doing} {detail}")).hint(used),
            (_, 404) => Error::not_found(format!("s3: not there, {doing} {detail}")),
            (_, 412) => Error::general(format!("s3: the object changed while {doing} {detail}")).hint("run it again"),
            _ => Error::new(ErrorKind::General, format!("s3: failed {doing} {detail}")),
        }
    }

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

fn undelivered(text: &str, doing: &str, s3: &S3) -> Error {
    if text.contains("no credentials found in chain") || text.contains("credential provider was not enabled") {
        return Error::denied(format!("no AWS credentials for {doing}: {} gave none", s3.credentials))
            .hint("set up ~/.aws or the environment as for the AWS CLI, or pass --profile or --secret");
    }
    Error::general(format!("s3: could not reach the service, {doing}: {text}"))
        .hint("check --endpoint-url and the network")
}
