//! What the operator passes to the agent on its command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::kubernetes::flags::parse_duration;
use crate::snapshot::Layout;
use crate::source::flags::S3Flags;

/// clap wraps no usage.
const BACKUP_USAGE: &str = "\
kubectl etcdbackup agent backup [OPTIONS]
           --cluster-name <CLUSTER> --endpoints <URL>";

const BACKUP_EXAMPLES: &str = "\
Examples:
  # without Kubernetes, with the AWS credentials of the environment
  kubectl etcdbackup agent backup --cluster-name etcd-a --bucket etcd-backups \\
    --endpoints https://10.0.0.1:2379,https://10.0.0.2:2379 --tls-dir /etc/etcd

  # to a volume that is mounted
  kubectl etcdbackup agent backup --cluster-name etcd-a \\
    --volume-dir /var/etcd-backup --endpoints http://etcd-a-client:2379

RBAC: none; no API server is contacted

Exit codes: see kubectl etcdbackup --help";

const SERVE_EXAMPLES: &str = "\
Examples:
  # as the sidecar's Deployment runs it
  kubectl etcdbackup agent serve --cluster-name etcd-a --bucket etcd-backups

  # as the helper of get --from pv runs it
  kubectl etcdbackup agent serve --cluster-name etcd-a \\
    --volume-dir /var/etcd-backup --listen 127.0.0.1:19999 --idle-timeout 60s

RBAC: create on tokenreviews and subjectaccessreviews, unless --anonymous

Exit codes: see kubectl etcdbackup --help";

/// Flags that mean something for a bucket only.
const OF_A_BUCKET: [&str; 14] = [
    "bucket",
    "prefix",
    "layout",
    "path",
    "region",
    "endpoint_url",
    "force_path_style",
    "ca_bundle",
    "aws_secret_dir",
    "aws_config_dir",
    "default_layout",
    "periodic",
    "server_side_encryption",
    "kms_key_id",
];

/// The store and the cluster, as the operator passes them to its Jobs and to the sidecar.
#[derive(Debug, Clone, Args)]
pub struct StoreArgs {
    /// Name of the etcd cluster: the directory of its snapshots
    #[arg(long = "cluster-name", value_name = "CLUSTER")]
    pub cluster: String,
    #[command(flatten)]
    pub s3: S3Flags,
    /// CA certificates to trust for the endpoint
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// Directory with the files of the AWS Secret (credentials, config)
    #[arg(long, value_name = "DIR")]
    pub aws_secret_dir: Option<PathBuf>,
    /// Directory with the file of the AWS ConfigMap (config)
    #[arg(long, value_name = "DIR")]
    pub aws_config_dir: Option<PathBuf>,
}

/// Take a snapshot of the healthy member with the greatest revision and store it
///
/// All steps of one run go to that member. The object gets its name in the store
/// only after the sha256 at the snapshot's end matched.
#[derive(Debug, Clone, Args)]
#[command(override_usage = BACKUP_USAGE, after_long_help = BACKUP_EXAMPLES)]
pub struct BackupArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Directory for the snapshots, such as a mounted volume, instead of a bucket
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_A_BUCKET)]
    pub volume_dir: Option<PathBuf>,
    /// etcd's client URLs
    #[arg(long, value_name = "URL", value_delimiter = ',', required = true)]
    pub endpoints: Vec<String>,
    /// Directory with the files of etcd's client TLS Secret
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// Directory with the files username and password for etcd
    #[arg(long, value_name = "DIR")]
    pub auth_dir: Option<PathBuf>,
    /// Layout to use when the store holds no snapshot of this cluster yet
    #[arg(long, value_name = "LAYOUT", default_value = "cluster")]
    pub default_layout: Layout,
    /// With --path: a new key for each run, PATH_v<revision>_<time>
    #[arg(long, requires = "path", conflicts_with = "bucket")]
    pub periodic: bool,
    /// Snapshots of the current history to keep; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep: u32,
    /// How S3 encrypts the snapshot: AES256 or aws:kms
    #[arg(long, value_name = "ALGORITHM")]
    pub server_side_encryption: Option<String>,
    /// Key for aws:kms
    #[arg(long, value_name = "ID", requires = "server_side_encryption")]
    pub kms_key_id: Option<String>,
    /// Age from which an upload that nobody completed is aborted
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "24h")]
    pub stale_after: Duration,
    /// Time for the whole backup
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10m")]
    pub timeout: Duration,
    /// File for the report of the run
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Serve the stored snapshots over HTTP, as etcd-operator's backup sidecar did
///
/// Loopback, where a port-forward arrives, is open. Every other address wants a
/// token of audience etcdbackup/NAMESPACE/CLUSTER.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub struct ServeArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Address to listen on; loopback is always listened on at the same port
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:19999")]
    pub listen: SocketAddr,
    /// Serve snapshots to everybody who reaches the address, not only to loopback and to bearers of a token
    #[arg(long)]
    pub anonymous: bool,
    /// Directory with the snapshots, such as a mounted volume, instead of a bucket
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bucket", "path"])]
    pub volume_dir: Option<PathBuf>,
    /// End when no connection was open for so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub idle_timeout: Option<Duration>,
}
