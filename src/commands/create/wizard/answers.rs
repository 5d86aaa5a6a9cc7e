//! Answers to flags, and flags to arguments: pure.

use std::ffi::OsString;

use clap::Parser;

use super::super::Args;
use crate::cli::{Cli, Command, usage};
use crate::error::{Error, Result};

/// Where the backup's AWS credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// A Secret that is there.
    Secret(String),
    /// A Secret to be made from this profile; empty for the default one.
    Profile(String),
    /// None: the pod's own identity.
    Ambient,
}

/// What was answered; an empty text is the answer "none".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub cluster: Option<String>,
    pub access: Option<Access>,
    pub bucket: Option<String>,
    pub prefix: Option<String>,
    pub every: Option<&'static str>,
    pub keep: Option<String>,
}

impl Answers {
    /// The words of a command line that say the same.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.cluster.iter().cloned().collect();
        let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        let texts = [("--bucket", &self.bucket), ("--prefix", &self.prefix), ("--keep", &self.keep)];
        for (name, text) in texts {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                flag(name, text);
            }
        }
        if let Some(every) = self.every {
            flag("--every", every);
        }
        match &self.access {
            Some(Access::Secret(name)) => flag("--secret", name),
            Some(Access::Profile(profile)) if !profile.is_empty() => flag("--profile", profile),
            Some(Access::Profile(_)) => words.push("--with-credentials".to_owned()),
            Some(Access::Ambient) => words.push("--ambient".to_owned()),
            None => {}
        }
        words
    }
}

/// The arguments that the given words and the answers make together.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage), as if the words had been typed.
pub(super) fn args(given: &[OsString], answers: &Answers) -> Result<Args> {
    let program = std::iter::once(OsString::from("kubectl-etcdbackup"));
    let words = program.chain(given.iter().cloned()).chain(answers.words().into_iter().map(OsString::from));
    let cli = Cli::try_parse_from(words).map_err(|error| usage::from_clap(&error, "kubectl etcdbackup create"))?;
    match cli.command {
        Command::Create(args) => Ok(args),
        _ => Err(Error::usage("the words before the answers are not those of create")),
    }
}

/// Whether an answer would be taken as a flag's value.
///
/// # Errors
/// As [`args`].
pub(super) fn check(given: &[OsString], answer: &Answers) -> Result<()> {
    args(given, answer).map(|_| ())
}

/// The command line for a shell; a bearer token is left out.
pub(super) fn command_line(given: &[OsString], answers: &Answers) -> String {
    let mut line = "kubectl etcdbackup".to_owned();
    let given = given.iter().map(|word| word.to_string_lossy().into_owned());
    let mut after_token = false;
    for word in given.chain(answers.words()) {
        let shown = match word.strip_prefix("--token=") {
            Some(_) => "--token=\"$TOKEN\"".to_owned(),
            None if after_token => "\"$TOKEN\"".to_owned(),
            None => quoted(&word),
        };
        after_token = word == "--token";
        line.push(' ');
        line.push_str(&shown);
    }
    line
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn given(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn answers_become_the_flags_that_would_say_the_same() {
        let answers = Answers {
            cluster: text("etcd-a"),
            access: Some(Access::Profile("work".to_owned())),
            bucket: text("s3://etcd-backups/"),
            prefix: text("team x"),
            every: Some("24h"),
            keep: text("7"),
        };
        let given = given("create -n databases --dry-run=client");
        let args = args(&given, &answers).unwrap();
        assert_eq!((args.cluster.as_deref(), args.s3.bucket.as_deref()), (Some("etcd-a"), Some("etcd-backups")));
        assert_eq!((args.s3.prefix.as_deref(), args.from.profile.as_deref()), (Some("team x"), Some("work")));
        assert!(args.policy.repeats() && !args.policy.keeps_all());
        assert_eq!(
            command_line(&given, &answers),
            "kubectl etcdbackup create -n databases --dry-run=client etcd-a --bucket s3://etcd-backups/ --prefix 'team x' \
             --keep 7 --every 24h --profile work"
        );
    }

    #[test]
    fn empty_answers_are_no_flags() {
        let answers = Answers {
            prefix: text(""),
            keep: text(""),
            access: Some(Access::Profile(String::new())),
            ..Answers::default()
        };
        assert_eq!(answers.words(), ["--with-credentials"]);
        assert_eq!(Answers { access: Some(Access::Ambient), ..Answers::default() }.words(), ["--ambient"]);
    }

    #[test]
    fn a_wrong_answer_is_told_as_the_flag_would_tell_it() {
        let wrong = |answers: Answers| check(&given("create etcd-a"), &answers).unwrap_err();
        let error = wrong(Answers { bucket: text("no bucket"), ..Answers::default() });
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains("--bucket"), "{error}");
        for bucket in ["--ambient", "-q"] {
            wrong(Answers { bucket: text(bucket), ..Answers::default() });
        }
        wrong(Answers { keep: text("many"), ..Answers::default() });
    }

    #[test]
    fn the_shown_command_is_safe_to_paste_and_shows_no_token() {
        let answers = Answers { prefix: text("a'b;$(c)"), ..Answers::default() };
        assert_eq!(
            command_line(&given("--token secret create --token=secret"), &answers),
            r#"kubectl etcdbackup --token "$TOKEN" create --token="$TOKEN" --prefix 'a'\''b;$(c)'"#
        );
    }
}
