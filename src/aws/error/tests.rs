use super::*;

const ASKED: Asked<'static> = Asked {
    service: "s3",
    credentials: "AWS profile \"work\"",
    renewal: "aws sso login --profile work",
    bucket: "bbb",
    region: "us-west-1",
};

fn answered(status: u16, code: &'static str, region: Option<&str>) -> Error {
    let answer = Answer { status, code, message: "m", request_id: Some("7"), region: region.map(str::to_owned) };
    ASKED.answered(&answer, "listing s3://bbb/p")
}

#[test]
fn each_refusal_has_its_message_its_hint_and_its_code() {
    let used = "credentials used: AWS profile \"work\"";
    let login = "aws sso login --profile work";
    for (status, code, region, message, hint, exit) in [
        (
            301,
            "PermanentRedirect",
            Some("eu-west-1"),
            "bucket \"bbb\" is in eu-west-1, not us-west-1",
            "pass --region eu-west-1",
            5,
        ),
        (
            301,
            "PermanentRedirect",
            None,
            "bucket \"bbb\" is not in us-west-1 (PermanentRedirect: m, request id 7)",
            "pass its region",
            5,
        ),
        (404, "NoSuchBucket", None, "s3: bucket \"bbb\" does not exist, listing", "check --bucket", 3),
        (403, "AccessDenied", None, "s3: access denied listing s3://bbb/p (AccessDenied: m, request id 7)", used, 5),
        (403, "SignatureDoesNotMatch", None, "s3: the credentials were refused, listing", used, 5),
        (403, "InvalidAccessKeyId", None, "s3: the credentials were refused, listing", used, 5),
        (400, "ExpiredToken", None, "s3: the credentials of AWS profile \"work\" have expired, listing", login, 5),
        (403, "RequestExpired", None, "s3: the credentials of AWS profile \"work\" have expired, listing", login, 5),
        (400, "InvalidToken", None, "s3: the session token of AWS profile \"work\" is not valid", login, 5),
        (403, "RequestTimeTooSkewed", None, "s3: this machine's clock differs", "set the clock", 1),
        (503, "SlowDown", None, "s3: failed listing s3://bbb/p (SlowDown: m, request id 7)", "", 1),
    ] {
        let error = answered(status, code, region);
        assert!(error.message().starts_with(message), "{error}");
        assert!(error.hints().iter().any(|found| found.starts_with(hint)) || hint.is_empty(), "{error}");
        assert_eq!(error.kind().exit_code(), exit, "{error}");
    }
}

#[test]
fn an_operator_can_tell_refused_credentials_from_passing_trouble() {
    for (error, first) in [
        (answered(403, "SignatureDoesNotMatch", None), "CredentialsRefused: s3: the credentials were refused"),
        (answered(403, "AccessDenied", None), "CredentialsRefused: s3: access denied"),
        (answered(400, "ExpiredToken", None), "CredentialsRefused: s3: the credentials of"),
        (answered(503, "SlowDown", None), "s3: failed"),
        (answered(404, "NoSuchBucket", None), "s3: bucket"),
        (invalid(Error::denied("no AWS region: x has none")), "CredentialsInvalid: no AWS region"),
        (invalid(Error::usage("bad CA")), "bad CA"),
        (Error::denied("etcd: authentication failed"), "etcd: authentication failed"),
        (Error::general("s3: could not reach the service"), "s3: could not reach"),
    ] {
        assert!(reason(&error).starts_with(first), "{}", reason(&error));
    }
}

#[test]
fn what_the_chain_says_is_sorted() {
    for (error, message, hint, exit) in [
        (
            CredentialsError::provider_error("the SSO token has expired and cannot be refreshed"),
            "no AWS credentials for x: the SSO login of AWS profile \"work\" has expired",
            "aws sso login --profile work",
            5,
        ),
        (
            CredentialsError::not_loaded_no_source(),
            "no AWS credentials for x: AWS profile \"work\" gave none",
            "set up",
            5,
        ),
        (
            CredentialsError::provider_error("AccessDenied: not authorized to perform sts:AssumeRole"),
            "cannot get AWS credentials from AWS profile \"work\" for x: ",
            "check the profile",
            5,
        ),
        (CredentialsError::provider_error("dispatch failure"), "no answer from what gives", "check the network", 1),
    ] {
        let error = ASKED.no_keys(&error, "x");
        assert!(error.message().starts_with(message) && error.hints()[0].starts_with(hint), "{error}");
        assert_eq!(error.kind().exit_code(), exit);
    }
}
