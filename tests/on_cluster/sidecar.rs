//! Who gets into the sidecar: a port-forward, and nobody else unless it is anonymous.

use std::process::Command;

use crate::cluster::Namespace;

/// Status code of a GET from this machine, which reaches the pods' network.
fn status(url: &str) -> String {
    let curl = Command::new("curl").args(["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", url]).output();
    String::from_utf8(curl.unwrap().stdout).unwrap()
}

#[test]
fn only_a_port_forward_gets_in_unless_it_is_anonymous() {
    let namespace = Namespace::with_operator("sidecar");
    namespace.etcd("etcd-a");
    let created =
        namespace.run(&format!("create etcd-a --name one {} --wait --timeout 2m", namespace.s3.flags(&namespace.name)));
    assert_eq!(created.code, Some(0), "{created}");
    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    let pod =
        namespace.kubectl(&["get", "pods", "-l", "app=etcd_backup_tool", "-o", "jsonpath={.items[0].status.podIP}"]);
    let at = |path: &str| status(&format!("http://{pod}:19999{path}"));
    assert_eq!([at("/healthz"), at("/readyz"), at("/metrics")], ["200", "200", "200"]);
    assert_eq!([at("/v1/backup"), at("/v1/status")], ["503", "503"]);
    let through = namespace.run("get etcd-a --from service -O snapshot");
    assert_eq!(through.code, Some(0), "{through}");
    let forbidden = namespace.run("get etcd-a --from service -O other --as nobody");
    assert_eq!(forbidden.code, Some(5), "{forbidden}");

    let anonymous = r#"{"spec":{"sidecar":{"anonymous":true}}}"#;
    namespace.kubectl(&["patch", "etcdbackups.etcd.database.coreos.com", "one", "--type=merge", "-p", anonymous]);
    crate::cluster::eventually("the sidecar is anonymous", || {
        let pods = namespace.kubectl(&[
            "get",
            "pods",
            "-l",
            "app=etcd_backup_tool",
            "-o",
            "jsonpath={.items[*].status.podIP}",
        ]);
        pods.split_whitespace().any(|pod| status(&format!("http://{pod}:19999/v1/backup")) == "200")
    });
}
