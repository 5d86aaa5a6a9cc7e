//! `create`: an EtcdBackup object, and the credentials that it needs.

mod form;
mod plan;
mod schedule;
mod send;
mod served;
mod storage;
mod wait;
mod wizard;

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use kube::api::DynamicObject;

use super::credentials::{self, ConfigMapFlags, ProfileFlags};
use crate::api::EtcdBackup;
use crate::api::dialect::Served;
use crate::cli::completion::live;
use crate::cli::flags::{parse_duration, parse_url};
use crate::cli::output;
use crate::cli::{KubeFlags, OutputFormat, S3Flags, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::{self, Force, Session};
use crate::signals;
use crate::source::clusters;
use form::{Written, full_name};
use plan::{Credentials, Plan};
use schedule::ScheduleFlags;
use storage::StorageFlags;

const ETCD: &str = "etcd flags";
const ENCRYPTIONS: [&str; 2] = ["AES256", "aws:kms"];

/// Back up an etcd cluster: create an EtcdBackup
///
/// The operator takes the snapshot and stores it in S3 under
/// PREFIX/v1/CLUSTER/, named by etcd's version and revision, or on the volume of a
/// claim. Without --wait the command ends as soon as the object is there.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the etcd cluster; with --etcd-endpoints and --kubeadm only a name for its backups
    #[arg(value_name = "CLUSTER", add = live::clusters())]
    cluster: Option<String>,
    /// Name of the EtcdBackup [default: CLUSTER-yyyymmdd-hhmmss, or CLUSTER with a schedule]
    #[arg(long, value_name = "NAME", add = live::backups())]
    name: Option<String>,
    /// How the object names the etcd; auto is what the served CRD accepts
    #[arg(long, value_name = "FORM", value_enum, default_value = "auto")]
    api: ApiDialect,
    /// Client URLs of the etcd, instead of finding it by CLUSTER
    #[arg(long, value_name = "URL,…", value_delimiter = ',', value_parser = parse_url, help_heading = ETCD)]
    etcd_endpoints: Vec<String>,
    /// Back up the etcd of a kubeadm control plane
    #[arg(long, conflicts_with_all = ["etcd_endpoints", "client_tls_secret", "client_auth_secret"], help_heading = ETCD)]
    kubeadm: bool,
    /// Secret with keys tls.crt, tls.key and ca.crt, for the client of etcd
    #[arg(long, value_name = "NAME", add = live::secrets(), help_heading = ETCD)]
    client_tls_secret: Option<String>,
    /// Secret with the keys username and password for etcd
    #[arg(long, value_name = "NAME", add = live::secrets(), help_heading = ETCD)]
    client_auth_secret: Option<String>,
    #[command(flatten)]
    policy: ScheduleFlags,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    s3: S3Flags,
    /// Secret with the key ca.crt to trust for the endpoint
    #[arg(long, value_name = "NAME", add = live::secrets(), help_heading = "S3 flags")]
    ca_secret: Option<String>,
    /// How S3 encrypts them: AES256 or aws:kms [default: as the bucket says]
    #[arg(long, value_name = "HOW", value_parser = ENCRYPTIONS, hide_possible_values = true, help_heading = "S3 flags")]
    server_side_encryption: Option<String>,
    /// Key for aws:kms
    #[arg(long, value_name = "KEY", help_heading = "S3 flags")]
    kms_key_id: Option<String>,
    /// Secret with the AWS credentials, in the same namespace [default: aws-credential]
    #[arg(long, value_name = "NAME", add = live::secrets())]
    secret: Option<String>,
    /// Use no Secret: IRSA, Pod Identity or the instance's role
    #[arg(long, conflicts_with_all = ["secret", "with_credentials", "profile", "credentials_file", "config_file"])]
    ambient: bool,
    /// ServiceAccount of the backup's pods, for IRSA and Pod Identity
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Make the Secret and the ConfigMap in the same call
    #[arg(long)]
    with_credentials: bool,
    #[command(flatten)]
    from: ProfileFlags,
    #[command(flatten)]
    configmap: ConfigMapFlags,
    /// Update the object of this name if it exists, by server-side apply
    #[arg(long)]
    apply: bool,
    /// Take over fields of applied objects that another tool manages
    #[arg(long)]
    force_conflicts: bool,
    /// Wait for the outcome; it is the exit code
    #[arg(long)]
    wait: bool,
    /// How long to wait [default: a minute longer than --backup-timeout]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Only check: none, client (contacts nobody) or server
    #[arg(long, value_name = "MODE", default_value = "none", conflicts_with = "wait")]
    dry_run: DryRun,
    /// Print the objects after sending them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # on a terminal: asks for what is missing, shows it, and tells the flags
  kubectl etcdbackup create

  # back up etcd-a with the Secret aws-credential, and wait for the outcome
  kubectl etcdbackup create etcd-a --bucket etcd-backups --wait

  # make the Secret from ~/.aws in the same call
  kubectl etcdbackup create etcd-a --bucket etcd-backups --wait \\
    --with-credentials

  # every six hours, and keep the last 28
  kubectl etcdbackup create etcd-a --bucket etcd-backups --every 6h --keep 28

  # at three at night
  kubectl etcdbackup create etcd-a --bucket etcd-backups \\
    --schedule '0 3 * * *' --time-zone Europe/Amsterdam

  # an etcd by its URLs, with TLS
  kubectl etcdbackup create etcd-a --bucket etcd-backups \\
    --etcd-endpoints https://etcd.example.com:2379 \\
    --client-tls-secret etcd-client-tls

  # the control plane's own etcd, made by kubeadm
  kubectl etcdbackup create --kubeadm --bucket etcd-backups -n kube-system

  # an S3-compatible service
  kubectl etcdbackup create etcd-a --bucket etcd-backups \\
    --endpoint-url https://s3.example.com --force-path-style

  # no keys at all: IRSA, Pod Identity or an instance role
  kubectl etcdbackup create etcd-a --bucket etcd-backups --ambient

  # on a PersistentVolume: a claim of yours, or one that is made
  kubectl etcdbackup create etcd-a --claim etcd-backups
  kubectl etcdbackup create etcd-a --volume-size 10Gi --every 6h --keep 28

  # only look
  kubectl etcdbackup create etcd-a --bucket etcd-backups \\
    --dry-run=client -o yaml

RBAC: create on etcdbackups, with --wait get, with --apply get and patch; to
look before get on secrets, services, persistentvolumeclaims and
customresourcedefinitions and list on pods; with --with-credentials create and
patch on secrets and configmaps

Exit codes: see kubectl etcdbackup --help";

/// How an object names the etcd: the forms that were released under one group and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApiDialect {
    /// What the served CRD accepts; without a schema, what the flags say
    Auto,
    /// spec.clusterName (etcd-operator v0.6.1 to v0.7.2, and this program)
    Cluster,
    /// spec.etcdEndpoints (etcd-operator v0.8.0 to v0.9.4, its forks, and this program)
    Endpoints,
}

