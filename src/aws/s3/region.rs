//! A bucket in another region than the one that was asked.

use std::sync::{Arc, OnceLock};

use aws_config::Region;
use aws_sdk_s3::Client;

use super::S3;

/// The region that the service named when it refused to answer for the bucket.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<OnceLock<String>>);

impl Told {
    /// Keeps the first region that was named; it becomes a part of host names, so it must look like one.
    pub(in crate::aws) fn tell(&self, region: &str) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !region.is_empty() && region.len() < 64 && region.bytes().all(plain) {
            let _ = self.0.set(region.to_owned());
        }
    }
}

impl S3 {
    /// A client for the region that the bucket is in, once the service has told that it is another one. `None` too for
    /// a service with a URL of its own: where its other regions are is not known.
    #[must_use]
    pub fn elsewhere(&self) -> Option<Self> {
        let region = self.told.0.get().filter(|region| **region != self.region && self.endpoint.is_none())?.clone();
        let conf = self.client.config().to_builder().region(Region::new(region.clone())).build();
        Some(Self { client: Client::from_conf(conf), region, told: Told::default(), ..self.clone() })
    }
}
