//! What an operator takes for EtcdBackups that name no bucket or no Secret: the flags of its Deployment.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};

use crate::api::EtcdBackup;
use crate::cli::Ui;
use crate::commands::install::manifests::OPERATOR;
use crate::error::{ErrorKind, Result};
use crate::kubernetes::Session;

const TIMEOUT: Duration = Duration::from_secs(15);

/// The three flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::commands) struct OperatorWide {
    pub bucket: Option<String>,
    pub secret: Option<String>,
    pub config_map: Option<String>,
}

/// The operator that works on the EtcdBackups of a namespace.
#[derive(Debug)]
pub(in crate::commands) enum Operator {
    /// The one in the namespace, else the cluster-wide one.
    Found(Box<Deployment>),
    Absent,
    /// It cannot be told which one, and why.
    Unknown(String),
}

/// Looks in the session's namespace, and then for a cluster-wide operator.
///
/// # Errors
/// The API server's, but for missing permissions.
pub(in crate::commands) async fn operator(session: &Session) -> Result<Operator> {
    let namespace = &session.namespace;
    let here = Api::<Deployment>::namespaced(session.client.clone(), namespace);
    match session.request(TIMEOUT, here.get_opt(OPERATOR)).await {
        Ok(Some(found)) => return Ok(Operator::Found(Box::new(found))),
        Ok(None) => {}
        Err(error) if error.kind() == ErrorKind::Denied => {
            return Ok(Operator::Unknown(format!("you may not get deployments in {namespace}")));
        }
        Err(error) => return Err(error),
    }
    let all = Api::<Deployment>::all(session.client.clone());
    let params = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
    match session.request(TIMEOUT, all.list(&params)).await {
        Ok(list) => Ok(only(list.items.into_iter().filter(is_cluster_wide).collect())),
        Err(_) => {
            Ok(Operator::Unknown(format!("none in namespace {namespace}; you may not look for a cluster-wide one")))
        }
    }
}

/// A label is no proof: where several Deployments say that they are it, none is believed.
fn only(mut found: Vec<Deployment>) -> Operator {
    match (found.pop(), found.len()) {
        (None, _) => Operator::Absent,
        (Some(one), 0) => Operator::Found(Box::new(one)),
        (Some(_), others) => Operator::Unknown(format!("there are {} cluster-wide ones", others + 1)),
    }
}

fn args(deployment: &Deployment) -> Vec<String> {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.containers.first()?.args.clone()).unwrap_or_default()
}

/// Whether it works on all namespaces.
pub(in crate::commands) fn is_cluster_wide(deployment: &Deployment) -> bool {
    args(deployment).iter().any(|word| word == "--cluster-wide")
}

/// Whether an object leaves its bucket, or where `keys` matter its Secret, to the operator.
pub(in crate::commands) fn leaves_out(backup: &EtcdBackup, keys: bool) -> bool {
    let stored = backup.status.as_ref().is_some_and(|status| status.s3_path.contains('/'));
    backup.spec.s3.as_ref().is_some_and(|s3| {
        let named = !s3.s3_bucket.is_empty() || s3.path.contains('/') || stored;
        !named || keys && s3.aws_secret.is_empty()
    })
}

impl OperatorWide {
    /// What the flags of an operator say.
    pub fn of(deployment: &Deployment) -> Self {
        let words = args(deployment);
        let value = |flag: &str| {
            let at = words.iter().position(|word| word.split('=').next() == Some(flag))?;
            let value = words[at].split_once('=').map(|(_, value)| value).or(words.get(at + 1).map(String::as_str))?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        Self {
            bucket: value("--backup-s3-bucket"),
            secret: value("--backup-aws-secret"),
            config_map: value("--backup-aws-config"),
        }
    }

    /// As far as the person may see; why it is not known is said.
    pub async fn seen(session: &Session, ui: &Ui) -> Self {
        let why = match operator(session).await {
            Ok(Operator::Found(found)) => return Self::of(&found),
            Ok(Operator::Absent) => return Self::default(),
            Ok(Operator::Unknown(why)) => why,
            Err(error) => error.message().to_owned(),
        };
        ui.say(format!("s3: what the operator takes where an EtcdBackup names nothing is not known: {why}"));
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(words: &[&str]) -> Deployment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": OPERATOR},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "operator", "args": words}]}}}
        }))
        .unwrap()
    }

    #[test]
    fn what_objects_leave_out_stands_in_the_operators_flags() {
        let found = |words: &[&str]| {
            let wide = OperatorWide::of(&deployment(words));
            [wide.bucket, wide.secret, wide.config_map].map(Option::unwrap_or_default)
        };
        assert_eq!(found(&["operator", "--cluster-wide"]), ["", "", ""]);
        let all = ["operator", "--backup-aws-secret=s", "--backup-s3-bucket", "b", "--backup-aws-config=c"];
        assert_eq!(found(&all), ["b", "s", "c"]);
        assert_eq!(found(&["--backup-s3-bucket"]), ["", "", ""]);
    }

    #[test]
    fn the_operator_is_asked_for_what_is_left_out_and_for_nothing_else() {
        let asked = |s3: serde_json::Value, s3_path: &str, keys: bool| {
            let backup = serde_json::json!({
                "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "x"},
                "spec": {"storageType": "S3", "s3": s3}, "status": {"s3Path": s3_path}
            });
            leaves_out(&serde_json::from_value(backup).unwrap(), keys)
        };
        let whole = serde_json::json!({"s3Bucket": "b", "awsSecret": "s"});
        assert!(!asked(whole, "", true));
        assert!(asked(serde_json::json!({"awsSecret": "s"}), "", false));
        assert!(!asked(serde_json::json!({"awsSecret": "s"}), "b/k", true));
        assert!(asked(serde_json::json!({"path": "b/k"}), "", true));
        assert!(!asked(serde_json::json!({"path": "b/k"}), "", false));
    }

    #[test]
    fn of_several_that_say_they_are_the_operator_none_is_believed() {
        let one = || deployment(&["operator", "--cluster-wide"]);
        assert!(matches!(only(vec![]), Operator::Absent));
        assert!(matches!(only(vec![one()]), Operator::Found(_)));
        assert!(matches!(only(vec![one(), one()]), Operator::Unknown(why) if why == "there are 2 cluster-wide ones"));
    }
}