/// What was made.
struct Made {
    args: Args,
    /// None with `--dry-run=client`.
    session: Option<Session>,
    credentials: Option<credentials::Objects>,
    backup: DynamicObject,
    /// kubectl's word for what became of the backup.
    word: &'static str,
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) when the Secret is missing; [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted)
/// after Ctrl-C; the API server's; with `--wait` those of the run.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let made = tokio::select! {
        // in this order: the signals are waited for before the first question blocks this thread
        biased;
        () = signals::asked_to_end() => return Err(Error::interrupted("interrupted")),
        made = make(args, kube, ui) => made?,
    };
    let Some(session) = made.session.as_ref().filter(|_| made.args.wait) else {
        return made.print(ui);
    };
    if made.args.output.is_none() {
        made.print(ui)?;
    }
    let timeout = made.args.timeout.unwrap_or(made.args.policy.one_backup() + Duration::from_secs(60));
    let done = wait::outcome(session, &made.backup, timeout, ui).await?;
    match made.args.output {
        None => ui.data(wait::success(&done)?),
        Some(_) => Made { backup: done, ..made }.print(ui),
    }
}

/// Asks, decides, shows and sends, in this order: nothing is sent before everything is known.
async fn make(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<Made> {
    let (args, command) = match wizard::is_needed(&args) {
        true => wizard::complete(&args, kube, ui).await.map(|asked| (asked.args, Some(asked.command)))?,
        false => (args, None),
    };
    let plan = Plan::new(&args, kube.namespace.as_deref(), jiff::Timestamp::now())?;
    let credentials = match plan.credentials {
        Credentials::Make => {
            let profile = credentials::read(&args.from, args.s3.region.as_deref(), ui)?;
            Some(credentials::plan(&profile, args.secret_name(), &args.configmap, kube.namespace.as_deref()))
        }
        Credentials::Named | Credentials::Ambient => None,
    };
    let session = match args.dry_run {
        DryRun::Client => None,
        DryRun::None | DryRun::Server => Some(Session::connect(kube).await?),
    };
    let (served, namespace) = match &session {
        Some(session) => (served::read(session, ui).await?, session.namespace.clone()),
        None => (Served::ours()?, kubernetes::namespace(kube)),
    };
    let name = plan.metadata.name.clone().unwrap_or_default();
    let written = form::write(&plan, &name, args.api, &served, &namespace)?;
    say(&written, &served, session.is_some(), ui);
    if let Some(command) = &command {
        wizard::confirm(&written.object, credentials.as_ref(), command, ui)?;
    }
    let Some(session) = session else {
        return Ok(Made { args, session: None, credentials, backup: written.object, word: "created" });
    };
    let credentials = prepare(&session, &args, &plan, credentials, &written, ui).await?;
    let (backup, word) = send::send(&session, &args, &plan, &served, written).await?;
    Ok(Made { args, session: Some(session), credentials, backup, word })
}

/// Which form was chosen, and why.
fn say(written: &Written, served: &Served, read: bool, ui: &Ui) {
    let source = written.source;
    match read {
        true => ui.say(format!("api: writing {source}; the served CRD {}", served.describe())),
        false => ui.say(format!("api: writing {source} for this program's own CRD; --dry-run=client reads no other")),
    }
    written.notes.iter().for_each(|note| ui.say(note));
}

/// Looks at what the backup needs, and makes the credentials.
async fn prepare(
    session: &Session,
    args: &Args,
    plan: &Plan,
    mut credentials: Option<credentials::Objects>,
    written: &Written,
    ui: &Ui,
) -> Result<Option<credentials::Objects>> {
    if let Some(service) = &written.service {
        send::require_service(session, service, ui).await?;
    } else if let (Some(cluster), true, false) = (&args.cluster, args.etcd_endpoints.is_empty(), args.kubeadm) {
        clusters::doubt(session, cluster).await.iter().for_each(|doubt| ui.warn(doubt));
    }
    if let Some(objects) = &mut credentials {
        let words = objects.send(session, args.dry_run, Force::conflicts(args.force_conflicts)).await?;
        // at once: what follows may fail, and these are there
        if args.output.is_none() {
            objects.say_each(&words, args.dry_run, ui)?;
        }
    } else if plan.credentials == Credentials::Named {
        send::require_secret(session, args.secret_name(), ui).await?;
    } else if let Some(claim) = &args.storage.claim {
        send::require_claim(session, claim, ui).await?;
    }
    Ok(credentials)
}

impl Made {
    /// The backup's line, or with `-o` all objects.
    fn print(&self, ui: &Ui) -> Result<()> {
        let name = full_name(&self.backup);
        let Some(format) = self.args.output else {
            if let Some(objects) = self.credentials.as_ref().filter(|_| self.session.is_none()) {
                objects.say_each(&["created", "created"], self.args.dry_run, ui)?;
            }
            return ui.data(format!("{name} {}{}", self.word, self.args.dry_run.suffix()));
        };
        let mut backup = self.backup.clone();
        backup.metadata.managed_fields = None;
        let (mut values, mut names) = (Vec::new(), Vec::new());
        if let Some(objects) = &self.credentials {
            values.extend(objects.values()?);
            names.extend(objects.names());
        }
        values.push(output::to_value(&backup)?);
        names.push(name);
        ui.document(output::objects(&values, &names, format)?)
    }
}
