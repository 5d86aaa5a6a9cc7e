//! `list`: EtcdBackup objects, and what is really stored.

mod rows;
pub(super) mod stored;
pub(super) mod table;

pub(super) use rows::{schedule, standing};

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::get::item::Item;
use super::get::pv::{self, Helpers, PvFlags};
use super::get::{check_directory_name, check_only_dir, disaster};
use super::until_interrupted;
use crate::api::etcdbackup::PERSISTENT_VOLUME;
use crate::api::{EtcdBackup, names};
use crate::cli::completion::live;
use crate::cli::ui::one_line;
use crate::cli::{KubeFlags, S3ReadFlags, TableFormat, Ui, output};
use crate::error::{Error, Result};
use crate::kubernetes::{self, Session};
use rows::View;

/// Longest wait for a list of the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// List EtcdBackups, and the stored snapshots of a cluster
///
/// What cannot be listed is an error after the rest, and its exit code. Where no
/// API server answers within 5 s, the snapshots in --bucket are all there is.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the etcd cluster; without one only EtcdBackups are listed
    #[arg(value_name = "CLUSTER", add = live::clusters(), conflicts_with = "path")]
    cluster: Option<String>,
    /// Where to look: S3, else the service, which tells of its newest only
    #[arg(long, value_name = "SOURCE", value_enum, default_value = "auto")]
    from: From,
    /// Directory with the backups, such as a mounted disk; contacts nobody
    #[arg(long, value_name = "PATH", required_if_eq("from", "dir"), value_hint = ValueHint::DirPath, conflicts_with_all = ["path", "all_namespaces", "selector"])]
    dir: Option<PathBuf>,
    /// Only the snapshots of a history: a name, or latest
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    history: Option<String>,
    /// EtcdBackups of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["cluster", "path"])]
    all_namespaces: bool,
    /// Only EtcdBackups with these labels
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "path")]
    selector: Option<String>,
    #[command(flatten)]
    s3: S3ReadFlags,
    #[command(flatten)]
    pv: PvFlags,
    /// More columns, or every field of every object and snapshot
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<TableFormat>,
    /// No line of headers
    #[arg(long)]
    no_headers: bool,
}

const EXAMPLES: &str = "\
Examples:
  # the EtcdBackups of the namespace
  kubectl etcdbackup list

  # those of one cluster, and below them its stored snapshots
  kubectl etcdbackup list etcd-a

  # everything of everybody
  kubectl etcdbackup list -A -o wide

  # without Kubernetes
  kubectl etcdbackup list etcd-a --from s3 --bucket etcd-backups

  # from a disk mounted by hand: neither Kubernetes nor S3
  sudo kubectl etcdbackup list --from dir --dir /mnt

  # the PersistentVolume that a sidecar writes to, or wrote to
  kubectl etcdbackup list etcd-a --from pv

  # what etcd-operator v0.8 and later stored under a path of its own
  kubectl etcdbackup list --path etcd-backups/etcd.backup

  # the revisions that are stored
  kubectl etcdbackup list etcd-a -o json | jq '.snapshots[].revision'

RBAC:
  list             etcdbackups.etcd.database.coreos.com
  with CLUSTER:
  get              secrets (else your own AWS credentials are used)
  where S3 cannot be listed:
  get              services
  list             pods
  get, create      pods/portforward
  for --from pv:
  get              persistentvolumeclaims
  get              persistentvolumes; list nodes (else only the scheduler knows)
  list             pods, events
  create, delete   jobs.batch
  get, create      pods/portforward
  get              deployments.apps (else --helper-image)

Exit codes: see kubectl etcdbackup --help";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum From {
    Auto,
    Service,
    S3,
    Pv,
    Dir,
}

/// What was found, and what could not be looked at.
#[derive(Default)]
struct Listed {
    /// As the API server sent them.
    objects: Vec<Value>,
    backups: Vec<EtcdBackup>,
    snapshots: Vec<Item>,
    failed: Vec<Error>,
}

/// Runs the command.
///
/// # Errors
/// The last one of what could not be listed, after the rest was printed; the others are warnings.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let helpers = Helpers::default();
    let listed = until_interrupted(list(&args, kube, &helpers, ui)).await;
    helpers.end(ui).await;
    listed
}

