//! A sandbox for one test: the plugin as a process, and nothing of the machine's environment.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a command printed and how it ended, as one text for a snapshot.
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub code: Option<i32>,
    home: PathBuf,
}

impl Output {
    /// Of a plugin that ran in this sandbox.
    pub fn of(output: std::process::Output, sandbox: &Sandbox) -> Self {
        Self {
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
            home: sandbox.path().to_owned(),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = self.home.display().to_string();
        let show = |text: &str| text.replace(&home, "~");
        f.write_str(&show(&String::from_utf8_lossy(&self.stdout)))?;
        if !self.stderr.is_empty() {
            write!(f, "------- stderr -------\n{}", show(&self.stderr))?;
        }
        match self.code {
            Some(0) => Ok(()),
            code => write!(f, "[exit status: {code:?}]"),
        }
    }
}

/// A home directory of its own, and nothing of the machine's environment.
pub struct Sandbox {
    home: TempDir,
    environment: Vec<(String, String)>,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// A sandbox whose ~/.aws holds these keys for the tests' S3 server.
    pub fn with_keys((id, secret): (&str, &str)) -> Self {
        let sandbox = Self::new();
        sandbox
            .write(".aws/credentials", &format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n"));
        sandbox.write(".aws/config", "[default]\nregion=us-east-1\n");
        sandbox
    }

    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file below the home directory, readable by its owner only.
    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The plugin with these words, in the home directory.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-etcdbackup"));
        command.args(words).current_dir(self.path()).env_clear().env("HOME", self.path()).stdin(Stdio::null());
        // otherwise a machine without credentials waits for the instance metadata service
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("COLUMNS", "80");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the plugin; `line` is split at spaces.
    pub fn run(&self, line: &str) -> Output {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub fn run_words(&self, words: &[&str]) -> Output {
        Output::of(self.command(words).output().unwrap(), self)
    }
}

/// What the scripts of the test cluster keep outside the checkout.
pub fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache")).join("kubectl-etcdbackup")
}

/// A program that `tests/cluster/build` made.
pub fn binary(name: &str) -> PathBuf {
    cache().join("bin").join(name)
}
