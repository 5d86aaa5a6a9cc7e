//! The plugin, the operator and the agent on a real Kubernetes: tests/cluster/up, with the image of this build.
//!
//! Called by `make test`. Without the cluster these tests fail; they are never skipped.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_stopped;
#[path = "../harness/apiserver.rs"]
mod apiserver;
#[cfg(feature = "volumes")]
#[path = "../cli/aws.rs"]
#[allow(dead_code, unused_imports, reason = "what tests of the command line ask of AWS")]
mod aws;
mod bare_operator;
mod cassandra;
mod cassandra_crds;
mod cassandra_proof;
#[path = "../harness/cassandra.rs"]
#[allow(dead_code, reason = "layouts of tools that other tests look at")]
mod cassandra_stored;
mod check;
mod cluster;
mod completion;
mod convert;
mod crd;
mod create;
mod credentials;
mod etcd_access;
mod faults;
mod foreign_crds;
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
#[path = "../harness/pages.rs"]
#[allow(dead_code, reason = "parts from which tests of the reader make damaged ones")]
mod pages;
mod permissions;
mod pv_read;
mod pv_write;
mod retention;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod scenario;
mod schedules;
#[path = "../cli/servers.rs"]
#[allow(dead_code, reason = "what a test of the command line asks of a store")]
mod servers;
mod sidecar;
#[path = "../cli/create_terminal.rs"]
#[allow(dead_code, reason = "signals are sent by tests of the wizard")]
mod terminal;
#[cfg(feature = "volumes")]
mod volume_schedule;
mod wire;
