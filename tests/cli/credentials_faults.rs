//! Answers of AWS that no server at hand gives: other regions, expired tokens, STS. Faked here, in HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::sandbox::Sandbox;

/// A server that gives one answer to everything; it ends with the test process.
struct Fake {
    url: String,
}

impl Fake {
    /// `head` is the status line's rest and further header lines.
    fn start(head: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| reply(stream, &answer)));
        Self { url }
    }

    fn error(status: &str, code: &str) -> Self {
        Self::start(status, &format!("<Error><Code>{code}</Code><Message>m</Message><RequestId>7</RequestId></Error>"))
    }

    /// As [`Fake::error`] in STS's words.
    fn sts_error(status: &str, code: &str) -> Self {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error>\
             <RequestId>7</RequestId></ErrorResponse>"
        );
        Self::start(status, &body)
    }

    fn flags(&self) -> String {
        format!("--bucket bbb --endpoint-url {} --force-path-style", self.url)
    }
}

/// Reads one request to its end, whoever sent it, and answers.
fn reply(stream: TcpStream, answer: &str) {
    let mut reader = BufReader::new(&stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    // a client that has gone away is no fault of the test
    let _ = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    let _ = (&stream).write_all(answer.as_bytes());
}

fn keys() -> Sandbox {
    let sandbox = Sandbox::with_keys(("AKIAIOSFODNN7EXAMPLE", "x"));
    sandbox.write(
        ".aws/config",
        "[default]\nregion=us-east-1\n[profile sso]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\nregion=us-east-1\n\
         [sso-session corp]\nsso_region=us-east-1\nsso_start_url=https://corp.example.com/start\n\
         [profile role]\nrole_arn=arn:aws:iam::123456789012:role/backup\nsource_profile=default\nregion=us-east-1\n",
    );
    sandbox
}

#[test]
fn refusals_of_aws_reach_the_person_with_a_way_on() {
    let redirect = "301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1";
    let login = "hint: aws sso login";
    for (fake, message, hint) in [
        (
            Fake::error(redirect, "PermanentRedirect"),
            "bucket \"bbb\" is in eu-west-1, not us-east-1",
            "hint: pass --region eu-west-1",
        ),
        (Fake::error("400 Bad Request", "ExpiredToken"), "s3: the credentials of the AWS default chain", login),
        (Fake::error("403 Forbidden", "RequestExpired"), "s3: the credentials of the AWS default chain", login),
        (Fake::error("400 Bad Request", "InvalidToken"), "s3: the session token of the AWS default chain", login),
    ] {
        let output = keys().run(&format!("get etcd-a --from s3 -q {}", fake.flags()));
        assert_eq!(output.code, Some(5), "{output}");
        assert!(output.stderr.starts_with(&format!("error: {message}")), "{output}");
        assert!(output.stderr.contains(hint), "{output}");
    }
}

#[test]
fn the_agent_says_first_that_its_credentials_are_refused() {
    for (status, code, first) in [
        ("403 Forbidden", "SignatureDoesNotMatch", "CredentialsRefused: s3: the credentials were refused"),
        ("403 Forbidden", "AccessDenied", "CredentialsRefused: s3: access denied"),
        ("400 Bad Request", "ExpiredToken", "CredentialsRefused: s3: the credentials of"),
        ("400 Bad Request", "InvalidBucketState", "s3: failed"),
    ] {
        let (fake, sandbox) = (Fake::error(status, code), keys());
        let line = "agent backup --cluster-name etcd-a --endpoints http://127.0.0.1:1 --report report";
        let output = sandbox.run(&format!("{line} {}", fake.flags()));
        let report = std::fs::read_to_string(sandbox.path().join("report")).unwrap();
        assert!(report.contains(&format!("\"reason\":\"{first}")), "{report}{output}");
    }
}

#[test]
fn the_agent_says_first_that_a_secret_holds_no_keys() {
    let (fake, sandbox) = (Fake::error("403 Forbidden", "AccessDenied"), keys());
    sandbox.write("secret/access", "SSSH");
    let line =
        "agent backup --cluster-name etcd-a --endpoints http://127.0.0.1:1 --report report --aws-secret-dir secret";
    let output = sandbox.run(&format!("{line} {}", fake.flags()));
    assert_eq!(output.code, Some(5), "{output}");
    let report = std::fs::read_to_string(sandbox.path().join("report")).unwrap();
    let reason = "CredentialsInvalid: directory secret lacks key \\\"credentials\\\" (found: access)";
    assert!(report.contains(reason), "{report}");
    sandbox.write("other/mine", "[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=SSSH\n");
    let output = sandbox.run(&format!("{} {}", line.replace("dir secret", "dir other"), fake.flags()));
    assert!(output.stderr.contains("directory other has no key \"credentials\"; its only key \"mine\""), "{output}");
    assert!(!output.to_string().contains("SSSH"), "{output}");
}

#[test]
fn sts_tells_whose_the_keys_are() {
    let identity = Fake::start(
        "200 OK",
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/backup</Arn>\
         <UserId>AIDA</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
    );
    let check = "credentials check --profile default";
    let output = keys().run(&format!("{check} --sts-endpoint-url {}", identity.url));
    assert_eq!(output.code, Some(0), "{output}");
    insta::assert_snapshot!("identity", output);
    let mut sandbox = keys();
    sandbox.set("AWS_ENDPOINT_URL_STS", &identity.url);
    assert_eq!(sandbox.run(check).stdout, output.stdout);
    for (status, code, says) in [
        ("403 Forbidden", "InvalidClientTokenId", "sts: the credentials were refused, asking for the identity"),
        ("403 Forbidden", "ExpiredToken", "sts: the credentials of AWS profile \"default\" have expired"),
        ("403 Forbidden", "SignatureDoesNotMatch", "sts: the credentials were refused"),
    ] {
        let output = keys().run(&format!("{check} --sts-endpoint-url {}", Fake::sts_error(status, code).url));
        assert_eq!(output.code, Some(5), "{output}");
        assert!(output.to_string().contains(&format!("fail  identity  {says}")), "{output}");
    }
}

#[test]
fn a_login_of_sso_that_has_expired_says_how_to_log_in() {
    let sandbox = keys();
    let get = "get etcd-a --from s3 --bucket bbb --profile sso -q";
    // sha1 of the session's name, as the AWS CLI keeps its tokens
    let cache = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
    for text in ["", "{\"accessToken\": \"SSSH\", \"expiresAt\": \"2020-01-01T00:00:00Z\"}"] {
        if !text.is_empty() {
            sandbox.write(cache, text);
        }
        let output = sandbox.run(get);
        assert_eq!(output.code, Some(5), "{output}");
        assert!(
            output.stderr.contains("the SSO login of AWS profile \"sso\" has expired or was never made"),
            "{output}"
        );
        assert!(output.stderr.contains("hint: aws sso login --profile sso"), "{output}");
        assert!(!output.stderr.contains("SSSH"), "{output}");
    }
    let output = sandbox.run("credentials check --profile sso --bucket bbb");
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.to_string().contains("fail  keys      no AWS credentials for the check: the SSO login"), "{output}");
}

