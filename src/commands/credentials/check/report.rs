//! The checks as a table, as an object, and as an exit code.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Place;
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Fail,
    Skip,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub(in crate::commands) struct Check {
    pub name: &'static str,
    outcome: Outcome,
    /// A sentence for a person.
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    #[serde(flatten)]
    fields: Map<String, Value>,
    /// Set for one that failed.
    #[serde(skip)]
    pub kind: Option<ErrorKind>,
}

impl Check {
    fn new(name: &'static str, outcome: Outcome, message: impl Into<String>) -> Self {
        Self { name, outcome, message: message.into(), hints: Vec::new(), fields: Map::new(), kind: None }
    }

    pub(super) fn passed(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, message)
    }

    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skip, why)
    }

    pub(super) fn failed(name: &'static str, error: &Error) -> Self {
        let hints = error.hints().to_vec();
        Self { hints, kind: Some(error.kind()), ..Self::new(name, Outcome::Fail, error.message()) }
    }

    /// Adds a field for `-o json|yaml`.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds what to do.
    pub(super) fn hint(mut self, hint: String) -> Self {
        self.hints.push(hint);
        self
    }

    pub(in crate::commands) fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    pub(super) fn is_failed(&self) -> bool {
        self.outcome == Outcome::Fail
    }
}

/// All checks of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    credentials: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    prefix: String,
    #[serde(rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    endpoint_url: Option<String>,
    /// Whether no check failed.
    works: bool,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(credentials: &str, place: &Place, checks: Vec<Check>) -> Self {
        Self {
            credentials: credentials.to_owned(),
            bucket: place.bucket.clone(),
            prefix: place.prefix.clone(),
            endpoint_url: place.access.endpoint_url.clone(),
            works: !checks.iter().any(Check::is_failed),
            checks,
        }
    }

    /// One line a check: outcome, name, what was found; hints below.
    pub(super) fn table(&self) -> String {
        let mut lines = Vec::new();
        for Check { name, outcome, message, hints, .. } in &self.checks {
            let word = match outcome {
                Outcome::Ok => "ok",
                Outcome::Fail => "fail",
                Outcome::Skip => "skip",
            };
            lines.push(format!("{word:<6}{name:<10}{message}"));
            lines.extend(hints.iter().map(|hint| format!("{:16}hint: {hint}", "")));
        }
        lines.join("\n")
    }

    /// The exit code: the first failure's.
    ///
    /// # Errors
    /// One that names the checks that failed.
    pub(super) fn outcome(&self) -> Result<()> {
        let failed: Vec<&Check> = self.checks.iter().filter(|check| check.is_failed()).collect();
        let Some(kind) = failed.first().and_then(|check| check.kind) else { return Ok(()) };
        let names: Vec<&str> = failed.iter().map(|check| check.name).collect();
        Err(Error::new(kind, format!("{} failed the check: {}", self.credentials, names.join(", "))))
    }
}
