//! `convert`: backup policies of etcd-operator, and the released forms of EtcdBackup, to EtcdBackups of this program.

mod backup;
mod cluster;
mod defaults;
mod documents;
mod fields;
mod form;

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use serde_json::Value;

use crate::api::EtcdBackupSpec;
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::cli::ui::one_line;
use crate::cli::{KubeFlags, OutputFormat, Ui, output};
use crate::error::{Error, Result};
use crate::operator;
use defaults::Defaults;
use documents::Document;

/// Convert old backup policies to EtcdBackups
///
/// Reads Clusters (etcd.coreos.com/v1beta1) and EtcdClusters with spec.backup, and
/// EtcdBackups of either released form. Prints EtcdBackups, and on stderr every
/// field that has no place in them. Contacts nobody.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Manifest in YAML or JSON, of one or more objects or Lists; - for stdin
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How the objects are to name the etcd and the place; auto leaves it as it is
    #[arg(long, value_name = "FORM", value_enum, default_value = "auto")]
    api: Form,
    /// Flags that etcd-operator ran with: what they say fills what objects left out
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    operator_flags: Option<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: OutputFormat,
}

const EXAMPLES: &str = "\
Examples:
  # what would come of a Cluster or an EtcdCluster with spec.backup
  kubectl etcdbackup convert -f cluster.yaml

  # what etcd-operator knew from its own flags
  kubectl etcdbackup convert -f cluster.yaml --operator-flags \\
    \"--backup-aws-secret aws --backup-aws-config aws --backup-s3-bucket b1\"

  # all that a cluster still has, applied
  kubectl get etcdclusters -o yaml | kubectl etcdbackup convert -f - \\
    | kubectl apply -f -

  # spec.etcdEndpoints and s3.path, as etcd-operator v0.8 and later read them
  kubectl etcdbackup convert -f backup.yaml --api endpoints

  # spec.clusterName, s3.s3Bucket and s3.prefix, as before v0.8
  kubectl etcdbackup convert -f backup.yaml --api cluster -o json

RBAC: none; nothing is contacted

Exit codes: see kubectl etcdbackup --help";

/// The two released forms of an EtcdBackup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As it is; clusterName for a Cluster or an EtcdCluster
    Auto,
    /// spec.clusterName (etcd-operator v0.6.1 to v0.7.2, and this program)
    Cluster,
    /// spec.etcdEndpoints and s3.path (etcd-operator v0.8.0 to v0.9.4, and this program)
    Endpoints,
}

/// An EtcdBackup, and what could not be said in it.
struct Converted {
    /// What it was, such as `Cluster etcd-a`.
    from: String,
    metadata: serde_json::Map<String, Value>,
    spec: EtcdBackupSpec,
    /// One line each.
    lines: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what is no such object, with its kind and the number of
/// its document; [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when no object has a backup policy.
pub fn run(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let defaults = args.operator_flags.as_deref().map(Defaults::parse).transpose()?.unwrap_or_default();
    let (mut objects, mut names) = (Vec::new(), Vec::new());
    for document in documents::read(&args.file)? {
        let at = document.at.clone();
        let Some(converted) = convert(document, &defaults, args.api, kube)? else {
            ui.say(format!("{at}: no spec.backup, so no EtcdBackup"));
            continue;
        };
        let object = converted.object()?;
        let name = object["metadata"]["name"].as_str().or(object["metadata"]["generateName"].as_str());
        let name = name.unwrap_or_default().to_owned();
        ui.say(format!("{at}: {} to EtcdBackup {name}", converted.from));
        converted.lines.iter().for_each(|line| ui.say(line));
        if let Some(what) = operator::unsupported(&converted.spec) {
            ui.warn(format!("the operator of this version does not run it yet: it does not know {what}"));
        }
        names.push(format!("etcdbackup.etcd.database.coreos.com/{}", one_line(&name)));
        objects.push(object);
    }
    if objects.is_empty() {
        return Err(Error::not_found(format!("no object of {} has a backup policy", args.file.display()))
            .hint("kubectl etcdbackup create makes an EtcdBackup without one"));
    }
    defaults.not_converted().into_iter().for_each(|line| ui.say(line));
    defaults.install(kube.namespace.as_deref()).into_iter().for_each(|hint| ui.hint(hint));
    ui.document(output::objects(&objects, &names, args.output)?)
}

/// `None` for an object that may have a backup policy and has none.
fn convert(document: Document, defaults: &Defaults, form: Form, kube: &KubeFlags) -> Result<Option<Converted>> {
    let Document { at, value } = document;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let converted = match (version.as_str(), kind.as_str()) {
        ("etcd.coreos.com/v1beta1", "Cluster") | ("etcd.database.coreos.com/v1beta2", "EtcdCluster") => {
            cluster::convert(value, &kind, defaults)
        }
        ("etcd.database.coreos.com/v1beta2", "EtcdBackup") => backup::convert(value, defaults).map(Some),
        _ => Err(stranger(&version, &kind, &value)),
    };
    let in_form = |mut converted: Converted| {
        let namespace = kube.namespace.as_ref().map(|name| Value::from(name.as_str()));
        if let Some(namespace) = namespace.filter(|_| !converted.metadata.contains_key("namespace")) {
            converted.metadata.insert("namespace".to_owned(), namespace);
        }
        form::write(converted, form)
    };
    converted.and_then(|found| found.map(in_form).transpose()).map_err(|error| error.context(at))
}

fn stranger(version: &str, kind: &str, value: &Value) -> Error {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let what = match (kind, version) {
        ("", _) => "an object without a kind".to_owned(),
        (kind, "") => format!("{kind} {name:?} without an apiVersion"),
        (kind, version) => format!("{kind} {name:?} of {version}"),
    };
    Error::usage(format!("{what} is none that can be converted"))
        .hint("Cluster of etcd.coreos.com/v1beta1; EtcdCluster and EtcdBackup of etcd.database.coreos.com/v1beta2")
}

impl Converted {
    fn object(&self) -> Result<Value> {
        let mut object = serde_json::json!({"apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup"});
        object["metadata"] = Value::Object(self.metadata.clone());
        object["spec"] = output::to_value(&self.spec)?;
        Ok(object)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Value::as_str)
    }

    /// The etcd cluster, as [`names::cluster_of`](crate::api::names::cluster_of) reads it.
    fn cluster(&self) -> &str {
        let label = || self.metadata.get("labels").and_then(|labels| labels[CLUSTER_LABEL].as_str());
        let named = Some(self.spec.cluster_name.as_str()).filter(|name| !name.is_empty());
        named.or_else(label).or_else(|| self.text("name")).unwrap_or_default()
    }
}
