//! From one released form of EtcdBackup to the other: `clusterName`, `s3.s3Bucket` and `s3.prefix` (dialect A), or
//! `etcdEndpoints` and `s3.path` (dialect B).

use serde_json::{Value, json};

use super::cluster::lost;
use super::{Converted, Form};
use crate::api::etcdbackup::CLUSTER_LABEL;
use crate::api::names;
use crate::error::{Error, Result};
use crate::snapshot::Layout;

const CLIENT_PORT: u16 = 2379;

/// Writes it in the form that is asked for.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for an etcd or a place that the form cannot name.
pub(super) fn write(mut converted: Converted, form: Form) -> Result<Converted> {
    let from = converted.from.clone();
    match form {
        Form::Auto => Ok(()),
        Form::Cluster => by_name(&mut converted).and_then(|()| in_directories(&mut converted)),
        Form::Endpoints => {
            // the directory is made of the name, which the endpoints do not say
            at_path(&mut converted).and_then(|()| by_endpoints(&mut converted))
        }
    }
    .map_err(|error| error.context(from).hint("leave out --api: this program takes both forms"))?;
    Ok(converted)
}

fn by_endpoints(converted: &mut Converted) -> Result<()> {
    if converted.spec.kubeadm.is_some() {
        return Err(Error::usage("spec.kubeadm is no etcd that has endpoints"));
    }
    if converted.spec.cluster_name.is_empty() {
        return Ok(());
    }
    let url = url(converted, &converted.spec.cluster_name);
    let cluster = std::mem::take(&mut converted.spec.cluster_name);
    converted.spec.etcd_endpoints = vec![url];
    label(converted, &cluster);
    Ok(())
}

/// Without a clusterName the label names the cluster, as `create` writes it; without either the object's name would.
fn label(converted: &mut Converted, cluster: &str) {
    if converted.cluster() == cluster {
        return;
    }
    let labels = converted.metadata.entry("labels").or_insert_with(|| json!({}));
    let other = labels.as_object_mut().and_then(|labels| labels.insert(CLUSTER_LABEL.to_owned(), cluster.into()));
    if let Some(other) = other {
        converted.lines.push(format!(
            "note: metadata.labels.{CLUSTER_LABEL}: {cluster} in place of {other}: it names the cluster where no \
             clusterName does"
        ));
    }
}

/// The client Service of a cluster as the object's own namespace reaches it.
fn url(converted: &Converted, cluster: &str) -> String {
    let scheme = if converted.spec.client_tls_secret.is_empty() { "http" } else { "https" };
    let namespace = converted.text("namespace").map(|name| format!(".{name}.svc")).unwrap_or_default();
    format!("{scheme}://{}{namespace}:{CLIENT_PORT}", names::client_service(cluster))
}

fn by_name(converted: &mut Converted) -> Result<()> {
    let spec = &converted.spec;
    if spec.kubeadm.is_some() || spec.etcd_endpoints.is_empty() {
        return Ok(());
    }
    let [endpoint] = spec.etcd_endpoints.as_slice() else {
        return Err(Error::usage("several spec.etcdEndpoints cannot be said by one clusterName"));
    };
    let cluster = cluster_behind(endpoint, converted)
        .ok_or_else(|| Error::usage(format!("{endpoint:?} is not the Service NAME-client that a clusterName means")))?;
    names::check_cluster_name(&cluster)?;
    let before = converted.cluster().to_owned();
    if before != cluster {
        converted.lines.push(format!(
            "note: spec.clusterName: {cluster}, where the cluster was {before} so far: the directory of its snapshots, \
             its backup service and its claim are named after it"
        ));
    }
    converted.spec.etcd_endpoints.clear();
    converted.spec.cluster_name = cluster;
    Ok(())
}

/// The cluster whose client Service the URL is, as any spelling of its name.
fn cluster_behind(endpoint: &str, converted: &Converted) -> Option<String> {
    let uri: http::Uri = endpoint.parse().ok()?;
    let tls = !converted.spec.client_tls_secret.is_empty();
    if uri.port_u16() != Some(CLIENT_PORT) || (uri.scheme_str() == Some("https")) != tls {
        return None;
    }
    let mut labels = uri.host()?.split('.');
    let cluster = labels.next()?.strip_suffix("-client")?;
    let is_here = match labels.next() {
        Some(namespace) => converted.text("namespace").is_none_or(|own| own == namespace),
        None => true,
    };
    let rest: Vec<&str> = labels.collect();
    let is_service = matches!(rest.as_slice(), [] | ["svc"] | ["svc", "cluster", "local"]);
    (is_here && is_service).then(|| cluster.to_owned())
}

