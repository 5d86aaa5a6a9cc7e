//! The words that were typed so far, as far as completion needs to understand them.

use std::ffi::OsString;

use clap::{Arg, Args, Command, FromArgMatches, ValueHint};

use crate::cli::{KubeFlags, TalkFlags};

/// What kubectl's name for a plugin's completion begins with.
const KUBECTL_NAME: &str = "kubectl_complete-";
/// Set by the scripts of bash and zsh, whose last word need not be the one at the cursor (clap_complete, env).
const INDEX: &str = "_CLAP_COMPLETE_INDEX";

/// The words after the program's name, and which one of them is being completed.
pub(super) struct Words {
    words: Vec<String>,
    index: usize,
    by_kubectl: bool,
}

impl Words {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let index = std::env::var(INDEX).ok().and_then(|text| text.parse().ok());
        Self::of(std::env::args_os().collect(), index)
    }

    fn of(arguments: Vec<OsString>, index: Option<usize>) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let program = arguments.first().map(std::path::Path::new).and_then(|path| path.file_name()?.to_str());
        if program.is_some_and(|name| name.starts_with(KUBECTL_NAME)) {
            return Self::for_kubectl(&arguments[1..]);
        }
        // PROGRAM -- PROGRAM WORD…
        let words: Vec<String> = arguments.into_iter().skip_while(|word| word != "--").skip(2).collect();
        let last = words.len().saturating_sub(1);
        Self { index: index.map_or(last, |index| index.saturating_sub(1)), words, by_kubectl: false }
    }

    /// As kubectl passes them: the last one is being completed.
    pub(super) fn for_kubectl(words: &[impl ToString]) -> Self {
        let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
        if words.is_empty() {
            words.push(String::new());
        }
        Self { index: words.len() - 1, words, by_kubectl: true }
    }

    /// Whether the process was started under kubectl's name for completion.
    pub(super) fn by_kubectl(&self) -> bool {
        self.by_kubectl
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The word at the cursor; empty when none was begun.
    pub(super) fn current(&self) -> &str {
        self.words.get(self.index).map_or("", String::as_str)
    }

    /// kubectl's flags among the words, wherever they are; the command line need not be complete, nor right.
    pub(super) fn kube_flags(&self) -> KubeFlags {
        let command = Command::new("flags").no_binary_name(true).args_override_self(true);
        let command = TalkFlags::augment_args(KubeFlags::augment_args(command));
        let matches = command.clone().try_get_matches_from(self.normalised(&command)).ok();
        matches.and_then(|matches| KubeFlags::from_arg_matches(&matches).ok()).unwrap_or_default()
    }

    /// The flags that `command` knows, as `--flag` or `--flag=value`.
    fn normalised(&self, command: &Command) -> Vec<String> {
        let mut found = Vec::new();
        // bash takes `--flag=value` for three words
        let mut words =
            self.words.iter().enumerate().filter(|(_, word)| *word != "=").take_while(|(_, word)| *word != "--");
        while let Some((at, word)) = words.next() {
            let Some((flag, value)) = flag(command, word).filter(|_| at != self.index) else { continue };
            let Some(long) = flag.get_long() else { continue };
            if !flag.get_action().takes_values() {
                found.push(format!("--{long}"));
                continue;
            }
            let value = value.map(|value| (at, value)).or_else(|| words.next().map(|(at, value)| (at, value.as_str())));
            if let Some((_, value)) = value.filter(|(at, _)| *at != self.index) {
                found.push(format!("--{long}={value}"));
            }
        }
        found
    }

    /// Whether the word at the cursor is a path for the command that was typed; `root` has been built.
    pub(super) fn take_a_path(&self, root: &Command) -> bool {
        let before = self.words.get(..self.index).unwrap_or_default();
        let level = before.iter().fold(root, |level, word| level.find_subcommand(word).unwrap_or(level));
        let joined = flag(level, self.current()).filter(|(_, value)| value.is_some());
        let separate = before.last().and_then(|word| flag(level, word)).filter(|(_, value)| value.is_none());
        let of_flag = joined.or(separate).map(|(flag, _)| flag).filter(|flag| flag.get_action().takes_values());
        match of_flag {
            Some(flag) => is_path(flag),
            None => !self.current().starts_with('-') && level.get_positionals().any(is_path),
        }
    }
}

fn is_path(argument: &Arg) -> bool {
    use ValueHint::{AnyPath, DirPath, ExecutablePath, FilePath};
    matches!(argument.get_value_hint(), AnyPath | FilePath | DirPath | ExecutablePath)
}

/// The flag of `command` that `word` names, and the value that the same word gives it. Of joined short flags
/// only the one that takes a value counts.
fn flag<'c, 'w>(command: &'c Command, word: &'w str) -> Option<(&'c Arg, Option<&'w str>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (long, value) = long.split_once('=').map_or((long, None), |(long, value)| (long, Some(value)));
        return Some((command.get_arguments().find(|flag| flag.get_long() == Some(long))?, value));
    }
    let mut rest = word.strip_prefix('-')?.chars();
    loop {
        let short = rest.next()?;
        let flag = command.get_arguments().find(|flag| flag.get_short() == Some(short))?;
        if flag.get_action().takes_values() {
            let value = rest.as_str();
            let value = value.strip_prefix('=').unwrap_or(value);
            return Some((flag, Some(value).filter(|value| !value.is_empty())));
        }
        if rest.as_str().is_empty() {
            return Some((flag, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> KubeFlags {
        Words::for_kubectl(&line.split(' ').collect::<Vec<_>>()).kube_flags()
    }

    #[test]
    fn kubectls_flags_are_understood_wherever_and_however_they_are_written() {
        let want = |flags: KubeFlags| (flags.namespace, flags.context, flags.as_user, flags.as_group.len());
        let all = (Some("ns".to_owned()), Some("c".to_owned()), Some("u".to_owned()), 2);
        for line in [
            "-n ns get --context c --as u --as-group g --as-group h ",
            "get --nope x -qnns etcd-a --context=c -o json --as=u --as-group=g --as-group=h --secret ",
            "get -n=other -n ns --context = c --as u --as-group g --as-group h -- -n no ",
        ] {
            assert_eq!(want(flags(line)), all, "{line}");
        }
    }

    #[test]
    fn the_word_at_the_cursor_is_not_taken_for_a_value() {
        assert_eq!(flags("get -n ").namespace, None);
        assert_eq!(flags("get --namespace=de").namespace, None);
        assert_eq!(flags("get --request-timeout nonsense x").namespace, None);
        let words = ["p", "--", "p", "get", "-n", "", "--context", "c"].map(OsString::from).to_vec();
        let flags = Words::of(words, Some(3)).kube_flags();
        assert_eq!((flags.namespace, flags.context.as_deref()), (None, Some("c")));
    }

    #[test]
    fn the_name_of_the_program_tells_who_asks() {
        let words = |program: &str| Words::of([program, "get", "a"].map(OsString::from).to_vec(), None);
        assert!(words("/bin/kubectl_complete-etcdbackup").by_kubectl());
        assert!(!words("kubectl-etcdbackup").by_kubectl());
        assert_eq!(words("kubectl_complete-etcdbackup.exe").current(), "a");
    }
}
