//! `volume schedule` and `volume iam-policy` as they are printed.

use std::collections::BTreeSet;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::sandbox::Sandbox;

const SCHEDULE: &str = "volume schedule --cluster-name k8s.example.com -n kube-system";

/// The objects of `volume schedule` with these flags.
fn objects(flags: &str) -> Vec<Value> {
    let output = Sandbox::new().run(&format!("{SCHEDULE} -o json {flags}"));
    assert_eq!(output.code, Some(0), "{output}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn pod(flags: &str) -> Value {
    objects(flags)[1]["spec"]["jobTemplate"]["spec"]["template"].clone()
}

#[test]
fn a_schedule_is_printed_until_it_is_to_be_applied() {
    assert_snapshot!("printed", Sandbox::new().run(SCHEDULE));
}

#[test]
fn every_flag_is_in_the_objects() {
    let (role, flags) = (
        "arn:aws:iam::111122223333:role/etcd-volumes",
        "--etcd main --etcd events --time-zone Europe/Amsterdam --keep-daily 7 --keep-within 2d --name nightly \
         --service-account snapshots --control-plane --region eu-west-1 --account 1111-2222-3333 --image registry/x:1",
    );
    let line = format!("{SCHEDULE} -o yaml --role-arn {role} {flags}");
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["--schedule", "30 2 * * *"]);
    assert_snapshot!("every_flag", Sandbox::new().run_words(&words));
}

#[test]
fn pods_get_their_credentials_as_asked() {
    let kube2iam = pod("--kube2iam-role etcd-volumes");
    assert_eq!(kube2iam["metadata"]["annotations"]["iam.amazonaws.com/role"], "etcd-volumes");
    let secret = pod("--secret aws-credential")["spec"].clone();
    assert_eq!(secret["volumes"][0]["secret"]["secretName"], "aws-credential");
    let container = &secret["containers"][0];
    let directory = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let value = |name: &str| {
        let found = container["env"].as_array().unwrap().iter().find(|one| one["name"] == name);
        found.unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(value("AWS_SHARED_CREDENTIALS_FILE"), format!("{directory}/credentials"));
    assert_eq!(value("AWS_CONFIG_FILE"), format!("{directory}/config"));
    let ambient = objects("");
    assert_eq!(ambient[0]["metadata"]["annotations"], Value::Null);
    assert_eq!(pod("")["spec"]["volumes"], Value::Null);
}

#[test]
fn a_pod_of_a_schedule_is_nobody_and_asks_kubernetes_nothing() {
    let spec = pod("--control-plane")["spec"].clone();
    assert_eq!((&spec["automountServiceAccountToken"], &spec["restartPolicy"]), (&false.into(), &"Never".into()));
    assert_eq!((&spec["securityContext"]["runAsNonRoot"], &spec["hostNetwork"]), (&true.into(), &Value::Null));
    let security = &spec["containers"][0]["securityContext"];
    assert_eq!(
        (&security["readOnlyRootFilesystem"], &security["capabilities"]["drop"][0]),
        (&true.into(), &"ALL".into())
    );
}

#[test]
fn flags_that_exclude_each_other_or_cannot_be_read_are_exit_2() {
    for flags in [
        "--role-arn arn:aws:iam::111122223333:role/a --secret b",
        "--role-arn a-name",
        "--secret a --kube2iam-role b",
        "--schedule nonsense",
        "--time-zone Mars/Olympus",
        "--apply -o yaml",
        "--dry-run server",
        "--account 1",
    ] {
        let output = Sandbox::new().run(&format!("{SCHEDULE} {flags}"));
        assert_eq!(output.code, Some(2), "{flags}: {output}");
    }
}

#[test]
fn the_policies_are_the_least() {
    for (name, flags) in [
        ("policy_of_a_schedule", "--cluster-name k8s.example.com"),
        ("policy_of_a_restore", "--for restore"),
        ("policy_of_adopt", "--for adopt -o yaml --partition aws-cn"),
    ] {
        assert_snapshot!(name, Sandbox::new().run(&format!("volume iam-policy {flags}")));
    }
}

/// Actions that a text of Rust calls, such as `ec2:CreateVolume`.
fn called(source: &str) -> BTreeSet<String> {
    const VERBS: [&str; 8] = ["attach_", "create_", "delete_", "describe_", "detach_", "get_", "modify_", "update_"];
    let text: String = source.split_whitespace().collect();
    let mut called = BTreeSet::new();
    for (client, service) in [("ec2.", "ec2"), ("ec2_once.", "ec2"), ("scaling.", "autoscaling")] {
        for (at, _) in text.match_indices(client) {
            let name = text[at + client.len()..].split("()").next().unwrap_or_default();
            let word = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if word && VERBS.iter().any(|verb| name.starts_with(verb)) {
                let camel: String = name.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
                called.insert(format!("{service}:{camel}"));
            }
        }
    }
    called
}

fn sources(directory: &Path, found: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push_str(&std::fs::read_to_string(path).unwrap()),
        }
    }
}

#[test]
fn the_policy_for_all_allows_every_call_of_the_program_and_no_other() {
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    let policy = Sandbox::new().run("volume iam-policy --for all");
    let policy: Value = serde_json::from_slice(&policy.stdout).unwrap();
    let actions = policy["Statement"].as_array().unwrap().iter().flat_map(|one| one["Action"].as_array().unwrap());
    // KMS is called by EC2
    let own = actions.map(|action| action.as_str().unwrap()).filter(|action| !action.starts_with("kms:"));
    let allowed: BTreeSet<String> = own.map(str::to_owned).collect();
    assert_eq!(called(&source), allowed);
}
