//! The CRD that is there already, and whether ours may take its place.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use serde_json::Value;

use super::{TIMEOUT, manifests};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

/// Refuses to replace a CRD that somebody else installed, or one with fields that ours has not: the dialects of this
/// CRD exclude each other, and the API server drops what a schema does not name.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) for such a CRD; the API server's.
pub(super) async fn may_be_replaced(session: &Session) -> Result<()> {
    let crds = Api::<CustomResourceDefinition>::all(session.client.clone());
    let Some(found) = session.request(TIMEOUT, crds.get_opt(manifests::CRD)).await? else { return Ok(()) };
    let refused = if manifests::is_ours(&found.metadata) {
        let unreadable = |error| Error::general(format!("customresourcedefinition {:?}: {error}", manifests::CRD));
        let served = serde_json::to_value(&found).map_err(unreadable)?;
        let fields = unknown_fields(&served, &manifests::Manifest::crd()?.value()?);
        if fields.is_empty() {
            return Ok(());
        }
        let sentence = format!("customresourcedefinition {:?} is of a newer version of this program", manifests::CRD);
        Error::general(format!("{sentence}: this one does not know {}", fields.join(", ")))
            .hint("install with the newer one: the API server would drop these fields from all objects")
    } else {
        Error::general(format!(
            "customresourcedefinition {:?} exists and was not installed by this program",
            manifests::CRD
        ))
        .hint("another operator may need it as it is: kubectl get crd etcdbackups.etcd.database.coreos.com -o yaml")
    };
    Err(refused.hint("add --force to replace it"))
}

/// The fields that `served` has and `ours` has not, such as `status.volumePath`; a version that ours has not counts as
/// one.
fn unknown_fields(served: &Value, ours: &Value) -> Vec<String> {
    let versions = |crd: &Value| crd["spec"]["versions"].as_array().cloned().unwrap_or_default();
    let (own, mut found) = (versions(ours), Vec::new());
    for version in versions(served) {
        match own.iter().find(|own| own["name"] == version["name"]) {
            None => found.push(version["name"].as_str().unwrap_or_default().to_owned()),
            Some(own) => {
                let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
                compare(&schema(&version), &schema(own), "", &mut found);
            }
        }
    }
    found
}

fn compare(served: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    for (name, schema) in served["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match ours["properties"].get(name) {
            Some(own) => compare(schema, own, &path, found),
            None => found.push(path),
        }
    }
    if served["items"].is_object() {
        compare(&served["items"], &ours["items"], path, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_newer_crd_is_known_by_its_fields_and_an_older_one_is_none() {
        let ours = manifests::Manifest::crd().unwrap().value().unwrap();
        assert_eq!(unknown_fields(&ours, &ours), Vec::<String>::new());
        let mut newer = ours.clone();
        let schema = &mut newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        schema["spec"]["properties"]["s3"]["properties"]["tier"] = json!({"type": "string"});
        schema["status"]["properties"]["conditions"]["items"]["properties"]["since"] = json!({"type": "string"});
        assert_eq!(unknown_fields(&newer, &ours), ["spec.s3.tier", "status.conditions.since"]);
        assert_eq!(unknown_fields(&ours, &newer), Vec::<String>::new());
        newer["spec"]["versions"].as_array_mut().unwrap().push(json!({"name": "v1"}));
        assert_eq!(unknown_fields(&newer, &ours).last().unwrap(), "v1");
    }
}
