//! `cassandra backup`: the object that makes the operator back up, and whether the bucket has it then.

use std::time::Duration;

use clap::Args as ClapArgs;
use kube::api::{DynamicObject, ObjectMeta, TypeMeta};
use serde_json::json;
use tokio::time::Instant;

use super::place::WayFlags;
use super::proof;
use super::{datacenter, wait};
use crate::cassandra::generations::Generation;
use crate::cassandra::location::{Cloud, Location};
use crate::cassandra::objects::{self, Names, Wanted};
use crate::cassandra::served::{self, Served};
use crate::cassandra::standing::nodes_asked;
use crate::cassandra::verify::{Known, Missed};
use crate::cli::completion::live;
use crate::cli::flags::parse_duration;
use crate::cli::output;
use crate::cli::{KubeFlags, OutputFormat, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, DryRun, Session};

/// Back up a Cassandra datacenter, and look whether the bucket has it
///
/// Makes the object that the operator which is served takes: a CassandraBackup,
/// an ElassandraTask or a MedusaBackupJob, checked against the served schema.
///
/// Some operators report success when a backup has only begun. With --wait the
/// bucket is looked at after the operator's report, where its layout is known:
/// each pod of the datacenter must be in it. Where a report comes early, that is
/// done until --timeout. Exit code 4 means that the report is not true.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the datacenter's object
    #[arg(value_name = "DATACENTER")]
    datacenter: String,
    /// Bucket to back up to; with Medusa the one that it is set up with
    #[arg(long, value_name = "URL", value_parser = Location::parse)]
    location: Option<Location>,
    /// Name of the backup, and its tag [default: DATACENTER-yyyymmdd-hhmmss]
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Secret with the keys of the bucket, for operators whose backups name one
    #[arg(long, value_name = "NAME", add = live::secrets())]
    secret: Option<String>,
    /// Only these keyspaces
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    keyspace: Vec<String>,
    /// Store again what earlier backups hold (Medusa)
    #[arg(long)]
    full: bool,
    /// Cassandra's own name of the cluster [default: as the datacenter says]
    #[arg(long, value_name = "NAME", requires = "cassandra_datacenter")]
    cassandra_cluster: Option<String>,
    /// Cassandra's own name of the datacenter [default: as the datacenter says]
    #[arg(long, value_name = "NAME", requires = "cassandra_cluster")]
    cassandra_datacenter: Option<String>,
    /// The operator, where it cannot be told
    #[arg(long, value_name = "OPERATOR")]
    generation: Option<Generation>,
    /// Wait for the outcome, and look at the bucket; it is the exit code
    #[arg(long)]
    wait: bool,
    /// How long to wait [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
    #[command(flatten)]
    way: WayFlags,
    /// Only check: none, client (contacts nobody) or server
    #[arg(long, value_name = "MODE", default_value = "none", conflicts_with = "wait")]
    dry_run: DryRun,
    /// Print the object after sending it
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # now, and wait until the bucket has it
  kubectl etcdbackup cassandra backup dc1 --location s3://ring-backups --wait \\
    -n ring

  # with a Secret of its own (Elassandra from December 2019 on, Instaclustr Go)
  kubectl etcdbackup cassandra backup dc1 --location s3://ring-backups \\
    --secret ring-backup-aws --keyspace orders,users -n ring

  # K8ssandra: Medusa knows the bucket, --location is where to look for it
  kubectl etcdbackup cassandra backup dc1 --location s3://ring-backups/medusa \\
    --full --wait -n ring

  # a store that is not AWS
  kubectl etcdbackup cassandra backup dc1 --location s3://ring-backups --wait \\
    --endpoint-url https://s3.example.com --force-path-style -n ring

  # only look
  kubectl etcdbackup cassandra backup dc1 --location s3://ring-backups \\
    --generation instaclustr-java --tag nightly --dry-run=client -o yaml

RBAC: create on the operator's backups, with --wait get; get on its datacenters;
to look before get on secrets and customresourcedefinitions; to look for nodes
that were never backed up list on statefulsets.apps

