//! The profile files of a Kubernetes Secret or of its mounted directory.

mod layout;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::ini::{self, Kind, Section, sections};
use super::profile::in_place_of_keys;
use super::read::bounded;
use crate::error::{Error, Result};
use layout::{Layout, Values, detect};

/// Texts of a `credentials` and a `config` file, profile `default`, kept in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct ProfileFiles {
    /// Where they came from, for messages: `secret default/aws-credential`.
    pub origin: String,
    pub credentials: Option<String>,
    pub config: Option<String>,
    /// What their owner should know; for the caller to print or to log.
    pub warnings: Vec<String>,
}

/// Who reads a Secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The agent, to which Kubernetes mounted it: the pod's own identity is there to be used.
    Agent,
    /// Whoever runs the plugin: their identity is nothing that the writer of a Secret may use.
    Person,
}

/// The properties that a Secret may set. Whoever writes a Secret must not choose programs that run, files
/// that are read or logins that are used where it is read: that may be a person's own machine.
const TAKEN: [&str; 13] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "credential_source",
    "duration_seconds",
    "endpoint_url",
    "external_id",
    "region",
    "role_arn",
    "role_session_name",
    "source_profile",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
];

impl fmt::Debug for ProfileFiles {
    /// Never the texts: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileFiles({})", self.origin)
    }
}

impl ProfileFiles {
    /// Recognises the layout of a Secret or a ConfigMap by its keys: profile files as etcd-operator, velero
    /// and `kubectl create --from-file` write them, or bare values under the names of other operators.
    /// `credential_source`, which names an identity of the machine, is refused: only the agent's pods have one for it.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) naming the keys that are there instead, or
    /// what is wrong with the keys' content. Values are never part of a message.
    pub fn from_keys(origin: impl Into<String>, keys: &BTreeMap<String, Vec<u8>>) -> Result<Self> {
        Self::read(origin.into(), keys, Reader::Person)
    }

    fn read(origin: String, keys: &layout::Keys, reader: Reader) -> Result<Self> {
        let Some((layout, guess)) = detect(keys) else { return Err(unknown(&origin, keys)) };
        let warnings = guess.map(|guess| format!("{origin} has {guess}")).into_iter().collect();
        let files = Self { origin, credentials: None, config: None, warnings };
        match layout {
            Layout::Files { credentials, config } => files.with_files(keys, credentials, config, reader),
            Layout::Values(values) => files.with_values(keys, values),
        }
    }

    fn with_files(
        mut self,
        keys: &layout::Keys,
        credentials: Option<&str>,
        config: Option<&str>,
        reader: Reader,
    ) -> Result<Self> {
        let mut texts = [(Kind::Config, config), (Kind::Credentials, credentials)].map(|(kind, key)| (kind, key, None));
        let mut merged = Section::new();
        for (kind, key, printed) in &mut texts {
            let Some(key) = *key else { continue };
            let mut found = sections(text(keys, key, &self.origin)?, *kind);
            if *kind == Kind::Credentials && !found.contains_key("default") {
                return Err(self.no_default(key, &found));
            }
            merged.extend(found.get("default").cloned().unwrap_or_default());
            self.drop_untaken(key, &mut found, reader);
            *printed = Some(ini::print(&found, *kind));
        }
        let [(_, _, config), (_, key, credentials)] = texts;
        (self.config, self.credentials) = (config, credentials);
        key.map_or(Ok(()), |key| self.complete(key, &merged, reader))?;
        Ok(self)
    }

