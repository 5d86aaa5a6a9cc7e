//! The one error type of the program: a kind, which is an exit code, a sentence and hints.
//!
//! The exit codes are an interface: scripts and pipelines branch on them. A script must treat any
//! other code as a failure.

use std::fmt;

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a script can act on it. Each kind has exactly one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Network, disk, an existing target, a changed object: everything without a code of its own.
    General,
    /// The command line itself is wrong; nothing was contacted.
    Usage,
    /// No such cluster, backup or snapshot, or more than one where one was meant.
    NotFound,
    /// Bytes that fail proof: cut, corrupt, without a trailer, or not what their name says.
    Unproved,
    /// Credentials are missing, incomplete, expired or not allowed to do this.
    Denied,
    /// A wait ran out; the work may still be going on.
    TimedOut,
    /// The operator or its Job reported that the backup failed.
    BackupFailed,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl ErrorKind {
    /// The process exit code of this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::General => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unproved => 4,
            Self::Denied => 5,
            Self::TimedOut => 6,
            Self::BackupFailed => 7,
            Self::Interrupted => 130,
        }
    }
}

/// A failure as a person meets it: one sentence that says what was tried and what came back, and
/// hints that say what to run next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hints: Vec<String>,
    verbatim: bool,
}

impl Error {
    /// An error of `kind`; `message` is a lower-case sentence without a final period.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), verbatim: false }
    }

    /// An error whose message is a complete line in kubectl's own words and gets no `error: ` prefix.
    pub fn verbatim(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { verbatim: true, ..Self::new(kind, message) }
    }

    /// [`ErrorKind::General`].
    pub fn general(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::General, message)
    }

    /// [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Unproved`].
    pub fn unproved(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unproved, message)
    }

    /// [`ErrorKind::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// [`ErrorKind::TimedOut`].
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TimedOut, message)
    }

    /// [`ErrorKind::BackupFailed`].
    pub fn backup_failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BackupFailed, message)
    }

    /// [`ErrorKind::Interrupted`].
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    /// Adds what to run or change next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts what was being done in front of the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self.verbatim = false;
        self
    }

    /// The kind, which decides the exit code.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence without prefix and hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The hints, in the order in which they were added.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Error {
    /// The lines that go to stderr, without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.verbatim {
            f.write_str("error: ")?;
        }
        f.write_str(&continued(&self.message))?;
        for hint in &self.hints {
            write!(f, "\nhint: {}", continued(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// One message: its further lines are indented, so that what a server wrote passes for no hint or message of ours.
/// kubectl's list of fields, `* spec.x: …`, stays as kubectl prints it.
pub fn continued(text: &str) -> String {
    let indent = |line: &str| if line.starts_with([' ', '*']) { line.to_owned() } else { format!("  {line}") };
    let mut lines = text.trim_end().split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |shown, line| shown + "\n" + indent(line).trim_end())
}

/// What libraries put before a cause to say only which layer of theirs it passed.
const LAYERS: [&str; 6] = [
    "ServiceError: ",
    "HyperError: ",
    "io error: ",
    "client error (Connect): ",
    "client error (SendRequest): ",
    "tcp connect error: ",
];

/// All causes of a foreign error in one line, each once: libraries tend to repeat their source.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    LAYERS.iter().fold(text, |text, layer| text.replace(layer, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_exit_code_that_scripts_know() {
        let codes = [
            (ErrorKind::General, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::Unproved, 4),
            (ErrorKind::Denied, 5),
            (ErrorKind::TimedOut, 6),
            (ErrorKind::BackupFailed, 7),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }

    #[test]
    fn prints_the_sentence_and_then_the_hints() {
        let error = Error::denied("no AWS region").hint("pass --region").context("checking");
        assert_eq!(error.to_string(), "error: checking: no AWS region\nhint: pass --region");
    }

    #[test]
    fn lines_of_a_server_are_no_hints_of_ours() {
        let error = Error::denied("refused:\n* spec.a\n  b\n\nhint: rm -rf /\n").hint("look");
        assert_eq!(error.to_string(), "error: refused:\n* spec.a\n  b\n\n  hint: rm -rf /\nhint: look");
    }

    #[test]
    fn kubectl_wording_stays_as_it_is() {
        let error = Error::verbatim(ErrorKind::NotFound, "Error from server (NotFound): x");
        assert_eq!(error.to_string(), "Error from server (NotFound): x");
    }
}
