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
        self.without(None).join(" ")
    }

    /// The command with `flag`, and without what was said with it before.
    pub(super) fn with(&self, flag: &str, value: Option<&str>) -> String {
        let mut words = self.without(Some((flag, value.is_some())));
        words.push(flag.to_owned());
        words.extend(value.map(quoted));
        words.join(" ")
    }

    /// The words but a flag, and its value if it takes one.
    fn without(&self, flag: Option<(&str, bool)>) -> Vec<String> {
        let mut words = vec!["kubectl".to_owned(), "etcdbackup".to_owned()];
        let mut given = self.0.iter();
        while let Some(word) = given.next() {
            match flag {
                Some((flag, valued)) if word == flag => {
                    if valued {
                        given.next();
                    }
                }
                Some((flag, _)) if word.starts_with(&format!("{flag}=")) => {}
                // the secret was typed once; it need not be shown too
                _ if word == "--token" => {
                    given.next();
                    words.push("--token=…".to_owned());
                }
                _ if word.starts_with("--token=") => words.push("--token=…".to_owned()),
                _ => words.push(quoted(word)),
            }
        }
        words
    }
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
    fn words_are_quoted_for_a_shell_and_secrets_left_out() {
        assert_eq!(with("get it's", "--force", None), r"kubectl etcdbackup get 'it'\''s' --force");
        for typed in ["get a --token s3cret", "get a --token=s3cret"] {
            assert_eq!(with(typed, "--force", None), "kubectl etcdbackup get a --token=… --force");
        }
    }
}
