//! Lets sidecars review tokens: the subjects of the one ClusterRoleBinding that `install --cluster-wide` makes.
//!
//! Reviews are cluster-scoped, so no Role can grant them. The operator may change that binding and neither make,
//! delete nor see another. Who is bound follows from EtcdBackups alone: a Deployment that somebody else made,
//! whatever its labels, gets nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Subject};
use kube::api::{Api, Patch, PatchParams};

use super::cached::Cached;
use super::plan::{Plan, plan};
use super::settings::Settings;
use super::{Context, TIMEOUT, requests, sidecar};
use crate::api::EtcdBackup;
use crate::error::{Error, Result};

/// Name of the ClusterRole that allows reviews, and of its binding.
pub const TOKEN_REVIEW: &str = "etcdbackup-token-review";

/// How soon a binding that could not be changed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How often the EtcdBackups in memory are looked at: nothing tells of one that is gone.
const LOOK: Duration = Duration::from_secs(30);

/// How long the binding is believed to be as it was left.
const BELIEVED: Duration = Duration::from_secs(600);

/// A ServiceAccount: its namespace and its name.
type Account = (String, String);

/// Keeps the subjects of the binding. Never ends.
pub async fn keep(context: Arc<Context>) {
    // an empty cache would take everybody's permission away
    if !context.settings.cluster_wide || context.backups.wait_until_ready().await.is_err() {
        return std::future::pending().await;
    }
    let mut bound = None;
    loop {
        let pause = match settle(&context, &mut bound).await {
            Ok(()) => LOOK,
            Err(error) => {
                tracing::warn!(
                    error = error.message(),
                    "sidecars are not allowed to review tokens, trying again: kubectl etcdbackup install --cluster-wide"
                );
                AGAIN
            }
        };
        // woken or not, the next step is the same
        let _ = tokio::time::timeout(pause, context.sidecars.notified()).await;
    }
}

/// Binds whom the EtcdBackups want bound, unless these are `bound` since a short time ago.
async fn settle(context: &Context, bound: &mut Option<(BTreeSet<Account>, Instant)>) -> Result<()> {
    let wanted = wanted(&context.backups.state(), &context.settings);
    let before = match &*bound {
        Some((accounts, since)) if *accounts == wanted && since.elapsed() < BELIEVED => return Ok(()),
        Some((accounts, _)) => accounts.clone(),
        None => BTreeSet::new(),
    };
    bind(context, &before, &wanted).await?;
    *bound = Some((wanted, Instant::now()));
    Ok(())
}

/// The ServiceAccounts of the sidecars that are to review tokens.
fn wanted(backups: &[Arc<Cached>], settings: &Settings) -> BTreeSet<Account> {
    let readable = backups.iter().filter_map(|backup| backup.0.as_ref().ok());
    readable.filter_map(|backup| account(backup, settings)).collect()
}

fn account(backup: &EtcdBackup, settings: &Settings) -> Option<Account> {
    let plan = plan(backup, settings).ok().filter(Plan::wants_sidecar)?;
    let name = sidecar::account(&plan).0;
    let reviews = !plan.sidecar.anonymous && backup.metadata.deletion_timestamp.is_none();
    (reviews && is_account_name(&name)).then_some((plan.namespace, name))
}

