//! Tokens at the sidecar's address: a real API server reviews real tokens, asked from pods.

use crate::cluster::{Namespace, eventually};

/// A role for token reviews under a name of its own, because the namespaced operator of this test has none to bind.
struct Reviews<'a>(&'a Namespace, String);

impl<'a> Reviews<'a> {
    fn allow(namespace: &'a Namespace, account: &str) -> Self {
        let name = format!("token-review-{}", namespace.name);
        let resources = "--resource=tokenreviews.authentication.k8s.io,subjectaccessreviews.authorization.k8s.io";
        namespace.kubectl(&["create", "clusterrole", &name, "--verb=create", resources]);
        let (role, account) =
            (format!("--clusterrole={name}"), format!("--serviceaccount={}:{account}", namespace.name));
        namespace.kubectl(&["create", "clusterrolebinding", &name, &role, &account]);
        Self(namespace, name)
    }
}

impl Drop for Reviews<'_> {
    fn drop(&mut self) {
        self.0.try_kubectl(&["delete", "clusterrolebinding,clusterrole", &self.1]);
    }
}

/// A pod that has a shell.
fn client(namespace: &Namespace) {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: client}\nspec: {containers: [{name: client, image: \
               'registry.local/base:1', imagePullPolicy: Never}]}\n";
    eventually("the namespace admits pods", || namespace.apply(pod).is_ok());
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/client", "--timeout=240s"]);
}

/// What wget tells of a look at what is stored, asked from the namespace's pod.
fn ask(namespace: &Namespace, host: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("--header 'Authorization: Bearer {token}'")).unwrap_or_default();
    // not nc: its end of input closes the connection before the review is done
    let script = format!("timeout 20 wget -q -S -O /dev/null {authorization} http://{host}:19999/v1/status 2>&1");
    namespace.try_kubectl(&["exec", "client", "--", "sh", "-c", &script]).0
}

fn status(answer: &str) -> &str {
    let mut lines = answer.lines().filter_map(|line| line.trim().strip_prefix("HTTP/1.1 "));
    lines.next().and_then(|line| line.get(..3)).unwrap_or(answer)
}

/// The whole answer without a token, asked from this machine, which reaches the pods' network.
fn whole(namespace: &Namespace) -> String {
    let pod = ["get", "pods", "-l", "app=etcd_backup_tool", "-o", "jsonpath={.items[0].status.podIP}"];
    let url = format!("http://{}:19999/v1/status", namespace.kubectl(&pod));
    let curl = std::process::Command::new("curl").args(["-s", "-i", "-m", "20", &url]).output().unwrap();
    String::from_utf8(curl.stdout).unwrap()
}

fn token(namespace: &Namespace, account: &str, audience: Option<&str>) -> String {
    let audience = audience.map(|audience| format!("--audience={audience}"));
    let words: Vec<&str> = ["create", "token", account].into_iter().chain(audience.as_deref()).collect();
    namespace.kubectl(&words).trim().to_owned()
}

fn with_sidecar(test: &str, more: &str) -> Namespace {
    let namespace = Namespace::with_operator(test);
    namespace.etcd("etcd-a");
    let store = namespace.s3.flags(&namespace.name);
    let created = namespace.run(&format!("create etcd-a --name one {store} --wait --timeout 2m"));
    assert_eq!(created.code, Some(0), "{created}");
    if !more.is_empty() {
        namespace.kubectl(&["patch", "etcdbackups.etcd.database.coreos.com", "one", "--type=merge", "-p", more]);
    }
    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    client(&namespace);
    namespace
}

