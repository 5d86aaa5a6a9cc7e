//! Client URLs of etcd members.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Error, Result};

/// Longest name that DNS allows (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// Longest label of a name that DNS allows (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// Where a member listens for clients: scheme, host and port, in one normal form, so that two
/// spellings of one address compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    https: bool,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Endpoint {
    /// Whether the connection is TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The same host and port with or without TLS.
    pub(super) fn with_https(&self, https: bool) -> Self {
        Self { https, ..self.clone() }
    }

    /// Whether the host is the address that servers listen on (0.0.0.0, ::), which is nobody's address.
    pub fn is_unspecified(&self) -> bool {
        matches!(self.host, Host::Ip(ip) if ip.is_unspecified())
    }

    /// The TCP port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as the resolver takes it: a name, or an IP address without brackets.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    /// The URL without a path: `https://[::1]:2379`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "{scheme}://[{ip}]:{}", self.port),
            Host::Ip(ip) => write!(f, "{scheme}://{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{scheme}://{name}:{}", self.port),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Reads `http://HOST:PORT` or `https://HOST:PORT`, with at most a slash after it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for everything else: other schemes, user
    /// names, paths, a missing port. The same is refused that etcd refuses in its own flags
    /// (etcd-io/etcd, client/pkg/types/urls.go, v3.5), and more.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| {
            Error::usage(format!("{text:?} is not an etcd client URL: {reason}"))
                .hint("write http://HOST:PORT or https://HOST:PORT; etcd's client port is usually 2379")
        })
    }
}

fn parse(text: &str) -> Result<Endpoint, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err("its scheme is neither http nor https"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err("user names and passwords do not belong into it");
    }
    if authority.contains(['/', '?', '#', '\\']) {
        return Err("it has more than host and port");
    }
    let (host, port) = authority.rsplit_once(':').ok_or("it has no port")?;
    if host.starts_with('[') != host.ends_with(']') || authority.ends_with(']') {
        return Err("it has no port");
    }
    Ok(Endpoint { https, host: parse_host(host)?, port: parse_port(port)? })
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    // u16's own parser would take a plus sign
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err("its port is not a number from 1 to 65535"),
    }
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let ip: Ipv6Addr = inner.parse().map_err(|_| "the host in brackets is not an IPv6 address")?;
        return Ok(Host::Ip(ip.into()));
    }
    if text.contains(':') {
        return Err("an IPv6 address needs brackets");
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Host::Ip(ip));
    }
    // a trailing dot only says that the name is complete; certificates never carry it
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > MAX_NAME || !name.split('.').all(label) {
        return Err("its host is not a DNS name");
    }
    // resolvers read 127.1 and 0x7f.1 as addresses in a notation that hides what they are
    if name.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit())) {
        return Err("its host is neither a DNS name nor an IP address");
    }
    // with the dot kept, the resolver leaves its search list alone
    Ok(Host::Name(text.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn urls_come_out_in_one_form() {
        for (text, normal) in [
            ("http://10.0.0.1:2379", "http://10.0.0.1:2379"),
            ("HTTPS://Etcd-0.etcd.NS.svc:2379/", "https://etcd-0.etcd.ns.svc:2379"),
            ("https://etcd.ns.svc.cluster.local.:2379", "https://etcd.ns.svc.cluster.local.:2379"),
            ("https://[0:0:0:0:0:0:0:1]:02379", "https://[::1]:2379"),
            ("http://my_etcd:1", "http://my_etcd:1"),
            ("http://3etcd.example:65535", "http://3etcd.example:65535"),
        ] {
            assert_eq!(endpoint(text).to_string(), normal);
        }
    }

    #[test]
    fn host_has_no_brackets() {
        assert_eq!(endpoint("https://[::1]:2379").host(), "::1");
        assert!(endpoint("http://[::]:2379").is_unspecified());
        assert!(endpoint("http://0.0.0.0:2379").is_unspecified());
        assert!(!endpoint("http://127.0.0.1:2379").is_unspecified());
    }

    #[test]
    fn everything_else_is_a_usage_error() {
        for text in [
            "",
            "etcd:2379",
            "://etcd:2379",
            "unix:///run/etcd.sock",
            "unixs://etcd:2379",
            "ftp://etcd:2379",
            "http://",
            "http://:2379",
            "http://etcd",
            "http://etcd:",
            "http://etcd:0",
            "http://etcd:+1",
            "http://etcd:65536",
            "http://etcd:2379x",
            "http://etcd:2379//",
            "http://etcd:2379/v2",
            "http://etcd:2379?x=1",
            "http://etcd:2379#x",
            "http://root:secret@etcd:2379",
            "http://good:2379\\@evil:2379",
            "http://[::1]",
            "http://[::1",
            "http://::1:2379",
            "http://[fe80::1%eth0]:2379",
            "http://[1.2.3.4]:2379",
            "http://1.2.3:2379",
            "http://0x7f.1:2379",
            "http://127.1:2379",
            "http://a..b:2379",
            "http://.:2379",
            "http://a b:2379",
            "http://etcd:2379\n",
            "http://etcd\0:2379",
            "http://ëtcd:2379",
            "http://a:2379,http://b:2379",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text:?}");
        }
        assert!(format!("http://{}:1", "a".repeat(64)).parse::<Endpoint>().is_err());
        assert!(format!("http://{}:1", "a.".repeat(130)).parse::<Endpoint>().is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics_and_the_normal_form_is_stable(text in "(http|https)?(://)?[a-z0-9:.\\[\\]@/%\\\\ -]{0,24}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
            }
        }
    }
}