Exit codes: see kubectl etcdbackup --help";

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for flags that the operator would ignore,
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where no operator can be told; the API server's; with
/// `--wait` [`ErrorKind::BackupFailed`](crate::error::ErrorKind::BackupFailed),
/// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) and
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved).
pub(super) async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check(&args)?;
    let session = match args.dry_run {
        DryRun::Client => None,
        DryRun::None | DryRun::Server => Some(Session::connect(kube).await?),
    };
    let served = served(&args, session.as_ref(), ui).await?;
    let live = live(&args, &served, session.as_ref(), ui).await?;
    let names = names(&args, &served, live.as_ref());
    let (mut object, secret) = object(&args, &served, names.as_ref(), kube.namespace.as_deref())?;
    let Some(session) = session else { return print(&args, &served, &object, ui) };
    if let Some(secret) = &secret {
        let cloud = args.location.as_ref().map_or(Cloud::Aws, |location| location.cloud);
        datacenter::check_secret(&session, secret, served.generation, cloud, ui).await?;
    }
    let api = served.backup.api(&session);
    object = kubernetes::create(&session, &api, &object, args.dry_run).await.map_err(|error| {
        match error.message().starts_with("Error from server (AlreadyExists)") {
            true => error.hint("choose another --tag: operators take up a backup only once"),
            false => error,
        }
    })?;
    if !args.wait {
        return print(&args, &served, &object, ui);
    }
    if args.output.is_none() {
        print(&args, &served, &object, ui)?;
    }
    let target = Target { served, names, live };
    follow(&args, &session, &target, &object, kube, ui).await
}

/// Whose backup it is, and what the cluster tells of that.
struct Target {
    served: Served,
    names: Option<Names>,
    live: Option<DynamicObject>,
}

/// Waits for the operator's word, and looks whether the bucket shows it.
async fn follow(
    args: &Args,
    session: &Session,
    target: &Target,
    made: &DynamicObject,
    kube: &KubeFlags,
    ui: &Ui,
) -> Result<()> {
    let Target { served, names, live } = target;
    let (started, timeout) = (Instant::now(), args.timeout.unwrap_or(Duration::from_secs(3600)));
    let (done, word) = wait::outcome(session, served, made, timeout, ui).await?;
    let shown = served.backup.shown(&tag(made));
    ui.say(format!("the operator says of {shown}: {word}"));
    let patience = if served.generation.reports_early() { timeout } else { Duration::ZERO };
    let wanted = proof::Wanted {
        tag: &tag(made),
        whose: objects::stored_as(served.generation, names.as_ref(), &args.datacenter),
        known: known(args, session, live.as_ref(), &done, ui).await?,
        patience: patience.saturating_sub(started.elapsed()),
    };
    let proved = proof::prove(&wanted, args.location.as_ref(), &args.way, kube, ui).await;
    let proved = proved.map_err(|missed| untrue(missed, &word))?;
    match args.output {
        Some(_) => print(args, served, &done, ui),
        None => ui.data(format!("{shown} {}", proved.word())),
    }
}

/// The nodes that must be in the bucket, where it will be looked at.
async fn known(
    args: &Args,
    session: &Session,
    live: Option<&DynamicObject>,
    done: &DynamicObject,
    ui: &Ui,
) -> Result<Known> {
    let pods = match live.filter(|_| args.location.as_ref().is_some_and(|location| location.cloud == Cloud::Aws)) {
        Some(live) => datacenter::pods(session, live, ui).await,
        None => Vec::new(),
    };
    Ok(Known { nodes: nodes_asked(&output::to_value(done)?), pods, ..Known::default() })
}

/// A backup that the operator reports and the bucket does not have.
fn untrue(missed: Missed, word: &str) -> Error {
    let hint = "some operators say so when a backup is only queued: look again later with cassandra verify, or raise \
                --timeout";
    match missed {
        Missed::NotThere(error) => {
            Error::unproved(format!("the operator says {word}, and {}", error.message())).hint(hint)
        }
        Missed::Unclear(error) if error.kind() == ErrorKind::Unproved => error.hint(hint),
        Missed::Unclear(error) => error,
    }
}

