//! The catalogue of errors: each situation, and the test that holds its message, its hint and its exit code.
//!
//! | situation | exit | test |
//! |---|---|---|
//! | no CRD | 3 | here: `without_the_crd_every_command_names_install`; on_cluster/foreign_crds.rs: `a_crd_of_another_version_is_as_good_as_none` |
//! | no such EtcdBackup | 3 | here: `what_the_api_server_refuses_is_said_in_kubectls_words`; on_cluster/list.rs |
//! | no such cluster, no bucket named | 3 | here: `a_cluster_without_an_etcdbackup_asks_for_the_bucket` |
//! | no such namespace | 3 | here: `what_the_api_server_refuses_is_said_in_kubectls_words` |
//! | no snapshot below the prefix | 3 | get_from_s3.rs: `layouts_and_histories_that_compete_are_exit_3` (nobody), list.rs: `a_path_holds_…` (none) |
//! | more than one layout or history | 3 | get_from_s3.rs: `layouts_and_histories_that_compete_are_exit_3` |
//! | names that are no snapshots | 0 | get_from_s3.rs: `the_newest_is_downloaded_proved_and_named` |
//! | a bucket given as a URL | 0, 2 | `cli::flags::tests::a_pasted_bucket_is_said`; catalogue_typing.rs |
//! | no region | 5 | here: `a_secret_that_is_missing_or_incomplete_is_named`; credentials.rs, credentials_check.rs (no_region) |
//! | wrong keys in a Secret, no Secret | 5, 3 | here: `a_secret_that_is_missing_or_incomplete_is_named`; create: on_cluster/scenario.rs; check: on_cluster/credentials.rs |
//! | access denied, bad signature, unknown key | 5 | get_from_s3.rs: `refusals_name_the_credentials_the_bucket_and_the_region`; credentials_check.rs |
//! | expired token, SSO login, role not assumed | 5 | credentials_faults.rs |
//! | no such bucket | 3 | get_from_s3.rs: `refusals_name_the_credentials_the_bucket_and_the_region` |
//! | bucket in another region | 5 | the same, and credentials_faults.rs: `refusals_of_aws_reach_the_person_with_a_way_on` |
//! | store not reachable | 1 | get_from_s3.rs: `a_server_that_is_not_there_is_exit_1` |
//! | etcd version that does not suit | 1 | get_from_url.rs: `an_etcd_that_an_old_sidecar_cannot_know_is_judged_here`; list.rs: `an_etcd_version_must_suit_…` |
//! | sidecar refuses, breaks off, redirects | 1, 3, 4, 5, 6 | get_from_url.rs; on_cluster/old_sidecar.rs |
//! | RBAC | 5 | here: `a_refused_permission_is_named_with_its_verb`; on_cluster/permissions.rs |
//! | not logged in | 5 | here: `what_the_api_server_refuses_is_said_in_kubectls_words` |
//! | cut, corrupt, empty, no trailer | 4 | get_from_s3.rs: `bytes_that_fail_proof_are_exit_4_and_no_file`; get_from_url.rs |
//! | file exists | 1 | get_from_s3.rs: `an_existing_target_is_left_alone` |
//! | wait time-out | 6 | here: `a_wait_that_runs_out_says_why_nothing_came`; on_cluster/faults.rs |
//! | the operator reports failure | 7 | here: `the_operators_reason_is_exit_7`; on_cluster/foreign_crds.rs, on_cluster/faults.rs |
//! | already exists | 1 | here: `what_exists_or_belongs_to_others_names_the_flag`; on_cluster/scenario.rs |
//! | conflict with another field manager | 1 | here: `what_exists_or_belongs_to_others_names_the_flag` |
//! | invalid object | 1 | here: `what_exists_or_belongs_to_others_names_the_flag`; on_cluster/create.rs |
//! | fields that the CRD would drop | 1 | on_cluster/foreign_crds.rs: `nothing_is_sent_that_the_crd_would_drop` |
//! | API server refuses connections, TLS, is slow | 1, 6 | here: `a_server_that_is_not_reached_is_named` |
//! | API server goes away meanwhile | 0, 6 | on_cluster/api_stopped.rs |
//! | something else than Kubernetes answers | 1 | here: `nonsense_is_not_taken_for_a_missing_crd` |
//! | kubeconfig missing, broken, wrong names | 1, 5 | here: `each_fault_of_a_kubeconfig_says_what_to_run`; usage.rs |
//! | no API server that answers, and another way | 0, 1, 5, 6 | disaster.rs |
//! | a disk that is not there, closed, ambiguous | 3, 5 | get_from_dir.rs |
//! | a manifest that cannot be converted | 2, 3 | convert.rs |
//! | another Cassandra operator than is meant, none, a Secret with a line break | 1, 3, 5 | on_cluster/cassandra.rs; cassandra_setup.rs |
//! | wrong words | 2 | usage.rs, install.rs, catalogue_typing.rs |
//! | `check`, `install`, `uninstall` | 3, 5, 6 | install.rs; on_cluster/check.rs, on_cluster/install.rs |
//! | interrupted | 130 | get_from_url.rs: `an_interrupted_download_says_that_there_is_no_file`; create_wizard.rs |

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;

