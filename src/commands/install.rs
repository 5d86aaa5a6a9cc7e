//! `install`: the CRD, RBAC and the operator.

mod crd;
pub(super) mod installed;
pub(super) mod manifests;
mod rbac;
pub(super) mod scope;
pub(super) mod wait;

use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs};

use crate::cli::flags::parse_duration;
use crate::cli::output;
use crate::cli::{KubeFlags, OutputFormat, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::{self, Force, Session};
use manifests::{AgentAccount, Install, Manifest};

/// The image of this version: the operator and its agents.
pub const IMAGE: &str = concat!("ghcr.io/etcdbackup/kubectl-etcdbackup:v", env!("CARGO_PKG_VERSION"));

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for the operator where nothing else is said: time for a slow registry.
const WAIT: Duration = Duration::from_secs(120);

/// Install the CRD, RBAC and the operator
///
/// Without --cluster-wide the operator works in its own namespace, with a Role
/// there. Its sidecars serve snapshots through port-forwards only.
///
/// With --cluster-wide it works in all namespaces, with a ClusterRole. Its sidecars
/// also serve bearers of a token: the API server is asked about tokens with the
/// ClusterRole etcdbackup-token-review, which the operator binds to sidecars.
///
/// Run it again to upgrade or to change flags: objects are applied on the server,
/// what is as it should be stays, and another scope removes the roles of the first.
///
/// The operator itself needs no AWS credentials. Jobs and sidecars run as
/// spec.serviceAccountName of their EtcdBackup. --agent-service-account makes such
/// a ServiceAccount in the operator's namespace, for EKS Pod Identity as it is, for
/// IRSA with --iam-role-arn. For kube2iam set spec.pod.annotations instead.
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
    /// Namespace whose EtcdBackups may back up the control plane's own etcd
    #[arg(long, value_name = "NAMESPACE")]
    kubeadm_namespace: Option<String>,
    /// Make this ServiceAccount for Jobs and sidecars; EtcdBackups must name it
    #[arg(long, value_name = "NAME")]
    agent_service_account: Option<String>,
    /// AWS role of that ServiceAccount (IRSA): sets eks.amazonaws.com/role-arn
    #[arg(long, value_name = "ARN", value_parser = parse_role_arn)]
    iam_role_arn: Option<String>,
    /// Replace a CRD, or a cluster-wide operator, that somebody else installed,
    /// and a CRD of a newer version
    #[arg(long)]
    force: bool,
    /// Wait until the operator runs
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true")]
    wait: bool,
    /// How long to wait [default: 2m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
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
  kubectl etcdbackup install -n etcd-system --cluster-wide \\
    --backup-s3-bucket etcd-backups \\
    --backup-aws-secret aws-credential --backup-aws-config aws-config

  # with a role of AWS for Jobs and sidecars, and no keys
  kubectl etcdbackup install -n etcd \\
    --iam-role-arn arn:aws:iam::111122223333:role/etcd-backup

  # from a registry of your own
  kubectl etcdbackup install -n etcd --image registry.example.com/etcdbackup:v1

  # to be applied by somebody else; deploy/ has the same as kustomize bases
  kubectl etcdbackup install -n etcd -o yaml > etcdbackup.yaml

RBAC: get and patch (create for what is not there) on what it makes:
customresourcedefinitions, serviceaccounts, deployments, roles, rolebindings,
or with --cluster-wide clusterroles and clusterrolebindings; delete on the roles
and bindings of the other scope; and all that the roles grant (or escalate)

Exit codes: see kubectl etcdbackup --help";

/// The name of the ServiceAccount for Jobs and sidecars unless another is given.
const AGENT: &str = "etcdbackup-agent";

/// `arn:aws:iam::111122223333:role/NAME`, in any partition.
pub(super) fn parse_role_arn(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts[..] else {
        return Err("not an ARN such as arn:aws:iam::111122223333:role/NAME".to_owned());
    };
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let named = role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    if partition.starts_with("aws") && digits && named {
        return Ok(text.to_owned());
    }
    Err("not the ARN of a role such as arn:aws:iam::111122223333:role/NAME".to_owned())
}

/// Runs the command. Objects are applied on the server, so a second run changes nothing.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when somebody else's or a newer CRD of that name is
/// installed; [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) when the operator does not start in time; the
/// API server's.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    check(&args)?;
    if args.output.is_some() || args.dry_run == DryRun::Client {
        let manifests = plan(&args, kubernetes::namespace(kube)).manifests()?;
        return print(&manifests, args.output, ui);
    }
    let session = Session::connect(kube).await?;
    let install = plan(&args, session.namespace.clone());
    if !args.force {
        crd::may_be_replaced(&session).await?;
    }
    if args.cluster_wide && !args.force {
        scope::refuse_second_operator(&session).await?;
    }
    for manifest in install.manifests()? {
        let api = manifest.api(&session);
        let (_, applied) = kubernetes::apply(&session, &api, &manifest.object, args.dry_run, Force::Yes).await?;
        ui.data(format!("{} {}{}", manifest.shown(), applied.as_str(), args.dry_run.suffix()))?;
    }
    scope::remove_other(&session, args.cluster_wide, args.dry_run, ui).await?;
    if args.wait && args.dry_run == DryRun::None {
        wait::until_running(&session, args.timeout.unwrap_or(WAIT), ui).await?;
    }
    Ok(())
}

