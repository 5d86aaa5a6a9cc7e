//! The plugin, the operator and the agent on a real Kubernetes: tests/cluster/up, with the image of this build.
//!
//! Called by `make test`. Without the cluster these tests fail; they are never skipped.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod cluster;
mod completion;
mod crd;
mod create;
mod credentials;
mod etcd_access;
mod faults;
mod forward;
mod guarded_sidecar;
mod install;
mod killed_operator;
mod kubeadm;
mod list;
#[path = "../cli/faults.rs"]
#[allow(dead_code, reason = "servers that only this machine reaches are of no use to pods")]
mod network;
mod old_sidecar;
mod outages;
mod permissions;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod scenario;
mod schedules;
mod sidecar;
