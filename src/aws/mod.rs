//! AWS: profile files and Secret layouts to SDK configuration, and the S3 calls that snapshots need.

#[cfg(feature = "volumes")]
pub mod compute;
mod encryption;
mod error;
pub mod files;
mod http;
pub mod identity;
mod ini;
mod payload;
pub mod probe;
pub mod profile;
mod provider;
pub mod read;
mod renewal;
pub mod s3;

pub use encryption::Encryption;
pub use error::{explain, invalid, reason};
pub use files::ProfileFiles;
pub use payload::PayloadHash;
pub use s3::{Access, CredentialSource, S3};
