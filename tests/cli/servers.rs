//! The real servers that the tests without a cluster share.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kubectl_etcdbackup::aws::{Access, CredentialSource, ProfileFiles, S3};
use tempfile::TempDir;

use crate::sandbox::binary;

/// Keys of the test's own S3 server; no secrets.
pub const ROOT: (&str, &str) = ("root", "root-of-this-test");
pub const READER: (&str, &str) = ("reader", "reader-of-this-test");

/// A real server that ends with the test process, also when that is killed.
pub struct Server {
    shell: Child,
}

impl Drop for Server {
    /// Ends the server, and waits until its ports are free.
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}

impl Server {
    /// Starts `program` below a shell that kills it when this process's end of the pipe closes. Its log and its
    /// process id are files in `directory`.
    pub fn start(program: &Path, arguments: &[String], environment: &[(&str, &str)], directory: &Path) -> Self {
        assert!(
            program.is_file(),
            "{} is missing: run tests/cluster/build etcd etcd-3.4 etcd-3.5 versitygw",
            program.display()
        );
        let script = r#""$@" >log 2>&1 </dev/null & pid=$!; echo $pid >pid; read -r _; kill -9 $pid; wait $pid"#;
        let mut shell = Command::new("bash");
        shell.args(["-c", script, "server"]).arg(program).args(arguments).current_dir(directory);
        shell.envs(environment.iter().copied()).stdin(Stdio::piped()).stderr(Stdio::null());
        Self { shell: shell.spawn().unwrap() }
    }
}

/// Free ports that nobody is given unasked: they lie below those that Linux gives away (`ip_local_port_range`) and
/// Kubernetes' node ports, and no two callers in this process get the same.
pub fn free_ports<const N: usize>() -> [u16; N] {
    const FIRST: u16 = 24_000;
    const COUNT: u32 = 6_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // another test process begins elsewhere
    let begin = std::process::id().wrapping_mul(61);
    [(); N].map(|()| {
        loop {
            let nth = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let port = FIRST + u16::try_from(nth).unwrap();
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        }
    })
}

pub fn wait_for_port(port: u16) {
    wait_for_address("127.0.0.1", port);
}

/// The same on another address of this machine.
pub fn wait_for_address(address: &str, port: u16) {
    let started = Instant::now();
    while TcpStream::connect((address, port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(120), "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The S3 server of this test process: versitygw with a root user and a user that may only read.
pub struct S3Server {
    pub url: String,
    runtime: tokio::runtime::Runtime,
    _server: Server,
    _directory: TempDir,
}

/// Shared, because a bucket of its own is all that a test needs.
pub static STORE: LazyLock<S3Server> = LazyLock::new(S3Server::start);

impl S3Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [port, admin] = free_ports();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["iam", "data"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let flags = ["--port", &format!("127.0.0.1:{port}"), "--admin-port", &format!("127.0.0.1:{admin}")];
        let rest = ["--iam-dir", &at("iam"), "--quiet", "posix", &at("data")];
        let arguments: Vec<String> = flags.iter().chain(&rest).map(|word| (*word).to_owned()).collect();
        let keys = [("ROOT_ACCESS_KEY", ROOT.0), ("ROOT_SECRET_KEY", ROOT.1)];
        let server = Server::start(&binary("versitygw"), &arguments, &keys, directory.path());
        wait_for_port(port);
        wait_for_port(admin);
        let admin = format!("http://127.0.0.1:{admin}");
        let user = ["create-user", "-a", READER.0, "-s", READER.1, "-r", "user"];
        let made = Command::new(binary("versitygw"))
            .args(["admin", "-a", ROOT.0, "-s", ROOT.1, "--er", &admin])
            .args(user)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "no user {}", READER.0);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { url: format!("http://127.0.0.1:{port}"), runtime, _server: server, _directory: directory }
    }

    /// A new bucket that `READER` may list and read.
    pub fn bucket(&self, name: &str) -> Bucket<'_> {
        let credentials = format!("[default]\naws_access_key_id={}\naws_secret_access_key={}\n", ROOT.0, ROOT.1);
        let files =
            ProfileFiles { origin: "test".to_owned(), credentials: Some(credentials), config: None, warnings: vec![] };
        let access = Access { endpoint_url: Some(self.url.clone()), force_path_style: true, ..Access::default() };
        let source = CredentialSource::Files(files);
        let s3 = self.runtime.block_on(S3::new(name, &source, &access)).unwrap();
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": [READER.0]}, "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")]
        }]});
        self.runtime.block_on(async {
            s3.client.create_bucket().bucket(name).send().await.unwrap();
            s3.client.put_bucket_policy().bucket(name).policy(policy.to_string()).send().await.unwrap();
        });
        Bucket { server: self, s3 }
    }
}

