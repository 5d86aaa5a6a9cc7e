//! Keeps the sidecar of a cluster, and says whether it serves an EtcdBackup's store.

mod objects;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};

use super::plan::{self, Plan, Store, plan};
use super::pod::MANAGED_BY;
use super::sidecar::{self, Candidate, Elected, STORE};
use super::{Context, TIMEOUT, requests, status, trouble};
use crate::api::conditions::{self, SIDECAR_READY};
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::{EtcdBackup, EtcdBackupStatus, names};
use crate::error::Result;
use crate::kubernetes::FIELD_MANAGER;

/// How soon a sidecar that is not ready is looked at again at first, and at last; its Deployment tells of changes
/// itself.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// What became of the sidecar, from the view of one EtcdBackup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    /// None is wanted: there is no condition.
    Unwanted,
    Ready,
    NotReady {
        reason: String,
        message: String,
    },
}

impl Serving {
    fn not_ready(reason: &str, message: impl Into<String>) -> Self {
        Self::NotReady { reason: reason.to_owned(), message: message.into() }
    }

    /// The condition `SidecarReady`; `None` when there is to be none.
    pub fn condition(&self, generation: Option<i64>, now: Timestamp) -> Option<Condition> {
        let (status, reason, message) = match self {
            Self::Unwanted => return None,
            Self::Ready => ("True", "Available", ""),
            Self::NotReady { reason, message } => ("False", reason.as_str(), message.as_str()),
        };
        Some(Condition {
            type_: SIDECAR_READY.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: generation,
            last_transition_time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        })
    }

    /// When to look again, if not only after a change: ever later, the longer `backup` tells that it is not ready.
    pub fn look_again(&self, backup: &EtcdBackup, now: Timestamp) -> Option<Duration> {
        let told = conditions::find(&backup.status.as_ref()?.conditions, SIDECAR_READY);
        let since = told.filter(|told| told.status == "False").map(|told| told.last_transition_time.0);
        let waited = since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default();
        matches!(self, Self::NotReady { .. }).then(|| (waited / 2).clamp(LOOK_AGAIN.0, LOOK_AGAIN.1))
    }

    /// The status of `backup` with the condition, if it has a status at all.
    pub fn status(&self, backup: &EtcdBackup, now: Timestamp) -> Option<EtcdBackupStatus> {
        let mut next = backup.status.clone()?;
        match self.condition(backup.metadata.generation, now) {
            Some(condition) => status::put(&mut next.conditions, condition, false),
            None => next.conditions.retain(|found| found.type_ != SIDECAR_READY),
        }
        Some(next)
    }
}

/// Makes, changes or removes the sidecar of the cluster of `backup`, whose status is newer than the cache's.
///
/// # Errors
/// Those of the API server.
pub async fn keep(context: &Context, backup: &EtcdBackup) -> Result<Serving> {
    let Ok(cluster) = plan::cluster(backup) else { return Ok(Serving::Unwanted) };
    let namespace = backup.namespace().unwrap_or_default();
    for other in left_behind(context, backup, &cluster) {
        bequeath(context, backup, &other).await?;
    }
    let candidates = candidates(context, backup, &cluster);
    let deployments = Api::<Deployment>::namespaced(context.session.client.clone(), &namespace);
    let name = names::sidecar(&cluster);
    let existing = context.session.request(TIMEOUT, deployments.get_opt(&name)).await?;
    let planned = plan(backup, &context.settings);
    let wanted = planned.as_ref().is_ok_and(|plan| plan.sidecar.enabled);
    let no_candidate = absent(planned.as_ref().ok());
    if existing.as_ref().is_some_and(|found| !is_ours(found)) {
        let message = format!("Deployment {name} exists and is not kept by {FIELD_MANAGER}");
        return Ok(if wanted { Serving::not_ready("NameTaken", message) } else { Serving::Unwanted });
    }
    let served = existing.as_ref().and_then(|found| found.annotations().get(STORE)).map(String::as_str);
    let Some(elected) = sidecar::elect(&candidates, served) else {
        if let Some(existing) = existing {
            objects::remove(context, &existing).await?;
            context.sidecars.notify_one();
        }
        return Ok(no_candidate);
    };
    let applied = match objects::apply(context, &elected).await? {
        Ok(applied) => applied,
        Err(serving) => return Ok(if wanted { serving } else { Serving::Unwanted }),
    };
    context.sidecars.notify_one();
    if !wanted {
        return Ok(Serving::Unwanted);
    }
    if let Some(serving) = not_an_owner(&elected, &candidates, backup, no_candidate) {
        return Ok(serving);
    }
    match availability(&applied) {
        Serving::NotReady { reason, message } if reason == UNAVAILABLE => {
            Ok(explained(context, &elected, message).await)
        }
        serving => Ok(serving),
    }
}

