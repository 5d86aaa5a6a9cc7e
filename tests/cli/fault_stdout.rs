//! `get -O -`: what has gone to stdout cannot be taken back, and whoever reads it may stop.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fault_get::first_at;
use crate::fault_store::{Fault, KEYS, MIB, Store, snapshot};
use crate::sandbox::Sandbox;

fn words(store: &Store) -> Vec<String> {
    store.get().replace("-O out", "-O -").split_whitespace().map(str::to_owned).collect()
}

fn begin(store: &Store, sandbox: &Sandbox) -> Child {
    let words = words(store);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Its exit code, unless it never ends.
fn ended(mut child: Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code(),
            None if started.elapsed() > Duration::from_secs(60) => {
                child.kill().unwrap();
                panic!("it does not end");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn nothing_goes_there_twice() {
    for at in [0, 3 * MIB] {
        let (store, sandbox) = (Store::new(snapshot(6 * MIB), first_at(at, Fault::Whole)), Sandbox::with_keys(KEYS));
        let words = words(&store);
        let output = sandbox.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        match output.status.code() {
            // nothing had gone there yet
            Some(0) => assert!(output.stdout == store.bytes()),
            code => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(code == Some(1) && said.contains("whatever range it is asked for"), "{code:?}: {said}");
                assert!(at > 0 && store.bytes().starts_with(&output.stdout));
            }
        }
    }
}

#[test]
fn a_reader_that_stops_to_read_does_not_keep_it_from_ending() {
    let (store, sandbox) = (Store::new(snapshot(16 * MIB), |_, _| Fault::None), Sandbox::with_keys(KEYS));
    let mut child = begin(&store, &sandbox);
    let unread = child.stdout.take();
    store.wait(|requests| requests.iter().any(|request| request.begins(MIB) && request.sent() == MIB));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(child), Some(130));
    drop(unread);
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (store, sandbox) = (Store::new(snapshot(64 * MIB), |_, _| Fault::None), Sandbox::with_keys(KEYS));
    let mut child = begin(&store, &sandbox);
    child.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
    assert_eq!(ended(child), Some(1));
    assert!(store.sent() < 32 * MIB, "{} bytes were sent", store.sent());
}