/// Bucket, prefix and layout as a path; a run's has a name of its own, because operators of that form overwrite.
fn at_path(converted: &mut Converted) -> Result<()> {
    let cluster = converted.cluster().to_owned();
    let (namespace, name) = (converted.text("namespace").map(str::to_owned), converted.text("name").map(str::to_owned));
    let policy = converted.spec.backup_policy.clone().unwrap_or_default();
    let repeats = policy.backup_interval_in_second.unwrap_or_default() > 0 || !policy.schedule.is_empty();
    let Some(s3) = converted.spec.s3.as_mut().filter(|s3| s3.path.is_empty()) else { return Ok(()) };
    if s3.s3_bucket.is_empty() {
        return Err(Error::usage("spec.s3 names no bucket, and a path begins with one")
            .hint("give the operator's with --operator-flags"));
    }
    let layout = s3.layout.take().unwrap_or_else(|| {
        converted.lines.push(format!(
            "note: spec.s3.layout: none is named, so the path is that of Cluster, v1/{cluster}/; what was stored so \
             far may be in v1/NAMESPACE/{cluster}/"
        ));
        Layout::Cluster
    });
    let namespace = match (layout, namespace) {
        (Layout::Namespaced, None) => {
            return Err(Error::usage("spec.s3.layout is Namespaced, and no namespace is named").hint("name it with -n"));
        }
        (_, namespace) => namespace.unwrap_or_default(),
    };
    let directory = layout.directory(&std::mem::take(&mut s3.prefix), &namespace, &cluster);
    let file = match name.filter(|_| !repeats) {
        Some(name) => format!("{name}_etcd.backup"),
        None => "etcd.backup".to_owned(),
    };
    s3.path = format!("{}/{directory}{file}", std::mem::take(&mut s3.s3_bucket));
    Ok(())
}