use serde_json::json;

use crate::fake_api::{Answers, FakeApi, refusal};
use crate::get_from_url::certificate;
use crate::sandbox::Sandbox;
use crate::servers::free_ports;

const BACKUPS: &str = "/apis/etcd.database.coreos.com/v1beta2/namespaces/default/etcdbackups";
const LOOK: &str = "hint: check --server, or what the kubeconfig names: kubectl config view --minify\n";
const INSTALL: &str = "hint: kubectl etcdbackup install\n";

/// Exit code and stderr of a command; the server's address is `api`.
fn fails(api: &FakeApi, line: &str) -> (Option<i32>, String) {
    let output = Sandbox::new().run(&format!("{line} -q --server {}", api.url));
    (output.code, output.stderr.replace(api.url.trim_start_matches("http://"), "api"))
}

fn exits(code: i32, lines: &str) -> (Option<i32>, String) {
    (Some(code), lines.to_owned())
}

#[test]
fn without_the_crd_every_command_names_install() {
    let absent = || "404 page not found\n".to_owned();
    let crd = "GET /apis/apiextensions.k8s.io/";
    let api = FakeApi::that_says(vec![
        ("GET /apis/etcd.database", 404, absent()),
        ("GET /openapi", 404, absent()),
        (crd, 404, refusal(404, "NotFound", "customresourcedefinitions \"x\" not found")),
    ]);
    let sentence = "the server doesn't have a resource type \"etcdbackups\" in group \"etcd.database.coreos.com\"\n";
    for line in ["list", "list -A -o json", "describe nightly"] {
        let (code, stderr) = fails(&api, line);
        assert_eq!((code, stderr), exits(3, &format!("error: {sentence}{INSTALL}")), "{line}");
    }
    for line in ["get etcd-a --from s3", "list etcd-a", "create etcd-a --bucket bbb --ambient"] {
        let (code, stderr) = fails(&api, line);
        assert_eq!(code, Some(3), "{line}: {stderr}");
        assert!(stderr.contains(INSTALL), "{line}: {stderr}");
    }
}

#[test]
fn nonsense_is_not_taken_for_a_missing_crd() {
    let html = "<html>\n<body>welcome</body>";
    let stranger = |why: &str| {
        exits(1, &format!("Unable to connect to the server: api is no Kubernetes API server ({why})\n{LOOK}"))
    };
    let raw = "hint: kubectl get --raw /version shows what answers there\n";
    for (code, text, expected) in [
        (404, html, stranger("it knows no /version")),
        (200, html, stranger("expected value at line 1 column 1")),
        (500, "boom\n", exits(1, &format!("Error from server (InternalError): api answered HTTP 500: boom\n{raw}"))),
        (503, "", exits(1, &format!("Error from server (ServiceUnavailable): api answered HTTP 503: no text\n{raw}"))),
        (
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            exits(1, "Unable to connect to the server: api speaks https, not http\nhint: --server https://api\n"),
        ),
    ] {
        let api = FakeApi::that_says(vec![("GET /", code, text.to_owned())]);
        for line in ["list", "describe nightly", "create etcd-a --bucket bbb"] {
            assert_eq!(fails(&api, line), expected, "{line}");
        }
    }
    let api = FakeApi::that_says(vec![("GET /apis/etcd", 200, "{\"items\": 1}".to_owned())]);
    let (code, stderr) = fails(&api, "list");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error: cannot read the answer of the API server api: ") && stderr.ends_with(raw),
        "{stderr}"
    );
}

