//! `operator`: the in-cluster role that turns EtcdBackup objects into Jobs.

use crate::cli::KubeFlags;
use crate::error::{Error, Result};
use crate::operator::args::Args;
use crate::{kubernetes, operator};

/// Runs the operator until it is told to stop.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when only some of the three flags for S3 are given;
/// those of [`operator::run`].
pub async fn run(args: Args, kube: &KubeFlags) -> Result<()> {
    let given = [&args.backup_aws_secret, &args.backup_aws_config, &args.backup_s3_bucket];
    if given.iter().any(|flag| flag.is_some()) && given.iter().any(|flag| flag.is_none()) {
        return Err(Error::usage(
            "--backup-aws-secret, --backup-aws-config and --backup-s3-bucket should be all set or all empty",
        ));
    }
    let session = kubernetes::Session::connect(kube).await?;
    operator::run(args, session).await
}
