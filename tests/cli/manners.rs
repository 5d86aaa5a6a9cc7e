//! Manners of a kubectl plugin. What other tools got wrong, and the test that keeps it right here:
//!
//! | pitfall | test |
//! |---|---|
//! | exit 0 after a failure | `error::tests::every_kind_has_the_exit_code_that_scripts_know`, every `code` in get_from_s3.rs, agent_backup.rs and on_cluster/faults.rs |
//! | exit 0 for a missing argument | `a_missing_argument_is_exit_2_on_every_command` |
//! | short flags that contradict kubectl | `short_flags_mean_what_they_mean_in_kubectl` |
//! | fields in the text that `-o` lacks | get_from_s3.rs: `a_revision_a_target_and_a_selection` |
//! | a flag that is ignored unless another is given | `a_flag_that_would_be_ignored_is_an_error` |
//! | revisions sorted as text | `source::tests::newest_revision_exact_revision_and_none`, get_from_s3.rs: `the_newest_is_downloaded_proved_and_named` |
//! | bytes under the final name before they are proved | get_from_s3.rs: the tests with `unproved` |
//! | retries without end | completion.rs: `an_api_server_that_cannot_be_asked_is_met_with_silence` |
//! | secrets in argv | `no_flag_takes_a_secret` |
//! | errors without a cause or with a wrong hint | the snapshots of usage.rs, credentials.rs and get_from_s3.rs |
//! | progress bars in log files, escape sequences that nobody asked for | `no_escape_sequences_where_none_are_wanted` |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::help::commands;
use crate::sandbox::Sandbox;
use crate::servers::{READER, STORE, snapshot};

/// kubectl's short flags, and our own that it has not.
const SHORTS: [(char, &str); 12] = [
    ('n', "namespace"),
    ('o', "output"),
    ('A', "all-namespaces"),
    ('l', "selector"),
    ('f', "filename"),
    ('v', "v"),
    ('q', "quiet"),
    ('s', "server"),
    ('w', "watch"),
    ('h', "help"),
    ('O', "output-file"),
    ('y', "yes"),
];

#[test]
fn short_flags_mean_what_they_mean_in_kubectl() {
    let known = BTreeMap::from(SHORTS);
    for (words, command) in commands() {
        for flag in command.get_arguments() {
            let Some(short) = flag.get_short() else { continue };
            assert_eq!(known.get(&short).copied(), flag.get_long(), "{words} -{short}");
        }
    }
}

#[test]
fn a_missing_argument_is_exit_2_on_every_command() {
    let sandbox = Sandbox::new();
    for (words, command) in commands() {
        let line = words.trim_start_matches("kubectl etcdbackup");
        let output = match command.get_arguments().any(clap::Arg::is_required_set) {
            true => sandbox.run(line),
            false => continue,
        };
        assert_eq!((output.code, output.stdout.len()), (Some(2), 0), "{words}: {output}");
        assert!(output.stderr.starts_with("error: required: "), "{words}: {output}");
        assert!(output.stderr.contains(&format!("hint: see '{words} --help' for usage")), "{words}: {output}");
    }
}

#[test]
fn a_group_of_commands_alone_shows_its_help() {
    let sandbox = Sandbox::new();
    // its default is `create`
    let with_default = "kubectl etcdbackup credentials";
    let groups = commands().into_iter().filter(|(words, command)| command.has_subcommands() && words != with_default);
    for (words, command) in groups {
        let line = words.trim_start_matches("kubectl etcdbackup");
        let (alone, asked) = (sandbox.run(line), sandbox.run(&format!("{line} -h")));
        assert_eq!((alone.code, alone.stderr.as_str()), (Some(0), ""), "{words}: {alone}");
        assert_eq!(alone.stdout, asked.stdout, "{words}");
        assert!(command.is_subcommand_required_set(), "{words}");
    }
}

