//! `credentials` as far as it goes without a cluster: the objects and every fault of the files.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const CREDENTIALS: &str = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
    aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n\n\
    [work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=work-secret\naws_session_token=work-token\n\n\
    [half]\naws_access_key_id=AKIAHALF\n";
const CONFIG: &str = "[default]\nregion=us-west-1\n\n[profile work]\nregion=eu-west-1\n\n[profile half]\nregion=r\n\n\
    [profile sso]\nsso_session=corp\nregion=eu-west-1\n\n\
    [profile role]\nrole_arn=arn:aws:iam::1:role/backup\nsource_profile=default\nregion=eu-west-1\n\n\
    [profile process]\ncredential_process=/bin/vault --token EXAMPLEKEY\nregion=eu-west-1\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(".aws/credentials", CREDENTIALS);
    sandbox.write(".aws/config", CONFIG);
    sandbox
}

#[test]
fn prints_what_it_would_send() {
    let sandbox = sandbox();
    for (name, line) in [
        ("default_profile", "credentials --dry-run=client -o yaml"),
        ("values", "credentials --format env --profile default --dry-run=client -o yaml"),
        ("lines", "credentials create --dry-run=client"),
        ("names", "credentials --dry-run=client -o name --secret-name aws --configmap-name conf"),
        ("other_profile", "credentials --profile work --no-configmap --dry-run=client -o json -n databases"),
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(0), "{line}: {output}");
        assert_snapshot!(name, output);
    }
}

#[test]
fn each_fault_has_its_own_message_and_shows_no_value() {
    let without_region = Sandbox::new();
    without_region.write(".aws/credentials", CREDENTIALS);
    for (name, sandbox, line) in [
        ("unknown_profile", &sandbox(), "credentials --profile nobody --dry-run=client"),
        ("half_a_pair", &sandbox(), "credentials --profile half --dry-run=client"),
        ("no_static_keys", &sandbox(), "credentials --profile sso --dry-run=client"),
        ("role", &sandbox(), "credentials --profile role --dry-run=client"),
        ("process", &sandbox(), "credentials --profile process --dry-run=client"),
        ("values_with_a_token", &sandbox(), "credentials --profile work --format env --dry-run=client"),
        ("no_region", &without_region, "credentials --dry-run=client"),
        ("no_files", &Sandbox::new(), "credentials --dry-run=client"),
        ("missing_file", &sandbox(), "credentials --credentials-file /nonexistent/file --dry-run=client"),
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(5), "{line}: {output}");
        let text = output.to_string();
        assert!(!text.contains("AKIA") && !text.contains("EXAMPLEKEY"), "{text}");
        assert_snapshot!(name, text);
    }
}

#[test]
fn a_region_comes_from_the_flag_then_the_file_then_the_environment() {
    let mut sandbox = Sandbox::new();
    sandbox.write(".aws/credentials", CREDENTIALS);
    sandbox.set("AWS_REGION", "ap-south-1");
    let line = "credentials --dry-run=client -o yaml";
    assert!(sandbox.run(line).to_string().contains("region=ap-south-1"));
    assert!(sandbox.run(&format!("{line} --region eu-north-1")).to_string().contains("region=eu-north-1"));
    sandbox.write(".aws/config", CONFIG);
    assert!(sandbox.run(line).to_string().contains("region=us-west-1"));
}

#[test]
fn files_are_found_as_the_aws_cli_finds_them() {
    let mut sandbox = Sandbox::new();
    sandbox.write("elsewhere/c", CREDENTIALS);
    sandbox.write("elsewhere/f", CONFIG);
    let home = sandbox.path().display().to_string();
    sandbox.set("AWS_SHARED_CREDENTIALS_FILE", &format!("{home}/elsewhere/c"));
    sandbox.set("AWS_CONFIG_FILE", &format!("{home}/elsewhere/f"));
    assert!(sandbox.run("credentials --dry-run=client -o yaml").to_string().contains("region=us-west-1"));
}

#[test]
fn a_file_that_others_can_read_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = sandbox();
    let path = sandbox.path().join(".aws/credentials");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_snapshot!(sandbox.run("credentials --dry-run=client"));
}

#[test]
fn a_file_of_windows_is_read_as_any_other() {
    let sandbox = Sandbox::new();
    sandbox.write(".aws/credentials", &format!("\u{feff}{}", CREDENTIALS.replace('\n', "\r\n")));
    let line = "credentials --region us-west-1 --dry-run=client -o yaml";
    assert_eq!(sandbox.run(line).stdout, self::sandbox().run(line).stdout);
}

#[test]
fn what_is_no_readable_file_is_exit_5() {
    let sandbox = Sandbox::new();
    sandbox.write(".aws/config", CONFIG);
    std::fs::create_dir(sandbox.path().join("directory")).unwrap();
    std::fs::write(sandbox.path().join("huge"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    std::os::unix::fs::symlink("nowhere", sandbox.path().join("link")).unwrap();
    for (file, says) in [
        ("directory", "error: cannot read directory: it is a directory"),
        ("huge", "error: cannot read huge: it is larger than 1 MiB"),
        ("link", "error: cannot read link: it links to nowhere, which is not there"),
        ("/dev/zero", "error: cannot read /dev/zero: it is larger than 1 MiB"),
    ] {
        let output = sandbox.run(&format!("credentials --credentials-file {file} --dry-run=client"));
        assert_eq!((output.code, output.stderr.lines().next()), (Some(5), Some(says)), "{output}");
    }
}

#[test]
fn flags_before_the_word_are_not_lost() {
    let sandbox = sandbox();
    let output = sandbox.run("credentials --profile work check --bucket etcd-backups");
    assert_eq!(output.code, Some(2), "{output}");
    assert_snapshot!(output);
    assert_eq!(sandbox.run("credentials -n databases create --dry-run=client").code, Some(0));
}

#[test]
fn help_names_both_words() {
    assert_snapshot!("help", sandbox().run("credentials --help"));
    assert_snapshot!("help_check", sandbox().run("credentials check -h"));
}
