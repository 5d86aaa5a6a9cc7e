//! Which of the released forms of EtcdBackup an API server keeps: read from the schema of its CRD.
//!
//! Under one group and version there are etcd-operator's schema-less CRD (up to v0.9.4, both forms),
//! structural ones of forks (`etcdEndpoints` and `s3.path`; required booleans), and ours (a superset).
//! What a structural schema lacks is pruned, and a backup without its source never runs.

use serde_json::{Map, Value};

use super::etcdbackup::CRD_YAML;
use crate::error::{Error, Result};

/// The name of the CustomResourceDefinition.
pub const CRD_NAME: &str = "etcdbackups.etcd.database.coreos.com";

const GROUP: &str = "etcd.database.coreos.com";
const VERSION: &str = "v1beta2";
const KEEPS_ALL: &str = "x-kubernetes-preserve-unknown-fields";

/// What an API server keeps of `spec`.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// The schema of `spec`; `None` where everything is kept.
    spec: Option<Value>,
}

impl Served {
    /// What our own CRD keeps.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when the built-in CRD cannot be read.
    pub fn ours() -> Result<Self> {
        let crd = serde_yaml::from_str::<Value>(CRD_YAML);
        let crd = crd.map_err(|error| Error::general(format!("the built-in CRD is unusable: {error}")))?;
        Self::of_crd(&crd).ok_or_else(|| Error::general("the built-in CRD lacks its version"))
    }

    /// Reads a CustomResourceDefinition of `apiextensions.k8s.io/v1`; `None` when it does not serve the version.
    pub fn of_crd(crd: &Value) -> Option<Self> {
        Self::of_version(crd, VERSION)
    }

    /// The same for a version of any other CRD.
    pub fn of_version(crd: &Value, version: &str) -> Option<Self> {
        let versions = crd["spec"]["versions"].as_array()?;
        let version = versions.iter().find(|found| found["name"] == version && found["served"] == true)?;
        if crd["spec"]["preserveUnknownFields"] == true {
            return Some(Self { spec: None });
        }
        Some(Self::of_schema(&version["schema"]["openAPIV3Schema"]))
    }

    /// Reads the API server's OpenAPI v3 document of the group and version; `None` when the kind is not in it.
    ///
    /// Source: kubernetes/kubernetes, staging/src/k8s.io/apiextensions-apiserver, pkg/controller/openapi/builder.
    pub fn of_openapi(document: &Value) -> Option<Self> {
        Self::of_kind(document, (GROUP, VERSION, "EtcdBackup"))
    }

    /// The same for any other group, version and kind.
    pub fn of_kind(document: &Value, (group, version, name): (&str, &str, &str)) -> Option<Self> {
        let is_it = |kind: &Value| kind["group"] == group && kind["version"] == version && kind["kind"] == name;
        let kinds = |schema: &Value| schema["x-kubernetes-group-version-kind"].as_array().cloned().unwrap_or_default();
        let schemas = document["components"]["schemas"].as_object()?;
        schemas.values().find(|schema| kinds(schema).iter().any(is_it)).map(Self::of_schema)
    }

    fn of_schema(schema: &Value) -> Self {
        let spec = schema["properties"].get("spec");
        let keeps_all = schema[KEEPS_ALL] == true && spec.is_none();
        Self { spec: spec.filter(|_| !keeps_all).cloned().or_else(|| (!keeps_all).then(|| Value::Object(Map::new()))) }
    }

    /// For a kind whose schema cannot be read: whatever is written is taken to be kept.
    pub fn unread() -> Self {
        Self { spec: None }
    }

    /// Whether fields are kept only if they are known.
    pub fn has_schema(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec[KEEPS_ALL] != true || spec.get("properties").is_some())
    }

    /// Whether a field below `spec`, such as `s3.path`, is kept.
    pub fn keeps(&self, path: &str) -> bool {
        let Some(spec) = &self.spec else { return true };
        let mut schema = spec;
        for name in path.split('.') {
            match child(schema, name) {
                Child::Known(next) => schema = next,
                Child::Kept => return true,
                Child::Pruned => return false,
            }
        }
        true
    }

    /// What it knows of the two forms, in words that follow "the CRD".
    pub fn describe(&self) -> &'static str {
        match (self.has_schema(), self.keeps("clusterName"), self.keeps("etcdEndpoints")) {
            (false, ..) => "has no schema and keeps every field",
            (true, true, true) => "knows clusterName and etcdEndpoints",
            (true, true, false) => "knows clusterName but not etcdEndpoints",
            (true, false, true) => "knows etcdEndpoints but not clusterName",
            (true, false, false) => "knows neither clusterName nor etcdEndpoints",
        }
    }

    /// Adds `false` for booleans that the schema requires and `spec` leaves out, as ours does for "no".
    pub fn complete(&self, spec: &mut Value) {
        if let Some(schema) = &self.spec {
            complete(spec, schema);
        }
    }

    /// The fields of `spec` that would be pruned, as paths that begin with `spec`.
    pub fn pruned(&self, spec: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(schema) = &self.spec {
            pruned(spec, schema, "spec", &mut found);
        }
        found
    }
}

enum Child<'a> {
    Known(&'a Value),
    Kept,
    Pruned,
}

