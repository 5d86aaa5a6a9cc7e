//! `credentials`: one AWS profile of the user's files into a Secret and a ConfigMap.

pub(in crate::commands) mod check;
mod flags;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::ObjectMeta;

use crate::aws::profile::{self, File, Keys, Kind, Profile};
use crate::aws::read::user_file;
use crate::cli::completion::live;
use crate::cli::output;
use crate::cli::{KubeFlags, OutputFormat, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::{self, Force, Session};
pub use flags::{ConfigMapFlags, ProfileFlags};

/// The Secret's name where nothing else is said (etcd-operator, doc/design/s3_backup.md).
pub const SECRET: &str = "aws-credential";
/// The Secret's name with `--format env`: under [`SECRET`] it would replace the keys that backups read.
const ENV_SECRET: &str = "aws-credential-env";
/// The ConfigMap's name where nothing else is said (etcd-operator, doc/design/s3_backup.md).
pub const CONFIGMAP: &str = "aws-config";

/// Put an AWS profile of yours into a Secret and a ConfigMap, or check them
///
/// Only the chosen profile leaves your machine, rewritten as [default]. Objects
/// that exist are updated. Without a command it is the same as with create.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    create: CreateArgs,
}

/// What to do; without a word, `create`.
#[derive(Debug, Clone, Subcommand)]
enum Action {
    Create(CreateArgs),
    Check(check::Args),
}

/// Create or update the Secret and the ConfigMap (the default)
///
/// Only the chosen profile leaves your machine, rewritten as [default]. Objects
/// that exist are updated.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_long_help = CREATE_EXAMPLES)]
struct CreateArgs {
    #[command(flatten)]
    from: ProfileFlags,
    /// Keys of the Secret
    #[arg(long, value_name = "FORMAT", default_value = "files")]
    format: Format,
    /// AWS region to store, instead of the profile's
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Name of the Secret [default: aws-credential; for env aws-credential-env]
    #[arg(long, value_name = "NAME", add = live::secrets())]
    secret_name: Option<String>,
    #[command(flatten)]
    configmap: ConfigMapFlags,
    /// Take over fields that another tool manages
    #[arg(long)]
    force_conflicts: bool,
    /// Only check: none, client (contacts nobody) or server
    #[arg(long, value_name = "MODE", default_value = "none")]
    dry_run: DryRun,
    /// Print the objects after sending them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # the default profile of ~/.aws
  kubectl etcdbackup credentials

  # another profile, into another namespace
  kubectl etcdbackup credentials --profile backup -n databases

  # bare values under the keys access and secret, for a pod's environment
  kubectl etcdbackup credentials --format env --secret-name awsbackuptest

  # only look
  kubectl etcdbackup credentials --dry-run=client -o yaml

  # does the Secret work against the bucket?
  kubectl etcdbackup credentials check --bucket etcd-backups

RBAC: create and patch on secrets and configmaps; for check get on both

Exit codes: see kubectl etcdbackup --help";

const CREATE_EXAMPLES: &str = "\
Examples:
  # the default profile of ~/.aws
  kubectl etcdbackup credentials create

  # another profile, into another namespace
  kubectl etcdbackup credentials create --profile backup -n databases

  # other files, and a Secret of your own name
  kubectl etcdbackup credentials create --credentials-file ./keys \\
    --secret-name team

  # the region with the keys, and no ConfigMap
  kubectl etcdbackup credentials create --region eu-west-1 --no-configmap

  # bare values under the keys access and secret, for a pod's environment
  kubectl etcdbackup credentials create --format env --secret-name backup-keys

  # only look
  kubectl etcdbackup credentials create --dry-run=client -o yaml

RBAC: create and patch on secrets and configmaps

Exit codes: see kubectl etcdbackup --help";

/// The keys of the Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// credentials and config, profile files as etcd-operator reads them
    Files,
    /// access and secret, bare values as Cassandra operators read them (no ConfigMap)
    Env,
}

/// The objects to send.
pub struct Objects {
    pub secret: Secret,
    pub configmap: Option<ConfigMap>,
}

/// Runs the command.
///
/// # Errors
/// Those of [`read`] and of the API server; [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for flags
/// before `create` or `check`.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    match args.action {
        None => create(args.create, kube, ui).await,
        Some(action) => {
            let name = if matches!(action, Action::Create(_)) { "create" } else { "check" };
            only_after(name, &args.create)?;
            match action {
                Action::Create(args) => create(args, kube, ui).await,
                Action::Check(args) => check::run(args, kube, ui).await,
            }
        }
    }
}

