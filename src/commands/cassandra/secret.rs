//! `cassandra secret`: the keys of a bucket in the form that the operator reads.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::files;
use crate::aws::profile::{self, Wanted};
use crate::cassandra::location::Cloud;
use crate::cassandra::secret::{self, Form, Keys};
use crate::cassandra::served;
use crate::cli::completion::live;
use crate::cli::flags::parse_url;
use crate::cli::{KubeFlags, OutputFormat, Ui};
use crate::commands::credentials::{self, Objects, ProfileFlags};
use crate::error::{Error, Result};
use crate::kubernetes::{DryRun, Force, Session};

/// Put the keys of a bucket into the Secret that a Cassandra operator reads
///
/// The keys come from a profile of your AWS files or from files that hold one
/// value each. A line break at a value's end is left out. How the Secret's own
/// keys are called depends on the operator that is served.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the Secret; it is updated if it exists
    #[arg(value_name = "NAME", add = live::secrets())]
    name: String,
    #[command(flatten)]
    from: ProfileFlags,
    /// File with the access key's id, or Azure's account name; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "credentials_file", "config_file"])]
    access_file: Option<PathBuf>,
    /// File with the secret key, Azure's key or GCP's service account; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "credentials_file", "config_file"])]
    secret_file: Option<PathBuf>,
    /// Whose keys they are
    #[arg(long, value_name = "CLOUD", default_value = "aws")]
    cloud: Cloud,
    /// How the Secret's keys are called
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    format: Format,
    /// AWS region to store, where the form has a key for it
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// URL of an S3-compatible service to store, with instaclustr-go
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    endpoint_url: Option<String>,
    /// Take over fields that another tool manages
    #[arg(long)]
    force_conflicts: bool,
    /// Only check: none, client (contacts nobody) or server
    #[arg(long, value_name = "MODE", default_value = "none")]
    dry_run: DryRun,
    /// Print the object after sending it
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # from the default profile of ~/.aws, for the operator that is served
  kubectl etcdbackup cassandra secret awsbackuptest -n ring

  # from files with one value each
  kubectl etcdbackup cassandra secret awsbackuptest --access-file ./access \\
    --secret-file ./secret -n ring

  # for Elassandra from December 2019 on, whose Secrets hold the region too
  kubectl etcdbackup cassandra secret elassandra-cl1-backup-aws \\
    --format elassandra --region us-west-2 -n ring

  # for Medusa
  kubectl etcdbackup cassandra secret medusa-bucket --format medusa \\
    --profile backup -n ring

  # Azure and Google
  kubectl etcdbackup cassandra secret azure-storage --cloud azure \\
    --access-file ./account --secret-file ./key -n ring
  kubectl etcdbackup cassandra secret gcp-auth-reference --cloud gcp \\
    --secret-file ./account.json -n ring

  # only look
  kubectl etcdbackup cassandra secret awsbackuptest --format instaclustr \\
    --dry-run=client -o yaml

RBAC: create and patch on secrets; to tell the operator get on
customresourcedefinitions, or nothing where OpenAPI tells it

Exit codes: see kubectl etcdbackup --help";

/// How the Secret's keys are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As the operator that is served calls them
    Auto,
    /// access, secret: Instaclustr's Java operator, Elassandra up to December 2019
    Instaclustr,
    /// awsaccesskeyid, awssecretaccesskey, awsregion: Instaclustr's Go operator
    InstaclustrGo,
    /// access-key, secret-key, region: Elassandra from December 2019 on
    Elassandra,
    /// credentials, a file: Medusa of K8ssandra
    Medusa,
}

