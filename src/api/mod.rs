//! The Kubernetes types of this project, and the small contracts between its roles. No I/O.

pub mod conditions;
pub mod cron;
pub mod dialect;
pub mod etcdbackup;
pub mod names;
pub mod run;

pub use etcdbackup::{EtcdBackup, EtcdBackupSpec, EtcdBackupStatus, S3Source};
pub use run::RunReport;

#[cfg(test)]
mod schema;
