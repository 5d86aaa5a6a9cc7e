//! The questions of `create`, asked on a real pseudo-terminal.

use base64::Engine;
use rustix::process::Signal;
use serde_json::json;

use crate::create_terminal::Terminal;
use crate::fake_api::{Answers, FakeApi, crd};
use crate::sandbox::Sandbox;
use crate::servers::{ROOT, STORE};

const DOWN: &str = "\u{1b}[B";
const ENTER: &str = "\r";
const ESCAPE: &str = "\u{1b}";
const CTRL_C: &str = "\u{3}";

fn terminal(sandbox: &Sandbox, line: &str) -> Terminal {
    Terminal::run(sandbox.command(&line.split_whitespace().collect::<Vec<_>>()))
}

/// Whether the screen got a sequence that ends in `m`, which sets colours and weights.
fn has_colours(shown: &str) -> bool {
    let sequences = shown.split("\u{1b}[").skip(1);
    sequences.into_iter().any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

/// Answers every question up to the last one, where choices are numbers.
fn answer_all_plainly(terminal: &mut Terminal) {
    terminal.answer("etcd cluster: ", "etcd-b\u{7f}a\r");
    terminal.expect("  3  no keys");
    terminal.answer("Number", "4\r");
    terminal.expect("not a number from 1 to 3");
    terminal.answer("Number", "3\r");
    terminal.answer("Bucket: ", "etcd-backups\r");
    terminal.answer("Prefix", ENTER);
    terminal.expect("How often");
    terminal.answer("Number", "2\r");
    terminal.answer("Snapshots to keep", "24\r");
    terminal.expect("backupIntervalInSecond: 3600");
    terminal.expect("Create it?");
}

/// Answers every question up to the last one.
fn answer_all(terminal: &mut Terminal) {
    terminal.answer("etcd cluster: ", "etcd-a\r");
    terminal.answer("AWS credentials", &format!("{DOWN}{DOWN}{ENTER}"));
    terminal.answer("Bucket: ", "etcd-backups\r");
    terminal.answer("Prefix", ENTER);
    terminal.answer("How often", &format!("{DOWN}{ENTER}"));
    terminal.answer("Snapshots to keep", "24\r");
    terminal.expect("backupIntervalInSecond: 3600");
    terminal.expect("Create it?");
}

#[test]
fn answers_do_what_the_command_line_that_is_shown_does() {
    let sandbox = Sandbox::new();
    let mut terminal = terminal(&sandbox, "create -n databases --dry-run=client -o yaml");
    answer_all(&mut terminal);
    terminal.keys("y");
    let (code, stdout, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let line =
        "create -n databases --dry-run=client -o yaml etcd-a --bucket etcd-backups --keep 24 --every 1h --ambient";
    assert!(shown.contains(&format!("kubectl etcdbackup {line}")), "{shown}");
    let typed = sandbox.run(line);
    assert_eq!(String::from_utf8_lossy(&typed.stdout), stdout);
    assert!(stdout.contains("name: etcd-a\n"), "{stdout}");
}

#[test]
fn where_no_escape_sequences_are_wanted_the_questions_have_none() {
    for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let mut sandbox = Sandbox::new();
        sandbox.set(name, value);
        let mut done = terminal(&sandbox, "create --dry-run=client");
        answer_all_plainly(&mut done);
        done.keys("y\r");
        let mut left = terminal(&sandbox, "create etcd-a --dry-run=client");
        left.answer("Number", ESCAPE);
        for (terminal, expected) in [(done, 0), (left, 130)] {
            let (code, stdout, shown) = terminal.end();
            assert_eq!(code, Some(expected), "{name}={value}: {shown:?}");
            assert_eq!(stdout.ends_with("etcd-a created (dry run)\n"), expected == 0, "{stdout}");
            assert!(!shown.contains('\u{1b}'), "{name}={value}: {shown:?}");
        }
    }
}

#[test]
fn only_what_is_missing_is_asked_and_wrong_answers_are_asked_again() {
    let sandbox = Sandbox::new();
    let mut terminal =
        terminal(&sandbox, "create --secret mine --every 1h --keep 3 --bucket etcd-backups --dry-run=client -q");
    terminal.answer("etcd cluster: ", "Etcd_A\r");
    terminal.expect("invalid cluster name");
    terminal.answer("etcd cluster: ", "etcd-ab\u{7f}\r");
    terminal.answer("Create it?", "y");
    let (code, stdout, shown) = terminal.end();
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "etcdbackup.etcd.database.coreos.com/etcd-a created (dry run)\n"),
        "{shown}"
    );
}

