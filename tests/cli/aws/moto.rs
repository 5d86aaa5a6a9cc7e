//! The one moto server of this test process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use tempfile::TempDir;

use super::{REGION, RUNTIME};
use crate::sandbox::cache;
use crate::servers::{Server, free_ports, wait_for_address};

/// Shared, because an account of its own is all that a test needs.
pub static SERVER: LazyLock<Moto> = LazyLock::new(|| Moto::start("127.0.0.1"));

/// moto's server; it ends with it.
pub struct Moto {
    pub url: String,
    accounts: AtomicU64,
    _server: Server,
    _directory: TempDir,
}

impl Moto {
    /// Starts it on an address of this machine.
    pub fn start(address: &str) -> Self {
        let program = cache().join("moto/bin/moto_server");
        assert!(program.is_file(), "{} is missing: run tests/aws/install", program.display());
        let (directory, [port]) = (tempfile::tempdir().unwrap(), free_ports());
        let words = ["-H", address, "-p", &port.to_string()].map(str::to_owned);
        let server = Server::start(&program, &words, &[], directory.path());
        wait_for_address(address, port);
        Self {
            url: format!("http://{address}:{port}"),
            accounts: AtomicU64::new(100_000_000_001),
            _server: server,
            _directory: directory,
        }
    }

    /// The keys of a role in an account that nobody has used: moto keeps accounts apart by the keys.
    pub fn account(&self) -> (String, Credentials) {
        let account = self.accounts.fetch_add(1, Ordering::Relaxed).to_string();
        let anyone = Credentials::new("test", "test", None, None, "test");
        let config = aws_sdk_sts::config::Builder::new().behavior_version(BehaviorVersion::latest());
        let config = config.region(Region::new(REGION)).credentials_provider(anyone).endpoint_url(&self.url).build();
        let role = aws_sdk_sts::Client::from_conf(config).assume_role();
        let role = role.role_arn(format!("arn:aws:iam::{account}:role/tests")).role_session_name("tests");
        let given = RUNTIME.block_on(role.send()).unwrap();
        let given = given.credentials().unwrap();
        let token = Some(given.session_token().to_owned());
        (account, Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "test"))
    }
}
