//! A bare Kubernetes: the real API server on an etcd of its own, without nodes and without controllers.
//!
//! It starts in about 4 s and takes 250 MB. Objects are checked, stored and watched as anywhere; a Job stays an object.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::Engine;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::eventually;
use crate::sandbox::{Output, Sandbox, binary};
use crate::servers::{Server, free_ports, wait_for_port};

/// The token of a user who may do everything; no secret.
const ADMIN: &str = "admin-of-this-test";

pub const CRD: &str = "etcdbackups.etcd.database.coreos.com";

/// The API server, which ends with it.
pub struct ApiServer {
    pub sandbox: Sandbox,
    // before what it stores in
    _server: Server,
    _etcd: Server,
    _directories: [TempDir; 2],
}

impl ApiServer {
    pub fn start() -> Self {
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [etcd, server] = directories.each_ref().map(TempDir::path);
        let [client, peer, port] = free_ports();
        let started = start_etcd(etcd, client, peer);
        wait_for_port(client);
        let authority = server.join("certificates/apiserver.crt");
        let server = start_server(server, client, port);
        wait_for_port(port);
        let authority = base64::engine::general_purpose::STANDARD.encode(std::fs::read(authority).unwrap());
        let mut sandbox = Sandbox::new();
        sandbox.write(
            "kubeconfig",
            &format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: bare\n\
                 contexts: [{{name: bare, context: {{cluster: bare, user: admin}}}}]\n\
                 clusters: [{{name: bare, cluster: {{server: \"https://127.0.0.1:{port}\", \
                 certificate-authority-data: {authority}}}}}]\nusers: [{{name: admin, user: {{token: {ADMIN}}}}}]\n"
            ),
        );
        sandbox.set("KUBECONFIG", &sandbox.path().join("kubeconfig").display().to_string());
        let api = Self { sandbox, _server: server, _etcd: started, _directories: directories };
        eventually("the API server is ready", || api.try_kubectl(&["get", "--raw", "/readyz"]).is_ok());
        api
    }

    /// Runs the real kubectl; its stdout, or the stderr of a refusal.
    pub fn try_kubectl(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binary("kubectl"));
        command.args(words).env("KUBECACHEDIR", self.sandbox.path().join(".cache"));
        let output = command.env("KUBECONFIG", self.kubeconfig()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// The same where a refusal fails the test; `line` is split at spaces.
    pub fn kubectl(&self, line: &str) -> String {
        self.try_kubectl(&line.split_whitespace().collect::<Vec<_>>()).unwrap_or_else(|why| panic!("{line}: {why}"))
    }

    /// Applies a manifest; stderr of a refusal.
    pub fn apply(&self, manifest: &str) -> Result<String, String> {
        self.sandbox.write("manifest.yaml", manifest);
        self.try_kubectl(&[
            "apply",
            "--server-side",
            "-f",
            &self.sandbox.path().join("manifest.yaml").display().to_string(),
        ])
    }

    /// What is at a path, such as `/apis/batch/v1/jobs`; null where nothing is.
    pub fn read(&self, path: &str) -> Value {
        self.try_kubectl(&["get", "--raw", path]).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    }

    /// One EtcdBackup; null where it is not.
    pub fn backup(&self, namespace: &str, name: &str) -> Value {
        self.read(&format!("/apis/etcd.database.coreos.com/v1beta2/namespaces/{namespace}/etcdbackups/{name}"))
    }

    /// The CRD; null where there is none.
    pub fn crd(&self) -> Value {
        self.read(&format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD}"))
    }

    /// Runs the plugin; `line` is split at spaces.
    pub fn run(&self, line: &str) -> Output {
        self.sandbox.run(line)
    }

    /// Starts the operator on this machine.
    pub fn operator(&self, line: &str) -> Operator {
        let (directory, [port]) = (tempfile::tempdir().unwrap(), free_ports());
        let line = format!("operator --image none --health-port {port} {line}");
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let kubeconfig = self.kubeconfig().display().to_string();
        let program = Path::new(env!("CARGO_BIN_EXE_kubectl-etcdbackup"));
        let server = Server::start(program, &words, &[("KUBECONFIG", &kubeconfig)], directory.path());
        wait_for_port(port);
        Operator { port, directory, _server: server }
    }

    /// Takes the API server away; what its users had stays.
    pub fn stop(self) -> Sandbox {
        self.sandbox
    }

    fn kubeconfig(&self) -> PathBuf {
        self.sandbox.path().join("kubeconfig")
    }
}

fn start_etcd(directory: &Path, client: u16, peer: u16) -> Server {
    let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
    let words = format!(
        "--data-dir=data --listen-client-urls={client} --advertise-client-urls={client} --listen-peer-urls={peer} \
         --initial-advertise-peer-urls={peer} --initial-cluster=default={peer} --heartbeat-interval=20 \
         --election-timeout=200 --unsafe-no-fsync"
    );
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    Server::start(&binary("etcd"), &words, &[], directory)
}

/// It makes a certificate of its own. No ServiceAccounts in pods: the controller that makes them does not run.
fn start_server(directory: &Path, etcd: u16, port: u16) -> Server {
    let key = ["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "accounts.key"];
    assert!(Command::new("openssl").args(key).current_dir(directory).status().unwrap().success());
    std::fs::write(directory.join("tokens"), format!("{ADMIN},admin,admin,system:masters\n")).unwrap();
    let words = format!(
        "--bind-address=127.0.0.1 --secure-port={port} --cert-dir=certificates --token-auth-file=tokens \
         --etcd-servers=http://127.0.0.1:{etcd} --service-cluster-ip-range=10.97.0.0/16 --authorization-mode=RBAC \
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=accounts.key \
         --service-account-signing-key-file=accounts.key --disable-admission-plugins=ServiceAccount \
         --endpoint-reconciler-type=none --profiling=false"
    );
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    Server::start(&binary("kube-apiserver"), &words, &[], directory)
}

/// The operator as a process of this machine; it is killed at the end.
pub struct Operator {
    port: u16,
    directory: TempDir,
    _server: Server,
}

impl Operator {
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Waits until it has logged this.
    pub fn says(&self, what: &str) {
        eventually(&format!("the operator says {what:?}"), || self.log().contains(what));
    }

    /// Whether it tells a kubelet that it is ready.
    pub fn ready(&self) -> bool {
        let url = format!("http://localhost:{}/readyz", self.port);
        Command::new("curl").args(["-fs", &url]).status().unwrap().success()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::io::Write::write_all(&mut std::io::stderr(), self.log().as_bytes()).unwrap();
        }
    }
}

/// The API server of the tests that run or wait for their turn, and the turn: there is one CRD of a name.
pub struct Turn {
    api: Arc<ApiServer>,
    _turn: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Turn {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        &self.api
    }
}

impl Turn {
    /// The shared API server with this CRD of the name, or with none, and nothing of that kind.
    pub fn with(crd: Option<&Value>) -> Self {
        static SHARED: Mutex<Weak<ApiServer>> = Mutex::new(Weak::new());
        static TURN: Mutex<()> = Mutex::new(());
        // before the turn has come, so that it lives on from one test to the next
        let api = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let api = Arc::new(ApiServer::start());
                *shared = Arc::downgrade(&api);
                api
            })
        };
        let turn = Self { api, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) };
        turn.kubectl(&format!("delete crd {CRD} --ignore-not-found"));
        if let Some(crd) = crd {
            turn.apply(&crd.to_string()).unwrap();
            turn.kubectl(&format!("wait crd/{CRD} --for=condition=Established"));
        }
        turn
    }

    /// A namespace of this name.
    pub fn namespace(&self, name: &str) {
        self.kubectl(&format!("create namespace {name}"));
    }
}
