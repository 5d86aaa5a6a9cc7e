//! Flags that several commands share.

use std::path::PathBuf;

use clap::Args;

use super::completion::live;
use crate::kubernetes::flags::HEADING as KUBECTL;
pub use crate::kubernetes::flags::{KubeFlags, parse_duration};
use crate::source::flags::{HEADING as S3, parse_bucket};
pub use crate::source::flags::{S3Flags, parse_url};

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct TalkFlags {
    /// Print only data and errors: no progress, no talk
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Verbosity of the log on stderr, 0 to 9
    #[arg(short, long = "v", id = "verbosity", global = true, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9), help_heading = KUBECTL)]
    pub verbosity: u8,
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
        let given = [
            ("--profile", self.profile.is_some()),
            ("--secret", self.secret.is_some()),
            ("--ca-bundle", self.ca_bundle.is_some()),
        ];
        let own = || given.into_iter().find_map(|(flag, given)| given.then_some(flag));
        self.place.first_given().or_else(own)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
