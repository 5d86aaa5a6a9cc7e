//! The operator is killed at any moment, or there are two of it: every backup runs once and ends well.

use crate::cluster::{Namespace, eventually};
use crate::sandbox::cache;

/// How often it is killed where `$KILLS` does not say.
const KILLS: usize = 5;

const OPERATORS: &str = "app.kubernetes.io/name=etcdbackup-operator";

/// Numbers that a seed repeats: Knuth's linear congruential generator (MMIX).
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// `$SEED`, to repeat a run that failed.
    fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed =
            seed.unwrap_or_else(|| u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
        let random = Self { seed, state: seed };
        random.say("kills begin");
        random
    }

    /// A line for whoever runs it.
    fn say(&self, what: &str) {
        let line = format!("SEED={}: {what}\n", self.seed);
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound
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
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for round in 0..kills {
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
    namespace.rolled_out("deployment/etcdbackup-operator");
    let names: Vec<String> = (0..4).map(|number| format!("two-{number}")).collect();
    for (name, policy) in
        names.iter().zip(["{}", "{}", "{backupIntervalInSecond: 3600}", "{backupIntervalInSecond: 3600}"])
    {
        apply(&namespace, name, policy);
    }
    each_ran_once(&namespace, &names);
    each_ran_once(&namespace, &all);

    namespace.kubectl(&["delete", "etcdbackups.etcd.database.coreos.com", "--all"]);
    random.say(&format!("{kills} kills, {} EtcdBackups, each stored once by one Job", all.len() + names.len()));
    eventually("no Job outlives its EtcdBackup", || namespace.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
}

#[test]
fn what_the_operator_made_comes_back_when_a_person_deletes_it() {
    let namespace = Namespace::with_operator("deleted");
    namespace.etcd("etcd-a");
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let apply = |place: &str| {
        let manifest = format!(
            "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: kept}}\n\
             spec: {{clusterName: etcd-a, storageType: S3, backupPolicy: {{schedule: \"0 3 29 2 *\"}}, \
             s3: {{{place}, endpoint: \"{endpoint}\", forcePathStyle: true, awsSecret: aws-credential}}}}\n"
        );
        namespace.apply(&manifest).unwrap();
    };
    apply(&format!("s3Bucket: {bucket}, prefix: {}, layout: Cluster", namespace.name));
    let ready = "{.status.conditions[?(@.type==\"SidecarReady\")].status}";
    eventually("the sidecar is ready", || namespace.field("kept", ready) == "True");
    let label = "app.kubernetes.io/managed-by=kubectl-etcdbackup,app in (etcd_backup_tool,etcd_backup_agent)";
    let uids = || {
        let kinds = "deployments,services,serviceaccounts,networkpolicies,cronjobs";
        namespace.kubectl(&["get", kinds, "-l", label, "-o", "jsonpath={range .items[*]}{.metadata.uid}{\"\\n\"}{end}"])
    };
    let before = uids();
    assert_eq!(before.lines().count(), 5, "{before}");
    for kind in ["service", "serviceaccount", "networkpolicy", "deployment", "cronjob"] {
        namespace.kubectl(&["delete", kind, "-l", label]);
        eventually(kind, || uids().lines().count() == 5);
    }
    assert!(uids().lines().all(|uid| !before.contains(uid)), "something was not deleted");
    // what a person changes by hand is put right
    let cron_job = namespace.kubectl(&["get", "cronjobs", "-o", "name"]);
    namespace.kubectl(&["patch", cron_job.trim(), "--type=merge", "-p", "{\"spec\":{\"suspend\":true}}"]);
    eventually("the CronJob is on again", || {
        namespace.kubectl(&["get", "cronjobs", "-o", "jsonpath={.items[*].spec.suspend}"]) == "false"
    });

    apply(&format!("path: {bucket}/{}/etcd.backup", namespace.name));
    let reason = "{.status.conditions[?(@.type==\"SidecarReady\")].reason}";
    eventually("a path is not served", || {
        namespace.field("kept", reason) == "PathNotServed"
            && namespace.kubectl(&["get", "deployments,services", "-l", label, "-o", "name"]).is_empty()
    });
}

#[test]
fn a_place_among_the_running_is_taken_as_soon_as_it_is_free() {
    let namespace = Namespace::with_operator("places");
    namespace.etcd("etcd-a");
    let flag = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--max-concurrent-runs=1"}]"#;
    namespace.kubectl(&["patch", "deployment/etcdbackup-operator", "--type=json", "-p", flag]);
    namespace.rolled_out("deployment/etcdbackup-operator");
    let names: Vec<String> = (0..4).map(|number| format!("one-{number}")).collect();
    names.iter().for_each(|name| apply(&namespace, name, "{}"));
    each_ran_once(&namespace, &names);
}
