//! The store, a member or the API server goes away in the middle of a backup: the Reason says so, and when it is back
//! the work goes on.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::cluster::{Namespace, alone, eventually};
use crate::etcd_access::{put_megabytes, three_members};
use crate::network::{Fate, Network, completes, sends_later_part};

/// Makes or changes an EtcdBackup whose store is behind `endpoint`, with a prefix of its own.
fn apply(namespace: &Namespace, name: &str, endpoint: &str, spec: &str) {
    let manifest = format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\n\
         spec: {{clusterName: etcd-a, storageType: S3, {spec}, sidecar: {{enabled: false}}, \
         s3: {{s3Bucket: {}, prefix: {}/{name}, endpoint: \"{endpoint}\", forcePathStyle: true, \
         awsSecret: aws-credential, layout: Cluster}}}}\n",
        namespace.s3.get("S3_BUCKET"),
        namespace.name
    );
    namespace.apply(&manifest).unwrap();
}

/// A network before the S3 server of the cluster, where its pods reach it: on the node's own address.
fn network(namespace: &Namespace, fate: impl Fn(&str, &[String]) -> Fate + Send + Sync + 'static) -> Network {
    let upstream = namespace.s3.get("S3_ENDPOINT");
    let address = upstream.trim_start_matches("http://").split(':').next().unwrap();
    Network::at(address, upstream, fate)
}

fn reason_contains(namespace: &Namespace, name: &str, says: &str) {
    eventually(&format!("{name}: {says}"), || namespace.field(name, "{.status.Reason}").contains(says));
    assert_ne!(namespace.field(name, "{.status.succeeded}"), "true", "{name}");
}

fn succeeds(namespace: &Namespace, name: &str) {
    eventually(&format!("{name} is stored"), || namespace.field(name, "{.status.succeeded}") == "true");
    assert_eq!(namespace.field(name, "{.status.Reason}"), "", "{name}");
}

/// How often the operator's containers ended.
fn restarts(namespace: &Namespace) -> String {
    let operators = "app.kubernetes.io/name=etcdbackup-operator";
    let count = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    namespace.kubectl(&["get", "pods", "-l", operators, "-o", count])
}

#[test]
fn a_store_that_goes_away_is_told_and_used_again_when_it_is_back() {
    let namespace = Namespace::with_operator("store-away");
    namespace.etcd("etcd-a");
    put_megabytes(&namespace, "http", 20);
    let healed = Arc::new(AtomicBool::new(false));
    let broken = |what: fn(&str) -> bool, fate: Fate| {
        let healed = healed.clone();
        network(
            &namespace,
            move |head, _| {
                if what(head) && !healed.load(Ordering::SeqCst) { fate } else { Fate::Deliver }
            },
        )
    };
    let (middle, end) = (broken(sends_later_part, Fate::Break), broken(completes, Fate::Break));
    let silent = broken(sends_later_part, Fate::Hang);
    let lost = network(&namespace, |head, before| {
        let first = !before.iter().any(|head| completes(head));
        if completes(head) && first { Fate::LoseAnswer } else { Fate::Deliver }
    });
    let direct = network(&namespace, |_, _| Fate::Deliver);

    // a Service that nobody stands behind yet
    namespace.kubectl(&["create", "service", "clusterip", "store", "--tcp=7070"]);
    let retried = "backupPolicy: {timeoutInSecond: 900}";
    apply(&namespace, "start", &format!("http://store.{}.svc:7070", namespace.name), retried);
    apply(&namespace, "middle", &middle.url, retried);
    apply(&namespace, "end", &end.url, retried);
    apply(&namespace, "every-minute", &middle.url, "backupPolicy: {backupIntervalInSecond: 60}");
    apply(&namespace, "silent", &silent.url, "backupPolicy: {timeoutInSecond: 30}");
    apply(&namespace, "lost", &lost.url, retried);
    reason_contains(&namespace, "start", "s3: could not reach the service, ");
    reason_contains(&namespace, "middle", "s3: could not reach the service, sending part ");
    reason_contains(&namespace, "every-minute", "s3: could not reach the service, sending part ");
    reason_contains(&namespace, "end", "s3: could not reach the service, completing the upload of ");
    reason_contains(&namespace, "silent", "not done within ");
    succeeds(&namespace, "lost");

    healed.store(true, Ordering::SeqCst);
    let (address, port) = direct.url.trim_start_matches("http://").split_once(':').unwrap();
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: {{name: store, labels: {{kubernetes.io/service-name: store}}}}\n\
         endpoints: [{{addresses: [{address}]}}]\nports: [{{name: \"7070\", port: {port}}}]\n"
    );
    namespace.apply(&slice).unwrap();
    // what gave up needs a new object; the others try again by themselves
    apply(&namespace, "silent-again", &silent.url, retried);
    for name in ["start", "middle", "end", "silent-again", "every-minute"] {
        succeeds(&namespace, name);
    }
    assert_eq!(restarts(&namespace), "0");
}

/// Closed until it is opened.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Waits until it is open.
    pub fn pass(&self) {
        drop(self.changed.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }

    pub fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// A network in which the later parts of an upload wait before the gate, and the agents of `name` that wait there.
fn held(namespace: &Namespace) -> (Arc<Gate>, Network) {
    let gate = Arc::new(Gate::default());
    let before_it = gate.clone();
    let network = network(namespace, move |head, _| {
        if sends_later_part(head) {
            before_it.pass();
        }
        Fate::Deliver
    });
    (gate, network)
}

fn wait_for_later_part(network: &Network) {
    eventually("the middle of the upload", || network.heads().iter().any(|head| sends_later_part(head)));
}

/// The members that the agents took their snapshots from, oldest first: `etcd-a-0`.
fn members_used(namespace: &Namespace) -> Vec<String> {
    let label = ["-l", "app=etcd_backup_agent", "--sort-by=.metadata.creationTimestamp", "-o", "name"];
    let pods = namespace.kubectl(&[&["get", "pods"], label.as_slice()].concat());
    let logs = pods.lines().map(|pod| namespace.kubectl(&["logs", pod]));
    let begun = |log: String| {
        let line = log.lines().find(|line| line.contains("snapshot begins"))?.to_owned();
        let url = line.split("endpoint=https://").nth(1)?.to_owned();
        Some(url.split('.').next()?.to_owned())
    };
    logs.filter_map(begun).collect()
}

#[test]
fn a_member_that_is_killed_in_the_middle_is_told_and_another_is_taken() {
    let namespace = Namespace::with_operator("member-killed");
    three_members(&namespace);
    put_megabytes(&namespace, "https", 60);
    let (gate, network) = held(&namespace);
    apply(&namespace, "one", &network.url, "clientTLSSecret: etcd-tls, backupPolicy: {timeoutInSecond: 300}");
    wait_for_later_part(&network);
    let used = members_used(&namespace);
    let [member] = used.as_slice() else { panic!("{used:?}") };
    namespace.kubectl(&["delete", "pod", member, "--grace-period=0", "--force"]);
    gate.open();
    reason_contains(&namespace, "one", &format!("etcd https://{member}."));
    succeeds(&namespace, "one");
    let used = members_used(&namespace);
    assert!(used.len() > 1 && used.last() != Some(member), "{used:?}");
}

#[test]
fn a_restart_of_the_api_server_loses_and_doubles_nothing() {
    let namespace = Namespace::with_operator("api-away");
    namespace.etcd("etcd-a");
    put_megabytes(&namespace, "http", 20);
    let (gate, network) = held(&namespace);
    let alone = alone();
    apply(&namespace, "running", &network.url, "backupPolicy: {timeoutInSecond: 300}");
    wait_for_later_part(&network);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/restart-apiserver");
    let done = Command::new(script).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    drop(alone);
    gate.open();
    succeeds(&namespace, "running");
    apply(&namespace, "after", namespace.s3.get("S3_ENDPOINT"), "backupPolicy: {}");
    succeeds(&namespace, "after");
    for name in ["running", "after"] {
        let label = format!("etcd.database.coreos.com/backup-uid={}", namespace.field(name, "{.metadata.uid}"));
        let jobs = namespace.kubectl(&["get", "jobs", "-l", &label, "-o", "name"]);
        assert_eq!(jobs.lines().count(), 1, "{name}: {jobs}");
    }
    assert_eq!(restarts(&namespace), "0");
}
