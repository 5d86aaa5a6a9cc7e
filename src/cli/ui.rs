//! The one place that prints: data on stdout, talk on stderr.

use std::io::{self, IsTerminal, Write};

use crate::error::{Error, Result};

/// Where a command's words go.
#[derive(Debug, Clone)]
pub struct Ui {
    quiet: bool,
    terminal: bool,
}

impl Ui {
    /// Talks to the process's own streams; `quiet` leaves only data, warnings and errors.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal() && !plain() }
    }

    /// Whether progress may be drawn over itself.
    pub fn draws(&self) -> bool {
        self.terminal && !self.quiet
    }

    /// Whether talk is wanted at all.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Data: what a pipe wants. A reader that has gone away is no error.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when stdout cannot be written.
    pub fn data(&self, text: impl AsRef<str>) -> Result<()> {
        let mut out = io::stdout().lock();
        let text = &printable(text.as_ref());
        let written = out.write_all(text.as_bytes()).and_then(|()| match text.ends_with('\n') {
            true => out.flush(),
            false => out.write_all(b"\n").and_then(|()| out.flush()),
        });
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::general(format!("cannot write to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Talk: which source, which layout, what is being waited for.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.line(text.as_ref());
        }
    }

    /// Something that went on but should be known, quiet or not.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.line(&format!("warning: {}", text.as_ref()));
    }

    /// What to do next.
    pub fn hint(&self, text: impl AsRef<str>) {
        self.say(format!("hint: {}", text.as_ref()));
    }

    /// The error that ends the command.
    pub fn error(&self, error: &Error) {
        self.line(&error.to_string());
    }

    fn line(&self, text: &str) {
        // nobody is left to tell when stderr itself is gone
        let _ = writeln!(io::stderr().lock(), "{}", printable(text));
    }
}

/// Whether escape sequences are unwanted: <https://no-color.org>, <https://bixense.com/clicolors>, and a terminal
/// that says that it knows none.
pub fn plain() -> bool {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|set| set == value);
    std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()) || is("CLICOLOR", "0") || is("TERM", "dumb")
}

/// Text of servers and stores may hold what a terminal takes for commands.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(printable("a\tb\n\u{1b}[31mred\u{9b}2J"), "a\tb\n\u{fffd}[31mred\u{fffd}2J");
    }
}
