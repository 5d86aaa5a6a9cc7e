//! HTTP clients beside the SDK's own.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::error::{Error, Result};

/// A client that trusts the certificates of `pem` besides the system's.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for certificates that cannot be used.
pub(super) fn trusting(pem: &[u8]) -> Result<SharedHttpClient> {
    client(TrustStore::default().with_pem_certificate(pem))
}

/// A client for a service without TLS. The system's certificates are not read: that can take longer than a small
/// snapshot does.
///
/// # Errors
/// As [`trusting`].
pub(super) fn plain() -> Result<SharedHttpClient> {
    client(TrustStore::empty())
}

/// Made as the SDK makes its own, with the environment's proxy (aws-smithy-runtime 1.16, src/client/http.rs).
fn client(store: TrustStore) -> Result<SharedHttpClient> {
    let context = TlsContext::builder()
        .with_trust_store(store)
        .build()
        .map_err(|error| Error::usage(format!("the CA bundle is unusable: {error}")))?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder =
            ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        builder.set_proxy_config(Some(ProxyConfig::from_env()));
        builder.build()
    }))
}
