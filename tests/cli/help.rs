//! `--help` of every command: what a person finds there, and that it is true.

use clap::{Command, CommandFactory, Parser};
use kubectl_etcdbackup::cli::Cli;

/// The start of every example's command.
const PLUGIN: &str = "kubectl etcdbackup";

/// Every command that can be typed, with its words; the first is the plugin itself.
pub fn commands() -> Vec<(String, Command)> {
    let mut root = Cli::command();
    root.build();
    let mut found = vec![(PLUGIN.to_owned(), root)];
    let mut next = 0;
    while let Some((words, command)) = found.get(next).cloned() {
        found.extend(command.get_subcommands().map(|one| (format!("{words} {}", one.get_name()), one.clone())));
        next += 1;
    }
    found
}

fn after_help(command: &Command) -> String {
    command.get_after_long_help().map(ToString::to_string).unwrap_or_default()
}

/// The commands of the examples, a continued line joined.
fn examples(command: &Command) -> Vec<String> {
    let joined = after_help(command).replace("\\\n", " ");
    let lines = joined.lines().filter(|line| line.starts_with("  ") && !line.trim_start().starts_with('#'));
    lines.filter_map(|line| Some(line[line.find(PLUGIN)?..].to_owned())).collect()
}

/// The words of `example` as a shell would pass them, up to a pipe, a redirection or a closing parenthesis.
fn words(example: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in example.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(end)) if c == end => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('|' | '>' | ')' | '&' | ';', None) => break,
            (' ', None) => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.into_iter().chain(word).collect()
}

#[test]
fn every_command_has_a_line_a_text_examples_its_rbac_and_the_way_to_the_exit_codes() {
    for (words, command) in commands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains('\n') && !about.ends_with('.'), "{words}: {about:?}");
        assert!(long.len() > about.len(), "{words}: no text");
        let after = after_help(&command);
        assert!(after.contains("\nRBAC:"), "{words}: no RBAC");
        assert!(after.contains("\nExit codes:"), "{words}: no exit codes");
        // manifests start these, not people; one line shows what the manifest says
        let in_cluster =
            words.starts_with("kubectl etcdbackup operator") || words.starts_with("kubectl etcdbackup agent");
        let least = if in_cluster { 1 } else { 5 };
        let own = examples(&command);
        assert!(own.len() >= least, "{words}: {} examples", own.len());
        if words != PLUGIN {
            assert!(own.iter().all(|one| one.starts_with(&words)), "{words}: {own:?}");
        }
    }
}

#[test]
fn every_example_is_a_command_line_that_parses() {
    for (name, command) in commands() {
        for example in examples(&command) {
            let words = words(&example);
            let parsed = Cli::try_parse_from(&words[1..]);
            assert!(parsed.is_ok(), "{name}: {example}\n{}", parsed.unwrap_err());
        }
    }
}

#[test]
fn every_line_of_help_fits_80_columns() {
    for (words, command) in commands() {
        let (mut short, mut long) = (command.clone(), command.clone());
        let texts = [short.render_help(), long.render_long_help()].map(|text| text.to_string());
        // wrapped by clap, an example would no longer be what it was
        let lines = texts.iter().flat_map(|text| text.lines().map(str::to_owned));
        for line in lines.chain(after_help(&command).lines().map(str::to_owned)) {
            assert!(line.chars().count() <= 80, "{words}: {line}");
        }
    }
}

/// What each `--help` says, without the flags that all commands share, which are those of the first.
fn reference() -> String {
    let mut text = "# Reference\n\nWhat `--help` of each command says. The flags of `kubectl etcdbackup` itself are \
                    those of all commands, and are not repeated.\n\nWritten by `WRITE_REFERENCE=1 cargo test --test cli \
                    reference`, and compared by every run of the tests.\n"
        .to_owned();
    for (words, command) in commands() {
        let of_all = |arg: clap::Arg| if arg.is_global_set() && words != PLUGIN { arg.hide(true) } else { arg };
        let help = command.clone().term_width(80).mut_args(of_all).render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        text.push_str(&format!("\n## {words}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    }
    text
}

#[cfg(feature = "volumes")]
#[test]
fn the_reference_in_docs_is_what_help_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let wanted = reference();
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference.md is not what --help says: WRITE_REFERENCE=1 cargo test --test cli reference"
    );
}

#[test]
fn the_words_of_an_example_are_those_of_a_shell() {
    assert_eq!(words("a  --b='c d' \"e\" '' | jq"), ["a", "--b=c d", "e", ""]);
}
