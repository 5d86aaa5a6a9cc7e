//! `install`: the CRD, RBAC and the operator.

mod manifests;
mod wait;

use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::config::Kubeconfig;

use crate::cli::flags::parse_duration;
use crate::cli::output::{self, DryRun};
use crate::cli::{KubeFlags, OutputFormat, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, Force, Session};
use manifests::{Install, Manifest};

/// The image of this version: the operator and its agents.
pub const IMAGE: &str = concat!("ghcr.io/etcdbackup/kubectl-etcdbackup:v", env!("CARGO_PKG_VERSION"));

const TIMEOUT: Duration = Duration::from_secs(30);

/// Install the CRD, RBAC and the operator
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Image of the operator and its agents
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    /// Watch every namespace, with a ClusterRole, instead of one, with a Role
    #[arg(long)]
    cluster_wide: bool,
    /// Secret with AWS credentials for objects that name none (in the object's namespace)
    #[arg(long, value_name = "SECRET", requires_all = ["backup_aws_config", "backup_s3_bucket"])]
    backup_aws_secret: Option<String>,
    /// ConfigMap with AWS config for objects that name no Secret (in the object's namespace)
    #[arg(long, value_name = "CONFIGMAP", requires_all = ["backup_aws_secret", "backup_s3_bucket"])]
    backup_aws_config: Option<String>,
    /// Bucket for objects that name none
    #[arg(long, value_name = "BUCKET", requires_all = ["backup_aws_secret", "backup_aws_config"])]
    backup_s3_bucket: Option<String>,
    /// Replace a CRD of that name which somebody else installed
    #[arg(long)]
    force: bool,
    /// Wait until the operator runs
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true")]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "2m")]
    timeout: Duration,
    /// Only check: none, client (contacts nobody) or server
    #[arg(long, value_name = "MODE", default_value = "none")]
    dry_run: DryRun,
    /// Only print the objects; contacts nobody
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # for the EtcdBackups of one namespace
  kubectl etcdbackup install -n etcd

  # for all namespaces, with a bucket and credentials for objects that name none
  kubectl etcdbackup install -n etcd-system --cluster-wide --backup-s3-bucket etcd-backups \\
    --backup-aws-secret aws-credential --backup-aws-config aws-config

  # to be applied by somebody else
  kubectl etcdbackup install -n etcd -o yaml > etcdbackup.yaml

RBAC: what the objects grant, and get and patch on them; the CRD is cluster-scoped";

/// Runs the command. Objects are applied on the server, so a second run changes nothing.
///
/// # Errors
/// [`ErrorKind::General`] when somebody else's CRD of that name is installed; [`ErrorKind::TimedOut`] when
/// the operator does not start in time; the API server's.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    if args.output.is_some() || args.dry_run == DryRun::Client {
        let manifests = plan(&args, namespace_without_contact(kube)).manifests()?;
        return print(&manifests, args.output, ui);
    }
    let session = Session::connect(kube).await?;
    let install = plan(&args, session.namespace.clone());
    refuse_foreign_crd(&session, args.force).await?;
    for manifest in install.manifests()? {
        let api = manifest.api(&session);
        let (_, applied) = kubernetes::apply(&session, &api, &manifest.object, args.dry_run, Force::Yes)
            .await
            .map_err(|error| hinted(error, &session))?;
        ui.data(format!("{} {}{}", manifest.shown(), applied.as_str(), args.dry_run.suffix()))?;
    }
    if args.wait && args.dry_run == DryRun::None {
        wait::until_running(&session, args.timeout, ui).await?;
    }
    Ok(())
}

fn plan(args: &Args, namespace: String) -> Install {
    let flags = [
        ("--backup-aws-secret", &args.backup_aws_secret),
        ("--backup-aws-config", &args.backup_aws_config),
        ("--backup-s3-bucket", &args.backup_s3_bucket),
    ];
    let given = flags.into_iter().filter_map(|(flag, value)| Some(format!("{flag}={}", value.as_ref()?)));
    Install { namespace, image: args.image.clone(), cluster_wide: args.cluster_wide, operator_flags: given.collect() }
}

fn print(manifests: &[Manifest], format: Option<OutputFormat>, ui: &Ui) -> Result<()> {
    let names: Vec<String> = manifests.iter().map(Manifest::shown).collect();
    let Some(format) = format else {
        return names.iter().try_for_each(|name| ui.data(format!("{name} created{}", DryRun::Client.suffix())));
    };
    let values: Vec<serde_json::Value> = manifests.iter().map(Manifest::value).collect::<Result<_>>()?;
    ui.data(output::objects(&values, &names, format)?)
}

/// The namespace of the flags, else of the kubeconfig's context if there is one, else `default`, as kubectl.
fn namespace_without_contact(kube: &KubeFlags) -> String {
    let of_context = || {
        let config = match &kube.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).ok()?,
            None => Kubeconfig::read().ok()?,
        };
        let name = kube.context.as_ref().or(config.current_context.as_ref())?;
        let context = config.contexts.iter().find(|context| context.name == *name)?;
        context.context.as_ref()?.namespace.clone()
    };
    kube.namespace.clone().or_else(of_context).unwrap_or_else(|| "default".to_owned())
}

/// The dialects of this CRD exclude each other, so replacing one breaks the operator that came with it.
async fn refuse_foreign_crd(session: &Session, force: bool) -> Result<()> {
    let crds = Api::<CustomResourceDefinition>::all(session.client.clone());
    let found = match session.request(TIMEOUT, crds.get_metadata(manifests::CRD)).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if force || manifests::is_ours(&found.metadata) {
        return Ok(());
    }
    Err(Error::general(format!(
        "customresourcedefinition {:?} exists and was not installed by this program",
        manifests::CRD
    ))
    .hint("another operator may need it as it is: kubectl get crd etcdbackups.etcd.database.coreos.com -o yaml")
    .hint("add --force to replace it"))
}

fn hinted(error: Error, session: &Session) -> Error {
    let missing = format!("namespaces \"{}\" not found", session.namespace);
    if error.message().contains(&missing) {
        return error.hint(format!("kubectl create namespace {}", session.namespace));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
        let words = ["kubectl-etcdbackup", "install"].iter().chain(flags);
        Cli::try_parse_from(words).map(|cli| match cli.command {
            Command::Install(args) => args,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn waits_unless_told_otherwise() {
        assert!(parse(&[]).unwrap().wait);
        assert!(parse(&["--wait"]).unwrap().wait);
        assert!(!parse(&["--wait=false"]).unwrap().wait);
    }

    #[test]
    fn the_three_flags_for_s3_come_together() {
        assert!(parse(&["--backup-s3-bucket", "b"]).is_err());
        let all = ["--backup-s3-bucket", "b", "--backup-aws-secret", "s", "--backup-aws-config", "c"];
        let install = plan(&parse(&all).unwrap(), "etcd".to_owned());
        assert_eq!(install.operator_flags, ["--backup-aws-secret=s", "--backup-aws-config=c", "--backup-s3-bucket=b"]);
    }
}