impl Format {
    fn form(self) -> Option<Form> {
        match self {
            Self::Auto => None,
            Self::Instaclustr => Some(Form::Instaclustr),
            Self::InstaclustrGo => Some(Form::InstaclustrGo),
            Self::Elassandra => Some(Form::Elassandra),
            Self::Medusa => Some(Form::Medusa),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for keys that cannot be read or used,
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where the operator cannot be told; the API server's.
pub(super) async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check(&args)?;
    let keys = keys(&args, ui)?;
    let session = match args.dry_run {
        DryRun::Client => None,
        DryRun::None | DryRun::Server => Some(Session::connect(kube).await?),
    };
    let form = form(&args, session.as_ref(), ui).await?;
    fits(&args, form)?;
    let data = secret::data(form, &keys)?;
    let data = data.iter().map(|(key, value)| (key.as_str(), value));
    let secret = credentials::secret(&args.name, kube.namespace.as_deref(), data);
    let mut objects = Objects { secret, configmap: None };
    let words = match &session {
        Some(session) => objects.send(session, args.dry_run, Force::conflicts(args.force_conflicts)).await?,
        None => vec!["created"],
    };
    objects.print(args.output, &words, args.dry_run, ui)
}

/// Refuses flags that say too little or would be ignored.
fn check(args: &Args) -> Result<()> {
    let (access, secret) = (args.access_file.is_some(), args.secret_file.is_some());
    let stdin = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let wrong = |text: &str, hint: &str| Err(Error::usage(text).hint(hint));
    match args.cloud {
        Cloud::Aws if access != secret => {
            wrong("--access-file and --secret-file belong together", "give both, or neither to read ~/.aws")
        }
        Cloud::Azure if !(access && secret) => wrong(
            "--cloud azure needs --access-file and --secret-file",
            "the first holds the account's name, the second its key",
        ),
        Cloud::Gcp if access || !secret => {
            wrong("--cloud gcp needs --secret-file alone", "it names the JSON file of a service account")
        }
        _ if stdin(&args.access_file) && stdin(&args.secret_file) => {
            wrong("only one of --access-file and --secret-file can be stdin", "give the other one a file")
        }
        Cloud::Azure | Cloud::Gcp if args.region.is_some() || args.endpoint_url.is_some() => {
            wrong("--region and --endpoint-url cannot be used with another --cloud than aws", "leave them out")
        }
        _ => args.format.form().map_or(Ok(()), |form| fits(args, form)),
    }
}

/// Refuses what the form has no key for.
fn fits(args: &Args, form: Form) -> Result<()> {
    let has_region = form.needed(Cloud::Aws).len() > 2;
    let ignored = [
        ("--region", args.region.is_some() && !has_region),
        ("--endpoint-url", args.endpoint_url.is_some() && form != Form::InstaclustrGo),
    ];
    match ignored.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => {
            Err(Error::usage(format!("{flag} cannot be used with --format {}, which has no key for it", form.word()))
                .hint("leave it out; a region can be given to cassandra env"))
        }
        None => Ok(()),
    }
}

async fn form(args: &Args, session: Option<&Session>, ui: &Ui) -> Result<Form> {
    if let Some(form) = args.format.form() {
        return Ok(form);
    }
    let Some(session) = session else {
        ui.say("format: instaclustr; --dry-run=client asks nobody which operator is served");
        return Ok(Form::Instaclustr);
    };
    let hint = "or choose the keys with --format, and no operator is looked for";
    let served = served::find(session, None).await.map_err(|error| error.hint(hint))?;
    let form = served.generation.form()?;
    ui.say(format!("format: {} for {}", form.word(), served.describe()));
    Ok(form)
}

fn keys(args: &Args, ui: &Ui) -> Result<Keys> {
    let endpoint = args.endpoint_url.clone();
    match (args.cloud, &args.access_file, &args.secret_file) {
        (Cloud::Gcp, _, Some(file)) => {
            let (shown, text) = files::text(file, ui)?;
            secret::service_account(&shown, &text)
        }
        (Cloud::Azure, Some(account), Some(key)) => {
            Ok(Keys::Azure { account: files::value(account, ui)?, key: files::value(key, ui)? })
        }
        (_, Some(id), Some(secret)) => {
            let region = args.region.clone().or_else(credentials::region_of_environment);
            Ok(Keys::Aws { id: files::value(id, ui)?, secret: files::value(secret, ui)?, region, endpoint })
        }
        _ => of_profile(args, endpoint, ui),
    }
}

fn of_profile(args: &Args, endpoint: Option<String>, ui: &Ui) -> Result<Keys> {
    let texts = credentials::files(&args.from, ui)?;
    let name = args.from.profile.as_deref().unwrap_or("default");
    let keys = profile::keys(&texts.as_files(), name)?;
    if keys.session_token.is_some() {
        return Err(Error::denied("the profile has a session token, for which the operators have no key")
            .hint("choose a profile with lasting keys with --profile"));
    }
    let environment = credentials::region_of_environment();
    let wanted = Wanted { profile: name, region: args.region.as_deref(), fallback_region: environment.as_deref() };
    let region = profile::region(&texts.as_files(), wanted);
    Ok(Keys::Aws { id: keys.id, secret: keys.secret, region, endpoint })
}
