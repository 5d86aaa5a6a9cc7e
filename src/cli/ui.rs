//! The one place that prints: data on stdout, talk on stderr.

use std::io::{self, IsTerminal, Write};

use crate::error::{Error, Result, continued};

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

    /// Lines and tables: what a pipe wants and people read. A reader that has gone away is no error.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when stdout cannot be written.
    pub fn data(&self, text: impl AsRef<str>) -> Result<()> {
        self.document(visible(text.as_ref()))
    }

    /// JSON and YAML: for programs, to the byte.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn document(&self, text: impl AsRef<str>) -> Result<()> {
        let mut out = io::stdout().lock();
        let text = text.as_ref();
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
            self.line(&continued(text.as_ref()));
        }
    }

    /// Something that went on but should be known, quiet or not.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.line(&continued(&format!("warning: {}", text.as_ref())));
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
        let _ = writeln!(io::stderr().lock(), "{}", visible(text));
    }
}

/// Whether escape sequences are unwanted: <https://no-color.org>, <https://bixense.com/clicolors>, and a terminal
/// that says that it knows none.
pub fn plain() -> bool {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|set| set == value);
    std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()) || is("CLICOLOR", "0") || is("TERM", "dumb")
}

/// `text` with escapes such as `\u{1b}` for what commands a terminal or turns the order of letters around: text of
/// servers and stores may hold both. Line breaks and tabs stay.
pub fn visible(text: &str) -> String {
    // Unicode Standard Annex #9, section 2: embeddings, overrides and isolates
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hidden = |c: char| turns(c) || c.is_control() && !matches!(c, '\n' | '\t');
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match hidden(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
        shown
    })
}

/// As [`visible`], in one line: a line break in a name or a cell would be a line of its own.
pub fn one_line(text: &str) -> String {
    visible(&text.replace(['\n', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal_or_turns_letters_around() {
        assert_eq!(visible("a\tb\n\u{1b}[31mred\u{9b}2J\r"), "a\tb\n\\u{1b}[31mred\\u{9b}2J\\u{d}");
        assert_eq!(visible("a\u{202e}cba\u{2066}\u{2069} étcd ملف"), "a\\u{202e}cba\\u{2066}\\u{2069} étcd ملف");
        assert_eq!(one_line("a\nb\tc\u{7f}"), "a b c\\u{7f}");
    }
}
