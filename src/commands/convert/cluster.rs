//! `spec.backup` of a Cluster or an EtcdCluster.
//!
//! Source: coreos/etcd-operator, pkg/spec/backup.go at v0.2.0 to v0.4.2 and pkg/apis/etcd/v1beta2/backup.go at v0.5.0
//! to v0.6.1.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Converted;
use super::defaults::Defaults;
use super::fields::{Fields, not_converted};
use crate::api::etcdbackup::{BackupPolicy, CLUSTER_LABEL, PersistentVolumeSource, PodPolicy};
use crate::api::{EtcdBackupSpec, S3Source, names};
use crate::error::{Error, Result};

/// Seconds between backups where the policy says nothing (pkg/apis/etcd/v1beta2/backup.go, v0.6.1).
const INTERVAL: i64 = 1800;

/// `None` for a cluster that was not backed up.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what no etcd-operator took, and for storage in Azure.
pub(super) fn convert(value: Value, kind: &str, defaults: &Defaults) -> Result<Option<Converted>> {
    let mut object = Fields::of("", value)?;
    object.text("apiVersion")?;
    object.text("kind")?;
    let mut spec = object.child("spec")?;
    if !spec.has("backup") {
        return Ok(None);
    }
    let mut lines = Vec::new();
    let (name, metadata) = metadata(object.child("metadata")?, &mut lines)?;
    let from = format!("{kind} {name}");
    let mut backup = spec.child("backup")?;
    let mut converted = EtcdBackupSpec {
        cluster_name: name.clone(),
        client_tls_secret: tls(&mut spec, kind, &mut lines)?,
        backup_policy: Some(policy(&mut backup, &mut lines)?),
        pod: pod(&mut backup, &mut lines)?,
        ..EtcdBackupSpec::default()
    };
    place(&mut backup, &mut converted, &name, defaults, &mut lines).map_err(|error| error.context(&from))?;
    for fields in [object, spec, backup] {
        lines.extend(fields.left());
    }
    Ok(Some(Converted { from, metadata, spec: converted, lines }))
}

