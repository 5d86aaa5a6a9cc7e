//! `create`: an EtcdBackup object, and the credentials that it needs.

mod plan;
mod wait;

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};

use super::credentials::{self, ConfigMapFlags, ProfileFlags, SECRET};
use crate::api::EtcdBackup;
use crate::cli::flags::parse_duration;
use crate::cli::output::{self, DryRun};
use crate::cli::{KubeFlags, OutputFormat, S3Flags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, Force, Session};
use plan::{Credentials, Plan};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Most names that are tried when the one made from the time is taken.
const MOST_NAMES: u32 = 20;

/// Back up an etcd cluster now: create an EtcdBackup
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the etcd cluster
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Name of the EtcdBackup [default: CLUSTER-yyyymmdd-hhmmss]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Dialect of the object
    #[arg(long, value_name = "DIALECT", value_enum, default_value = "cluster")]
    api: ApiDialect,
    #[command(flatten)]
    s3: S3Flags,
    /// Secret with the AWS credentials, in the same namespace
    #[arg(long, value_name = "NAME", default_value = SECRET)]
    secret: String,
    /// Use no Secret: IRSA, Pod Identity or the instance's role
    #[arg(long, conflicts_with_all = ["with_credentials", "profile", "credentials_file", "config_file"])]
    ambient: bool,
    /// Make the Secret and the ConfigMap in the same call
    #[arg(long)]
    with_credentials: bool,
    #[command(flatten)]
    from: ProfileFlags,
    #[command(flatten)]
    configmap: ConfigMapFlags,
    /// Update the object if it exists, by server-side apply
    #[arg(long, requires = "name")]
    apply: bool,
    /// Take over fields that another tool manages, of the Secret, the ConfigMap or the applied object
    #[arg(long)]
    force_conflicts: bool,
    /// Wait for the outcome; it is the exit code
    #[arg(long)]
    wait: bool,
    /// How long to wait; the operator itself gives up after 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "11m", requires = "wait")]
    timeout: Duration,
    /// Only check: none, client (contacts nobody) or server
    #[arg(long, value_name = "MODE", default_value = "none", conflicts_with = "wait")]
    dry_run: DryRun,
    /// Print the objects after sending them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # back up etcd-a with the Secret aws-credential, and wait for the outcome
  kubectl etcdbackup create etcd-a --bucket etcd-backups --wait

  # make the Secret from ~/.aws in the same call
  kubectl etcdbackup create etcd-a --bucket etcd-backups --with-credentials --wait

  # an S3-compatible service
  kubectl etcdbackup create etcd-a --bucket etcd-backups --endpoint-url https://s3.example.com --force-path-style

  # no keys at all: IRSA, Pod Identity or an instance role
  kubectl etcdbackup create etcd-a --bucket etcd-backups --ambient

  # only look
  kubectl etcdbackup create etcd-a --bucket etcd-backups --dry-run=client -o yaml

RBAC: create on etcdbackups; get on secrets (to check), and with --wait get on etcdbackups";

/// The dialects that were released under one group and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApiDialect {
    /// The cluster by its name
    Cluster,
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Denied`] when the Secret is missing; the API server's; with `--wait` those of the run.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let plan = Plan::new(&args, kube.namespace.as_deref(), jiff::Timestamp::now())?;
    let mut made = match plan.credentials {
        Credentials::Make => {
            let profile = credentials::read(&args.from, args.s3.region.as_deref(), ui)?;
            Some(credentials::plan(&profile, &args.secret, &args.configmap, kube.namespace.as_deref()))
        }
        Credentials::Named | Credentials::Ambient => None,
    };
    if args.dry_run == DryRun::Client {
        if let Some(objects) = made.as_ref().filter(|_| args.output.is_none()) {
            objects.say_each(&["created", "created"], args.dry_run, ui)?;
        }
        return print(&args, made.as_ref(), &plan.backup, "created", ui);
    }
    let session = Session::connect(kube).await?;
    match (&mut made, plan.credentials) {
        (Some(objects), _) => {
            let force = Force::conflicts(args.force_conflicts);
            let words = objects.send(&session, args.dry_run, force).await?;
            // at once: what follows may fail, and these are there
            if args.output.is_none() {
                objects.say_each(&words, args.dry_run, ui)?;
            }
        }
        (None, Credentials::Named) => require_secret(&session, &args, ui).await?,
        (None, _) => {}
    }
    let (backup, word) = send(&session, &args, plan.backup).await?;
    if !args.wait {
        return print(&args, made.as_ref(), &backup, word, ui);
    }
    if args.output.is_none() {
        print(&args, None, &backup, word, ui)?;
    }
    let done = wait::outcome(&session, &backup, args.timeout, ui).await?;
    match args.output {
        None => ui.data(wait::success(&done)),
        Some(_) => print(&args, made.as_ref(), &done, word, ui),
    }
}

/// Finds a missing Secret before the backup does.
async fn require_secret(session: &Session, args: &Args, ui: &Ui) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    match session.request(TIMEOUT, secrets.get_metadata(&args.secret)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let namespace = &session.namespace;
            let custom = if args.secret == SECRET { String::new() } else { format!(" --secret-name {}", args.secret) };
            Err(Error::denied(format!("secret {:?} not found in namespace {namespace:?}", args.secret))
                .hint(format!("kubectl etcdbackup credentials -n {namespace}{custom}"))
                .hint("or add --with-credentials, or --ambient to use none"))
        }
        Err(error) if error.kind() == ErrorKind::Denied => {
            ui.say(format!("not checked whether secret {:?} exists: {}", args.secret, error.message()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn send(session: &Session, args: &Args, mut backup: EtcdBackup) -> Result<(EtcdBackup, &'static str)> {
    let api: Api<EtcdBackup> = Api::namespaced(session.client.clone(), &session.namespace);
    if args.apply {
        let (sent, applied) =
            kubernetes::apply(session, &api, &backup, args.dry_run, Force::conflicts(args.force_conflicts)).await?;
        return Ok((sent, applied.as_str()));
    }
    let base = backup.name_any();
    let mut attempt = 1;
    loop {
        match kubernetes::create(session, &api, &backup, args.dry_run).await {
            Ok(sent) => return Ok((sent, "created")),
            Err(error) if error.message().starts_with("Error from server (AlreadyExists)") => {
                attempt += 1;
                if args.name.is_some() || attempt > MOST_NAMES {
                    return Err(error.hint("choose another --name, or add --apply to update it"));
                }
                backup.metadata.name = Some(format!("{base}-{attempt}"));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The backup's line, or with `-o` all objects.
fn print(args: &Args, made: Option<&credentials::Objects>, backup: &EtcdBackup, word: &str, ui: &Ui) -> Result<()> {
    let name = format!("etcdbackup.etcd.database.coreos.com/{}", backup.name_any());
    let Some(format) = args.output else {
        return ui.data(format!("{name} {word}{}", args.dry_run.suffix()));
    };
    let mut backup = backup.clone();
    backup.metadata.managed_fields = None;
    let (mut values, mut names) = (Vec::new(), Vec::new());
    if let Some(objects) = made {
        values.extend(objects.values()?);
        names.extend(objects.names());
    }
    values.push(output::to_value(&backup)?);
    names.push(name);
    ui.data(output::objects(&values, &names, format)?)
}