/// A bucket of one test.
pub struct Bucket<'a> {
    server: &'a S3Server,
    pub s3: S3,
}

impl Bucket<'_> {
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let body = aws_sdk_s3::primitives::ByteStream::from(bytes.to_vec());
        let put = self.s3.client.put_object().bucket(&self.s3.bucket).key(key).body(body).send();
        self.server.runtime.block_on(put).unwrap();
    }

    /// Puts many small objects, several at the same time.
    pub fn put_all<'a>(&self, objects: impl Iterator<Item = (&'a String, &'a Vec<u8>)>) {
        let put = |(key, bytes): (&'a String, &'a Vec<u8>)| {
            let body = aws_sdk_s3::primitives::ByteStream::from(bytes.clone());
            let put = self.s3.client.put_object().bucket(&self.s3.bucket).key(key).body(body).send();
            async move { drop(put.await.unwrap()) }
        };
        self.server.runtime.block_on(futures::stream::iter(objects).for_each_concurrent(16, put));
    }

    /// Copies an object with its metadata.
    pub fn copy(&self, from: &str, to: &str) {
        let source = format!("{}/{from}", self.s3.bucket);
        let copy = self.s3.client.copy_object().bucket(&self.s3.bucket).key(to).copy_source(source).send();
        self.server.runtime.block_on(copy).unwrap();
    }

    /// Lets `READER` read objects and no longer list them.
    pub fn forbid_listing(&self) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": [READER.0]}, "Action": ["s3:GetObject"],
            "Resource": [format!("arn:aws:s3:::{}/*", self.s3.bucket)]
        }]});
        let put = self.s3.client.put_bucket_policy().bucket(&self.s3.bucket).policy(policy.to_string()).send();
        self.server.runtime.block_on(put).unwrap();
    }

    pub fn keys(&self) -> Vec<String> {
        let objects = self.server.runtime.block_on(self.s3.list("")).unwrap();
        objects.into_iter().map(|object| object.key).collect()
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        let get = self.s3.client.get_object().bucket(&self.s3.bucket).key(key).send();
        self.server.runtime.block_on(async { get.await.unwrap().body.collect().await }).unwrap().to_vec()
    }

    /// A value of the object's own metadata.
    pub fn metadata(&self, key: &str, name: &str) -> Option<String> {
        let head = self.server.runtime.block_on(self.s3.head(key)).unwrap().unwrap();
        head.metadata().and_then(|pairs| pairs.get(name)).cloned()
    }

    /// The keys of uploads that were begun and neither completed nor aborted, in order.
    pub fn uploading(&self) -> Vec<String> {
        let list = self.s3.client.list_multipart_uploads().bucket(&self.s3.bucket).send();
        let listed = self.server.runtime.block_on(list).unwrap();
        let mut keys: Vec<_> = listed.uploads().iter().map(|upload| upload.key().unwrap().to_owned()).collect();
        keys.sort();
        keys
    }

    /// Begins an upload that nobody completes.
    pub fn begin_upload(&self, key: &str) {
        let begin = self.s3.client.create_multipart_upload().bucket(&self.s3.bucket).key(key).send();
        self.server.runtime.block_on(begin).unwrap();
    }

    /// Lets `READER` do more: the `actions` on the bucket and all that is in it.
    pub fn allow_reader(&self, actions: &[&str]) {
        let name = &self.s3.bucket;
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": [READER.0]}, "Action": actions,
            "Resource": [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")]
        }]});
        let put = self.s3.client.put_bucket_policy().bucket(name).policy(policy.to_string()).send();
        self.server.runtime.block_on(put).unwrap();
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        self.uploading().len()
    }

    /// The flags that lead to this bucket.
    pub fn flags(&self) -> String {
        self.flags_through(&self.server.url)
    }

    /// The same through another address.
    pub fn flags_through(&self, url: &str) -> String {
        format!("--bucket {} --endpoint-url {url} --force-path-style", self.s3.bucket)
    }

    /// The flags that lead to one key.
    pub fn path_flags(&self, key: &str) -> String {
        format!("--path {}/{key} --endpoint-url {} --force-path-style", self.s3.bucket, self.server.url)
    }
}

/// A small database as etcd could have written it, with the sha256 of it: pages of 512 bytes, of which the first three
/// are in use and the others, free ones, hold `fill`. It is of a revision that no name in these tests exceeds.
pub fn snapshot(pages: usize, fill: u8) -> Vec<u8> {
    crate::pages::snapshot(pages, fill)
}
