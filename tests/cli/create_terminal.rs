//! A terminal for the plugin: a real pseudo-terminal on its stdin and stderr.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

const PATIENCE: Duration = Duration::from_secs(60);

/// A plugin that runs on a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    line: OwnedFd,
    before: Termios,
    screen: Receiver<Vec<u8>>,
    shown: String,
    read: usize,
}

impl Terminal {
    pub fn run(mut command: Command) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let line = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        // keys reach the reader as bytes, however early they are typed; echo stays on, as the state to be restored
        let mut modes = tcgetattr(&line).unwrap();
        modes.local_modes.remove(LocalModes::ISIG | LocalModes::ICANON);
        tcsetattr(&line, OptionalActions::Now, &modes).unwrap();
        let before = tcgetattr(&line).unwrap();
        let end = |line: &OwnedFd| Stdio::from(line.try_clone().unwrap());
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        command.stdin(end(&line)).stderr(end(&line)).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        let keyboard = File::from(keyboard);
        let mut output = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = output.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, line, before, screen, shown: String::new(), read: 0 }
    }

    /// Waits until the screen shows `text`, after what was waited for before.
    pub fn expect(&mut self, text: &str) {
        let started = Instant::now();
        loop {
            if let Some(at) = self.shown[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            let bytes = self.screen.recv_timeout(PATIENCE.saturating_sub(started.elapsed()));
            let bytes = bytes.unwrap_or_else(|_| panic!("{text:?} is not shown: {}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a question and answers it.
    pub fn answer(&mut self, question: &str, keys: &str) {
        self.expect(question);
        self.keys(keys);
    }

    /// Sends a signal until the plugin has ended.
    pub fn end_by(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < PATIENCE, "the signal is ignored: {}", self.shown);
            rustix::process::kill_process(pid, signal).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for the end: exit code, stdout, and everything that the screen has shown. The terminal must be as it was.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code();
        let after = tcgetattr(&self.line).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes, "the terminal is left in another mode");
        assert_eq!(after.input_modes, self.before.input_modes, "the terminal is left in another mode");
        // the last end of the line: the reader then comes to the end of the output
        drop(self.line);
        while let Ok(bytes) = self.screen.recv() {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        let (hidden, visible) = (self.shown.rfind("\u{1b}[?25l"), self.shown.rfind("\u{1b}[?25h"));
        assert!(hidden <= visible, "the cursor is left hidden: {:?}", self.shown);
        (code, stdout, self.shown)
    }
}
