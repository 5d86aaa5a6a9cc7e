//! The object in a form that the API server keeps: pure, from the plan and the CRD's schema.

use kube::api::{DynamicObject, TypeMeta};
use kube::{Resource, ResourceExt};

use super::ApiDialect;
use super::plan::{Credentials, Plan};
use crate::api::dialect::Served;
use crate::api::{EtcdBackup, EtcdBackupSpec, S3Source, names};
use crate::error::{Error, Result};
use crate::snapshot::Layout;

/// Fields that a person knows as flags, for messages.
const FLAGS: &[(&str, &str)] = &[
    ("spec.clusterName", "--api cluster"),
    ("spec.etcdEndpoints", "--etcd-endpoints, --api endpoints"),
    ("spec.kubeadm", "--kubeadm"),
    ("spec.clientTLSSecret", "--client-tls-secret"),
    ("spec.clientAuthSecret", "--client-auth-secret"),
    ("spec.s3.s3Bucket", "--bucket"),
    ("spec.s3.prefix", "--prefix"),
    ("spec.s3.path", "--path"),
    ("spec.s3.endpoint", "--endpoint-url"),
    ("spec.s3.forcePathStyle", "--force-path-style"),
    ("spec.s3.region", "--region"),
    ("spec.s3.caSecret", "--ca-secret"),
    ("spec.s3.serverSideEncryption", "--server-side-encryption"),
    ("spec.s3.kmsKeyID", "--kms-key-id"),
    ("spec.s3.layout", "--layout"),
    ("spec.persistentVolume", "--storage-type, --claim, --volume-size"),
    ("spec.serviceAccountName", "--service-account"),
    ("spec.backupPolicy.backupIntervalInSecond", "--every"),
    ("spec.backupPolicy.schedule", "--schedule"),
    ("spec.backupPolicy.timeZone", "--time-zone"),
    ("spec.backupPolicy.maxBackups", "--keep"),
    ("spec.backupPolicy.suspend", "--suspend"),
    ("spec.backupPolicy.timeoutInSecond", "--backup-timeout"),
];

/// An object that is ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub object: DynamicObject,
    /// The field that names the etcd: the form that was chosen.
    pub source: &'static str,
    /// What else was chosen for the user, one line each.
    pub notes: Vec<String>,
    /// The Service that was taken for the cluster's, where its URL had to be made up.
    pub service: Option<String>,
}

/// Writes the plan's object under `name`; `namespace` is where a made-up URL points to.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) naming every field that the API server would drop.
pub(super) fn write(plan: &Plan, name: &str, api: ApiDialect, served: &Served, namespace: &str) -> Result<Written> {
    let mut spec = plan.spec.clone();
    let mut notes = Vec::new();
    let mut service = None;
    if by_endpoints(&spec, api, served) {
        spec.cluster_name.clear();
        if spec.etcd_endpoints.is_empty() {
            let name = names::client_service(&plan.cluster);
            let url = service_url(&name, namespace, !spec.client_tls_secret.is_empty());
            notes.push(format!("api: no --etcd-endpoints: {url} is taken for cluster {}", plan.cluster));
            spec.etcd_endpoints = vec![url];
            service = Some(name);
        }
    }
    if let Some(s3) = &mut spec.s3 {
        if !spec.etcd_endpoints.is_empty()
            && s3.path.is_empty()
            && !(served.has_schema() && served.keeps("s3.s3Bucket"))
        {
            to_path(s3, plan, name, namespace);
            notes.push(format!("api: no --path: s3.path is {}", s3.path));
        }
        if plan.credentials == Credentials::Make && !served.keeps("s3.region") && !s3.region.is_empty() {
            s3.region.clear();
            notes.push("api: the CRD knows no region; it is in the Secret".to_owned());
        }
    }
    let mut value = serde_json::to_value(&spec).map_err(|error| Error::general(format!("cannot write: {error}")))?;
    served.complete(&mut value);
    let pruned = served.pruned(&value);
    if !pruned.is_empty() {
        return Err(dropped(&pruned, served));
    }
    let mut metadata = plan.metadata.clone();
    metadata.name = Some(name.to_owned());
    let types =
        TypeMeta { api_version: EtcdBackup::api_version(&()).into_owned(), kind: EtcdBackup::kind(&()).into_owned() };
    let object = DynamicObject { types: Some(types), metadata, data: serde_json::json!({ "spec": value }) };
    Ok(Written { object, source: source(&spec), notes, service })
}

