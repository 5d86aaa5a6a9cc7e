//! `describe`: one EtcdBackup in words: what it asks for, what ran, and where the bytes are.

mod words;

use std::time::Duration;

use clap::Args as ClapArgs;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::EtcdBackup;
use crate::cli::completion::live;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

/// Longest wait for an answer of the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Describe an EtcdBackup: its spec, runs, events, and where the bytes are
///
/// What cannot be looked at is an error after the rest, and its exit code.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the EtcdBackup
    #[arg(value_name = "NAME", add = live::backups())]
    name: String,
}

const EXAMPLES: &str = "\
Examples:
  # everything about one EtcdBackup
  kubectl etcdbackup describe nightly

  # of another namespace
  kubectl etcdbackup describe nightly -n databases

  # why did it fail?
  kubectl etcdbackup describe nightly | grep -A9 ^Events:

  # where are its bytes?
  kubectl etcdbackup describe nightly | grep 'Path:'

  # of another cluster of your kubeconfig
  kubectl etcdbackup describe nightly --context production

  # for a program, ask for the object itself
  kubectl get etcdbackups.etcd.database.coreos.com nightly -o yaml

RBAC:
  get              etcdbackups.etcd.database.coreos.com
  list             jobs.batch, cronjobs.batch, events

Exit codes: see kubectl etcdbackup --help";

/// The object and what belongs to it.
struct Described {
    backup: EtcdBackup,
    cron_jobs: Vec<CronJob>,
    /// The youngest first.
    jobs: Vec<Job>,
    /// The oldest first.
    events: Vec<Event>,
}

/// Runs the command.
///
/// # Errors
/// The API server's; after the rest was printed the last one of what could not be looked at.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let session = Session::connect(kube).await?;
    let api: Api<EtcdBackup> = Api::namespaced(session.client.clone(), &session.namespace);
    let backup = session.request(TIMEOUT, api.get(bare(&args.name)?)).await?;
    let (described, mut failed) = gather(&session, backup).await;
    ui.data(words::describe(&described, jiff::Timestamp::now()))?;
    failed.dedup();
    let last = failed.pop();
    failed.iter().for_each(|error| ui.warn(error.message()));
    last.map_or(Ok(()), Err)
}

/// The name, also of `etcdbackup.etcd.database.coreos.com/NAME` as other commands print it.
fn bare(name: &str) -> Result<&str> {
    match name.split_once('/') {
        None => Ok(name),
        Some((kind, name)) if kind.starts_with("etcdbackup") && !name.contains('/') => Ok(name),
        Some(_) => Err(Error::usage(format!("{name:?} is not the name of an EtcdBackup"))
            .hint("kubectl etcdbackup list shows which there are")),
    }
}

/// What belongs to the object, and what could not be listed.
async fn gather(session: &Session, backup: EtcdBackup) -> (Described, Vec<Error>) {
    let uid = backup.uid().unwrap_or_default();
    let of_object = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let (cron_jobs, jobs, events) = futures::join!(
        list::<CronJob>(session, ListParams::default()),
        list::<Job>(session, ListParams::default()),
        list::<Event>(session, of_object),
    );
    let mut failed = Vec::new();
    let cron_jobs = owned(or_note(cron_jobs, &mut failed), std::slice::from_ref(&uid));
    let owners: Vec<String> = cron_jobs.iter().filter_map(ResourceExt::uid).chain([uid]).collect();
    let mut jobs = owned(or_note(jobs, &mut failed), &owners);
    jobs.sort_by_key(|job| std::cmp::Reverse((job.creation_timestamp(), job.name_any())));
    let mut events = or_note(events, &mut failed);
    events.sort_by_key(words::time_of);
    (Described { backup, cron_jobs, jobs, events }, failed)
}

fn or_note<T>(found: Result<Vec<T>>, failed: &mut Vec<Error>) -> Vec<T> {
    found.unwrap_or_else(|error| {
        failed.push(error);
        Vec::new()
    })
}

fn owned<K: ResourceExt>(objects: Vec<K>, owners: &[String]) -> Vec<K> {
    let of_ours = |object: &K| object.owner_references().iter().any(|owner| owners.contains(&owner.uid));
    objects.into_iter().filter(of_ours).collect()
}

async fn list<K>(session: &Session, params: ListParams) -> Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(session.client.clone(), &session.namespace);
    Ok(session.request(TIMEOUT, api.list(&params)).await?.items)
}