/// A flag before the word would be taken for `create` alone, and then be ignored.
fn only_after(word: &str, before: &CreateArgs) -> Result<()> {
    use clap::FromArgMatches;
    let bare = CreateArgs::augment_args(clap::Command::new("credentials"));
    let unset = bare.try_get_matches_from(["credentials"]).and_then(|found| CreateArgs::from_arg_matches(&found));
    match unset {
        Ok(unset) if unset != *before => Err(Error::usage(format!("flags of {word} must follow it"))
            .hint(format!("kubectl etcdbackup credentials {word} FLAGS"))),
        _ => Ok(()),
    }
}

/// The bare values are the keys alone: what is about a region or a ConfigMap would be ignored.
fn check_format(args: &CreateArgs) -> Result<()> {
    let ignored = args.configmap.given().or(args.region.as_ref().map(|_| "--region"));
    match ignored.filter(|_| args.format == Format::Env) {
        Some(flag) => Err(Error::usage(format!("{flag} cannot be used with --format env"))
            .hint("that form has neither region nor ConfigMap: leave the flag out")),
        None => Ok(()),
    }
}

async fn create(args: CreateArgs, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check_format(&args)?;
    let namespace = kube.namespace.as_deref();
    let mut objects = match args.format {
        Format::Files => {
            let profile = read(&args.from, args.region.as_deref(), ui)?;
            plan(&profile, args.secret_name.as_deref().unwrap_or(SECRET), &args.configmap, namespace)
        }
        Format::Env => {
            let keys = profile::keys(&files(&args.from, ui)?.as_files(), args.from.name())?;
            plan_env(&keys, args.secret_name.as_deref().unwrap_or(ENV_SECRET), namespace)?
        }
    };
    if args.dry_run != DryRun::Client {
        let session = Session::connect(kube).await?;
        let words = objects.send(&session, args.dry_run, Force::conflicts(args.force_conflicts)).await?;
        return objects.print(args.output, &words, args.dry_run, ui);
    }
    objects.print(args.output, &["created", "created"], args.dry_run, ui)
}

/// Reads the files and takes the profile out of them.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for files that cannot be read, and as
/// [`profile::extract`].
pub fn read(flags: &ProfileFlags, region: Option<&str>, ui: &Ui) -> Result<Profile> {
    let texts = files(flags, ui)?;
    let name = flags.name();
    let fallback = region_of_environment();
    let wanted = profile::Wanted { profile: name, region, fallback_region: fallback.as_deref() };
    let profile = profile::extract(&texts.as_files(), wanted)?;
    if profile.session_token {
        ui.warn(format!("profile {name:?} has a session token: these credentials expire, and backups will then fail"));
    }
    Ok(profile)
}

/// The region of the user's environment, as the AWS CLI reads it.
pub(super) fn region_of_environment() -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|variable| std::env::var(variable).ok())
}

/// The user's files as they were read: kind, name and text.
pub(super) struct Texts(Vec<(Kind, String, String)>);

impl Texts {
    pub(super) fn as_files(&self) -> Vec<File<'_>> {
        self.0.iter().map(|(kind, shown, text)| File { kind: *kind, shown, text }).collect()
    }
}

/// Reads the files that the flags, the environment or the home directory name.
pub(super) fn files(flags: &ProfileFlags, ui: &Ui) -> Result<Texts> {
    let mut texts = Vec::new();
    for (kind, given, variable, name) in [
        (Kind::Credentials, &flags.credentials_file, "AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        (Kind::Config, &flags.config_file, "AWS_CONFIG_FILE", "config"),
    ] {
        let named = given.clone().or_else(|| std::env::var_os(variable).map(PathBuf::from));
        let must_exist = named.is_some();
        let Some(path) = named.or_else(|| std::env::home_dir().map(|home| home.join(".aws").join(name))) else {
            continue;
        };
        match user_file(&path, kind)? {
            Some(file) => {
                file.warnings.iter().for_each(|warning| ui.warn(warning));
                texts.push((kind, path.display().to_string(), file.text));
            }
            None if must_exist => {
                return Err(Error::denied(format!("cannot read {}: no such file", path.display())));
            }
            None => {}
        }
    }
    if texts.is_empty() {
        return Err(Error::denied("no AWS credentials: neither ~/.aws/credentials nor ~/.aws/config exists")
            .hint("name a file with --credentials-file, or use `create --ambient`"));
    }
    Ok(Texts(texts))
}

/// The Secret for `--format env`: the values alone, because a container gets them as they are.
///
/// Source of the keys: strapdata/elassandra-operator, docs/source/backup-restore.rst at cccbc770.
fn plan_env(keys: &Keys, secret_name: &str, namespace: Option<&str>) -> Result<Objects> {
    if keys.session_token.is_some() {
        return Err(Error::denied("the profile has a session token, for which this form has no key")
            .hint("choose a profile with lasting keys with --profile"));
    }
    let data = [("access", &keys.id), ("secret", &keys.secret)];
    Ok(Objects { secret: secret(secret_name, namespace, data), configmap: None })
}

/// A Secret of these keys and texts.
pub(super) fn secret<'a>(
    name: &str,
    namespace: Option<&str>,
    data: impl IntoIterator<Item = (&'a str, &'a String)>,
) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: metadata(name, namespace),
        data: Some(data.into_iter().map(|(key, text)| (key.to_owned(), bytes(text))).collect()),
        ..Secret::default()
    }
}

