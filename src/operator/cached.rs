//! An EtcdBackup as the operator keeps it in memory: there may be thousands.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use serde::{Deserialize, Deserializer};

use crate::api::EtcdBackup;

/// What kubectl's client-side apply leaves on an object: the whole of it once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object, or why it cannot be read, without what nobody here reads and what takes most of the memory.
#[derive(Debug, Clone)]
pub struct Cached(pub Result<EtcdBackup, InvalidObject>);

impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let DeserializeGuard(object) = DeserializeGuard::<EtcdBackup>::deserialize(deserializer)?;
        let mut cached = Self(object);
        let meta = cached.meta_mut();
        meta.managed_fields = None;
        if let Some(annotations) = &mut meta.annotations {
            annotations.remove(LAST_APPLIED);
        }
        Ok(cached)
    }
}

impl Resource for Cached {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        EtcdBackup::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        EtcdBackup::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        EtcdBackup::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        EtcdBackup::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, EtcdBackup::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(backup) => backup.meta_mut(),
            Err(invalid) => &mut invalid.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_still_has_its_name_and_nothing_superfluous_stays() {
        let read = |spec: serde_json::Value| -> Cached {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup",
                "metadata": {"name": "x", "annotations": {LAST_APPLIED: "{}", "own": "stays"},
                    "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
                "spec": spec
            }))
            .unwrap()
        };
        for (spec, readable) in [(serde_json::json!({"storageType": "S3"}), true), (serde_json::json!({}), false)] {
            let cached = read(spec);
            assert_eq!(cached.0.is_ok(), readable);
            let meta = cached.meta();
            assert_eq!((meta.name.as_deref(), meta.managed_fields.is_none()), (Some("x"), true));
            assert_eq!(meta.annotations.as_ref().unwrap().keys().collect::<Vec<_>>(), ["own"]);
        }
    }
}
