//! `credentials check` against a real S3 server.

use insta::assert_snapshot;

use crate::sandbox::{Output, Sandbox};
use crate::servers::{Bucket, READER, ROOT, STORE};

/// Normalised: what differs from run to run.
fn shown(output: &Output) -> String {
    let text = output.to_string().replace(&STORE.url, "http://s3");
    without(&without(&text, "-probe-", "RANDOM"), "request id ", "ID")
}

/// Replaces the word after each `mark`.
fn without(text: &str, mark: &str, stands_for: &str) -> String {
    let mut parts = text.split(mark);
    let mut settled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(part.len());
        settled.push_str(&format!("{mark}{stands_for}{}", &part[end..]));
    }
    settled
}

fn check(keys: (&str, &str), bucket: &Bucket<'_>, more: &str) -> Output {
    Sandbox::with_keys(keys).run(&format!("credentials check --profile default {} {more}", bucket.flags()))
}

#[test]
fn credentials_that_work_leave_nothing_behind() {
    let bucket = STORE.bucket("check");
    let output = check(ROOT, &bucket, "--prefix team");
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!("empty_prefix", shown(&output));
    bucket.put("team/v1/etcd-a/one", b"bytes");
    let output = check(ROOT, &bucket, "--prefix team -o yaml");
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!("every_field", shown(&output));
    assert_eq!(bucket.keys(), ["team/v1/etcd-a/one"]);
    let json = check(ROOT, &bucket, "-o json");
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&value["works"], &value["checks"][3]["objects"]), (&true.into(), &1.into()));
}

#[test]
fn each_refused_permission_is_a_line_with_a_hint() {
    let bucket = STORE.bucket("check-reader");
    bucket.put("one", b"bytes");
    let output = check(READER, &bucket, "");
    assert_eq!(output.code, Some(5), "{output}");
    assert_snapshot!("reader", shown(&output));
    let output = check(READER, &bucket, "--read-only");
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!("read_only", shown(&output));
    assert_eq!(bucket.keys(), ["one"]);
}

#[test]
fn a_probe_that_cannot_be_deleted_is_said() {
    let bucket = STORE.bucket("check-writer");
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": [READER.0]},
        "Action": ["s3:GetObject", "s3:ListBucket", "s3:PutObject"],
        "Resource": ["arn:aws:s3:::check-writer", "arn:aws:s3:::check-writer/*"]
    }]});
    let put = bucket.s3.client.put_bucket_policy().bucket("check-writer").policy(policy.to_string()).send();
    tokio::runtime::Runtime::new().unwrap().block_on(put).unwrap();
    let output = check(READER, &bucket, "");
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!("not_deleted", shown(&output));
    assert_eq!(bucket.keys().len(), 1);
}

#[test]
fn refused_keys_missing_buckets_and_wrong_regions_stop_the_rest() {
    let bucket = STORE.bucket("check-refused");
    let here = bucket.flags();
    let elsewhere = here.replace("check-refused", "no-such-bucket");
    for (name, keys, flags, code) in [
        ("wrong_secret", ("reader", "wrong"), here.clone(), 5),
        ("unknown_key", ("AKIAIOSFODNN7EXAMPLE", "x"), here.clone(), 5),
        ("no_such_bucket", ROOT, elsewhere, 3),
        ("wrong_region", ROOT, format!("{here} --region eu-west-1"), 5),
    ] {
        let output = Sandbox::with_keys(keys).run(&format!("credentials check --profile default {flags}"));
        assert_eq!(output.code, Some(code), "{name}: {output}");
        let text = output.to_string();
        assert!(!text.contains(ROOT.1) && !text.contains("IOSFODNN7"), "{text}");
        assert_snapshot!(name, shown(&output));
    }
}

#[test]
fn what_a_profile_lacks_is_the_first_failed_line() {
    let sandbox = Sandbox::new();
    sandbox.write(".aws/config", "[default]\naws_access_key_id=a\naws_secret_access_key=b\n");
    for (name, line) in [
        ("no_region", "credentials check --profile default --bucket bbb"),
        ("no_profile", "credentials check --profile nobody --bucket bbb"),
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(5), "{output}");
        assert_snapshot!(name, shown(&output));
    }
    let [port] = crate::servers::free_ports();
    let flags = format!("--bucket bbb --endpoint-url http://127.0.0.1:{port} --force-path-style");
    let output = sandbox.run(&format!("credentials check --profile default {flags}"));
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.to_string().contains("could not reach the service"), "{output}");
}
