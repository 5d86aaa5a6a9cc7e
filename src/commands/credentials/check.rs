//! `credentials check`: does a Secret, or a profile of the user's own, work against a bucket?

pub(in crate::commands) mod bucket;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args as ClapArgs;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use super::{CONFIGMAP, SECRET};
use crate::aws::s3::read_ca_bundle;
use crate::aws::{Access, CredentialSource, ProfileFiles, S3, identity};
use crate::cli::flags::parse_url;
use crate::cli::{DocumentFormat, KubeFlags, S3ReadFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use report::{Check, Report};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Check that a Secret, or a profile of yours, works against a bucket
///
/// One line a check; the first that failed is the exit code. Without --bucket
/// only the keys, the region and the identity are checked. Without --read-only a
/// small object is written below the prefix, and deleted.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    s3: S3ReadFlags,
    /// ConfigMap with the region, where the Secret has none
    #[arg(long, value_name = "NAME", default_value = CONFIGMAP, conflicts_with = "profile")]
    configmap_name: String,
    /// URL of STS, to ask for the identity also with --endpoint-url
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_STS", hide_env_values = true, value_parser = parse_url)]
    sts_endpoint_url: Option<String>,
    /// Write nothing into the bucket
    #[arg(long)]
    read_only: bool,
    /// Print every field
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # the Secret aws-credential against a bucket
  kubectl etcdbackup credentials check --bucket etcd-backups

  # only whose keys they are
  kubectl etcdbackup credentials check -n databases

  # another Secret, an S3-compatible service, a prefix
  kubectl etcdbackup credentials check --secret minio --bucket etcd-backups \\
    --prefix team-x --endpoint-url https://s3.example.com --force-path-style

  # a profile of your own, without Kubernetes; nothing is written
  kubectl etcdbackup credentials check --profile backup \\
    --bucket etcd-backups --read-only

  # every field, for a program
  kubectl etcdbackup credentials check --bucket etcd-backups -o json

RBAC: get on the secret and the configmap; none with --profile

Exit codes: see kubectl etcdbackup --help";

/// Runs the checks and prints them; the first failed one decides the exit code.
///
/// # Errors
/// [`ErrorKind::Denied`] for credentials that do not work, [`ErrorKind::NotFound`] for a missing bucket,
/// [`ErrorKind::General`] for a service that cannot be reached; before any check,
/// [`ErrorKind::Usage`] and those of the API server.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let place = Place::new(&args)?;
    let source = source(&args, kube, ui).await?;
    let report = Report::new(&source.name, &place, checks(&args, &place, source.found).await);
    match args.output {
        Some(format) => ui.document(format.text(&report)?)?,
        None => ui.data(report.table())?,
    }
    report.outcome()
}

/// Where to look, and how to get there.
struct Place {
    bucket: Option<String>,
    prefix: String,
    access: Access,
}

impl Place {
    fn new(args: &Args) -> Result<Self> {
        let flags = &args.s3.place;
        if flags.layout.is_some() {
            return Err(Error::usage("--layout has no meaning here").hint("name the directory with --prefix"));
        }
        let (bucket, prefix) = match flags.path.as_deref().and_then(|path| path.split_once('/')) {
            Some((bucket, key)) => {
                (Some(bucket.to_owned()), key.rsplit_once('/').map(|(directory, _)| directory.to_owned()))
            }
            None => (flags.bucket.clone(), flags.prefix.clone()),
        };
        let access = Access {
            region: flags.region.clone(),
            endpoint_url: flags.endpoint_url.clone(),
            force_path_style: flags.force_path_style,
            ca_pem: args.s3.ca_bundle.as_deref().map(read_ca_bundle).transpose()?,
        };
        // as readers and the agent list it: a policy may allow no more than what lies below
        let prefix = prefix.as_deref().unwrap_or_default().trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket, prefix, access })
    }
}

/// The credentials to check, or what is wrong with the Secret that should hold them.
struct Named {
    name: String,
    found: Result<CredentialSource>,
}