fn check(args: &Args) -> Result<()> {
    if let (false, Some(flag)) = (args.wait, args.way.first_given()) {
        let said = format!("{flag} cannot be used without --wait: it is for the look at the bucket");
        return Err(Error::usage(said).hint("add --wait, or leave it out"));
    }
    args.tag.as_deref().map_or(Ok(()), objects::check_tag)
}

async fn served(args: &Args, session: Option<&Session>, ui: &Ui) -> Result<Served> {
    let Some(session) = session else {
        return args.generation.map(Served::assumed).ok_or_else(|| {
            Error::usage("--dry-run=client asks nobody which operator is served")
                .hint("name it with --generation, or use --dry-run=server")
        });
    };
    let served = served::find(session, args.generation).await?;
    served.notes.iter().for_each(|note| ui.say(note));
    ui.say(format!("operator: {}", served.describe()));
    Ok(served)
}

/// The datacenter's object, for what it alone tells; where names are given, one that cannot be read is said.
async fn live(args: &Args, served: &Served, session: Option<&Session>, ui: &Ui) -> Result<Option<DynamicObject>> {
    let is_named = args.cassandra_cluster.is_some();
    let Some(session) = session.filter(|_| args.wait || !is_named) else { return Ok(None) };
    let read = async {
        let kind = served.datacenters(session).await?;
        datacenter::read(session, &kind, &args.datacenter).await
    };
    match read.await {
        Err(error) if is_named => {
            ui.say(format!("which pods it has is not known: {}", error.message()));
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Cassandra's own names: as given, else as the datacenter's object says. Where the operator needs none, a datacenter
/// that does not tell them is no error.
fn names(args: &Args, served: &Served, live: Option<&DynamicObject>) -> Option<Names> {
    let given = args.cassandra_cluster.clone().zip(args.cassandra_datacenter.clone());
    let given = given.map(|(cluster, datacenter)| Names { cluster, datacenter });
    given.or_else(|| Names::of(served.generation, &args.datacenter, &live?.data))
}

/// The object, and the Secret that it names.
fn object(
    args: &Args,
    served: &Served,
    names: Option<&Names>,
    namespace: Option<&str>,
) -> Result<(DynamicObject, Option<String>)> {
    let timed = || format!("{}-{}", args.datacenter, jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S"));
    let tag = args.tag.clone().unwrap_or_else(timed);
    let usual = || objects::usual_secret(served.generation, names, args.location.as_ref());
    let secret = args.secret.clone().or_else(usual);
    let wanted = Wanted {
        datacenter: &args.datacenter,
        names,
        tag: &tag,
        location: args.location.as_ref(),
        secret: secret.as_deref(),
        keyspaces: &args.keyspace,
        full: args.full,
        keeps: &|field| served.backup.schema.keeps(field),
    };
    let mut spec = objects::spec(served.generation, &wanted)?;
    served.backup.schema.complete(&mut spec);
    let dropped = served.backup.schema.pruned(&spec);
    if !dropped.is_empty() {
        let kind = &served.backup.resource.kind;
        return Err(Error::general(format!("the API server would drop {} of this {kind}", dropped.join(", ")))
            .hint("the served CRD is of another release: name the operator with --generation"));
    }
    let resource = &served.backup.resource;
    let types = TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() };
    let metadata = ObjectMeta {
        name: Some(tag),
        namespace: namespace.map(str::to_owned),
        labels: objects::labels(served.generation, &args.datacenter),
        ..ObjectMeta::default()
    };
    Ok((DynamicObject { types: Some(types), metadata, data: json!({ "spec": spec }) }, secret))
}

fn tag(object: &DynamicObject) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

fn print(args: &Args, served: &Served, object: &DynamicObject, ui: &Ui) -> Result<()> {
    let shown = served.backup.shown(&tag(object));
    let Some(format) = args.output else {
        return ui.data(format!("{shown} created{}", args.dry_run.suffix()));
    };
    let mut object = object.clone();
    object.metadata.managed_fields = None;
    ui.document(output::objects(&[output::to_value(&object)?], &[shown], format)?)
}