fn metadata(mut old: Fields, lines: &mut Vec<String>) -> Result<(String, serde_json::Map<String, Value>)> {
    let name = old.text("name")?;
    names::check_cluster_name(&name)?;
    let mut labels: BTreeMap<String, String> = old.take("labels")?.unwrap_or_default();
    labels.insert(CLUSTER_LABEL.to_owned(), name.clone());
    let mut metadata =
        serde_json::Map::from_iter([("name".to_owned(), json!(name)), ("labels".to_owned(), json!(labels))]);
    if let Some(namespace) = old.take::<String>("namespace")? {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    lines.extend(old.left());
    Ok((name, metadata))
}

/// The Secret with the operator's client certificate: since v0.4.0 its keys are the ones that an EtcdBackup takes.
fn tls(spec: &mut Fields, kind: &str, lines: &mut Vec<String>) -> Result<String> {
    let mut tls = spec.child("TLS")?;
    let mut fixed = tls.child("static")?;
    let secret = fixed.text("operatorSecret")?;
    if kind == "Cluster" && !secret.is_empty() {
        lines.push(
            "note: spec.TLS.static.operatorSecret: its keys must be etcd-client.crt, etcd-client.key and \
             etcd-client-ca.crt, as since etcd-operator v0.4.0; before, they were etcd-crt.pem, etcd-key.pem and \
             etcd-ca-crt.pem"
                .to_owned(),
        );
    }
    lines.extend(fixed.left().into_iter().chain(tls.left()));
    Ok(secret)
}

fn policy(backup: &mut Fields, lines: &mut Vec<String>) -> Result<BackupPolicy> {
    let interval = backup.count("backupIntervalInSecond")?.filter(|seconds| *seconds > 0);
    let most = backup.count("maxBackups")?;
    if most.unwrap_or_default() == 0 {
        lines.push(
            "note: spec.backup.maxBackups: 0 keeps all snapshots, as since etcd-operator v0.3.0; before, it meant no backups"
                .to_owned(),
        );
    }
    if interval.is_none() {
        lines.push(format!("note: spec.backup.backupIntervalInSecond: {INTERVAL}, which etcd-operator took for none"));
    }
    Ok(BackupPolicy {
        backup_interval_in_second: interval.or(Some(INTERVAL)),
        max_backups: most.filter(|most| *most > 0),
        ..BackupPolicy::default()
    })
}

/// The policy of the sidecar's pod, which also took the backups.
fn pod(backup: &mut Fields, lines: &mut Vec<String>) -> Result<Option<PodPolicy>> {
    let mut pod = backup.child("pod")?;
    let policy = PodPolicy {
        annotations: pod.take("annotations")?.unwrap_or_default(),
        labels: pod.take("labels")?.unwrap_or_default(),
        node_selector: pod.take("nodeSelector")?.unwrap_or_default(),
        tolerations: pod.take_known("tolerations", lines)?.unwrap_or_default(),
        resources: pod.take_known("resources", lines)?.filter(|found| *found != Default::default()),
        ..PodPolicy::default()
    };
    lines.extend(pod.left());
    Ok(Some(policy).filter(|policy| *policy != PodPolicy::default()))
}

fn place(
    backup: &mut Fields,
    spec: &mut EtcdBackupSpec,
    cluster: &str,
    defaults: &Defaults,
    lines: &mut Vec<String>,
) -> Result<()> {
    match backup.text("storageType")?.as_str() {
        "S3" => {
            let mut old = backup.child("s3")?;
            let mut s3 = S3Source {
                s3_bucket: old.text("s3Bucket")?,
                prefix: old.text("prefix")?,
                aws_secret: old.text("awsSecret")?,
                ..S3Source::default()
            };
            lines.extend(old.left());
            fill(&mut s3, defaults, lines);
            (spec.storage_type, spec.s3) = ("S3".to_owned(), Some(s3));
        }
        "" | "PersistentVolume" => {
            let mut old = backup.child("pv")?;
            let size = old.count("volumeSizeInMB")?.filter(|size| *size > 0);
            let claim = format!("{cluster}-pvc");
            lines.push(format!(
                "note: the old snapshots are on the volume of claim {claim}, and so will be the new ones: \
                 kubectl etcdbackup get {cluster} --from pv reads it"
            ));
            let claim_name = if size.is_none() { claim } else { String::new() };
            let storage_class = old.text("storageClass")?;
            lines.extend(old.left());
            spec.storage_type = "PersistentVolume".to_owned();
            spec.persistent_volume =
                Some(PersistentVolumeSource { claim_name, volume_size_in_mb: size, storage_class });
        }
        other => {
            return Err(Error::usage(format!("spec.backup.storageType {other:?} is neither S3 nor PersistentVolume"))
                .hint("change it to S3, and name a bucket in spec.backup.s3.s3Bucket"));
        }
    }
    Ok(())
}

/// What the object left to the operator.
pub(super) fn fill(s3: &mut S3Source, defaults: &Defaults, lines: &mut Vec<String>) {
    let is_complete = !s3.s3_bucket.is_empty() || !s3.path.is_empty();
    match &defaults.s3 {
        Some((secret, _, bucket)) => {
            if !is_complete {
                s3.s3_bucket.clone_from(bucket);
            }
            if s3.aws_secret.is_empty() {
                s3.aws_secret.clone_from(secret);
            }
        }
        None if !is_complete => lines.push(
            "note: spec.s3.s3Bucket: left to the operator, as it was: \
             install has --backup-s3-bucket too, and --operator-flags fills it in here"
                .to_owned(),
        ),
        None => {}
    }
}

/// The line for a form's part that the other form has no place for.
pub(super) fn lost(field: &str, why: &str) -> String {
    not_converted(&format!("spec.{field}"), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `spec` of a Cluster `etcd-a`.
    fn converted(spec: Value, flags: &str) -> Result<(Value, Vec<String>)> {
        let object = json!({"apiVersion": "etcd.coreos.com/v1beta1", "kind": "Cluster",
            "metadata": {"name": "etcd-a", "namespace": "db", "labels": {"team": "x"}}, "spec": spec});
        let found = convert(object, "Cluster", &Defaults::parse(flags).unwrap())?.unwrap();
        assert_eq!(found.metadata["labels"], json!({"etcd_cluster": "etcd-a", "team": "x"}));
        Ok((serde_json::to_value(found.spec).unwrap(), found.lines))
    }

    #[test]
    fn the_seeds_manifest_gets_its_place_from_the_operators_flags() {
        let flags = "--backup-aws-secret aws --backup-aws-config conf --backup-s3-bucket b";
        let (spec, lines) =
            converted(json!({"size": 3, "backup": {"storageType": "S3", "maxBackups": 5}}), flags).unwrap();
        let want = json!({"clusterName": "etcd-a", "storageType": "S3", "s3": {"s3Bucket": "b", "awsSecret": "aws"},
            "backupPolicy": {"backupIntervalInSecond": 1800, "maxBackups": 5}});
        assert_eq!(spec, want);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("note: spec.backup.backupIntervalInSecond: 1800"), "{lines:?}");
        assert!(lines[1].starts_with("not converted: spec.size: is about the etcd cluster"), "{lines:?}");
    }

    #[test]
    fn every_field_of_the_latest_shape_is_placed_or_told() {
        let toleration = json!([{"key": "a", "operator": "Exists"}]);
        let (spec, lines) = converted(
            json!({"size": 3, "baseImage": "i", "version": "3.1.8", "paused": false, "pod": {"antiAffinity": true},
                "TLS": {"static": {"member": {"peerSecret": "p"}, "operatorSecret": "op"}},
                "restore": {"backupClusterName": "b"}, "unheard": 1,
                "backup": {"storageType": "S3", "backupIntervalInSecond": 600, "maxBackups": 5, "autoDelete": true,
                    "cleanupBackupsOnClusterDelete": true, "pv": {"volumeSizeInMB": 1}, "abs": {"absContainer": "c"},
                    "pod": {"labels": {"a": "b"}, "nodeSelector": {"c": "d"}, "antiAffinity": true, "etcdEnv": [],
                        "resources": {"limits": {"memory": "1Gi"}}, "tolerations": toleration},
                    "s3": {"s3Bucket": "own", "prefix": "p", "awsSecret": "mine", "odd": 1}}}),
            "--backup-aws-secret aws --backup-aws-config conf --backup-s3-bucket b",
        )
        .unwrap();
        let want = json!({"clusterName": "etcd-a", "clientTLSSecret": "op", "storageType": "S3",
            "s3": {"s3Bucket": "own", "prefix": "p", "awsSecret": "mine"},
            "backupPolicy": {"backupIntervalInSecond": 600, "maxBackups": 5},
            "pod": {"labels": {"a": "b"}, "nodeSelector": {"c": "d"}, "resources": {"limits": {"memory": "1Gi"}},
                "tolerations": toleration}});
        assert_eq!(spec, want);
        let mut told: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").nth(1)).collect();
        told.sort_unstable();
        let expected = [
            "spec.TLS.static.member",
            "spec.TLS.static.operatorSecret",
            "spec.backup.abs",
            "spec.backup.autoDelete",
            "spec.backup.cleanupBackupsOnClusterDelete",
            "spec.backup.pod.antiAffinity",
            "spec.backup.pod.etcdEnv",
            "spec.backup.pv",
            "spec.backup.s3.odd",
            "spec.baseImage",
            "spec.paused",
            "spec.pod",
            "spec.restore",
            "spec.size",
            "spec.unheard",
            "spec.version",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn fields_within_those_that_are_placed_are_told_too() {
        let tolerations = json!([{"key": "a", "odd": 1}, {"key": "b", "odd": 2, "value": null, "effect": "NoExecute"}]);
        let backup = json!({"storageType": "S3", "backupIntervalInSecond": 60, "maxBackups": 1, "s3": {"s3Bucket": "b"},
            "pod": {"tolerations": tolerations, "resources": {"limits": {"a.b/c": "1"}, "burst": {"cpu": "1"}}}});
        let (spec, lines) = converted(json!({ "backup": backup }), "").unwrap();
        let want = json!({"tolerations": [{"key": "a"}, {"key": "b", "effect": "NoExecute"}],
            "resources": {"limits": {"a.b/c": "1"}}});
        assert_eq!(spec["pod"], want);
        let told: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").nth(1)).collect();
        assert_eq!(told, ["spec.backup.pod.tolerations.odd", "spec.backup.pod.resources.burst"]);
    }

    #[test]
    fn the_oldest_operators_keys_are_told_of() {
        let object = |kind: &str| {
            json!({"apiVersion": "x", "kind": kind, "metadata": {"name": "a"}, "spec": {
                "TLS": {"static": {"operatorSecret": "op"}}, "backup": {"storageType": "S3"}}})
        };
        let told = |kind: &str| {
            let lines = convert(object(kind), kind, &Defaults::default()).unwrap().unwrap().lines;
            lines.iter().any(|line| line.starts_with("note: spec.TLS.static.operatorSecret: "))
        };
        assert!(told("Cluster") && !told("EtcdCluster"));
    }

    #[test]
    fn volumes_keep_their_size_or_their_claim() {
        let volume = |backup: Value| converted(json!({"backup": backup}), "").unwrap().0["persistentVolume"].clone();
        let sized = json!({"storageType": "PersistentVolume", "pv": {"volumeSizeInMB": 512, "storageClass": "fast"}});
        assert_eq!(volume(sized), json!({"volumeSizeInMB": 512, "storageClass": "fast"}));
        assert_eq!(volume(json!({"maxBackups": 1})), json!({"claimName": "etcd-a-pvc"}));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field() {
        for (backup, field) in [
            (json!({"storageType": "ABS"}), "spec.backup.storageType \"ABS\""),
            (json!({"storageType": "S3", "maxBackups": -1}), "spec.backup.maxBackups"),
            (json!({"storageType": "S3", "maxBackups": "5"}), "spec.backup.maxBackups"),
            (json!({"storageType": "S3", "s3": []}), "spec.backup.s3 is not"),
            (json!(1), "spec.backup is not an object"),
        ] {
            let error = converted(json!({ "backup": backup }), "").unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
            assert!(error.message().contains(field), "{error}");
        }
    }
}
