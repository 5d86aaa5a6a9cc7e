//! etcds that let in only whom they know, backed up by the operator: by certificates and by users.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::{Namespace, eventually};
use crate::sandbox::{Output, binary};
use crate::scenario::etcdutl_status;

/// Three members that ask their clients for a certificate; `@IMAGE@` and `@NS@` are filled in.
const THREE_MEMBERS: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: etcd-a, labels: {app: etcd, etcd_cluster: etcd-a}}
spec:
  serviceName: etcd-a
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: etcd, etcd_cluster: etcd-a}}
  template:
    metadata: {labels: {app: etcd, etcd_cluster: etcd-a}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      containers:
        - name: etcd
          image: @IMAGE@
          imagePullPolicy: Never
          command:
            - etcd
            - --name=$(POD_NAME)
            - --data-dir=/var/lib/etcd
            - --listen-client-urls=https://0.0.0.0:2379
            - --advertise-client-urls=https://$(POD_NAME).etcd-a.@NS@.svc:2379
            - --listen-peer-urls=http://0.0.0.0:2380
            - --initial-advertise-peer-urls=http://$(POD_NAME).etcd-a.@NS@.svc:2380
            - --initial-cluster=etcd-a-0=http://etcd-a-0.etcd-a.@NS@.svc:2380,etcd-a-1=http://etcd-a-1.etcd-a.@NS@.svc:2380,etcd-a-2=http://etcd-a-2.etcd-a.@NS@.svc:2380
            - --listen-metrics-urls=http://0.0.0.0:2381
            - --cert-file=/tls/server.crt
            - --key-file=/tls/server.key
            - --trusted-ca-file=/tls/ca.crt
            - --client-cert-auth
            - --unsafe-no-fsync
          env:
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: ETCDCTL_ENDPOINTS, value: "https://127.0.0.1:2379"}
            - {name: ETCDCTL_CACERT, value: /tls/ca.crt}
            - {name: ETCDCTL_CERT, value: /tls/client.crt}
            - {name: ETCDCTL_KEY, value: /tls/client.key}
          readinessProbe: {httpGet: {path: /health, port: 2381}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /var/lib/etcd}, {name: tls, mountPath: /tls}]
      volumes: [{name: data, emptyDir: {}}, {name: tls, secret: {secretName: etcd-server}}]
---
apiVersion: v1
kind: Service
metadata: {name: etcd-a}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: etcd, etcd_cluster: etcd-a}
  ports: [{port: 2380, name: peer}]
---
apiVersion: v1
kind: Service
metadata: {name: etcd-a-client}
spec:
  selector: {app: etcd, etcd_cluster: etcd-a}
  ports: [{port: 2379, name: client}]
"#;

