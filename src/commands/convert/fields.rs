//! An object whose fields are taken one by one; what nobody took is told.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::cli::output;
use crate::error::{Error, Result};

/// The fields of an object, and where it is.
pub(super) struct Fields {
    /// As in `spec.backup`; empty for the object itself.
    path: String,
    left: Map<String, Value>,
}

impl Fields {
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what is neither an object nor absent.
    pub(super) fn of(path: impl Into<String>, value: Value) -> Result<Self> {
        let path = path.into();
        match value {
            Value::Object(left) => Ok(Self { path, left }),
            Value::Null => Ok(Self { path, left: Map::new() }),
            _ if path.is_empty() => Err(Error::usage("is not an object")),
            _ => Err(Error::usage(format!("{path} is not an object"))),
        }
    }

    /// The value of a field; `None` where it is absent or null.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a value of another type.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| Error::usage(format!("{}: {error}", self.full(name)))),
        }
    }

    /// The same, and a line for each field within the value that its type does not know.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub(super) fn take_known<T>(&mut self, name: &str, lines: &mut Vec<String>) -> Result<Option<T>>
    where
        T: DeserializeOwned + Serialize,
    {
        let given = self.left.get(name).cloned().unwrap_or_default();
        let known = self.take::<T>(name)?;
        let mut paths = BTreeSet::new();
        unknown(&given, &output::to_value(&known)?, &self.full(name), &mut paths);
        lines.extend(paths.iter().map(|path| not_converted(path, reason(path))));
        Ok(known)
    }

    /// The text of a field; empty where it is absent.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub(super) fn text(&mut self, name: &str) -> Result<String> {
        self.take(name).map(Option::unwrap_or_default)
    }

    /// A number that is not negative.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for another one.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<i64>> {
        match self.take::<i64>(name)? {
            Some(number) if number < 0 => Err(Error::usage(format!("{} is negative", self.full(name)))),
            number => Ok(number),
        }
    }

    /// The fields of an object in a field, none where it is absent.
    ///
    /// # Errors
    /// As [`Fields::of`].
    pub(super) fn child(&mut self, name: &str) -> Result<Self> {
        let value = self.left.remove(name).unwrap_or_default();
        Self::of(self.full(name), value)
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// A line for each field that was not taken.
    pub(super) fn left(self) -> Vec<String> {
        let full = |name: &String| if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
        self.left.keys().map(full).map(|path| not_converted(&path, reason(&path))).collect()
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// The paths of the fields of `given` that `known` lacks; null stands for an absent one.
fn unknown(given: &Value, known: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match given {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(known) => unknown(value, known, &path, paths),
                    None => {
                        paths.insert(path);
                    }
                }
            }
        }
        Value::Array(items) => {
            let known = known.as_array().into_iter().flatten();
            items.iter().zip(known).for_each(|(item, known)| unknown(item, known, path, paths));
        }
        _ => {}
    }
}

/// The line for something that has no place.
pub(super) fn not_converted(what: &str, why: &str) -> String {
    format!("not converted: {what}: {why}")
}

/// Why an EtcdBackup cannot say it, and what does instead.
fn reason(path: &str) -> &'static str {
    const OF_ETCD: &str = "is about the etcd cluster itself, which is left as it is";
    match path {
        "status" => "the operator writes it anew",
        "spec.backup.autoDelete" | "spec.backup.cleanupBackupsOnClusterDelete" => {
            "snapshots outlive the cluster and the EtcdBackup; delete them in the store when nobody needs them"
        }
        "spec.restore" => "a restore happens once; kubectl etcdbackup get brings the snapshot for it",
        "spec.backup.abs" | "spec.abs" | "spec.gcs" | "spec.oss" => "snapshots are kept in S3",
        "spec.backup.s3" | "spec.backup.pv" => "is not the place that storageType names",
        "spec.backup.pod.antiAffinity" => "a backup is one pod that ends",
        "spec.backup.pod.etcdEnv" => "is for etcd, which a backup does not run",
        "spec.allowSelfSignedCertificates" => {
            "etcd's certificate is always checked: put its CA into the Secret of spec.clientTLSSecret"
        }
        "spec.TLS.static.member" => OF_ETCD,
        _ if path.starts_with("metadata.") => "belongs to the old object",
        _ => match path.strip_prefix("spec.") {
            Some("size" | "version" | "baseImage" | "repository" | "paused" | "pod" | "selfHosted") => OF_ETCD,
            _ => "is no field that this program knows",
        },
    }
}
