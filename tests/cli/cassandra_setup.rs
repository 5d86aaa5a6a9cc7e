//! `cassandra secret|env|backup|restore-snippet` as far as they go without a cluster.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::sandbox::{Output, Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_keys(("AKIAEXAMPLE", "sesame"));
    sandbox.write("access", "AKIAEXAMPLE\n");
    sandbox.write("secret", "sesame\n");
    let account = r#"{"type":"service_account","project_id":"p","client_email":"e","private_key":"sesame"}"#;
    sandbox.write("account.json", account);
    sandbox
}

#[test]
fn secrets_are_printed_in_each_operators_form() {
    let sandbox = sandbox();
    for (name, line) in [
        ("secret_of_profile", "awsbackuptest --format instaclustr -o yaml"),
        ("secret_of_files", "awsbackuptest --access-file access --secret-file secret -o yaml"),
        ("secret_elassandra", "elassandra-cl1-backup-aws --format elassandra -o yaml"),
        ("secret_go", "keys --format instaclustr-go --endpoint-url http://s3.example.com -o yaml"),
        ("secret_medusa", "keys --format medusa -o yaml"),
        ("secret_azure", "azure-storage --cloud azure --access-file access --secret-file secret -o yaml"),
        ("secret_gcp", "gcp-auth-reference --cloud gcp --secret-file account.json -o yaml"),
    ] {
        let output = sandbox.run(&format!("cassandra secret {line} --dry-run=client"));
        assert_eq!(output.code, Some(0), "{line}: {output}");
        assert_snapshot!(name, output);
    }
}

#[test]
fn a_value_may_come_from_a_pipe() {
    let sandbox = sandbox();
    let words = "cassandra secret x --access-file access --secret-file - --format instaclustr --dry-run=client -o yaml";
    let mut command = sandbox.command(&words.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::from(std::fs::File::open(sandbox.path().join("secret")).unwrap()));
    let piped = Output::of(command.output().unwrap(), &sandbox);
    assert!(piped.code == Some(0) && piped.stderr.contains("stdin ends with a line break"), "{piped}");
    let of_file = sandbox.run(&words.replace("--secret-file -", "--secret-file secret"));
    assert_eq!(piped.stdout, of_file.stdout);
}

#[test]
fn what_is_no_value_is_exit_5_and_shown_nowhere() {
    let sandbox = sandbox();
    sandbox.write("two", "sesame\nsesame\n");
    sandbox.write("empty", "\n");
    sandbox.write("user.json", r#"{"type":"authorized_user","refresh_token":"sesame"}"#);
    for (line, says) in [
        ("--access-file access --secret-file two", "error: two holds a space, a line break or another character"),
        ("--access-file empty --secret-file secret", "error: empty is empty"),
        ("--access-file none --secret-file secret", "error: cannot read none: no such file"),
        ("--cloud gcp --secret-file user.json", "error: user.json is no service account's JSON: its type is not"),
    ] {
        let output = sandbox.run(&format!("cassandra secret x {line} --format instaclustr --dry-run=client"));
        assert_eq!(output.code, Some(5), "{line}: {output}");
        let shown = output.to_string();
        assert!(shown.contains(says) && !shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn flags_that_do_not_fit_are_exit_2() {
    let sandbox = sandbox();
    for (line, says) in [
        ("secret x --access-file access", "--access-file and --secret-file belong together"),
        ("secret x --access-file - --secret-file -", "only one of --access-file and --secret-file can be stdin"),
        ("secret x --cloud azure", "--cloud azure needs --access-file and --secret-file"),
        ("secret x --cloud gcp --secret-file a --region r", "cannot be used with another --cloud than aws"),
        ("secret x --format instaclustr --region r", "--region cannot be used with --format instaclustr"),
        ("secret x --format medusa --endpoint-url http://s", "--endpoint-url cannot be used with --format medusa"),
        ("secret x --profile p --access-file a --secret-file b", "--profile"),
        ("env dc1 --secret s", "--cloud aws needs --region"),
        ("env dc1 --secret s --cloud gcp --project p", "--cloud gcp needs --gcp-bucket"),
        ("env dc1 --secret s --cloud azure --region r", "--region cannot be used with this --cloud"),
        ("env dc1 --secret s --region r --yes", "--patch"),
        ("env dc1 --secret s --region r --print --patch", "--print"),
        ("env dc1 --secret s --region r --patch", "asks before the ring starts again, and there is no terminal"),
        ("backup dc1 --location s3://ring-backups --region r", "--region cannot be used without --wait"),
        ("backup dc1 --location ring-backups", "must be s3://BUCKET"),
        ("backup dc1 --location s3://ring-backups --tag A_b", "invalid tag"),
        ("backup dc1 --location s3://ring-backups --dry-run=client", "asks nobody which operator is served"),
        ("restore-snippet t --datacenter dc1 --no-verify --profile p", "--profile cannot be used with --no-verify"),
        ("restore-snippet ../t --datacenter dc1 --no-verify", "a tag is a name without slashes"),
        ("verify t --location gcp://ring-backups", "gcp://ring-backups is not S3"),
    ] {
        let output = sandbox.run(&format!("cassandra {line}"));
        assert_eq!((output.code, output.stdout.len()), (Some(2), 0), "{line}: {output}");
        assert!(output.stderr.contains(says), "{line}: {output}");
    }
}

#[test]
fn the_environment_is_printed_without_a_kubeconfig() {
    let sandbox = sandbox();
    for (name, line) in [
        ("env_aws", "--secret awsbackuptest --region us-west-2"),
        ("env_go", "--secret keys --region us-west-2 --generation instaclustr-go"),
        ("env_azure", "--secret azure-storage --cloud azure"),
        ("env_gcp", "--secret gcp-auth-reference --cloud gcp --project p --gcp-bucket ring-backups"),
    ] {
        let output = sandbox.run(&format!("cassandra env dc1 {line}"));
        assert_eq!(output.code, Some(0), "{line}: {output}");
        assert_snapshot!(name, output);
    }
    let without = sandbox.run("cassandra env dc1 --secret s --region r --generation k8ssandra");
    assert_eq!(without.code, Some(1), "{without}");
}

#[test]
fn objects_are_printed_without_a_kubeconfig() {
    let sandbox = sandbox();
    let names = "--cassandra-cluster cl1 --cassandra-datacenter dc1";
    for (name, line) in [
        ("backup_java", "backup dc1 --location s3://ring-backups --tag t --generation instaclustr-java"),
        ("backup_elassandra", "backup dc1 --location s3://ring-backups --tag t --generation elassandra NAMES"),
        ("backup_secrets", "backup dc1 --location s3://ring-backups --tag t --generation elassandra-secrets NAMES"),
        ("backup_go", "backup dc1 --location s3://ring-backups/team --tag t --generation instaclustr-go NAMES"),
        ("backup_medusa", "backup dc1 --tag t --generation k8ssandra"),
    ] {
        let output = sandbox.run(&format!("cassandra {} --dry-run=client -o yaml", line.replace("NAMES", names)));
        assert_eq!(output.code, Some(0), "{line}: {output}");
        assert_snapshot!(name, output);
    }
    for generation in ["instaclustr-java", "elassandra", "elassandra-secrets", "instaclustr-go", "k8ssandra"] {
        let line = format!("restore-snippet t --datacenter dc1 --location s3://ring-backups --generation {generation}");
        let output = sandbox.run(&format!("cassandra {line} --no-verify {names}"));
        assert_eq!(output.code, Some(0), "{line}: {output}");
        assert_snapshot!(format!("restore_{generation}"), output);
    }
}
