//! `volume schedule`: the CronJob that takes snapshots and expires them.

mod cronjob;

use clap::Args as ClapArgs;

use self::cronjob::{Credentials, Schedule};
use crate::api::cron;
use crate::cli::flags::parse_url;
use crate::cli::{KubeFlags, OutputFormat, Ui, output};
use crate::commands::install::manifests::Manifest;
use crate::commands::install::{IMAGE, parse_role_arn};
use crate::error::Result;
use crate::kubernetes::{self, DryRun, Force, Session};
use crate::volume::flags::{HEADING as AWS, parse_account};

/// Print or apply a CronJob that takes snapshots and expires them
///
/// Each run takes a whole set of the cluster, waits until all of it is complete,
/// and then deletes the sets that the --keep flags leave out. Without any of them
/// the last 8 sets stay: a day, every 3 hours.
///
/// Without --apply the objects are printed, and nobody is contacted.
///
/// The pods get their AWS credentials by --role-arn (IRSA, an annotation of the
/// ServiceAccount), --kube2iam-role (kube2iam or kiam, an annotation of the
/// pods) or --secret (a Secret with the files credentials and config), and
/// without these from an association of EKS Pod Identity with the
/// ServiceAccount, else from the role of the node.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Cluster of kops whose volumes are meant
    #[arg(long, value_name = "NAME")]
    cluster_name: String,
    /// Only this etcd, such as main or events; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    etcd: Vec<String>,
    /// When: five fields of cron
    #[arg(long, value_name = "CRON", default_value = "0 */3 * * *",
          value_parser = |text: &str| cron::check(text).map(|()| text.to_owned()))]
    schedule: String,
    /// Time zone of --schedule, such as Europe/Amsterdam [default: the controller's]
    #[arg(long, value_name = "ZONE", value_parser = |text: &str| cron::check_zone(text).map(|()| text.to_owned()))]
    time_zone: Option<String>,
    #[command(flatten)]
    keep: Keep,
    /// Name of the CronJob
    #[arg(long, value_name = "NAME", default_value = cronjob::NAME)]
    name: String,
    /// Name of the ServiceAccount, which is made
    #[arg(long, value_name = "NAME", default_value = cronjob::NAME)]
    service_account: String,
    #[command(flatten)]
    credentials: CredentialFlags,
    /// Run on nodes of the control plane only
    #[arg(long)]
    control_plane: bool,
    /// Image of this program
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    #[command(flatten)]
    place: Place,
    /// Apply the objects
    #[arg(long, conflicts_with = "output")]
    apply: bool,
    /// Have the API server check them: none or server
    #[arg(long, value_name = "MODE", default_value = "none", requires = "apply")]
    dry_run: DryRun,
    /// Take over fields that another tool has set
    #[arg(long, requires = "apply")]
    force_conflicts: bool,
    /// Output format [default: yaml]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

/// What to keep, as `volume snapshot` and `volume prune` have it.
#[derive(Debug, Clone, Default, ClapArgs)]
struct Keep {
    /// Keep the last N sets [default: 8]
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// Keep the last set of each of N hours
    #[arg(long, value_name = "N")]
    keep_hourly: Option<u32>,
    /// Keep the last set of each of N days
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Keep the last set of each of N weeks
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Keep all sets that are not older, such as 7d
    #[arg(long, value_name = "AGE")]
    keep_within: Option<String>,
}

impl Keep {
    fn words(&self) -> Vec<String> {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let flags = [
            ("last", number(self.keep_last)),
            ("hourly", number(self.keep_hourly)),
            ("daily", number(self.keep_daily)),
            ("weekly", number(self.keep_weekly)),
            ("within", self.keep_within.clone()),
        ];
        let given = flags.into_iter().filter_map(|(name, value)| Some(format!("--keep-{name}={}", value?)));
        let given: Vec<String> = given.collect();
        if given.is_empty() { vec!["--keep-last=8".to_owned()] } else { given }
    }
}

/// Where the pods' credentials come from.
#[derive(Debug, Clone, Default, ClapArgs)]
#[group(multiple = false)]
struct CredentialFlags {
    /// AWS role of the ServiceAccount (IRSA)
    #[arg(long, value_name = "ARN", value_parser = parse_role_arn, help_heading = AWS)]
    role_arn: Option<String>,
    /// AWS role for kube2iam or kiam, a name or an ARN
    #[arg(long, value_name = "ROLE", help_heading = AWS)]
    kube2iam_role: Option<String>,
    /// Secret with the files credentials and config
    #[arg(long, value_name = "NAME", help_heading = AWS)]
    secret: Option<String>,
}