#[test]
fn every_question_can_be_left() {
    let sandbox = Sandbox::new();
    for key in [CTRL_C, ESCAPE] {
        let mut at_a_text = terminal(&sandbox, "create --dry-run=client");
        at_a_text.answer("etcd cluster: ", key);
        let mut at_a_choice = terminal(&sandbox, "create etcd-a --dry-run=client");
        at_a_choice.answer("AWS credentials", key);
        let mut at_the_last = terminal(&sandbox, "create --dry-run=client");
        answer_all(&mut at_the_last);
        at_the_last.keys(key);
        for terminal in [at_a_text, at_a_choice, at_the_last] {
            let (code, stdout, shown) = terminal.end();
            assert_eq!((code, stdout.as_str()), (Some(130), ""), "{key:?}: {shown:?}");
            assert!(shown.contains("nothing was made"), "{shown:?}");
        }
    }
}

#[test]
fn no_is_no() {
    let sandbox = Sandbox::new();
    let mut terminal = terminal(&sandbox, "create --dry-run=client");
    answer_all(&mut terminal);
    terminal.keys("n");
    let (code, stdout, shown) = terminal.end();
    assert_eq!((code, stdout.as_str()), (Some(130), ""), "{shown:?}");
    assert!(has_colours(&shown), "without NO_COLOR there are some: {shown:?}");
}

#[test]
fn a_signal_ends_a_question_and_leaves_the_terminal_as_it_was() {
    let sandbox = Sandbox::new();
    for (line, question) in
        [("create --dry-run=client", "etcd cluster: "), ("create etcd-a --dry-run=client", "credentials")]
    {
        for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
            let mut terminal = terminal(&sandbox, line);
            terminal.expect(question);
            terminal.end_by(signal);
            let (code, _, shown) = terminal.end();
            assert_eq!(code, Some(130), "{question} {signal:?}: {shown:?}");
        }
    }
}

#[test]
fn suggestions_come_from_the_cluster_and_from_the_store() {
    // it comes first among those of other tests, and is what Enter chooses
    let bucket = STORE.bucket("a-bucket-for-the-wizard");
    let keys = format!("[default]\naws_access_key_id={}\naws_secret_access_key={}\n", ROOT.0, ROOT.1);
    let keys = base64::engine::general_purpose::STANDARD.encode(keys);
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let api = FakeApi::start(Answers {
        crd: Some(crd(open)),
        objects: vec![
            ("services/etcd-a-client", json!({})),
            ("secrets/a-password", json!({"data": {"password": ""}})),
            ("secrets/my-keys", json!({"data": {"credentials": keys}})),
        ],
        ..Answers::default()
    });
    let sandbox = Sandbox::new();
    let line = format!("create --server {} --endpoint-url {} --force-path-style", api.url, STORE.url);
    let mut terminal = terminal(&sandbox, &line);
    terminal.expect("etcd cluster");
    terminal.answer("etcd-a", ENTER);
    terminal.expect("AWS credentials");
    terminal.answer("Secret my-keys", ENTER);
    terminal.answer(&bucket.s3.bucket, ENTER);
    terminal.answer("Prefix", "team\r");
    terminal.answer("How often", ENTER);
    terminal.answer("Create it?", "y");
    let (code, stdout, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(stdout.ends_with(" created\n") && !shown.contains("a-password") && !shown.contains(ROOT.1), "{shown}");
    let posted = api.posted();
    let spec = &posted[0]["spec"];
    assert_eq!(
        (&spec["clusterName"], &spec["s3"]["prefix"], &spec["s3"]["awsSecret"]),
        (&json!("etcd-a"), &json!("team"), &json!("my-keys"))
    );
}