/// Whether the etcd is to be named by URLs. Where everything is kept, the operator decides which form is read, and
/// only the flags can tell which operator that is: `s3.path` came with `etcdEndpoints` (etcd-operator v0.8.0).
fn by_endpoints(spec: &EtcdBackupSpec, api: ApiDialect, served: &Served) -> bool {
    let path = spec.s3.as_ref().is_some_and(|s3| !s3.path.is_empty());
    match api {
        _ if spec.kubeadm.is_some() => false,
        _ if !spec.etcd_endpoints.is_empty() => true,
        ApiDialect::Cluster => false,
        ApiDialect::Endpoints => true,
        ApiDialect::Auto if served.has_schema() => !served.keeps("clusterName"),
        ApiDialect::Auto => path,
    }
}

/// The URL that an operator in any namespace reaches (etcd-operator v0.2.5 and later: Service `<cluster>-client`).
fn service_url(service: &str, namespace: &str, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{service}.{namespace}.svc:2379")
}

/// Turns bucket, prefix and layout into `s3.path`. Operators of that form overwrite it, so a run's has the run's own
/// name; and they prune by what a schedule's key begins with, so no run's key begins like a schedule's.
fn to_path(s3: &mut S3Source, plan: &Plan, name: &str, namespace: &str) {
    let prefix = std::mem::take(&mut s3.prefix);
    let directory = s3.layout.take().unwrap_or(Layout::Cluster).directory(&prefix, namespace, &plan.cluster);
    let file = match (plan.repeats, plan.timed) {
        (true, _) => "etcd.backup".to_owned(),
        (false, true) => format!("{name}_etcd.backup"),
        (false, false) => format!("{name}-{}_etcd.backup", plan.time),
    };
    s3.path = format!("{}/{directory}{file}", std::mem::take(&mut s3.s3_bucket));
}

fn source(spec: &EtcdBackupSpec) -> &'static str {
    match (spec.kubeadm.is_some(), spec.etcd_endpoints.is_empty()) {
        (true, _) => "spec.kubeadm",
        (false, true) => "spec.clusterName",
        (false, false) => "spec.etcdEndpoints",
    }
}

fn dropped(fields: &[String], served: &Served) -> Error {
    let names = fields.join(", ");
    let error = Error::general(format!(
        "the API server would drop {names}: the served CRD {} and lacks {}",
        served.describe(),
        if fields.len() == 1 { "this field" } else { "these fields" }
    ));
    let flags: Vec<&str> =
        fields.iter().filter_map(|field| FLAGS.iter().find(|(name, _)| name == field)).map(|(_, flag)| *flag).collect();
    let error = if flags.is_empty() { error } else { error.hint(format!("leave out: {}", flags.join(", "))) };
    error.hint("or put this program's CRD in its place: kubectl etcdbackup install --help")
}

