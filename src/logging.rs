//! The log on stderr: off for a person unless asked for, on for the in-cluster roles.

use tracing_subscriber::EnvFilter;

use crate::error::Result;

/// Overrides the level, in the syntax of tracing-subscriber's EnvFilter.
const VARIABLE: &str = "KUBECTL_ETCDBACKUP_LOG";

/// Starts the log: `-v` raises the level as in kubectl, where 6 and more shows requests.
///
/// # Errors
/// None today; a second call in one process does nothing.
pub fn start(verbosity: u8, in_cluster: bool) -> Result<()> {
    let level = match verbosity {
        0 if in_cluster => "warn,kubectl_etcdbackup=info",
        // kube logs as an error what the command then says itself
        0 => "error,kube_client=off",
        1..=5 => "warn,kubectl_etcdbackup=debug",
        // libraries no further: at their lower levels they print key ids, tokens and bodies
        _ => "warn,kubectl_etcdbackup=trace,kube_client=debug",
    };
    let filter = std::env::var(VARIABLE).ok().and_then(|text| EnvFilter::try_new(text).ok());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(level)))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    // a second call finds a subscriber in place, which is what is wanted
    let _ = subscriber.try_init();
    Ok(())
}
