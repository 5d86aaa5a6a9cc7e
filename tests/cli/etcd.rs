//! Real etcds: one member, one restored, three members, one with TLS.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::sandbox::binary;
use crate::servers::{Server, free_ports, wait_for_port};

/// A real member of an etcd cluster.
pub struct Etcd {
    pub url: String,
    /// What etcdctl needs besides the endpoint.
    access: Vec<String>,
    _server: Server,
    directory: TempDir,
}

/// One of `client` and `peer` URL.
fn urls(scheme: &str, ports: [u16; 2]) -> [String; 2] {
    [format!("{scheme}://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1])]
}

impl Etcd {
    /// A cluster of one member.
    pub fn start() -> Self {
        Self::start_with(free_ports())
    }

    /// With the same ports a new cluster gets the id of the old one.
    pub fn start_with(ports: [u16; 2]) -> Self {
        Self::start_version("etcd", ports)
    }

    /// As [`Etcd::start_with`], of the version that `tests/cluster/build` made as `program`.
    pub fn start_version(program: &str, ports: [u16; 2]) -> Self {
        let urls = urls("http", ports);
        let peers = format!("default={}", urls[1]);
        // two tests must not take each other's members for their own
        let token = urls[0].clone();
        Self::member_of(program, "default", &urls, &peers, &token, &[], tempfile::tempdir().unwrap())
    }

    /// The cluster of these ports again, restored from a snapshot.
    pub fn restored(ports: [u16; 2], snapshot: &Path) -> Self {
        let urls = urls("http", ports);
        let (peers, directory) = (format!("default={}", urls[1]), tempfile::tempdir().unwrap());
        let mut restore = Command::new(binary("etcdutl"));
        restore.args(["snapshot", "restore"]).arg(snapshot).args(["--initial-cluster", &peers]);
        restore.args(["--initial-cluster-token", &urls[0], "--initial-advertise-peer-urls", &urls[1]]);
        succeed(restore.arg("--data-dir").arg(directory.path().join("data")));
        let token = urls[0].clone();
        Self::member("default", &urls, &peers, &token, &[], directory)
    }

    /// A cluster of three members, with a leader.
    pub fn three() -> [Self; 3] {
        let ports: [u16; 6] = free_ports();
        let urls = [0, 2, 4].map(|at| urls("http", [ports[at], ports[at + 1]]));
        let peers = (0..3).map(|at| format!("m{at}={}", urls[at][1])).collect::<Vec<_>>().join(",");
        let token = urls[0][0].clone();
        let directory = || tempfile::tempdir().unwrap();
        let members = [0, 1, 2].map(|at| (format!("m{at}"), &urls[at]));
        members.map(|(name, urls)| Self::member(&name, urls, &peers, &token, &[], directory()))
    }

    /// A cluster of one member that asks its clients for a certificate of `authority`.
    pub fn with_tls(authority: &Authority) -> Self {
        let urls = urls("https", free_ports());
        let peers = format!("default={}", urls[1]);
        let file = |name: &str| authority.file(name).display().to_string();
        let flags = [
            format!("--cert-file={}", file("server.crt")),
            format!("--key-file={}", file("server.key")),
            format!("--trusted-ca-file={}", file("ca.crt")),
            "--client-cert-auth=true".to_owned(),
        ];
        let token = urls[0].clone();
        let mut etcd = Self::member("default", &urls, &peers, &token, &flags, tempfile::tempdir().unwrap());
        etcd.access = [("--cacert", "ca.crt"), ("--cert", "client.crt"), ("--key", "client.key")]
            .map(|(flag, name)| format!("{flag}={}", file(name)))
            .to_vec();
        etcd
    }

    fn member(name: &str, urls: &[String; 2], peers: &str, token: &str, more: &[String], directory: TempDir) -> Self {
        Self::member_of("etcd", name, urls, peers, token, more, directory)
    }

    fn member_of(
        program: &str,
        name: &str,
        [client, peer]: &[String; 2],
        peers: &str,
        token: &str,
        more: &[String],
        directory: TempDir,
    ) -> Self {
        let flags = [
            ("--name", name),
            ("--data-dir", "data"),
            ("--listen-client-urls", client),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", peers),
            ("--initial-cluster-token", token),
            ("--unsafe-no-fsync", "true"),
        ];
        let mut arguments: Vec<String> = flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect();
        arguments.extend_from_slice(more);
        let server = Server::start(&binary(program), &arguments, &[], directory.path());
        wait_for_port(client.rsplit(':').next().unwrap().parse().unwrap());
        Self { url: client.clone(), access: Vec::new(), _server: server, directory }
    }

    /// etcdctl with this member.
    pub fn ctl(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary("etcdctl"));
        // the first election has to fit in, also on a busy machine
        command.args(["--endpoints", &self.url, "--command-timeout=60s", "--dial-timeout=30s"]);
        command.args(&self.access).args(words);
        command
    }

    pub fn put(&self, key: &str, value: &str) {
        succeed(&mut self.ctl(&["put", key, value]));
    }

    /// Writes `count` values of a megabyte each.
    pub fn put_megabytes(&self, count: usize) {
        let value = "x".repeat(1_000_000);
        for n in 0..count {
            let mut put = self.ctl(&["put", &format!("large{n}")]);
            let mut put = put.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            put.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
            assert!(put.wait().unwrap().success(), "put of large{n}");
        }
    }

    /// Waits until the cluster has a leader.
    pub fn wait_for_quorum(&self) {
        let started = Instant::now();
        while !self.ctl(&["get", "any", "--command-timeout=5s"]).output().unwrap().status.success() {
            assert!(started.elapsed() < Duration::from_secs(60), "no quorum at {}", self.url);
        }
    }

    /// Stops or continues the process.
    pub fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.directory.path().join("pid")).unwrap();
        kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// etcdutl's own reading of a snapshot: revision and keys.
pub fn etcdutl_status(file: &Path) -> (u64, u64) {
    let status = Command::new(binary("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(file).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    (value["revision"].as_u64().unwrap(), value["totalKey"].as_u64().unwrap())
}

/// A certificate authority, a server for 127.0.0.1 and a client, made by openssl.
pub struct Authority {
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        authority.certificate("ca", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", &[]);
        let leaf = "basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=";
        for (name, usage) in [("server", "serverAuth,clientAuth"), ("client", "clientAuth")] {
            authority.certificate(name, &format!("{leaf}{usage}"), &["-CA", "ca.crt", "-CAkey", "ca.key"]);
        }
        authority
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    fn certificate(&self, name: &str, extensions: &str, signer: &[&str]) {
        let request = "[req]\ndistinguished_name=subject\nx509_extensions=extensions\nprompt=no\n";
        let text = format!("{request}[subject]\nCN=etcdbackup-test-{name}\n[extensions]\n{extensions}\n");
        std::fs::write(self.file("request"), text).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-config", "request", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-noenc", "-days", "2", "-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
        succeed(openssl.args(signer).current_dir(self.directory.path()));
    }
}
