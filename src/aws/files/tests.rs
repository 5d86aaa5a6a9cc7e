use super::*;

const FILE: &str = "[default]\naws_access_key_id=AKIAX\naws_secret_access_key=SSSH\n";

fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<ProfileFiles> {
    ProfileFiles::from_keys("secret default/aws", &keys(pairs))
}

/// Key id, secret, token and region.
fn values(files: &ProfileFiles) -> [Option<String>; 4] {
    ["aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region"].map(|name| files.property(name))
}

/// Reads the layout and compares; `-` is a value that the layout has no key for.
fn gives(pairs: &[(&str, &str)], expected: [&str; 4]) {
    let files = read(pairs).unwrap();
    let expected = expected.map(|value| (value != "-").then(|| value.to_owned()));
    assert_eq!((values(&files), files.warnings.len()), (expected, 0), "{pairs:?}");
}

#[test]
fn etcd_operators_secret_holds_both_files() {
    gives(&[("credentials", FILE), ("config", "[default]\nregion=r\n")], ["AKIAX", "SSSH", "-", "r"]);
    gives(&[("credentials", FILE)], ["AKIAX", "SSSH", "-", "-"]);
}

#[test]
fn veleros_secret_holds_one_file() {
    gives(&[("cloud", FILE)], ["AKIAX", "SSSH", "-", "-"]);
}