#[test]
fn a_token_for_this_sidecar_gets_in_and_no_other() {
    let namespace = with_sidecar("guarded", "");
    let host = "etcd-a-backup-sidecar";
    eventually("the pod is behind its Service", || status(&ask(&namespace, host, None)) == "503");
    let not_yet = whole(&namespace);
    assert!(not_yet.contains("token review not permitted\n") && !not_yet.contains("www-authenticate"), "{not_yet}");
    let _reviews = Reviews::allow(&namespace, "etcd-a-backup-sidecar");
    eventually("tokens are reviewed", || status(&ask(&namespace, host, None)) == "401");

    let audience = format!("etcdbackup/{}/etcd-a", namespace.name);
    let anonymous = whole(&namespace);
    assert!(anonymous.contains(&format!("www-authenticate: Bearer realm=\"{audience}\"")), "{anonymous}");
    for account in ["reader", "stranger"] {
        namespace.kubectl(&["create", "serviceaccount", account]);
    }
    let role = [
        "create",
        "role",
        "snapshot-reader",
        "--verb=get",
        "--resource=etcdbackups.etcd.database.coreos.com/snapshot",
        "--resource-name=etcd-a",
    ];
    namespace.kubectl(&role);
    let subject = format!("--serviceaccount={}:reader", namespace.name);
    namespace.kubectl(&["create", "rolebinding", "snapshot-reader", "--role=snapshot-reader", &subject]);

    let good = token(&namespace, "reader", Some(&audience));
    eventually("the binding is seen", || status(&ask(&namespace, host, Some(&good))) == "200");
    let for_another = format!("etcdbackup/{}/etcd-b", namespace.name);
    for (what, refused, code) in [
        ("the API server's", token(&namespace, "reader", None), "401"),
        ("another sidecar's", token(&namespace, "reader", Some(&for_another)), "401"),
        ("no token", "x.y.z".to_owned(), "401"),
        ("one without permission", token(&namespace, "stranger", Some(&audience)), "403"),
    ] {
        let answer = ask(&namespace, host, Some(&refused));
        assert_eq!(status(&answer), code, "{what}: {answer}");
    }

    let elsewhere = Namespace::new("guarded-elsewhere");
    client(&elsewhere);
    let fqdn = format!("{host}.{}.svc.cluster.local", namespace.name);
    assert_eq!(status(&ask(&elsewhere, &fqdn, Some(&good))), "200");
    assert_eq!(status(&ask(&elsewhere, &fqdn, None)), "401");

    let through = namespace.run("get etcd-a --from service -O snapshot");
    assert_eq!(through.code, Some(0), "{through}");
    let log = namespace.kubectl(&["logs", "deployment/etcd-a-backup-sidecar", "--tail=-1"]);
    assert!(!log.contains(&good) && !log.contains("x.y.z"), "{log}");
}

#[test]
fn an_anonymous_sidecar_serves_as_the_original_did() {
    let namespace = with_sidecar("anonymous", r#"{"spec":{"sidecar":{"anonymous":true}}}"#);
    let pod =
        ["get", "pods", "-l", "app=etcd_backup_tool", "-o", "jsonpath={.items[*].spec.automountServiceAccountToken}"];
    eventually("the sidecar without a token is alone", || namespace.kubectl(&pod) == "false");
    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    let version = namespace.field("one", "{.status.etcdVersion}");
    let host = format!("etcd-a-backup-sidecar.{}.svc.cluster.local", namespace.name);
    let script = format!(
        "timeout 20 wget -q 'http://{host}:19999/v1/backup?etcdVersion={version}' -O /tmp/backup && wc -c < /tmp/backup"
    );
    eventually("the pod is behind its Service", || {
        let (size, _, done) = namespace.try_kubectl(&["exec", "client", "--", "sh", "-c", &script]);
        done && size.trim() == namespace.field("one", "{.status.snapshot.size}")
    });
    let policy = ["get", "networkpolicy", "etcd-a-backup-sidecar", "-o", "jsonpath={.spec}"];
    let policy: serde_json::Value = serde_json::from_str(&namespace.kubectl(&policy)).unwrap();
    assert_eq!(policy["ingress"], serde_json::json!([{"ports": [{"port": 19999, "protocol": "TCP"}]}]));
}
