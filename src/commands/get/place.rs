//! Where in S3 a cluster's snapshots are, and with which credentials: flags, else the cluster's newest
//! EtcdBackup, else what AWS itself finds.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::operator_wide::{OperatorWide, leaves_out};
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
    /// Turns to the region that the bucket is in, where the service has told that it is another one; whether it did.
    pub(in crate::commands) fn follow(&mut self, ui: &Ui) -> bool {
        let Some(there) = self.s3.elsewhere() else { return false };
        ui.say(format!("s3: bucket {} is in {}, not {}; asked there", there.bucket, there.region, self.s3.region));
        self.s3 = there;
        true
    }

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
    resolve_with(cluster, flags, None, kube, ui).await
}

/// As [`resolve`], where it may be known what the operator takes for objects that name no bucket or no Secret;
/// otherwise the operator is looked for if such an object is met.
///
/// # Errors
/// Those of [`resolve`].
pub(in crate::commands) async fn resolve_with(
    cluster: &str,
    flags: &S3ReadFlags,
    operator: Option<&OperatorWide>,
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
        Some(session) if !named => {
            let own_keys = flags.profile.is_some() || flags.secret.is_some();
            Recorded::of(cluster, (operator, !own_keys), session, ui).await?
        }
        _ => Recorded::default(),
    };
    let access = access(flags, &recorded.spec, session.as_ref()).await?;
    let credentials = credentials(flags, &recorded, session.as_ref(), ui).await?;
    if place.endpoint_url.is_none() && matches!(credentials, CredentialSource::Chain { .. }) {
        recorded.refuse_foreign_endpoint()?;
    }
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
    name: String,
    spec: Spec,
    layout: Option<Layout>,
    /// For a Secret without a region.
    config_map: Option<String>,
}

impl Recorded {
    /// `operator` is what is known of the operator's flags, and whether its Secret matters.
    async fn of(cluster: &str, operator: (Option<&OperatorWide>, bool), session: &Session, ui: &Ui) -> Result<Self> {
        let api: Api<EtcdBackup> = Api::namespaced(session.client.clone(), &session.namespace);
        let backups = session.request(TIMEOUT, api.list(&ListParams::default())).await.map_err(|error| {
            let error = error.context("looking for the bucket in the cluster's EtcdBackup");
            // where nobody answers, the whole way without Kubernetes is told instead
            let silent = matches!(error.kind(), ErrorKind::General | ErrorKind::TimedOut);
            if silent { error } else { error.hint("or name it with --bucket") }
        })?;
        let backups: Vec<EtcdBackup> = backups.into_iter().filter(|found| cluster_of(found) == cluster).collect();
        let operator = match operator {
            (Some(known), _) => known.clone(),
            (None, keys) if backups.iter().any(|found| leaves_out(found, keys)) => {
                OperatorWide::seen(session, ui).await
            }
            _ => OperatorWide::default(),
        };
        let newest = backups
            .into_iter()
            .filter_map(|backup| Some((backup.creation_timestamp()?.0, Self::read(backup, &operator)?)))
            .max_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        let Some((_, recorded)) = newest else {
            return Err(Error::not_found(format!(
                "no EtcdBackup of cluster {cluster:?} in namespace {:?} names a bucket",
                session.namespace
            ))
            .hint("name it with --bucket, or another namespace with -n"));
        };
        ui.say(format!("s3: place taken from EtcdBackup {}", recorded.name));
        Ok(recorded)
    }

    /// `None` for an object that names no bucket, neither in its spec nor in its status, where the operator has none.
    fn read(backup: EtcdBackup, operator: &OperatorWide) -> Option<Self> {
        let name = backup.name_any();
        let mut spec = backup.spec.s3?;
        let status = backup.status.unwrap_or_default();
        if spec.s3_bucket.is_empty() && !spec.path.contains('/') {
            let stored = status.s3_path.split_once('/').map(|(bucket, _)| bucket.to_owned());
            spec.s3_bucket = stored.or_else(|| operator.bucket.clone())?;
        }
        let mut config_map = None;
        if spec.aws_secret.is_empty()
            && let Some(secret) = &operator.secret
        {
            spec.aws_secret.clone_from(secret);
            config_map.clone_from(&operator.config_map);
        }
        // a layout that a run decided on is only where new snapshots go: older ones may lie elsewhere
        Some(Self { name, layout: spec.layout, spec, config_map })
    }

    /// A person's own credentials, with the token of a session, go where AWS is or where the person says. What
    /// stands in an object was written by somebody else.
    fn refuse_foreign_endpoint(&self) -> Result<()> {
        let (url, region) = (&self.spec.endpoint, &self.spec.region);
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            // it becomes a part of host names
            let sentence = format!("s3: {region:?}, which EtcdBackup {} names, is no region", self.name);
            return Err(Error::denied(sentence).hint("pass --region"));
        }
        if url.is_empty() || is_aws(url) {
            return Ok(());
        }
        // for a shell this must be one harmless word
        let plain = url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/._-[]".contains(&byte));
        let shown = if plain { url } else { "URL" };
        Err(Error::denied(format!(
            "s3: your own AWS credentials are not sent to {url:?}, which only EtcdBackup {} names",
            self.name
        ))
        .hint(format!("add --endpoint-url {shown} if you trust it, or name a Secret with --secret")))
    }
}

