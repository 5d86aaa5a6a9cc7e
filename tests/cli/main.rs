//! Whole commands without a cluster: the plugin as a process, against a real S3 server and a real etcd.
//!
//! `tests/cluster/build etcd etcd-3.4 etcd-3.5 versitygw` and `tests/aws/install` make the servers; a missing one fails
//! the tests that need it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent_access;
mod agent_backup;
mod agent_faults;
mod agent_histories;
mod agent_path;
mod agent_retention;
mod agent_versions;
mod agent_volume;
mod agent_volume_damage;
#[cfg(feature = "volumes")]
mod aws;
#[cfg(feature = "volumes")]
mod aws_doubles;
mod cassandra;
mod cassandra_setup;
#[path = "../harness/cassandra.rs"]
mod cassandra_stored;
mod catalogue;
mod catalogue_typing;
mod completion;
mod convert;
mod create_crds;
mod create_terminal;
mod create_wizard;
mod credentials;
mod credentials_check;
mod credentials_faults;
mod disaster;
mod etcd;
mod fake_api;
#[cfg(feature = "volumes")]
mod fake_aws;
mod fault_access;
mod fault_get;
mod fault_kills;
mod fault_stdout;
mod fault_store;
mod faults;
mod get_from_dir;
mod get_from_pv;
mod get_from_s3;
mod get_from_url;
mod help;
mod install;
mod list;
mod manners;
mod newest;
#[allow(dead_code, reason = "the unit tests of the reader use the rest")]
#[path = "../harness/pages.rs"]
mod pages;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod servers;
mod shelf;
mod store_pages;
mod usage;
mod verify;
mod verify_damage;
#[cfg(feature = "volumes")]
mod volume_access;
#[cfg(feature = "volumes")]
mod volume_changed;
#[cfg(feature = "volumes")]
mod volume_cleanup;
#[cfg(feature = "volumes")]
mod volume_crashes;
#[cfg(feature = "volumes")]
mod volume_groups;
#[cfg(feature = "volumes")]
mod volume_list;
#[cfg(feature = "volumes")]
mod volume_restore;
#[cfg(feature = "volumes")]
mod volume_retention;
#[cfg(feature = "volumes")]
mod volume_scenario;
#[cfg(feature = "volumes")]
mod volume_schedule;
#[cfg(feature = "volumes")]
mod volume_snapshot;
#[cfg(feature = "volumes")]
mod volume_world;
