//! `get --from s3` without Kubernetes, against a real S3 server.

use insta::assert_snapshot;

use crate::faults::{Fate, Network};
use crate::sandbox::{Output, Sandbox};
use crate::servers::{READER, ROOT, STORE, free_ports, snapshot};

const NEWEST: &str = "3.9.0_0000000000000010_etcd.backup";

/// The names in the home directory that are not hidden.
fn files(sandbox: &Sandbox) -> Vec<String> {
    let names =
        std::fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Normalised: the address of the server differs from run to run.
fn shown(output: &Output) -> String {
    output.to_string().replace(&STORE.url, "http://s3")
}

#[test]
fn the_newest_is_downloaded_proved_and_named() {
    let bucket = STORE.bucket("newest");
    bucket.put("v1/etcd-a/3.10.0_000000000000000f_etcd.backup", &snapshot(8, 1));
    bucket.put(&format!("v1/etcd-a/{NEWEST}"), &snapshot(9, 2));
    bucket.put("v1/etcd-a/notes.txt", b"mine");
    bucket.put("v1/etcd-ab/3.9.0_00000000000000ff_etcd.backup", &snapshot(8, 3));
    let sandbox = Sandbox::with_keys(READER);
    let output = sandbox.run(&format!("get etcd-a --from s3 {}", bucket.flags()));
    assert_snapshot!(shown(&output));
    assert_eq!(std::fs::read(sandbox.path().join(NEWEST)).unwrap(), snapshot(9, 2));
    assert_eq!(files(&sandbox), [NEWEST]);
}

#[test]
fn a_layout_that_may_not_be_listed_is_said() {
    let (bucket, sandbox) = (STORE.bucket("part-refused"), Sandbox::with_keys(READER));
    bucket.put(&format!("v1/etcd-a/{NEWEST}"), &snapshot(9, 2));
    let network = Network::before(STORE.url.as_str(), |head, _| match head.contains("prefix=v1%2Fetcd-a%2F") {
        true => Fate::Deliver,
        false => Fate::Answer(403, "<Error><Code>AccessDenied</Code></Error>"),
    });
    let output = sandbox.run(&format!("get etcd-a --from s3 -o name {}", bucket.flags_through(&network.url)));
    assert_eq!(output.stdout, format!("{NEWEST}\n").as_bytes(), "{output}");
    assert!(output.stderr.contains("layout Namespaced could not be listed: s3: access denied"), "{output}");
}

#[test]
fn a_snapshot_whose_name_lies_does_not_reach_stdout() {
    let bucket = STORE.bucket("lie-to-stdout");
    bucket.put("v1/default/etcd-a/3.5.0_7fffffffffffffff_etcd.backup", &snapshot(8, 1));
    let output = Sandbox::with_keys(READER).run(&format!("get etcd-a --from s3 -O - {}", bucket.flags()));
    assert_eq!((output.code, output.stdout.len()), (Some(4), 0), "{output}");
}

#[test]
fn a_revision_a_target_and_a_selection() {
    let bucket = STORE.bucket("selection");
    bucket.put("team/v1/default/etcd-a/3.5.0_f_etcd.backup", &snapshot(8, 1));
    bucket.put("team/v1/default/etcd-a/3.5.0_0000000000000010_etcd.backup", &snapshot(8, 2));
    let sandbox = Sandbox::with_keys(READER);
    let get = format!("get etcd-a --from s3 --prefix team {}", bucket.flags());
    for revision in ["15", "0xf"] {
        let output = sandbox.run(&format!("{get} --revision {revision} -O out --force -q"));
        assert_eq!(output.to_string(), "out   revision 15   etcd 3.5.0   4128 bytes   sha256 verified\n");
        assert_eq!(std::fs::read(sandbox.path().join("out")).unwrap(), snapshot(8, 1));
    }
    let output = sandbox.run(&format!("{get} -O - -q"));
    assert_eq!((output.stdout, output.stderr.as_str()), (snapshot(8, 2), ""));
    std::fs::create_dir(sandbox.path().join("to")).unwrap();
    let output = sandbox.run(&format!("{get} -O to -q"));
    let path = "to/3.5.0_0000000000000010_etcd.backup";
    assert_eq!(output.to_string(), format!("{path}   revision 16   etcd 3.5.0   4128 bytes   sha256 verified\n"));
    std::fs::remove_dir_all(sandbox.path().join("to")).unwrap();
    let json = sandbox.run(&format!("{get} -o json -q"));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["key"], "team/v1/default/etcd-a/3.5.0_0000000000000010_etcd.backup");
    assert_eq!((&value["revision"], &value["layout"]), (&16.into(), &"Namespaced".into()));
    let missing = sandbox.run(&format!("{get} --revision 3"));
    assert_eq!(missing.code, Some(3), "{missing}");
    assert_eq!(files(&sandbox), ["out"]);
}

#[test]
fn more_than_a_page_of_keys_has_its_newest_at_the_end() {
    let bucket = STORE.bucket("pages");
    for revision in 1..=1100 {
        bucket.put(&format!("v1/etcd-a/3.5.0_{revision:016x}_etcd.backup"), b"");
    }
    bucket.put("v1/etcd-a/3.5.0_ffff_etcd.backup", &snapshot(8, 1));
    let sandbox = Sandbox::with_keys(READER);
    let output = sandbox.run(&format!("get etcd-a --from s3 -q {}", bucket.flags()));
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(files(&sandbox), ["3.5.0_ffff_etcd.backup"]);
}