#[test]
fn what_the_api_server_refuses_is_said_in_kubectls_words() {
    let missing = "etcdbackups.etcd.database.coreos.com \"nightly\" not found";
    let api = FakeApi::that_says(vec![
        ("GET /apis/etcd.database", 404, refusal(404, "NotFound", missing)),
        ("POST /", 404, refusal(404, "NotFound", "namespaces \"nowhere\" not found")),
    ]);
    assert_eq!(fails(&api, "describe nightly"), exits(3, &format!("Error from server (NotFound): {missing}\n")));
    assert_eq!(
        fails(&api, "create etcd-a --bucket bbb --ambient -n nowhere"),
        exits(
            3,
            "Error from server (NotFound): namespaces \"nowhere\" not found\n\
             hint: kubectl create namespace nowhere; or choose one of kubectl get namespaces with -n\n"
        )
    );
    let nobody = FakeApi::that_says(vec![("", 401, refusal(401, "Unauthorized", "Unauthorized"))]);
    for line in ["list", "describe x", "create a --bucket bbb", "get a --from service", "install", "uninstall --yes"] {
        assert_eq!(
            fails(&nobody, line),
            exits(
                5,
                "error: You must be logged in to the server (Unauthorized)\n\
                 hint: kubectl auth whoami; or choose another login with --context or --user\n"
            ),
            "{line}"
        );
    }
}

#[test]
fn a_refused_permission_is_named_with_its_verb() {
    let message = "etcdbackups.etcd.database.coreos.com is forbidden: User \"jane\" cannot create resource \
                   \"etcdbackups\" in API group \"etcd.database.coreos.com\" in the namespace \"default\"";
    let api = FakeApi::that_says(vec![("POST /", 403, refusal(403, "Forbidden", message))]);
    assert_eq!(
        fails(&api, "create etcd-a --bucket bbb --ambient"),
        exits(
            5,
            &format!(
                "Error from server (Forbidden): {message}\n\
                 hint: needs verb create on etcdbackups.etcd.database.coreos.com in namespace default \
                 (see RBAC in --help); what else is missing: kubectl etcdbackup check -n default\n"
            )
        )
    );
}

#[test]
fn a_cluster_without_an_etcdbackup_asks_for_the_bucket() {
    let api = FakeApi::that_says(vec![("GET /apis/etcd", 200, json!({"metadata": {}, "items": []}).to_string())]);
    let (code, stderr) = fails(&api, "get etdc-a --from s3");
    assert_eq!(code, Some(3), "{stderr}");
    let lines = "error: no EtcdBackup of cluster \"etdc-a\" in namespace \"default\" names a bucket\n\
                 hint: name it with --bucket, or another namespace with -n\n";
    assert!(stderr.starts_with(lines), "{stderr}");
}

