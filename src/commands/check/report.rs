//! What the checks found: lines, values and the exit code.

use serde::Serialize;

use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    Skipped,
    Warning,
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    pub name: String,
    pub state: State,
    pub message: String,
    /// What to run or change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// 0 unless it failed.
    pub exit_code: u8,
    #[serde(skip)]
    kind: Option<ErrorKind>,
}

impl Check {
    fn new(name: impl Into<String>, state: State, message: impl Into<String>) -> Self {
        Self { name: name.into(), state, message: message.into(), hints: Vec::new(), exit_code: 0, kind: None }
    }

    pub fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(name, State::Ok, message)
    }

    pub fn skipped(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(name, State::Skipped, message)
    }

    pub fn warning(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(name, State::Warning, message)
    }

    /// A failure with the error's words, hints and exit code.
    pub fn failed(name: impl Into<String>, error: &Error) -> Self {
        Self {
            hints: error.hints().to_vec(),
            exit_code: error.kind().exit_code(),
            kind: Some(error.kind()),
            ..Self::new(name, State::Failed, error.message())
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// `failed   operator: not found in namespace etcd; kubectl etcdbackup install -n etcd`.
    fn line(&self) -> String {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let hints = self.hints.iter().map(|hint| format!("; {}", one_line(hint))).collect::<String>();
        format!("{:<8} {}: {}{hints}", self.state.word(), self.name, one_line(&self.message))
    }
}

/// The checks so far; each line is printed as soon as it is known.
pub struct Report<'a> {
    ui: &'a Ui,
    lines: bool,
    checks: Vec<Check>,
}

impl<'a> Report<'a> {
    /// A report that prints its `lines`, or keeps them for [`Report::value`].
    pub fn new(ui: &'a Ui, lines: bool) -> Self {
        Self { ui, lines, checks: Vec::new() }
    }

    /// Takes a check up.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn add(&mut self, check: Check) -> Result<()> {
        if self.lines {
            self.ui.data(check.line())?;
        }
        self.checks.push(check);
        Ok(())
    }

    /// All checks for `-o`.
    pub fn value(&self) -> serde_json::Value {
        serde_json::json!({"checks": self.checks, "failed": self.failed().count()})
    }

    fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.state == State::Failed)
    }

    /// The end of the command.
    ///
    /// # Errors
    /// Of the kind of the failed check with the greatest exit code.
    pub fn verdict(&self) -> Result<()> {
        let worst = self.failed().filter_map(|check| check.kind).max_by_key(|kind| kind.exit_code());
        match worst {
            None => Ok(()),
            Some(kind) => {
                Err(Error::new(kind, format!("{} of {} checks failed", self.failed().count(), self.checks.len())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind) -> Check {
        Check::failed("operator", &Error::new(kind, "not\nfound").hint("kubectl etcdbackup install"))
    }

    #[test]
    fn a_check_is_one_line_with_what_to_do() {
        assert_eq!(failed(ErrorKind::NotFound).line(), "failed   operator: not found; kubectl etcdbackup install");
        assert_eq!(Check::ok("CRD", "ours").line(), "ok       CRD: ours");
    }

    #[test]
    fn the_exit_code_is_the_greatest_of_the_failed_checks() {
        let verdict = |checks: Vec<Check>| {
            let report = Report { ui: &Ui::new(true), lines: false, checks };
            report.verdict().map_err(|error| (error.kind(), error.message().to_owned()))
        };
        assert_eq!(verdict(vec![Check::warning("a", "b"), Check::skipped("c", "d")]), Ok(()));
        let two = vec![failed(ErrorKind::Denied), failed(ErrorKind::NotFound), Check::ok("a", "b")];
        assert_eq!(verdict(two), Err((ErrorKind::Denied, "2 of 3 checks failed".to_owned())));
    }

    #[test]
    fn the_value_has_what_the_lines_have() {
        let report = Report { ui: &Ui::new(true), lines: false, checks: vec![failed(ErrorKind::NotFound)] };
        let expected = serde_json::json!({"failed": 1, "checks": [{"name": "operator", "state": "failed",
            "message": "not\nfound", "hints": ["kubectl etcdbackup install"], "exitCode": 3}]});
        assert_eq!(report.value(), expected);
    }
}
