//! What is sent to a sidecar: where to, and with which query.

use http::header::HOST;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Empty;

use crate::api::names::SIDECAR_PORT;
use crate::error::{Error, Result};
use crate::source::{StoredSnapshot, Wanted};

/// The path of a backup.
pub(super) const PATH: &str = "/v1/backup";

/// Where a sidecar answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// For messages: `service etcd-a-backup-sidecar`, or the URL.
    pub shown: String,
    host: String,
    port: u16,
    /// Whether it is https.
    pub tls: bool,
    /// Path before `/v1/backup`, without a trailing slash: an ingress may add one.
    prefix: String,
}

impl Base {
    /// The Service `name` in `namespace`.
    pub(super) fn of_service(name: &str, namespace: &str) -> Self {
        let host = format!("{name}.{namespace}.svc");
        Self { shown: format!("service {name}"), host, port: SIDECAR_PORT, tls: false, prefix: String::new() }
    }

    /// The same, as messages are to call it.
    pub(super) fn called(self, shown: &str) -> Self {
        Self { shown: shown.to_owned(), ..self }
    }

    /// A URL, with or without `/v1/backup`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when it is not an http or https URL.
    pub(super) fn of_url(url: &str) -> Result<Self> {
        let wrong = |why: &str| Error::usage(format!("invalid sidecar URL {url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("must start with http:// or https://")),
        };
        let authority = uri.authority().filter(|found| !found.host().is_empty() && !found.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("must name a host and no user"))?;
        let path = uri.path().trim_end_matches('/');
        let prefix = path.strip_suffix(PATH).unwrap_or(path).trim_end_matches('/').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { shown: url.to_owned(), host: authority.host().to_owned(), port, tls, prefix })
    }

    /// Host and port to connect to.
    pub(super) fn address(&self) -> (&str, u16) {
        // an IPv6 address stands in brackets in a URL and without them in a socket address
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// The URL of the backup, for messages.
    pub(super) fn url(&self) -> String {
        format!("{}{}{PATH}", self.origin(), self.prefix)
    }

    /// Scheme, host and port as a URL.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }

    /// A request for `path`.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when it cannot be formed.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
    ) -> Result<Request<Empty<bytes::Bytes>>> {
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}{path}{mark}{query}", self.prefix);
        let request = Request::builder().method(method).uri(uri).header(HOST, format!("{}:{}", self.host, self.port));
        let mut request =
            request.body(Empty::new()).map_err(|error| Error::general(format!("{}: {error}", self.shown)))?;
        request.headers_mut().extend(headers);
        Ok(request)
    }
}

/// The query for what is wanted. What is not asked for is left out: an old sidecar refuses every version after 3.2.
pub(super) fn query(wanted: &Wanted) -> String {
    join(&[
        ("etcdVersion", wanted.etcd_version.as_ref().map(ToString::to_string)),
        ("etcdRevision", wanted.revision.map(|revision| revision.to_string())),
        ("history", wanted.history.clone()),
    ])
}

/// The query for exactly this snapshot.
pub(super) fn exact(snapshot: &StoredSnapshot) -> String {
    join(&[
        ("etcdVersion", Some(snapshot.name.version().to_string())),
        ("etcdRevision", Some(snapshot.name.revision().to_string())),
        ("history", Some(snapshot.history.name().to_owned())),
    ])
}

fn join(pairs: &[(&str, Option<String>)]) -> String {
    let given = pairs.iter().filter_map(|(key, value)| Some(format!("{key}={}", encode(value.as_ref()?))));
    given.collect::<Vec<_>>().join("&")
}

/// Percent-encodes all but RFC 3986's unreserved characters; a plus sign would be read as a space.
fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;

    #[test]
    fn queries_hold_only_what_is_wanted() {
        assert_eq!(query(&Wanted::default()), "");
        let wanted = Wanted {
            revision: Some(15),
            etcd_version: Some(Version::parse("3.1.0-rc.1+b").unwrap()),
            history: Some("a b&c".to_owned()),
        };
        assert_eq!(query(&wanted), "etcdVersion=3.1.0-rc.1%2Bb&etcdRevision=15&history=a%20b%26c");
    }

    #[test]
    fn urls_are_taken_as_people_paste_them() {
        for url in ["http://h", "http://h/", "http://h:80/v1/backup", "http://h/v1/backup/?etcdVersion=3.1.0"] {
            assert_eq!(Base::of_url(url).unwrap().url(), "http://h:80/v1/backup", "{url}");
        }
        assert_eq!(Base::of_url("https://h/etcd-a").unwrap().url(), "https://h:443/etcd-a/v1/backup");
        let base = Base::of_url("http://[::1]:19999/etcd-a/").unwrap();
        assert_eq!((base.address(), base.url().as_str()), (("::1", 19999), "http://[::1]:19999/etcd-a/v1/backup"));
        let request = base.request(Method::GET, PATH, "history=latest", HeaderMap::new()).unwrap();
        assert_eq!(request.uri(), "/etcd-a/v1/backup?history=latest");
        for bad in ["", "h", "h:80", "ftp://h", "http://", "http://u:p@h", "/v1/backup"] {
            assert!(Base::of_url(bad).is_err(), "{bad}");
        }
    }
}
