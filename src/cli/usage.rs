//! Usage errors in kubectl's words: one sentence, and where the help is.

use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Cli, Ui, words};
use crate::error::Error;

/// The words before a command.
const PROGRAM: &str = "kubectl etcdbackup";

/// Prints help where it was asked for, else the usage error; returns the process's exit code.
pub fn report(error: &clap::Error) -> ExitCode {
    let ui = Ui::new(false);
    // as kubectl, a group of commands without a command shows its help, and that is no failure
    let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand || !error.use_stderr();
    let ours = match help {
        true => match ui.data(error.render().to_string()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(unwritten) => unwritten,
        },
        false => from_clap(error, &command_words()),
    };
    ui.error(&ours);
    ExitCode::from(ours.kind().exit_code())
}

/// `kubectl etcdbackup get` out of the words that were typed.
fn command_words() -> String {
    let root = Cli::command();
    let mut words = vec![PROGRAM.to_owned()];
    let mut level = &root;
    for word in std::env::args().skip(1) {
        if let Some(next) = level.find_subcommand(&word) {
            words.push(next.get_name().to_owned());
            level = next;
        }
    }
    words.join(" ")
}

/// Turns clap's account of a wrong command line into ours; `command` is the words before the flags.
pub fn from_clap(error: &clap::Error, command: &str) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // clap puts the most similar one last
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let invalid = text(ContextKind::InvalidArg).unwrap_or_default();
    let unknown = text(ContextKind::InvalidSubcommand).unwrap_or_default();
    let sentence = match error.kind() {
        ErrorKind::UnknownArgument if invalid.starts_with('-') => {
            format!("unknown flag: {}", invalid.split(' ').next().unwrap_or(&invalid))
        }
        ErrorKind::UnknownArgument => format!("unexpected argument {invalid:?}"),
        ErrorKind::InvalidSubcommand => format!("unknown command {unknown:?} for {command:?}"),
        ErrorKind::MissingRequiredArgument => format!("required: {}", missing(error)),
        _ => first_sentence(error),
    };
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let similar = || suggested.into_iter().find_map(text).map(|similar| format!("did you mean {similar:?}?"));
    // before what is similar: to clap, "restore" is "create"
    let meant = match command {
        PROGRAM => words::meant(&unknown, Cli::command().get_subcommands().map(clap::Command::get_name)),
        _ => None,
    };
    let ours = Error::usage(sentence);
    let ours = match meant.or_else(similar) {
        Some(way) => ours.hint(way),
        None => ours,
    };
    ours.hint(format!("see '{command} --help' for usage"))
}

/// The arguments that are missing, without clap's brackets around a positional one alone.
fn missing(error: &clap::Error) -> String {
    let Some(ContextValue::Strings(names)) = error.get(ContextKind::InvalidArg) else { return String::new() };
    let bare =
        |name: &String| name.strip_prefix('<').and_then(|name| name.strip_suffix('>')).unwrap_or(name).to_owned();
    let names: Vec<String> = names.iter().map(bare).collect();
    let mistaken = names == ["CLUSTER"] && std::env::args().any(|word| word.split('=').next() == Some("--cluster"));
    let note =
        if mistaken { ", the etcd cluster, as a word of its own (--cluster is one of the kubeconfig)" } else { "" };
    names.join(", ") + note
}

/// clap's own sentence without its `error: ` and without the usage that follows.
fn first_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