/// A namespace only where the user named one, as kubectl prints it.
fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: namespace.map(str::to_owned), ..ObjectMeta::default() }
}

/// The objects for a profile; `namespace` only where the user named one, as kubectl prints it.
pub fn plan(profile: &Profile, secret_name: &str, configmap: &ConfigMapFlags, namespace: Option<&str>) -> Objects {
    let secret = secret(secret_name, namespace, [("config", &profile.config), ("credentials", &profile.credentials)]);
    let configmap = (!configmap.no_configmap).then(|| ConfigMap {
        metadata: metadata(configmap.configmap_name.as_deref().unwrap_or(CONFIGMAP), namespace),
        data: Some(BTreeMap::from([("config".to_owned(), profile.config.clone())])),
        ..ConfigMap::default()
    });
    Objects { secret, configmap }
}

impl Objects {
    /// Applies both; returns kubectl's word for each, and keeps what the API server answered.
    ///
    /// # Errors
    /// The API server's.
    pub async fn send(&mut self, session: &Session, dry_run: DryRun, force: Force) -> Result<Vec<&'static str>> {
        let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
        let (secret, applied) = kubernetes::apply(session, &secrets, &self.secret, dry_run, force).await?;
        self.secret = secret;
        let mut words = vec![applied.as_str()];
        if let Some(configmap) = &mut self.configmap {
            let configmaps: Api<ConfigMap> = Api::namespaced(session.client.clone(), &session.namespace);
            let (sent, applied) = kubernetes::apply(session, &configmaps, configmap, dry_run, force).await?;
            *configmap = sent;
            words.push(applied.as_str());
        }
        Ok(words)
    }

    /// The objects as values, in the order in which they are sent.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when one cannot be serialised.
    pub fn values(&self) -> Result<Vec<serde_json::Value>> {
        let mut values = vec![output::to_value(&self.secret)?];
        if let Some(configmap) = &self.configmap {
            values.push(output::to_value(configmap)?);
        }
        for metadata in values.iter_mut().filter_map(|value| value.get_mut("metadata")?.as_object_mut()) {
            metadata.remove("managedFields");
        }
        Ok(values)
    }

    /// The names as kubectl prints them, in the order in which they are sent.
    pub fn names(&self) -> Vec<String> {
        let name = |metadata: &ObjectMeta| metadata.name.clone().unwrap_or_default();
        let configmap = self.configmap.as_ref().map(|configmap| format!("configmap/{}", name(&configmap.metadata)));
        std::iter::once(format!("secret/{}", name(&self.secret.metadata))).chain(configmap).collect()
    }

    /// The objects in the format that was asked for, else a line for each.
    pub(super) fn print(&self, format: Option<OutputFormat>, words: &[&str], dry_run: DryRun, ui: &Ui) -> Result<()> {
        match format {
            Some(format) => ui.document(output::objects(&self.values()?, &self.names(), format)?),
            None => self.say_each(words, dry_run, ui),
        }
    }

    /// One line an object: `secret/aws-credential created`.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn say_each(&self, words: &[&str], dry_run: DryRun, ui: &Ui) -> Result<()> {
        let lines = self.names().into_iter().zip(words);
        lines.into_iter().try_for_each(|(name, word)| ui.data(format!("{name} {word}{}", dry_run.suffix())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_what_kubectl_would_print() {
        let profile = Profile {
            credentials: "[default]\naws_access_key_id=a\n".to_owned(),
            config: "[default]\nregion=us-west-1\n".to_owned(),
            session_token: false,
        };
        let values = plan(&profile, "aws", &ConfigMapFlags::default(), None).values().unwrap();
        assert_eq!(
            output::to_yaml_stream(&values).unwrap(),
            "apiVersion: v1\ndata:\n  config: W2RlZmF1bHRdCnJlZ2lvbj11cy13ZXN0LTEK\n  credentials: W2RlZmF1bHRdCmF3c19hY2Nlc3Nfa2V5X2lkPWEK\n\
             kind: Secret\nmetadata:\n  name: aws\n---\napiVersion: v1\ndata:\n  config: |\n    [default]\n    region=us-west-1\n\
             kind: ConfigMap\nmetadata:\n  name: aws-config\n"
        );
    }
}
