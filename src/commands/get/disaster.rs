//! What is left when Kubernetes does not answer: the commands that need none, ready to be pasted.

use crate::cli::{KubeFlags, S3ReadFlags};
use crate::error::Error;
use crate::kubernetes;

/// `error`, and where no API server answered, how `verb` works without one for `cluster`.
pub(in crate::commands) fn advise(
    error: Error,
    verb: &str,
    cluster: &str,
    flags: &S3ReadFlags,
    kube: &KubeFlags,
) -> Error {
    let place = &flags.place;
    if place.bucket.is_some() || place.path.is_some() {
        return without_secret(error, flags, kube);
    }
    if cluster.is_empty() || kube.patience.answered() {
        return error;
    }
    let namespace = kubernetes::namespace(kube);
    error.hint(format!(
        "without Kubernetes: kubectl etcdbackup {verb} {cluster} -n {namespace} --from s3 --bucket BUCKET --region REGION, \
         with --prefix PREFIX if the backups have one, and --endpoint-url URL if the store is not AWS; \
         from a mounted disk: kubectl etcdbackup {verb} {cluster} --from dir --dir PATH"
    ))
}

/// `error`, and where no API server answered for the Secret of the flags, that the place can be read without it.
pub(in crate::commands) fn without_secret(error: Error, flags: &S3ReadFlags, kube: &KubeFlags) -> Error {
    match &flags.secret {
        Some(_) if !kube.patience.answered() => {
            error.hint("without Kubernetes your own AWS credentials can be used: leave out --secret")
        }
        _ => error,
    }
}