#[test]
fn names_of_the_environment() {
    let pairs = [
        ("AWS_ACCESS_KEY_ID", "a\n"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_SESSION_TOKEN", "t\n"),
        ("AWS_REGION", "r\n"),
    ];
    gives(&pairs, ["a", "b", "t", "r"]);
    gives(&pairs[..2], ["a", "b", "-", "-"]);
}

#[test]
fn cloudnativepgs_names() {
    let pairs = [("ACCESS_KEY_ID", "a"), ("ACCESS_SECRET_KEY", "b"), ("ACCESS_SESSION_TOKEN", "t")];
    gives(&pairs, ["a", "b", "t", "-"]);
}

#[test]
fn access_and_secret() {
    gives(&[("access", "a\n"), ("secret", "b\n")], ["a", "b", "-", "-"]);
}

#[test]
fn elassandras_names() {
    gives(&[("access-key", "a"), ("secret-key", "b"), ("region", "r")], ["a", "b", "-", "r"]);
}

#[test]
fn instaclustrs_names() {
    let pairs = [("awsaccesskeyid", "a"), ("awssecretaccesskey", "b"), ("awsregion", "r"), ("awsendpoint", "e")];
    gives(&pairs, ["a", "b", "-", "r"]);
}

#[test]
fn gardeners_names() {
    gives(
        &[("accessKeyID", "a"), ("secretAccessKey", "b"), ("region", "r"), ("bucketName", "x")],
        ["a", "b", "-", "r"],
    );
}

#[test]
fn k3s_names() {
    let pairs =
        [("etcd-s3-access-key", "a"), ("etcd-s3-secret-key", "b"), ("etcd-s3-region", "r"), ("etcd-s3-bucket", "x")];
    gives(&pairs, ["a", "b", "-", "r"]);
}

#[test]
fn the_only_key_may_have_any_name_and_is_named() {
    let files = read(&[("my-aws-file", FILE)]).unwrap();
    assert_eq!(files.property("aws_access_key_id").as_deref(), Some("AKIAX"));
    assert_eq!(
        files.warnings,
        ["secret default/aws has no key \"credentials\"; its only key \"my-aws-file\" was read as one"]
    );
    let config = ProfileFiles::from_keys("configmap c", &keys(&[("f", "[default]\nregion=r\n")])).unwrap();
    assert!(config.warnings[0].starts_with("configmap c has no key \"config\"; its only key \"f\""));
    let both = files.or_config(config);
    assert_eq!((both.property("region").as_deref(), both.warnings.len()), (Some("r"), 2));
    assert!(read(&[("a", FILE), ("b", "x")]).is_err());
}

#[test]
fn a_mounted_directory_reads_as_the_secret_does() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("..2026");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("my-aws-file"), FILE).unwrap();
    symlink("..2026", directory.path().join("..data")).unwrap();
    symlink("..data/my-aws-file", directory.path().join("my-aws-file")).unwrap();
    let files = ProfileFiles::from_directory(directory.path()).unwrap();
    assert_eq!((files.property("aws_access_key_id").as_deref(), files.warnings.len()), (Some("AKIAX"), 1));
    std::fs::write(data.join("my-aws-file"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let error = ProfileFiles::from_directory(directory.path()).unwrap_err();
    assert!(error.message().ends_with("it is larger than 1 MiB"), "{error}");
}

#[test]
fn faults_are_named_and_values_are_not_shown() {
    let half = "[default]\naws_access_key_id=SSSH\n";
    let sso = "[default]\nsso_session=SSSH\n";
    let other = "[work]\naws_access_key_id=SSSH\naws_secret_access_key=SSSH\n";
    for (pairs, message) in [
        (
            &[("key", "SSSH"), ("secret", "SSSH")][..],
            "secret default/aws lacks key \"credentials\" (found: key, secret)",
        ),
        (&[], "secret default/aws lacks key \"credentials\" (found: nothing)"),
        (
            &[("credentials", half)],
            "profile [default] of key \"credentials\" in secret default/aws has only half a key pair: no aws_secret_access_key",
        ),
        (&[("credentials", other)], "key \"credentials\" in secret default/aws has no profile [default] (found: work)"),
        (
            &[("credentials", "SSSH")],
            "key \"credentials\" in secret default/aws has no profile [default] (found: none)",
        ),
        (
            &[("cloud", sso)],
            "profile [default] of key \"cloud\" in secret default/aws has no static keys: it uses sso_session, a login of yours, which no pod can renew",
        ),
        (&[("access", "SSSH"), ("secret", " \n")], "key \"secret\" in secret default/aws is empty"),
        (&[("access", "SSSH\nregion=x"), ("secret", "b")], "key \"access\" in secret default/aws is not one line"),
    ] {
        let error = read(pairs).unwrap_err();
        assert_eq!((error.message(), error.kind().exit_code()), (message, 5));
        assert!(!error.to_string().contains("SSSH"), "{error}");
    }
    assert!(!format!("{:?}", read(&[("credentials", FILE)]).unwrap()).contains("SSSH"));
    let error = read(&[("x", "y")]).unwrap_err();
    assert_eq!(
        error.hints(),
        ["kubectl etcdbackup credentials -n default --secret-name aws writes a Secret with the right keys"]
    );
    let binary = BTreeMap::from([("credentials".to_owned(), vec![0xff])]);
    let error = ProfileFiles::from_keys("s", &binary).unwrap_err();
    assert_eq!(error.message(), "key \"credentials\" in s is not text");
}

#[test]
fn a_secret_neither_runs_programs_nor_reads_files() {
    let text = format!("{FILE}credential_process=/bin/evil\n");
    let config = "[default]\nregion=r\nweb_identity_token_file=/home/me/.ssh/id\nsso_start_url=https://evil\n\
        [profile x]\ncredential_process=/bin/evil\n";
    let files = read(&[("credentials", &text), ("config", config)]).unwrap();
    assert_eq!(
        (files.credentials.as_deref(), files.config.as_deref()),
        (Some(FILE), Some("[default]\nregion=r\n[profile x]\n"))
    );
    assert_eq!(files.warnings.len(), 3, "{:?}", files.warnings);
}

#[test]
fn only_the_agents_pods_have_an_identity_for_a_secret_to_use() {
    let host = "[default]\nrole_arn=arn:x\ncredential_source=Environment\n";
    let keys_too = format!("{host}aws_access_key_id=a\naws_secret_access_key=b\n");
    for text in [host, &keys_too] {
        let error = read(&[("credentials", text)]).unwrap_err();
        assert!(error.message().contains("uses credential_source: "), "{error}");
        assert_eq!(error.hints(), ["name a profile of your own with --profile"]);
    }
    // nor by way of another profile, or without keys
    let chained = "[default]\nrole_arn=arn:x\nsource_profile=x\n[x]\nrole_arn=arn:y\ncredential_source=EcsContainer\n";
    for key in ["credentials", "config"] {
        let text = chained.replace("[x]", if key == "config" { "[profile x]" } else { "[x]" });
        let files = read(&[(key, &text)]).unwrap();
        assert!(!format!("{:?}{:?}", files.credentials, files.config).contains("EcsContainer"), "{key}");
        assert_eq!(files.warnings, [format!("credential_source in key {key:?} of secret default/aws is not used")]);
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("credentials"), host).unwrap();
    let files = ProfileFiles::from_directory(directory.path()).unwrap();
    assert_eq!(files.property("credential_source").as_deref(), Some("Environment"));
    assert_eq!(files.warnings, [""; 0]);
}

#[test]
fn a_role_with_the_keys_that_assume_it_is_kept() {
    let text = "[default]\nrole_arn=arn:x\nsource_profile=base\n[base]\naws_access_key_id=a\naws_secret_access_key=b\n";
    let files = read(&[("credentials", text)]).unwrap();
    assert_eq!(
        files.credentials.as_deref(),
        Some("[base]\naws_access_key_id=a\naws_secret_access_key=b\n[default]\nrole_arn=arn:x\nsource_profile=base\n")
    );
}

#[test]
fn go_headers_windows_line_ends_and_a_byte_order_mark_are_read() {
    let text = format!("\u{feff}{}", FILE.replace('\n', "\r\n").replace("[default]", "[profile default]"));
    assert_eq!(read(&[("credentials", &text)]).unwrap().credentials.as_deref(), Some(FILE));
}
