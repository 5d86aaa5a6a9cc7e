use std::process::ExitCode;

use clap::Parser;
use kubectl_etcdbackup::cli::{Cli, Ui, completion, usage};
use kubectl_etcdbackup::{commands, logging};

fn main() -> ExitCode {
    if completion::answered() {
        return ExitCode::SUCCESS;
    }
    let words = std::env::args_os().collect::<Vec<_>>();
    #[cfg(feature = "volumes")]
    let words = commands::volume::words(words, |name| std::env::var_os(name));
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    let ui = Ui::new(cli.talk.quiet);
    match logging::start(cli.talk.verbosity, cli.command.runs_in_cluster()).and_then(|()| commands::block_on(cli, &ui))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