/// A path as bucket and prefix. A path that [`at_path`] wrote leads back to where it came from.
fn in_directories(converted: &mut Converted) -> Result<()> {
    let cluster = converted.cluster().to_owned();
    let namespace = converted.text("namespace").map(str::to_owned).unwrap_or_default();
    let Some(s3) = converted.spec.s3.as_mut().filter(|s3| !s3.path.is_empty()) else { return Ok(()) };
    let path = std::mem::take(&mut s3.path);
    let Some((bucket, key)) = path.split_once('/') else {
        return Err(Error::usage(format!("spec.s3.path {path:?} is not BUCKET/KEY")));
    };
    let directory = key.rsplit_once('/').map_or(String::new(), |(directory, _)| format!("{directory}/"));
    let own = [Layout::Namespaced, Layout::Cluster].into_iter().find_map(|layout| {
        let own = layout.directory("", &namespace, &cluster);
        Some((layout, directory.strip_suffix(&own)?.to_owned()))
    });
    s3.s3_bucket = bucket.to_owned();
    let prefix = match own {
        Some((layout, prefix)) => {
            s3.layout = Some(layout);
            prefix
        }
        None => directory,
    };
    s3.prefix = prefix.trim_matches('/').to_owned();
    let name = Value::from(key.rsplit('/').next().unwrap_or(key));
    converted.lines.push(lost(
        "s3.path",
        &format!(
            "the name {name}: snapshots get names of their own below v1/; \
             kubectl etcdbackup get --path {path} reads the old ones"
        ),
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::convert::backup::convert;
    use crate::commands::convert::defaults::Defaults;

    /// `spec` in a form.
    fn written(spec: Value, namespace: Option<&str>, form: Form) -> Result<Value> {
        let metadata = json!({"name": "nightly", "namespace": namespace});
        let read = convert(json!({ "metadata": metadata, "spec": spec }), &Defaults::default()).unwrap();
        write(read, form).map(|found| serde_json::to_value(found.spec).unwrap())
    }

    #[test]
    fn a_becomes_b_and_b_becomes_a_again() {
        for (namespace, url) in [(None, "http://etcd-a-client:2379"), (Some("db"), "http://etcd-a-client.db.svc:2379")]
        {
            let a = json!({"clusterName": "etcd-a", "storageType": "S3", "backupPolicy": {"backupIntervalInSecond": 60},
                "s3": {"s3Bucket": "b", "prefix": "team/x", "awsSecret": "aws", "layout": "Cluster"}});
            let b = written(a.clone(), namespace, Form::Endpoints).unwrap();
            let want = json!({"etcdEndpoints": [url], "storageType": "S3",
                "backupPolicy": {"backupIntervalInSecond": 60},
                "s3": {"path": "b/team/x/v1/etcd-a/etcd.backup", "awsSecret": "aws"}});
            assert_eq!(b, want);
            assert_eq!(written(b, namespace, Form::Cluster).unwrap(), a);
        }
    }

    #[test]
    fn a_single_backup_has_a_path_of_its_own() {
        let a = json!({"clusterName": "etcd-a", "clientTLSSecret": "t", "storageType": "S3",
            "s3": {"s3Bucket": "b", "layout": "Namespaced"}});
        let b = written(a.clone(), Some("db"), Form::Endpoints).unwrap();
        assert_eq!(b["s3"], json!({"path": "b/v1/db/etcd-a/nightly_etcd.backup"}));
        assert_eq!(b["etcdEndpoints"], json!(["https://etcd-a-client.db.svc:2379"]));
        assert!(written(a, None, Form::Endpoints).is_err());
    }

    /// An object in a form: its cluster, its labels, and what is told.
    fn told(metadata: Value, spec: Value, form: Form) -> (String, Value, Vec<String>) {
        let read = convert(json!({ "metadata": metadata, "spec": spec }), &Defaults::default()).unwrap();
        let found = write(read, form).unwrap();
        (found.cluster().to_owned(), found.metadata.get("labels").cloned().unwrap_or_default(), found.lines)
    }

    #[test]
    fn a_cluster_that_no_field_names_any_more_is_named_by_the_label() {
        let volume = json!({"clusterName": "etcd-a", "storageType": "PersistentVolume", "persistentVolume": {}});
        let label = json!({"etcd_cluster": "etcd-a"});
        for (metadata, labels, notes) in [
            (json!({"name": "nightly"}), label.clone(), 0),
            (json!({"generateName": "nightly-"}), label.clone(), 0),
            (json!({"name": "nightly", "labels": {"a": "b"}}), json!({"a": "b", "etcd_cluster": "etcd-a"}), 0),
            (json!({"name": "etcd-a"}), Value::Null, 0),
            (json!({"name": "etcd-a", "labels": {"etcd_cluster": "other"}}), label, 1),
        ] {
            let (cluster, found, lines) = told(metadata, volume.clone(), Form::Endpoints);
            assert_eq!((cluster.as_str(), found, lines.len()), ("etcd-a", labels, notes), "{lines:?}");
        }
    }

    #[test]
    fn a_cluster_that_gets_another_name_is_told() {
        let spec = json!({"etcdEndpoints": ["http://etcd-a-client:2379"], "storageType": "PersistentVolume",
            "persistentVolume": {}});
        let notes = |metadata: Value| told(metadata, spec.clone(), Form::Cluster).2;
        let lines = notes(json!({"name": "nightly"}));
        assert!(lines.len() == 1 && lines[0].starts_with("note: spec.clusterName: etcd-a, where "), "{lines:?}");
        assert_eq!(notes(json!({"name": "nightly", "labels": {"etcd_cluster": "etcd-a"}})), [""; 0]);
        assert_eq!(notes(json!({"name": "etcd-a"})), [""; 0]);
    }

    #[test]
    fn a_layout_that_nobody_named_is_told() {
        let notes = |s3: Value| {
            let spec = json!({"clusterName": "etcd-a", "storageType": "S3", "s3": s3});
            told(json!({"name": "etcd-a"}), spec, Form::Endpoints).2
        };
        let lines = notes(json!({"s3Bucket": "b"}));
        assert!(lines.len() == 1 && lines[0].starts_with("note: spec.s3.layout: none is named"), "{lines:?}");
        assert_eq!(notes(json!({"s3Bucket": "b", "layout": "Cluster"})), [""; 0]);
    }

    #[test]
    fn what_a_form_cannot_say_is_refused() {
        let place = json!({"path": "b/k"});
        for endpoints in [
            json!(["http://a-client:2379", "http://b-client:2379"]),
            json!(["http://etcd.example.com:2379"]),
            json!(["http://a-client.other.svc:2379"]),
            json!(["https://a-client:2379"]),
            json!(["http://a-client:2380"]),
        ] {
            let spec = json!({"etcdEndpoints": endpoints, "storageType": "S3", "s3": place});
            let error = written(spec, Some("db"), Form::Cluster).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage, "{error}");
        }
        for spec in [
            json!({"kubeadm": {}, "storageType": "S3", "s3": {"s3Bucket": "b"}}),
            json!({"clusterName": "a", "storageType": "S3", "s3": {}}),
        ] {
            assert!(written(spec, None, Form::Endpoints).is_err());
        }
    }

    #[test]
    fn a_form_that_is_there_already_stays() {
        let a = json!({"clusterName": "a", "storageType": "S3", "s3": {"s3Bucket": "b"}});
        let b = json!({"etcdEndpoints": ["http://e:2379"], "storageType": "S3", "s3": {"path": "b/k"}});
        assert_eq!(written(a.clone(), None, Form::Cluster).unwrap(), a);
        assert_eq!(written(b.clone(), None, Form::Endpoints).unwrap(), b);
        assert_eq!(written(b.clone(), None, Form::Auto).unwrap(), b);
    }
}
