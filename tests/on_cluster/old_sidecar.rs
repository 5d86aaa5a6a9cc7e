//! etcd-operator's sidecar as it was: plain HTTP, chunked, without length and tag, reached by a real port-forward.
//!
//! The pod answers as v0.6.1 did (facts of its code: pkg/backup/backup_service.go) with bytes of a real etcd.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::{Namespace, eventually};
use crate::sandbox::binary;

/// One request: reads it, remembers it, and answers by the files in /tmp.
const ANSWER: &str = r#"
read -r method target rest || exit 0
while read -r line && [ ${#line} -gt 1 ]; do :; done
echo "$method $target" >>/tmp/asked
version=3.1.0; [ -f /tmp/version ] && version=$(cat /tmp/version)
mode=whole; [ -f /tmp/mode ] && mode=$(cat /tmp/mode)
minor() { m=${1#3.}; echo "${m%%.*}"; }
refuse() {
  printf 'HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' "$1"
  printf 'Content-Length: %s\r\nConnection: close\r\n\r\n' "$((${#2} + 1))"
  [ "$method" = HEAD ] || echo "$2"
  exit 0
}
wanted=; case $target in *etcdVersion=*) wanted=${target#*etcdVersion=}; wanted=${wanted%%&*};; esac
revision=; case $target in *etcdRevision=*) revision=${target#*etcdRevision=}; revision=${revision%%&*};; esac
case $mode in
  empty) refuse '404 Not Found' '404 page not found';;
  unlisted) refuse '500 Internal Server Error' 'failed to list s3 bucket: AccessDenied: Access Denied';;
  panic) exit 0;;
esac
[ -z "$revision" ] || [ -n "$wanted" ] || refuse '400 Bad Request' 'version must be provided when revision is provided.'
file=newest number=15
if [ -n "$revision" ]; then
  [ "$wanted $revision" = "$version 14" ] || [ "$wanted $revision" = "$version 15" ] || refuse '404 Not Found' 'backup not found'
  if [ "$revision" = 14 ]; then file=older number=14; fi
elif [ -n "$wanted" ]; then
  w=$(minor "$wanted") s=$(minor "$version")
  [ "$w" -le 2 ] && { [ "$w" = "$s" ] || [ "$w" = $((s + 1)) ]; } ||
    refuse '400 Bad Request' "requested version (3.$w) is not compatible with the backup (3.$s)"
fi
printf 'HTTP/1.1 200 OK\r\nX-Etcd-Version: %s\r\nX-Revision: %s\r\nContent-Type: application/octet-stream\r\n' "$version" "$number"
if [ "$method" = HEAD ]; then printf 'Connection: close\r\n\r\n'; exit 0; fi
printf 'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
size=$(wc -c </www/$file); [ $mode = short ] && size=$((size - 5000))
at=0
while [ $at -lt $size ]; do
  left=$((size - at)); [ $left -gt 2048 ] && left=2048
  printf '%x\r\n' $left
  if [ $mode = cut ] && [ $at -gt 0 ]; then head -c 100 /www/$file; exit 0; fi
  tail -c +$((at + 1)) /www/$file | head -c $left
  printf '\r\n'
  at=$((at + left))
done
printf '0\r\n\r\n'
"#;

const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: old, labels: {app: etcd_backup_tool, etcd_cluster: etcd-old}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: backup
    image: registry.local/base:1
    imagePullPolicy: Never
    command: [nc, -ll, -p, "19999", -e, sh, /www/answer]
    readinessProbe: {tcpSocket: {port: 19999}, periodSeconds: 1}
    volumeMounts: [{name: www, mountPath: /www}]
  volumes: [{name: www, configMap: {name: www}}]
---
apiVersion: v1
kind: Service
metadata: {name: etcd-old-backup-sidecar, labels: {app: etcd, etcd_cluster: etcd-old}}
spec:
  ports: [{name: backup-service, port: 19999, targetPort: 19999, protocol: TCP}]
  selector: {app: etcd_backup_tool, etcd_cluster: etcd-old}
"#;

/// Snapshots of a real etcd of this machine: one, and after a few more keys another.
fn take(home: &Path) {
    let [client, peer] = [(); 2].map(|()| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    });
    let urls = [
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
    ];
    let mut etcd = Command::new(binary("etcd"));
    let mut etcd = etcd.arg("--data-dir=data").args(urls).current_dir(home).stderr(Stdio::null()).spawn().unwrap();
    let etcdctl = |words: &[&str]| {
        let mut command = Command::new(binary("etcdctl"));
        command
            .args(["--endpoints", &client, "--command-timeout=60s"])
            .args(words)
            .current_dir(home)
            .output()
            .unwrap()
            .status
            .success()
    };
    let put =
        |keys: std::ops::Range<u8>| keys.map(|n| format!("k{n}")).all(|key| etcdctl(&["put", &key, &"v".repeat(500)]));
    // each is to hold the revision that the sidecar says of it
    eventually("etcd answers", || etcdctl(&["get", "a"]));
    assert!(etcdctl(&["put", "a", "b"]) && put(0..13));
    assert!(etcdctl(&["snapshot", "save", "older"]));
    assert!(put(13..15));
    assert!(etcdctl(&["snapshot", "save", "newest"]));
    etcd.kill().unwrap();
    etcd.wait().unwrap();
}

