//! `cassandra env`: the variables that lead the operator's pods to the keys, printed or merged into a datacenter.

use std::io::IsTerminal;

use clap::Args as ClapArgs;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::datacenter::{self, TIMEOUT};
use crate::cassandra::env::{self, Change, Values, Wanted};
use crate::cassandra::generations::Generation;
use crate::cassandra::location::Cloud;
use crate::cassandra::secret::Form;
use crate::cassandra::served::{self, Kind, Served};
use crate::cli::completion::live;
use crate::cli::output;
use crate::cli::{KubeFlags, Ui};
use crate::commands::uninstall::confirm;
use crate::error::{Error, Result};
use crate::kubernetes::{DryRun, FIELD_MANAGER, Session};

/// Print the environment that names the Secret, or merge it into a datacenter
///
/// --print, which is the default, contacts nobody. --patch reads the datacenter,
/// shows what changes and asks: the operator then starts every pod of the ring
/// again, one after the other. Variables of other names stay as they are.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the datacenter's object
    #[arg(value_name = "DATACENTER")]
    datacenter: String,
    /// Secret that holds the keys
    #[arg(long, value_name = "NAME", add = live::secrets())]
    secret: String,
    /// AWS region of the bucket
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Whose keys they are
    #[arg(long, value_name = "CLOUD", default_value = "aws")]
    cloud: Cloud,
    /// GCP's project, with --cloud gcp
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// GCP's bucket, with --cloud gcp
    #[arg(long, value_name = "NAME")]
    gcp_bucket: Option<String>,
    /// The operator, where it cannot be told
    #[arg(long, value_name = "OPERATOR")]
    generation: Option<Generation>,
    /// Print the block as YAML (the default)
    #[arg(long, conflicts_with = "patch")]
    print: bool,
    /// Merge it into the datacenter that runs
    #[arg(long)]
    patch: bool,
    /// Do not ask
    #[arg(short, long, requires = "patch")]
    yes: bool,
    /// Only show: none, client (changes nothing) or server (has the API server check it)
    #[arg(long, value_name = "MODE", requires = "patch")]
    dry_run: Option<DryRun>,
}

const EXAMPLES: &str = "\
Examples:
  # the block, to put below spec of the datacenter
  kubectl etcdbackup cassandra env dc1 --secret awsbackuptest \\
    --region us-west-2

  # what would change
  kubectl etcdbackup cassandra env dc1 --secret awsbackuptest \\
    --region us-west-2 --patch --dry-run=client -n ring

  # change it, after a question
  kubectl etcdbackup cassandra env dc1 --secret awsbackuptest \\
    --region us-west-2 --patch -n ring

  # in a script
  kubectl etcdbackup cassandra env dc1 --secret awsbackuptest \\
    --region us-west-2 --patch --yes -n ring

  # Azure and Google
  kubectl etcdbackup cassandra env dc1 --secret azure-storage --cloud azure
  kubectl etcdbackup cassandra env dc1 --secret gcp-auth-reference \\
    --cloud gcp --project my-project --gcp-bucket ring-backups

RBAC: with --patch get and patch on the operator's datacenters; to look before
get on secrets and customresourcedefinitions

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for values that the cloud needs, and for a question without a
/// terminal; [`ErrorKind::General`](crate::error::ErrorKind::General) for an operator that takes no keys so, when the
/// answer is no, and for a datacenter that somebody else changed meanwhile; the API server's.
pub(super) async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let values = values(&args)?;
    if args.print || !args.patch {
        return print(&args, values, ui);
    }
    if asks(&args) && !std::io::stdin().is_terminal() {
        return Err(Error::usage("env --patch asks before the ring starts again, and there is no terminal")
            .hint("add --yes, or look with --dry-run=client"));
    }
    let session = Session::connect(kube).await?;
    let served = served::find(&session, args.generation).await?;
    served.notes.iter().for_each(|note| ui.say(note));
    let form = served.generation.form()?;
    let fields = served.generation.env_fields()?;
    datacenter::check_secret(&session, &args.secret, served.generation, values.cloud(), ui).await?;
    let kind = served.datacenters(&session).await?;
    let live = datacenter::read(&session, &kind, &args.datacenter).await?;
    let wanted = Wanted { secret: args.secret.clone(), form, values };
    let change = change(&served, &wanted, fields, &live.data["spec"])?;
    let shown = kind.shown(&args.datacenter);
    let dry_run = args.dry_run.unwrap_or_default();
    if change.operations.is_empty() {
        return ui.data(format!("{shown} unchanged{}", dry_run.suffix()));
    }
    kept(&kind, &change, &live)?;
    ui.say(format!("{shown}, of {}:", served.describe()));
    change.diff.iter().for_each(|line| ui.say(format!("  {line}")));
    ui.warn(format!("every pod of {} starts again, one after the other", args.datacenter));
    if asks(&args) {
        confirm("Change it", "nothing was changed").await?;
    }
    if dry_run != DryRun::Client {
        send(&session, &kind, &live, &change, dry_run).await?;
    }
    ui.data(format!("{shown} patched{}", dry_run.suffix()))
}

