//! Backups of Cassandra: what operators and their tools leave in a bucket, and whether it is whole.

mod choice;
mod entries;
pub mod inventory;
pub mod layout;
pub mod manifest;
mod medusa;
pub mod pods;
mod proof;
mod rings;
pub mod store;
mod topology;
pub mod verify;

#[cfg(test)]
mod double;