/// A namespace with an old sidecar of the cluster `etcd-old`, and nothing else of this project.
fn with_old_sidecar(test: &str) -> Namespace {
    let namespace = Namespace::new(test);
    take(namespace.sandbox.path());
    namespace.sandbox.write("answer", ANSWER);
    let from = |name: &str| format!("--from-file={name}={}", namespace.sandbox.path().join(name).display());
    namespace.kubectl(&["create", "configmap", "www", &from("newest"), &from("older"), &from("answer")]);
    eventually("the namespace admits pods", || namespace.apply(MANIFEST).is_ok());
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/old", "--timeout=240s"]);
    namespace
}

impl Namespace {
    fn old_says(&self, file: &str, text: &str) {
        self.kubectl(&["exec", "old", "--", "sh", "-c", &format!("echo {text} >/tmp/{file}")]);
    }
}

#[test]
fn a_sidecar_of_etcd_operator_is_read_through_a_port_forward() {
    let namespace = with_old_sidecar("old");
    let home = namespace.sandbox.path();
    let read = |name: &str| std::fs::read(home.join(name)).unwrap();

    let newest = namespace.run("get etcd-old --from service");
    assert_eq!(newest.code, Some(0), "{newest}");
    assert!(read("3.1.0_000000000000000f_etcd.backup") == read("newest"));
    let suits = namespace.run("get etcd-old --from service --etcd-version 3.2.13 -O out -q");
    assert_eq!(suits.code, Some(0), "{suits}");
    let unsuitable = namespace.run("get etcd-old --from service --etcd-version 3.0.17");
    assert_eq!(unsuitable.code, Some(1), "{unsuitable}");
    let words = "requested version (3.0) is not compatible with the backup (3.1)";
    assert!(unsuitable.stderr.contains(words), "{unsuitable}");
    let older = namespace.run("get etcd-old --from service --revision 0xe -O older-out -q");
    assert_eq!(older.code, Some(0), "{older}");
    assert!(read("older-out") == read("older"));
    assert_eq!(namespace.run("get etcd-old --from service --revision 13 -O no").code, Some(3));

    namespace.old_says("version", "3.5.21");
    namespace.old_says("asked", "");
    let modern = namespace.run("get etcd-old --from service --etcd-version 3.6.1 -O modern");
    assert_eq!(modern.code, Some(0), "{modern}");
    assert!(modern.stderr.contains("knows no etcd after 3.2"), "{modern}");
    let older = namespace.run("get etcd-old --from service --revision 14 -O no");
    assert_eq!(older.code, Some(3), "{older}");
    let asked = namespace.kubectl(&["exec", "old", "--", "cat", "/tmp/asked"]);
    assert!(asked.contains("GET /v1/backup\n") && !asked.contains("etcdVersion"), "{asked}");
    assert!(!home.join("no").exists());
}

#[test]
fn what_goes_wrong_in_a_sidecar_of_etcd_operator_leaves_no_file() {
    let namespace = with_old_sidecar("old-faults");
    let file = namespace.sandbox.path().join("out");
    let modes = [
        ("short", 4, "no file was written"),
        ("cut", 1, "broke off"),
        ("empty", 3, "no backup is stored"),
        ("unlisted", 1, "cannot read its store"),
        ("panic", 1, "broke off"),
    ];
    for (mode, code, says) in modes {
        namespace.old_says("mode", mode);
        let output = namespace.run("get etcd-old --from service -O out");
        assert_eq!(output.code, Some(code), "{mode}: {output}");
        assert!(output.stderr.contains(says), "{mode}: {output}");
        assert!(!file.exists() && !file.with_extension("part").exists(), "{mode}");
    }
    let listed = namespace.run("list etcd-old --from service");
    assert_eq!(listed.code, Some(1), "{listed}");
    namespace.old_says("mode", "whole");
    let listed = namespace.run("list etcd-old");
    assert_eq!(listed.code, Some(0), "{listed}");
    let listed = listed.to_string();
    assert!(
        listed.contains("3.1.0_000000000000000f_etcd.backup   3.1.0   15") && listed.contains("service"),
        "{listed}"
    );
}
