//! The operator's command line.

use std::num::NonZeroU16;

use clap::Args as ClapArgs;

const EXAMPLES: &str = "\
Examples:
  # as the Deployment runs it, with the environment's POD_NAME
  kubectl etcdbackup operator

  # with another image for Jobs and sidecars than its own
  kubectl etcdbackup operator --image example.com/etcdbackup:v1

RBAC: the Role or ClusterRole of kubectl etcdbackup install -o yaml

Exit codes: see kubectl etcdbackup --help";

/// In-cluster: turn EtcdBackup objects into Jobs and keep their status
///
/// "kubectl etcdbackup install" makes the Deployment that runs this; nobody
/// needs to type it.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Image of the Jobs and sidecars [default: that of the operator's own pod]
    #[arg(long, env = "OPERATOR_IMAGE", value_name = "IMAGE")]
    pub image: Option<String>,
    /// The operator's own pod, whose image the Jobs and sidecars get
    #[arg(long, env = "POD_NAME", value_name = "POD")]
    pub pod_name: Option<String>,
    /// Watch every namespace instead of one
    #[arg(long)]
    pub cluster_wide: bool,
    /// Work only on EtcdBackups with these labels, such as operator=canary
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Secret with AWS credentials for objects that name none (in the object's namespace)
    #[arg(long, value_name = "SECRET")]
    pub backup_aws_secret: Option<String>,
    /// ConfigMap with AWS config for objects that name no Secret (in the object's namespace)
    #[arg(long, value_name = "CONFIGMAP")]
    pub backup_aws_config: Option<String>,
    /// Bucket for objects that name none
    #[arg(long, value_name = "BUCKET")]
    pub backup_s3_bucket: Option<String>,
    /// Most Jobs that the operator has running at a time
    #[arg(long, value_name = "N", default_value = "10")]
    pub max_concurrent_runs: NonZeroU16,
    /// Namespace whose EtcdBackups may back up the control plane's own etcd (spec.kubeadm); none by default
    #[arg(long, value_name = "NAMESPACE")]
    pub kubeadm_namespace: Option<String>,
    /// Directory of a control-plane node with ca.crt, healthcheck-client.crt and healthcheck-client.key
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/pki/etcd")]
    pub kubeadm_pki_dir: String,
    /// Make the CRD if there is none; needs the permission to get and create CustomResourceDefinitions
    #[arg(long)]
    pub create_crd: bool,
    /// Port of /healthz, /readyz and /metrics
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub health_port: u16,
}
