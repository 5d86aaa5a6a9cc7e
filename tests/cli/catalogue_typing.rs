//! Somebody in a hurry who mistypes: what is wrong, and what was probably meant. Nothing is contacted.

use crate::sandbox::Sandbox;

/// A command line, its exit code, and what its stderr says.
type Slip = (&'static str, i32, &'static str);

fn each(slips: &[Slip]) {
    let sandbox = Sandbox::with_keys(("a", "b"));
    std::fs::create_dir(sandbox.path().join("directory")).unwrap();
    sandbox.write("file", "no certificate");
    for (line, code, says) in slips {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(*code), "{line}: {output}");
        assert!(output.stderr.contains(says), "{line}: {output}");
        assert!(output.stdout.is_empty(), "{line}: {output}");
    }
}

#[test]
fn slips_of_get_and_list() {
    each(&[
        ("gett etcd-a", 2, "did you mean"),
        ("get", 2, "error: required: CLUSTER\n"),
        ("get --cluster etcd-a", 2, "as a word of its own (--cluster is one of the kubeconfig)"),
        ("get etcd-a etcd-b", 2, "unexpected argument \"etcd-b\""),
        ("get databases/etcd-a", 2, "hint: name it as in CLUSTER -n NAMESPACE"),
        ("get etcd-a --buckett bbb", 2, "did you mean"),
        ("get etcd-a --bucket s3://bbb/team", 2, "give the rest with --prefix"),
        ("get etcd-a --bucket bb", 2, "a bucket has 3 to 63 letters"),
        ("get etcd-a --path bbb", 2, "must be BUCKET/KEY"),
        ("get etcd-a --revision 2f", 2, "looks hexadecimal, which is written with 0x: 0x2f"),
        ("get etcd-a --revision 000000000000000f", 2, "written with 0x: 0xf"),
        ("get etcd-a --revision 0000000000000010", 2, "written with 0x: 0x10"),
        ("get etcd-a --revision newest", 2, "not a revision such as 15 or 0xf"),
        ("get etcd-a --etcd-version 3.5", 2, "not a full version such as 3.5.21"),
        ("get etcd-a --from disk", 2, "[possible values: auto, service, s3, pv, dir]"),
        ("get etcd-a --service-url backup:19999", 2, "must start with http:// or https://"),
        ("get etcd-a --service-url http://127.0.0.1:1", 1, "hint: check --service-url"),
        ("get etcd-a --endpoint-url s3.example.com", 2, "must start with http:// or https://"),
        (
            "get etcd-a --from s3 --bucket bbb -O nowhere/x",
            1,
            "directory nowhere does not exist\nhint: mkdir -p nowhere\n",
        ),
        ("get etcd-a --from s3 --bucket bbb -O nowhere/", 1, "hint: mkdir -p nowhere/\n"),
        ("get etcd-a --from s3 --bucket bbb -O file/x", 1, "file is not a directory\nhint: name another place with -O"),
        ("get etcd-a --from s3 --bucket bbb -O /dev/null", 1, "/dev/null is not a regular file\nhint: "),
        ("get etcd-a --from s3 --bucket bbb --ca-bundle file", 2, "CA bundle file holds no certificate"),
        (
            "get etcd-a --from s3 --bucket bbb --ca-bundle directory",
            2,
            "cannot read CA bundle directory: Is a directory",
        ),
        (
            "get etcd-a --from s3 --bucket bbb --region us_east_1",
            5,
            "\"us_east_1\" is no AWS region\nhint: pass one such as",
        ),
        ("get etcd-a --from s3 --bucket bbb --profile nobody", 5, "AWS profile \"nobody\" has none or is not defined"),
        (
            "get etcd-a --from s3 --bucket bbb --region us-east-1 --profile nobody",
            5,
            "AWS profile \"nobody\" is not defined\nhint: choose",
        ),
        ("verify etcd-a", 3, "etcd-a does not exist\nhint: name a file, s3://BUCKET/KEY, or - for stdin"),
        ("list --from s3 --bucket bbb", 2, "hint: name the cluster: kubectl etcdbackup list CLUSTER"),
        ("list a/b", 2, "\"a/b\" is not the name of a cluster"),
        ("list etcd-a -A", 2, "cannot be used with"),
    ]);
}

#[test]
fn slips_of_create_credentials_and_the_rest() {
    each(&[
        ("create Etcd-A --bucket bbb", 2, "invalid cluster name \"Etcd-A\": must start with a lower-case letter"),
        ("create etcd-a --bucket bbb --every 6", 2, "needs a unit, such as 30s, 5m or 1h"),
        ("create etcd-a --bucket bbb --schedule daily", 2, "has 1 field"),
        ("create etcd-a --bucket bbb --dry-run=true", 2, "[possible values: none, client, server]"),
        ("create etcd-a --bucket bbb --etcd-endpoints etcd:2379", 2, "must start with http:// or https://"),
        ("create etcd-a --bucket bbb --with-credentials --credentials-file directory", 5, "it is a directory"),
        ("credentials chekc", 2, "did you mean"),
        ("credentials --credentials-file nowhere", 5, "cannot read nowhere: no such file"),
        ("credentials --profile nobody", 5, "hint: choose one with --profile"),
        ("credentials check --bucket", 2, "a value is required for '--bucket <NAME>'"),
        ("describe", 2, "error: required: NAME\n"),
        ("list --server ftp://h", 2, "is not a URL such as https://"),
        ("list --request-timeout 5", 2, "needs a unit"),
        ("list --certificate-authority file --server h", 2, "--certificate-authority file holds no certificate"),
        ("install --iam-role-arn etcd-backup", 2, "such as arn:aws:iam::111122223333:role/NAME"),
        ("uninstall", 2, "hint: add --yes, or look with --dry-run=client"),
        ("check etcd-a --for restore", 2, "[possible values: create, get, list, credentials]"),
        ("version -o yml", 2, "[possible values: yaml, json]"),
    ]);
}

#[test]
fn the_name_that_create_prints_is_one_that_describe_takes() {
    use crate::fake_api::{FakeApi, refusal};
    let missing = |name: &str| format!("etcdbackups \"{name}\" not found");
    let path = "GET /apis/etcd.database.coreos.com/v1beta2/namespaces/default/etcdbackups/nightly";
    let api = FakeApi::that_says(vec![(path, 404, refusal(404, "NotFound", &missing("nightly")))]);
    let run = |name: &str| Sandbox::new().run(&format!("describe {name} --server {}", api.url));
    for name in ["nightly", "etcdbackup.etcd.database.coreos.com/nightly", "etcdbackups/nightly"] {
        let output = run(name);
        assert_eq!(output.stderr, format!("Error from server (NotFound): {}\n", missing("nightly")), "{name}");
    }
    let other = run("pods/nightly");
    assert_eq!(other.code, Some(2), "{other}");
    assert!(other.stderr.contains("hint: kubectl etcdbackup list"), "{other}");
}
