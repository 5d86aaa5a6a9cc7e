//! Answers to a shell that completes a word: kubectl's protocol, and the scripts of `completion`.
//!
//! kubectl runs `kubectl_complete-etcdbackup WORD… CURRENT`, reads lines `value<TAB>description`, and last a
//! line `:N`, a bit mask of cobra. Source: kubernetes/kubectl, pkg/cmd/plugin/plugin_completion.go (v1.26 and
//! later); spf13/cobra, completions.go. Whatever fails, fails silently: the shell's line is no place for it.

pub mod live;
mod typed;

use std::ffi::OsString;
use std::io::Write;

use clap::CommandFactory;
use clap_complete::engine::{CompletionCandidate, complete};
use clap_complete::env::CompleteEnv;

use super::Cli;
use typed::Words;

/// The program as a shell finds it on PATH.
pub const PROGRAM: &str = "kubectl-etcdbackup";

/// Set by the scripts of `completion` when they ask for candidates; its value is the shell.
pub const VARIABLE: &str = "KUBECTL_ETCDBACKUP_COMPLETE";

/// cobra's ShellCompDirectiveDefault: no candidates means files.
const FILES: &str = ":0\n";
/// cobra's ShellCompDirectiveNoFileComp.
const NO_FILES: &str = ":4\n";

/// Answers if a shell asked; `false` when this process was started for anything else.
pub fn answered() -> bool {
    let words = Words::of_process();
    if words.by_kubectl() {
        // a shell that has gone away is no error
        let _ = std::io::stdout().lock().write_all(for_kubectl(&words).as_bytes());
        return true;
    }
    let wants_flags = words.current().starts_with('-');
    let scripts = CompleteEnv::with_factory(|| command(wants_flags)).var(VARIABLE).bin(PROGRAM).completer(PROGRAM);
    let here = std::env::current_dir().ok();
    scripts.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

fn for_kubectl(words: &Words) -> String {
    let mut command = command(words.current().starts_with('-'));
    command.build();
    if words.take_a_path(&command) {
        return FILES.to_owned();
    }
    let typed = std::iter::once(PROGRAM).chain(words.all()).map(OsString::from).collect();
    let found = complete(&mut command, typed, words.index() + 1, None).unwrap_or_default();
    let mut lines: String = found.iter().filter_map(|candidate| line(candidate, words.current())).collect();
    lines.push_str(NO_FILES);
    lines
}

/// One candidate as cobra's scripts read it. They put `--flag=` before the value again themselves.
fn line(candidate: &CompletionCandidate, current: &str) -> Option<String> {
    let value = candidate.get_value().to_str()?;
    let before = match current.split_once('=') {
        Some((flag, _)) if flag.starts_with('-') => flag.len() + 1,
        None if value.starts_with('-') && !current.starts_with('-') => return None,
        _ => 0,
    };
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.lines().next().unwrap_or_default();
    let tab = if help.is_empty() { "" } else { "\t" };
    Some(format!("{}{tab}{help}\n", value.get(before..)?))
}

/// The command line as the engine should see it: flags only come up where one was begun, or nothing else fits.
fn command(flags: bool) -> clap::Command {
    // the engine offers only the first of a command's visible names in the alphabet
    let command = Cli::command().mut_subcommand("get", |get| get.visible_alias(None).alias("download"));
    let command = command
        .mut_arg("namespace", |flag| flag.add(live::namespaces()))
        .mut_arg("context", |flag| flag.add(live::contexts()))
        .mut_arg("kube_cluster", |flag| flag.add(live::kube_clusters()))
        .mut_arg("user", |flag| flag.add(live::users()));
    if flags { command } else { with_flags_hidden(command) }
}

fn with_flags_hidden(command: clap::Command) -> clap::Command {
    let hidden = |argument: clap::Arg| if argument.is_positional() { argument } else { argument.hide(true) };
    command.disable_help_flag(true).mut_args(hidden).mut_subcommands(with_flags_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Vec<String> {
        let answer = for_kubectl(&Words::for_kubectl(&line.split(' ').collect::<Vec<_>>()));
        answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn every_command_is_offered_by_its_own_name() {
        let offered = values("");
        for command in Cli::command().get_subcommands() {
            assert!(offered.contains(&command.get_name().to_owned()), "{}: {offered:?}", command.get_name());
        }
        assert_eq!(offered.last().map(String::as_str), Some(":4"));
        assert_eq!(values("down"), ["download", ":4"]);
    }

    #[test]
    fn flags_come_up_only_where_one_was_begun() {
        assert!(values("agent ").iter().all(|value| !value.starts_with('-')));
        assert_eq!(values("version "), [":4"]);
        assert_eq!(values("get a --rev"), ["--revision", ":4"]);
        assert!(values("get a --").contains(&"--context".to_owned()));
    }

    #[test]
    fn values_of_a_flag_come_without_the_flag() {
        assert_eq!(values("get a --from "), ["auto", "service", "s3", "pv", "dir", ":4"]);
        assert_eq!(values("get a --from=s"), ["service", "s3", ":4"]);
        assert_eq!(values("get a --region "), [":4"]);
    }

    #[test]
    fn paths_are_left_to_the_shell() {
        for line in ["get a -O ", "get a --output-file=/t", "get a --kubeconfig x", "version --certificate-authority "]
        {
            assert_eq!(values(line), [":0"], "{line}");
        }
    }
}