fn asks(args: &Args) -> bool {
    !args.yes && args.dry_run.unwrap_or_default() == DryRun::None
}

/// What the cloud needs besides the keys.
fn values(args: &Args) -> Result<Values> {
    let missing =
        |flag: &str, cloud: &str| Error::usage(format!("--cloud {cloud} needs {flag}")).hint(format!("add {flag}"));
    let ignored = [
        ("--region", args.cloud != Cloud::Aws && args.region.is_some()),
        ("--project", args.cloud != Cloud::Gcp && args.project.is_some()),
        ("--gcp-bucket", args.cloud != Cloud::Gcp && args.gcp_bucket.is_some()),
    ];
    if let Some((flag, _)) = ignored.into_iter().find(|(_, given)| *given) {
        return Err(Error::usage(format!("{flag} cannot be used with this --cloud")).hint("leave it out"));
    }
    match args.cloud {
        Cloud::Aws => {
            args.region.clone().map(|region| Values::Aws { region }).ok_or_else(|| missing("--region", "aws"))
        }
        Cloud::Azure => Ok(Values::Azure),
        Cloud::Gcp => {
            let project = args.project.clone().ok_or_else(|| missing("--project", "gcp"))?;
            let bucket = args.gcp_bucket.clone().ok_or_else(|| missing("--gcp-bucket", "gcp"))?;
            Ok(Values::Gcp { project, bucket })
        }
    }
}

fn print(args: &Args, values: Values, ui: &Ui) -> Result<()> {
    let generation = args.generation.unwrap_or(Generation::Elassandra);
    let wanted = Wanted { secret: args.secret.clone(), form: generation.form()?, values };
    let mut fields = serde_json::Map::new();
    for field in generation.env_fields()? {
        fields.insert((*field).to_owned(), json!(env::block(&wanted)));
    }
    if let Some((field, mount)) = mount(generation, &wanted)? {
        fields.insert(field.to_owned(), mount);
    }
    ui.document(output::to_yaml(&Value::Object(fields))?)
}

/// The mount of GCP's file, where the cloud needs one.
fn mount(generation: Generation, wanted: &Wanted) -> Result<Option<(&'static str, Value)>> {
    let Values::Gcp { .. } = wanted.values else { return Ok(None) };
    let field = generation.mount_field().filter(|_| wanted.form == Form::Instaclustr).ok_or_else(|| {
        Error::general(format!("{} mounts no file of a Secret", generation.describe()))
            .hint("it reads GCP's account from the Secret of the backup: cassandra backup --secret NAME")
    })?;
    Ok(env::mount(wanted).map(|mount| (field, mount)))
}

fn change(served: &Served, wanted: &Wanted, fields: &[&str], spec: &Value) -> Result<Change> {
    let mut change = Change::default();
    for field in fields {
        change.merge(spec, field, &env::block(wanted))?;
    }
    if let Some((field, mount)) = mount(served.generation, wanted)? {
        change.mount(spec, field, &mount)?;
    }
    Ok(change)
}

/// Refuses a change that the API server would drop: the pods would start again for nothing.
fn kept(kind: &Kind, change: &Change, live: &DynamicObject) -> Result<()> {
    let mut dropped = Vec::new();
    for operation in &change.operations {
        let path = operation["path"].as_str().unwrap_or_default();
        let mut parts = path.trim_start_matches("/spec/").split('/');
        let (field, is_item) = (parts.next().unwrap_or_default(), parts.next().is_some());
        let value = if is_item { json!([operation["value"]]) } else { operation["value"].clone() };
        dropped.extend(kind.schema.pruned(&json!({ field: value })));
    }
    dropped.dedup();
    if dropped.is_empty() {
        return Ok(());
    }
    let name = live.metadata.name.as_deref().unwrap_or_default();
    Err(Error::general(format!("the API server would drop {} of {}", dropped.join(", "), kind.shown(name)))
        .hint("the served CRD is of another release: name the operator with --generation"))
}

async fn send(session: &Session, kind: &Kind, live: &DynamicObject, change: &Change, dry_run: DryRun) -> Result<()> {
    let (name, read) = (live.metadata.name.clone().unwrap_or_default(), live.metadata.resource_version.clone());
    let operations = json!(change.patch(read.as_deref().unwrap_or_default()));
    let patch = serde_json::from_value(operations)
        .map_err(|error| Error::general(format!("cannot write the patch: {error}")))?;
    let params = PatchParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let api = kind.api(session);
    let sent = session.request(TIMEOUT, api.patch(&name, &params, &Patch::<Value>::Json(patch))).await;
    let Err(error) = sent else { return Ok(()) };
    let now = session.request(TIMEOUT, api.get_metadata(&name)).await;
    match now {
        Ok(now) if now.metadata.resource_version != read => {
            Err(Error::general(format!("{} was changed meanwhile; nothing was patched", kind.shown(&name)))
                .hint("run it again, and look at what it shows"))
        }
        _ => Err(error),
    }
}
