//! What the caller may do, command by command.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::report::{Check, Report};
use super::{Checked, TIMEOUT};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

/// A resource with its group and subresource, and the verbs on it.
type Need = (&'static str, &'static str, &'static str, &'static [&'static str]);

const BACKUPS: &str = "etcd.database.coreos.com";

impl Checked {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Credentials => "credentials",
        }
    }

    /// What the command needs in its namespace.
    fn needs(self) -> &'static [Need] {
        match self {
            // get is for --wait; what only --apply needs is not asked for
            Self::Create => &[(BACKUPS, "etcdbackups", "", &["create", "get"])],
            // API servers from 1.35 on ask for create even where the tunnel is opened with a GET (KEP-4006)
            Self::Get => &[
                ("", "services", "", &["get"]),
                ("", "pods", "", &["list"]),
                ("", "pods", "portforward", &["get", "create"]),
                (BACKUPS, "etcdbackups", "", &["list"]),
                ("", "secrets", "", &["get"]),
            ],
            Self::List => &[(BACKUPS, "etcdbackups", "", &["list"])],
            Self::Credentials => {
                &[("", "secrets", "", &["create", "patch"]), ("", "configmaps", "", &["create", "patch"])]
            }
        }
    }
}

/// One check a command.
///
/// # Errors
/// As [`Report::add`].
pub async fn check(session: &Session, commands: &[Checked], report: &mut Report<'_>) -> Result<()> {
    for command in commands {
        report.add(of(session, *command).await)?;
    }
    Ok(())
}

async fn of(session: &Session, command: Checked) -> Check {
    let name = format!("permissions for {}", command.name());
    let mut missing = Vec::new();
    for &need in command.needs() {
        for &verb in need.3 {
            match is_allowed(session, need, verb).await {
                Ok(true) => {}
                Ok(false) => missing.push(format!("{verb} on {}", resource(need))),
                Err(error) => return Check::failed(name, &error),
            }
        }
    }
    if missing.is_empty() {
        return Check::ok(name, format!("all that it needs in namespace {}", session.namespace));
    }
    let sentence = format!("in namespace {} you may not {}", session.namespace, missing.join(", "));
    Check::failed(name, &Error::denied(sentence).hint("ask whoever manages roles there"))
}

fn resource((_, resource, subresource, _): Need) -> String {
    if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") }
}

async fn is_allowed(session: &Session, (group, resource, subresource, _): Need, verb: &str) -> Result<bool> {
    let attributes = ResourceAttributes {
        namespace: Some(session.namespace.clone()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
        ..Default::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let api = Api::<SelfSubjectAccessReview>::all(session.client.clone());
    let answer = session.request(TIMEOUT, api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
