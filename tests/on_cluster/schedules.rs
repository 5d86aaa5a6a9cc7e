//! Periodic backups: by a CronJob and by an interval, through restarts, two operators and an outage.

use crate::cluster::{Namespace, eventually};

const JOBS: &str = "jsonpath={range .items[*]}{.metadata.name} {.metadata.creationTimestamp}{\"\\n\"}{end}";

fn apply(namespace: &Namespace, name: &str, policy: &str) {
    let (bucket, endpoint) = (namespace.s3.get("S3_BUCKET"), namespace.s3.get("S3_ENDPOINT"));
    let manifest = format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: {name}}}\n\
         spec: {{clusterName: etcd-a, storageType: S3, backupPolicy: {policy}, sidecar: {{enabled: false}}, \
         s3: {{s3Bucket: {bucket}, prefix: {}/{name}, endpoint: \"{endpoint}\", forcePathStyle: true, \
         awsSecret: aws-credential}}}}\n",
        namespace.name
    );
    namespace.apply(&manifest).unwrap();
}

/// `True Scheduled next run at …`.
fn scheduled(namespace: &Namespace, name: &str) -> String {
    let condition = ".status.conditions[?(@.type==\"Scheduled\")]";
    namespace.field(name, &format!("{{{condition}.status}} {{{condition}.reason}} {{{condition}.message}}"))
}

/// Names and times of the Jobs of an EtcdBackup.
fn jobs(namespace: &Namespace, name: &str) -> Vec<(String, String)> {
    let uid = namespace.field(name, "{.metadata.uid}");
    let label = format!("etcd.database.coreos.com/backup-uid={uid}");
    let listed = namespace.kubectl(&["get", "jobs", "-l", &label, "-o", JOBS]);
    listed.lines().filter_map(|line| line.split_once(' ')).map(|(name, at)| (name.to_owned(), at.to_owned())).collect()
}

fn operators(namespace: &Namespace, count: &str) {
    namespace.kubectl(&["scale", "deployment/etcdbackup-operator", &format!("--replicas={count}")]);
    namespace.rolled_out("deployment/etcdbackup-operator");
}

#[test]
fn a_schedule_runs_by_the_clock_also_while_the_operator_is_away() {
    let namespace = Namespace::with_operator("schedule");
    namespace.etcd("etcd-a");
    apply(&namespace, "minutely", "{schedule: \"* * * * *\", maxBackups: 3}");
    eventually("the next run is told", || {
        scheduled(&namespace, "minutely").starts_with("True Scheduled next run at 20")
    });
    eventually("the first run is told", || namespace.field("minutely", "{.status.succeeded}") == "true");
    let first = namespace.field("minutely", "{.status.lastExecutionDate}");

    operators(&namespace, "0");
    let before = jobs(&namespace, "minutely").len();
    eventually("a run of the time without an operator", || {
        let done = namespace.kubectl(&["get", "jobs", "-o", "jsonpath={.items[*].status.succeeded}"]);
        done.split_whitespace().count() > before
    });
    operators(&namespace, "1");
    eventually("that run is told", || namespace.field("minutely", "{.status.lastExecutionDate}") > first);
    // nothing was written to etcd in between: it was looked at, and nothing was stored twice
    assert_eq!(namespace.field("minutely", "{.status.succeeded}"), "true");

    apply(&namespace, "minutely", "{schedule: \"* * * * *\", suspend: true}");
    eventually("it is suspended", || scheduled(&namespace, "minutely").starts_with("False Suspended"));
    assert_eq!(namespace.kubectl(&["get", "cronjobs", "-o", "jsonpath={.items[*].spec.suspend}"]), "true");
    apply(&namespace, "minutely", "{schedule: \"\"}");
    eventually("the CronJob went with the schedule", || {
        namespace.kubectl(&["get", "cronjobs", "-o", "name"]).is_empty()
            && scheduled(&namespace, "minutely").trim().is_empty()
    });
}

#[test]
fn a_bad_schedule_is_told_in_the_api_servers_words_and_can_be_corrected() {
    let namespace = Namespace::with_operator("invalid");
    let invalid = |name: &str, words: &str| {
        eventually(words, || namespace.field(name, "{.status.Reason}").contains(words));
        let told = scheduled(&namespace, name);
        assert!(told.starts_with("False InvalidSchedule "), "{told}");
    };
    apply(&namespace, "minute", "{schedule: \"61 * * * *\"}");
    apply(&namespace, "zone", "{schedule: \"0 3 * * *\", timeZone: Mars/Olympus}");
    invalid("minute", "InvalidSchedule: spec.schedule: Invalid value: \"61 * * * *\"");
    invalid("zone", "InvalidSchedule: spec.timeZone: Invalid value: \"Mars/Olympus\"");

    // neither the operator's image nor this node's controller need have files of time zones
    apply(&namespace, "zone", "{schedule: \"0 3 * * *\", timeZone: Europe/Berlin}");
    eventually("the zone is corrected", || {
        let told = scheduled(&namespace, "zone");
        told.starts_with("True Scheduled next run at 20")
            && (told.ends_with("T01:00:00Z") || told.ends_with("T02:00:00Z"))
    });
    let described = namespace.run("describe zone").to_string();
    assert!(described.contains("0 3 * * * (Europe/Berlin)") && described.contains(":00:00Z (in "), "{described}");

    apply(&namespace, "minute", "{schedule: \"0 3 29 2 *\"}");
    eventually("it is corrected", || scheduled(&namespace, "minute").contains("next run at 2028-02-29T03:00:00Z"));
    assert_eq!(namespace.field("minute", "{.status.Reason}"), "");
    // a schedule that has become invalid must not go on as it was
    apply(&namespace, "minute", "{schedule: \"nonsense\"}");
    invalid("minute", "InvalidSchedule: spec.schedule");
    namespace.kubectl(&["delete", "etcdbackups.etcd.database.coreos.com", "zone"]);
    eventually("no CronJob is left", || namespace.kubectl(&["get", "cronjobs", "-o", "name"]).is_empty());
}

#[test]
fn an_interval_runs_at_once_and_once_each_time_with_two_operators_and_restarts() {
    let namespace = Namespace::with_operator("interval");
    namespace.etcd("etcd-a");
    operators(&namespace, "2");
    apply(&namespace, "often", "{backupIntervalInSecond: 60}");
    eventually("the first run is told", || namespace.field("often", "{.status.succeeded}") == "true");
    assert_eq!(jobs(&namespace, "often").len(), 1);
    assert!(scheduled(&namespace, "often").starts_with("True Scheduled next run at 20"));
    metrics_tell(&namespace);
    namespace.kubectl(&["rollout", "restart", "deployment/etcdbackup-operator"]);
    eventually("the second run", || jobs(&namespace, "often").len() > 1);
    apply(&namespace, "often", "{backupIntervalInSecond: 60, suspend: true}");
    eventually("it is suspended", || scheduled(&namespace, "often").starts_with("False Suspended"));

    let found = jobs(&namespace, "often");
    assert_eq!(found.len(), 2, "{found:?}");
    let times: Vec<jiff::Timestamp> = found.iter().map(|(_, at)| at.parse().unwrap()).collect();
    assert!(times[0].duration_since(times[1]).abs() >= jiff::SignedDuration::from_secs(60), "{found:?}");
    for (name, _) in found {
        assert!(name.rsplit_once('-').is_some_and(|(_, minute)| minute.parse::<u64>().is_ok()), "{name}");
    }
}

fn metrics_tell(namespace: &Namespace) {
    let pods = namespace.kubectl(&[
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/name=etcdbackup-operator",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ]);
    let path = format!("/api/v1/namespaces/{}/pods/{pods}:8080/proxy/metrics", namespace.name);
    let line = format!("etcdbackup_last_success_timestamp_seconds{{namespace=\"{}\",name=\"often\"}} ", namespace.name);
    eventually("the metrics tell of the success", || namespace.kubectl(&["get", "--raw", &path]).contains(&line));
}
