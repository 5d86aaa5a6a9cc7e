//! Downloads that are killed, interrupted, run twice, or find the disk full or the target taken.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::fault_get::{LEFT, files, get_again, shown};
use crate::fault_store::{End, Fault, KEYS, MIB, Request, Store, snapshot};
use crate::sandbox::Sandbox;

fn begin(sandbox: &Sandbox, store: &Store) -> Child {
    let line = store.get();
    let words: Vec<&str> = line.split_whitespace().collect();
    sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Each first request of a part stops after `bytes` until it is let go; nothing else is wrong.
fn held(bytes: u64) -> impl Fn(&Request, &[Request]) -> Fault + Send + Sync {
    move |request, _| match request.range.is_some() {
        true => Fault::After(bytes, End::Held),
        false => Fault::None,
    }
}

/// Both parts that are asked for at a time have stopped.
fn wait_until_held(store: &Store, bytes: u64) {
    store.wait(|requests| requests.iter().filter(|request| request.sent() == bytes).count() >= 2);
}

/// Number of blocks that the download has recorded as written.
fn recorded(sandbox: &Sandbox) -> u64 {
    let state = std::fs::read(sandbox.path().join("out.part.state")).unwrap_or_default();
    let header = state.iter().position(|byte| *byte == b'\n').map_or(state.len(), |end| end + 1);
    (state.len() - header) as u64 / 16
}

/// A whole number from the environment, for longer runs.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

struct Kill {
    /// Share of what the first run was sent that the second did not ask for again.
    kept: f64,
    /// What the second run asked for beyond what the first was never sent, in MiB.
    again: f64,
}

/// A download that is killed when so many bytes were sent, and the run after it.
fn killed_at(store: &Store, point: u64) -> Kill {
    let (mut sandbox, size) = (Sandbox::with_keys(KEYS), store.bytes().len() as u64);
    let (before, asked) = (store.sent(), store.asked_again().1);
    store.stop_at(before + point);
    let mut run = begin(&sandbox, store);
    while store.sent() - before < point {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    run.kill().unwrap();
    let sent = store.sent() - before;
    run.wait().unwrap();
    store.stop_at(u64::MAX);
    assert!(!sandbox.path().join("out").exists(), "a final name after {sent} bytes");
    let written = recorded(&sandbox);
    get_again(&mut sandbox, &store.get(), store);
    let second = store.asked_again().1 - asked;
    assert_eq!(second, size - (written * MIB).min(size), "{written} blocks were recorded");
    Kill {
        kept: (size - second) as f64 / sent as f64,
        again: (second as f64 - (size - sent.min(size)) as f64) / MIB as f64,
    }
}

#[test]
fn a_killed_download_is_gone_on_with() {
    let (mebibytes, kills) = (number("MEBIBYTES", 48), number("KILLS", 10));
    let seed = number("SEED", u64::from(std::process::id()));
    let mut random = fastrand::Rng::with_seed(seed);
    // slow enough that the kill meets it in the middle
    let store = Store::paced(snapshot(mebibytes * MIB), Some(mebibytes * MIB), |_, _| Fault::None);
    let size = mebibytes * MIB;
    let mut all: Vec<Kill> = (0..kills).map(|_| killed_at(&store, random.u64(size / 20..size * 19 / 20))).collect();
    all.sort_by(|a, b| a.kept.total_cmp(&b.kept));
    let (median, worst) = (all[all.len() / 2].kept, all[0].kept);
    let again = all.iter().map(|kill| kill.again).fold(0.0, f64::max);
    let said = format!(
        "{mebibytes} MiB killed {kills} times (SEED={seed}): share kept median {median:.3}, least {worst:.3}; \
         fetched twice at most {again:.1} MiB"
    );
    writeln!(std::io::stdout(), "{said}").unwrap();
    let least = if mebibytes < 1000 { 0.8 } else { 0.9 };
    assert!(median >= least, "median share kept {median}, SEED={seed}");
    // of each of two parts the block that came and the one that was written, and what was on its way
    assert!(again <= 4.5, "{again} MiB fetched twice, SEED={seed}");
}

#[test]
fn a_kill_costs_at_most_the_block_that_each_part_was_in() {
    // parts of 4 MiB that stop in their third block
    let store = Store::new(snapshot(16 * MIB), held(2 * MIB + 500_000));
    let mut sandbox = Sandbox::with_keys(KEYS);
    let line = store.get().replace("--part-size 1", "--part-size 4");
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut run = sandbox.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    store.wait(|_| recorded(&sandbox) >= 4);
    run.kill().unwrap();
    run.wait().unwrap();
    store.release();
    let output = get_again(&mut sandbox, &line, &store);
    assert_eq!(store.asked_again().1, store.bytes().len() as u64 - 4 * MIB);
    assert!(output.stderr.contains("an earlier download to out broke off; what it brought is used"), "{output}");
}

#[test]
fn an_interrupted_download_says_how_to_go_on_and_does() {
    let (store, mut sandbox) = (Store::new(snapshot(8 * MIB), first_two_pass()), Sandbox::with_keys(KEYS));
    let run = begin(&sandbox, &store);
    store.wait(|_| recorded(&sandbox) >= 2);
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap().replace(&store.url, "http://s3");
    assert_snapshot!(stderr);
    assert_eq!(files(&sandbox), LEFT);
    store.release();
    get_again(&mut sandbox, &store.get(), &store);
    assert_eq!(store.asked_again().0.len(), 7);
}

#[test]
fn what_is_left_of_another_snapshot_is_said_to_be_discarded() {
    let (store, mut sandbox) = (Store::new(snapshot(8 * MIB), first_two_pass()), Sandbox::with_keys(KEYS));
    let mut run = begin(&sandbox, &store);
    store.wait(|_| recorded(&sandbox) >= 2);
    run.kill().unwrap();
    run.wait().unwrap();
    store.replace();
    store.release();
    let output = get_again(&mut sandbox, &store.get(), &store);
    assert!(output.stderr.contains("is of another snapshot or source, and is discarded\n"), "{output}");
    assert_eq!(store.asked_again().1, store.bytes().len() as u64);
}

/// The first two parts come, and the next ones stop in their middle.
fn first_two_pass() -> impl Fn(&Request, &[Request]) -> Fault + Send + Sync {
    |request, _| match &request.range {
        Some(range) if range.start >= 2 * MIB => Fault::After(1000, End::Held),
        _ => Fault::None,
    }
}

#[test]
fn a_second_run_into_one_target_is_refused_at_once_and_the_first_ends_well() {
    let (store, sandbox) = (Store::new(snapshot(4 * MIB), held(1000)), Sandbox::with_keys(KEYS));
    let first = begin(&sandbox, &store);
    wait_until_held(&store, 1000);
    let asked = store.ranges().len();
    let second = sandbox.run(&store.get());
    assert_eq!(second.code, Some(1), "{second}");
    assert_snapshot!(shown(&second, &store));
    assert!(store.ranges().len() <= asked + 2, "the second run fetched: {:?}", store.ranges());
    store.release();
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(std::fs::read(sandbox.path().join("out")).unwrap() == store.bytes());
    assert_eq!(files(&sandbox), ["out"]);
}

#[test]
fn a_link_that_takes_the_targets_place_is_never_written_through() {
    for (taken, force, code) in [("out", false, 1), ("out", true, 0), ("out.part", false, 1), ("out.part", true, 1)] {
        let (store, sandbox) = (Store::new(snapshot(4 * MIB), held(1000)), Sandbox::with_keys(KEYS));
        sandbox.write("victim", "precious");
        let line = format!("{}{}", store.get(), if force { " --force" } else { "" });
        let words: Vec<&str> = line.split_whitespace().collect();
        let run = sandbox.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until_held(&store, 1000);
        let place = sandbox.path().join(taken);
        let _ = std::fs::remove_file(&place);
        symlink("victim", &place).unwrap();
        store.release();
        let output = run.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{taken} {force}: {stderr}");
        assert_eq!(std::fs::read(sandbox.path().join("victim")).unwrap(), b"precious", "{taken} {force}");
        let out = sandbox.path().join("out");
        match code {
            0 => assert!(!out.is_symlink() && std::fs::read(&out).unwrap() == store.bytes(), "{taken} {force}"),
            // the link is not ours to remove
            _ => assert!(place.is_symlink() && (taken == "out" || !out.exists()), "{taken} {force}: {stderr}"),
        }
    }
}

/// The plugin on a small disk, a file system that only it sees. `script` runs there as a shell's, with the plugin and
/// its words as arguments.
fn on_small_disk(sandbox: &Sandbox, store: &Store, mebibytes: u64, script: &str) -> Child {
    sandbox.write("small/.keep", "");
    let line = store.get();
    let words: Vec<&str> = line.split_whitespace().collect();
    let plugin = sandbox.command(&words);
    let mount = format!("mount -t tmpfs -o size={mebibytes}m small small && cd small || exit\n{script}");
    // a user's own name space: mounting needs no root
    let mut shell = std::process::Command::new("/usr/bin/unshare");
    shell.args(["-Urm", "bash", "-c", &mount, "bash"]).arg(plugin.get_program()).args(plugin.get_args());
    shell.current_dir(sandbox.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    shell.envs(plugin.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_disk_that_is_too_small_is_said_with_its_numbers_before_anything_comes() {
    let (store, sandbox) = (Store::new(snapshot(8 * MIB), |_, _| Fault::None), Sandbox::with_keys(KEYS));
    let output = on_small_disk(&sandbox, &store, 2, r#""$@"; echo "exit $? left: $(ls)""#).wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(stdout, "exit 1 left: \n", "{stderr}");
    assert_snapshot!(stderr.replace(&store.url, "http://s3"));
    assert_eq!(store.ranges(), []);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_says_so() {
    let (store, sandbox) = (Store::new(snapshot(8 * MIB), |_, _| Fault::None), Sandbox::with_keys(KEYS));
    let script = r#"ulimit -f 4096; "$@"; echo "exit $? left: $(ls)""#;
    let output = on_small_disk(&sandbox, &store, 12, script).wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(stdout, "exit 1 left: \n", "{stderr}");
    assert!(
        stderr.contains("error: no file in . may have the 8388640 bytes of the snapshot\nhint: ulimit"),
        "{stderr}"
    );
}

#[test]
fn another_file_cannot_take_the_space_of_a_download_that_has_begun() {
    let (store, sandbox) = (Store::new(snapshot(8 * MIB), held(1000)), Sandbox::with_keys(KEYS));
    let script = r#""$@" & read -r _; head -c 64M /dev/zero >other; echo full; wait $!; echo "exit $? left: $(ls | xargs)"; cmp out ../right && echo same"#;
    std::fs::write(sandbox.path().join("right"), store.bytes()).unwrap();
    let mut shell = on_small_disk(&sandbox, &store, 12, script);
    wait_until_held(&store, 1000);
    shell.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut stdout = BufReader::new(shell.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "full\n");
    store.release();
    let lines: Vec<String> = stdout.lines().map(Result::unwrap).collect();
    let output = shell.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(lines[lines.len().saturating_sub(2)..], ["exit 0 left: other out", "same"], "{lines:?} {stderr}");
}
