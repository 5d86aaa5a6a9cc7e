//! Where a backup goes: a bucket of one of the clouds.

use std::fmt;

use clap::ValueEnum;

use super::layout::{Place, is_relative};
use crate::error::{Error, Result};
use crate::source::flags::parse_bucket;

/// Who runs the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Cloud {
    /// S3 and what speaks it
    #[default]
    Aws,
    /// Azure Blob Storage
    Azure,
    /// Google Cloud Storage
    Gcp,
}

impl Cloud {
    /// The word for it in `backupType`, `backup.type` and `backup.provider`.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Aws => "AWS_S3",
            Self::Azure => "AZURE_BLOB",
            Self::Gcp => "GCP_BLOB",
        }
    }

    /// The scheme of its URLs in `storageLocation`.
    fn scheme(self) -> &'static str {
        match self {
            Self::Aws => "s3",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }
}

/// `s3://BUCKET[/PREFIX]`, and the same with `azure://` and `gcp://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub cloud: Cloud,
    pub bucket: String,
    /// Without slashes at its ends; empty for none.
    pub prefix: String,
}

impl Location {
    /// Reads what stands in the command line; `gs://` is understood, because people paste it.
    ///
    /// # Errors
    /// A sentence for clap.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("must be s3://BUCKET, azure://CONTAINER or gcp://BUCKET")?;
        let cloud = match scheme {
            "s3" => Cloud::Aws,
            "azure" => Cloud::Azure,
            "gcp" | "gs" => Cloud::Gcp,
            _ => return Err("must begin with s3://, azure:// or gcp://".to_owned()),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if prefix.contains(char::is_whitespace) || !(prefix.is_empty() || is_relative(prefix)) {
            return Err("the prefix must have no spaces, empty names, dots alone or control characters".to_owned());
        }
        Ok(Self { cloud, bucket: parse_bucket(bucket)?, prefix: prefix.to_owned() })
    }

    /// The same where only S3 will do.
    ///
    /// # Errors
    /// A sentence for clap.
    pub fn of_s3(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            of_s3 if of_s3.cloud == Cloud::Aws => Ok(of_s3),
            other => Err(format!("{other} is not S3: must be s3://BUCKET or s3://BUCKET/PREFIX")),
        }
    }

    /// Where in the bucket the backups of this cluster and datacenter are.
    pub fn place(&self, (cluster, datacenter): (Option<String>, Option<String>)) -> Place {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        Place { prefix: format!("{}{slash}", self.prefix), cluster, datacenter }
    }

    /// The bucket, for operators that take no prefix.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) where there is a prefix.
    pub fn bucket_alone(&self, operator: &str) -> Result<&str> {
        if self.prefix.is_empty() {
            return Ok(&self.bucket);
        }
        let alone = Self { prefix: String::new(), ..self.clone() };
        Err(Error::usage(format!("{operator} takes a bucket without a prefix, not {self}"))
            .hint(format!("--location {alone}")))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{}://{}{slash}{}", self.cloud.scheme(), self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_perhaps_a_prefix() {
        let shown = |text: &str| Location::parse(text).map(|found| found.to_string());
        assert_eq!(shown("s3://ring").as_deref(), Ok("s3://ring"));
        assert_eq!(shown("s3://ring/team//").as_deref(), Ok("s3://ring/team"));
        assert_eq!(shown("gs://ring/").as_deref(), Ok("gcp://ring"));
        assert_eq!(Location::parse("azure://ring").unwrap().cloud, Cloud::Azure);
        let odd = ["s3://ring/a b", "s3://ring/a\nb", "s3://ring//a", "s3://ring/../a"];
        for bad in ["ring", "s3://", "s3:///a", "s3://r", "file:///tmp/x"].into_iter().chain(odd) {
            assert!(shown(bad).is_err(), "{bad}");
        }
        let prefix = |text: &str| Location::of_s3(text).map(|found| found.place((None, None)).prefix);
        assert_eq!((prefix("s3://ring"), prefix("s3://ring/a/b/")), (Ok(String::new()), Ok("a/b/".to_owned())));
        assert!(prefix("gcp://ring").is_err());
        assert!(Location::parse("s3://ring/a").unwrap().bucket_alone("x").is_err());
    }
}