/// Whether an endpoint is S3's own. Others rent names below amazonaws.com too, but none that begin so.
fn is_aws(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let own = host.starts_with("s3.") || host.starts_with("s3-fips.");
    let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    own && is_plain
        && uri.scheme_str() == Some("https")
        && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
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
    recorded: &Recorded,
    session: Option<&Session>,
    ui: &Ui,
) -> Result<CredentialSource> {
    let own = CredentialSource::Chain { profile: flags.profile.clone() };
    let (Some(session), None) = (session, &flags.profile) else { return Ok(own) };
    if let Some(name) = &flags.secret {
        return from_secret(session, name, None).await;
    }
    let name = &recorded.spec.aws_secret;
    if name.is_empty() {
        return Ok(own);
    }
    match from_secret(session, name, recorded.config_map.as_deref()).await {
        Ok(source) => Ok(source),
        Err(error) => {
            ui.say(format!("s3: secret {name:?} not used: {}", error.message()));
            Ok(own)
        }
    }
}

async fn from_secret(session: &Session, name: &str, config_map: Option<&str>) -> Result<CredentialSource> {
    let origin = format!("secret {}/{name}", session.namespace);
    let files = ProfileFiles::from_keys(origin, &secret(session, name).await?)?;
    if files.credentials.is_none() {
        // the SDK would take the person's own, and they would go wherever the EtcdBackup says
        return Err(Error::denied(format!("{} holds no keys: it leaves them to the pods' own role", files.origin))
            .hint("name a profile of your own with --profile"));
    }
    let (None, Some(config_map)) = (&files.config, config_map) else { return Ok(CredentialSource::Files(files)) };
    let api: Api<ConfigMap> = Api::namespaced(session.client.clone(), &session.namespace);
    let data = session.request(TIMEOUT, api.get(config_map)).await?.data.unwrap_or_default();
    let keys = data.into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
    let origin = format!("configmap {}/{config_map}", session.namespace);
    Ok(CredentialSource::Files(files.or_config(ProfileFiles::from_keys(origin, &keys)?)))
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
        read_with(&OperatorWide::default(), spec, s3_path)
    }

    fn read_with(operator: &OperatorWide, spec: serde_json::Value, s3_path: &str) -> Option<Recorded> {
        let backup = serde_json::json!({
            "apiVersion": "etcd.database.coreos.com/v1beta2", "kind": "EtcdBackup", "metadata": {"name": "x"},
            "spec": {"storageType": "S3", "s3": spec}, "status": {"s3Path": s3_path}
        });
        Recorded::read(serde_json::from_value(backup).unwrap(), operator)
    }

    #[test]
    fn what_an_object_leaves_out_is_the_operators() {
        let some = |text: &str| Some(text.to_owned());
        let operator = OperatorWide { bucket: some("wide"), secret: some("keys"), config_map: some("region") };
        let read = |spec| {
            let found = read_with(&operator, spec, "").unwrap();
            (found.spec.s3_bucket, found.spec.aws_secret, found.config_map)
        };
        assert_eq!(read(serde_json::json!({})), ("wide".to_owned(), "keys".to_owned(), some("region")));
        let own = serde_json::json!({"s3Bucket": "own", "awsSecret": "mine"});
        assert_eq!(read(own), ("own".to_owned(), "mine".to_owned(), None));
    }

    #[test]
    fn a_persons_credentials_do_not_follow_an_endpoint_that_somebody_else_wrote() {
        let refused = |url: &str| {
            let recorded = read(serde_json::json!({"s3Bucket": "b", "endpoint": url}), "").unwrap();
            recorded.refuse_foreign_endpoint().map_err(|error| error.hints()[0].clone()).err()
        };
        let hint =
            |url: &str| Some(format!("add --endpoint-url {url} if you trust it, or name a Secret with --secret"));
        for own in
            ["", "https://s3.eu-1.amazonaws.com", "https://s3-fips.x.amazonaws.com", "https://s3.cn-1.amazonaws.com.cn"]
        {
            assert_eq!(refused(own), None, "{own}");
        }
        for foreign in [
            "https://minio.example:9000",
            "http://s3.eu-1.amazonaws.com",
            "https://s3.evilamazonaws.com",
            "https://s3.amazonaws.com.example.org",
            "https://x.execute-api.eu-1.amazonaws.com",
        ] {
            assert_eq!(refused(foreign), hint(foreign), "{foreign}");
        }
        let hostile = read(serde_json::json!({"s3Bucket": "b", "region": "evil.example/#"}), "").unwrap();
        assert!(hostile.refuse_foreign_endpoint().is_err());
        for odd in ["https://a/;rm", "https://a/$(id)", "https://s3.amazonaws.com@evil.example", "https://a/ b"] {
            assert_eq!(refused(odd), hint("URL"), "{odd}");
        }
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