/// A DNS subdomain: one name that is none would make the API server refuse the whole binding.
fn is_account_name(name: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let word = |word: &str| {
        let bytes = word.as_bytes();
        bytes.first().is_some_and(letter)
            && bytes.last().is_some_and(letter)
            && bytes.iter().all(|byte| letter(byte) || *byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(word)
}

/// Who is to be bound. An operator for some EtcdBackups takes away only what it gave: the rest is for the others.
fn merged(
    existing: &[Subject],
    before: &BTreeSet<Account>,
    wanted: &BTreeSet<Account>,
    selective: bool,
) -> BTreeSet<Account> {
    let accounts = existing.iter().filter_map(|subject| Some((subject.namespace.clone()?, subject.name.clone())));
    accounts.filter(|account| selective && !before.contains(account)).chain(wanted.iter().cloned()).collect()
}

async fn bind(context: &Context, before: &BTreeSet<Account>, wanted: &BTreeSet<Account>) -> Result<()> {
    let session = &context.session;
    let bindings = Api::<ClusterRoleBinding>::all(session.client.clone());
    let existing = session.request(TIMEOUT, bindings.get(TOKEN_REVIEW)).await?;
    if (existing.role_ref.kind.as_str(), existing.role_ref.name.as_str()) != ("ClusterRole", TOKEN_REVIEW) {
        return Err(Error::general(format!("clusterrolebinding {TOKEN_REVIEW:?} binds another role")));
    }
    let (version, existing) = (existing.metadata.resource_version, existing.subjects.unwrap_or_default());
    let subjects: Vec<Subject> =
        merged(&existing, before, wanted, context.settings.selective).iter().map(subject).collect();
    if existing == subjects {
        return Ok(());
    }
    tracing::info!(accounts = subjects.len(), "changing who may review tokens");
    let params = PatchParams { field_manager: Some(requests::OPERATOR.to_owned()), ..PatchParams::default() };
    // not applied: then whoever applies the binding without subjects, as install does, would clear them
    let patch = Patch::Merge(serde_json::json!({"metadata": {"resourceVersion": version}, "subjects": subjects}));
    session.request(TIMEOUT, bindings.patch(TOKEN_REVIEW, &params, &patch)).await.map(drop)
}

fn subject((namespace, name): &Account) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.clone(),
        namespace: Some(namespace.clone()),
        api_group: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn bound(specs: &[serde_json::Value]) -> Vec<String> {
        let backups: Vec<_> = specs
            .iter()
            .map(|changes| {
                let mut spec = serde_json::json!({"storageType": "S3", "clusterName": "etcd-a",
                    "s3": {"s3Bucket": "b", "awsSecret": "s", "layout": "Cluster"}});
                spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
                Arc::new(Cached(Ok(samples::backup(spec))))
            })
            .collect();
        let wanted = wanted(&backups, &samples::settings(false));
        wanted.into_iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect()
    }

    #[test]
    fn the_account_of_every_sidecar_that_reviews_is_bound_once() {
        let all = [
            serde_json::json!({}),
            serde_json::json!({}),
            serde_json::json!({"clusterName": "etcd-b", "serviceAccountName": "irsa"}),
            serde_json::json!({"clusterName": "etcd-c", "s3": {"s3Bucket": "b", "layout": "Cluster"}}),
        ];
        assert_eq!(bound(&all), ["default/default", "default/etcd-a-backup-sidecar", "default/irsa"]);
    }

    #[test]
    fn nobody_is_bound_for_an_object_without_a_sidecar_that_reviews() {
        for changes in [
            serde_json::json!({"sidecar": {"enabled": false}}),
            serde_json::json!({"sidecar": {"anonymous": true}}),
            serde_json::json!({"s3": {"path": "b/key"}}),
            // before the first backup there is no sidecar
            serde_json::json!({"s3": {"s3Bucket": "b"}}),
            serde_json::json!({"clusterName": "Not_A_Name"}),
        ] {
            assert_eq!(bound(std::slice::from_ref(&changes)), [""; 0], "{changes}");
        }
        assert_eq!(bound(&[]), [""; 0]);
    }

    #[test]
    fn an_operator_for_some_takes_away_only_what_it_gave() {
        let accounts = |names: &[&str]| -> BTreeSet<Account> {
            names.iter().map(|&name| ("ns".to_owned(), name.to_owned())).collect()
        };
        let existing: Vec<Subject> = accounts(&["mine", "old", "theirs"]).iter().map(subject).collect();
        let merged = |selective| merged(&existing, &accounts(&["mine", "old"]), &accounts(&["mine", "new"]), selective);
        assert_eq!(merged(true), accounts(&["mine", "new", "theirs"]));
        assert_eq!(merged(false), accounts(&["mine", "new"]));
    }

    #[test]
    fn the_last_sidecar_of_a_namespace_takes_its_subject_with_it() {
        let of = |namespace: &str| {
            let spec = serde_json::json!({"storageType": "S3", "clusterName": "etcd-a",
                "s3": {"s3Bucket": "b", "awsSecret": "s", "layout": "Cluster"}});
            let mut backup = samples::backup(spec);
            backup.metadata.namespace = Some(namespace.to_owned());
            Arc::new(Cached(Ok(backup)))
        };
        let both = wanted(&[of("x"), of("y")], &samples::settings(false));
        let existing: Vec<Subject> = both.iter().map(subject).collect();
        let left = wanted(&[of("y")], &samples::settings(false));
        for selective in [true, false] {
            let subjects: Vec<Subject> = merged(&existing, &both, &left, selective).iter().map(subject).collect();
            let named: Vec<_> = subjects.iter().map(|it| (it.namespace.as_deref(), it.name.as_str())).collect();
            assert_eq!(named, [(Some("y"), "etcd-a-backup-sidecar")]);
            assert!(merged(&subjects, &left, &BTreeSet::new(), selective).is_empty());
        }
    }

    #[test]
    fn one_name_that_the_api_server_refuses_does_not_spoil_the_binding() {
        for bad in ["Robot", "a b", "-a", "a..b", "a/b", "system:masters"] {
            let named = serde_json::json!({"clusterName": "etcd-b", "serviceAccountName": bad});
            assert_eq!(bound(&[serde_json::json!({}), named]), ["default/etcd-a-backup-sidecar"], "{bad}");
        }
        assert!(is_account_name("team-x.backup"));
    }
}
