//! `install`, `uninstall` and `check` without a cluster: help, usage, and the kustomize bases.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

#[test]
fn the_kustomize_bases_are_what_install_prints() {
    for (base, flags) in [("namespaced", ""), ("cluster-wide", "--cluster-wide")] {
        let line = format!("install -n etcdbackup {flags} -o yaml");
        let path = format!("{}/deploy/{base}/etcdbackup.yaml", env!("CARGO_MANIFEST_DIR"));
        let printed = Sandbox::new().run(&line);
        assert_eq!(printed.code, Some(0), "{printed}");
        let base = std::fs::read(&path).unwrap();
        assert!(base == printed.stdout, "is not up to date: kubectl etcdbackup {line} > {path}");
    }
}

#[test]
fn help_fits_a_terminal_and_says_what_is_needed() {
    for command in ["install", "uninstall", "check"] {
        let help = Sandbox::new().run(&format!("{command} --help")).to_string();
        assert!(help.contains("\nRBAC: "), "{help}");
        let examples = help.lines().filter(|line| line.starts_with("  # ")).count();
        assert!(examples >= 5, "{examples}: {help}");
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{command}");
    }
}

#[test]
fn wrong_words_are_exit_2_and_contact_nobody() {
    let sandbox = Sandbox::new();
    for (name, line) in [
        ("uninstall_without_a_terminal", "uninstall -n etcd"),
        ("install_bad_role", "install --iam-role-arn etcd-backup"),
        ("check_bad_cluster", "check Etcd_A"),
        ("check_bad_command", "check --for restore"),
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output}");
        assert_snapshot!(name, output);
    }
}

#[test]
fn install_prints_a_service_account_for_jobs() {
    let line = "install -o name -n backups --cluster-wide --iam-role-arn arn:aws:iam::111122223333:role/etcd-backup";
    assert_snapshot!(Sandbox::new().run(line));
}
