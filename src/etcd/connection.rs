//! One connection to one member, which is never opened a second time.
//!
//! tonic's `Channel` reconnects whenever its connection is gone; behind a balancer that could be
//! another member, and a revision of one with the snapshot of the other would be stored as one
//! backup. So the TCP connection is made here, and tonic gets it from a connector that has just this one.

use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tower_service::Service;

use super::access::{Access, Tls, holds_certificate};
use super::endpoint::Endpoint;
use super::failure;
use crate::error::{Error, Result};

/// How long a connection with a call under way may be silent before the peer is asked for a sign of
/// life, and how long that may take. etcd closes connections that ask more often than every 5 s
/// (`--grpc-keepalive-min-time`; etcd-io/etcd, server/embed/config.go, v3.5).
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Bytes that etcd may send ahead of what was consumed; bounds the memory of a slow upload.
const WINDOW_BYTES: u32 = 2 << 20;

/// Opens the connection and, for `https`, makes the TLS handshake.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) when certificates do not fit,
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when nobody answers.
pub(super) async fn open(endpoint: &Endpoint, access: &Access) -> Result<Channel> {
    let stream = OnlyStream(Some(tcp(endpoint, access.connect_timeout).await?));
    let mut settings = tonic::transport::Endpoint::from_shared(endpoint.to_string())
        .map_err(|error| failure::connecting(endpoint, &error))?
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    if endpoint.is_https() {
        let tls = tls_settings(endpoint, access)?;
        settings = settings.tls_config(tls).map_err(|error| failure::certificates(endpoint, &error))?;
    }
    settings.connect_with_connector(stream).await.map_err(|error| failure::connecting(endpoint, &error))
}

fn tls_settings(endpoint: &Endpoint, access: &Access) -> Result<ClientTlsConfig> {
    let Tls { ca, client } = access.tls.clone().unwrap_or_default();
    let name = endpoint.host();
    let settings =
        ClientTlsConfig::new().timeout(access.connect_timeout).domain_name(name.strip_suffix('.').unwrap_or(&name));
    let settings = match ca {
        Some(pem) if !holds_certificate(&pem) => {
            return Err(Error::denied(format!("etcd {endpoint}: the CA file holds no PEM certificate")));
        }
        Some(pem) => settings.ca_certificate(Certificate::from_pem(pem)),
        None => settings.with_native_roots(),
    };
    Ok(match client {
        Some((certificate, key)) => settings.identity(Identity::from_pem(certificate, key)),
        None => settings,
    })
}

async fn tcp(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream> {
    let failed = |reason: String| Error::general(format!("etcd {endpoint}: {reason}"));
    let dial = async {
        let found = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await;
        let addresses: Vec<_> = found.map_err(|error| failed(format!("cannot resolve the host: {error}")))?.collect();
        let stream = TcpStream::connect(addresses.as_slice()).await;
        stream.map_err(|error| failed(format!("cannot connect: {error}")))
    };
    let stream = timeout(limit, dial).await.map_err(|_| failed(format!("cannot connect within {limit:?}")))??;
    stream.set_nodelay(true).map_err(|error| failed(format!("cannot connect: {error}")))?;
    Ok(stream)
}

/// A connector that hands out its one connection once.
struct OnlyStream(Option<TcpStream>);

impl Service<Uri> for OnlyStream {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the connection is gone and is not opened again");
        ready(self.0.take().map(TokioIo::new).ok_or_else(gone))
    }
}
