//! `credentials` as far as it goes without a cluster: the objects and every fault of the files.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const CREDENTIALS: &str = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
    aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n\n\
    [work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=work-secret\naws_session_token=work-token\n\n\
    [half]\naws_access_key_id=AKIAHALF\n";
const CONFIG: &str = "[default]\nregion=us-west-1\n\n[profile work]\nregion=eu-west-1\n\n[profile half]\nregion=r\n\n\
    [profile sso]\nsso_session=corp\nregion=eu-west-1\n";

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
