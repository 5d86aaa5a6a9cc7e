//! The cluster backs its own etcd up, by the certificates that kubeadm lays out on a control-plane node.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::cluster::{Namespace, eventually};
use crate::sandbox::{binary, cache};

/// The cluster's etcd, which listens without TLS, behind etcd's own proxy that does as kubeadm's etcd would.
struct TlsProxy(Child);

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub fn openssl(directory: &Path, words: &str) {
    let done = Command::new("openssl").args(words.split_whitespace()).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// `pki/etcd` as kubeadm makes it: a CA of etcd's own, a server's and the health checks' certificate.
fn pki(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(directory, &format!("req -x509 {key} -days 2 -subj /CN=etcd-ca -keyout ca.key -out ca.crt"));
    for (name, extensions) in [
        ("server", "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n"),
        ("healthcheck-client", "extendedKeyUsage=clientAuth\n"),
    ] {
        std::fs::write(directory.join("extensions"), extensions).unwrap();
        openssl(
            directory,
            &format!("req -new {key} -subj /O=kubeadm:cluster-admins/CN={name} -keyout {name}.key -out request"),
        );
        openssl(
            directory,
            &format!(
                "x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.crt"
            ),
        );
    }
}

fn tls_proxy(pki: &Path) -> TlsProxy {
    let at = |name: &str| pki.join(name).display().to_string();
    let proxy = Command::new(binary("etcd"))
        .args(["grpc-proxy", "start", "--endpoints=http://127.0.0.1:23790", "--listen-addr=127.0.0.1:2379"])
        // otherwise it calls itself the only member
        .arg("--advertise-client-url=")
        .arg(format!("--cert-file={}", at("server.crt")))
        .arg(format!("--key-file={}", at("server.key")))
        .arg(format!("--trusted-ca-file={}", at("ca.crt")))
        .arg(format!("--data-dir={}", at("proxy")))
        .stderr(Stdio::null())
        .spawn();
    TlsProxy(proxy.unwrap())
}

#[test]
fn the_cluster_backs_itself_up_from_one_namespace_only() {
    let namespace = Namespace::with_operator("kubeadm");
    assert!(cache().join("cluster/etcd").is_dir(), "the cluster's etcd is not on this machine");
    let directory = namespace.sandbox.path().join("pki");
    std::fs::create_dir(&directory).unwrap();
    pki(&directory);
    let _proxy = tls_proxy(&directory);
    // what it is: the only node runs the control plane
    namespace.kubectl(&["label", "nodes", "--all", "node-role.kubernetes.io/control-plane=", "--overwrite"]);

    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let manifest = format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\n\
         metadata: {{name: now, labels: {{etcd_cluster: control-plane}}}}\n\
         spec: {{kubeadm: {{}}, storageType: S3, sidecar: {{enabled: false}}, s3: {{s3Bucket: {bucket}, \
         prefix: {}, endpoint: \"{endpoint}\", forcePathStyle: true, awsSecret: aws-credential}}}}\n",
        namespace.name
    );
    namespace.apply(&manifest).unwrap();
    eventually("it is refused", || namespace.field("now", "{.status.Reason}").starts_with("KubeadmNotAllowed: "));
    assert!(namespace.kubectl(&["get", "jobs", "-o", "name"]).is_empty());

    let add = |flag: String| {
        format!("{{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/args/-\",\"value\":\"{flag}\"}}")
    };
    let flags = [
        add(format!("--kubeadm-namespace={}", namespace.name)),
        add(format!("--kubeadm-pki-dir={}", directory.display())),
    ];
    let patch = format!("[{}]", flags.join(","));
    namespace.kubectl(&["patch", "deployment/etcdbackup-operator", "--type=json", "-p", &patch]);
    eventually("it is stored", || namespace.field("now", "{.status.succeeded}") == "true");

    let pods = namespace.kubectl(&["get", "pods", "-l", "app=etcd_backup_agent", "-o", "json"]);
    let pod: serde_json::Value = serde_json::from_str(&pods).unwrap();
    let spec = &pod["items"][0]["spec"];
    assert_eq!(spec["hostNetwork"], true);
    assert_eq!(spec["containers"][0]["securityContext"]["capabilities"]["drop"][0], "ALL");

    let store = namespace.s3.flags(&namespace.name);
    let got = namespace.run(&format!("get control-plane --from s3 {store} -O snapshot"));
    assert_eq!(got.code, Some(0), "{got}");
    let snapshot = std::fs::read(namespace.sandbox.path().join("snapshot")).unwrap();
    let key = format!("/registry/namespaces/{}", namespace.name);
    assert!(snapshot.windows(key.len()).any(|window| window == key.as_bytes()), "it is not this cluster's etcd");
}
