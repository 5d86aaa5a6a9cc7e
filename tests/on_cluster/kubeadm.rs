//! The cluster backs its own etcd up, with the certificates that kubeadm lays out on a control-plane node.

use crate::cluster::{Namespace, eventually};
use crate::sandbox::cache;
use crate::scenario::asked_of_restored;

#[test]
fn the_cluster_backs_itself_up_from_one_namespace_only() {
    let namespace = Namespace::with_operator("kubeadm");
    let directory = cache().join("cluster/pki/etcd");
    assert!(directory.is_dir(), "the cluster's etcd is not on this machine, or older than its certificates");
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
    let key = format!("/registry/namespaces/{}", namespace.name);
    let found = asked_of_restored(&namespace, "snapshot", &["get", &key, "--keys-only"]);
    assert_eq!(found.trim(), key, "it is not this cluster's etcd");
}