/// The name that an object goes by in messages.
pub(super) fn full_name(object: &DynamicObject) -> String {
    format!("etcdbackup.etcd.database.coreos.com/{}", object.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::plan::tests::plan;
    use super::*;

    fn fork() -> Served {
        let text = json!({"type": "string"});
        let s3 = json!({"type": "object", "required": ["awsSecret", "forcePathStyle", "path"], "properties": {
            "path": text, "awsSecret": text, "endpoint": text, "forcePathStyle": {"type": "boolean"}}});
        let spec = json!({"type": "object", "required": ["allowSelfSignedCertificates", "storageType"], "properties": {
            "etcdEndpoints": {"type": "array", "items": text}, "storageType": text, "clientTLSSecret": text,
            "allowSelfSignedCertificates": {"type": "boolean"}, "s3": s3, "backupPolicy": {"type": "object", "properties": {
                "timeoutInSecond": {"type": "integer"}, "backupIntervalInSecond": {"type": "integer"},
                "maxBackups": {"type": "integer"}}}}});
        served(json!({"type": "object", "properties": {"spec": spec}}))
    }

    fn schemaless() -> Served {
        served(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))
    }

    fn served(root: Value) -> Served {
        let version = json!({"name": "v1beta2", "served": true, "schema": {"openAPIV3Schema": root}});
        Served::of_crd(&json!({"spec": {"versions": [version]}})).unwrap()
    }

    fn written(line: &str, api: ApiDialect, served: &Served) -> Result<Value> {
        let plan = plan(line).unwrap();
        let name = plan.metadata.name.clone().unwrap();
        write(&plan, &name, api, served, "databases").map(|written| written.object.data["spec"].clone())
    }

    #[test]
    fn a_fork_gets_endpoints_a_path_and_its_booleans() {
        let want = json!({
            "etcdEndpoints": ["http://etcd-a-client.databases.svc:2379"], "storageType": "S3",
            "allowSelfSignedCertificates": false,
            "s3": {"path": "bbb/team/v1/etcd-a/etcd-a-20260102-030405_etcd.backup", "awsSecret": "aws-credential", "forcePathStyle": false}
        });
        assert_eq!(written("etcd-a --bucket bbb --prefix /team/", ApiDialect::Auto, &fork()).unwrap(), want);
    }

    #[test]
    fn no_two_runs_and_no_schedule_share_a_path() {
        let path =
            |line: &str| written(line, ApiDialect::Auto, &fork()).unwrap()["s3"]["path"].as_str().unwrap().to_owned();
        assert_eq!(path("a --bucket bbb --every 1h"), "bbb/v1/a/etcd.backup");
        assert_eq!(path("a --bucket bbb --name x"), "bbb/v1/a/x-20260102-030405_etcd.backup");
        assert_eq!(path("a --bucket bbb --layout namespaced"), "bbb/v1/databases/a/a-20260102-030405_etcd.backup");
        assert_eq!(path("a --path bbb/mine"), "bbb/mine");
    }

    #[test]
    fn tls_makes_the_made_up_url_https() {
        let spec = written("a --bucket bbb --client-tls-secret tls", ApiDialect::Auto, &fork()).unwrap();
        assert_eq!(spec["etcdEndpoints"], json!(["https://a-client.databases.svc:2379"]));
    }

    #[test]
    fn what_would_be_dropped_is_an_error_that_names_field_and_flag() {
        for (line, field, flag) in [
            ("a --bucket bbb --schedule @daily", "spec.backupPolicy.schedule", "--schedule"),
            ("a --bucket bbb --client-auth-secret x", "spec.clientAuthSecret", "--client-auth-secret"),
            ("a --bucket bbb --region r", "spec.s3.region", "--region"),
            ("a --claim c", "spec.persistentVolume", "--claim"),
            ("--kubeadm --bucket bbb --secret x", "spec.kubeadm", "--kubeadm"),
        ] {
            let error = written(line, ApiDialect::Auto, &fork()).unwrap_err();
            assert!(error.message().contains(field) && error.hints()[0].contains(flag), "{line}: {error}");
        }
        let error = written("a --bucket bbb", ApiDialect::Cluster, &fork()).unwrap_err();
        assert!(error.message().contains("spec.clusterName, spec.s3.s3Bucket"), "{error}");
    }

    #[test]
    fn a_region_that_the_secret_will_hold_is_not_lost() {
        let spec = written("a --bucket bbb --region r --with-credentials", ApiDialect::Auto, &fork()).unwrap();
        assert_eq!(spec["s3"].get("region"), None);
    }

    #[test]
    fn our_own_crd_takes_either_form_as_given() {
        let ours = Served::ours().unwrap();
        let spec = |line: &str, api| written(line, api, &ours).unwrap();
        let by_name = spec("a --bucket bbb", ApiDialect::Auto);
        assert_eq!((&by_name["clusterName"], by_name.get("etcdEndpoints")), (&json!("a"), None));
        let by_url = spec("a --bucket bbb --etcd-endpoints https://e:2379", ApiDialect::Auto);
        assert_eq!((by_url.get("clusterName"), &by_url["s3"]["s3Bucket"]), (None, &json!("bbb")));
        let made_up = spec("a --bucket bbb", ApiDialect::Endpoints);
        assert_eq!(made_up["etcdEndpoints"], json!(["http://a-client.databases.svc:2379"]));
    }

    #[test]
    fn without_a_schema_the_flags_decide() {
        let spec = |line: &str| written(line, ApiDialect::Auto, &schemaless()).unwrap();
        let old = spec("a --bucket bbb --prefix p");
        assert_eq!(old["s3"], json!({"s3Bucket": "bbb", "prefix": "p", "awsSecret": "aws-credential"}));
        assert_eq!(old["clusterName"], "a");
        let new = spec("a --bucket bbb --etcd-endpoints http://e:2379");
        assert_eq!(new["s3"]["path"], "bbb/v1/a/a-20260102-030405_etcd.backup");
        assert_eq!(spec("a --path bbb/k")["etcdEndpoints"], json!(["http://a-client.databases.svc:2379"]));
    }
}