#[test]
fn a_flag_that_would_be_ignored_is_an_error() {
    let sandbox = Sandbox::new();
    // clap's `requires` is void where the required flag conflicts with another that was given
    for (flag, other, line) in [
        ("--timeout", "--wait", "create etcd-a --bucket bbb --timeout 5m"),
        ("--timeout", "--wait", "create etcd-a --bucket bbb --timeout 5m --dry-run=client"),
        ("--time-zone", "--every", "create etcd-a --bucket bbb --every 1h --time-zone UTC"),
        ("--apply", "--name", "create etcd-a --bucket bbb --apply"),
        ("--wait", "--dry-run", "create etcd-a --bucket bbb --wait --dry-run=client"),
        ("--ambient", "--secret", "create etcd-a --bucket bbb --ambient --secret aws"),
        ("--ambient", "--profile", "create etcd-a --bucket bbb --ambient --profile work"),
        ("--configmap-name", "--with-credentials", "create etcd-a --bucket bbb --configmap-name conf"),
        ("--no-configmap", "--with-credentials", "create etcd-a --bucket bbb --no-configmap"),
        ("--force-conflicts", "--apply", "create etcd-a --bucket bbb --force-conflicts"),
        ("--no-configmap", "--configmap-name", "credentials --no-configmap --configmap-name conf"),
        ("--region", "--format", "credentials --format env --region eu-west-1"),
        ("--configmap-name", "--format", "credentials create --format env --configmap-name conf"),
        ("--no-configmap", "--format", "credentials --format env --no-configmap"),
        ("--output", "--output-file", "get etcd-a -o json -O file"),
        ("--output", "--force", "get etcd-a -o json --force"),
        ("--bucket", "--from", "get etcd-a --from service --bucket bbb"),
        ("--ca-bundle", "--from", "get etcd-a --from service --ca-bundle ca.crt"),
        ("--secret", "--service-url", "get etcd-a --service-url https://e --secret aws"),
        ("--token-file", "--from", "get etcd-a --from s3 --token-file token"),
        ("--history", "--path", "list --path bbb/key --history latest"),
        ("--path", "--prefix", "get etcd-a --path bbb/key --prefix team"),
        ("--secret", "--profile", "get etcd-a --secret aws --profile work"),
        ("--region", "--from", "list etcd-a --from service --region eu-west-1"),
        ("", "--backup-aws-secret", "install --backup-s3-bucket bbb"),
        ("--timeout", "--wait=false", "install --timeout 5m --wait=false"),
        ("--timeout", "--dry-run", "install --timeout 5m --dry-run=server"),
        ("--timeout", "-o", "install --timeout 5m -o yaml"),
        ("-o", "--dry-run=server", "install -o yaml --dry-run=server"),
        ("", "--backup-aws-secret", "operator --image i --backup-s3-bucket bbb"),
        ("--periodic", "--bucket", "agent backup --cluster-name a --endpoints http://e:1 --bucket bbb --periodic"),
        (
            "",
            "--server-side-encryption <ALGORITHM>",
            "agent backup --cluster-name a --endpoints http://e:1 --bucket bbb --kms-key-id k",
        ),
    ] {
        let output = sandbox.run(line);
        assert_eq!((output.code, output.stdout.len()), (Some(2), 0), "{line}: {output}");
        assert!(output.stderr.contains(flag) && output.stderr.contains(other), "{line}: {output}");
    }
}

#[test]
fn no_flag_takes_a_secret() {
    let words_of_secrets = ["secret-key", "secret-access", "access-key", "password", "passphrase", "private", "token"];
    for (words, command) in commands() {
        for flag in command.get_arguments().filter(|flag| flag.get_action().takes_values()) {
            let long = flag.get_long().unwrap_or_default();
            // kubectl's own, for its own users; the kubeconfig is the better place
            let kubectls = long == "token";
            let secret = words_of_secrets.iter().any(|word| long.contains(word));
            assert!(!secret || kubectls || long.ends_with("-file"), "{words} --{long}");
        }
    }
}

/// What a terminal shows of a command: stdout and stderr are one.
fn on_a_terminal(sandbox: &Sandbox, line: &str) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = File::options().read(true).write(true).open(ptsname(&master, Vec::new()).unwrap().to_str().unwrap());
    let slave = slave.unwrap();
    let mut command = sandbox.command(&line.split_whitespace().collect::<Vec<_>>());
    command.stdout(Stdio::from(slave.try_clone().unwrap())).stderr(Stdio::from(slave));
    let mut child = command.spawn().unwrap();
    // with its copies of the slave the master's end would never come
    drop(command);
    let mut shown = Vec::new();
    // Linux ends a terminal that nobody holds any more with an error
    let _ = File::from(master).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn no_escape_sequences_where_none_are_wanted() {
    let bucket = STORE.bucket("escapes");
    bucket.put("v1/etcd-a/3.5.0_0000000000000010_etcd.backup", &snapshot(40_000, 1));
    let download = format!("get etcd-a --from s3 --force {}", bucket.flags());
    let with = |name: &str, value: &str| {
        let mut sandbox = Sandbox::with_keys(READER);
        sandbox.set("TERM", "xterm-256color");
        sandbox.set(name, value);
        sandbox
    };
    for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let sandbox = with(name, value);
        for line in ["--help", "get --help", "get", "gett x", "get a --nope", "get a", &download] {
            let shown = on_a_terminal(&sandbox, line);
            assert!(!shown.is_empty() && !shown.contains('\u{1b}'), "{name}={value} {line}: {shown:?}");
        }
    }
    for line in ["--help", "get a --nope", &download] {
        let output = with("CLICOLOR", "1").run(line).to_string();
        assert!(!output.contains(['\u{1b}', '\r']), "{line}: {output:?}");
    }
    // where it is wanted, progress is drawn: otherwise the above would prove nothing
    let drawn = on_a_terminal(&with("CLICOLOR", "1"), &download);
    assert!(drawn.contains('\u{1b}') && drawn.contains("sha256 verified"), "{drawn:?}");
}
