//! Questions on the terminal of stderr. Ctrl-C, Escape, a hang-up and a signal end each of them with exit code 130, and
//! leave the terminal as it was. Where escape sequences are unwanted, a choice is a number and a line.
//!
//! They block the thread that they run on, which must be the process's first one: the kernel gives it a signal of the
//! process, and only a signal on the waiting thread breaks the wait.

use std::io;

use dialoguer::console::{Key, Term};
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Select};

use crate::cli::ui::{one_line, plain};
use crate::error::{Error, Result};

/// Most bytes of an answer: more than any flag takes.
const LONGEST: usize = 4096;

/// One of `items`; its index.
///
/// # Errors
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted), as all of this module.
pub(super) fn choose(question: &str, items: &[String]) -> Result<usize> {
    let items = &items.iter().map(|item| one_line(item)).collect::<Vec<_>>()[..];
    if plain() {
        return choose_by_number(question, items);
    }
    let theme = ColorfulTheme::default();
    let select = Select::with_theme(&theme).with_prompt(question).items(items).default(0).report(true);
    ended(select.interact_opt())
}

fn choose_by_number(question: &str, items: &[String]) -> Result<usize> {
    show(&format!("{question}:\n"))?;
    items.iter().zip(1..).try_for_each(|(item, number)| show(&format!("  {number}  {item}\n")))?;
    let number = |text: &str| number(text, items.len());
    number(&text("Number (Enter for 1)", |answer| number(answer).map(drop))?)
}

/// The index that a number from 1 on says; nothing is the first.
fn number(text: &str, most: usize) -> Result<usize> {
    match text {
        "" => Some(0),
        _ => text.parse::<usize>().ok().filter(|number| (1..=most).contains(number)).map(|number| number - 1),
    }
    .ok_or_else(|| Error::usage(format!("not a number from 1 to {most}")))
}

/// Yes or no; Enter alone is no.
///
/// # Errors
/// As [`choose`].
pub(super) fn yes(question: &str) -> Result<bool> {
    if plain() {
        return yes_or_no(&text(&format!("{question} [y/N]"), |answer| yes_or_no(answer).map(drop))?);
    }
    let theme = ColorfulTheme::default();
    ended(Confirm::with_theme(&theme).with_prompt(question).default(false).interact_opt())
}

fn yes_or_no(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "" | "n" | "no" => Ok(false),
        _ => Err(Error::usage("answer y or n")),
    }
}

/// One of `known` or a text of one's own; only the text where nothing is known.
///
/// # Errors
/// As [`choose`].
pub(super) fn one_of(
    question: &str,
    known: &[String],
    other: &str,
    check: impl Fn(&str) -> Result<()>,
) -> Result<String> {
    if known.is_empty() {
        return text(question, check);
    }
    let items: Vec<String> = known.iter().cloned().chain([other.to_owned()]).collect();
    match known.get(choose(question, &items)?) {
        Some(name) => Ok(name.clone()),
        None => text(question, check),
    }
}

/// A line of text that passes `check`; asked again until one does.
///
/// # Errors
/// As [`choose`].
pub(super) fn text(question: &str, check: impl Fn(&str) -> Result<()>) -> Result<String> {
    let term = Term::stderr();
    loop {
        let line = read_line(&term, &format!("{question}: ")).map_err(|error| broken(&error))?;
        match check(line.trim()) {
            Ok(()) => return Ok(line.trim().to_owned()),
            Err(error) => term.write_line(&format!("  {}", error.message())).map_err(|error| broken(&error))?,
        }
    }
}

/// Text that belongs to the next question, and is therefore shown even when talk is unwanted.
///
/// # Errors
/// As [`choose`].
pub(super) fn show(text: &str) -> Result<()> {
    Term::stderr().write_str(text).map_err(|error| broken(&error))
}

/// dialoguer's own input cannot be left with Escape.
fn read_line(term: &Term, prompt: &str) -> io::Result<String> {
    term.write_str(prompt)?;
    let mut line = String::new();
    loop {
        match term.read_key_raw()? {
            Key::Enter => return term.write_line("").map(|()| line),
            Key::Escape | Key::CtrlC | Key::Char('\u{4}') => {
                term.write_line("")?;
                return Err(io::ErrorKind::Interrupted.into());
            }
            // no escape sequence: the terminal may know none
            Key::Backspace if line.pop().is_some() => term.write_str("\u{8} \u{8}")?,
            Key::Char(key) if !key.is_control() && line.len() < LONGEST => {
                line.push(key);
                term.write_str(key.encode_utf8(&mut [0; 4]))?;
            }
            _ => {}
        }
    }
}

/// `None` is Escape or q.
fn ended<T>(answer: dialoguer::Result<Option<T>>) -> Result<T> {
    answer.map_err(|dialoguer::Error::IO(error)| broken(&error))?.ok_or_else(interrupted)
}

fn broken(error: &io::Error) -> Error {
    // dialoguer hides the cursor and leaves it hidden when it is broken off
    if !plain() {
        let _ = Term::stderr().show_cursor();
    }
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof => interrupted(),
        _ => Error::general(format!("cannot ask on this terminal: {error}")),
    }
}

fn interrupted() -> Error {
    Error::interrupted("interrupted; nothing was made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_numbered_from_one() {
        assert_eq!(["", "1", "3"].map(|text| number(text, 3).ok()), [Some(0), Some(0), Some(2)]);
        for bad in ["0", "4", "-1", "x"] {
            assert!(number(bad, 3).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        assert_eq!(["Y", "yes", "", "no"].map(|text| yes_or_no(text).ok()), [true, true, false, false].map(Some));
        assert!(yes_or_no("maybe").is_err());
    }
}
