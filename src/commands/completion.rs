//! `completion`: a script that teaches a shell the words of the plugin.

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::env::Shells;

use crate::cli::Ui;
use crate::cli::completion::{PROGRAM, VARIABLE};
use crate::error::{Error, Result};

/// Print a script that completes words for a shell
///
/// The script completes kubectl-etcdbackup, and asks it for the names of
/// clusters, Secrets, namespaces and contexts while you type. It belongs to this
/// version: let the shell read it anew when it starts, as below.
///
/// kubectl 1.26 and later completes "kubectl etcdbackup" itself, in every shell
/// where kubectl's own completion is set up. It looks on PATH for a program of
/// another name, so link the plugin once more:
///
///   ln -s "$(command -v kubectl-etcdbackup)" \
///     ~/.local/bin/kubectl_complete-etcdbackup
///
/// On Windows copy kubectl-etcdbackup.exe to kubectl_complete-etcdbackup.exe.
#[derive(Debug, Clone, ClapArgs)]
#[command(verbatim_doc_comment, after_long_help = EXAMPLES)]
pub struct Args {
    /// Shell that will read the script
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  # bash: in ~/.bashrc
  source <(kubectl etcdbackup completion bash)

  # zsh: in ~/.zshrc, after compinit
  source <(kubectl etcdbackup completion zsh)

  # fish: in ~/.config/fish/config.fish
  kubectl etcdbackup completion fish | source

  # PowerShell: in the file that $PROFILE names
  kubectl etcdbackup completion powershell | Out-String | Invoke-Expression

  # bash: for all users, to be written anew after an upgrade
  kubectl etcdbackup completion bash > /etc/bash_completion.d/kubectl-etcdbackup

RBAC: none for the script; live names need list on services, pods, etcdbackups,
secrets and namespaces, and what may not be listed is left out

Exit codes: see kubectl etcdbackup --help";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
        }
    }
}

/// Runs the command; contacts nobody.
///
/// # Errors
/// As [`Ui::data`].
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let name = args.shell.name();
    let mut script = Vec::new();
    let written = Shells::builtins()
        .completer(name)
        .map(|shell| shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script));
    match (written, String::from_utf8(script)) {
        (Some(Ok(())), Ok(script)) => ui.data(script.trim_start()),
        _ => Err(Error::general(format!("no script for {name}"))),
    }
}
