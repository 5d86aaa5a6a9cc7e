//! Values and service accounts out of the user's files, or out of stdin.

use std::io::{IsTerminal, Read};
use std::path::Path;

use crate::aws::profile::Kind;
use crate::aws::read::{MAX_BYTES, user_file};
use crate::cassandra::secret;
use crate::cli::Ui;
use crate::error::{Error, Result};

/// The one value that a file holds; a line break at its end is left out, and that is said.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for a file that cannot be read or holds no value.
pub(super) fn value(path: &Path, ui: &Ui) -> Result<String> {
    let (shown, text) = text(path, ui)?;
    let (value, broken) = secret::value(&shown, &text)?;
    if broken {
        ui.say(format!("{shown} ends with a line break, which is left out: with it no signature is right"));
    }
    Ok(value)
}

/// A file's name for messages, and its text; `-` is stdin.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for a file that cannot be read, and
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a terminal, which would show what is typed.
pub(super) fn text(path: &Path, ui: &Ui) -> Result<(String, String)> {
    if path.as_os_str() == "-" {
        return Ok(("stdin".to_owned(), stdin()?));
    }
    let shown = path.display().to_string();
    let file = user_file(path, Kind::Credentials)?;
    let file = file.ok_or_else(|| Error::denied(format!("cannot read {shown}: no such file")))?;
    file.warnings.iter().for_each(|warning| ui.warn(warning));
    Ok((shown, file.text))
}

fn stdin() -> Result<String> {
    let stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Error::usage("- would read a secret from this terminal, which shows what is typed")
            .hint("redirect a file or a pipe into it"));
    }
    let mut bytes = Vec::new();
    let read = stdin.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::denied(format!("cannot read stdin: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Error::denied("stdin is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| Error::denied("stdin is not text"))
}
