//! Completion by the real kubectl, and what a mistyped cluster is met with.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::cluster::{Namespace, eventually};
use crate::sandbox::{binary, cache};

/// What kubectl offers for the words after `kubectl etcdbackup`; the flags of the namespace come first.
fn offered(namespace: &Namespace, words: &[&str]) -> Vec<String> {
    let programs = namespace.sandbox.path().join(".programs");
    std::fs::create_dir_all(&programs).unwrap();
    for name in ["kubectl-etcdbackup", "kubectl_complete-etcdbackup"] {
        let link = programs.join(name);
        if !link.exists() {
            symlink(env!("CARGO_BIN_EXE_kubectl-etcdbackup"), link).unwrap();
        }
    }
    let mut kubectl = Command::new(binary("kubectl"));
    kubectl.args(["__complete", "etcdbackup", "-n", &namespace.name]).args(words);
    kubectl.env_clear().env("PATH", programs).env("HOME", namespace.sandbox.path());
    let output = kubectl.env("KUBECONFIG", cache().join("cluster/admin.kubeconfig")).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines = stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned());
    lines.collect()
}

fn service(namespace: &Namespace, name: &str) {
    namespace.kubectl(&["create", "service", "clusterip", name, "--tcp=2379"]);
}

#[test]
fn kubectl_offers_the_names_that_are_there() {
    let namespace = Namespace::new("complete");
    service(&namespace, "etcd-a-client");
    service(&namespace, "orders-backup-sidecar");
    namespace.kubectl(&["create", "secret", "generic", "aws-credential"]);
    // an answer comes within a second and a half, or is none: a busy machine is asked again
    let offers = |words: &[&str], wanted: &[&str]| {
        eventually(&format!("{words:?} offers {wanted:?}"), || offered(&namespace, words) == wanted);
    };
    offers(&["get", ""], &["etcd-a", "orders", ":4"]);
    offers(&["create", "--as-group", "system:masters", "--as", "x", "o"], &["orders", ":4"]);
    offers(&["get", "etcd-a", "--secret", "aws"], &["aws-credential", ":4"]);
    offers(&["get", "-n", &namespace.name], &[&namespace.name, ":4"]);
    // forbidden
    assert_eq!(offered(&namespace, &["get", "--as", "nobody", ""]), [":4"]);
    assert_eq!(
        offered(&namespace, &["get", "etcd-a", "--as", "nobody", "--from", ""]),
        ["auto", "service", "s3", "pv", "dir", ":4"]
    );
}

#[test]
fn a_mistyped_cluster_is_met_with_those_that_are_there() {
    let namespace = Namespace::new("mistyped");
    service(&namespace, "etcd-a-client");
    let hints = format!("hint: did you mean \"etcd-a\"?\nhint: clusters in namespace {}: etcd-a\n", namespace.name);
    // a hint is waited for two seconds: a busy machine is asked again
    let said = |line: &str, code: i32, hint: &str| {
        eventually(hint, || {
            let output = namespace.run(line);
            assert_eq!(output.code, Some(code), "{output}");
            output.stderr.contains(hint)
        });
    };
    said("get etdc-a", 3, &hints);
    said("get etdc-a --from service", 3, &hints);
    let create = "--bucket etcd-backups --ambient --dry-run=server";
    let doubt = "warning: neither service \"etdc-a-client\" nor pods of cluster \"etdc-a\" are in namespace";
    said(&format!("create etdc-a {create}"), 0, doubt);
    said(&format!("create etdc-a {create}"), 0, "; did you mean \"etcd-a\"?");
    let right = namespace.run(&format!("create etcd-a {create}"));
    assert!(right.code == Some(0) && !right.stderr.contains("warning"), "{right}");
}
