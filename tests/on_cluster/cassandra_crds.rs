//! The APIs of Cassandra operators, served by a real API server: schemas from the fields that each operator's types
//! have, and a controller that the test plays.

use serde_json::{Value, json};

use crate::apiserver::Turn;
use crate::cluster::eventually;

/// A kind of an operator.
pub struct Kind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    /// Fields of the object beside `metadata`; `None` for a CRD of the time before schemas.
    schema: Option<Value>,
    /// Whether the status is a resource of its own.
    subresource: bool,
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn object(fields: Value) -> Value {
    json!({"type": "object", "properties": fields})
}

/// A list of variables as Kubernetes has it.
fn variables() -> Value {
    let reference = object(json!({"name": text(), "key": text()}));
    let source = object(json!({"secretKeyRef": reference}));
    json!({"type": "array", "items": object(json!({"name": text(), "value": text(), "valueFrom": source}))})
}

/// instaclustr/cassandra-operator at f615f67: the plurals have dashes.
pub fn java() -> Vec<Kind> {
    let (group, version) = ("stable.instaclustr.com", "v1");
    let selector = object(json!({"matchLabels": {"type": "object", "additionalProperties": text()}}));
    let spec = object(json!({"selector": selector, "backupType": text(), "target": text()}));
    let backup = json!({"spec": spec, "status": object(json!({"progress": text()}))});
    let files = json!({"type": "array", "items": object(json!({"key": text(), "path": text()}))});
    let user = object(json!({"secretName": text(), "items": files}));
    let fields = json!({"replicas": {"type": "integer"}, "env": variables(), "restoreFromBackup": text(), "userSecretVolumeSource": user});
    let datacenter = json!({"spec": object(fields)});
    vec![
        Kind {
            group,
            version,
            kind: "CassandraBackup",
            plural: "cassandra-backups",
            schema: Some(backup),
            subresource: false,
        },
        Kind {
            group,
            version,
            kind: "CassandraDataCenter",
            plural: "cassandra-datacenters",
            schema: Some(datacenter),
            subresource: false,
        },
    ]
}

/// strapdata/elassandra-operator: `backup` is what a task takes.
fn elassandra_with(backup: Option<Value>) -> Vec<Kind> {
    let (group, version) = ("stable.strapdata.com", "v1");
    let pods = json!({"type": "object", "additionalProperties": text()});
    let status = object(json!({"phase": text(), "lastMessage": text(), "pods": pods}));
    let task = |backup| json!({"spec": object(json!({"cluster": text(), "datacenter": text(), "backup": object(backup)})), "status": status});
    let fields =
        json!({"clusterName": text(), "datacenterName": text(), "env": variables(), "restoreFromBackup": text()});
    let datacenter = backup.is_some().then(|| json!({"spec": object(fields)}));
    let task = backup.map(task);
    vec![
        Kind { group, version, kind: "ElassandraTask", plural: "elassandratasks", schema: task, subresource: true },
        Kind {
            group,
            version,
            kind: "ElassandraDataCenter",
            plural: "elassandradatacenters",
            schema: datacenter,
            subresource: true,
        },
    ]
}

/// At cccbc770, that of the environment block.
pub fn elassandra() -> Vec<Kind> {
    elassandra_with(Some(json!({"type": text(), "target": text()})))
}

/// From 8232c3b2 on.
pub fn elassandra_secrets() -> Vec<Kind> {
    elassandra_with(Some(
        json!({"provider": text(), "bucket": text(), "secretRef": text(), "keyspaces": texts(), "keyspaceRegex": text()}),
    ))
}

/// As it installed itself: without a schema, either of the two.
pub fn elassandra_without_schema() -> Vec<Kind> {
    elassandra_with(None)
}

/// instaclustr/cassandra-operator at its end.
pub fn go() -> Vec<Kind> {
    let (group, version) = ("cassandraoperator.instaclustr.com", "v1alpha1");
    let (truth, number) = (json!({"type": "boolean"}), json!({"type": "integer"}));
    let mut spec = object(json!({
        "cdc": text(), "cluster": text(), "datacenter": text(), "storageLocation": text(), "snapshotTag": text(),
        "secret": text(), "entities": text(), "globalRequest": truth, "concurrentConnections": number
    }));
    spec["required"] = json!(["cdc", "cluster", "datacenter", "snapshotTag", "storageLocation"]);
    let node = object(json!({"node": text(), "state": text(), "progress": text()}));
    let backup = json!({"spec": spec, "justCreate": truth, "globalStatus": text(), "globalProgress": text(),
        "status": {"type": "array", "items": node}});
    let fields = json!({"cluster": text(), "datacenter": text(), "sidecarEnv": variables(), "cassandraEnv": variables(),
        "restore": object(json!({"backupName": text()}))});
    let datacenter = json!({"spec": object(fields)});
    vec![
        Kind {
            group,
            version,
            kind: "CassandraBackup",
            plural: "cassandrabackups",
            schema: Some(backup),
            subresource: false,
        },
        Kind {
            group,
            version,
            kind: "CassandraDataCenter",
            plural: "cassandradatacenters",
            schema: Some(datacenter),
            subresource: false,
        },
    ]
}

