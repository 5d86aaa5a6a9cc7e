//! Where in S3 a cluster's snapshots are, and with which credentials: flags, else the cluster's newest
//! EtcdBackup, else what AWS itself finds.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::api::names::cluster_of;
use crate::api::{EtcdBackup, S3Source as Spec};
use crate::aws::s3::read_ca_bundle;
use crate::aws::{Access, CredentialSource, ProfileFiles, S3};
use crate::cli::{KubeFlags, S3ReadFlags, Ui};
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::{self, Session};
use crate::snapshot::Layout;
use crate::source::s3::Place;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A place in S3 with a client for it.
pub(in crate::commands) struct Resolved {
    pub s3: S3,
    pub at: At,
    namespace: String,
}

/// Where in the bucket.
pub(in crate::commands) enum At {
    /// In a directory of the cluster below the prefix.
    Directories { prefix: String, layout: Option<Layout> },
    /// Under a key: `--path`, or `s3.path` of the EtcdBackup.
    Path(String),
}

impl Resolved {
    /// Where the cluster's directories would be.
    pub(in crate::commands) fn as_place<'a>(&'a self, cluster: &'a str) -> Place<'a> {
        let (prefix, layout) = match &self.at {
            At::Directories { prefix, layout } => (prefix.as_str(), *layout),
            At::Path(_) => ("", None),
        };
        Place { prefix, namespace: &self.namespace, cluster, layout }
    }
}

/// Resolves the place and says what it uses. With `--bucket` or `--path` and without `--secret` no API server
/// is contacted.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when nothing names a bucket; those of the
/// API server and of [`S3::new`].
pub(in crate::commands) async fn resolve(
    cluster: &str,
    flags: &S3ReadFlags,
    kube: &KubeFlags,
    ui: &Ui,
) -> Result<Resolved> {
    let place = &flags.place;
    let named = place.bucket.is_some() || place.path.is_some();
    // a client may run a credential plugin, which hangs when Kubernetes is gone
    let session = match !named || flags.secret.is_some() {
        true => Some(Session::connect(kube).await?),
        false => None,
    };
    let namespace = match &session {
        Some(session) => session.namespace.clone(),
        None => kubernetes::namespace(kube),
    };
    let recorded = match &session {
        Some(session) if !named => Recorded::of(cluster, session, ui).await?,
        _ => Recorded::default(),
    };
    let access = access(flags, &recorded.spec, session.as_ref()).await?;
    let credentials = credentials(flags, &recorded.spec.aws_secret, session.as_ref(), ui).await?;
    credentials.warnings().iter().for_each(|warning| ui.warn(warning));
    let (bucket, at) = bucket_and_place(flags, recorded);
    let url = access.endpoint_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
    ui.say(format!("s3: bucket {bucket}{url}, namespace {namespace}, credentials from {}", credentials.describe()));
    let s3 = S3::new(bucket, &credentials, &access).await?;
    Ok(Resolved { s3, at, namespace })
}

async fn access(flags: &S3ReadFlags, spec: &Spec, session: Option<&Session>) -> Result<Access> {
    let place = &flags.place;
    let non_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let ca_pem = match (&flags.ca_bundle, session) {
        (Some(path), _) => Some(read_ca_bundle(path)?),
        (None, Some(session)) if !spec.ca_secret.is_empty() => Some(ca_of(session, &spec.ca_secret).await?),
        _ => None,
    };
    let access = Access {
        region: place.region.clone().or(non_empty(&spec.region)),
        endpoint_url: place.endpoint_url.clone().or(non_empty(&spec.endpoint)),
        force_path_style: place.force_path_style || spec.force_path_style,
        ca_pem,
    };
    access.endpoint_url.as_deref().map_or(Ok(()), reachable)?;
    Ok(access)
}

/// Flags win over what is recorded; a path, whoever gives it, is a bucket and a key.
fn bucket_and_place(flags: &S3ReadFlags, recorded: Recorded) -> (String, At) {
    let (place, spec) = (&flags.place, recorded.spec);
    let path = place.path.clone().or(Some(spec.path)).filter(|path| place.bucket.is_none() && !path.is_empty());
    if let Some((bucket, key)) = path.as_deref().and_then(|path| path.split_once('/')) {
        return (bucket.to_owned(), At::Path(key.to_owned()));
    }
    let prefix = place.prefix.clone().unwrap_or(spec.prefix);
    let bucket = place.bucket.clone().unwrap_or(spec.s3_bucket);
    (bucket, At::Directories { prefix, layout: place.layout.or(recorded.layout) })
}

/// What the cluster's newest EtcdBackup says.
#[derive(Default)]
struct Recorded {
    spec: Spec,
    layout: Option<Layout>,
}

impl Recorded {
    async fn of(cluster: &str, session: &Session, ui: &Ui) -> Result<Self> {
        let api: Api<EtcdBackup> = Api::namespaced(session.client.clone(), &session.namespace);
        let backups = session.request(TIMEOUT, api.list(&ListParams::default())).await.map_err(|error| {
            error.context("looking for the bucket in the cluster's EtcdBackup").hint("or name it with --bucket")
        })?;
        let newest = backups
            .into_iter()
            .filter(|backup| cluster_of(backup) == cluster)
            .filter_map(|backup| Some((backup.creation_timestamp()?.0, backup.name_any(), Self::read(backup)?)))
            .max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let Some((_, name, recorded)) = newest else {
            return Err(Error::not_found(format!(
                "no EtcdBackup of cluster {cluster:?} in namespace {:?} names a bucket",
                session.namespace
            ))
            .hint("name it with --bucket, or another namespace with -n"));
        };
        ui.say(format!("s3: place taken from EtcdBackup {name}"));
        Ok(recorded)
    }