/// Flags that nothing would read.
fn check(args: &Args) -> Result<()> {
    let excluded = |flag: &str, by: &str| {
        Err(Error::usage(format!("{flag} cannot be used with {by}")).hint("leave one of them out"))
    };
    match (args.output, args.timeout) {
        (Some(_), _) if args.dry_run == DryRun::Server => excluded("-o", "--dry-run=server"),
        (Some(_), Some(_)) => excluded("--timeout", "-o"),
        (_, Some(_)) if args.dry_run != DryRun::None => excluded("--timeout", "--dry-run"),
        (_, Some(_)) if !args.wait => excluded("--timeout", "--wait=false"),
        _ => Ok(()),
    }
}

fn plan(args: &Args, namespace: String) -> Install {
    let flags = [
        ("--backup-aws-secret", &args.backup_aws_secret),
        ("--backup-aws-config", &args.backup_aws_config),
        ("--backup-s3-bucket", &args.backup_s3_bucket),
        ("--kubeadm-namespace", &args.kubeadm_namespace),
    ];
    let given = flags.into_iter().filter_map(|(flag, value)| Some(format!("{flag}={}", value.as_ref()?)));
    let wanted = args.agent_service_account.is_some() || args.iam_role_arn.is_some();
    let account = || AgentAccount {
        name: args.agent_service_account.clone().unwrap_or_else(|| AGENT.to_owned()),
        role_arn: args.iam_role_arn.clone(),
    };
    Install {
        namespace,
        image: args.image.clone(),
        cluster_wide: args.cluster_wide,
        operator_flags: given.collect(),
        agent_account: wanted.then(account),
    }
}

fn print(manifests: &[Manifest], format: Option<OutputFormat>, ui: &Ui) -> Result<()> {
    let names: Vec<String> = manifests.iter().map(Manifest::shown).collect();
    let Some(format) = format else {
        return names.iter().try_for_each(|name| ui.data(format!("{name} created{}", DryRun::Client.suffix())));
    };
    let values: Vec<serde_json::Value> = manifests.iter().map(Manifest::value).collect::<Result<_>>()?;
    ui.document(output::objects(&values, &names, format)?)
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
    fn a_role_of_aws_goes_to_a_service_account_for_jobs() {
        let arn = "arn:aws-cn:iam::111122223333:role/team/etcd-backup";
        let of = |flags: &[&str]| plan(&parse(flags).unwrap(), "etcd".to_owned()).agent_account;
        assert_eq!(of(&[]), None);
        let default = AgentAccount { name: AGENT.to_owned(), role_arn: Some(arn.to_owned()) };
        assert_eq!(of(&["--iam-role-arn", arn]), Some(default));
        let named = AgentAccount { name: "mine".to_owned(), role_arn: None };
        assert_eq!(of(&["--agent-service-account", "mine"]), Some(named));
        for bad in ["", "etcd-backup", "arn:aws:iam::1:role/x", "arn:aws:iam::111122223333:user/x", "arn:aws:s3:::x"] {
            assert!(parse(&["--iam-role-arn", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_three_flags_for_s3_come_together() {
        assert!(parse(&["--backup-s3-bucket", "b"]).is_err());
        let all = ["--backup-s3-bucket", "b", "--backup-aws-secret", "s", "--backup-aws-config", "c"];
        let install = plan(&parse(&all).unwrap(), "etcd".to_owned());
        assert_eq!(install.operator_flags, ["--backup-aws-secret=s", "--backup-aws-config=c", "--backup-s3-bucket=b"]);
    }
}