/// The sidecars of other clusters that `backup` owns still: its cluster has changed.
fn left_behind(context: &Context, backup: &EtcdBackup, cluster: &str) -> Vec<Deployment> {
    let (uid, name) = (backup.uid().unwrap_or_default(), names::sidecar(cluster));
    let owned = context.caches.deployments.find(&backup.namespace().unwrap_or_default(), |text| text.contains(&uid));
    let others = owned.into_iter().filter(|found| found.name_any() != name);
    others.filter(|found| found.owner_references().iter().any(|owner| owner.uid == uid)).collect()
}

/// Gives a sidecar that `backup` left behind to those that want it, or removes it.
async fn bequeath(context: &Context, backup: &EtcdBackup, sidecar: &Deployment) -> Result<()> {
    let Some(cluster) = sidecar.labels().get(CLUSTER_LABEL) else { return Ok(()) };
    let candidates = candidates(context, backup, cluster);
    let served = sidecar.annotations().get(STORE).map(String::as_str);
    match sidecar::elect(&candidates, served) {
        Some(elected) => objects::apply(context, &elected).await.map(drop),
        None => objects::remove(context, sidecar).await,
    }
}

/// What is told of the sidecar of `backup` if the caches know that nothing is to be done about it.
pub fn settled(context: &Context, backup: &EtcdBackup) -> Option<Serving> {
    let Ok(cluster) = plan::cluster(backup) else { return Some(Serving::Unwanted) };
    if !left_behind(context, backup, &cluster).is_empty() {
        return None;
    }
    let planned = plan(backup, &context.settings).ok();
    let wanted = planned.as_ref().is_some_and(|plan| plan.sidecar.enabled);
    let existing = context.caches.deployments.get(&backup.namespace().unwrap_or_default(), &names::sidecar(&cluster));
    if existing.is_none() && !wanted {
        return Some(Serving::Unwanted);
    }
    let candidates = candidates(context, backup, &cluster);
    let served = existing.as_ref().and_then(|found| found.annotations().get(STORE)).map(String::as_str);
    match (existing.as_ref(), sidecar::elect(&candidates, served)) {
        (None, None) => Some(absent(planned.as_ref())),
        (Some(existing), Some(elected)) if objects::are_applied(context, &elected, existing) => {
            if !wanted {
                return Some(Serving::Unwanted);
            }
            let told = not_an_owner(&elected, &candidates, backup, absent(planned.as_ref()));
            // why pods are not there is told by themselves alone
            let told = told.unwrap_or_else(|| availability(existing));
            (!matches!(&told, Serving::NotReady { reason, .. } if reason == UNAVAILABLE)).then_some(told)
        }
        _ => None,
    }
}

/// The EtcdBackups of one namespace and cluster that want a sidecar and know their layout.
fn candidates(context: &Context, newest: &EtcdBackup, cluster: &str) -> Vec<Candidate> {
    let cached = context.backups.state();
    let others =
        cached.iter().filter_map(|guarded| guarded.0.as_ref().ok()).filter(|other| other.uid() != newest.uid());
    others
        .chain(std::iter::once(newest))
        .filter(|backup| backup.namespace() == newest.namespace() && backup.meta().deletion_timestamp.is_none())
        .filter(|backup| names::cluster_of(backup) == cluster)
        .filter_map(|backup| {
            let plan = plan(backup, &context.settings).ok().filter(Plan::wants_sidecar)?;
            let created = backup.creation_timestamp().map(|time| time.0);
            (plan.cluster == cluster).then_some(Candidate { owner: backup.owner_ref(&())?, created, plan })
        })
        .collect()
}