    /// `None` for an object that names no bucket, neither in its spec nor in its status.
    fn read(backup: EtcdBackup) -> Option<Self> {
        let mut spec = backup.spec.s3?;
        let status = backup.status.unwrap_or_default();
        if spec.s3_bucket.is_empty() && !spec.path.contains('/') {
            let (bucket, _) = status.s3_path.split_once('/')?;
            bucket.clone_into(&mut spec.s3_bucket);
        }
        // a layout that a run decided on is only where new snapshots go: older ones may lie elsewhere
        Some(Self { layout: spec.layout, spec })
    }
}

async fn ca_of(session: &Session, name: &str) -> Result<Vec<u8>> {
    let mut keys = secret(session, name).await?;
    keys.remove("ca.crt")
        .ok_or_else(|| Error::denied(format!("secret {name:?} lacks key \"ca.crt\"")).hint("pass --ca-bundle"))
}

pub(in crate::commands) async fn secret(session: &Session, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let api: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    let secret = session.request(TIMEOUT, api.get(name)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => error.hint(format!(
            "kubectl etcdbackup credentials -n {} --secret-name {name}, or name another with --secret",
            session.namespace
        )),
        _ => error,
    })?;
    Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// `--profile` or `--secret`, else the EtcdBackup's Secret if it can be read, else the user's own chain.
async fn credentials(
    flags: &S3ReadFlags,
    recorded: &str,
    session: Option<&Session>,
    ui: &Ui,
) -> Result<CredentialSource> {
    let own = CredentialSource::Chain { profile: flags.profile.clone() };
    let (Some(session), None) = (session, &flags.profile) else { return Ok(own) };
    if let Some(name) = &flags.secret {
        return from_secret(session, name).await;
    }
    if recorded.is_empty() {
        return Ok(own);
    }
    match from_secret(session, recorded).await {
        Ok(source) => Ok(source),
        Err(error) => {
            ui.say(format!("s3: secret {recorded:?} not used: {}", error.message()));
            Ok(own)
        }
    }
}

async fn from_secret(session: &Session, name: &str) -> Result<CredentialSource> {
    let origin = format!("secret {}/{name}", session.namespace);
    ProfileFiles::from_keys(origin, &secret(session, name).await?).map(CredentialSource::Files)
}

/// A Service's name means nothing outside the cluster: trying it would only end in a time-out.
pub(in crate::commands) fn reachable(endpoint: &str) -> Result<()> {
    let host = endpoint.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if inside || !(host.ends_with(".svc") || host.ends_with(".svc.cluster.local")) {
        return Ok(());
    }
    Err(Error::general(format!("s3: {endpoint} is only reachable inside the cluster; not tried"))
        .hint("name a reachable address with --endpoint-url, or use --from service"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: serde_json::Value, s3_path: &str) -> Option<Recorded> {
        Recorded::read(
            serde_json::from_value(serde_json::json!({
                "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "x"},
                "spec": {"storageType": "S3", "s3": spec}, "status": {"s3Path": s3_path}
            }))
            .unwrap(),
        )
    }

    #[test]
    fn the_bucket_is_the_specs_else_the_statuss() {
        let bucket = |recorded: Option<Recorded>| recorded.map(|recorded| recorded.spec.s3_bucket);
        assert_eq!(bucket(read(serde_json::json!({"s3Bucket": "a"}), "b/k")).as_deref(), Some("a"));
        assert_eq!(bucket(read(serde_json::json!({}), "b/k")).as_deref(), Some("b"));
        assert_eq!(bucket(read(serde_json::json!({}), "")), None);
    }

    #[test]
    fn a_path_is_the_flags_else_the_specs() {
        let at = |path: Option<&str>, bucket: Option<&str>, spec: serde_json::Value| {
            let mut flags = S3ReadFlags::default();
            (flags.place.path, flags.place.bucket) = (path.map(str::to_owned), bucket.map(str::to_owned));
            let (bucket, at) = bucket_and_place(&flags, read(spec, "").unwrap_or_default());
            (bucket, if let At::Path(key) = at { key } else { String::new() })
        };
        let of = |bucket: &str, key: &str| (bucket.to_owned(), key.to_owned());
        let spec = || serde_json::json!({"path": "b/a/etcd.backup"});
        assert_eq!(at(Some("f/k"), None, serde_json::json!({})), of("f", "k"));
        assert_eq!(at(None, None, spec()), of("b", "a/etcd.backup"));
        assert_eq!(at(None, Some("mine"), spec()), of("mine", ""));
    }

    #[test]
    fn a_services_name_is_not_tried_from_outside() {
        assert!(reachable("http://s3.s3.svc:7070").is_err());
        assert!(reachable("https://s3.example.com").is_ok());
    }
}