/// # Errors
/// Those of the API server; a missing Secret and one without usable keys are for the first check to say.
async fn source(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<Named> {
    if let Some(profile) = &args.s3.profile {
        let found = CredentialSource::Chain { profile: Some(profile.clone()) };
        return Ok(Named { name: found.describe(), found: Ok(found) });
    }
    let session = Session::connect(kube).await?;
    let secret = args.s3.secret.as_deref().unwrap_or(SECRET);
    let name = format!("secret {}/{secret}", session.namespace);
    let found = match from_secret(&session, secret, &name, &args.configmap_name).await {
        Ok(files) => {
            files.warnings.iter().for_each(|warning| ui.warn(warning));
            Ok(CredentialSource::Files(files))
        }
        Err(error) => Err(error),
    };
    Ok(Named { name, found })
}

async fn from_secret(session: &Session, name: &str, origin: &str, configmap: &str) -> Result<ProfileFiles> {
    let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    let secret = session.request(TIMEOUT, secrets.get(name)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::denied(format!("{origin} does not exist")).hint(format!(
            "kubectl etcdbackup credentials -n {} --secret-name {name}, or name another with --secret",
            session.namespace
        )),
        _ => error,
    })?;
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    let files = ProfileFiles::from_keys(origin, &data)?;
    if files.config.is_some() {
        return Ok(files);
    }
    let configmaps: Api<ConfigMap> = Api::namespaced(session.client.clone(), &session.namespace);
    match session.request(TIMEOUT, configmaps.get(configmap)).await {
        Ok(found) => {
            let data: BTreeMap<_, _> =
                found.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
            let origin = format!("configmap {}/{configmap}", session.namespace);
            Ok(files.or_config(ProfileFiles::from_keys(origin, &data)?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && configmap == CONFIGMAP => Ok(files),
        Err(error) => Err(error),
    }
}

async fn checks(args: &Args, place: &Place, source: Result<CredentialSource>) -> Vec<Check> {
    let source = match source {
        Ok(source) => source,
        Err(error) => return stopped(vec![Check::failed("keys", &error)], "no usable keys"),
    };
    let mut checks = vec![keys(&source, place).await];
    if !checks[0].is_ok() {
        let why = if checks[0].is_failed() { "no usable keys" } else { "only a pod can check its own role" };
        return stopped(checks, why);
    }
    let s3 = match S3::new(place.bucket.clone().unwrap_or_default(), &source, &place.access).await {
        Ok(s3) => s3,
        Err(error) => {
            checks.push(Check::failed("region", &error));
            return stopped(checks, "no region");
        }
    };
    checks.push(region(&s3, place));
    checks.push(identity(args, &source, place, &s3.region).await);
    match place.bucket {
        Some(_) => checks.extend(bucket::all(&s3, &place.prefix, args.read_only.then_some("--read-only")).await),
        None => return stopped(checks, "give --bucket"),
    }
    checks
}

/// The remaining checks were not made.
fn stopped(mut checks: Vec<Check>, why: &str) -> Vec<Check> {
    let rest = ["keys", "region", "identity", "list", "get", "put"].into_iter().skip(checks.len());
    checks.extend(rest.map(|name| Check::skipped(name, why)));
    checks
}

async fn keys(source: &CredentialSource, place: &Place) -> Check {
    if let CredentialSource::Files(files) = source
        && files.credentials.is_none()
    {
        return Check::skipped("keys", format!("{} holds no keys: a pod uses its own role", files.origin));
    }
    let access =
        Access { region: place.access.region.clone(), ca_pem: place.access.ca_pem.clone(), ..Access::default() };
    let profile = match source {
        CredentialSource::Chain { profile: Some(profile) } => profile,
        _ => "default",
    };
    match identity::keys(source, &access).await {
        Ok(keys) => {
            let expire = if keys.session_token { "; they expire" } else { "" };
            let of = match source {
                CredentialSource::Files(files) => files.origin.as_str(),
                CredentialSource::Chain { .. } => "your AWS files",
            };
            Check::passed("keys", format!("{of}: access key {} (profile {profile}{expire})", keys.id))
                .with("accessKeyID", keys.id)
                .with("sessionToken", keys.session_token)
        }
        Err(error) => Check::failed("keys", &error),
    }
    .with("source", source.describe())
    .with("profile", profile)
}

fn region(s3: &S3, place: &Place) -> Check {
    let from = if place.access.region.is_some() { "--region".to_owned() } else { s3.credentials.clone() };
    Check::passed("region", format!("{} ({from})", s3.region)).with("region", s3.region.as_str())
}

async fn identity(args: &Args, source: &CredentialSource, place: &Place, region: &str) -> Check {
    let Access { endpoint_url, ca_pem, .. } = &place.access;
    if endpoint_url.is_some() && args.sts_endpoint_url.is_none() {
        return Check::skipped(
            "identity",
            "the service at --endpoint-url is not AWS; name its STS with --sts-endpoint-url",
        );
    }
    let sts = Access {
        region: Some(region.to_owned()),
        endpoint_url: args.sts_endpoint_url.clone(),
        force_path_style: false,
        ca_pem: ca_pem.clone(),
    };
    match identity::whose(source, &sts).await {
        Ok(found) => Check::passed("identity", format!("account {}, {}", found.account, found.arn))
            .with("account", found.account)
            .with("arn", found.arn)
            .with("userID", found.user_id),
        Err(error) => Check::failed("identity", &error),
    }
}
