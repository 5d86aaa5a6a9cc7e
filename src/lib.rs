//! kubectl-etcdbackup: getting etcd backed up and, above all, back.
//!
//! One program in three roles: a kubectl plugin, a backup operator, and the agent that its Jobs run.
//!
//! | room | what is in it |
//! |---|---|
//! | [`cli`] | clap definitions, global flags, the one place that prints |
//! | [`commands`] | one file a verb: arguments, a pure plan, its execution |
//! | [`operator`] | EtcdBackup objects to Jobs, their status, the sidecar |
//! | [`agent`] | takes a snapshot into the store; serves the store over HTTP, as it is or as zstd |
//! | `volume` | EBS snapshots of etcd's disks, and the way back (feature `volumes`) |
//! | [`cassandra`] | backups of Cassandra in a bucket: layouts, manifests, whether they are whole |
//! | [`source`] | places to read from: service, S3, volume, directory, file; finds the newest; writes nothing |
//! | [`transfer`] | downloads and uploads; knows nothing of clusters |
//! | [`snapshot`] | names, layouts, histories, the trailer hash, the database in it; no I/O |
//! | [`api`] | the Kubernetes types and their names; no I/O |
//! | [`kubernetes`], [`aws`], [`etcd`] | the three services that are talked to |
//! | [`error`], [`signals`], [`logging`], [`sha256`] | one error type: a kind is an exit code; how the process ends; what it logs; the hash |
//!
//! Dependencies point down this table.

pub mod agent;
pub mod api;
pub mod aws;
pub mod cassandra;
pub mod cli;
pub mod commands;
pub mod error;
pub mod etcd;
pub mod kubernetes;
pub mod logging;
pub mod operator;
pub mod sha256;
pub mod signals;
pub mod snapshot;
pub mod source;
pub mod transfer;
#[cfg(feature = "volumes")]
pub mod volume;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
