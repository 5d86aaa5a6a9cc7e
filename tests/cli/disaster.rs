//! `get`, `list` and `verify` without an API server that answers: they say so, and go on with S3 where a bucket is
//! named.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fake_api::{FakeApi, refusal};
use crate::get_from_url::certificate;
use crate::sandbox::Sandbox;
use crate::servers::{Bucket, READER, STORE, free_ports, snapshot};

const NEWEST: &str = "3.5.0_000000000000000f_etcd.backup";
const HEAD: &str = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                    contexts: [{name: c, context: {cluster: c, user: u, namespace: databases}}]\n";

/// Exit code, stdout and stderr; a command that never ends is killed.
fn run(sandbox: &Sandbox, line: &str) -> (Option<i32>, String, String) {
    let command = sandbox.command(&line.split_whitespace().collect::<Vec<_>>());
    let mut bounded = Command::new("timeout");
    bounded.args(["--signal=KILL", "60"]).arg(command.get_program()).args(command.get_args());
    bounded.current_dir(sandbox.path()).env_clear().stdin(std::process::Stdio::null());
    bounded.env("PATH", "/usr/bin:/bin").envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = bounded.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A bucket with a snapshot of `etcd-a`, and who may read it.
fn stored(name: &str) -> (Bucket<'static>, Sandbox) {
    let bucket = STORE.bucket(name);
    bucket.put(&format!("v1/etcd-a/{NEWEST}"), &snapshot(8, 1));
    (bucket, Sandbox::with_keys(READER))
}

/// A server that takes every connection and never answers, and how many it took; with TLS it shakes hands before.
fn silent(tls: Option<Arc<rustls::ServerConfig>>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let taken = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            taken.fetch_add(1, Ordering::SeqCst);
            let tls = tls.clone();
            std::thread::spawn(move || {
                let mut sink = std::io::sink();
                match tls {
                    None => std::io::copy(&mut stream, &mut sink).ok(),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        std::io::copy(&mut rustls::StreamOwned::new(connection, stream).by_ref(), &mut sink).ok()
                    }
                }
            });
        }
    });
    (address.to_string(), count)
}

/// A kubeconfig that logs in with this credential plugin.
fn with_plugin(exec: &str) -> tempfile::NamedTempFile {
    let config = tempfile::NamedTempFile::new().unwrap();
    let users = format!(
        "users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, \
         interactiveMode: IfAvailable, {exec}}}}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n"
    );
    std::fs::write(config.path(), format!("{HEAD}{users}")).unwrap();
    config
}

/// What both commands do with a bucket when the API server is reached with `flags` and fails because of `why`.
fn goes_on(name: &str, flags: &str, why: &str) {
    let (bucket, sandbox) = stored(name);
    let s3 = format!("{flags} {}", bucket.flags());
    let (code, stdout, stderr) = run(&sandbox, &format!("get etcd-a {s3}"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("sha256 verified"), "{stdout}");
    let skipped = stderr.lines().next().unwrap();
    assert!(skipped.starts_with("backup service not asked: ") && skipped.ends_with("; trying s3"), "{stderr}");
    assert!(skipped.contains(why), "{stderr}");
    let (code, stdout, stderr) = run(&sandbox, &format!("list etcd-a {s3} -o name"));
    assert_eq!((code, stdout), (Some(0), format!("{NEWEST}\n")), "{stderr}");
    let skipped = stderr.lines().next().unwrap();
    assert!(skipped.starts_with("warning: EtcdBackups not listed: ") && skipped.contains(why), "{stderr}");
}

/// What both commands say without a bucket.
fn names_the_way(flags: &str, code: i32, why: &str) {
    let sandbox = Sandbox::with_keys(READER);
    for verb in ["get", "list"] {
        let (ended, stdout, stderr) = run(&sandbox, &format!("{verb} etcd-a {flags} -n databases"));
        assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{verb}: {stderr}");
        assert!(stderr.contains(why), "{verb}: {stderr}");
        // what came first is the reason, also of what was not tried after it
        let mut errors = stderr.lines().filter(|line| line.starts_with("error: "));
        assert!(errors.all(|line| line.contains(why)), "{verb}: {stderr}");
        let way = format!(
            "hint: without Kubernetes: kubectl etcdbackup {verb} etcd-a -n databases --from s3 --bucket BUCKET"
        );
        assert!(stderr.contains(&way), "{verb}: {stderr}");
        let disk = format!("kubectl etcdbackup {verb} etcd-a --from dir --dir PATH");
        assert!(stderr.contains(&disk), "{verb}: {stderr}");
    }
}

#[test]
fn without_a_kubeconfig() {
    goes_on("no-kubeconfig", "", "cannot read kubeconfig");
    names_the_way("", 1, "error: cannot read kubeconfig");
}

#[test]
fn with_a_server_that_refuses_connections() {
    let [port] = free_ports();
    let flags = format!("--server https://127.0.0.1:{port}");
    goes_on("refusing", &flags, &format!("The connection to the server 127.0.0.1:{port} was refused"));
    names_the_way(&flags, 1, "was refused");
    for verb in ["get", "list"] {
        let (_, _, stderr) = run(&Sandbox::with_keys(READER), &format!("{verb} etcd-a {flags}"));
        let hints = stderr.lines().filter(|line| line.starts_with("hint: ")).count();
        assert_eq!(hints, 2, "the address, and the way without it: {stderr}");
    }
}

#[test]
fn with_a_server_that_says_that_it_cannot() {
    let api = FakeApi::that_says(vec![("", 503, refusal(503, "ServiceUnavailable", "etcd is gone"))]);
    let flags = format!("--server {}", api.url);
    goes_on("unavailable", &flags, "Error from server (ServiceUnavailable): etcd is gone");
    names_the_way(&flags, 1, "Error from server (ServiceUnavailable): etcd is gone");
}

#[test]
fn with_an_address_that_takes_connections_and_says_nothing() {
    let (address, taken) = silent(None);
    let flags = format!("--server https://{address}");
    goes_on("blackhole", &flags, &format!("no answer from the API server https://{address}/ within 5s"));
    assert_eq!(taken.load(Ordering::SeqCst), 2, "one wait for get, and one for list");
    names_the_way(&flags, 6, "within 5s");
    assert_eq!(taken.load(Ordering::SeqCst), 4, "the wait is over all requests of a command");
}

#[test]
fn with_a_server_that_falls_silent_after_the_handshake() {
    let sandbox = Sandbox::new();
    let (address, taken) = silent(Some(Arc::new(certificate(&sandbox))));
    let flags = format!("--server https://{address} --insecure-skip-tls-verify");
    goes_on("silent", &flags, "within 5s");
    assert_eq!(taken.load(Ordering::SeqCst), 2);
}

#[test]
fn the_wait_is_the_persons_to_choose() {
    let (address, _) = silent(None);
    goes_on("chosen", &format!("--server http://{address} --request-timeout 1s"), "within 1s");
}

#[test]
fn whoever_asks_for_the_service_alone_has_no_other_way_and_waits_longer() {
    let (address, _) = silent(None);
    let line = format!("get etcd-a --from service --server http://{address} -n databases");
    let (code, _, stderr) = run(&Sandbox::with_keys(READER), &line);
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains("no answer from the API server") && !stderr.contains("within 5s"), "{stderr}");
}

