//! What the operator watches: the EtcdBackups, and what it made for them. What is deleted by hand is made again.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cache::Cache;
use super::cached::Cached;
use super::pauses::Pauses;
use super::pod::{MANAGED_BY, SIDECAR_APP};
use super::queue::{Queue, Reference};
use super::scoped;
use crate::api::EtcdBackup;
use crate::kubernetes::{FIELD_MANAGER, Session};

/// How long the first looks wait for the caches. Without them they ask for what they need.
const UNTIL_FULL: Duration = Duration::from_secs(30);

/// The objects that operators made.
#[derive(Default)]
pub struct Caches {
    pub jobs: Arc<Cache<Job>>,
    pub cron_jobs: Arc<Cache<CronJob>>,
    pub deployments: Arc<Cache<Deployment>>,
    pub services: Arc<Cache<Service>>,
    pub accounts: Arc<Cache<ServiceAccount>>,
    pub policies: Arc<Cache<NetworkPolicy>>,
    waited: tokio::sync::OnceCell<()>,
}

/// Which EtcdBackups are to be looked at, as a watch says.
type Touched = BoxStream<'static, Result<Reference, watcher::Error>>;

impl Caches {
    /// Follows all of it.
    pub fn follow(&self, session: &Session, cluster_wide: bool, queue: &Queue, backups: &Store<Cached>) -> Touched {
        let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER}"));
        let sidecars = watcher::Config::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER},app={SIDECAR_APP}"));
        let (queue, backups) = (queue.clone(), backups.clone());
        let woken = move |job: &Job, gone| queue.woken_by(job, gone, |waiting| backups.get(waiting).is_some());
        let jobs = self.jobs.follow(scoped(session, cluster_wide), ours.clone(), woken);
        stream::select_all([
            jobs,
            of_owners(&self.cron_jobs, scoped(session, cluster_wide), &ours),
            of_owners(&self.deployments, scoped(session, cluster_wide), &sidecars),
            of_owners(&self.services, scoped(session, cluster_wide), &sidecars),
            of_owners(&self.accounts, scoped(session, cluster_wide), &sidecars),
            of_owners(&self.policies, scoped(session, cluster_wide), &sidecars),
        ])
        .boxed()
    }

    /// Waits until all of it has been listed, but not for ever: a permission may be missing.
    pub async fn until_full(&self) {
        let all = async {
            tokio::join!(
                self.jobs.until_full(),
                self.cron_jobs.until_full(),
                self.deployments.until_full(),
                self.services.until_full(),
                self.accounts.until_full(),
                self.policies.until_full()
            );
        };
        self.waited
            .get_or_init(|| async {
                if tokio::time::timeout(UNTIL_FULL, all).await.is_err() {
                    tracing::warn!("not everything can be watched: more requests than usual are needed");
                }
            })
            .await;
    }

    /// Whether all of it has been listed.
    pub fn are_full(&self) -> bool {
        let sidecars = self.services.is_full() && self.accounts.is_full() && self.policies.is_full();
        self.jobs.is_full() && self.cron_jobs.is_full() && self.deployments.is_full() && sidecars
    }
}

fn of_owners<K>(cache: &Arc<Cache<K>>, api: Api<K>, chosen: &watcher::Config) -> Touched
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned,
    K: Clone + std::fmt::Debug + Send + 'static,
{
    cache.follow(api, chosen.clone(), |object, _| owners(object))
}

/// The EtcdBackups that own `object`.
fn owners<K: Resource>(object: &K) -> Vec<Reference> {
    let namespace = object.namespace().unwrap_or_default();
    let owners = object.owner_references().iter().filter(|owner| owner.kind == EtcdBackup::kind(&()));
    owners.map(|owner| Reference::new(&owner.name).within(&namespace)).collect()
}

/// Follows the EtcdBackups into a store.
pub fn own(api: Api<Cached>, chosen: watcher::Config) -> (Store<Cached>, Touched) {
    let (store, writer) = reflector::store();
    let events = reflector::reflector(writer, watcher(api, chosen).backoff(Pauses::default()));
    (store, events.applied_objects().map_ok(|backup| Reference::from_obj(&backup)).boxed())
}
