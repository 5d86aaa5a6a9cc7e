//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::completion::live;
use crate::snapshot::Layout;

const KUBECTL: &str = "Flags as in kubectl";
const S3: &str = "S3 flags";

/// kubectl's own global flags, accepted before and after the command.
///
/// Source: kubernetes/cli-runtime, pkg/genericclioptions/config_flags.go.
#[derive(Debug, Clone, Default, Args)]
pub struct KubeFlags {
    /// Namespace to work in
    #[arg(short, long, global = true, value_name = "NAMESPACE", add = live::namespaces(), help_heading = KUBECTL)]
    pub namespace: Option<String>,
    /// Path to the kubeconfig file
    #[arg(long, global = true, value_name = "FILE", help_heading = KUBECTL)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", add = live::contexts(), help_heading = KUBECTL)]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use; etcd's is the positional CLUSTER
    #[arg(long = "cluster", id = "kube_cluster", global = true, value_name = "NAME", add = live::kube_clusters(), help_heading = KUBECTL)]
    pub kube_cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", add = live::users(), help_heading = KUBECTL)]
    pub user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL", help_heading = KUBECTL)]
    pub server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true, help_heading = KUBECTL)]
    pub token: Option<String>,
    /// User to impersonate
    #[arg(long = "as", id = "as_user", global = true, value_name = "USER", help_heading = KUBECTL)]
    pub as_user: Option<String>,
    /// Group to impersonate, may be repeated
    #[arg(long, global = true, value_name = "GROUP", help_heading = KUBECTL)]
    pub as_group: Vec<String>,
    /// UID to impersonate
    #[arg(long, global = true, value_name = "UID", help_heading = KUBECTL)]
    pub as_uid: Option<String>,
    /// CA certificate of the API server
    #[arg(long, global = true, value_name = "FILE", help_heading = KUBECTL)]
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate for the API server
    #[arg(long, global = true, value_name = "FILE", help_heading = KUBECTL)]
    pub client_certificate: Option<PathBuf>,
    /// Client key for the API server
    #[arg(long, global = true, value_name = "FILE", help_heading = KUBECTL)]
    pub client_key: Option<PathBuf>,
    /// Do not check the API server's certificate (insecure)
    #[arg(long, global = true, help_heading = KUBECTL)]
    pub insecure_skip_tls_verify: bool,
    /// Name to check the API server's certificate against
    #[arg(long, global = true, value_name = "NAME", help_heading = KUBECTL)]
    pub tls_server_name: Option<String>,
    /// Time for a request to the API server, such as 30s; 0 means no limit
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, help_heading = KUBECTL)]
    pub request_timeout: Option<Duration>,
    /// Print only data and errors: no progress, no talk
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Verbosity of the log on stderr, 0 to 9
    #[arg(short, long = "v", id = "verbosity", global = true, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9), help_heading = KUBECTL)]
    pub verbosity: u8,
}

/// A place in S3 and the way to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct S3Flags {
    /// Bucket that holds the snapshots
    #[arg(long, value_name = "NAME", value_parser = parse_bucket, help_heading = S3)]
    pub bucket: Option<String>,
    /// Prefix in the bucket, before v1/…
    #[arg(long, value_name = "PREFIX", help_heading = S3)]
    pub prefix: Option<String>,
    /// Directories below the prefix: v1/NAMESPACE/CLUSTER/ or v1/CLUSTER/
    #[arg(long, value_name = "LAYOUT", help_heading = S3)]
    pub layout: Option<Layout>,
    /// Exact place of a snapshot, as in etcd-operator v0.8 and later
    #[arg(long, value_name = "BUCKET/KEY", value_parser = parse_path, conflicts_with_all = ["bucket", "prefix", "layout"], help_heading = S3)]
    pub path: Option<String>,
    /// AWS region
    #[arg(long, value_name = "REGION", help_heading = S3)]
    pub region: Option<String>,
    /// URL of an S3-compatible service
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = S3)]
    pub endpoint_url: Option<String>,
    /// Put the bucket into the path of the URL, not into its host name
    #[arg(long, help_heading = S3)]
    pub force_path_style: bool,
}

/// How a person's own terminal reads S3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct S3ReadFlags {
    #[command(flatten)]
    pub place: S3Flags,
    /// AWS profile of yours to use
    #[arg(long, value_name = "NAME", conflicts_with = "secret", help_heading = S3)]
    pub profile: Option<String>,
    /// Secret in the namespace with the AWS credentials to use
    #[arg(long, value_name = "NAME", add = live::secrets(), help_heading = S3)]
    pub secret: Option<String>,
    /// CA certificates to trust for the endpoint
    #[arg(long, value_name = "FILE", help_heading = S3)]
    pub ca_bundle: Option<PathBuf>,
}

impl S3ReadFlags {
    /// The first of these flags that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        let place = &self.place;
        let given = [
            ("--bucket", place.bucket.is_some()),
            ("--prefix", place.prefix.is_some()),
            ("--layout", place.layout.is_some()),
            ("--path", place.path.is_some()),
            ("--region", place.region.is_some()),
            ("--endpoint-url", place.endpoint_url.is_some()),
            ("--force-path-style", place.force_path_style),
            ("--profile", self.profile.is_some()),
            ("--secret", self.secret.is_some()),
            ("--ca-bundle", self.ca_bundle.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// A duration as kubectl takes it: `90s`, `1m30s`, `2h`, or `0`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("needs a unit, such as 30s, 5m or 1h".to_owned());
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| "not a duration such as 30s, 5m or 1h".to_owned())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

/// A bucket's name; `s3://NAME` and `s3://NAME/` are understood, because people paste them.
fn parse_bucket(text: &str) -> Result<String, String> {
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

/// What to say about a bucket that was pasted as a URL; `words` are those of the command line.
pub fn pasted_bucket(words: impl IntoIterator<Item = String>) -> Option<String> {
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--bucket=") {
            Some(value) => Some(value.to_owned()),
            None if word == "--bucket" => words.next(),
            None => None,
        };
        if let Some(url) = value.filter(|value| value.starts_with("s3://")) {
            let name = parse_bucket(&url).ok()?;
            return Some(format!("using bucket {name:?} from {url:?}"));
        }
    }
    None
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
    fn durations_are_kubectls() {
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "-5s", "s", "1 parsec", "-0.5h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_may_be_pasted_as_urls() {
        assert_eq!(parse_bucket("s3://etcd-backups/").as_deref(), Ok("etcd-backups"));
        for bad in ["", "ab", "s3://b/k", "b ucket", "bu\ncket"] {
            assert!(parse_bucket(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pasted_bucket_is_said() {
        let said = |line: &str| pasted_bucket(line.split(' ').map(str::to_owned));
        let hint = "using bucket \"etcd-backups\" from \"s3://etcd-backups\"";
        assert_eq!(said("get a --bucket s3://etcd-backups").as_deref(), Some(hint));
        assert_eq!(said("get a --bucket=s3://etcd-backups -q").as_deref(), Some(hint));
        assert_eq!(
            [said("get a --bucket etcd-backups"), said("verify s3://b/k"), said("get --bucket")],
            [None, None, None]
        );
    }

    #[test]
    fn paths_are_a_bucket_and_a_key() {
        assert_eq!(parse_path("s3://etcd-backups/a/b").as_deref(), Ok("etcd-backups/a/b"));
        for bad in ["", "etcd-backups", "etcd-backups/", "etcd-backups/a/", "/a", "b!d/a"] {
            assert!(parse_path(bad).is_err(), "{bad}");
        }
    }
}
