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

#[test]
fn a_check_reads_the_secret_and_the_configmap_and_tries_the_bucket() {
    let namespace = Namespace::new("credentials-check");
    let store = namespace.s3.flags(&namespace.name);
    let missing = namespace.run(&format!("credentials check {store}"));
    assert_eq!(missing.code, Some(5), "{missing}");
    let says = format!("fail  keys      secret {0}/aws-credential does not exist\n", namespace.name);
    assert!(missing.to_string().starts_with(&says), "{missing}");
    assert!(missing.to_string().contains("hint: kubectl etcdbackup credentials -n "), "{missing}");

    assert_eq!(namespace.run("credentials").code, Some(0));
    let works = namespace.run(&format!("credentials check {store}"));
    assert_eq!(works.code, Some(0), "{works}");
    let outcomes: Vec<String> =
        works.to_string().lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(outcomes, ["ok keys", "ok region", "skip identity", "ok list", "ok get", "ok put"]);
    assert!(!works.to_string().contains(namespace.s3.get("S3_BACKUP_SECRET_KEY")), "{works}");

    // as etcd-operator's first documents tell: a file of any name, and the region in a ConfigMap
    let keys = namespace.sandbox.path().join(".aws/credentials").display().to_string();
    let config = namespace.sandbox.path().join(".aws/config").display().to_string();
    namespace.kubectl(&["create", "secret", "generic", "old", &format!("--from-file=my-keys={keys}")]);
    namespace.kubectl(&["create", "configmap", "conf", &format!("--from-file=my-region={config}")]);
    let old = namespace.run(&format!("credentials check --secret old --configmap-name conf {store} --read-only"));
    assert_eq!(old.code, Some(0), "{old}");
    assert!(old.stderr.contains("has no key \"credentials\"; its only key \"my-keys\" was read as one"), "{old}");
    assert!(old.stderr.contains("has no key \"config\"; its only key \"my-region\" was read as one"), "{old}");
    let get = namespace.run(&format!("get etcd-a --secret old {store} --from s3"));
    assert!(get.stderr.contains("warning: secret") && get.code == Some(3), "{get}");
}

#[test]
fn the_form_for_the_environment_holds_bare_values_that_a_check_reads() {
    let namespace = Namespace::new("values");
    let made = namespace.run("credentials --format env --secret-name awsbackuptest");
    assert_eq!(String::from_utf8_lossy(&made.stdout), "secret/awsbackuptest created\n");
    let value = |key: &str| {
        namespace.kubectl(&[
            "get",
            "secret",
            "awsbackuptest",
            "-o",
            &format!("go-template={{{{.data.{key} | base64decode}}}}"),
        ])
    };
    assert_eq!(value("access"), namespace.s3.get("S3_BACKUP_ACCESS_KEY"));
    assert_eq!(value("secret"), namespace.s3.get("S3_BACKUP_SECRET_KEY"));
    let check =
        namespace.run(&format!("credentials check --secret awsbackuptest {}", namespace.s3.flags(&namespace.name)));
    assert_eq!(check.code, Some(0), "{check}");
}
