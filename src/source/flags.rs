//! The flags that name a place in S3, the same for every command and role.

use clap::Args;

use crate::snapshot::Layout;

/// The heading in `--help` above the flags of S3.
pub const HEADING: &str = "S3 flags";

/// A place in S3 and the way to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct S3Flags {
    /// Bucket that holds the snapshots
    #[arg(long, value_name = "NAME", value_parser = parse_bucket, help_heading = HEADING)]
    pub bucket: Option<String>,
    /// Prefix in the bucket, before v1/…
    #[arg(long, value_name = "PREFIX", help_heading = HEADING)]
    pub prefix: Option<String>,
    /// Directories below the prefix: v1/NAMESPACE/CLUSTER/ or v1/CLUSTER/
    #[arg(long, value_name = "LAYOUT", help_heading = HEADING)]
    pub layout: Option<Layout>,
    /// Exact place of a snapshot, as in etcd-operator v0.8 and later
    #[arg(long, value_name = "BUCKET/KEY", value_parser = parse_path, conflicts_with_all = ["bucket", "prefix", "layout"], help_heading = HEADING)]
    pub path: Option<String>,
    /// AWS region
    #[arg(long, value_name = "REGION", help_heading = HEADING)]
    pub region: Option<String>,
    /// URL of an S3-compatible service
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = HEADING)]
    pub endpoint_url: Option<String>,
    /// Put the bucket into the path of the URL, not into its host name
    #[arg(long, help_heading = HEADING)]
    pub force_path_style: bool,
}

impl S3Flags {
    /// The first of these flags that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--bucket", self.bucket.is_some()),
            ("--prefix", self.prefix.is_some()),
            ("--layout", self.layout.is_some()),
            ("--path", self.path.is_some()),
            ("--region", self.region.is_some()),
            ("--endpoint-url", self.endpoint_url.is_some()),
            ("--force-path-style", self.force_path_style),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

/// A bucket's name; `s3://NAME` and `s3://NAME/` are understood, because people paste them.
pub fn parse_bucket(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("s3://").unwrap_or(text).trim_end_matches('/');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if name.contains('/') {
        return Err("is more than a bucket; give the rest with --prefix".to_owned());
    }
    if !(3..=63).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err("a bucket has 3 to 63 letters, digits, dots and dashes".to_owned());
    }
    Ok(name.to_owned())
}

/// `BUCKET/KEY`; `s3://BUCKET/KEY` is understood, because people paste it.
fn parse_path(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("s3://").unwrap_or(text);
    match path.split_once('/') {
        Some((bucket, key)) if !key.is_empty() && !key.ends_with('/') => {
            parse_bucket(bucket)?;
            Ok(path.to_owned())
        }
        _ => Err("must be BUCKET/KEY, without a slash at its end".to_owned()),
    }
}

/// An http or https URL.
pub fn parse_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|_| "not a URL".to_owned())?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must hold no user and password: they would show in objects, logs and process lists".to_owned());
    }
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("must start with http:// or https:// and name a host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_may_be_pasted_as_urls() {
        assert_eq!(parse_bucket("s3://etcd-backups/").as_deref(), Ok("etcd-backups"));
        for bad in ["", "ab", "s3://b/k", "b ucket", "bu\ncket"] {
            assert!(parse_bucket(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_a_bucket_and_a_key() {
        assert_eq!(parse_path("s3://etcd-backups/a/b").as_deref(), Ok("etcd-backups/a/b"));
        for bad in ["", "etcd-backups", "etcd-backups/", "etcd-backups/a/", "/a", "b!d/a"] {
            assert!(parse_path(bad).is_err(), "{bad}");
        }
    }
}