fn openssl(directory: &Path, words: &str) {
    let done = Command::new("openssl").args(words.split_whitespace()).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A CA, what the members show, and a client; `stranger` is a client of another CA.
fn pki(directory: &Path, namespace: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    for name in ["ca", "stranger"] {
        openssl(directory, &format!("req -x509 {key} -subj /CN={name} -keyout {name}.key -out {name}.crt"));
    }
    let hosts = format!("DNS:*.etcd-a.{namespace}.svc,DNS:etcd-a-client.{namespace}.svc,IP:127.0.0.1");
    for (name, usage) in
        [("server", format!("serverAuth,clientAuth\nsubjectAltName={hosts}")), ("client", "clientAuth".to_owned())]
    {
        std::fs::write(directory.join("extensions"), format!("extendedKeyUsage={usage}\n")).unwrap();
        openssl(directory, &format!("req -new {key} -subj /CN={name} -keyout {name}.key -out request"));
        let sign = "x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
        openssl(directory, &format!("{sign} -out {name}.crt"));
    }
}

/// Starts three members with TLS as cluster `etcd-a`. The Secrets `etcd-tls` and `etcd-operator-tls` have a client's
/// files in the two forms, `stranger-tls` those of a client that the members do not know.
pub fn three_members(namespace: &Namespace) {
    let directory = namespace.sandbox.path().join("etcd-pki");
    std::fs::create_dir(&directory).unwrap();
    pki(&directory, &namespace.name);
    let secret = |name: &str, files: &[(&str, &str)]| {
        let from = |(key, file): &(&str, &str)| format!("--from-file={key}={}", directory.join(file).display());
        let files: Vec<String> = files.iter().map(from).collect();
        let words: Vec<&str> = files.iter().map(String::as_str).collect();
        namespace.kubectl(&[&["create", "secret", "generic", name], words.as_slice()].concat());
    };
    let all = ["ca.crt", "server.crt", "server.key", "client.crt", "client.key"].map(|file| (file, file));
    secret("etcd-server", &all);
    secret("etcd-tls", &[("tls.crt", "client.crt"), ("tls.key", "client.key"), ("ca.crt", "ca.crt")]);
    let operator =
        [("etcd-client.crt", "client.crt"), ("etcd-client.key", "client.key"), ("etcd-client-ca.crt", "ca.crt")];
    secret("etcd-operator-tls", &operator);
    secret("stranger-tls", &[("tls.crt", "stranger.crt"), ("tls.key", "stranger.key"), ("ca.crt", "ca.crt")]);
    namespace.apply(&THREE_MEMBERS.replace("@IMAGE@", &etcd_image()).replace("@NS@", &namespace.name)).unwrap();
    namespace.rolled_out("statefulset/etcd-a");
}

/// As tests/cluster/images names it.
fn etcd_image() -> String {
    let modules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/go/kubernetes/go.mod"));
    let modules = modules.unwrap();
    let version = modules.lines().find_map(|line| line.trim().strip_prefix("go.etcd.io/etcd/server/v3 ")).unwrap();
    format!("registry.local/etcd:{version}")
}

/// Writes `count` values of a megabyte each to the pod `etcd-a-0`, which this machine reaches by its address.
pub fn put_megabytes(namespace: &Namespace, scheme: &str, count: usize) {
    let address = namespace.kubectl(&["get", "pod", "etcd-a-0", "-o", "jsonpath={.status.podIP}"]);
    let pki = namespace.sandbox.path().join("etcd-pki");
    let value = "x".repeat(1_000_000);
    for n in 0..count {
        let mut put = Command::new(binary("etcdctl"));
        put.arg(format!("--endpoints={scheme}://{address}:2379"));
        if scheme == "https" {
            // the certificates name hosts of the cluster's DNS
            put.arg("--insecure-skip-tls-verify").arg("--cert").arg(pki.join("client.crt"));
            put.arg("--key").arg(pki.join("client.key"));
        }
        let put = put.args(["put", &format!("large{n}")]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut put = put.unwrap();
        put.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        assert!(put.wait().unwrap().success(), "put of large{n}");
    }
}

/// `create` of an object called `name` in a prefix of its own, until its outcome is known.
fn create(namespace: &Namespace, name: &str, flags: &str) -> Output {
    let store = namespace.s3.flags(&format!("{}/{name}", namespace.name));
    namespace.run(&format!("create etcd-a --name {name} {store} {flags} --wait --timeout 4m"))
}

/// An object that must be stored, and its snapshot as etcdutl reads it: revision and keys.
fn stored(namespace: &Namespace, name: &str, flags: &str) -> (u64, u64) {
    let created = create(namespace, name, flags);
    assert_eq!(created.code, Some(0), "{created}");
    assert_ne!(namespace.field(name, "{.status.snapshot.hashKV.hash}"), "", "{name}");
    let store = namespace.s3.flags(&format!("{}/{name}", namespace.name));
    let got = namespace.run(&format!("get etcd-a --from s3 {store} -O {name}"));
    assert_eq!(got.code, Some(0), "{got}");
    etcdutl_status(&namespace.sandbox.path().join(name))
}

/// Objects that must fail, as name, flags and what their Reason says.
fn fail(namespace: &Namespace, objects: &[(&str, &str, &str)]) {
    for (name, flags, _) in objects {
        let store = namespace.s3.flags(&format!("{}/{name}", namespace.name));
        let created = namespace.run(&format!("create etcd-a --name {name} {store} {flags} --backup-timeout 2m"));
        assert_eq!(created.code, Some(0), "{created}");
    }
    for (name, _, says) in objects {
        eventually(name, || namespace.field(name, "{.status.Reason}").contains(says));
        assert_ne!(namespace.field(name, "{.status.succeeded}"), "true", "{name}");
    }
}

#[test]
fn three_members_that_want_a_certificate_are_backed_up_by_name_and_by_endpoints() {
    let namespace = Namespace::with_operator("etcd-tls");
    three_members(&namespace);
    namespace.etcdctl("etcd-a", &["put", "key", "value"]);
    assert_eq!(stored(&namespace, "by-name", "--client-tls-secret etcd-tls"), (2, 1));

    namespace.etcdctl("etcd-a", &["put", "other", "value"]);
    let urls = [0, 1, 2].map(|n| format!("https://etcd-a-{n}.etcd-a.{}.svc:2379", namespace.name)).join(",");
    let flags = format!("--etcd-endpoints {urls} --client-tls-secret");
    assert_eq!(stored(&namespace, "by-endpoints", &format!("{flags} etcd-operator-tls")), (3, 2));

    // one of three does not answer
    namespace.kubectl(&["delete", "pod", "etcd-a-1", "--grace-period=0", "--force"]);
    assert_eq!(stored(&namespace, "two-left", &format!("{flags} etcd-tls")), (3, 2));

    let with = |secret: &str| format!("{flags} {secret}");
    fail(
        &namespace,
        &[
            ("plain", "", "etcd http://etcd-a-client."),
            ("stranger", &with("stranger-tls"), "etcd https://etcd-a-"),
            ("nowhere", &with("no-such-secret"), "SecretNotFound: no-such-secret in namespace "),
        ],
    );
}

#[test]
fn a_user_and_a_password_from_a_secret_are_enough() {
    let namespace = Namespace::with_operator("etcd-user");
    namespace.etcd("etcd-a");
    for (name, password) in [("etcd-root", "of-this-test"), ("wrong", "guessed")] {
        let password = format!("--from-literal=password={password}");
        namespace.kubectl(&["create", "secret", "generic", name, "--from-literal=username=root", &password]);
    }
    namespace.etcdctl("etcd-a", &["user", "add", "root:of-this-test"]);
    namespace.etcdctl("etcd-a", &["auth", "enable"]);
    let revision: u64 = {
        let status = ["--user=root:of-this-test", "endpoint", "status", "-w", "json"];
        let status: serde_json::Value = serde_json::from_str(&namespace.etcdctl("etcd-a", &status)).unwrap();
        status[0]["Status"]["header"]["revision"].as_u64().unwrap()
    };
    assert_eq!(stored(&namespace, "right", "--client-auth-secret etcd-root").0, revision);
    fail(
        &namespace,
        &[
            ("nobody", "", "user name is empty"),
            ("guessed", "--client-auth-secret wrong", "authentication failed, invalid user ID or password"),
        ],
    );
}
