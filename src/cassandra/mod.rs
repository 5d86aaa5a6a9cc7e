//! Backups of Cassandra: which operator is served and what it takes, what it leaves in a bucket, and whether that is
//! whole.

mod choice;
mod entries;
pub mod env;
pub mod generations;
pub mod inventory;
pub mod layout;
pub mod location;
pub mod manifest;
mod medusa;
pub mod missed;
pub mod objects;
pub mod pods;
mod proof;
pub mod restore;
mod rings;
pub mod secret;
pub mod served;
pub mod standing;
pub mod store;
mod topology;
pub mod verify;

#[cfg(test)]
mod double;
