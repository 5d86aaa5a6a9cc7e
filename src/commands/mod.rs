//! One file a verb: arguments, a pure plan, and its execution. No business logic of their own.

pub mod agent;
pub mod cassandra;
pub mod check;
pub mod completion;
pub mod convert;
pub mod create;
pub mod credentials;
pub mod describe;
pub mod get;
pub mod install;
pub mod list;
pub mod operator;
pub mod uninstall;
pub mod verify;
pub mod version;
#[cfg(feature = "volumes")]
pub mod volume;
mod wait;

use std::future::Future;

use tokio::runtime::Builder;

use crate::cli::flags::pasted_bucket;
use crate::cli::{Cli, Command, Ui};
use crate::error::{Error, Result};
use crate::signals;

/// Runs the command that was parsed, to its end.
///
/// # Errors
/// As [`run`].
pub fn block_on(cli: Cli, ui: &Ui) -> Result<()> {
    // two TLS users are linked; without this the first connection panics
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = match cli.command.runs_in_cluster() {
        true => Builder::new_multi_thread(),
        // one person's bytes are one stream: to hand it from thread to thread costs more than it gives
        false => Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Error::general(format!("cannot start: {error}")))?;
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    pasted_bucket(words).into_iter().for_each(|hint| ui.hint(hint));
    let done = runtime.block_on(run(cli, ui));
    // a thread that still reads from stdin or writes to a stuck disk must not hold up the exit
    runtime.shutdown_background();
    done
}

/// Runs the command that was parsed.
///
/// # Errors
/// The command's own; its kind is the exit code.
pub async fn run(cli: Cli, ui: &Ui) -> Result<()> {
    let kube = cli.kube;
    match cli.command {
        Command::Credentials(args) => until_interrupted(credentials::run(args, &kube, ui)).await,
        Command::Create(args) => create::run(args, &kube, ui).await,
        Command::Get(args) => get::run(args, &kube, ui).await,
        Command::List(args) => list::run(args, &kube, ui).await,
        Command::Verify(args) => until_interrupted(verify::run(args, &kube, ui)).await,
        Command::Describe(args) => until_interrupted(describe::run(args, &kube, ui)).await,
        Command::Install(args) => until_interrupted(install::run(args, &kube, ui)).await,
        Command::Uninstall(args) => until_interrupted(uninstall::run(args, &kube, ui)).await,
        Command::Check(args) => until_interrupted(check::run(args, &kube, ui)).await,
        Command::Cassandra(command) => cassandra::run(command, &kube, ui).await,
        Command::Convert(args) => convert::run(&args, &kube, ui),
        Command::Completion(args) => completion::run(&args, ui),
        Command::Version(args) => until_interrupted(version::run(args, &kube, ui)).await,
        #[cfg(feature = "volumes")]
        Command::Volume(volume) => volume::run(volume, &kube, ui).await,
        Command::Operator(args) => operator::run(args, &kube).await,
        Command::Agent(agent) => agent::run(agent, &kube, ui).await,
    }
}

/// Runs `work` unless Ctrl-C or SIGTERM comes first; dropping the work is what cleans up.
async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = signals::asked_to_end() => Err(Error::interrupted("interrupted")),
    }
}
