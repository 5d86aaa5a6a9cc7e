//! `cassandra restore-snippet`: what would restore a backup, printed for a person to apply.

use std::time::Duration;

use clap::Args as ClapArgs;
use kube::api::DynamicObject;

use super::datacenter::{self, TIMEOUT};
use super::place::{WayFlags, parse_tag};
use super::proof;
use crate::cassandra::generations::Generation;
use crate::cassandra::location::{Cloud, Location};
use crate::cassandra::objects::{Names, stored_as};
use crate::cassandra::restore::{self, Wanted};
use crate::cassandra::served::{self, Kind, Served};
use crate::cassandra::verify;
use crate::cli::completion::live;
use crate::cli::output;
use crate::cli::ui::one_line;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, Session};

/// Print what would restore a backup; nothing is started
///
/// The bucket is looked at first, where its layout is known: a backup that it does
/// not have whole is exit code 4, and pods of the datacenter that it has nothing
/// of are a warning. The conditions of a restore stand as comments above the
/// objects. With --generation the cluster is not asked.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub struct Args {
    /// Tag of the backup
    #[arg(value_name = "TAG", value_parser = parse_tag)]
    tag: String,
    /// Name of the datacenter's object that is to have the data
    #[arg(long, value_name = "NAME")]
    datacenter: String,
    /// Bucket that has the backup
    #[arg(long, value_name = "URL", value_parser = Location::parse)]
    location: Option<Location>,
    /// Secret with the keys of the bucket, for operators whose restores name one
    #[arg(long, value_name = "NAME", add = live::secrets())]
    secret: Option<String>,
    /// Cassandra's own name of the cluster [default: as the datacenter says]
    #[arg(long, value_name = "NAME", requires = "cassandra_datacenter")]
    cassandra_cluster: Option<String>,
    /// Cassandra's own name of the datacenter [default: as the datacenter says]
    #[arg(long, value_name = "NAME", requires = "cassandra_cluster")]
    cassandra_datacenter: Option<String>,
    /// The operator; the cluster is then not asked
    #[arg(long, value_name = "OPERATOR")]
    generation: Option<Generation>,
    /// Do not look at the bucket
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    way: WayFlags,
}

/// clap's own line is longer than a terminal.
const USAGE: &str = "kubectl etcdbackup cassandra restore-snippet <TAG> --datacenter <NAME>\n       [OPTIONS]";

const EXAMPLES: &str = "\
Examples:
  # for the operator that is served, after a look at the bucket
  kubectl etcdbackup cassandra restore-snippet nightly --datacenter dc1 \\
    --location s3://ring-backups -n ring

  # without Kubernetes, for a ring that is gone
  kubectl etcdbackup cassandra restore-snippet nightly --datacenter dc1 \\
    --location s3://ring-backups --generation elassandra-secrets \\
    --cassandra-cluster cl1 --cassandra-datacenter dc1

  # a store that is not AWS
  kubectl etcdbackup cassandra restore-snippet nightly --datacenter dc1 \\
    --location s3://ring-backups --endpoint-url https://s3.example.com \\
    --force-path-style -n ring

  # Azure and Google: the bucket is not looked at
  kubectl etcdbackup cassandra restore-snippet nightly --datacenter dc1 \\
    --location gcp://ring-backups --no-verify -n ring

  # into a file, to be read before it is applied
  kubectl etcdbackup cassandra restore-snippet nightly --datacenter dc1 \\
    --location s3://ring-backups -n ring > restore.yaml

RBAC: get on the operator's datacenters and backups; to tell the operator get on
customresourcedefinitions, or nothing where OpenAPI tells it; to look for nodes
that were never backed up list on statefulsets.apps

Exit codes: see kubectl etcdbackup --help";

/// What is known of the operator and of the backup.
struct Known {
    served: Served,
    datacenters: Kind,
    names: Option<Names>,
    registered: Option<bool>,
    namespace: String,
    /// Those of the datacenter as it is now, where that was read.
    pods: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Unproved`] for a backup that the bucket does not have whole, [`ErrorKind::NotFound`] where no operator
/// can be told; the API server's and S3's.
pub(super) async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    if let (true, Some(flag)) = (args.no_verify, args.way.first_given()) {
        return Err(Error::usage(format!("{flag} cannot be used with --no-verify")).hint("leave one of them out"));
    }
    let known = known(&args, kube, ui).await?;
    let wanted = Wanted {
        tag: &args.tag,
        datacenter: &args.datacenter,
        names: known.names.as_ref(),
        location: args.location.as_ref(),
        secret: args.secret.as_deref(),
        namespace: &known.namespace,
        registered: known.registered,
    };
    let restore = restore::restore(&known.served, &known.datacenters, &wanted)?;
    let looked = if args.no_verify {
        "the bucket was not looked at".to_owned()
    } else {
        let wanted = proof::Wanted {
            tag: &args.tag,
            whose: stored_as(known.served.generation, known.names.as_ref(), &args.datacenter),
            known: verify::Known { pods_now: known.pods.clone(), ..verify::Known::default() },
            patience: Duration::ZERO,
        };
        let proved = proof::prove(&wanted, args.location.as_ref(), &args.way, kube, ui)
            .await
            .map_err(verify::Missed::into_error)?;
        format!("the backup is {}", proved.word())
    };
    let head = format!("# {}; {looked}", known.served.describe());
    let conditions = restore.conditions.iter().map(|one| format!("# - {}", one_line(one)));
    let comments: Vec<String> = std::iter::once(head).chain(conditions).collect();
    ui.document(format!("{}\n{}", comments.join("\n"), output::to_yaml_stream(&restore.objects)?))
}

async fn known(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<Known> {
    let given = args.cassandra_cluster.clone().zip(args.cassandra_datacenter.clone());
    let given = given.map(|(cluster, datacenter)| Names { cluster, datacenter });
    if let Some(generation) = args.generation {
        let served = Served::assumed(generation);
        let namespace = kubernetes::namespace(kube);
        let datacenters = served.usual_datacenters();
        return Ok(Known { served, datacenters, names: given, registered: None, namespace, pods: Vec::new() });
    }
    let session = Session::connect(kube).await?;
    let hint = "or name the operator with --generation, and the cluster is not asked";
    let served = served::find(&session, None).await.map_err(|error| error.hint(hint))?;
    served.notes.iter().for_each(|note| ui.say(note));
    let datacenters = served.datacenters(&session).await?;
    let live = match &given {
        Some(_) => None,
        None => live(args, &session, &datacenters).await?,
    };
    let pods = match live.as_ref().filter(|_| is_looked_at(args)) {
        Some(live) => datacenter::pods(&session, live, ui).await,
        None => Vec::new(),
    };
    let names = given.or_else(|| Names::of(served.generation, &args.datacenter, &live?.data));
    let found = session.request(TIMEOUT, served.backup.api(&session).get_metadata_opt(&args.tag)).await?;
    let registered = Some(found.is_some());
    Ok(Known { served, datacenters, names, registered, namespace: session.namespace, pods })
}

/// The datacenter's object; the ring that is to be restored may be gone.
async fn live(args: &Args, session: &Session, datacenters: &Kind) -> Result<Option<DynamicObject>> {
    match datacenter::read(session, datacenters, &args.datacenter).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Whether the bucket will be looked at.
fn is_looked_at(args: &Args) -> bool {
    !args.no_verify && args.location.as_ref().is_some_and(|location| location.cloud == Cloud::Aws)
}
