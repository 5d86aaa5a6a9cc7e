//! From a claim to a helper that serves what is on it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::LocalObjectReference;
use kube::ResourceExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Helpers, PvFlags, claim};
use crate::cli::{KubeFlags, Ui};
use crate::commands::get::operator_wide::{Operator, operator};
use crate::commands::install::{IMAGE, scope::bound_namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::reader::{Identity, Reader};
use crate::kubernetes::volume::{self, Plan, plan};
use crate::kubernetes::{Session, forward::Target};
use crate::source::Listing;
use crate::source::service::ServiceSource;

/// A helper ends by itself after so long, whoever is connected.
const DEADLINE: Duration = Duration::from_secs(3600);

/// The helper ends when nobody was there for a minute.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// Longest wait for a helper that runs to answer.
const ANSWER: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

/// A claim, and where and how it is to be read.
pub(super) struct Disk {
    session: Session,
    volume: Option<String>,
    reader: Reader,
    helpers: Helpers,
    because: String,
}

/// A volume that is being served.
pub(in crate::commands) struct Reading {
    pub claim: String,
    pub volume: Option<String>,
    pub listing: Listing,
    pub identity: Identity,
    pub source: Arc<ServiceSource>,
    /// Dropped with the rest: ends the signs of life.
    _alive: JoinSet<()>,
}

impl Disk {
    /// Finds the claim, where it can be read, and the image that reads it.
    pub(super) async fn find(
        cluster: &str,
        flags: &PvFlags,
        kube: &KubeFlags,
        helpers: &Helpers,
        ui: &Ui,
    ) -> Result<Self> {
        let session = Session::connect(kube).await?;
        let claim = claim::choose(cluster, flags, &session, ui).await?;
        let found = volume::find(&session, &claim).await?;
        found.unread.iter().for_each(|unread| ui.say(format!("pv: not looked at: {unread}")));
        let Plan { node, because } = plan(&found)?;
        let (image, pull_secrets) = image(&session, flags, ui).await?;
        let deadline = flags.helper_deadline.unwrap_or(DEADLINE);
        let cluster = cluster.to_owned();
        let reader = Reader { cluster, claim, image, pull_secrets, node, identity: Identity::Nobody, deadline };
        let volume = found.volume.map(|volume| volume.name_any());
        Ok(Self { session, volume, reader, helpers: helpers.clone(), because })
    }

    /// Serves and lists the volume; as root where the directories are root's alone.
    ///
    /// # Errors
    /// Those of [`Disk::read_as_root`]; [`ErrorKind::NotFound`] when the cluster has no snapshots there.
    pub(super) async fn read(&self, ui: &Ui) -> Result<Reading> {
        match self.serve(Identity::Nobody, ui).await? {
            Ok(reading) => Ok(reading),
            Err(denied) => {
                ui.say(format!("pv: {}", denied.message()));
                self.read_as_root(ui).await
            }
        }
    }

    /// Serves and lists the volume as root without capabilities.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] where the namespace lets no pod be root, or root may not read it either; those of the helper.
    pub(super) async fn read_as_root(&self, ui: &Ui) -> Result<Reading> {
        self.helpers.end(ui).await;
        ui.say("pv: old sidecars wrote as root: once more as root, without any capability");
        let namespace = &self.session.namespace;
        let served = self.serve(Identity::Root, ui).await.map_err(|error| match error.kind() {
            ErrorKind::Denied => error
                .context("the files are root's, and a helper that is root was refused")
                .hint(format!("kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=baseline --overwrite, for as long as it takes")),
            _ => error,
        })?;
        served.map_err(|denied| denied.hint("--print-manual says how to read the disk by hand"))
    }

    /// A helper that serves; the inner error is its refusal to read.
    async fn serve(&self, identity: Identity, ui: &Ui) -> Result<Result<Reading>> {
        let reader = Reader { identity, ..self.reader.clone() };
        let helper = reader.helper();
        let volume = self.volume.as_ref().map(|name| format!(" (volume {name})")).unwrap_or_default();
        let node = reader.node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
        ui.say(format!("pv: claim {}{volume}: starting helper {}{node}: {}", reader.claim, helper.name, self.because));
        self.helpers.add(&self.session, &helper);
        helper.start(&self.session, &reader).await.inspect_err(|error| {
            // what was refused was never made, and may not be deleted either
            if error.kind() == ErrorKind::Denied {
                self.helpers.forget(&helper);
            }
        })?;
        let target = helper.running(&self.session, |text| ui.say(format!("pv: {text}"))).await?;
        let source = self.source(target);
        let listing = match first_list(&source).await {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::Denied && is_of_helper(&error, &reader.claim) => {
                return Ok(Err(error));
            }
            Err(error) => return Err(without_paths(error)),
        };
        let source = Arc::new(source);
        let mut alive = JoinSet::new();
        alive.spawn(keep_alive(Arc::clone(&source)));
        let (claim, volume) = (reader.claim, self.volume.clone());
        Ok(Ok(Reading { claim, volume, listing, identity, source, _alive: alive }))
    }

    /// Named by the claim and not by the pod: a download that is resumed has another pod.
    fn source(&self, target: Target) -> ServiceSource {
        ServiceSource::of_pod(&self.session, target, &format!("claim {}", self.reader.claim))
    }
}

/// Whether the helper itself said so, and not the API server.
fn is_of_helper(error: &Error, claim: &str) -> bool {
    error.message().starts_with(&format!("claim {claim}: "))
}

/// The container runs a moment before it listens.
async fn first_list(source: &ServiceSource) -> Result<Listing> {
    let begun = Instant::now();
    loop {
        match source.list().await {
            Err(error) if error.kind() == ErrorKind::General && begun.elapsed() < ANSWER => {
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Hints about `--dir` are for a person at the disk.
fn without_paths(error: Error) -> Error {
    let kept = error.hints().iter().filter(|hint| !hint.contains("--dir")).cloned().collect::<Vec<_>>();
    let bare = Error::new(error.kind(), error.message());
    let error = kept.into_iter().fold(bare, Error::hint);
    match error.kind() {
        ErrorKind::NotFound => error.hint("name another claim with --claim NAME"),
        _ => error,
    }
}

async fn keep_alive(source: Arc<ServiceSource>) {
    loop {
        tokio::time::sleep(SIGN_OF_LIFE).await;
        if let Err(error) = source.greet().await {
            tracing::info!("no sign of life to the helper: {}", error.message());
        }
    }
}

/// The image of the flags, else the installed operator's, else this version's own.
async fn image(session: &Session, flags: &PvFlags, ui: &Ui) -> Result<(String, Vec<LocalObjectReference>)> {
    if let Some(image) = &flags.helper_image {
        return Ok((image.clone(), Vec::new()));
    }
    let namespace = &session.namespace;
    let found = operator(session).await;
    let why = match found.map_err(|error| error.hint("or name the helper's image with --helper-image"))? {
        Operator::Found(found) if is_trusted(session, &found).await? => match of_operator(&found, namespace) {
            Some((image, pull_secrets)) => {
                if let Some(other) = found.namespace().filter(|other| other != namespace) {
                    ui.say(format!("pv: helper image {image} of the operator in namespace {other}"));
                }
                return Ok((image, pull_secrets));
            }
            None => "the operator names no image".to_owned(),
        },
        Operator::Found(_) => "no ClusterRoleBinding that you may get names the operator".to_owned(),
        Operator::Absent => format!("no operator in namespace {namespace}, and no cluster-wide one"),
        Operator::Unknown(why) => format!("the operator is not known ({why})"),
    };
    ui.say(format!("pv: {why}: helper image {IMAGE}"));
    Ok((IMAGE.to_owned(), Vec::new()))
}

/// Whether an operator is one of this namespace, or of the one that the cluster's binding names: a Deployment elsewhere
/// may be anybody's, and its image would get the snapshots.
async fn is_trusted(session: &Session, operator: &Deployment) -> Result<bool> {
    let namespace = operator.namespace();
    Ok(namespace.as_ref() == Some(&session.namespace) || bound_namespace(session).await? == namespace)
}

/// The image of an operator, and what pulls it: Secrets of another namespace are of no use to the helper.
fn of_operator(operator: &Deployment, namespace: &str) -> Option<(String, Vec<LocalObjectReference>)> {
    let pod = operator.spec.as_ref()?.template.spec.as_ref()?;
    let image = pod.containers.first()?.image.clone()?;
    let is_here = operator.namespace().as_deref() == Some(namespace);
    let pull_secrets = pod.image_pull_secrets.clone().filter(|_| is_here);
    Some((image, pull_secrets.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_for_a_person_at_the_disk_are_left_out() {
        let error = Error::not_found("claim c: no snapshots").hint("clusters there: a").hint("--dir is where");
        assert_eq!(without_paths(error).hints(), ["clusters there: a", "name another claim with --claim NAME"]);
    }

    #[test]
    fn the_operators_image_is_taken_and_its_pull_secrets_only_where_they_are() {
        let operator = serde_json::json!({"metadata": {"name": "operator", "namespace": "here"}, "spec": {
            "selector": {}, "template": {"spec": {"imagePullSecrets": [{"name": "pull"}],
                "containers": [{"name": "operator", "image": "registry.local/own:1"}]}}}});
        let operator: Deployment = serde_json::from_value(operator).unwrap();
        let names = |namespace: &str| {
            let (image, pull_secrets) = of_operator(&operator, namespace).unwrap();
            (image, pull_secrets.into_iter().map(|secret| secret.name).collect::<Vec<_>>())
        };
        assert_eq!(names("here"), ("registry.local/own:1".to_owned(), vec!["pull".to_owned()]));
        assert_eq!(names("elsewhere"), ("registry.local/own:1".to_owned(), Vec::new()));
        assert_eq!(of_operator(&Deployment::default(), "here"), None);
    }

    #[test]
    fn only_the_helpers_own_refusal_is_a_reason_for_root() {
        assert!(is_of_helper(&Error::denied("claim c: cannot read /x"), "c"));
        assert!(!is_of_helper(&Error::denied("Error from server (Forbidden): pods"), "c"));
    }
}
