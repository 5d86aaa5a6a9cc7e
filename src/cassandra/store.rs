//! What is asked of a bucket that holds backups of Cassandra: listings and small objects, never a data file.

use std::future::Future;

use crate::aws::S3;
use crate::aws::s3::{Content, Object};
use crate::error::Result;

/// A bucket.
pub trait Store: Sync {
    /// As [`S3::each`].
    fn each(&self, prefix: &str, take: impl FnMut(Object) + Send) -> impl Future<Output = Result<()>> + Send;

    /// As [`S3::directories`].
    fn directories(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// As [`S3::read`].
    fn read(&self, key: &str, most: usize) -> impl Future<Output = Result<Option<Content>>> + Send;

    /// As [`S3::url`].
    fn url(&self, key: &str) -> String;
}

impl Store for S3 {
    async fn each(&self, prefix: &str, take: impl FnMut(Object) + Send) -> Result<()> {
        self.each(prefix, take).await
    }

    async fn directories(&self, prefix: &str) -> Result<Vec<String>> {
        self.directories(prefix).await
    }

    async fn read(&self, key: &str, most: usize) -> Result<Option<Content>> {
        self.read(key, most).await
    }

    fn url(&self, key: &str) -> String {
        self.url(key)
    }
}
