//! The profile files of a Kubernetes Secret or of its mounted directory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// Texts of a `credentials` and a `config` file, profile `default`, kept in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct ProfileFiles {
    /// Where they came from, for messages: `secret default/aws-credential`.
    pub origin: String,
    pub credentials: Option<String>,
    pub config: Option<String>,
}

impl fmt::Debug for ProfileFiles {
    /// Never the texts: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileFiles({})", self.origin)
    }
}

impl ProfileFiles {
    /// Recognises the layout of a Secret by its keys: `credentials` (+ `config`) as etcd-operator and
    /// others write it, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` as `envFrom` users do.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) naming the keys that are there instead.
    pub fn from_keys(origin: impl Into<String>, keys: &BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let origin = origin.into();
        let text = |key: &str| match keys.get(key) {
            None => Ok(None),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(Error::denied(format!("key {key:?} in {origin} is not text"))),
            },
        };
        let (credentials, config) = (text("credentials")?, text("config")?);
        if credentials.is_some() || config.is_some() {
            return Ok(Self { credentials, config, origin });
        }
        match (text("AWS_ACCESS_KEY_ID")?, text("AWS_SECRET_ACCESS_KEY")?) {
            (Some(id), Some(secret)) => {
                let token = text("AWS_SESSION_TOKEN")?.map(|token| format!("aws_session_token={}\n", token.trim()));
                let (id, secret, token) = (id.trim(), secret.trim(), token.unwrap_or_default());
                let credentials = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n{token}");
                let config = text("AWS_REGION")?.map(|region| format!("[default]\nregion={}\n", region.trim()));
                Ok(Self { credentials: Some(credentials), config, origin })
            }
            _ => {
                let found: Vec<&str> = keys.keys().map(String::as_str).collect();
                let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
                Err(Error::denied(format!("{origin} lacks key \"credentials\" (found: {found})"))
                    .hint("kubectl etcdbackup credentials writes a Secret with the right keys"))
            }
        }
    }

    /// Reads the files of a mounted Secret, whose file names are its keys.
    ///
    /// # Errors
    /// As [`ProfileFiles::from_keys`], and [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) when
    /// the directory cannot be read.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| {
            Error::denied(format!("cannot read AWS credentials in {}: {error}", directory.display()))
        };
        let mut keys = BTreeMap::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            // the kubelet keeps its own links, ..data and a time stamp, in the same directory
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !name.starts_with("..") && path.is_file() {
                keys.insert(name, std::fs::read(&path).map_err(unreadable)?);
            }
        }
        Self::from_keys(format!("directory {}", directory.display()), &keys)
    }

    /// Fills in the `config` of a ConfigMap where the Secret has none.
    #[must_use]
    pub fn or_config(mut self, other: Self) -> Self {
        if self.config.is_none() && other.config.is_some() {
            self.origin = format!("{} and {}", self.origin, other.origin);
            self.config = other.config;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn both_layouts_are_known() {
        let files = ProfileFiles::from_keys("s", &keys(&[("credentials", "c"), ("config", "f")])).unwrap();
        assert_eq!((files.credentials.as_deref(), files.config.as_deref()), (Some("c"), Some("f")));
        let pairs = [("AWS_ACCESS_KEY_ID", "a\n"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "r")];
        let files = ProfileFiles::from_keys("s", &keys(&pairs)).unwrap();
        assert_eq!(files.credentials.as_deref(), Some("[default]\naws_access_key_id=a\naws_secret_access_key=b\n"));
        assert_eq!(files.config.as_deref(), Some("[default]\nregion=r\n"));
    }

    #[test]
    fn other_keys_are_named_and_values_are_not_shown() {
        let error =
            ProfileFiles::from_keys("secret \"aws\"", &keys(&[("access", "SSSH"), ("secret", "SSSH")])).unwrap_err();
        assert_eq!(error.message(), "secret \"aws\" lacks key \"credentials\" (found: access, secret)");
        let files = ProfileFiles::from_keys("s", &keys(&[("credentials", "SSSH")])).unwrap();
        assert!(!format!("{files:?}").contains("SSSH"));
    }
}
