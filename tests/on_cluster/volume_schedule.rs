//! `volume schedule`: applied by the real API server, and a Job of it that takes snapshots in moto.

use crate::aws::{Aws, Kops, Moto};
use crate::cluster::{Namespace, eventually, image};

/// The node's address: pods reach it too.
const NODE: &str = "10.244.0.1";

/// A Secret with the keys of this account as AWS's files.
fn secret(namespace: &Namespace, aws: &Aws) {
    let values = aws.environment();
    let value = |name: &str| values.iter().find(|(own, _)| *own == name).unwrap().1.clone();
    let credentials = format!(
        "[default]\naws_access_key_id={}\naws_secret_access_key={}\naws_session_token={}\n",
        value("AWS_ACCESS_KEY_ID"),
        value("AWS_SECRET_ACCESS_KEY"),
        value("AWS_SESSION_TOKEN")
    );
    namespace.sandbox.write("credentials", &credentials);
    let file = format!("--from-file=credentials={}", namespace.sandbox.path().join("credentials").display());
    namespace.kubectl(&["create", "secret", "generic", "aws", &file]);
}

fn finish(namespace: &Namespace, job: &str) -> String {
    let path = "jsonpath={.status.conditions[?(@.status==\"True\")].type}";
    namespace.kubectl(&["get", "job", job, "-o", path])
}

fn log(namespace: &Namespace, job: &str) -> String {
    namespace.kubectl(&["logs", &format!("job/{job}")])
}

#[test]
fn a_job_of_a_schedule_takes_a_set_and_expires_the_one_before() {
    let (namespace, moto) = (Namespace::new("volumes"), Moto::start(NODE));
    let aws = Aws::of(&moto);
    Kops::of_three("k8s.example.com").make(&aws);
    secret(&namespace, &aws);
    namespace.kubectl(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce=restricted"]);
    let line = format!(
        "volume schedule --cluster-name k8s.example.com --secret aws --region eu-west-1 --endpoint-url {} \
         --image {} --account {} --keep-last 1 --apply",
        aws.url,
        image(),
        aws.account
    );
    let applied = namespace.run(&line);
    assert_eq!(applied.code, Some(0), "{applied}");
    let names = "serviceaccount/etcdbackup-volumes created\ncronjob.batch/etcdbackup-volumes created\n";
    assert_eq!(String::from_utf8(applied.stdout).unwrap(), names);
    let again = namespace.run(&format!("{line} --dry-run server")).to_string();
    assert!(again.contains("cronjob.batch/etcdbackup-volumes unchanged (server dry run)\n"), "{again}");
    for job in ["first", "second"] {
        namespace.kubectl(&["create", "job", job, "--from=cronjob/etcdbackup-volumes"]);
        eventually("the Job ends", || ["Complete", "Failed"].iter().any(|end| finish(&namespace, job).contains(end)));
        assert!(finish(&namespace, job).contains("Complete"), "{}", log(&namespace, job));
    }
    let snapshots = aws.snapshots();
    assert_eq!(snapshots.len(), 6, "{}", log(&namespace, "second"));
    for snapshot in snapshots {
        let set = snapshot.tags().iter().find(|tag| tag.key() == Some("etcdbackup/set")).unwrap();
        assert_eq!(set.value(), Some("second"));
    }
}

#[test]
fn a_job_that_reaches_no_aws_says_so() {
    let namespace = Namespace::new("volumes-nowhere");
    let [port] = crate::servers::free_ports();
    namespace.sandbox.write("credentials", "[default]\naws_access_key_id=a\naws_secret_access_key=b\n");
    let file = format!("--from-file=credentials={}", namespace.sandbox.path().join("credentials").display());
    namespace.kubectl(&["create", "secret", "generic", "aws", &file]);
    let applied = namespace.run(&format!(
        "volume schedule --cluster-name k8s.example.com --secret aws --region eu-west-1 --image {} --apply \
         --endpoint-url http://{NODE}:{port}",
        image()
    ));
    assert_eq!(applied.code, Some(0), "{applied}");
    namespace.kubectl(&["create", "job", "lost", "--from=cronjob/etcdbackup-volumes"]);
    eventually("the Job ends", || finish(&namespace, "lost").contains("Failed"));
    let said = log(&namespace, "lost");
    assert!(said.contains("sts: could not reach the service"), "{said}");
}
