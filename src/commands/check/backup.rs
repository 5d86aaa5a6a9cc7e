//! What a cluster's backups need: the Secret, the bucket, etcd and the sidecar.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::report::{Check, Report};
use super::{Args, TIMEOUT};
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::{EtcdBackup, names};
use crate::aws::ProfileFiles;
use crate::cli::{KubeFlags, Ui};
use crate::commands::get::place;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::source::Wanted;
use crate::source::s3::probe;
use crate::source::service::ServiceSource;

/// Looks at CLUSTER, or at every cluster that has an EtcdBackup.
///
/// # Errors
/// As [`Report::add`].
pub async fn check(args: &Args, session: &Session, kube: &KubeFlags, ui: &Ui, report: &mut Report<'_>) -> Result<()> {
    let known = known(session, report).await?;
    let (listed, backups) = (known.is_some(), known.unwrap_or_default());
    let clusters: Vec<&String> = match &args.cluster {
        Some(cluster) => vec![cluster],
        None => backups.keys().collect(),
    };
    if clusters.is_empty() && listed {
        let text = format!("none in namespace {}", session.namespace);
        return report.add(Check::skipped("EtcdBackups", text).hint("name a CLUSTER, or another namespace with -n"));
    }
    for cluster in clusters {
        let backup = backups.get(cluster);
        report.add(object(cluster, backup, session))?;
        if let Some(name) = backup.and_then(secret_of) {
            report.add(secret(cluster, name, session).await)?;
        }
        report.add(bucket(cluster, backup, args, kube, ui).await)?;
        report.add(etcd(cluster, backup, session).await)?;
        report.add(sidecar(cluster, backup, session).await)?;
    }
    Ok(())
}

/// The EtcdBackups by cluster; `None`, with a failed check, when they cannot be listed.
async fn known(session: &Session, report: &mut Report<'_>) -> Result<Option<BTreeMap<String, EtcdBackup>>> {
    match newest(session).await {
        Ok(backups) => Ok(Some(backups)),
        // the check of the CRD said so
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(BTreeMap::new())),
        Err(error) => report.add(Check::failed("EtcdBackups", &error)).map(|()| None),
    }
}

/// The newest EtcdBackup of each cluster in the namespace.
async fn newest(session: &Session) -> Result<BTreeMap<String, EtcdBackup>> {
    let api = Api::<EtcdBackup>::namespaced(session.client.clone(), &session.namespace);
    let mut items = session.request(TIMEOUT, api.list(&ListParams::default())).await?.items;
    items.sort_by_key(|backup| (backup.creation_timestamp().map(|time| time.0), backup.name_any()));
    Ok(items.into_iter().map(|backup| (names::cluster_of(&backup), backup)).collect())
}

fn object(cluster: &str, backup: Option<&EtcdBackup>, session: &Session) -> Check {
    let name = format!("{cluster}: EtcdBackup");
    let Some(backup) = backup else {
        return Check::skipped(name, format!("none in namespace {}", session.namespace))
            .hint(format!("kubectl etcdbackup create {cluster} --bucket NAME"));
    };
    let (shown, status) = (backup.name_any(), backup.status.clone().unwrap_or_default());
    if status.succeeded {
        return Check::ok(name, format!("{shown} stored {}", status.s3_path));
    }
    match status.reason.as_str() {
        "" => Check::skipped(name, format!("{shown} has no result yet")),
        reason => Check::failed(
            name,
            &Error::backup_failed(format!("{shown}: {reason}"))
                .hint(format!("kubectl -n {} describe etcdbackup {shown}", session.namespace)),
        ),
    }
}

/// The Secret that the object itself names; the operator-wide one stands in the operator's flags.
fn secret_of(backup: &EtcdBackup) -> Option<&str> {
    let name = &backup.spec.s3.as_ref()?.aws_secret;
    (!name.is_empty()).then_some(name.as_str())
}

async fn secret(cluster: &str, name: &str, session: &Session) -> Check {
    let check = format!("{cluster}: Secret {name}");
    let keys = match place::secret(session, name).await {
        Ok(keys) => keys,
        Err(error) if error.kind() == ErrorKind::Denied => {
            return Check::skipped(check, "you may not read it; the pods may");
        }
        Err(error) => {
            let how = format!("kubectl etcdbackup credentials -n {} --secret-name {name}", session.namespace);
            return Check::failed(check, &error.hint(how));
        }
    };
    let shown: Vec<&str> = keys.keys().map(String::as_str).collect();
    match ProfileFiles::from_keys(format!("secret {}/{name}", session.namespace), &keys) {
        Ok(_) => Check::ok(check, format!("has keys {}", shown.join(", "))),
        Err(error) => Check::failed(check, &error),
    }
}

