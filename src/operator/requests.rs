//! The operator's requests to the API server.

use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TIMEOUT;
use super::job::{self, UID_LABEL};
use super::pod::{AGENT_APP, MANAGED_BY};
use crate::api::EtcdBackup;
use crate::api::etcdbackup::CRD_YAML;
use crate::error::{Error, Result};
use crate::kubernetes::{FIELD_MANAGER, Session};

/// The field manager of what the operator applies, apart from what a person applies with the plugin.
pub const OPERATOR: &str = "kubectl-etcdbackup-operator";

/// The label of a Job's pods that names the Job (kubernetes/kubernetes, staging/src/k8s.io/api/batch/v1, v1.27).
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// The label selector of all Jobs of all operators.
pub fn our_jobs() -> String {
    format!("{MANAGED_BY}={FIELD_MANAGER},app={AGENT_APP}")
}

/// Server-side apply under the operator's own field manager.
///
/// # Errors
/// Those of the API server.
pub async fn apply<K>(session: &Session, api: &Api<K>, object: &K) -> Result<K>
where
    K: Resource + Serialize + DeserializeOwned + Clone + Debug,
{
    let params = PatchParams::apply(OPERATOR).force();
    session.request(TIMEOUT, api.patch(&object.name_any(), &params, &Patch::Apply(object))).await
}

/// The EtcdBackup as it is now, past the cache; `None` when it is gone or another one has its name.
///
/// # Errors
/// Those of the API server.
pub async fn reread(session: &Session, backup: &EtcdBackup) -> Result<Option<EtcdBackup>> {
    let api = Api::<EtcdBackup>::namespaced(session.client.clone(), &backup.namespace().unwrap_or_default());
    let found = session.request(TIMEOUT, api.get_opt(&backup.name_any())).await?;
    Ok(found.filter(|found| found.uid() == backup.uid()))
}

/// All Jobs of `backup`.
///
/// # Errors
/// Those of the API server.
pub async fn jobs_of(session: &Session, backup: &EtcdBackup) -> Result<Vec<Job>> {
    let api = Api::<Job>::namespaced(session.client.clone(), &backup.namespace().unwrap_or_default());
    let params = ListParams::default().labels(&format!("{UID_LABEL}={}", backup.uid().unwrap_or_default()));
    Ok(session.request(TIMEOUT, api.list(&params)).await?.items)
}

/// How many Jobs that operators made in this one's scope are not finished.
///
/// # Errors
/// Those of the API server.
pub async fn unfinished(session: &Session, jobs: &Api<Job>) -> Result<usize> {
    let params = ListParams::default().labels(&our_jobs());
    let jobs = session.request(TIMEOUT, jobs.list(&params)).await?.items;
    Ok(jobs.iter().filter(|job| job::made_by_an_operator(job) && job::finish(job).is_none()).count())
}

/// Creates `job`; `false` when another operator was faster.
///
/// # Errors
/// Those of the API server; a quota or an admission controller may refuse it.
pub async fn create(session: &Session, job: &Job) -> Result<bool> {
    let api = Api::<Job>::namespaced(session.client.clone(), &job.namespace().unwrap_or_default());
    let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..Default::default() };
    session
        .request(TIMEOUT, async {
            match api.create(&params, job).await {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
}

/// Marks finished Jobs as recorded and gives them a time to live, all but `stays`. A Job that is gone meanwhile
/// needs none.
///
/// # Errors
/// Those of the API server.
pub async fn close(session: &Session, jobs: &[Job], stays: Option<&Job>) -> Result<()> {
    for job in jobs {
        let Some(patch) = job::closing(job, stays.is_some_and(|stays| stays.uid() == job.uid())) else { continue };
        let api = Api::<Job>::namespaced(session.client.clone(), &job.namespace().unwrap_or_default());
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..Default::default() };
        session
            .request(TIMEOUT, async {
                match api.patch_metadata(&job.name_any(), &params, &Patch::Merge(&patch)).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    answer => answer.map(|_| ()),
                }
            })
            .await?;
    }
    Ok(())
}

/// The pods of `job`.
///
/// # Errors
/// Those of the API server.
pub async fn pods_of(session: &Session, job: &Job) -> Result<Vec<Pod>> {
    let api = Api::<Pod>::namespaced(session.client.clone(), &job.namespace().unwrap_or_default());
    // not by its name, which a Job that was deleted may have had
    let params = ListParams::default().labels(&format!("{CONTROLLER_UID}={}", job.uid().unwrap_or_default()));
    Ok(session.request(TIMEOUT, api.list(&params)).await?.items)
}

/// The events of `objects`.
///
/// # Errors
/// Those of the API server.
pub async fn events_of<K: Resource>(session: &Session, namespace: &str, objects: &[K]) -> Result<Vec<Event>> {
    let api = Api::<Event>::namespaced(session.client.clone(), namespace);
    let mut events = Vec::new();
    for uid in objects.iter().filter_map(ResourceExt::uid) {
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        events.extend(session.request(TIMEOUT, api.list(&params)).await?.items);
    }
    Ok(events)
}

/// Makes the CRD; false if there is one of that name, which is left as it is.
///
/// # Errors
/// Those of the API server.
pub async fn create_crd(session: &Session) -> Result<bool> {
    let unreadable = |error: &dyn std::fmt::Display| Error::general(format!("cannot read the CRD: {error}"));
    // not by way of its type, which would write whole numbers as `600.0`
    let crd: DynamicObject = serde_yaml::from_str(CRD_YAML).map_err(|error| unreadable(&error))?;
    let api: Api<DynamicObject> =
        Api::all_with(session.client.clone(), &ApiResource::erase::<CustomResourceDefinition>(&()));
    let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..Default::default() };
    session
        .request(TIMEOUT, async {
            match api.create(&params, &crd).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
                answer => answer.map(|_| true),
            }
        })
        .await
}
