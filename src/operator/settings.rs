//! What the operator's own flags decide for every EtcdBackup.

use std::num::NonZeroU16;

use super::args::Args;
use crate::snapshot::Layout;

/// The operator's flags in the form that planning needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Image of the Jobs and sidecars.
    pub image: String,
    /// The operator-wide S3 settings, for objects that name none.
    pub s3: Option<S3Defaults>,
    /// Whether all namespaces are worked on.
    pub cluster_wide: bool,
    /// Whether only some EtcdBackups are worked on, by their labels.
    pub selective: bool,
    /// Layout of a cluster that has no snapshot yet.
    pub default_layout: Layout,
    /// Where and how the control plane's own etcd may be backed up; nowhere by default.
    pub kubeadm: Option<Kubeadm>,
    /// Most unfinished Jobs at a time.
    pub max_runs: NonZeroU16,
}

/// Bucket and credentials for objects that name none; the names are resolved in the object's namespace.
#[derive(Debug, Clone)]
pub struct S3Defaults {
    pub bucket: String,
    pub secret: String,
    pub config_map: String,
}

/// The control plane's own etcd.
#[derive(Debug, Clone)]
pub struct Kubeadm {
    /// The only namespace whose EtcdBackups may ask for it: their Jobs hold a client certificate of that etcd.
    pub namespace: String,
    /// Directory of a control-plane node with ca.crt, healthcheck-client.crt and healthcheck-client.key.
    pub pki_directory: String,
}

impl Settings {
    /// The settings that the flags ask for, with the image that was found. The three S3 flags come together or not at all.
    pub fn new(args: &Args, image: String) -> Self {
        let s3 = match (&args.backup_s3_bucket, &args.backup_aws_secret, &args.backup_aws_config) {
            (Some(bucket), Some(secret), Some(config_map)) => {
                Some(S3Defaults { bucket: bucket.clone(), secret: secret.clone(), config_map: config_map.clone() })
            }
            _ => None,
        };
        Self {
            image,
            s3,
            cluster_wide: args.cluster_wide,
            selective: args.selector.is_some(),
            // clusters of two namespaces may have one name, and share the operator-wide bucket
            default_layout: if args.cluster_wide { Layout::Namespaced } else { Layout::Cluster },
            max_runs: args.max_concurrent_runs,
            kubeadm: args.kubeadm_namespace.clone().map(|namespace| Kubeadm {
                namespace,
                pki_directory: args.kubeadm_pki_dir.trim_end_matches('/').to_owned(),
            }),
        }
    }
}