#[test]
fn a_named_profile_wins_over_the_environment_and_nothing_follows_it() {
    let mut sandbox = keys();
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENTENVI");
    sandbox.set("AWS_SECRET_ACCESS_KEY", "SSSH");
    let output = sandbox.run("credentials check --profile default --endpoint-url http://s3.example.com");
    assert!(output.to_string().contains("access key AKIA…MPLE (profile default)"), "{output}");
    let output = sandbox.run("credentials check --profile nobody");
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.to_string().contains("hint: choose another with --profile"), "{output}");
}

#[test]
fn a_role_of_a_secret_is_assumed_with_the_secrets_own_keys() {
    let (mut sandbox, refused) = (Sandbox::new(), Fake::sts_error("403 Forbidden", "AccessDenied"));
    sandbox.set("AWS_ENDPOINT_URL_STS", &refused.url);
    sandbox.write(
        "secret/credentials",
        "[default]\nrole_arn=arn:x\nsource_profile=base\nregion=us-east-1\n[base]\naws_access_key_id=a\naws_secret_access_key=b\n",
    );
    let line =
        "agent backup --cluster-name etcd-a --endpoints http://127.0.0.1:1 --report report --aws-secret-dir secret";
    let output = sandbox.run(&format!("{line} --bucket bbb --endpoint-url http://127.0.0.1:1"));
    assert_eq!(output.code, Some(5), "{output}");
    let report = std::fs::read_to_string(sandbox.path().join("report")).unwrap();
    assert!(report.contains("CredentialsRefused: cannot get AWS credentials from directory secret"), "{report}");
    assert!(report.contains("AccessDenied"), "{report}");
}

#[test]
fn a_role_is_assumed_through_the_profile_and_its_refusal_is_told() {
    let mut sandbox = keys();
    let refused = Fake::sts_error("403 Forbidden", "AccessDenied");
    sandbox.set("AWS_ENDPOINT_URL_STS", &refused.url);
    let output = sandbox.run("credentials check --profile role");
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.to_string().contains("cannot get AWS credentials from AWS profile \"role\""), "{output}");
    let assumed = Fake::start(
        "200 OK",
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>\
         <SecretAccessKey>SSSH</SecretAccessKey><SessionToken>SSSH</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    );
    let mut sandbox = keys();
    sandbox.set("AWS_ENDPOINT_URL_STS", &assumed.url);
    let output = sandbox.run("credentials check --profile role").to_string();
    assert!(
        output.contains("ok    keys      your AWS files: access key ASIA…MPLE (profile role; they expire)"),
        "{output}"
    );
    assert!(!output.contains("SSSH"), "{output}");
}
