//! `list` and `describe` of real objects, their Jobs and events.

use crate::cluster::Namespace;

#[test]
fn objects_and_snapshots_are_listed_and_described() {
    let namespace = Namespace::with_operator("list");
    let none = namespace.run("list");
    assert_eq!(
        (none.code, none.stderr.clone()),
        (Some(0), format!("No resources found in {} namespace.\n", namespace.name)),
        "{none}"
    );
    namespace.etcd("etcd-a");
    let store = namespace.s3.flags(&namespace.name);
    let created = namespace.run(&format!("create etcd-a --name one {store} --wait --timeout 2m"));
    assert_eq!(created.code, Some(0), "{created}");
    let revision = namespace.field("one", "{.status.etcdRevision}");

    let listed = namespace.run("list etcd-a");
    assert_eq!(listed.code, Some(0), "{listed}");
    let text = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "CLUSTER", "STATUS", "SCHEDULE", "REVISION", "LAST", "SUCCESS", "AGE"]);
    assert_eq!(lines[1][..5], ["one", "etcd-a", "Succeeded", "<none>", &revision]);
    assert_eq!(lines[3], ["NAME", "ETCD", "REVISION", "SIZE", "AGE", "SOURCE"]);
    assert_eq!((lines[4][2], lines[4][5]), (revision.as_str(), "s3"));
    assert!(namespace.run("list -A").to_string().contains(&namespace.name));
    assert_eq!(namespace.run("list -l etcd_cluster=nobody -o name").to_string().lines().count(), 2);
    let json: serde_json::Value = serde_json::from_slice(&namespace.run("list etcd-a -o json -q").stdout).unwrap();
    assert_eq!(json["etcdBackups"][0]["metadata"]["name"], "one");
    assert_eq!(json["snapshots"][0]["revision"].to_string(), revision);

    let broken =
        namespace.run("list etcd-a --bucket no-such-bucket --endpoint-url http://127.0.0.1:1 --force-path-style");
    assert_eq!(broken.code, Some(1), "{broken}");
    assert!(broken.to_string().contains("Succeeded"), "{broken}");

    let described = namespace.run("describe one").to_string();
    let path = namespace.field("one", "{.status.s3Path}");
    let sha256 = namespace.field("one", "{.status.snapshot.sha256}");
    for says in [
        &format!("s3://{path}"),
        &sha256,
        "Schedule:     once",
        "Next run:      <none>",
        "Complete",
        "attempt 1 runs as Job",
    ] {
        assert!(described.contains(says), "{says}: {described}");
    }
    let missing = namespace.run("describe two");
    assert_eq!(missing.code, Some(3), "{missing}");
    assert!(missing.stderr.starts_with("Error from server (NotFound): "), "{missing}");
    let forbidden = namespace.run("list etcd-a --as nobody");
    assert_eq!(forbidden.code, Some(5), "{forbidden}");
}