/// What becomes of a field of an object.
fn child<'a>(schema: &'a Value, name: &str) -> Child<'a> {
    let extra = &schema["additionalProperties"];
    match schema["properties"].get(name) {
        Some(known) => Child::Known(known),
        None if extra.is_object() => Child::Known(extra),
        None if schema[KEEPS_ALL] == true || *extra == true => Child::Kept,
        None => Child::Pruned,
    }
}

fn complete(value: &mut Value, schema: &Value) {
    let Some(fields) = value.as_object_mut() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if schema["properties"][name]["type"] == "boolean" {
            fields.entry(name).or_insert(Value::Bool(false));
        }
    }
    for (name, value) in fields {
        complete(value, &schema["properties"][name.as_str()]);
    }
}

fn pruned(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match child(schema, name) {
                    Child::Known(schema) => pruned(value, schema, &path, found),
                    Child::Kept => {}
                    Child::Pruned => found.push(path),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| pruned(item, &schema["items"], path, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A CRD of the name with this schema of `spec`.
    fn crd(root: Value) -> Value {
        json!({"spec": {"versions": [
            {"name": "v1alpha1", "served": true, "schema": {"openAPIV3Schema": {"type": "object"}}},
            {"name": "v1beta2", "served": true, "schema": {"openAPIV3Schema": root}}
        ]}})
    }

    /// The living fork's fields, in short (on2itsecurity/etcd-operator, example/crd).
    fn fork() -> Value {
        let text = json!({"type": "string"});
        json!({"type": "object", "properties": {"metadata": {"type": "object"}, "spec": {
            "type": "object", "required": ["allowSelfSignedCertificates", "storageType"],
            "properties": {
                "etcdEndpoints": {"type": "array", "items": text}, "storageType": text, "clientTLSSecret": text,
                "allowSelfSignedCertificates": {"type": "boolean"},
                "s3": {"type": "object", "required": ["awsSecret", "forcePathStyle", "path"], "properties": {
                    "path": text, "awsSecret": text, "endpoint": text, "forcePathStyle": {"type": "boolean"}}}
            }
        }}})
    }

    #[test]
    fn our_own_crd_keeps_both_forms() {
        let ours = Served::ours().unwrap();
        assert!(ours.has_schema() && ours.keeps("clusterName") && ours.keeps("s3.path") && ours.keeps("s3.s3Bucket"));
        assert!(ours.keeps("pod.labels.anything") && !ours.keeps("allowSelfSignedCertificates"));
        assert_eq!(ours.describe(), "knows clusterName and etcdEndpoints");
    }

    #[test]
    fn a_fork_keeps_endpoints_and_path_and_wants_its_booleans() {
        let served = Served::of_crd(&crd(fork())).unwrap();
        assert_eq!(served.describe(), "knows etcdEndpoints but not clusterName");
        let mut spec = json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3", "s3": {"path": "b/k"}});
        served.complete(&mut spec);
        assert_eq!(spec["allowSelfSignedCertificates"], false);
        assert_eq!(
            spec["s3"],
            json!({"path": "b/k", "forcePathStyle": false}),
            "a required string is the user's to give"
        );
        assert_eq!(served.pruned(&spec), [""; 0]);
        let spec = json!({"clusterName": "a", "s3": {"s3Bucket": "b", "path": "b/k"}});
        assert_eq!(served.pruned(&spec), ["spec.clusterName", "spec.s3.s3Bucket"]);
    }

    #[test]
    fn what_was_given_is_not_completed_over() {
        let served = Served::of_crd(&crd(fork())).unwrap();
        let mut spec = json!({"s3": {"forcePathStyle": true}});
        served.complete(&mut spec);
        assert_eq!(spec["s3"]["forcePathStyle"], true);
    }

    #[test]
    fn a_crd_without_a_schema_keeps_everything() {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let mut legacy = crd(fork());
        legacy["spec"]["preserveUnknownFields"] = json!(true);
        for crd in [crd(open.clone()), crd(json!({"type": "object", "properties": {"spec": open}})), legacy] {
            let served = Served::of_crd(&crd).unwrap();
            assert!(!served.has_schema() && served.keeps("clusterName") && served.keeps("s3.path"), "{crd}");
            assert_eq!(served.pruned(&json!({"a": {"b": 1}})), [""; 0]);
        }
    }

    #[test]
    fn a_schema_that_says_nothing_of_spec_prunes_all_of_it() {
        let served = Served::of_crd(&crd(json!({"type": "object"}))).unwrap();
        assert_eq!(served.pruned(&json!({"clusterName": "a"})), ["spec.clusterName"]);
        assert_eq!(served.describe(), "knows neither clusterName nor etcdEndpoints");
    }

    #[test]
    fn another_version_is_no_answer() {
        let mut crd = crd(fork());
        crd["spec"]["versions"][1]["served"] = json!(false);
        assert_eq!(Served::of_crd(&crd), None);
        assert_eq!(Served::of_crd(&json!({})), None);
    }

    #[test]
    fn openapi_tells_the_same() {
        let mut schema = fork();
        let kind = json!({"group": "etcd.database.coreos.com", "version": "v1beta2", "kind": "EtcdBackup"});
        schema["x-kubernetes-group-version-kind"] = json!([kind]);
        let document = json!({"components": {"schemas": {"other": {"type": "object"}, "x": schema}}});
        assert_eq!(Served::of_openapi(&document), Served::of_crd(&crd(fork())));
        assert_eq!(Served::of_openapi(&json!({"components": {"schemas": {}}})), None);
    }
}