    fn with_values(mut self, keys: &layout::Keys, values: Values) -> Result<Self> {
        let value = |key: Option<&str>| match key.filter(|key| keys.contains_key(*key)) {
            None => Ok(None),
            Some(key) => {
                let value = text(keys, key, &self.origin)?.trim();
                if value.contains(char::is_control) {
                    return Err(Error::denied(format!("key {key:?} in {} is not one line", self.origin)));
                }
                Ok(Some(value).filter(|value| !value.is_empty()))
            }
        };
        let required =
            |key| value(Some(key))?.ok_or_else(|| Error::denied(format!("key {key:?} in {} is empty", self.origin)));
        let (id, secret) = (required(values.id)?, required(values.secret)?);
        let token = value(values.token)?.map(|token| format!("aws_session_token={token}\n")).unwrap_or_default();
        let config = value(values.region)?.map(|region| format!("[default]\nregion={region}\n"));
        self.credentials = Some(format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n{token}"));
        self.config = config;
        Ok(self)
    }

    /// Leaves out what a Secret may not set, and says so where it would have mattered.
    fn drop_untaken(&mut self, key: &str, found: &mut BTreeMap<String, Section>, reader: Reader) {
        for section in found.values_mut() {
            section.retain(|property, _| {
                let taken = TAKEN.contains(&property.as_str())
                    && !(property == "credential_source" && reader == Reader::Person);
                if ["credential_process", "credential_source", "web_identity_token_file"].contains(&property.as_str())
                    && !taken
                {
                    self.warnings.push(format!("{property} in key {key:?} of {} is not used", self.origin));
                }
                taken
            });
        }
    }

    fn no_default(&self, key: &str, found: &BTreeMap<String, Section>) -> Error {
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::denied(format!("key {key:?} in {} has no profile [default] (found: {names})", self.origin))
            .hint(format!("{} writes the profile that --profile names as [default]", remake(&self.origin)))
    }

    /// Whether the default profile holds a whole key pair, or a role and what it is assumed with.
    fn complete(&self, key: &str, merged: &Section, reader: Reader) -> Result<()> {
        let has = |property: &str| merged.get(property).is_some_and(|value| !value.is_empty());
        let own_identity = has("role_arn") && has("credential_source");
        let wrong = match (has("aws_access_key_id"), has("aws_secret_access_key")) {
            _ if own_identity && reader == Reader::Person => {
                let error = Error::denied(format!(
                    "profile [default] of key {key:?} in {} uses credential_source: which of your machine's identities \
                     assumes a role is not for a Secret to choose, and honoured in the agent's pods only",
                    self.origin
                ));
                return Err(error.hint("name a profile of your own with --profile"));
            }
            (true, true) => return Ok(()),
            _ if has("role_arn") && has("source_profile") || own_identity => return Ok(()),
            (true, false) => "has only half a key pair: no aws_secret_access_key".to_owned(),
            (false, true) => "has only half a key pair: no aws_access_key_id".to_owned(),
            (false, false) => match in_place_of_keys(merged) {
                Some((property, why)) => format!("has no static keys: it uses {property}, {why}"),
                None => "has neither aws_access_key_id nor aws_secret_access_key".to_owned(),
            },
        };
        Err(Error::denied(format!("profile [default] of key {key:?} in {} {wrong}", self.origin))
            .hint(remake(&self.origin)))
    }

    /// Reads the files of a mounted Secret, whose file names are its keys, for the agent.
    ///
    /// # Errors
    /// As [`ProfileFiles::from_keys`], and [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) when
    /// the directory or a file cannot be read, or a file is larger than any Secret.
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
                keys.insert(name, bounded(&path).map_err(unreadable)?);
            }
        }
        Self::read(format!("directory {}", directory.display()), &keys, Reader::Agent)
    }

    /// Fills in the `config` of a ConfigMap where the Secret has none.
    #[must_use]
    pub fn or_config(mut self, other: Self) -> Self {
        if self.config.is_none() && other.config.is_some() {
            self.origin = format!("{} and {}", self.origin, other.origin);
            self.config = other.config;
            self.warnings.extend(other.warnings);
        }
        self
    }

    /// One property of the default profile, the credentials file first.
    pub fn property(&self, name: &str) -> Option<String> {
        let of = |text: &Option<String>, kind| sections(text.as_deref()?, kind).remove("default")?.remove(name);
        let found = of(&self.credentials, Kind::Credentials).or_else(|| of(&self.config, Kind::Config));
        found.filter(|value| !value.is_empty())
    }
}

fn text<'a>(keys: &'a layout::Keys, key: &str, origin: &str) -> Result<&'a str> {
    let bytes = keys.get(key).map(Vec::as_slice).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| Error::denied(format!("key {key:?} in {origin} is not text")))
}

fn unknown(origin: &str, keys: &layout::Keys) -> Error {
    let found: Vec<&str> = keys.keys().map(String::as_str).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    Error::denied(format!("{origin} lacks key \"credentials\" (found: {found})"))
        .hint(format!("{} writes a Secret with the right keys", remake(origin)))
}

/// The command that writes the Secret of an origin again.
pub(super) fn remake(origin: &str) -> String {
    let first = origin.split(" and ").next().unwrap_or(origin);
    let named = first.strip_prefix("secret ").and_then(|name| name.split_once('/'));
    named.map_or_else(
        || "kubectl etcdbackup credentials".to_owned(),
        |(namespace, name)| format!("kubectl etcdbackup credentials -n {namespace} --secret-name {name}"),
    )
}
