//! Tests that the CRD's schema and the Rust types tell of the same fields.

use serde_json::{Value, json};

use super::EtcdBackup;
use super::etcdbackup::CRD_YAML;

fn schema() -> Value {
    let crd: Value = serde_yaml::from_str(CRD_YAML).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// An object with every field that the types know.
fn full() -> Value {
    json!({
        "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "x"},
        "spec": {
            "clusterName": "etcd-a", "etcdEndpoints": ["https://a:2379"], "kubeadm": {}, "clientTLSSecret": "tls",
            "clientAuthSecret": "auth", "storageType": "S3",
            "s3": {"s3Bucket": "b", "prefix": "p", "path": "b/k", "awsSecret": "aws", "endpoint": "https://s3",
                "forcePathStyle": true, "region": "r", "caSecret": "ca", "serverSideEncryption": "aws:kms",
                "kmsKeyID": "k", "layout": "Cluster"},
            "persistentVolume": {"claimName": "c", "volumeSizeInMB": 512, "storageClass": "s"},
            "backupPolicy": {"timeoutInSecond": 1, "backupIntervalInSecond": 1, "schedule": "s", "timeZone": "UTC",
                "maxBackups": 1, "suspend": true, "drillSchedule": "s"},
            "serviceAccountName": "sa",
            "pod": {"annotations": {"a": "b"}, "labels": {"a": "b"}, "nodeSelector": {"a": "b"},
                "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 1}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Mi"}, "claims": [{"name": "c", "request": "r"}]},
                "imagePullSecrets": [{"name": "p"}], "priorityClassName": "high",
                "env": [{"name": "A", "value": "b", "valueFrom": {
                    "configMapKeyRef": {"name": "c", "key": "k", "optional": true},
                    "secretKeyRef": {"name": "c", "key": "k", "optional": true},
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"},
                    "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1"}}}]},
            "sidecar": {"enabled": true, "anonymous": true}
        },
        "status": {
            "succeeded": true, "Reason": "r", "etcdVersion": "3.5.21", "etcdRevision": 15,
            "lastSuccessDate": "2026-01-01T00:00:00Z", "lastExecutionDate": "2026-01-01T00:00:00Z", "s3Path": "b/k",
            "volumePath": "c:/p",
            "snapshot": {"size": 1, "sha256": "s", "clusterID": "c", "member": "m"}, "layout": "Cluster",
            "history": "first", "observedGeneration": 1,
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "R", "message": "m",
                "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        }
    })
}

/// Collects what `value` has and `schema` has not.
fn unknown(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                match known {
                    Some(schema) => unknown(value, schema, &format!("{path}.{name}"), found),
                    None if path == ".metadata" => {}
                    None => found.push(format!("{path}.{name}")),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| unknown(item, &schema["items"], path, found)),
        _ => {}
    }
}

/// Collects strings and lists without a maximum length, and fields without a type.
fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
    let bound = match schema["type"].as_str() {
        Some("string") if schema.get("enum").is_none() && schema.get("format").is_none() => Some("maxLength"),
        Some("array") => Some("maxItems"),
        Some("object") if schema.get("additionalProperties").is_some() => Some("maxProperties"),
        None if schema.get("x-kubernetes-int-or-string").is_none() => Some("type"),
        _ => None,
    };
    if bound.is_some_and(|bound| schema.get(bound).is_none()) {
        found.push(path.to_owned());
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        unbounded(schema, &format!("{path}.{name}"), found);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|inner| schema.get(inner)) {
        unbounded(inner, path, found);
    }
}

#[test]
fn every_field_of_the_types_is_in_the_schema() {
    let full = full();
    let backup: EtcdBackup = serde_json::from_value(full.clone()).unwrap();
    let written = serde_json::to_value(&backup).unwrap();
    assert_eq!(written, full, "the sample must have every field, and the types must keep it");
    let mut found = Vec::new();
    unknown(&written, &schema(), "", &mut found);
    assert_eq!(found, [""; 0]);
}

#[test]
fn everything_has_a_type_and_a_maximum_length() {
    let mut found = Vec::new();
    for part in ["spec", "status"] {
        unbounded(&schema()["properties"][part], part, &mut found);
    }
    assert_eq!(found, [""; 0]);
}
