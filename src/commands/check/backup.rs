//! What a cluster's backups need: the Secret, the bucket, etcd and the sidecar.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::report::{Check, Report};
use super::{Args, TIMEOUT};
use crate::api::conditions::{self, EXPIRED, SUCCEEDED, Verdict};
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::{EtcdBackup, names};
use crate::aws::ProfileFiles;
use crate::cli::{KubeFlags, Ui};
use crate::commands::credentials::check::bucket as in_bucket;
use crate::commands::get::operator_wide::OperatorWide;
use crate::commands::get::place::{self, At, Resolved};
use crate::commands::list::standing;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::source::Wanted;
use crate::source::service::ServiceSource;

/// Looks at CLUSTER, or at every cluster that has an EtcdBackup.
///
/// # Errors
/// As [`Report::add`].
pub async fn check(
    args: &Args,
    session: &Session,
    operator: &OperatorWide,
    here: (&KubeFlags, &Ui),
    report: &mut Report<'_>,
) -> Result<()> {
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
        report.add(object(cluster, backup, &session.namespace))?;
        if let Some(left) = backup.and_then(|backup| retention(cluster, backup)) {
            report.add(left)?;
        }
        if let Some(name) = backup.and_then(|backup| secret_of(backup, operator)) {
            report.add(secret(cluster, name, session).await)?;
        }
        bucket(cluster, backup, args, operator, here, report).await?;
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

/// What became of the newest EtcdBackup. Only a failure that is final is one: what waits or is tried again may succeed.
fn object(cluster: &str, backup: Option<&EtcdBackup>, namespace: &str) -> Check {
    let name = format!("{cluster}: EtcdBackup");
    let Some(backup) = backup else {
        return Check::skipped(name, format!("none in namespace {namespace}"))
            .hint(format!("kubectl etcdbackup create {cluster} --bucket NAME"));
    };
    let (shown, status) = (backup.name_any(), backup.status.clone().unwrap_or_default());
    let describe = format!("kubectl -n {namespace} describe etcdbackup {shown}");
    let told = conditions::find(&status.conditions, SUCCEEDED);
    let stored = if status.succeeded { format!("; it stored {} before", status.path()) } else { String::new() };
    match (conditions::verdict(backup), standing(backup).as_str()) {
        (_, "Succeeded") => Check::ok(name, format!("{shown} stored {}", status.path())),
        (_, "Failed") => {
            Check::failed(name, &Error::backup_failed(format!("{shown}: {}", status.reason)).hint(describe))
        }
        (Verdict::Open, "Pending") => Check::skipped(name, format!("{shown} has not run yet{stored}")),
        (_, word) => {
            let message = told.map(|found| format!(": {}", found.message)).unwrap_or_default();
            let sentence = format!("{shown} has not run to its end yet, {word}{message}{stored}");
            if status.reason.is_empty() {
                Check::skipped(name, sentence)
            } else {
                Check::warning(name, sentence).hint(describe)
            }
        }
    }
}

/// Snapshots that should be gone and are not, or a limit that has no effect.
fn retention(cluster: &str, backup: &EtcdBackup) -> Option<Check> {
    let told = conditions::find(&backup.status.as_ref()?.conditions, EXPIRED)?;
    (told.status == "False").then(|| Check::warning(format!("{cluster}: retention"), told.message.clone()))
}

/// The Secret that the object names, else the operator's.
fn secret_of<'a>(backup: &'a EtcdBackup, operator: &'a OperatorWide) -> Option<&'a str> {
    let name = &backup.spec.s3.as_ref()?.aws_secret;
    Some(name.as_str()).filter(|name| !name.is_empty()).or(operator.secret.as_deref())
}

async fn secret(cluster: &str, name: &str, session: &Session) -> Check {
    let check = format!("{cluster}: Secret {name}");
    let keys = match place::secret(session, name).await {
        Ok(keys) => keys,
        Err(error) if error.kind() == ErrorKind::Denied => {
            return Check::skipped(check, "you may not read it; the pods may");
        }
        Err(error) => return Check::failed(check, &error),
    };
    let shown: Vec<&str> = keys.keys().map(String::as_str).collect();
    match ProfileFiles::from_keys(format!("secret {}/{name}", session.namespace), &keys) {
        Ok(_) => Check::ok(check, format!("has keys {}", shown.join(", "))),
        Err(error) => Check::failed(check, &error),
    }
}

/// Region, credentials and bucket, as `get --from s3` takes them, and then the checks of `credentials check`.
async fn bucket(
    cluster: &str,
    backup: Option<&EtcdBackup>,
    args: &Args,
    operator: &OperatorWide,
    (kube, ui): (&KubeFlags, &Ui),
    report: &mut Report<'_>,
) -> Result<()> {
    let name = format!("{cluster}: bucket");
    let place = &args.s3.place;
    let named = place.bucket.is_some() || place.path.is_some();
    if backup.is_none() && !named {
        return report.add(Check::skipped(name, "no EtcdBackup names one").hint("name it with --bucket"));
    }
    if backup.is_some_and(|backup| backup.spec.s3.is_none()) && !named {
        return report.add(Check::skipped(name, "the EtcdBackup stores elsewhere"));
    }
    let recorded = backup.and_then(|backup| backup.spec.s3.as_ref()).map(|s3| s3.endpoint.clone());
    let endpoint = place.endpoint_url.clone().or(recorded.filter(|url| !url.is_empty()));
    if let Some(error) = endpoint.and_then(|url| place::reachable(&url).err()) {
        return report.add(Check::skipped(name, error.message()));
    }
    let resolved = match place::resolve_with(cluster, &args.s3, Some(operator), kube, ui).await {
        Ok(resolved) => resolved,
        Err(error) => return report.add(Check::failed(name, &error)),
    };
    let s3 = &resolved.s3;
    report.add(Check::ok(name, format!("{} in region {}, with {}", s3.bucket, s3.region, s3.credentials)))?;
    let unwritten = (!args.write).then_some("nothing is written without --write");
    for found in in_bucket::all(s3, &directory(cluster, backup, &resolved), unwritten).await {
        report.add(of_bucket(cluster, found))?;
    }
    Ok(())
}

/// Where the snapshots of the cluster go, as a key prefix; as far as is known.
fn directory(cluster: &str, backup: Option<&EtcdBackup>, resolved: &Resolved) -> String {
    match &resolved.at {
        At::Path(key) => key.rsplit_once('/').map(|(directory, _)| format!("{directory}/")).unwrap_or_default(),
        At::Directories { prefix, layout } => {
            let decided = backup.and_then(|backup| backup.status.as_ref()?.layout);
            let prefix = prefix.trim_matches('/');
            let undecided = || if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            layout.or(decided).map_or_else(undecided, |layout| resolved.as_place(cluster).directory(layout))
        }
    }
}

fn of_bucket(cluster: &str, found: in_bucket::Check) -> Check {
    let name = format!("{cluster}: {}", found.name);
    let hints = found.hints.clone();
    match found.kind {
        Some(kind) => {
            let error = hints.into_iter().fold(Error::new(kind, found.message), Error::hint);
            Check::failed(name, &error)
        }
        None if found.is_ok() => hints.into_iter().fold(Check::ok(name, found.message), Check::hint),
        None => Check::skipped(name, found.message),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::report::State;

    fn backup(status: serde_json::Value) -> EtcdBackup {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
            "metadata": {"name": "nightly", "generation": 2}, "spec": {"storageType": "S3"}, "status": status
        }))
        .unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str, generation: i64) -> serde_json::Value {
        serde_json::json!({"type": kind, "status": status, "reason": reason, "message": "because",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn checked(status: serde_json::Value) -> (State, u8, String) {
        let check = object("etcd-a", Some(&backup(status)), "db");
        (check.state, check.exit_code, check.message)
    }

    #[test]
    fn a_backup_without_an_end_is_no_failure() {
        let unknown = |reason: &str, trouble: &str| {
            let condition = condition(SUCCEEDED, "Unknown", reason, 2);
            checked(serde_json::json!({"Reason": trouble, "conditions": [condition]}))
        };
        let (state, code, message) = checked(serde_json::json!({}));
        assert_eq!((state, code, message.as_str()), (State::Skipped, 0, "nightly has not run yet"));
        let (state, code, message) = unknown("Running", "");
        assert_eq!((state, code), (State::Skipped, 0));
        assert_eq!(message, "nightly has not run to its end yet, Running: because");
        assert_eq!(unknown("SecretNotFound", "SecretNotFound: because").0, State::Warning);
        assert_eq!(unknown("SecretNotFound", "SecretNotFound: because").1, 0);
        let old = condition(SUCCEEDED, "False", "BackupFailed", 1);
        assert_eq!(checked(serde_json::json!({"Reason": "no", "conditions": [old]})).1, 0);
    }

    #[test]
    fn an_end_is_what_it_is_for_every_operator() {
        let of = |status: &str, reason: &str| {
            checked(serde_json::json!({"Reason": reason, "succeeded": reason.is_empty(), "s3Path": "b/k",
                "conditions": [condition(SUCCEEDED, status, "x", 2)]}))
        };
        assert_eq!(of("True", ""), (State::Ok, 0, "nightly stored b/k".to_owned()));
        assert_eq!(of("False", "KeyExists: x"), (State::Failed, 7, "nightly: KeyExists: x".to_owned()));
        // etcd-operator wrote no conditions
        assert_eq!(checked(serde_json::json!({"succeeded": true, "s3Path": "b/k"})).0, State::Ok);
        assert_eq!(checked(serde_json::json!({"Reason": "no"})).1, 7);
    }

    #[test]
    fn snapshots_that_could_not_be_deleted_are_a_warning() {
        let of = |status: &str| {
            let told = condition(EXPIRED, status, "ExpiryFailed", 2);
            retention("etcd-a", &backup(serde_json::json!({"conditions": [told]}))).map(|check| check.state)
        };
        assert_eq!([of("False"), of("True")], [Some(State::Warning), None]);
    }
}
