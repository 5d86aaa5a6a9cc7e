//! The flags that etcd-operator ran with: `--backup-aws-secret`, `--backup-aws-config`, `--backup-s3-bucket`.
//!
//! Source: coreos/etcd-operator, cmd/operator/main.go at v0.2.0 to v0.5.2, where they are Go flags: one dash or two,
//! and a value after `=` or in the next word.

use super::fields::not_converted;
use crate::error::{Error, Result};

/// What the operator took for objects that named none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    /// Secret, ConfigMap and bucket.
    pub s3: Option<(String, String, String)>,
    /// The names of other flags.
    others: Vec<String>,
}

impl Defaults {
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what is no flag, and for some of the three, which
    /// etcd-operator refused too.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (mut secret, mut config, mut bucket) = (None, None, None);
        let mut others = Vec::new();
        let mut words = text.split_whitespace().map(unquoted).peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                return Err(Error::usage(format!("--operator-flags: {word:?} is no flag")));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(unquoted(value))),
                None => (flag, words.next_if(|next| !next.starts_with('-'))),
            };
            let place = match name {
                "backup-aws-secret" => &mut secret,
                "backup-aws-config" => &mut config,
                "backup-s3-bucket" => &mut bucket,
                _ => {
                    others.push(name.to_owned());
                    continue;
                }
            };
            *place = value.map(|value| named(name, value)).transpose()?;
        }
        match (secret, config, bucket) {
            (Some(secret), Some(config), Some(bucket)) => Ok(Self { s3: Some((secret, config, bucket)), others }),
            (None, None, None) => Ok(Self { s3: None, others }),
            _ => Err(Error::usage(
                "--operator-flags: --backup-aws-secret, --backup-aws-config and --backup-s3-bucket go together",
            )
            .hint("etcd-operator did not start with some of them; give all three or none")),
        }
    }

    /// The lines for what no EtcdBackup can say.
    pub(super) fn not_converted(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((secret, config, _)) = &self.s3 {
            let what = format!("--backup-aws-config {config}");
            let why = format!(
                "an EtcdBackup names one Secret with the keys credentials and config: \
                 kubectl etcdbackup credentials --secret-name {secret} makes it so; or take awsSecret out of the objects \
                 and let the operator have its defaults"
            );
            lines.push(not_converted(&what, &why));
        }
        let other = |name: &String| not_converted(&format!("--{name}"), "is no flag about backups in S3");
        lines.extend(self.others.iter().map(other));
        lines
    }

    /// How to give the new operator the same defaults.
    pub(super) fn install(&self, namespace: Option<&str>) -> Option<String> {
        let (secret, config, bucket) = self.s3.as_ref()?;
        let namespace = namespace.map(|name| format!(" -n {name}")).unwrap_or_default();
        Some(format!(
            "the same defaults for the new operator: kubectl etcdbackup install{namespace} --backup-aws-secret {secret} \
             --backup-aws-config {config} --backup-s3-bucket {bucket}"
        ))
    }
}

/// A word as a shell would have passed it on; names need no quotes inside.
fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

/// A name that is harmless in a command line.
fn named(flag: &str, value: &str) -> Result<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    match !value.is_empty() && value.bytes().all(plain) {
        true => Ok(value.to_owned()),
        false => Err(Error::usage(format!("--operator-flags: {value:?} is no name for --{flag}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_gos() {
        let expected = Some(("a".to_owned(), "c".to_owned(), "b".to_owned()));
        for text in [
            "--backup-aws-secret a --backup-aws-config c --backup-s3-bucket b",
            "-backup-aws-secret=a -backup-aws-config \"c\" --backup-s3-bucket='b' --pv-provisioner=x --analytics false",
        ] {
            assert_eq!(Defaults::parse(text).unwrap().s3, expected, "{text}");
        }
        let others = Defaults::parse("--pv-provisioner kubernetes.io/aws-ebs --cluster-wide").unwrap();
        assert_eq!((others.s3, others.others), (None, vec!["pv-provisioner".to_owned(), "cluster-wide".to_owned()]));
    }

    #[test]
    fn some_of_three_and_nonsense_are_refused() {
        for text in [
            "--backup-s3-bucket b",
            "--backup-aws-secret --backup-aws-config c --backup-s3-bucket b",
            "b",
            "--backup-aws-secret $(id) --backup-aws-config c --backup-s3-bucket b",
        ] {
            assert_eq!(Defaults::parse(text).unwrap_err().kind(), crate::error::ErrorKind::Usage, "{text}");
        }
    }
}