/// The account and region of the pods.
#[derive(Debug, Clone, Default, ClapArgs)]
struct Place {
    /// AWS region [default: of the Secret, of IRSA or of the node]
    #[arg(long, value_name = "REGION", help_heading = AWS)]
    region: Option<String>,
    /// Refuse to work in any other account
    #[arg(long, value_name = "ID", value_parser = parse_account, help_heading = AWS)]
    account: Option<String>,
    /// URL of a service that stands in for AWS
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = AWS)]
    endpoint_url: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  # every 3 hours, the last 8 sets kept, with a role of IRSA
  kubectl etcdbackup volume schedule --cluster-name k8s.example.com \\
    -n kube-system --apply \\
    --role-arn arn:aws:iam::111122223333:role/etcd-volumes

  # every night; the last 7 nights and 8 weeks
  kubectl etcdbackup volume schedule --cluster-name k8s.example.com \\
    --schedule '30 2 * * *' --time-zone Europe/Amsterdam \\
    --keep-daily 7 --keep-weekly 8 --apply

  # with kube2iam
  kubectl etcdbackup volume schedule --cluster-name k8s.example.com \\
    --kube2iam-role k8s-etcd-volumes --apply

  # with keys, which kubectl etcdbackup credentials has put into a Secret
  kubectl etcdbackup volume schedule --cluster-name k8s.example.com \\
    --secret aws-credential --region eu-west-1 --apply

  # with the role of the masters, to be applied by somebody else
  kubectl etcdbackup volume schedule --cluster-name k8s.example.com \\
    --control-plane --region eu-west-1 -o yaml > schedule.yaml

RBAC: none; with --apply get and patch (create for what is not there) on
serviceaccounts and cronjobs

Exit codes: see kubectl etcdbackup --help";

/// Runs the command. Objects are applied on the server, so a second run changes nothing.
///
/// # Errors
/// The API server's, in kubectl's words.
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    if !args.apply {
        let schedule = plan(&args, kubernetes::namespace(kube));
        print(&schedule.manifests()?, args.output.unwrap_or(OutputFormat::Yaml), ui)?;
        if args.output.is_none() {
            ui.hint("nothing was applied: add --apply, or pipe it to kubectl apply --server-side -f -");
        }
        return advise(&schedule, ui);
    }
    let session = Session::connect(kube).await?;
    let schedule = plan(&args, session.namespace.clone());
    for manifest in schedule.manifests()? {
        let (api, force) = (manifest.api(&session), Force::conflicts(args.force_conflicts));
        let (_, applied) = kubernetes::apply(&session, &api, &manifest.object, args.dry_run, force).await?;
        ui.data(format!("{} {}{}", manifest.shown(), applied.as_str(), args.dry_run.suffix()))?;
    }
    advise(&schedule, ui)
}

fn plan(args: &Args, namespace: String) -> Schedule {
    let CredentialFlags { role_arn, kube2iam_role, secret } = args.credentials.clone();
    let credentials = match (role_arn, kube2iam_role, secret) {
        (Some(arn), ..) => Credentials::Irsa(arn),
        (_, Some(role), _) => Credentials::Kube2iam(role),
        (_, _, Some(secret)) => Credentials::Secret(secret),
        _ => Credentials::Ambient,
    };
    Schedule {
        namespace,
        name: args.name.clone(),
        service_account: args.service_account.clone(),
        image: args.image.clone(),
        cron: args.schedule.clone(),
        time_zone: args.time_zone.clone(),
        cluster: args.cluster_name.clone(),
        etcds: args.etcd.clone(),
        keep: args.keep.words(),
        credentials,
        control_plane: args.control_plane,
        region: args.place.region.clone(),
        account: args.place.account.clone(),
        endpoint_url: args.place.endpoint_url.clone(),
    }
}

fn print(manifests: &[Manifest], format: OutputFormat, ui: &Ui) -> Result<()> {
    let names: Vec<String> = manifests.iter().map(Manifest::shown).collect();
    let values: Vec<serde_json::Value> = manifests.iter().map(Manifest::value).collect::<Result<_>>()?;
    ui.document(output::objects(&values, &names, format)?)
}

/// What is to be done in AWS, which this command does not ask.
fn advise(schedule: &Schedule, ui: &Ui) -> Result<()> {
    let Schedule { namespace, name, service_account, cluster, .. } = schedule;
    let account = format!("system:serviceaccount:{namespace}:{service_account}");
    match &schedule.credentials {
        Credentials::Irsa(_) => ui.hint(format!("the role must trust {account}")),
        Credentials::Ambient => ui.hint(format!(
            "for EKS Pod Identity: aws eks create-pod-identity-association --cluster-name EKS_CLUSTER \
             --namespace {namespace} --service-account {service_account} --role-arn ROLE_ARN"
        )),
        Credentials::Kube2iam(_) | Credentials::Secret(_) => (),
    }
    ui.hint(format!("what it needs of IAM: kubectl etcdbackup volume iam-policy --cluster-name {cluster}"));
    ui.hint(format!("to try it now: kubectl create job -n {namespace} {name}-try --from=cronjob/{name}"));
    Ok(())
}
