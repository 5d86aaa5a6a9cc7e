//! Whether a connection came over loopback, which is where a port-forward arrives.
//!
//! The right to forward a port to the pod is then the guard. Headers say nothing here: only the
//! addresses of the accepted socket count.

use std::net::{IpAddr, SocketAddr};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;

use super::listen::Bounded;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Ours; `None` when the socket did not tell.
    pub local: Option<SocketAddr>,
    pub peer: SocketAddr,
}

impl Link {
    /// Whether the connection came over loopback.
    ///
    /// Both ends are asked for: where `route_localnet` is set, a neighbour can address a packet to
    /// 127.0.0.1 (CVE-2020-8558), but not from there.
    pub(super) fn is_local(self) -> bool {
        self.local.is_some_and(|local| is_loopback(local.ip())) && is_loopback(self.peer.ip())
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Link {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self { local: stream.io().local_addr().ok(), peer: *stream.remote_addr() }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    // a dual-stack socket shows an IPv4 client as ::ffff:127.0.0.1
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_over_loopback_are_local() {
        let local = |local: Option<&str>, peer: &str| {
            let address = |text: &str| text.parse::<SocketAddr>().unwrap();
            Link { local: local.map(address), peer: address(peer) }.is_local()
        };
        assert!(local(Some("127.0.0.1:19999"), "127.0.0.1:40000"));
        assert!(local(Some("[::1]:19999"), "[::1]:40000"));
        assert!(local(Some("[::ffff:127.0.0.1]:19999"), "[::ffff:127.0.0.1]:40000"));
        assert!(!local(Some("10.0.0.7:19999"), "10.0.0.8:40000"));
        assert!(!local(Some("10.0.0.7:19999"), "127.0.0.1:40000"));
        assert!(!local(Some("127.0.0.1:19999"), "10.0.0.8:40000"));
        assert!(!local(Some("[::ffff:10.0.0.7]:19999"), "[::ffff:10.0.0.8]:40000"));
        assert!(!local(Some("[fd00::7]:19999"), "[fd00::8]:40000"));
        assert!(!local(None, "127.0.0.1:40000"));
    }
}
