//! The agent's command lines. Every value is one word `--flag=value`, so that none can be taken for a flag.

use std::time::Duration;

use super::plan::{Credentials, Plan};
use crate::api::run::REPORT_PATH;

/// Where the pods find the files of Secrets and ConfigMaps.
pub mod directory {
    pub const AWS_SECRET: &str = "/etc/etcdbackup/aws-secret";
    pub const AWS_CONFIG: &str = "/etc/etcdbackup/aws-config";
    pub const TLS: &str = "/etc/etcdbackup/etcd-tls";
    pub const AUTH: &str = "/etc/etcdbackup/etcd-auth";
    pub const CA: &str = "/etc/etcdbackup/s3-ca";
}

/// `agent backup`, with `timeout` for the whole of it.
pub fn backup(plan: &Plan, endpoints: &[String], timeout: Duration) -> Vec<String> {
    let mut argv = vec!["agent".to_owned(), "backup".to_owned()];
    argv.extend(store(plan));
    argv.extend(endpoints.iter().map(|url| flag("endpoints", url)));
    if plan.tls_secret.is_some() {
        argv.push(flag("tls-dir", directory::TLS));
    }
    if plan.auth_secret.is_some() {
        argv.push(flag("auth-dir", directory::AUTH));
    }
    argv.push(flag("default-layout", &plan.store.default_layout.to_string().to_lowercase()));
    argv.push(flag("timeout", &format!("{}s", timeout.as_secs())));
    argv.push(flag("report", REPORT_PATH));
    argv
}

/// `agent serve`.
pub fn serve(plan: &Plan) -> Vec<String> {
    let mut argv = vec!["agent".to_owned(), "serve".to_owned()];
    argv.extend(store(plan));
    if plan.sidecar.anonymous {
        argv.push("--anonymous".to_owned());
    }
    argv
}

fn store(plan: &Plan) -> Vec<String> {
    let store = &plan.store;
    let mut argv =
        vec![flag("cluster-name", &plan.cluster), flag("namespace", &plan.namespace), flag("bucket", &store.bucket)];
    let layout = store.layout.map(|layout| layout.to_string().to_lowercase());
    let ca = store.ca_secret.as_ref().map(|_| format!("{}/ca.crt", directory::CA));
    let optional = [
        ("prefix", &store.prefix),
        ("layout", &layout),
        ("region", &store.region),
        ("endpoint-url", &store.endpoint),
        ("ca-bundle", &ca),
    ];
    argv.extend(optional.iter().filter_map(|(name, value)| value.as_deref().map(|value| flag(name, value))));
    if store.force_path_style {
        argv.push("--force-path-style".to_owned());
    }
    if store.credentials != Credentials::Ambient {
        argv.push(flag("aws-secret-dir", directory::AWS_SECRET));
    }
    if matches!(store.credentials, Credentials::Pair { .. }) {
        argv.push(flag("aws-config-dir", directory::AWS_CONFIG));
    }
    argv
}

/// One word. The kubelet expands `$(NAME)` in arguments and reads `$$` as `$`.
fn flag(name: &str, value: &str) -> String {
    format!("--{name}={}", value.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::samples;
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::commands::agent::Agent;
    use crate::snapshot::Layout;

    fn parse(argv: &[String]) -> Cli {
        let seen_by_the_agent = argv.iter().map(|word| word.replace("$$", "$"));
        Cli::try_parse_from(std::iter::once("kubectl-etcdbackup".to_owned()).chain(seen_by_the_agent)).unwrap()
    }

    #[test]
    fn the_agent_reads_what_was_meant() {
        let plan = samples::full_plan();
        let endpoints = ["https://a:2379".to_owned(), "https://b:2379".to_owned()];
        let cli = parse(&backup(&plan, &endpoints, Duration::from_secs(300)));
        assert_eq!(cli.kube.namespace.as_deref(), Some("default"));
        let Command::Agent(Agent::Backup(args)) = cli.command else { panic!("not a backup") };
        assert_eq!(args.endpoints, endpoints);
        assert_eq!(args.timeout, Duration::from_secs(300));
        assert_eq!(args.default_layout, Layout::Cluster);
        assert_eq!(args.report.unwrap().to_str(), Some(REPORT_PATH));
        assert_eq!(args.tls_dir.unwrap().to_str(), Some(directory::TLS));
        assert_eq!(args.auth_dir.unwrap().to_str(), Some(directory::AUTH));
        let store = args.store;
        assert_eq!(store.cluster, "etcd-a");
        assert_eq!(store.aws_secret_dir.unwrap().to_str(), Some(directory::AWS_SECRET));
        assert_eq!(store.aws_config_dir, None);
        assert_eq!(store.ca_bundle.unwrap().to_str(), Some("/etc/etcdbackup/s3-ca/ca.crt"));
        let s3 = store.s3;
        assert_eq!((s3.bucket.as_deref(), s3.prefix.as_deref()), (Some("own"), Some("-team/$(HOME)")));
        assert_eq!((s3.layout, s3.region.as_deref()), (Some(Layout::Namespaced), Some("eu-1")));
        assert_eq!(s3.endpoint_url.as_deref(), Some("https://s3.example:9000"));
        assert!(s3.force_path_style);
    }

    #[test]
    fn the_operator_wide_pair_is_two_directories() {
        let spec = serde_json::json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {}});
        let plan = super::super::plan::plan(&samples::backup(spec), &samples::settings(true)).unwrap();
        let cli = parse(&backup(&plan, &["http://a:2379".to_owned()], Duration::from_secs(1)));
        let Command::Agent(Agent::Backup(args)) = cli.command else { panic!("not a backup") };
        assert_eq!(args.store.aws_config_dir.unwrap().to_str(), Some(directory::AWS_CONFIG));
        assert_eq!(args.store.s3.layout, None);
        assert_eq!((args.tls_dir, args.auth_dir), (None, None));
    }

    #[test]
    fn the_sidecar_reads_what_was_meant() {
        let cli = parse(&serve(&samples::full_plan()));
        let Command::Agent(Agent::Serve(args)) = cli.command else { panic!("not the sidecar") };
        assert!(args.anonymous);
        assert_eq!(args.listen.port(), crate::api::names::SIDECAR_PORT);
        assert_eq!(args.store.s3.bucket.as_deref(), Some("own"));
    }
}
