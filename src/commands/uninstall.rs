//! `uninstall`: takes back what `install` made; EtcdBackups and what they stored stay.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args as ClapArgs;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::install::installed::{self, Installed};
use super::install::{manifests, scope};
use crate::api::EtcdBackup;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::{FIELD_MANAGER, Session};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Remove the operator and its RBAC; EtcdBackups and snapshots stay
///
/// Shows what goes and what stays, and asks. Without a terminal it needs --yes.
///
/// The CRD, EtcdBackups, Secrets, sidecars and everything in the bucket stay.
/// Schedules that are CronJobs go on and store snapshots; Jobs that run now end by
/// themselves. What they report reaches the status only when an operator is
/// installed again.
///
/// --delete-crd deletes every EtcdBackup of the cluster, in all namespaces, and
/// with them their Jobs, CronJobs and sidecars. Snapshots in the bucket stay.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Delete the CRD too, and with it every EtcdBackup of the cluster
    #[arg(long)]
    delete_crd: bool,
    /// Only show: none, client (deletes nothing) or server (has the API server check it)
    #[arg(long, value_name = "MODE", default_value = "none")]
    dry_run: DryRun,
}

const EXAMPLES: &str = "\
Examples:
  # what would go and what would stay
  kubectl etcdbackup uninstall -n etcd --dry-run=client

  # ask first
  kubectl etcdbackup uninstall -n etcd

  # in a script
  kubectl etcdbackup uninstall -n etcd --yes

  # the API server checks that you may
  kubectl etcdbackup uninstall -n etcd --dry-run=server

  # everything but the snapshots
  kubectl etcdbackup uninstall -n etcd --delete-crd

RBAC: list and delete on deployments, serviceaccounts, roles, rolebindings; for
a cluster-wide operator get, list and delete on clusterrolebindings, list and
delete on clusterroles; get and delete on customresourcedefinitions with
--delete-crd. To say what stays: list on etcdbackups, jobs and deployments

Exit codes: see kubectl etcdbackup --help";

/// What is there, and what of it goes.
struct Plan {
    going: Vec<Installed>,
    staying: Vec<String>,
    warning: Option<String>,
}

/// Runs the command. What is gone already is no error.
///
/// # Errors
/// [`ErrorKind::Usage`] without a terminal and without `--yes`; [`ErrorKind::General`] for a CRD that this program
/// did not install, and when the answer is no; the API server's.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let asks = !args.yes && args.dry_run == DryRun::None;
    if asks && !std::io::stdin().is_terminal() {
        return Err(Error::usage("uninstall asks before it deletes, and there is no terminal")
            .hint("add --yes, or look with --dry-run=client"));
    }
    let session = Session::connect(kube).await?;
    let plan = plan(&args, &session).await?;
    if plan.going.is_empty() {
        ui.say(format!("Nothing of {FIELD_MANAGER} is installed in namespace {}.", session.namespace));
        return Ok(());
    }
    show(&plan, ui);
    if asks {
        confirm("Delete these", "nothing was deleted").await?;
    }
    for object in &plan.going {
        if args.dry_run != DryRun::Client {
            object.delete(&session, args.dry_run).await?;
        }
        ui.data(format!("{} deleted{}", object.shown(), args.dry_run.suffix()))?;
    }
    Ok(())
}

fn show(plan: &Plan, ui: &Ui) {
    ui.say("To be deleted:");
    plan.going.iter().for_each(|object| ui.say(format!("  {}", object.shown())));
    ui.say("To stay:");
    plan.staying.iter().for_each(|line| ui.say(format!("  {line}")));
    plan.warning.iter().for_each(|line| ui.warn(line));
}

async fn plan(args: &Args, session: &Session) -> Result<Plan> {
    let mut going = installed::workload(session).await?;
    going.extend(installed::roles(session).await?);
    if scope::bound_namespace(session).await?.as_ref() == Some(&session.namespace) {
        going.extend(installed::cluster_roles(session).await?);
    }
    let (mut staying, mut warning) = (Vec::new(), None);
    let backups = count_backups(session).await;
    if let Some(crd) = crd(args, session).await? {
        going.push(crd);
        warning = Some(format!("{backups} of the whole cluster go with the CRD"));
    } else {
        staying.push(format!("the CRD {} and {backups}", manifests::CRD));
        staying.extend(unattended(session).await);
    }
    staying.push("Secrets, ConfigMaps and all snapshots that are stored".to_owned());
    Ok(Plan { going, staying, warning })
}

/// The CRD, if it is to go and is there.
async fn crd(args: &Args, session: &Session) -> Result<Option<Installed>> {
    if !args.delete_crd {
        return Ok(None);
    }
    let crds = Api::<CustomResourceDefinition>::all(session.client.clone());
    let Some(found) = session.request(TIMEOUT, crds.get_opt(manifests::CRD)).await? else { return Ok(None) };
    if !manifests::is_ours(&found.metadata) {
        let name = manifests::CRD;
        return Err(Error::general(format!("customresourcedefinition {name:?} was not installed by this program"))
            .hint(format!("kubectl delete crd {name} takes it away from whoever needs it")));
    }
    Ok(Some(Installed::crd(&found)))
}

/// `12 EtcdBackups in 3 namespaces`, as far as the caller may see them.
async fn count_backups(session: &Session) -> String {
    let all = Api::<EtcdBackup>::all(session.client.clone());
    let listed = session.request(TIMEOUT, all.list_metadata(&ListParams::default())).await;
    match listed {
        Ok(list) => {
            let namespaces: std::collections::BTreeSet<_> = list.items.iter().map(ResourceExt::namespace).collect();
            format!("{} EtcdBackups in {} namespaces", list.items.len(), namespaces.len())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => "no EtcdBackup".to_owned(),
        Err(_) => "EtcdBackups, which you may not count".to_owned(),
    }
}

/// Sidecars and Jobs of the namespace that nobody attends to any more; what may not be listed is left out.
async fn unattended(session: &Session) -> Vec<String> {
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/managed-by={FIELD_MANAGER},etcd_cluster"));
    let deployments = Api::<Deployment>::namespaced(session.client.clone(), &session.namespace);
    let jobs = Api::<Job>::namespaced(session.client.clone(), &session.namespace);
    let sidecars = session.request(TIMEOUT, deployments.list_metadata(&ours)).await;
    let jobs = session.request(TIMEOUT, jobs.list(&ours)).await;
    let sidecars = sidecars.map(|list| list.items).unwrap_or_default();
    let running = |job: &&Job| {
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        !conditions
            .into_iter()
            .any(|found| ["Complete", "Failed"].contains(&found.type_.as_str()) && found.status == "True")
    };
    let jobs = jobs.map(|list| list.items).unwrap_or_default();
    let sidecars = sidecars.iter().map(|found| format!("the sidecar {}, which goes on serving", found.name_any()));
    let running = jobs.iter().filter(running);
    let running = running.map(|job| format!("the Job {}, whose result nobody writes down", job.name_any()));
    sidecars.chain(running).collect()
}

/// Asks on the terminal; `refused` is said when the answer is no.
pub(super) async fn confirm(question: &'static str, refused: &'static str) -> Result<()> {
    let ask = move || dialoguer::Confirm::new().with_prompt(question).default(false).interact();
    let answer = tokio::task::spawn_blocking(ask).await;
    match answer {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(Error::general(refused)),
        _ => Err(Error::interrupted("interrupted")),
    }
}
