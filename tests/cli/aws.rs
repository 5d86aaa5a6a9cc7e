//! EC2, Auto Scaling and STS without AWS: an account of moto's server, or of a fake, and a cluster of kops in it.
//!
//! `tests/aws/install` installs moto; without it the tests that need it fail. Where it differs from AWS: it lists the
//! snapshots of others although `Owner=self` is asked for, oldest first and in one page; a snapshot is complete at
//! once, a volume available at once and an instance gone at once; `ClientToken` and `ExcludeDataVolumeId` mean nothing.
//! What it cannot do, [`fake_aws`](crate::fake_aws) does.

// by path, because the tests on a cluster have this module from another directory
#[path = "aws/kops.rs"]
mod kops;
#[path = "aws/moto.rs"]
mod moto;

use std::future::Future;
use std::sync::LazyLock;

use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::types::{Instance, Snapshot, Volume};
use tokio::runtime::Runtime;

pub use self::kops::{Kops, tag};
pub use self::moto::Moto;
use crate::sandbox::Sandbox;

/// The region of all tests.
pub const REGION: &str = "eu-west-1";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// One account of a service that stands for AWS, with the SDK's own clients.
pub struct Aws {
    pub url: String,
    /// 12 digits.
    pub account: String,
    keys: Credentials,
    pub ec2: aws_sdk_ec2::Client,
    pub scaling: aws_sdk_autoscaling::Client,
}

impl Aws {
    /// A new account of moto's server, which all tests share. Nothing of another test is in it.
    pub fn moto() -> Self {
        Self::of(&moto::SERVER)
    }

    /// A new account of a server of moto.
    pub fn of(server: &Moto) -> Self {
        let (account, keys) = server.account();
        Self::at(&server.url, &account, keys)
    }

    /// An account of the service at `url`.
    pub fn at(url: &str, account: &str, keys: Credentials) -> Self {
        let ec2 = aws_sdk_ec2::config::Builder::new().behavior_version(BehaviorVersion::latest());
        let ec2 = ec2.region(Region::new(REGION)).credentials_provider(keys.clone()).endpoint_url(url).build();
        let scaling = aws_sdk_autoscaling::config::Builder::new().behavior_version(BehaviorVersion::latest());
        let scaling = scaling.region(Region::new(REGION)).credentials_provider(keys.clone()).endpoint_url(url).build();
        Self {
            url: url.to_owned(),
            account: account.to_owned(),
            keys,
            ec2: aws_sdk_ec2::Client::from_conf(ec2),
            scaling: aws_sdk_autoscaling::Client::from_conf(scaling),
        }
    }

    /// A sandbox whose environment leads the plugin to this account.
    pub fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::new();
        for (name, value) in self.environment() {
            sandbox.set(name, &value);
        }
        sandbox
    }

    /// The variables that lead to this account.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.keys.access_key_id().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", self.keys.secret_access_key().to_owned()),
        ];
        variables.extend(self.keys.session_token().map(|token| ("AWS_SESSION_TOKEN", token.to_owned())));
        variables
    }

    /// Runs a call of the SDK to its end.
    pub fn block_on<T>(&self, call: impl Future<Output = T>) -> T {
        RUNTIME.block_on(call)
    }

    /// All volumes, by id; instances of moto have one to boot from, which those of the fake have not.
    pub fn volumes(&self) -> Vec<Volume> {
        let found = self.ec2.describe_volumes().into_paginator().items().send().try_collect();
        let mut found = self.block_on(found).unwrap();
        found.sort_by(|a, b| a.volume_id().cmp(&b.volume_id()));
        found
    }

    /// The volumes with a tag of etcd, by id.
    pub fn etcd_volumes(&self) -> Vec<Volume> {
        let of_etcd = |volume: &Volume| {
            volume.tags().iter().any(|tag| tag.key().is_some_and(|key| key.starts_with("k8s.io/etcd/")))
        };
        self.volumes().into_iter().filter(of_etcd).collect()
    }

    /// The account's own snapshots, oldest first.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let found = self.ec2.describe_snapshots().owner_ids("self").into_paginator().items().send().try_collect();
        let mut found = self.block_on(found).unwrap();
        found.retain(|snapshot| snapshot.owner_id() == Some(&self.account));
        found.sort_by(|a, b| a.start_time().cmp(&b.start_time()).then_with(|| a.snapshot_id().cmp(&b.snapshot_id())));
        found
    }

    /// All instances, terminated ones too.
    pub fn instances(&self) -> Vec<Instance> {
        let found = self.ec2.describe_instances().into_paginator().items().send().try_collect();
        let found = self.block_on(found).unwrap();
        found.iter().flat_map(|reservation| reservation.instances().to_vec()).collect()
    }

    /// All Auto Scaling groups, by name.
    pub fn groups(&self) -> Vec<AutoScalingGroup> {
        let found = self.scaling.describe_auto_scaling_groups().into_paginator().items().send().try_collect();
        let mut found = self.block_on(found).unwrap();
        found.sort_by(|a, b| a.auto_scaling_group_name().cmp(&b.auto_scaling_group_name()));
        found
    }
}