async fn list(args: &Args, kube: &KubeFlags, helpers: &Helpers, ui: &Ui) -> Result<()> {
    args.cluster.as_deref().map_or(Ok(()), check_directory_name)?;
    if let Some(path) = &args.dir {
        check_only_dir(args.from == From::Auto || args.from == From::Dir, args.s3.first_given())?;
        let snapshots = stored::in_dir(path, args.cluster.as_deref(), args.history.as_deref(), kube, ui).await?;
        let listed = Listed { snapshots, ..Listed::default() };
        return render(&listed, args)?.map_or(Ok(()), |text| print(&text, args, ui));
    }
    let other = args.s3.first_given().or(args.all_namespaces.then_some("--all-namespaces"));
    args.pv.check(args.from == From::Pv, args.from == From::Auto, other)?;
    if args.from == From::Pv || args.pv.first_given().is_some() {
        return on_volume(args, kube, helpers, ui).await;
    }
    let kube = &kube.with_another_way(args.s3.place.bucket.is_some());
    if args.from == From::Service {
        kube.patience.lift();
    }
    let place = &args.s3.place;
    let for_snapshots = args.s3 != S3ReadFlags::default() || args.from != From::Auto || args.history.is_some();
    if for_snapshots && args.cluster.is_none() && place.path.is_none() {
        return Err(Error::usage("--from, --history and the S3 flags are about the snapshots of a cluster")
            .hint("name the cluster: kubectl etcdbackup list CLUSTER …"));
    }
    if let Some(flag) = args.s3.first_given().filter(|_| args.from == From::Service) {
        return Err(Error::usage(format!("{flag} cannot be used with --from service, which does not read S3"))
            .hint("leave one of them out"));
    }
    let only_store = place.path.is_some() || args.from == From::S3 && place.bucket.is_some() && args.cluster.is_some();
    let mut listed = Listed::default();
    if !only_store {
        match objects(args, kube, ui).await {
            Ok(found) => (listed.objects, listed.backups) = found,
            Err(error) if place.bucket.is_some() && !kube.patience.answered() => {
                ui.warn(format!("EtcdBackups not listed: {}", error.message()));
            }
            Err(error) => listed.failed.push(error),
        }
    }
    // the service is reached through the API server alone
    let silent = args.from == From::Service && !listed.failed.is_empty() && !kube.patience.answered();
    if (args.cluster.is_some() || place.path.is_some()) && !silent {
        let cluster = args.cluster.as_deref().unwrap_or_default();
        say_what_is_on_volumes(&listed.backups, args, ui);
        let found = stored::find(cluster, args.from, args.history.as_deref(), &args.s3, kube, ui).await;
        listed.snapshots = found.items;
        listed.failed.extend(found.failed);
    }
    if let Some(text) = render(&listed, args)? {
        print(&text, args, ui)?;
    } else if listed.failed.is_empty() {
        ui.say(nothing(args, kube));
    }
    // both lookups may fail for the same reason
    listed.failed.dedup_by(|later, earlier| later.message().contains(earlier.message()));
    let last = listed.failed.pop();
    listed.failed.iter().for_each(|error| ui.warn(error.message()));
    let cluster = args.cluster.as_deref().unwrap_or_default();
    last.map_or(Ok(()), |error| Err(disaster::advise(error, "list", cluster, &args.s3, kube)))
}

/// A list starts no pod by itself, so it may not have seen everything.
fn say_what_is_on_volumes(backups: &[EtcdBackup], args: &Args, ui: &Ui) {
    let on_volume = |backup: &&EtcdBackup| backup.spec.storage_type == PERSISTENT_VOLUME;
    let Some(backup) = backups.iter().find(on_volume).filter(|_| args.from == From::Auto) else { return };
    let claim = names::claim_of(backup).unwrap_or_default();
    ui.say(format!("pv: claim {claim} of EtcdBackup {} not read; --from pv lists what is on it", backup.name_any()));
}

