//! The agent's command lines. Every value is one word `--flag=value`, so that none can be taken for a flag.

use std::time::Duration;

use super::plan::{Bucket, Credentials, Plan, Source, Store, Trigger};
use crate::api::run::REPORT_PATH;

/// Where the pods find the files of Secrets, ConfigMaps and claims.
pub mod directory {
    pub const AWS_SECRET: &str = "/etc/etcdbackup/aws-secret";
    pub const AWS_CONFIG: &str = "/etc/etcdbackup/aws-config";
    pub const TLS: &str = "/etc/etcdbackup/etcd-tls";
    pub const AUTH: &str = "/etc/etcdbackup/etcd-auth";
    pub const CA: &str = "/etc/etcdbackup/s3-ca";
    pub use crate::source::pv::MOUNT as BACKUPS;
}

/// What one run gets besides its plan.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// etcd's client URLs.
    pub endpoints: &'a [String],
    /// Time for the whole of it.
    pub timeout: Duration,
    /// Age from which an upload that nobody completed is aborted.
    pub stale_after: Duration,
    /// Whether its pod has to be on the node of the others with its claim.
    pub one_node: bool,
}

/// `agent backup`.
pub fn backup(plan: &Plan, run: &Run<'_>) -> Vec<String> {
    let mut argv = vec!["agent".to_owned(), "backup".to_owned()];
    argv.extend(store(plan));
    argv.extend(run.endpoints.iter().map(|url| flag("endpoints", url)));
    if plan.tls_secret.is_some() || matches!(plan.source, Source::Kubeadm { .. }) {
        argv.push(flag("tls-dir", directory::TLS));
    }
    if plan.auth_secret.is_some() {
        argv.push(flag("auth-dir", directory::AUTH));
    }
    if let Store::S3(bucket) = &plan.store {
        argv.push(flag("default-layout", &bucket.default_layout.to_string().to_lowercase()));
    }
    argv.extend(store_options(plan));
    argv.push(flag("stale-after", &format!("{}s", run.stale_after.as_secs())));
    argv.push(flag("timeout", &format!("{}s", run.timeout.as_secs())));
    argv.push(flag("report", REPORT_PATH));
    argv
}

/// The client URLs in a command line of [`backup`].
pub fn endpoints(argv: &[String]) -> Vec<String> {
    argv.iter().filter_map(|word| word.strip_prefix("--endpoints=")).map(|url| url.replace("$$", "$")).collect()
}

/// What a run does in the store besides storing a snapshot.
fn store_options(plan: &Plan) -> Vec<String> {
    let mut argv = Vec::new();
    let periodic = plan.trigger != Trigger::Once;
    let bucket = plan.store.bucket();
    let has_path = bucket.is_some_and(|bucket| bucket.path.is_some());
    if has_path && periodic {
        argv.push("--periodic".to_owned());
    }
    // one run to a path has one key: nothing of it expires, and the agent refuses to pretend
    if plan.keep > 0 && (!has_path || periodic) {
        argv.push(flag("keep", &plan.keep.to_string()));
    }
    let encryption =
        bucket.map(|bucket| [("server-side-encryption", &bucket.encryption), ("kms-key-id", &bucket.kms_key)]);
    let given = encryption.into_iter().flatten().filter_map(|(name, value)| Some(flag(name, value.as_deref()?)));
    argv.extend(given);
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
    let mut argv = vec![flag("cluster-name", &plan.cluster), flag("namespace", &plan.namespace)];
    match &plan.store {
        Store::S3(bucket) => argv.extend(in_s3(bucket)),
        Store::Volume(_) => argv.push(flag("volume-dir", directory::BACKUPS)),
    }
    argv
}

fn in_s3(store: &Bucket) -> Vec<String> {
    // the path holds its bucket
    let mut argv = vec![store.path.as_deref().map_or_else(|| flag("bucket", &store.name), |path| flag("path", path))];
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
        let run = Run { endpoints: &endpoints, ..samples::run(300) };
        let cli = parse(&backup(&plan, &run));
        assert_eq!(super::endpoints(&backup(&plan, &run)), endpoints);
        assert_eq!(cli.kube.namespace.as_deref(), Some("default"));
        let Command::Agent(Agent::Backup(args)) = cli.command else { panic!("not a backup") };
        assert_eq!(args.endpoints, endpoints);
        assert_eq!((args.timeout, args.stale_after), (Duration::from_secs(300), Duration::from_secs(86400)));
        assert_eq!((args.keep, args.periodic), (7, false));
        assert_eq!(args.server_side_encryption.as_deref(), Some("aws:kms"));
        assert_eq!(args.kms_key_id.as_deref(), Some("key"));
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
        let cli = parse(&backup(&plan, &samples::run(1)));
        let Command::Agent(Agent::Backup(args)) = cli.command else { panic!("not a backup") };
        assert_eq!(args.store.aws_config_dir.unwrap().to_str(), Some(directory::AWS_CONFIG));
        assert_eq!(args.store.s3.layout, None);
        assert_eq!((args.tls_dir, args.auth_dir), (None, None));
    }

    #[test]
    fn a_volume_is_a_directory_to_both() {
        let plan = samples::volume_plan("disk-7");
        let argv = backup(&plan, &samples::run(1));
        for word in ["--volume-dir=/var/etcd-backup", "--keep=7", "--cluster-name=etcd-a"] {
            assert!(argv.contains(&word.to_owned()), "{argv:?}");
        }
        assert!(!argv.iter().any(|word| word.starts_with("--default-layout")), "{argv:?}");
        let Command::Agent(Agent::Serve(args)) = parse(&serve(&plan)).command else { panic!("not the sidecar") };
        assert_eq!(args.volume_dir.unwrap().to_str(), Some("/var/etcd-backup"));
    }

    #[test]
    fn a_path_is_exact_for_one_run_and_a_stem_for_periodic_ones() {
        let of = |policy: serde_json::Value| {
            let spec = serde_json::json!({"etcdEndpoints": ["http://a:2379"], "storageType": "S3",
                "s3": {"path": "own/etcd.backup"}, "backupPolicy": policy});
            let plan = super::super::plan::plan(&samples::backup(spec), &samples::settings(true)).unwrap();
            let Command::Agent(Agent::Backup(args)) = parse(&backup(&plan, &samples::run(1))).command else {
                panic!("not a backup")
            };
            assert_eq!((args.store.s3.path.as_deref(), args.store.s3.bucket), (Some("own/etcd.backup"), None));
            (args.periodic, args.keep)
        };
        assert_eq!(of(serde_json::json!({"maxBackups": 7})), (false, 0));
        assert_eq!(of(serde_json::json!({"backupIntervalInSecond": 3600, "maxBackups": 7})), (true, 7));
        assert_eq!(of(serde_json::json!({"schedule": "@daily"})), (true, 0));
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