/// Region, credentials and bucket, as `get --from s3` takes them.
async fn bucket(cluster: &str, backup: Option<&EtcdBackup>, args: &Args, kube: &KubeFlags, ui: &Ui) -> Check {
    let name = format!("{cluster}: bucket");
    if backup.is_none() && args.s3.place.bucket.is_none() {
        return Check::skipped(name, "no EtcdBackup names one").hint("name it with --bucket");
    }
    if backup.is_some_and(|backup| backup.spec.s3.is_none()) && args.s3.place.bucket.is_none() {
        return Check::skipped(name, "the EtcdBackup stores elsewhere");
    }
    let recorded = backup.and_then(|backup| backup.spec.s3.as_ref()).map(|s3| s3.endpoint.clone());
    let endpoint = args.s3.place.endpoint_url.clone().or(recorded.filter(|url| !url.is_empty()));
    if let Some(error) = endpoint.and_then(|url| place::reachable(&url).err()) {
        return Check::skipped(name, error.message());
    }
    match listed(cluster, args, kube, ui).await {
        Ok(found) => Check::ok(name, found),
        Err(error) => Check::failed(name, &error),
    }
}

/// Lists the bucket; the place of the checks of get and put, too.
async fn listed(cluster: &str, args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<String> {
    let resolved = place::resolve(cluster, &args.s3, kube, ui).await?;
    let found = probe(&resolved.s3, resolved.as_place(cluster)).await?;
    let snapshots: usize = found.found.iter().map(|(_, listing)| listing.snapshots.len()).sum();
    let s3 = &resolved.s3;
    Ok(format!("{} in region {} can be listed from here, {snapshots} snapshots of {cluster}", s3.bucket, s3.region))
}

/// Whether there is something to back up; etcd itself is not reachable from here.
async fn etcd(cluster: &str, backup: Option<&EtcdBackup>, session: &Session) -> Check {
    let name = format!("{cluster}: etcd");
    if let Some(spec) = backup.map(|backup| &backup.spec).filter(|spec| !spec.etcd_endpoints.is_empty()) {
        return Check::skipped(name, format!("not connected to from here: {}", spec.etcd_endpoints.join(", ")));
    }
    if backup.is_some_and(|backup| backup.spec.kubeadm.is_some()) {
        return Check::skipped(name, "the control plane's own, not connected to from here");
    }
    let service = names::client_service(cluster);
    match look(cluster, &service, session).await {
        Ok((true, running)) => {
            Check::ok(name, format!("Service {service}, {running} running pods; not connected to from here"))
        }
        Ok((false, 0)) => Check::failed(
            name,
            &Error::not_found(format!(
                "no Service {service} and no running pod with the label {CLUSTER_LABEL}={cluster} in namespace {}",
                session.namespace
            ))
            .hint("name endpoints or another namespace"),
        ),
        Ok((false, running)) => Check::ok(name, format!("{running} running pods; not connected to from here")),
        Err(error) => Check::failed(name, &error),
    }
}

/// Whether the client Service is there, and how many pods of members run.
async fn look(cluster: &str, service: &str, session: &Session) -> Result<(bool, usize)> {
    let services = Api::<Service>::namespaced(session.client.clone(), &session.namespace);
    let service = session.request(TIMEOUT, services.get_opt(service)).await?;
    let pods = Api::<Pod>::namespaced(session.client.clone(), &session.namespace);
    // our own pods carry the cluster's label too
    let members = format!("{CLUSTER_LABEL}={cluster},app notin (etcd_backup_tool,etcd_backup_agent)");
    let pods = session.request(TIMEOUT, pods.list(&ListParams::default().labels(&members))).await?;
    let runs = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    Ok((service.is_some(), pods.items.iter().filter(runs).count()))
}

/// A HEAD through a port-forward, as `get` begins.
async fn sidecar(cluster: &str, backup: Option<&EtcdBackup>, session: &Session) -> Check {
    let name = format!("{cluster}: sidecar");
    let Some(backup) = backup else { return Check::skipped(name, "it comes with the first backup") };
    if backup.spec.sidecar.is_some_and(|sidecar| !sidecar.enabled) {
        return Check::skipped(name, "switched off by spec.sidecar.enabled");
    }
    if !backup.status.as_ref().is_some_and(|status| status.succeeded) {
        return Check::skipped(name, "it comes with the first backup");
    }
    let found = async {
        let mut source = ServiceSource::connect(session, cluster).await?;
        source.head(&Wanted::default()).await
    };
    match found.await {
        Ok(snapshot) => Check::ok(name, format!("serves {} through a port-forward", snapshot.name)),
        Err(error) => Check::failed(name, &error),
    }
}
