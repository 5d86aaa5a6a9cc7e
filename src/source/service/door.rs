//! The way to a sidecar by its URL: a connection, plain or TLS, and the token that it wants.

use std::time::Duration;

use http::HeaderValue;
use hyper_util::rt::TokioIo;
use kube::client::ConfigExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tower_service::Service;

use super::exchange::Line;
use super::request::Base;
use crate::error::{Error, Result, chain};

/// What is needed to get in.
#[derive(Default)]
pub struct Door {
    /// The value of the header `Authorization`.
    pub(super) token: Option<HeaderValue>,
    ca_pem: Option<Vec<u8>>,
    /// The words that make a token for this sidecar.
    recipe: String,
}

impl Door {
    /// With a bearer token, CA certificates to trust for https instead of the system's, and the namespace and name
    /// of the cluster, from which follows what a token has to be made for.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a token that no header can carry.
    pub fn new(token: Option<&str>, ca_pem: Option<Vec<u8>>, namespace: &str, cluster: &str) -> Result<Self> {
        let bearer = |token: &str| {
            let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            let value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| plain);
            let mut value = value.ok_or_else(|| Error::usage("the token is empty or no token: it must be one word"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let recipe = format!(
            "kubectl create token SERVICEACCOUNT -n {namespace} --audience etcdbackup/{namespace}/{cluster} > token"
        );
        Ok(Self { token: token.map(bearer).transpose()?, ca_pem, recipe })
    }

    /// What to do after a 401 or 403.
    pub(super) fn advise(&self, error: Error) -> Error {
        if self.recipe.is_empty() {
            return error;
        }
        let error = error.hint(format!("{}; then --token-file token", self.recipe));
        error.hint("its ServiceAccount needs get on etcdbackups/snapshot in group etcd.database.coreos.com")
    }
}

/// Connects to `base`.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) without a connection,
/// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) after `limit`.
pub(super) async fn dial(base: &Base, door: &Door, limit: Duration) -> Result<Line> {
    let shown = &base.shown;
    let connected = async {
        if base.tls {
            return secured(base, door).await;
        }
        let stream = TcpStream::connect(base.address()).await;
        let unreached = |error| {
            Error::general(format!("{shown}: cannot connect: {error}"))
                .hint("check --service-url; where it is not reachable from here: --from service, or --from s3")
        };
        stream.map(Line::from).map_err(unreached)
    };
    let late = || Error::timed_out(format!("{shown}: no connection within {limit:?}"));
    tokio::time::timeout(limit, connected).await.unwrap_or_else(|_| Err(late()))
}

/// TLS as the client for the API server does it: one stack, one set of rules.
async fn secured(base: &Base, door: &Door) -> Result<Line> {
    let failed = |why: String| Error::general(format!("{}: cannot connect: {why}", base.shown));
    let uri: http::Uri = base.origin().parse().map_err(|error| failed(format!("{error}")))?;
    let mut config = kube::Config::new(uri.clone());
    if let Some(pem) = &door.ca_pem {
        let found: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem).map(|one| one.map(|der| der.to_vec())).collect();
        let found = found.ok().filter(|found| !found.is_empty());
        config.root_cert = Some(found.ok_or_else(|| Error::usage("the CA bundle holds no certificate"))?);
    }
    let mut connector = config.rustls_https_connector().map_err(|error| failed(chain(&error)))?;
    std::future::poll_fn(|context| connector.poll_ready(context)).await.map_err(|error| failed(error.to_string()))?;
    match connector.call(uri).await {
        Ok(stream) => Ok(Line::over(TokioIo::new(stream), crate::kubernetes::forward::Fate::none())),
        Err(error) => Err(failed(chain(error.as_ref())).hint("pass --ca-bundle if its certificate is of your own CA")),
    }
}
