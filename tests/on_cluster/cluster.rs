//! A namespace of the test cluster with an operator in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sandbox::{Output, Sandbox, binary, cache};

/// The image that tests/cluster/image gave to the cluster; `$IMAGE` where several checkouts share one.
pub fn image() -> String {
    std::env::var("IMAGE").unwrap_or_else(|_| "registry.local/kubectl-etcdbackup:dev".to_owned())
}

/// Shared by the tests of this process, and alone with the one that takes the API server away.
static API_SERVER: RwLock<()> = RwLock::new(());

thread_local! {
    /// The share of a test, which has a thread of its own and may have several namespaces.
    static SHARE: RefCell<Option<RwLockReadGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Waits until no other test of this process uses the API server; none begins while the guard lives.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    SHARE.set(None);
    API_SERVER.write().unwrap_or_else(PoisonError::into_inner)
}

/// A namespace of one test; deleted at its end unless the test failed.
pub struct Namespace {
    pub name: String,
    pub sandbox: Sandbox,
    pub s3: S3Facts,
}

/// What tests/cluster/s3.env says.
pub struct S3Facts(BTreeMap<String, String>);

impl S3Facts {
    fn read() -> Self {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/s3.env")).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once('='));
        Self(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub fn get(&self, name: &str) -> &str {
        &self.0[name]
    }

    /// The flags that lead to the bucket; each test has a prefix of its own.
    pub fn flags(&self, prefix: &str) -> String {
        let (bucket, endpoint) = (self.get("S3_BUCKET"), self.get("S3_ENDPOINT"));
        format!("--bucket {bucket} --prefix {prefix} --endpoint-url {endpoint} --force-path-style")
    }
}

impl Namespace {
    /// A new namespace with a sandbox whose ~/.aws holds the keys of the user `backup`.
    pub fn new(test: &str) -> Self {
        let kubeconfig = cache().join("cluster/admin.kubeconfig");
        assert!(kubeconfig.is_file(), "no test cluster: run `make test`, or tests/cluster/up and make image");
        let share = || API_SERVER.read().unwrap_or_else(PoisonError::into_inner);
        SHARE.with_borrow_mut(|held| {
            held.get_or_insert_with(share);
        });
        let s3 = S3Facts::read();
        let mut sandbox = Sandbox::with_keys((s3.get("S3_BACKUP_ACCESS_KEY"), s3.get("S3_BACKUP_SECRET_KEY")));
        sandbox.set("KUBECONFIG", &kubeconfig.display().to_string());
        // the store outlives clusters, and a process id comes again
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() & 0xfffff;
        let name = format!("{test}-{}-{seconds:x}", std::process::id());
        let namespace = Self { name, sandbox, s3 };
        namespace.kubectl(&["create", "namespace", &namespace.name]);
        namespace
    }

    /// As [`Namespace::new`], with an operator and the Secret `aws-credential`.
    pub fn with_operator(test: &str) -> Self {
        let namespace = Self::new(test);
        let installed = namespace.run(&format!("install --image {}", image()));
        assert_eq!(installed.code, Some(0), "{installed}");
        let credentials = namespace.run("credentials");
        assert_eq!(credentials.code, Some(0), "{credentials}");
        namespace
    }

    /// A real etcd with keys, deletes and a compaction.
    pub fn etcd(&self, name: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/etcd");
        let done = Command::new(script).args([name, &self.name]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs the plugin in this namespace.
    pub fn run(&self, line: &str) -> Output {
        self.sandbox.run(&format!("{line} -n {}", self.name))
    }

    /// Runs the real kubectl in this namespace; its stdout.
    pub fn kubectl(&self, words: &[&str]) -> String {
        let (stdout, stderr, success) = self.try_kubectl(words);
        assert!(success, "kubectl {words:?}: {stderr}");
        stdout
    }

    pub fn try_kubectl(&self, words: &[&str]) -> (String, String, bool) {
        let mut command = Command::new(binary("kubectl"));
        command.args(["-n", &self.name]).args(words).env("KUBECACHEDIR", self.sandbox.path().join(".cache"));
        let output = command.env("KUBECONFIG", cache().join("cluster/admin.kubeconfig")).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.success())
    }

    /// Applies a manifest; stderr of a refusal.
    pub fn apply(&self, manifest: &str) -> Result<(), String> {
        self.sandbox.write(".manifest.yaml", manifest);
        let path = self.sandbox.path().join(".manifest.yaml").display().to_string();
        let (_, stderr, success) = self.try_kubectl(&["apply", "--server-side", "-f", &path]);
        if success { Ok(()) } else { Err(stderr) }
    }

    /// Waits until it is there and all of its pods are ready.
    pub fn rolled_out(&self, what: &str) {
        let ready = || self.try_kubectl(&["rollout", "status", what, "--timeout=30s"]).2;
        eventually(&format!("{what} is rolled out"), ready);
    }

    /// etcdctl in the pod of an etcd.
    pub fn etcdctl(&self, etcd: &str, words: &[&str]) -> String {
        let pod = format!("{etcd}-0");
        self.kubectl(&[&["exec", &pod, "--", "etcdctl"], words].concat())
    }

    /// One field of an EtcdBackup as JSONPath finds it.
    pub fn field(&self, backup: &str, path: &str) -> String {
        self.kubectl(&["get", "etcdbackups.etcd.database.coreos.com", backup, "-o", &format!("jsonpath={path}")])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (events, ..) = self.try_kubectl(&["get", "events", "--sort-by=.lastTimestamp"]);
            let (objects, ..) = self.try_kubectl(&["get", "etcdbackups,jobs,pods", "-o", "wide"]);
            let (log, ..) = self.try_kubectl(&["logs", "deployment/etcdbackup-operator", "--tail=40"]);
            std::io::Write::write_all(&mut std::io::stderr(), format!("{objects}{events}{log}").as_bytes()).unwrap();
        }
        self.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// Asks until the answer is yes.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(240), "not within 240 s: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}