/// k8ssandra/k8ssandra-operator, apis/medusa/v1alpha1, and cass-operator's datacenter.
pub fn medusa() -> Vec<Kind> {
    let spec = object(
        json!({"cassandraDatacenter": text(), "backupType": {"type": "string", "enum": ["differential", "full"]}}),
    );
    let status = object(
        json!({"startTime": text(), "finishTime": text(), "inProgress": texts(), "finished": texts(), "failed": texts()}),
    );
    let backup = json!({"spec": spec, "status": status});
    let datacenter = json!({"spec": object(json!({"clusterName": text(), "size": {"type": "integer"}}))});
    vec![
        Kind {
            group: "medusa.k8ssandra.io",
            version: "v1alpha1",
            kind: "MedusaBackupJob",
            plural: "medusabackupjobs",
            schema: Some(backup),
            subresource: true,
        },
        Kind {
            group: "cassandra.datastax.com",
            version: "v1beta1",
            kind: "CassandraDatacenter",
            plural: "cassandradatacenters",
            schema: Some(datacenter),
            subresource: true,
        },
    ]
}

impl Kind {
    /// The CRD's name, which is the resource's for kubectl.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    fn crd(&self) -> Value {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = self.schema.clone().map_or(open, object);
        let mut version =
            json!({"name": self.version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        if self.subresource {
            version["subresources"] = json!({"status": {}});
        }
        let singular = self.plural.trim_end_matches('s');
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": self.name()},
            "spec": {"group": self.group, "scope": "Namespaced", "versions": [version],
                "names": {"kind": self.kind, "listKind": format!("{}List", self.kind), "plural": self.plural, "singular": singular}}
        })
    }

    /// An object of this kind.
    pub fn object(&self, namespace: &str, name: &str, spec: Value) -> Value {
        let api_version = format!("{}/{}", self.group, self.version);
        json!({"apiVersion": api_version, "kind": self.kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    }
}

/// An API server with these kinds and no other of a Cassandra operator.
pub struct Ring {
    pub api: Turn,
    pub namespace: &'static str,
    pub backups: String,
    pub datacenters: String,
    subresource: bool,
}

impl Ring {
    /// With a namespace and in it the datacenter `dc1` of the Cassandra cluster `cl1`.
    pub fn start(kinds: &[Kind], namespace: &'static str) -> Self {
        let api = Turn::with(None);
        let all: Vec<String> = [java(), elassandra(), go(), medusa()].iter().flatten().map(Kind::name).collect();
        api.kubectl(&format!("delete crd {} --ignore-not-found", all.join(" ")));
        for kind in kinds {
            api.apply(&kind.crd().to_string()).unwrap();
            api.kubectl(&format!("wait crd/{} --for=condition=Established", kind.name()));
        }
        let groups = || api.kubectl("get --raw /apis");
        let gone = ["stable.instaclustr.com", "strapdata.com", "cassandraoperator", "k8ssandra.io", "datastax.com"];
        let gone = gone.into_iter().filter(|group| kinds.iter().all(|kind| !kind.group.contains(group)));
        gone.for_each(|group| eventually("the other groups are gone", || !groups().contains(group)));
        for kind in kinds {
            eventually("the group is served", || groups().contains(kind.group));
            let path = format!("/apis/{}/{}", kind.group, kind.version);
            let served = || api.try_kubectl(&["get", "--raw", &path]).is_ok_and(|kinds| kinds.contains(kind.plural));
            eventually("the kind is served", served);
        }
        api.namespace(namespace);
        let names = json!({"clusterName": "cl1", "datacenterName": "dc1", "cluster": "cl1", "datacenter": "dc1"});
        let fields = |kind: &Kind| match &kind.schema {
            None => names.clone(),
            Some(schema) => names
                .as_object()
                .unwrap()
                .iter()
                .filter(|(field, _)| schema["spec"]["properties"].get(field.as_str()).is_some())
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect(),
        };
        let [backups, datacenters] = [0, 1].map(|at| kinds.get(at).map(Kind::name).unwrap_or_default());
        if let Some(kind) = kinds.get(1) {
            api.apply(&kind.object(namespace, "dc1", fields(kind)).to_string()).unwrap();
        }
        Self { api, namespace, backups, datacenters, subresource: kinds.first().is_some_and(|kind| kind.subresource) }
    }

    /// The keys of the bucket, as a Secret of these keys.
    pub fn secret(&self, name: &str, keys: &[(&str, &str)]) {
        let literals: String = keys.iter().map(|(key, value)| format!(" --from-literal={key}={value}")).collect();
        self.api.kubectl(&format!("create secret generic {name} -n {}{literals}", self.namespace));
    }

    pub fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.api.kubectl(&format!("get {kind} {name} -n {} -o json", self.namespace))).unwrap()
    }

    /// StatefulSet `name` of the datacenter, as its operator would have made it.
    pub fn stateful_set(&self, name: &str, replicas: usize) {
        let owner = self.get(&self.datacenters, "dc1");
        let labels = json!({"app": name});
        let container = json!({"name": "cassandra", "image": "cassandra"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {
                "name": name, "namespace": self.namespace, "ownerReferences": [{
                    "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": "dc1", "uid": owner["metadata"]["uid"]}]},
            "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
        });
        self.api.apply(&set.to_string()).unwrap();
    }

    /// What the operator writes, once the backup is there.
    pub fn report(&self, name: &str, fields: &Value) {
        let what = format!("get {} {name} -n {} --ignore-not-found -o name", self.backups, self.namespace);
        eventually("the backup is there", || !self.api.kubectl(&what).is_empty());
        let subresource = if self.subresource { "--subresource=status" } else { "--type=merge" };
        let patch = fields.to_string();
        let words = ["patch", &self.backups, name, "-n", self.namespace, "--type=merge", subresource, "-p", &patch];
        self.api.try_kubectl(&words).unwrap();
    }
}
