//! Wrong command lines, help, and what needs neither cluster nor kubeconfig.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    assert_snapshot!(Sandbox::new().run("--help"));
}

#[test]
fn version_of_the_client_contacts_nobody() {
    assert_snapshot!(Sandbox::new().run("version --client"));
}

#[test]
fn wrong_words_are_exit_2_with_a_way_on() {
    let sandbox = Sandbox::new();
    for (name, line) in [
        ("unknown_flag", "get etcd-a --nope"),
        ("mistyped_flag", "get etcd-a --buckett x"),
        ("mistyped_command", "gett etcd-a"),
        ("swapped_letters", "gte etcd-a"),
        ("word_from_elsewhere", "restore etcd-a"),
        ("missing_cluster", "get"),
        ("bad_revision", "get etcd-a --revision latest"),
        ("bad_source", "get etcd-a --from floppy"),
        ("mistyped_source", "get etcd-a --from servce"),
        ("bad_bucket", "get etcd-a --bucket s3://b/k"),
        ("bad_endpoint", "get etcd-a --endpoint-url s3.example.com"),
        ("bad_duration", "create etcd-a --bucket bbb --wait --timeout 5"),
        ("create_without_bucket", "create etcd-a"),
        ("create_bad_name", "create etcd_a --bucket etcd-backups"),
        ("create_wait_and_dry_run", "create etcd-a --bucket bbb --wait --dry-run=client"),
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output}");
        assert_snapshot!(name, output);
    }
}

#[test]
fn create_prints_the_object_without_a_kubeconfig() {
    let line = "create etcd-a --name nightly --bucket s3://etcd-backups --prefix team-x -n databases --dry-run=client";
    let sandbox = Sandbox::new();
    assert_snapshot!("create_dry_run", sandbox.run(line));
    assert_snapshot!("create_dry_run_yaml", sandbox.run(&format!("{line} -o yaml")));
    assert_snapshot!("create_dry_run_json", sandbox.run(&format!("{line} -o json")));
    assert_snapshot!("create_dry_run_name", sandbox.run(&format!("{line} -o name")));
}

#[test]
fn install_prints_its_objects_without_a_kubeconfig() {
    let output = Sandbox::new().run("install -o yaml --image example.com/etcdbackup:v1 -n backups");
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!(output);
}

#[test]
fn without_a_kubeconfig_the_way_without_kubernetes_is_named() {
    assert_snapshot!(Sandbox::new().run("get etcd-a"));
}