#[test]
fn a_server_that_did_not_answer_for_the_objects_is_not_asked_for_the_service() {
    let (address, taken) = silent(None);
    let line = format!("list etcd-a --from service --server http://{address} --request-timeout 1s");
    let (code, _, stderr) = run(&Sandbox::with_keys(READER), &line);
    assert_eq!((code, taken.load(Ordering::SeqCst)), (Some(6), 1), "{stderr}");
}

#[test]
fn with_a_credential_plugin_that_hangs_or_is_missing() {
    for (name, exec, why, code) in [
        ("hangs", "command: sleep, args: ['40']", "credential plugin \"sleep\" did not end within 5s", 6),
        ("missing", "command: no-such-login", "cannot log in to the cluster: ", 5),
    ] {
        let config = with_plugin(exec);
        let flags = format!("--kubeconfig {}", config.path().display());
        goes_on(&format!("plugin-{name}"), &flags, why);
        names_the_way(&flags, code, why);
    }
}

#[test]
fn a_credential_plugin_that_hangs_does_not_keep_a_signal_from_being_heard() {
    let sandbox = Sandbox::new();
    let started = sandbox.path().join("started");
    // by then the command listens for signals
    let script = format!("sleep 1; touch {}; exec sleep 40", started.display());
    let config = with_plugin(&format!("command: sh, args: ['-c', '{script}']"));
    let kubeconfig = config.path().display().to_string();
    let mut command = sandbox.command(&["get", "etcd-a", "--from", "service", "--kubeconfig", &kubeconfig]);
    let mut client = command.env("PATH", "/usr/bin:/bin").stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !started.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the plugin does not run");
        std::thread::sleep(Duration::from_millis(50));
    }
    Command::new("kill").args(["-TERM", &client.id().to_string()]).status().unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(130));
}

#[test]
fn neither_a_volume_nor_a_secret_is_waited_for_longer() {
    let (address, taken) = silent(None);
    let lines = [
        ("get etcd-a --from pv", "kubectl etcdbackup get etcd-a --from dir --dir PATH"),
        ("get etcd-a --print-manual", "kubectl etcdbackup get etcd-a --from dir --dir PATH"),
        ("list etcd-a --claim etcd-a-pvc", "kubectl etcdbackup list etcd-a --from dir --dir PATH"),
        ("verify s3://bucket/key --secret aws", "leave out --secret"),
    ];
    for (before, (line, way)) in lines.into_iter().enumerate() {
        let (code, stdout, stderr) = run(&Sandbox::with_keys(READER), &format!("{line} --server http://{address}"));
        assert_eq!((code, stdout.as_str()), (Some(6), ""), "{line}: {stderr}");
        let silence = format!("no answer from the API server http://{address}/ within 5s");
        assert!(stderr.contains(&silence) && stderr.contains(way), "{line}: {stderr}");
        assert_eq!(taken.load(Ordering::SeqCst), before + 1, "{line}: the wait is over all requests of a command");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_said_to_be_needless() {
    let (bucket, sandbox) = stored("disaster-secret");
    let [port] = free_ports();
    let line = format!("get etcd-a --server https://127.0.0.1:{port} --secret aws {}", bucket.flags());
    let (code, _, stderr) = run(&sandbox, &line);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("leave out --secret"), "{stderr}");
}
