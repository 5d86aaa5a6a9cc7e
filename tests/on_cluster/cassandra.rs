//! `cassandra` where the API of each operator is served by a real API server.

use serde_json::{Value, json};

use crate::cassandra_crds::{Ring, elassandra, elassandra_secrets, elassandra_without_schema, go, java, medusa};
use crate::sandbox::Output;
use crate::terminal::Terminal;

const ENV: &str = "cassandra env dc1 --secret awsbackuptest --region us-west-2 --patch";
/// The values are no secrets, but must be treated as such.
const SEED: [(&str, &str); 2] = [("access", "AKIAEXAMPLE"), ("secret", "sesame")];

/// Runs the plugin in the ring's namespace.
pub fn run(ring: &Ring, line: &str) -> Output {
    ring.api.run(&format!("{line} -n {}", ring.namespace))
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A key of a Secret.
fn value(ring: &Ring, secret: &str, key: &str) -> String {
    let template = format!("go-template={{{{index .data {key:?}|base64decode}}}}");
    ring.api.try_kubectl(&["get", "secret", secret, "-n", ring.namespace, "-o", &template]).unwrap()
}

#[test]
fn a_secret_has_the_keys_that_the_served_operator_reads() {
    let ring = Ring::start(&go(), "cass-secret-go");
    ring.api.sandbox.write("access", "AKIAEXAMPLE\n");
    ring.api.sandbox.write("secret", "sesame\r\n");
    let line = "cassandra secret keys --access-file access --secret-file secret --region eu-west-1";
    let made = run(&ring, line);
    assert_eq!((made.code, stdout(&made).as_str()), (Some(0), "secret/keys created\n"), "{made}");
    assert!(made.stderr.contains("access ends with a line break, which is left out"), "{made}");
    assert!(made.stderr.contains("format: instaclustr-go for Instaclustr's Go operator"), "{made}");
    let values = ["awsaccesskeyid", "awssecretaccesskey", "awsregion"].map(|key| value(&ring, "keys", key));
    assert_eq!(values, ["AKIAEXAMPLE", "sesame", "eu-west-1"]);
    let again = run(&ring, &format!("{line} -v 9"));
    assert_eq!(stdout(&again), "secret/keys unchanged\n", "{again}");
    assert!(![made, again].iter().any(|output| output.to_string().contains("sesame")));
    let no_region = run(&ring, "cassandra secret other --access-file access --secret-file secret");
    assert_eq!(no_region.code, Some(5), "{no_region}");
    assert!(no_region.stderr.contains("no AWS region, which --format instaclustr-go stores"), "{no_region}");
}

#[test]
fn where_the_operator_cannot_be_told_the_format_is_asked_for() {
    let ring = Ring::start(&elassandra_without_schema(), "cass-secret-either");
    ring.api.sandbox.write("access", "AKIAEXAMPLE");
    ring.api.sandbox.write("secret", "sesame");
    let line = "cassandra secret awsbackuptest --access-file access --secret-file secret";
    let either = run(&ring, line);
    assert_eq!(either.code, Some(3), "{either}");
    assert!(either.stderr.contains("more than one Cassandra operator may be served"), "{either}");
    assert!(either.stderr.contains("hint: or choose the keys with --format"), "{either}");
    assert_eq!(run(&ring, &format!("{line} --format instaclustr")).code, Some(0));
    assert_eq!(
        [value(&ring, "awsbackuptest", "access"), value(&ring, "awsbackuptest", "secret")],
        ["AKIAEXAMPLE", "sesame"]
    );
    let backup = "cassandra backup dc1 --location s3://ring-backups --tag t";
    let either = run(&ring, backup);
    assert_eq!(either.code, Some(3), "{either}");
    let hint = "hint: choose one with --generation elassandra or --generation elassandra-secrets\n";
    assert!(either.stderr.contains(hint), "{either}");
    let made = run(&ring, &format!("{backup} --generation elassandra"));
    assert_eq!(made.code, Some(0), "{made}");
    let task = json!({"cluster": "cl1", "datacenter": "dc1", "backup": {"type": "AWS_S3", "target": "ring-backups"}});
    assert_eq!(ring.get(&ring.backups, "t")["spec"], task);
}

#[test]
fn the_environment_is_merged_by_name_and_a_second_time_unchanged() {
    let ring = Ring::start(&java(), "cass-env");
    ring.secret("awsbackuptest", &SEED);
    let patch = json!({"spec": {"env": [{"name": "JVM_OPTS", "value": "-Xmx1G"}, {"name": "AWS_REGION", "value": "eu-west-1"}]}});
    let words = ["patch", &ring.datacenters, "dc1", "-n", ring.namespace, "--type=merge", "-p", &patch.to_string()];
    ring.api.try_kubectl(&words).unwrap();
    let unasked = run(&ring, ENV);
    assert_eq!(unasked.code, Some(2), "{unasked}");
    assert!(unasked.stderr.contains("hint: add --yes"), "{unasked}");
    let shown = "cassandradatacenter.stable.instaclustr.com/dc1";
    for (mode, word) in [("client", "dry run"), ("server", "server dry run")] {
        let only = run(&ring, &format!("{ENV} --dry-run={mode}"));
        assert_eq!(stdout(&only), format!("{shown} patched ({word})\n"), "{only}");
    }
    assert_eq!(ring.get(&ring.datacenters, "dc1")["spec"]["env"], patch["spec"]["env"]);

    let patched = run(&ring, &format!("{ENV} --yes"));
    assert_eq!((patched.code, stdout(&patched)), (Some(0), format!("{shown} patched\n")), "{patched}");
    assert_eq!(
        patched.stderr,
        format!(
            "{shown}, of Instaclustr's Java operator (2018-2019), stable.instaclustr.com/v1:\n\
             \x20 + spec.env AWS_ACCESS_KEY_ID from secret awsbackuptest, key access\n\
             \x20 + spec.env AWS_SECRET_ACCESS_KEY from secret awsbackuptest, key secret\n\
             \x20 - spec.env AWS_REGION=eu-west-1\n  + spec.env AWS_REGION=us-west-2\n\
             warning: every pod of dc1 starts again, one after the other\n"
        )
    );
    let live = ring.get(&ring.datacenters, "dc1");
    let names: Vec<&str> =
        live["spec"]["env"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["JVM_OPTS", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    let again = run(&ring, &format!("{ENV} --yes"));
    assert_eq!((again.code, stdout(&again)), (Some(0), format!("{shown} unchanged\n")), "{again}");
    assert_eq!(ring.get(&ring.datacenters, "dc1")["metadata"]["resourceVersion"], live["metadata"]["resourceVersion"]);

    ring.secret("gcp-auth-reference", &[("my_service_key.json", "{}")]);
    let gcp = "cassandra env dc1 --secret gcp-auth-reference --cloud gcp --project p --gcp-bucket b --patch --yes";
    let patched = run(&ring, gcp);
    assert_eq!(patched.code, Some(0), "{patched}");
    let mounted = ring.get(&ring.datacenters, "dc1")["spec"]["userSecretVolumeSource"].clone();
    let file = "my_service_key.json";
    assert_eq!(mounted, json!({"secretName": "gcp-auth-reference", "items": [{"key": file, "path": file}]}));
}

#[test]
fn a_datacenter_that_changes_during_the_question_is_left_alone() {
    let ring = Ring::start(&go(), "cass-env-race");
    ring.secret("awsbackuptest", &[("awsaccesskeyid", "A"), ("awssecretaccesskey", "s"), ("awsregion", "us-west-2")]);
    let line = format!("{ENV} -n {}", ring.namespace);
    let command = || ring.api.sandbox.command(&line.split_whitespace().collect::<Vec<_>>());
    let mut terminal = Terminal::run(command());
    terminal.expect("Change it");
    ring.api.kubectl(&format!("label {} dc1 -n {} touched=yes", ring.datacenters, ring.namespace));
    terminal.keys("y");
    let (code, _, screen) = terminal.end();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("was changed meanwhile; nothing was patched"), "{screen}");
    assert_eq!(ring.get(&ring.datacenters, "dc1")["spec"].get("sidecarEnv"), None);

    let mut terminal = Terminal::run(command());
    terminal.answer("Change it", "n");
    let (code, _, screen) = terminal.end();
    assert!(code == Some(1) && screen.contains("nothing was changed"), "{screen}");
    let mut terminal = Terminal::run(command());
    terminal.answer("Change it", "y");
    assert_eq!(terminal.end().0, Some(0));
    let spec = ring.get(&ring.datacenters, "dc1")["spec"].clone();
    for field in ["sidecarEnv", "cassandraEnv"] {
        assert_eq!(spec[field][0]["valueFrom"]["secretKeyRef"]["key"], "awsaccesskeyid", "{field}");
    }
}

#[test]
fn a_secret_that_would_fail_in_the_pods_stops_the_patch() {
    let ring = Ring::start(&java(), "cass-newline");
    let missing = run(&ring, &format!("{ENV} --yes"));
    assert_eq!(missing.code, Some(5), "{missing}");
    let remake = "hint: kubectl etcdbackup cassandra secret awsbackuptest --format instaclustr -n cass-newline\n";
    assert!(missing.stderr.ends_with(remake) && missing.stderr.contains("not found in namespace"), "{missing}");
    ring.api.sandbox.write("access", "AKIAEXAMPLE\n");
    ring.api.sandbox.write("secret", "sesame\n");
    let file = |name: &str| ring.api.sandbox.path().join(name).display().to_string();
    let from = ["access", "secret"].map(|name| format!("--from-file={}", file(name)));
    ring.api.kubectl(&format!("create secret generic awsbackuptest -n {} {} {}", ring.namespace, from[0], from[1]));
    let broken = run(&ring, &format!("{ENV} --yes"));
    assert_eq!(broken.code, Some(5), "{broken}");
    assert_eq!(
        broken.stderr,
        format!(
            "error: key \"access\" in secret cass-newline/awsbackuptest ends with a line break or a space: every request \
             would be refused for its signature\n{remake}"
        )
    );
    assert_eq!(ring.get(&ring.datacenters, "dc1")["spec"].get("env"), None);
}

#[test]
fn the_object_is_the_served_operators_and_its_status_is_followed() {
    let label = json!({"matchLabels": {"cassandra-operator.instaclustr.com/datacenter": "dc1"}});
    let task = |backup: Value| json!({"cluster": "cl1", "datacenter": "dc1", "backup": backup});
    let bucket = "--location azure://ring-backups";
    for (kinds, namespace, flags, spec, done) in [
        (
            java(),
            "cass-java",
            bucket,
            json!({"selector": label, "backupType": "AZURE_BLOB", "target": "ring-backups"}),
            json!({"status": {"progress": "PROCESSED"}}),
        ),
        (
            elassandra_secrets(),
            "cass-secrets",
            "--location azure://ring-backups --secret keys --keyspace ks",
            task(json!({"provider": "AZURE_BLOB", "bucket": "ring-backups", "secretRef": "keys", "keyspaces": ["ks"]})),
            json!({"status": {"phase": "SUCCEED"}}),
        ),
        (
            go(),
            "cass-go",
            bucket,
            json!({"cdc": "dc1", "cluster": "cl1", "datacenter": "dc1", "snapshotTag": "t",
                "storageLocation": "azure://ring-backups"}),
            json!({"globalStatus": "COMPLETED", "globalProgress": "100%"}),
        ),
        (
            medusa(),
            "cass-medusa",
            "--full",
            json!({"cassandraDatacenter": "dc1", "backupType": "full"}),
            json!({"status": {"finishTime": "2026-01-01T00:00:00Z", "finished": ["dc1-r1-sts-0"]}}),
        ),
    ] {
        let ring = Ring::start(&kinds, namespace);
        ring.secret("keys", &[("storage-account", "a"), ("storage-key", "k")]);
        let output = std::thread::scope(|scope| {
            scope.spawn(|| ring.report("t", &done));
            run(&ring, &format!("cassandra backup dc1 --tag t --wait --timeout 2m {flags}"))
        });
        assert_eq!(output.code, Some(0), "{namespace}: {output}");
        let made = ring.get(&ring.backups, "t");
        assert_eq!(made["spec"], spec, "{namespace}");
        let labels = &made["metadata"]["labels"];
        assert!(labels.is_null() || labels == &label["matchLabels"], "{labels}");
        // neither Azure nor a bucket that nobody named can be looked at, and that is said
        assert!(output.stderr.contains("warning: the bucket is not looked at: "), "{output}");
        assert!(stdout(&output).ends_with("/t not verified: the bucket was not looked at\n"), "{output}");
        let taken = run(&ring, &format!("cassandra backup dc1 --tag t {flags}"));
        assert_eq!(taken.code, Some(1), "{taken}");
        assert!(taken.stderr.contains("hint: choose another --tag"), "{taken}");
    }
}

#[test]
fn a_failure_is_the_operators_word_and_a_silent_operator_is_a_time_out() {
    let ring = Ring::start(&elassandra(), "cass-failed");
    let line = "cassandra backup dc1 --location s3://ring-backups --wait";
    let output = std::thread::scope(|scope| {
        scope.spawn(|| ring.report("f", &json!({"status": {"phase": "FAILED", "lastMessage": "no such bucket"}})));
        run(&ring, &format!("{line} --tag f --timeout 2m"))
    });
    assert_eq!(output.code, Some(7), "{output}");
    let says = "error: elassandratask.stable.strapdata.com/f failed: FAILED: no such bucket\n";
    assert!(output.stderr.contains(says), "{output}");
    let silent = run(&ring, &format!("{line} --tag s --timeout 1s"));
    assert_eq!(silent.code, Some(6), "{silent}");
    assert!(silent.stderr.contains("hint: no operator has taken it up"), "{silent}");
}

#[test]
fn another_operator_none_and_a_missing_permission_are_told_apart() {
    let ring = Ring::start(&medusa(), "cass-wrong");
    let backup = "cassandra backup dc1 --tag t --location s3://ring-backups";
    let other = run(&ring, &format!("{backup} --generation instaclustr-go"));
    assert_eq!(other.code, Some(3), "{other}");
    let says = "error: Instaclustr's Go operator (2019-2021) is not served; served: K8ssandra with Medusa";
    assert!(other.stderr.contains(says), "{other}");
    let env = run(&ring, &format!("{ENV} --yes"));
    assert_eq!(env.code, Some(1), "{env}");
    assert!(env.stderr.contains("K8ssandra with Medusa takes no keys from the environment"), "{env}");
    assert!(env.stderr.contains("hint: kubectl etcdbackup cassandra secret NAME --format medusa"), "{env}");
    let nothing = run(&ring, "cassandra backup dc2 --tag t --location s3://ring-backups");
    assert_eq!(nothing.code, Some(3), "{nothing}");
    assert!(nothing.stderr.contains("shows which there are"), "{nothing}");

    ring.api
        .kubectl("create clusterrole cass-reader --verb=get --resource=cassandradatacenters.cassandra.datastax.com");
    ring.api.kubectl("create rolebinding reader --clusterrole=cass-reader --user=jane -n cass-wrong");
    for (user, needs) in [
        ("jack", "needs verb get on cassandradatacenters.cassandra.datastax.com in namespace cass-wrong"),
        ("jane", "needs verb create on medusabackupjobs.medusa.k8ssandra.io in namespace cass-wrong"),
    ] {
        let denied = run(&ring, &format!("{backup} --as {user}"));
        assert_eq!(denied.code, Some(5), "{denied}");
        assert!(denied.stderr.contains("Error from server (Forbidden): ") && denied.stderr.contains(needs), "{denied}");
    }
    drop(ring);
    let ring = Ring::start(&[], "cass-none");
    for line in
        [backup, "cassandra secret x --access-file a --secret-file a", "cassandra restore-snippet t --datacenter dc1"]
    {
        ring.api.sandbox.write("a", "a");
        let none = run(&ring, line);
        assert_eq!(none.code, Some(3), "{none}");
        assert!(none.stderr.contains("the server has no API of a Cassandra operator that is known"), "{none}");
        assert!(none.stderr.contains("hint: known are: Instaclustr's Java operator (2018-2019); "), "{none}");
    }
}

#[test]
fn a_schema_of_another_release_is_found_before_anything_is_made() {
    let ring = Ring::start(&elassandra(), "cass-schema");
    let output = run(&ring, "cassandra backup dc1 --tag t --location s3://ring-backups --secret keys");
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("--secret cannot be used: Elassandra's operator up to December 2019"), "{output}");
    let other = run(&ring, "cassandra backup dc1 --tag t --location s3://ring-backups --generation elassandra-secrets");
    assert_eq!(other.code, Some(3), "{other}");
    assert!(other.stderr.contains("is not served; served: Elassandra's operator up to December 2019"), "{other}");
    let dry = run(&ring, "cassandra backup dc1 --tag t --location s3://ring-backups --dry-run=server -o name");
    assert_eq!(stdout(&dry), "elassandratask.stable.strapdata.com/t\n", "{dry}");
    let list = ring.api.kubectl(&format!("get {} -n {} -o name", ring.backups, ring.namespace));
    assert_eq!(list, "", "nothing was made");
}

#[test]
fn a_restore_is_printed_with_its_conditions_and_not_started() {
    let ring = Ring::start(&go(), "cass-restore");
    let line = "cassandra restore-snippet t --datacenter dc1 --location gcp://ring-backups";
    let before = ring.get(&ring.datacenters, "dc1");
    let printed = run(&ring, line);
    assert_eq!(printed.code, Some(0), "{printed}");
    let text = stdout(&printed);
    assert!(
        text.starts_with("# Instaclustr's Go operator (2019-2021), cassandraoperator.instaclustr.com/v1alpha1; "),
        "{text}"
    );
    assert!(text.contains("\n# - the restored ring has the same cluster and datacenter names"), "{text}");
    // the API server takes it as it is printed
    let lines: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let backup = lines.split("---\n").next().unwrap();
    assert!(backup.contains("justCreate: true"), "{backup}");
    ring.api.sandbox.write("restore.yaml", backup);
    let file = ring.api.sandbox.path().join("restore.yaml").display().to_string();
    ring.api.kubectl(&format!("create -f {file} -n {} --validate=strict", ring.namespace));
    let registered = stdout(&run(&ring, line));
    assert!(!registered.contains("justCreate") && registered.contains("backupName: t"), "{registered}");
    assert_eq!(ring.get(&ring.datacenters, "dc1"), before);
}