#[test]
fn a_secret_that_is_missing_or_incomplete_is_named() {
    let keys = "W2RlZmF1bHRdCmF3c19hY2Nlc3Nfa2V5X2lkPWEKYXdzX3NlY3JldF9hY2Nlc3Nfa2V5PWIK";
    let api = FakeApi::start(Answers {
        objects: vec![
            ("secrets/odd", json!({"data": {"user": "", "pass": ""}})),
            ("secrets/homeless", json!({"data": {"credentials": keys}})),
        ],
        ..Answers::default()
    });
    let get = |secret: &str| fails(&api, &format!("get etcd-a --from s3 --bucket bbb --secret {secret}"));
    let (code, stderr) = get("odd");
    assert_eq!(code, Some(5), "{stderr}");
    assert!(
        stderr.starts_with("error: secret default/odd lacks key \"credentials\" (found: pass, user)\nhint: "),
        "{stderr}"
    );
    let (code, stderr) = get("homeless");
    assert_eq!(code, Some(5), "{stderr}");
    assert!(stderr.starts_with("error: no AWS region: ") && stderr.contains("hint: pass --region"), "{stderr}");
    let (code, stderr) = get("nowhere");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("\nhint: kubectl etcdbackup credentials -n default --secret-name nowhere, or "),
        "{stderr}"
    );
}

#[test]
fn a_wait_that_runs_out_says_why_nothing_came() {
    let line = "create etcd-a --bucket bbb --name nightly --ambient --wait --timeout 1s";
    let late = "hint: the backup may still complete; raise --timeout to wait longer\n";
    let sentence = "error: timed out waiting for the condition on etcdbackups/nightly\n";
    let silent = FakeApi::that_says(vec![]);
    let nobody = "hint: no operator has taken it up: kubectl etcdbackup check\n";
    assert_eq!(fails(&silent, line), exits(6, &format!("{sentence}{nobody}{late}")));
    let path = "GET /apis/etcd.database.coreos.com/v1beta2/namespaces/default/etcdbackups/nightly";
    assert!(path.starts_with(&format!("GET {BACKUPS}/")));
    let away = FakeApi::that_says(vec![(path, 503, refusal(503, "ServiceUnavailable", "no storage"))]);
    let why = "hint: the API server was not reached: Error from server (ServiceUnavailable): no storage\n";
    assert_eq!(fails(&away, line), exits(6, &format!("{sentence}{why}{late}")));
}

#[test]
fn the_operators_reason_is_exit_7() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let status = json!({"succeeded": false, "Reason": "NoSuchBucket: s3: bucket \"bbb\" does not exist"});
    let api = FakeApi::start(Answers {
        crd: Some(crate::fake_api::crd(open)),
        status,
        objects: vec![("services/etcd-a-client", json!({}))],
        ..Answers::default()
    });
    assert_eq!(
        fails(&api, "create etcd-a --bucket bbb --name nightly --ambient --wait"),
        exits(
            7,
            "error: backup \"nightly\" failed: NoSuchBucket: s3: bucket \"bbb\" does not exist\n\
             hint: kubectl describe etcdbackups.etcd.database.coreos.com nightly -n default\n"
        )
    );
}

#[test]
fn what_exists_or_belongs_to_others_names_the_flag() {
    let line = "create etcd-a --bucket bbb --name nightly --ambient";
    let says = |method: &'static str, code: u16, body: String| FakeApi::that_says(vec![(method, code, body)]);
    let exists = says("POST /", 409, refusal(409, "AlreadyExists", "etcdbackups \"nightly\" already exists"));
    assert_eq!(
        fails(&exists, line),
        exits(
            1,
            "Error from server (AlreadyExists): etcdbackups \"nightly\" already exists\n\
             hint: choose another --name, or add --apply to update it\n"
        )
    );
    let conflict =
        says("PATCH /", 409, refusal(409, "Conflict", "Apply failed with 1 conflict: conflict with \"helm\""));
    assert_eq!(
        fails(&conflict, &format!("{line} --apply")),
        exits(
            1,
            "Error from server (Conflict): Apply failed with 1 conflict: conflict with \"helm\"\n\
             hint: nightly was made by another tool: choose another name, or add --force-conflicts\n"
        )
    );
    let body = json!({"kind": "Status", "code": 422, "reason": "Invalid", "message": "m", "details": {
        "kind": "EtcdBackup", "name": "nightly", "causes": [
            {"field": "spec.s3", "message": "Required value"},
            {"field": "spec.clusterName", "message": "Invalid value: \"x\": too short"}]}});
    assert_eq!(
        fails(&says("POST /", 422, body.to_string()), line),
        exits(
            1,
            "The EtcdBackup \"nightly\" is invalid: \n* spec.s3: Required value\n\
             * spec.clusterName: Invalid value: \"x\": too short\n"
        )
    );
}

