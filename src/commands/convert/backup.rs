//! An EtcdBackup of any operator: what this program's API knows of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::Converted;
use super::cluster::fill;
use super::defaults::Defaults;
use super::fields::Fields;
use crate::api::EtcdBackupSpec;
use crate::api::dialect::Served;
use crate::error::{Error, Result};

/// What kubectl remembers of an object that it applied; it would come back as a field of the new one.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Read once: a file may hold thousands of objects.
static KNOWN: LazyLock<Result<Served>> = LazyLock::new(Served::ours);

/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for storage that is neither S3 nor a volume, and for fields of
/// other types.
pub(super) fn convert(value: Value, defaults: &Defaults) -> Result<Converted> {
    let mut object = Fields::of("", value)?;
    object.text("apiVersion")?;
    object.text("kind")?;
    let mut lines = Vec::new();
    let metadata = metadata(object.child("metadata")?, &mut lines)?;
    let name = metadata.get("name").or_else(|| metadata.get("generateName")).and_then(Value::as_str);
    let from = format!("EtcdBackup {}", name.ok_or_else(|| Error::usage("EtcdBackup without a name"))?);
    let old = object.take::<Value>("spec")?.unwrap_or_default();
    let mut spec = spec(&old).map_err(|error| error.context(&from))?;
    let pruned = KNOWN.as_ref().map_err(Clone::clone)?.pruned(&old);
    lines.extend(pruned.iter().flat_map(|path| left(path)).chain(object.left()));
    if let Some(s3) = spec.s3.as_mut().filter(|_| spec.storage_type == "S3") {
        fill(s3, defaults, &mut lines);
    }
    Ok(Converted { from, metadata, spec, lines })
}

fn spec(old: &Value) -> Result<EtcdBackupSpec> {
    match old["storageType"].as_str() {
        Some("S3" | "PersistentVolume") => {}
        other => {
            let other = other.unwrap_or_default();
            return Err(Error::usage(format!("spec.storageType {other:?} is neither S3 nor PersistentVolume"))
                .hint("change it to S3, and name a place in spec.s3"));
        }
    }
    serde_json::from_value(old.clone()).map_err(|error| Error::usage(format!("spec: {error}")))
}

fn metadata(mut old: Fields, lines: &mut Vec<String>) -> Result<serde_json::Map<String, Value>> {
    let mut metadata = serde_json::Map::new();
    for name in ["name", "generateName", "namespace"] {
        if let Some(text) = old.take::<String>(name)? {
            metadata.insert(name.to_owned(), json!(text));
        }
    }
    let mut annotations: BTreeMap<String, String> = old.take("annotations")?.unwrap_or_default();
    annotations.remove(APPLIED);
    let labels: BTreeMap<String, String> = old.take("labels")?.unwrap_or_default();
    for (name, pairs) in [("annotations", annotations), ("labels", labels)] {
        if !pairs.is_empty() {
            metadata.insert(name.to_owned(), json!(pairs));
        }
    }
    lines.extend(old.left());
    Ok(metadata)
}

/// The line for a field that is given by its path.
fn left(path: &str) -> Vec<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    Fields::of(parent, json!({ name: true })).map(Fields::left).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(spec: Value) -> Result<(Value, Vec<String>)> {
        let object = json!({"apiVersion": "x", "kind": "EtcdBackup", "spec": spec, "status": {"succeeded": true},
            "metadata": {"name": "nightly", "uid": "u", "annotations": {APPLIED: "{}", "a": "b"}}});
        let found = convert(object, &Defaults::default())?;
        assert_eq!(found.metadata["annotations"], json!({"a": "b"}));
        Ok((serde_json::to_value(found.spec).unwrap(), found.lines))
    }

    #[test]
    fn a_forks_object_keeps_what_is_known_and_tells_the_rest() {
        let (spec, lines) = converted(json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3",
            "allowSelfSignedCertificates": true, "backupPolicy": {"timeoutInSecond": 60, "TimeoutInSecond": 1},
            "s3": {"path": "b/k", "awsSecret": "aws", "forcePathStyle": true}}))
        .unwrap();
        let want = json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3",
            "backupPolicy": {"timeoutInSecond": 60}, "s3": {"path": "b/k", "awsSecret": "aws", "forcePathStyle": true}});
        assert_eq!(spec, want);
        let told: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").nth(1)).collect();
        let expected =
            ["metadata.uid", "spec.allowSelfSignedCertificates", "spec.backupPolicy.TimeoutInSecond", "status"];
        assert_eq!(told, expected);
    }

    #[test]
    fn other_storage_and_wrong_types_are_refused() {
        for (spec, field) in [
            (json!({"storageType": "ABS", "abs": {"path": "c/k"}}), "spec.storageType \"ABS\""),
            (json!({}), "spec.storageType \"\""),
            (json!({"storageType": "S3", "etcdEndpoints": "http://e:2379"}), "EtcdBackup nightly: spec: invalid type"),
        ] {
            let error = converted(spec).unwrap_err();
            assert!(error.message().contains(field), "{error}");
        }
    }
}
