//! What EC2 and Auto Scaling refuse with, in sentences.
//!
//! Source of the codes: EC2 API Reference, "Error codes for the Amazon EC2 API"; Auto Scaling API Reference, "Common
//! errors". What STS and S3 say too is said where those are.

#[cfg(test)]
mod tests;

use crate::error::Error;

/// What was refused.
pub(super) struct Refusal<'a> {
    pub code: &'a str,
    pub message: &'a str,
    pub request_id: Option<&'a str>,
    /// `ec2` or `autoscaling`.
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// In words.
    pub credentials: &'a str,
}

/// Before the permission that lacks.
const NOT_AUTHORIZED: &str = "not authorized to perform: ";

/// Before a text that only STS can read.
const ENCODED: &str = "Encoded authorization failure message: ";

impl Refusal<'_> {
    /// The error; `None` for a code that means the same at every service.
    pub fn explain(&self, doing: &str) -> Option<Error> {
        let Self { code, service, region, account, .. } = *self;
        let (detail, at) = (self.detail(), format!("in {region}"));
        Some(match code {
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => self.unauthorized(doing),
            "AuthFailure" => Error::denied(format!("{service}: the credentials were refused {at}, {doing} {detail}"))
                .hint(format!("credentials used: {}", self.credentials))
                .hint(self.opt_in()),
            "OptInRequired" => {
                Error::denied(format!("{service}: account {account} may not use it {at}, {doing} {detail}"))
                    .hint(self.opt_in())
            }
            "Blocked" | "PendingVerification" => {
                Error::denied(format!("{service}: AWS holds account {account} back, {doing} {detail}"))
            }
            "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
                Error::general(format!("{service}: throttled until no attempt was left, {doing} {detail}"))
                    .hint("run it again later: the calls of all users of the account count together")
            }
            "SnapshotCreationPerVolumeRateExceeded" => {
                Error::general(format!("{service}: too soon after another snapshot of the volume, {doing} {detail}"))
                    .hint("run it again in 15 s")
            }
            "DryRunOperation" => {
                Error::general(format!("{service}: allowed, and not done, because it was a dry run, {doing} {detail}"))
            }
            _ if code.starts_with("InvalidKmsKey") || code.starts_with("KMS") || code.starts_with("KmsKey") => {
                Error::denied(format!("{service}: the key of an encrypted volume cannot be used, {doing} {detail}"))
                    .hint("check that the key is enabled, and that its policy lets these credentials use it")
            }
            _ if self.is_missing() => {
                Error::not_found(format!("{service}: not there {at} of account {account}, {doing} {detail}"))
                    .hint("check the id, --region and --profile")
            }
            _ => return self.state(doing),
        })
    }

    /// Refusals that have to do with what the resource is doing, or with AWS itself.
    fn state(&self, doing: &str) -> Option<Error> {
        let (service, detail) = (self.service, self.detail());
        Some(match self.code {
            "InvalidSnapshot.InUse" | "VolumeInUse" => {
                Error::general(format!("{service}: it is in use, {doing} {detail}"))
            }
            "IncorrectState" | "InvalidState" | "IncorrectInstanceState" => {
                Error::general(format!("{service}: not possible in its present state, {doing} {detail}"))
                    .hint("run it again when that has changed")
            }
            "OperationNotPermitted" | "SnapshotLocked" => {
                Error::general(format!("{service}: it is locked or protected, {doing} {detail}"))
                    .hint("a locked snapshot cannot be deleted: aws ec2 describe-locked-snapshots")
            }
            "ScalingActivityInProgress" | "ResourceContention" | "ResourceInUse" => {
                Error::general(format!("{service}: the group is being changed, {doing} {detail}")).hint("run it again")
            }
            "InternalError" | "InternalFailure" | "Unavailable" | "ServiceUnavailable" => {
                Error::general(format!("{service}: AWS itself failed, {doing} {detail}"))
                    .hint("run it again; https://health.aws.amazon.com tells more")
            }
            code if code.ends_with("LimitExceeded") => {
                Error::general(format!("{service}: a limit of the account or of the resource, {doing} {detail}"))
                    .hint("aws service-quotas list-service-quotas --service-code ebs shows those of the account")
            }
            _ => return None,
        })
    }

    /// Each kind of id has a code of its own, and Auto Scaling has none.
    fn is_missing(&self) -> bool {
        let group = self.code == "ValidationError" && self.message.contains("not found");
        group || self.code.ends_with(".NotFound") || self.code.ends_with(".Malformed")
    }

    fn unauthorized(&self, doing: &str) -> Error {
        let action = self.message.split_once(NOT_AUTHORIZED).and_then(|(_, rest)| rest.split_whitespace().next());
        let lacking = action.map(|action| format!("no permission for {action}"));
        let lacking = lacking.unwrap_or_else(|| "access denied".to_owned());
        let error = Error::denied(format!("{}: {lacking}, {doing} {}", self.service, self.detail()))
            .hint(format!("credentials used: {}", self.credentials))
            .hint("kubectl etcdbackup volume iam-policy --for all prints a policy that allows it");
        match self.message.split_once(ENCODED) {
            Some((_, encoded)) => error.hint(format!(
                "why: aws sts decode-authorization-message --query DecodedMessage --output text --encoded-message {}",
                encoded.split_whitespace().next().unwrap_or_default()
            )),
            None => error,
        }
    }

    /// Newer regions know an account only after it has asked for them.
    fn opt_in(&self) -> String {
        format!("is the region enabled? aws account get-region-opt-status --region-name {}", self.region)
    }

    /// `(Code: message, request id …)` without what only STS can read.
    fn detail(&self) -> String {
        let message = self.message.split_once(ENCODED).map_or(self.message, |(plain, _)| plain).trim();
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        let id = self.request_id.map(|id| format!(", request id {id}")).unwrap_or_default();
        format!("({}{message}{id})", self.code)
    }
}
