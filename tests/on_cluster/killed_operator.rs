//! The operator is killed at any moment, or there are two of it: every backup runs once and ends well.

use crate::cluster::{Namespace, eventually};
use crate::sandbox::cache;

const ROUNDS: usize = 5;
const OPERATORS: &str = "app.kubernetes.io/name=etcdbackup-operator";

/// Numbers that a seed repeats: Knuth's linear congruential generator (MMIX).
struct Random(u64);

impl Random {
    /// `$SEED`, to repeat a run that failed.
    fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed =
            seed.unwrap_or_else(|| u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
        std::io::Write::write_all(&mut std::io::stderr(), format!("SEED={seed}\n").as_bytes()).unwrap();
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn apply(namespace: &Namespace, name: &str, policy: &str) {
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let manifest = format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\n\
         spec: {{clusterName: etcd-a, storageType: S3, backupPolicy: {policy}, sidecar: {{enabled: false}}, \
         s3: {{s3Bucket: {bucket}, prefix: {}/{name}, endpoint: \"{endpoint}\", forcePathStyle: true, \
         awsSecret: aws-credential, layout: Cluster}}}}\n",
        namespace.name
    );
    namespace.apply(&manifest).unwrap();
}

/// Every one has succeeded by one Job, which stored one object.
fn each_ran_once(namespace: &Namespace, names: &[String]) {
    for name in names {
        eventually(name, || namespace.field(name, "{.status.succeeded}") == "true");
        let condition = "{.status.conditions[?(@.type==\"Succeeded\")].status}";
        assert_eq!(namespace.field(name, condition), "True", "{name}");
        assert_eq!(namespace.field(name, "{.status.Reason}"), "", "{name}");
        let label = format!("etcd.database.coreos.com/backup-uid={}", namespace.field(name, "{.metadata.uid}"));
        let jobs = namespace.kubectl(&["get", "jobs", "-l", &label, "-o", "name"]);
        assert_eq!(jobs.lines().count(), 1, "{name}: {jobs}");
        let bucket = cache().join("cluster/s3/data").join(namespace.s3.get("S3_BUCKET"));
        let stored = std::fs::read_dir(bucket.join(&namespace.name).join(name).join("v1/etcd-a")).unwrap();
        let stored: Vec<_> = stored.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(stored.len(), 1, "{name}: {stored:?}");
    }
}

#[test]
fn a_killed_operator_and_a_second_one_double_and_lose_nothing() {
    let namespace = Namespace::with_operator("killed");
    namespace.etcd("etcd-a");
    let mut random = Random::new();
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..3).map(|number| format!("round-{round}-{number}")).collect();
        names.iter().for_each(|name| apply(&namespace, name, "{}"));
        // each look takes a moment, so that the blow falls anywhere in the runs
        for _ in 0..random.below(25) {
            namespace.kubectl(&["get", "jobs", "-o", "name"]);
        }
        namespace.kubectl(&["delete", "pods", "-l", OPERATORS, "--grace-period=0", "--force"]);
        each_ran_once(&namespace, &names);
        all.extend(names);
    }

    namespace.kubectl(&["scale", "deployment/etcdbackup-operator", "--replicas=2"]);
    namespace.kubectl(&["rollout", "status", "deployment/etcdbackup-operator", "--timeout=60s"]);
    let names: Vec<String> = (0..4).map(|number| format!("two-{number}")).collect();
    for (name, policy) in
        names.iter().zip(["{}", "{}", "{backupIntervalInSecond: 3600}", "{backupIntervalInSecond: 3600}"])
    {
        apply(&namespace, name, policy);
    }
    each_ran_once(&namespace, &names);
    each_ran_once(&namespace, &all);

    namespace.kubectl(&["delete", "etcdbackups.etcd.database.coreos.com", "--all"]);
    eventually("no Job outlives its EtcdBackup", || namespace.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
}

#[test]
fn a_place_among_the_running_is_taken_as_soon_as_it_is_free() {
    let namespace = Namespace::with_operator("places");
    namespace.etcd("etcd-a");
    let flag = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--max-concurrent-runs=1"}]"#;
    namespace.kubectl(&["patch", "deployment/etcdbackup-operator", "--type=json", "-p", flag]);
    namespace.kubectl(&["rollout", "status", "deployment/etcdbackup-operator", "--timeout=60s"]);
    let names: Vec<String> = (0..4).map(|number| format!("one-{number}")).collect();
    names.iter().for_each(|name| apply(&namespace, name, "{}"));
    each_ran_once(&namespace, &names);
}
