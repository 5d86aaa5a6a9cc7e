//! kubectl's own flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::patience::Patience;

/// The heading in `--help` above the flags that are kubectl's.
pub const HEADING: &str = "Flags as in kubectl";

/// kubectl's own global flags, accepted before and after the command.
///
/// Source: kubernetes/cli-runtime, pkg/genericclioptions/config_flags.go.
#[derive(Debug, Clone, Default, Args)]
pub struct KubeFlags {
    /// Namespace to work in
    #[arg(short, long, global = true, value_name = "NAMESPACE", help_heading = HEADING)]
    pub namespace: Option<String>,
    /// Path to the kubeconfig file
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use; etcd's is the positional CLUSTER
    #[arg(long = "cluster", id = "kube_cluster", global = true, value_name = "NAME", help_heading = HEADING)]
    pub kube_cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL", help_heading = HEADING)]
    pub server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true, help_heading = HEADING)]
    pub token: Option<String>,
    /// User to impersonate
    #[arg(long = "as", id = "as_user", global = true, value_name = "USER", help_heading = HEADING)]
    pub as_user: Option<String>,
    /// Group to impersonate, may be repeated
    #[arg(long, global = true, value_name = "GROUP", help_heading = HEADING)]
    pub as_group: Vec<String>,
    /// UID to impersonate
    #[arg(long, global = true, value_name = "UID", help_heading = HEADING)]
    pub as_uid: Option<String>,
    /// CA certificate of the API server
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate for the API server
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub client_certificate: Option<PathBuf>,
    /// Client key for the API server
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub client_key: Option<PathBuf>,
    /// Do not check the API server's certificate (insecure)
    #[arg(long, global = true, help_heading = HEADING)]
    pub insecure_skip_tls_verify: bool,
    /// Name to check the API server's certificate against
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub tls_server_name: Option<String>,
    /// Time for a request to the API server, such as 30s; 0 means no limit
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, help_heading = HEADING)]
    pub request_timeout: Option<Duration>,
    /// How long the command waits for the API server in all; no flag.
    #[arg(skip)]
    pub patience: Patience,
}

impl KubeFlags {
    /// The same flags for a command that has a way without Kubernetes; `known` where all that the way needs was given.
    #[must_use]
    pub fn with_another_way(&self, known: bool) -> Self {
        Self { patience: Patience::short(known), ..self.clone() }
    }

    /// The same flags for a command that has a way without Kubernetes only until an API server answers.
    #[must_use]
    pub fn until_answered(&self) -> Self {
        Self { patience: Patience::until_answered(), ..self.clone() }
    }
}

/// A duration as kubectl takes it: `90s`, `1m30s`, `2h`, or `0`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("needs a unit, such as 30s, 5m or 1h".to_owned());
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| "not a duration such as 30s, 5m or 1h".to_owned())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_kubectls() {
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "-5s", "s", "1 parsec", "-0.5h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
