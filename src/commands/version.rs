//! `version`: of the plugin, and of the operator that is installed.

use std::time::Duration;

use clap::Args as ClapArgs;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use crate::VERSION;
use crate::cli::{DocumentFormat, KubeFlags, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Print the version of the plugin and of the installed operator
///
/// The operator's image is read from its Deployment in the namespace. Where that
/// cannot be asked, stderr says why, and the exit code is 0 all the same.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Only the plugin's; contacts nobody
    #[arg(long)]
    client: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

const EXAMPLES: &str = "\
Examples:
  # the plugin, and the operator of the current namespace
  kubectl etcdbackup version

  # the operator of another namespace
  kubectl etcdbackup version -n etcd-system

  # only the plugin; contacts nobody
  kubectl etcdbackup version --client

  # for a script
  kubectl etcdbackup version --client -o json

  # of another Kubernetes cluster
  kubectl etcdbackup version --context production -o yaml

RBAC: get on deployments

Exit codes: see kubectl etcdbackup --help";

/// Runs the command. An operator that cannot be asked is no failure: the plugin's version is there.
///
/// # Errors
/// As [`Ui::data`].
pub async fn run(args: Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let operator = if args.client { Ok(None) } else { operator_image(kube).await.map(Some) };
    let image = operator.as_ref().ok().cloned().flatten();
    let mut value = serde_json::json!({"clientVersion": format!("v{VERSION}")});
    if let Some(image) = &image {
        value["operatorImage"] = image.as_str().into();
    }
    match args.output {
        Some(format) => ui.document(format.text(&value)?)?,
        None => {
            ui.data(format!("Client Version: v{VERSION}"))?;
            if let Some(image) = &image {
                ui.data(format!("Operator Image: {image}"))?;
            }
        }
    }
    if let Err(error) = operator {
        ui.say(format!("operator: {}", error.message()));
    }
    Ok(())
}

async fn operator_image(kube: &KubeFlags) -> Result<String> {
    let session = Session::connect(kube).await?;
    let deployments: Api<Deployment> = Api::namespaced(session.client.clone(), &session.namespace);
    let deployment = session.request(TIMEOUT, deployments.get("etcdbackup-operator")).await?;
    let image = deployment.spec.and_then(|spec| spec.template.spec?.containers.into_iter().next()?.image);
    image.ok_or_else(|| Error::not_found("the operator's Deployment names no image"))
}
