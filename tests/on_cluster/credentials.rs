//! `credentials` on a real API server, and that no value of a Secret shows anywhere.

use crate::cluster::Namespace;

#[test]
fn the_secret_is_byte_for_byte_kubectls() {
    let namespace = Namespace::new("credentials");
    let read = |line: &str| String::from_utf8(namespace.sandbox.run(line).stdout).unwrap();
    let ours = read("credentials --secret-name aws --no-configmap --dry-run=client -o yaml");
    let secret: serde_json::Value =
        serde_json::from_str(&read("credentials --no-configmap --dry-run=client -o json")).unwrap();
    for key in ["credentials", "config"] {
        use std::process::{Command, Stdio};
        let decoded = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut decoded = decoded.unwrap();
        std::io::Write::write_all(&mut decoded.stdin.take().unwrap(), secret["data"][key].as_str().unwrap().as_bytes())
            .unwrap();
        let text = decoded.wait_with_output().unwrap().stdout;
        namespace.sandbox.write(key, std::str::from_utf8(&text).unwrap());
    }
    let from = |key: &str| format!("--from-file={key}={}", namespace.sandbox.path().join(key).display());
    let words =
        ["create", "secret", "generic", "aws", &from("credentials"), &from("config"), "--dry-run=client", "-o", "yaml"];
    let mut command = std::process::Command::new(crate::sandbox::binary("kubectl"));
    let kubectls = String::from_utf8(command.args(words).output().unwrap().stdout).unwrap();
    assert_eq!(ours, kubectls.replace("  creationTimestamp: null\n", ""));
}

#[test]
fn a_second_call_changes_nothing_and_shows_no_value() {
    let namespace = Namespace::new("twice");
    let secret = namespace.s3.get("S3_BACKUP_SECRET_KEY");
    let first = namespace.run("credentials -v 9");
    let second = namespace.run("credentials -v 9");
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{first}{second}");
    let (first, second) = (first.to_string(), second.to_string());
    assert!(first.contains("secret/aws-credential created\nconfigmap/aws-config created\n"), "{first}");
    assert!(second.contains("secret/aws-credential unchanged\nconfigmap/aws-config unchanged\n"), "{second}");
    for text in [first, second] {
        assert!(!text.contains(secret), "{text}");
    }
    let dry = namespace.run("credentials --dry-run=server --region eu-west-1");
    assert!(dry.to_string().contains("secret/aws-credential configured (server dry run)"), "{dry}");
}

#[test]
fn a_refusal_is_kubectls_and_exit_5() {
    let namespace = Namespace::new("refused");
    let output = namespace.run("credentials --as nobody");
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.stderr.starts_with("Error from server (Forbidden): "), "{output}");
}
