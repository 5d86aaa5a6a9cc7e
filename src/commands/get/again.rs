//! The command that was typed, with one thing changed: what a hint can offer to paste.

/// The words after the program's name.
#[derive(Debug, Clone)]
pub(super) struct Again(Vec<String>);

impl Again {
    /// The words of this process.
    pub(super) fn typed() -> Self {
        Self(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect())
    }

    /// The command as it was typed.
    pub(super) fn same(&self) -> String {
        self.without(&[]).join(" ")
    }

    /// The command that lists what a `get` chose from.
    pub(super) fn listing(&self) -> String {
        let mut words = self.without(&OF_GET_ALONE);
        if let Some(verb) = words.iter_mut().find(|word| matches!(word.as_str(), "get" | "download")) {
            "list".clone_into(verb);
        }
        words.join(" ")
    }

    /// The command with `flag`, and without what was said with it before.
    pub(super) fn with(&self, flag: &str, value: Option<&str>) -> String {
        let mut words = self.without(&[(flag, value.is_some())]);
        words.push(flag.to_owned());
        words.extend(value.map(quoted));
        words.join(" ")
    }

    /// The words but some flags, with their values where they take one.
    fn without(&self, flags: &[(&str, bool)]) -> Vec<String> {
        let mut words = vec!["kubectl".to_owned(), "etcdbackup".to_owned()];
        let mut given = self.0.iter();
        while let Some(word) = given.next() {
            match flags.iter().find(|(flag, valued)| begins(word, flag, *valued)) {
                Some((flag, valued)) => {
                    if *valued && word == flag {
                        given.next();
                    }
                }
                // the secret was typed once; it need not be shown too
                None if word == "--token" => {
                    given.next();
                    words.push("--token=…".to_owned());
                }
                None if word.starts_with("--token=") => words.push("--token=…".to_owned()),
                None => words.push(quoted(word)),
            }
        }
        words
    }
}

/// What `list` does not know, and whether a value follows.
const OF_GET_ALONE: [(&str, bool); 8] = [
    ("-O", true),
    ("--output-file", true),
    ("--force", false),
    ("--revision", true),
    ("--etcd-version", true),
    ("--concurrency", true),
    ("--part-size", true),
    ("--stall-timeout", true),
];

/// Whether a word is this flag, alone or with its value.
fn begins(word: &str, flag: &str, valued: bool) -> bool {
    word.strip_prefix(flag).is_some_and(|rest| match flag.starts_with("--") {
        true => rest.is_empty() || rest.starts_with('='),
        false => rest.is_empty() || valued,
    })
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(words: &str, flag: &str, value: Option<&str>) -> String {
        Again(words.split(' ').map(str::to_owned).collect()).with(flag, value)
    }

    #[test]
    fn a_flag_is_replaced_and_the_rest_stays() {
        let expected = "kubectl etcdbackup get etcd-a -n x --revision 14";
        for typed in ["get etcd-a -n x", "get etcd-a --revision 15 -n x", "get etcd-a --revision=0xf -n x"] {
            assert_eq!(with(typed, "--revision", Some("14")), expected);
        }
        assert_eq!(with("get a --force", "--force", None), "kubectl etcdbackup get a --force");
    }

    #[test]
    fn the_command_that_lists_keeps_the_cluster_and_the_place() {
        let listing = |words: &str| Again(words.split(' ').map(str::to_owned).collect()).listing();
        let expected = "kubectl etcdbackup list etcd-a -n x --bucket b --prefix p";
        for typed in [
            "get etcd-a -n x --bucket b --prefix p",
            "download etcd-a -n x -O out --force --bucket b --prefix p --revision=15",
            "get etcd-a -n x -Oout --bucket b --etcd-version 3.5.21 --prefix p --part-size 8 --stall-timeout 1s",
        ] {
            assert_eq!(listing(typed), expected);
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell_and_secrets_left_out() {
        assert_eq!(with("get it's", "--force", None), r"kubectl etcdbackup get 'it'\''s' --force");
        for typed in ["get a --token s3cret", "get a --token=s3cret"] {
            assert_eq!(with(typed, "--force", None), "kubectl etcdbackup get a --token=… --force");
        }
    }
}