#[test]
fn a_server_that_is_not_reached_is_named() {
    let sandbox = Sandbox::new();
    let [port] = free_ports();
    for line in ["list", "describe x", "create etcd-a --bucket bbb", "check", "credentials check --bucket bbb"] {
        let refused = sandbox.run(&format!("{line} -q --server https://127.0.0.1:{port}"));
        assert_eq!(refused.code, Some(1), "{line}: {refused}");
        let sentence = format!(
            "The connection to the server 127.0.0.1:{port} was refused - did you specify the right host or port?"
        );
        assert!(refused.to_string().contains(&sentence), "{line}: {refused}");
        assert!(refused.to_string().contains("kubectl config view --minify"), "{line}: {refused}");
    }
    let config = Arc::new(certificate(&sandbox));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // the client breaks the handshake off
            let _ = rustls::StreamOwned::new(connection, stream.unwrap()).read(&mut [0]);
        }
    });
    let stranger = sandbox.run(&format!("list --server https://{host}"));
    assert_eq!(
        (stranger.code, stranger.stderr),
        exits(
            1,
            &format!(
                "Unable to connect to the server: {host}: invalid peer certificate: UnknownIssuer\n\
                 hint: name the CA of the server with --certificate-authority FILE\n"
            )
        )
    );
    // accepts, and never answers
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let slow = sandbox.run(&format!("list --server http://{host} --request-timeout 1s"));
    let lines =
        format!("error: no answer from the API server http://{host}/ within 1s\nhint: raise --request-timeout\n");
    assert_eq!((slow.code, slow.stderr), exits(6, &lines));
}

#[test]
fn each_fault_of_a_kubeconfig_says_what_to_run() {
    let sandbox = Sandbox::new();
    let names = "contexts: [{name: c, context: {cluster: c, user: u}}]\n\
                 clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n";
    let exec = "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-login, \
                interactiveMode: Never}}}]\n";
    let head = "apiVersion: v1\nkind: Config\n";
    sandbox.write("good", &format!("{head}current-context: c\n{names}{exec}"));
    sandbox.write("aimless", &format!("{head}{names}{exec}"));
    sandbox.write("broken", "not: [yaml");
    for (line, code, error, hint) in [
        ("--kubeconfig nowhere", 1, "error: cannot read kubeconfig nowhere: No such file", "hint: set KUBECONFIG or"),
        ("--kubeconfig .", 1, "error: cannot read kubeconfig .: Is a directory", "hint: set KUBECONFIG or"),
        ("--kubeconfig broken", 1, "error: no usable kubeconfig: failed to parse", "hint: set KUBECONFIG or"),
        (
            "--kubeconfig aimless",
            1,
            "error: the kubeconfig sets no current-context",
            "hint: kubectl config use-context",
        ),
        (
            "--kubeconfig good --context x",
            1,
            "error: context \"x\" does not exist",
            "hint: kubectl config get-contexts",
        ),
        (
            "--kubeconfig good --cluster x",
            1,
            "error: cluster \"x\" does not exist",
            "hint: kubectl config get-clusters",
        ),
        ("--kubeconfig good --user x", 1, "error: auth info \"x\" does not exist", "hint: kubectl config get-users"),
        (
            "--kubeconfig good",
            5,
            "error: cannot log in to the cluster: ",
            "logs in with \"no-such-login\": is it on your PATH?",
        ),
        (
            "--server http://127.0.0.1:1 --client-certificate x",
            1,
            "error: cannot use the kubeconfig and the flags: ",
            "",
        ),
    ] {
        let output = sandbox.run(&format!("list {line}"));
        assert_eq!(output.code, Some(code), "{line}: {output}");
        assert!(output.stderr.starts_with(error) && output.stderr.contains(hint), "{line}: {output}");
    }
}