#[test]
fn bytes_that_fail_proof_are_exit_4_and_no_file() {
    let bucket = STORE.bucket("unproved");
    let mut flipped = snapshot(8, 1);
    flipped[1000] ^= 4;
    let cut = snapshot(8, 1)[..3000].to_vec();
    for (cluster, bytes) in [("flipped", flipped), ("cut", cut), ("empty", vec![]), ("trailerless", vec![7; 4096])] {
        bucket.put(&format!("v1/{cluster}/3.5.0_000000000000000f_etcd.backup"), &bytes);
        bucket.put(&format!("v1/{cluster}/3.5.0_000000000000000e_etcd.backup"), &snapshot(8, 1));
        let sandbox = Sandbox::with_keys(READER);
        let output = sandbox.run(&format!("get {cluster} --from s3 {}", bucket.flags()));
        assert_eq!(output.code, Some(4), "{cluster}: {output}");
        assert_eq!(files(&sandbox), [""; 0], "{cluster}");
        assert_snapshot!(format!("unproved_{cluster}"), shown(&output));
    }
}

#[test]
fn an_existing_target_is_left_alone() {
    let bucket = STORE.bucket("existing");
    bucket.put(&format!("v1/etcd-a/{NEWEST}"), &snapshot(8, 1));
    let sandbox = Sandbox::with_keys(READER);
    sandbox.write(NEWEST, "mine");
    let get = format!("get etcd-a --from s3 -q {}", bucket.flags());
    let output = sandbox.run(&get);
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(std::fs::read(sandbox.path().join(NEWEST)).unwrap(), b"mine");
    assert_snapshot!(shown(&output));
    assert_eq!(sandbox.run(&format!("{get} --force")).code, Some(0));
    assert_eq!(std::fs::read(sandbox.path().join(NEWEST)).unwrap(), snapshot(8, 1));
}

#[test]
fn layouts_and_histories_that_compete_are_exit_3() {
    let bucket = STORE.bucket("compete");
    let name = "3.5.0_000000000000000f_etcd.backup";
    bucket.put(&format!("v1/default/two/{name}"), &snapshot(8, 1));
    bucket.put(&format!("v1/two/{name}"), &snapshot(8, 2));
    bucket.put(&format!("v1/again/{name}"), &snapshot(8, 1));
    bucket.put("v1/again/history/20260102T030405Z_ab/3.5.0_0000000000000002_etcd.backup", &snapshot(8, 2));
    let sandbox = Sandbox::with_keys(READER);
    let get = |cluster: &str, more: &str| sandbox.run(&format!("get {cluster} --from s3 {more} {}", bucket.flags()));
    for (cluster, more) in [("two", ""), ("again", ""), ("nobody", ""), ("again", "--history nope")] {
        let output = get(cluster, more);
        assert_eq!(output.code, Some(3), "{cluster} {more}: {output}");
        assert_snapshot!(format!("compete_{cluster}{}", more.len()), shown(&output));
    }
    assert_eq!(get("two", "--layout cluster -O a").code, Some(0));
    assert_eq!(get("again", "--history latest -O b").code, Some(0));
    assert_eq!(std::fs::read(sandbox.path().join("b")).unwrap(), snapshot(8, 2));
}

#[test]
fn refusals_name_the_credentials_the_bucket_and_the_region() {
    let bucket = STORE.bucket("refused");
    bucket.put(&format!("v1/etcd-a/{NEWEST}"), &snapshot(8, 1));
    let flags = bucket.flags();
    let other = flags.replace("refused", "no-such-bucket");
    for (name, keys, line, code) in [
        ("wrong_secret", ("reader", "wrong"), format!("get etcd-a --from s3 {flags}"), 5),
        ("unknown_key", ("nobody", "x"), format!("get etcd-a --from s3 {flags}"), 5),
        ("no_such_bucket", ROOT, format!("get etcd-a --from s3 {other}"), 3),
        ("wrong_region", ROOT, format!("get etcd-a --from s3 {flags} --region eu-west-1"), 5),
    ] {
        let output = Sandbox::with_keys(keys).run(&line);
        assert_eq!(output.code, Some(code), "{name}: {output}");
        assert!(!output.to_string().contains(ROOT.1) && !output.to_string().contains(READER.1));
        let mut settings = insta::Settings::clone_current();
        settings.add_filter("request id [0-9A-Za-z-]+", "request id ID");
        settings.bind(|| assert_snapshot!(name, shown(&output)));
    }
    let none = Sandbox::new().run(&format!("get etcd-a --from s3 --region us-east-1 {flags}"));
    assert_eq!(none.code, Some(5), "{none}");
    assert_snapshot!("no_credentials", shown(&none));
}

#[test]
fn a_server_that_is_not_there_is_exit_1() {
    let sandbox = Sandbox::with_keys(READER);
    let [port] = free_ports();
    let output = sandbox
        .run(&format!("get etcd-a --from s3 --bucket bbb --endpoint-url http://127.0.0.1:{port} --force-path-style"));
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("could not reach the service"), "{output}");
}

#[test]
fn a_dead_api_server_is_neither_asked_nor_waited_for() {
    let bucket = STORE.bucket("disaster");
    bucket.put(&format!("v1/databases/etcd-a/{NEWEST}"), &snapshot(8, 1));
    let mut sandbox = Sandbox::with_keys(READER);
    // a credential plugin that fails the test if it runs
    sandbox.write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443'}}]\n\
         contexts: [{name: c, context: {cluster: c, user: u, namespace: databases}}]\n\
         users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [plugin-ran], interactiveMode: Never}}}]\n",
    );
    sandbox.set("KUBECONFIG", &sandbox.path().join("kubeconfig").display().to_string());
    sandbox.set("PATH", "/usr/bin:/bin");
    let output = sandbox.run(&format!("get etcd-a --from s3 -q {} -O out", bucket.flags()));
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(files(&sandbox), ["kubeconfig", "out"]);
}