fn is_ours<K: Resource>(object: &K) -> bool {
    object.meta().labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == FIELD_MANAGER)
}

/// Why a plan has no part in a sidecar.
fn absent(plan: Option<&Plan>) -> Serving {
    match plan.filter(|plan| plan.sidecar.enabled) {
        Some(plan) if plan.store.bucket().is_some_and(|bucket| bucket.path.is_some()) => {
            Serving::not_ready("PathNotServed", "snapshots of a path are not served: get --path finds them")
        }
        Some(plan) => Serving::not_ready(
            "WaitingForFirstBackup",
            match plan.store {
                Store::S3(_) => "the first backup decides on the layout that is served",
                Store::Volume(_) => "nothing is on the volume before the first backup",
            },
        ),
        None => Serving::Unwanted,
    }
}

/// `AlreadyServed` when the sidecar serves another store than that of `backup`, `absent` when that has none to serve.
fn not_an_owner(
    elected: &Elected<'_>,
    candidates: &[Candidate],
    backup: &EtcdBackup,
    absent: Serving,
) -> Option<Serving> {
    let uid = backup.uid().unwrap_or_default();
    if elected.owners.iter().any(|owner| owner.uid == uid) {
        return None;
    }
    if !candidates.iter().any(|candidate| candidate.owner.uid == uid) {
        return Some(absent);
    }
    let leader = elected.leader;
    let message = format!(
        "the sidecar of cluster {} serves {} for EtcdBackup {}",
        leader.plan.cluster,
        leader.plan.store.shown(),
        leader.owner.name
    );
    Some(Serving::not_ready("AlreadyServed", message))
}

const UNAVAILABLE: &str = "NotAvailable";

/// The Deployment's own word.
fn availability(deployment: &Deployment) -> Serving {
    if deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0) {
        return Serving::not_ready("ScaledToZero", "the Deployment is scaled to 0");
    }
    let status = deployment.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    let updated = status.and_then(|status| status.updated_replicas).unwrap_or_default() > 0;
    let available = status.and_then(|status| status.available_replicas).unwrap_or_default() > 0;
    if observed && updated && available {
        Serving::Ready
    } else {
        Serving::not_ready(UNAVAILABLE, "the pod is not ready")
    }
}

/// Why the pods are not there, as far as they tell; looking must not fail the reconcile.
async fn explained(context: &Context, elected: &Elected<'_>, message: String) -> Serving {
    let (session, plan) = (&context.session, &elected.leader.plan);
    let pods = Api::<Pod>::namespaced(session.client.clone(), &plan.namespace);
    let selector: Vec<String> =
        sidecar::selector(&plan.cluster).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let params = ListParams::default().labels(&selector.join(","));
    let found = async {
        let pods = session.request(TIMEOUT, pods.list(&params)).await?.items;
        let events = requests::events_of(session, &plan.namespace, &pods).await?;
        Ok::<_, crate::error::Error>(trouble::find(plan, &pods, &events, &[]))
    };
    match found.await {
        Ok(Some(trouble)) => Serving::not_ready(&trouble.reason, trouble.message),
        _ => Serving::not_ready(UNAVAILABLE, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(deployment: serde_json::Value) -> String {
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        match availability(&deployment) {
            Serving::NotReady { reason, .. } => reason,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn ready_is_what_the_deployment_says_of_its_present_generation() {
        let at = |replicas: i32, observed: i64, available: i32| {
            word(serde_json::json!({
                "metadata": {"generation": 2},
                "spec": {"replicas": replicas, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "updatedReplicas": 1, "availableReplicas": available}
            }))
        };
        assert_eq!(at(1, 2, 1), "Ready");
        assert_eq!(at(1, 1, 1), "NotAvailable");
        assert_eq!(at(1, 2, 0), "NotAvailable");
        assert_eq!(at(0, 2, 0), "ScaledToZero");
    }

    #[test]
    fn no_sidecar_wanted_is_no_condition() {
        assert_eq!(Serving::Unwanted.condition(Some(1), Timestamp::UNIX_EPOCH), None);
        let condition = Serving::Ready.condition(Some(1), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((condition.type_.as_str(), condition.status.as_str()), ("SidecarReady", "True"));
    }
}
