//! Writes the status of an EtcdBackup, also where the served CRD is not the one of this version.

use std::sync::Once;

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::TIMEOUT;
use super::requests::{OPERATOR, reread};
use crate::api::{EtcdBackup, EtcdBackupStatus};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

const REPLACE: &str = "kubectl etcdbackup install brings the CRD of this version";

/// What the API server made of a status.
enum Answer {
    Written(Box<EtcdBackup>),
    /// The object has changed since it was read.
    Overtaken,
    /// The object is gone, or its CRD has no status.
    NotFound,
    /// The CRD knows nothing of these fields of the status.
    Undeclared(Vec<String>),
}

/// Writes the status of `backup`, which comes back as it is then. `None`: the object has changed since it was
/// read, so what was decided may be wrong.
///
/// Fields that an older CRD does not know are left out: its other fields still tell what there is to tell.
///
/// # Errors
/// Those of the API server, and a CRD without a status.
pub async fn write_status(
    session: &Session,
    backup: &EtcdBackup,
    status: &EtcdBackupStatus,
) -> Result<Option<EtcdBackup>> {
    let mut body = serde_json::json!({
        "apiVersion": EtcdBackup::api_version(&()),
        "kind": EtcdBackup::kind(&()),
        "metadata": {"name": backup.name_any(), "resourceVersion": backup.resource_version()},
        "status": status,
    });
    let mut answer = send(session, backup, &body).await?;
    if let Answer::Undeclared(fields) = &answer {
        leave_out(&mut body, fields);
        answer = send(session, backup, &body).await?;
    }
    match answer {
        Answer::Written(backup) => Ok(Some(*backup)),
        Answer::Overtaken => Ok(None),
        Answer::NotFound => match reread(session, backup).await? {
            None => Ok(None),
            Some(_) => Err(Error::general("the CRD that is served has no status subresource").hint(REPLACE)),
        },
        Answer::Undeclared(fields) => {
            Err(Error::general(format!("the CRD that is served lacks status.{}", fields.join(", status.")))
                .hint(REPLACE))
        }
    }
}

async fn send(session: &Session, backup: &EtcdBackup, body: &Value) -> Result<Answer> {
    let api = Api::<EtcdBackup>::namespaced(session.client.clone(), &backup.namespace().unwrap_or_default());
    let params = PatchParams::apply(OPERATOR).force();
    session
        .request(TIMEOUT, async {
            match api.patch_status(&backup.name_any(), &params, &Patch::Apply(body)).await {
                Ok(backup) => Ok(Answer::Written(Box::new(backup))),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Answer::NotFound),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(Answer::Overtaken),
                Err(kube::Error::Api(status)) if !undeclared(&status.message).is_empty() => {
                    Ok(Answer::Undeclared(undeclared(&status.message)))
                }
                Err(error) => Err(error),
            }
        })
        .await
}

/// The fields of the status in a refusal (sigs.k8s.io/structured-merge-diff v4, typed/validate.go: one line each).
fn undeclared(message: &str) -> Vec<String> {
    let before = message.rsplit(": field not declared in schema").skip(1);
    let paths = before.filter_map(|text| text.rsplit([' ', '\n']).next()?.strip_prefix(".status."));
    let fields = paths.map(|path| path.split(['.', '[']).next().unwrap_or(path).to_owned());
    fields.filter(|field| field != "conditions").collect()
}

/// Removes the fields, and says so once: the next write would fail for the same reason.
fn leave_out(body: &mut Value, fields: &[String]) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!(?fields, hint = REPLACE, "the CRD that is served lacks fields of the status"));
    if let Some(status) = body["status"].as_object_mut() {
        status.retain(|name, _| !fields.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_a_crd_lacks_are_read_from_the_refusal() {
        let one = "failed to create typed patch object (db/a; etcd.database.coreos.com/v1beta2, Kind=EtcdBackup): \
                   .status.cluster: field not declared in schema";
        assert_eq!(undeclared(one), ["cluster"]);
        let two = "failed: errors:\n  .status.snapshot.size: field not declared in schema\n  \
                   .status.cluster: field not declared in schema";
        let mut found = undeclared(two);
        found.sort_unstable();
        assert_eq!(found, ["cluster", "snapshot"]);
        for other in ["", "x: field not declared in schema", ".spec.a: field not declared in schema", "a .status.b: no"]
        {
            assert_eq!(undeclared(other), [""; 0], "{other}");
        }
    }
}
