//! The API server goes away while a command is at work.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::Arc;

use crate::apiserver::ApiServer;
use crate::cluster::eventually;
use crate::network::{Fate, Network};
use crate::outages::Gate;
use crate::servers::{READER, STORE, snapshot};

const KEY: &str = "v1/etcd-a/3.5.21_000000000000000f_etcd.backup";

/// Starts the plugin, with its stderr in a pipe.
fn start(api: &ApiServer, line: &str) -> Child {
    let mut command = api.sandbox.command(&line.split_whitespace().collect::<Vec<_>>());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads stderr up to a line with `what`.
fn until(child: &mut Child, what: &str) -> BufReader<impl Read + use<>> {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without {what:?}");
    }
    stderr
}

fn is_download(head: &str) -> bool {
    head.starts_with("GET ") && head.contains("_etcd.backup")
}

#[test]
fn waiting_runs_out_and_a_download_that_has_begun_is_finished() {
    let bucket = STORE.bucket("api-stopped");
    bucket.put(KEY, &snapshot(20_000, 1));
    let gate = Arc::new(Gate::default());
    let before_it = gate.clone();
    let network = Network::before(&STORE.url, move |head, _| {
        if is_download(head) {
            before_it.pass();
        }
        Fate::Deliver
    });

    let api = ApiServer::start();
    let installed = api.run("install --image none --wait=false");
    assert_eq!(installed.code, Some(0), "{installed}");
    let backups = ["get", "etcdbackups.etcd.database.coreos.com"];
    eventually("EtcdBackups are served", || api.try_kubectl(&backups).is_ok());
    let keys = format!(
        "--from-literal=credentials=[default]\naws_access_key_id={}\naws_secret_access_key={}\n",
        READER.0, READER.1
    );
    api.try_kubectl(&["create", "secret", "generic", "aws-credential", &keys]).unwrap();
    let place = bucket.flags_through(&network.url);
    let made = api.run(&format!("create etcd-a --region us-east-1 {place}"));
    assert_eq!(made.code, Some(0), "{made}");

    let getting = start(&api, "get etcd-a --from s3 -O snapshot");
    eventually("the download has begun", || network.heads().iter().any(|head| is_download(head)));
    let mut waiting = start(&api, &format!("create etcd-a --name waits {place} --wait --timeout 10s"));
    let said = until(&mut waiting, "Waiting for the backup to complete");
    let sandbox = api.stop();
    gate.open();

    let got = getting.wait_with_output().unwrap();
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    assert_eq!(std::fs::read(sandbox.path().join("snapshot")).unwrap(), snapshot(20_000, 1));
    let rest: String = said.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
    assert_eq!(waiting.wait().unwrap().code(), Some(6), "{rest}");
    assert!(rest.contains("error: timed out waiting for the condition on etcdbackups/waits"), "{rest}");
    assert!(rest.contains("hint: the API server was not reached: "), "{rest}");

    let later = sandbox.run("get etcd-a --from s3 -O later");
    assert_eq!(later.code, Some(1), "{later}");
    assert!(later.stderr.contains("hint: ") && later.stderr.contains("--bucket"), "{later}");
}