/// The snapshots on a PersistentVolume alone: the clusters of old operators have no EtcdBackups.
async fn on_volume(args: &Args, kube: &KubeFlags, helpers: &Helpers, ui: &Ui) -> Result<()> {
    let cluster = args.cluster.as_deref().ok_or_else(|| {
        Error::usage("--from pv is about the snapshots of a cluster")
            .hint("name the cluster: kubectl etcdbackup list CLUSTER …")
    })?;
    let kube = &kube.until_answered();
    let advise = |error| disaster::advise(error, "list", cluster, &args.s3, kube);
    if args.pv.print_manual {
        return pv::print_manual(cluster, &args.pv, kube, ui).await.map_err(advise);
    }
    let reading = pv::open(cluster, &args.pv, kube, helpers, ui).await.map_err(advise)?;
    let snapshots = stored::on_volume(&reading, args.history.as_deref(), ui)?;
    render(&Listed { snapshots, ..Listed::default() }, args)?.map_or(Ok(()), |text| print(&text, args, ui))
}

fn print(text: &str, args: &Args, ui: &Ui) -> Result<()> {
    match args.output {
        Some(TableFormat::Json | TableFormat::Yaml) => ui.document(text),
        _ => ui.data(text),
    }
}

/// kubectl's words for an empty list.
fn nothing(args: &Args, kube: &KubeFlags) -> String {
    match (&args.s3.place.path, args.all_namespaces) {
        (Some(path), _) => format!("No resources found at s3://{path}."),
        (None, true) => "No resources found".to_owned(),
        (None, false) => format!("No resources found in {} namespace.", kubernetes::namespace(kube)),
    }
}

/// The EtcdBackups, raw and read; of the cluster where one is named.
async fn objects(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<(Vec<Value>, Vec<EtcdBackup>)> {
    let session = Session::connect(kube).await?;
    // what other operators wrote and we do not know is printed too
    let resource = ApiResource::erase::<EtcdBackup>(&());
    let api: Api<DynamicObject> = match args.all_namespaces {
        true => Api::all_with(session.client.clone(), &resource),
        false => Api::namespaced_with(session.client.clone(), &session.namespace, &resource),
    };
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let found = session.request(TIMEOUT, api.list(&params)).await?;
    let (mut raw, mut read) = (Vec::new(), Vec::new());
    for mut object in found {
        let name = object.name_any();
        object.metadata.managed_fields = None;
        let value = output::to_value(&object)?;
        match serde_json::from_value::<EtcdBackup>(value.clone()) {
            Ok(backup) if args.cluster.as_ref().is_some_and(|cluster| names::cluster_of(&backup) != *cluster) => {
                continue;
            }
            Ok(backup) => read.push(backup),
            Err(error) => ui.warn(format!("EtcdBackup {name} is of an unknown form: {error}")),
        }
        raw.push(value);
    }
    Ok((raw, read))
}

/// The text of `-o`, or of the tables; `None` when there is nothing.
fn render(listed: &Listed, args: &Args) -> Result<Option<String>> {
    let all = || json!({"etcdBackups": listed.objects, "snapshots": listed.snapshots});
    match args.output {
        Some(TableFormat::Json) => return output::to_json(&all()).map(Some),
        Some(TableFormat::Yaml) => return output::to_yaml(&all()).map(Some),
        _ => {}
    }
    let mut parts = Vec::new();
    if args.output == Some(TableFormat::Name) {
        let of_object = |backup: &EtcdBackup| format!("etcdbackup.etcd.database.coreos.com/{}", backup.name_any());
        let names = listed.backups.iter().map(of_object);
        parts.extend(names.chain(listed.snapshots.iter().map(|item| one_line(&item.name))));
        return Ok(Some(parts.join("\n")).filter(|text| !text.is_empty()));
    }
    let now = jiff::Timestamp::now();
    let wide = args.output == Some(TableFormat::Wide);
    let view = View { wide, headers: !args.no_headers, namespaces: args.all_namespaces };
    if !listed.backups.is_empty() {
        parts.push(rows::backups(&listed.backups, view, now));
    }
    if !listed.snapshots.is_empty() {
        parts.push(rows::snapshots(&listed.snapshots, view, now));
    }
    Ok(Some(parts.join("\n")).filter(|text| !text.is_empty()))
}
