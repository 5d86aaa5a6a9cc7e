//! What was found, in words and for scripts.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::keyspace::{Contents, Glance};
use crate::snapshot::proof::Verdict;
use crate::snapshot::{PathName, Proof, SnapshotName, truth};

/// A snapshot and what became of each check. What could not be told is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    file: String,
    bytes: u64,
    checks: Checks,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// Of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revisions: Option<u64>,
    /// Bytes of the pages that hold something.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_in_use: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip)]
    found: Option<Glance>,
    /// The first thing that is wrong.
    #[serde(skip)]
    pub wrong: Option<Error>,
}

/// `ok`, what is wrong, or nothing where it was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Checks {
    size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bolt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// Which check a quick look ended with, and why.
pub(super) enum Wrong {
    Size(Error),
    Trailer(Error),
    Pages(Error),
}

fn shown<T>(result: &Result<T>) -> String {
    result.as_ref().map_or_else(|error| error.message().to_owned(), |_| "ok".to_owned())
}

impl Report {
    /// Of a snapshot that was read as a whole.
    pub(super) fn of(file: String, bytes: u64, verdict: Verdict) -> Self {
        let wrong = verdict.first_wrong();
        let checks = Checks {
            size: shown(&verdict.size),
            sha256: verdict.sha256.as_ref().map(shown),
            bolt: verdict.bolt.as_ref().map(shown),
            name: None,
        };
        let report = Self { file, bytes, checks, wrong, ..Self::default() };
        let sha256 = verdict.sha256.and_then(Result::ok).as_ref().map(Proof::sha256_hex);
        Self { sha256, ..report }.with(verdict.bolt.and_then(Result::ok))
    }

    /// Of a snapshot of which only a few pages were read.
    ///
    /// # Errors
    /// What kept them from being read.
    pub(super) fn of_glance(file: String, bytes: u64, glance: Result<Glance, Wrong>) -> Result<Self> {
        let report = Self { file, bytes, ..Self::default() };
        let size_is_right = Checks { size: "ok".to_owned(), ..Checks::default() };
        let said = |error: &Error| error.message().to_owned();
        let (checks, error) = match glance {
            Ok(glance) => return Ok(Self { checks: size_is_right, ..report }.named(glance)),
            Err(Wrong::Size(error)) => (Checks { size: said(&error), ..Checks::default() }, error),
            Err(Wrong::Trailer(error)) => (Checks { sha256: Some(said(&error)), ..size_is_right }, error),
            Err(Wrong::Pages(error)) => (Checks { bolt: Some(said(&error)), ..size_is_right }, error),
        };
        match error.kind() {
            ErrorKind::Unproved => Ok(Self { checks, wrong: Some(error), ..report }),
            _ => Err(error),
        }
    }

    fn with(self, contents: Option<Contents>) -> Self {
        let Some(contents) = contents else { return self };
        let usage = contents.usage;
        let size_in_use = Some(usage.used * usage.page_size);
        let (keys, revisions) = (Some(contents.keys), Some(contents.revisions));
        Self { keys, revisions, size_in_use, ..self }.named(contents.glance)
    }

    /// With what was found compared to the name, where it is a name.
    fn named(mut self, found: Glance) -> Self {
        let base = self.file.rsplit('/').next().unwrap_or_default();
        let name = SnapshotName::parse(base);
        let is_true = match &name {
            Some(name) => Some(truth::name_is(name, &found)),
            None => PathName::of(base).map(|name| truth::revision_is(name.revision, found.revision)),
        };
        self.etcd_version = name.map(|name| name.version().to_string());
        if let Some(is_true) = is_true {
            self.checks.name = Some(shown(&is_true));
            self.wrong = self.wrong.or(is_true.err());
        }
        self.revision = Some(found.revision);
        self.storage_version =
            found.storage_version.as_ref().map(|version| format!("{}.{}", version.major, version.minor));
        self.found = Some(found);
        self
    }

    /// What a proof of bytes does not tell.
    pub(super) fn warnings(&self) -> Vec<String> {
        let few = self.keys.zip(self.found.as_ref()).and_then(|(keys, found)| truth::v2_warning(keys, found));
        let version = self.etcd_version.as_deref().and_then(|version| version.parse().ok());
        version.iter().flat_map(truth::incidents).chain(few).collect()
    }

    /// One line for a person.
    pub(super) fn line(&self) -> String {
        let revision = self.revision.map(|revision| format!("revision {revision}"));
        let version = self.etcd_version.as_ref().map(|version| format!("etcd {version}"));
        let keys = self.keys.map(truth::counted);
        let proved = match &self.sha256 {
            Some(_) => "sha256 and pages verified",
            None => "not proved, only looked at",
        };
        let told = [Some(self.file.clone()), revision, version, Some(format!("{} bytes", self.bytes)), keys];
        told.into_iter().flatten().chain([proved.to_owned()]).collect::<Vec<_>>().join("   ")
    }
}
