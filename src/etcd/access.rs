//! What a connection to etcd needs besides the URL: TLS files, user name and password, time limits.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Result};

/// The two forms in which a client TLS Secret names its keys: certificate, key, CA. The first is
/// etcd-operator's (coreos/etcd-operator, doc/user/cluster_tls.md, v0.9.4), the second Kubernetes'
/// own for `kubernetes.io/tls`.
const TLS_FORMS: [[&str; 3]; 2] =
    [["etcd-client.crt", "etcd-client.key", "etcd-client-ca.crt"], ["tls.crt", "tls.key", "ca.crt"]];

/// How to get into an etcd cluster.
#[derive(Debug, Clone)]
pub struct Access {
    /// For `https` endpoints; without it the system's CAs are trusted and no client certificate is shown.
    pub tls: Option<Tls>,
    /// For clusters with authentication enabled; ignored by the others.
    pub auth: Option<UserPassword>,
    /// The longest wait for name resolution and TCP, and again for the TLS handshake.
    pub connect_timeout: Duration,
    /// The longest wait for one answer, and for each next piece of a snapshot.
    pub request_timeout: Duration,
}

/// PEM files for TLS. `Debug` shows which there are, never what is in them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The CAs that etcd's certificate must come from; `None` means the system's.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate chain and its private key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Reads a mounted client TLS Secret in either form of keys: `etcd-client.crt`,
    /// `etcd-client.key`, `etcd-client-ca.crt`, or `tls.crt`, `tls.key`, `ca.crt`. The first form
    /// wins if there are files of both. The pair may be missing as a whole, and so may the CA.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied), naming the file, when one half of the
    /// pair is missing, a file cannot be read or holds no PEM certificate, or there is none at all.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        for [certificate, key, ca] in TLS_FORMS {
            let files =
                [read_optional(directory, certificate)?, read_optional(directory, key)?, read_optional(directory, ca)?];
            let client = match files {
                [None, None, None] => continue,
                [Some(_), None, _] => return Err(missing(directory, key, certificate)),
                [None, Some(_), _] => return Err(missing(directory, certificate, key)),
                [Some(chain), Some(secret), ca] => (Some((chain, secret)), ca),
                [None, None, ca] => (None, ca),
            };
            let tls = Self { client: client.0, ca: client.1 };
            for (name, bytes) in [(certificate, tls.client.as_ref().map(|pair| &pair.0)), (ca, tls.ca.as_ref())] {
                if bytes.is_some_and(|bytes| !holds_certificate(bytes)) {
                    return Err(denied(format!("{} holds no PEM certificate", directory.join(name).display())));
                }
            }
            return Ok(tls);
        }
        let [[certificate, key, ca], _] = TLS_FORMS;
        Err(denied(format!("{} holds none of {certificate}, {key}, {ca}", directory.display())))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("ca", &self.ca.is_some()).field("client", &self.client.is_some()).finish()
    }
}

/// An etcd user. `Debug` shows the name only.
#[derive(Clone, PartialEq, Eq)]
pub struct UserPassword {
    /// The user's name.
    pub username: String,
    /// The password, in clear.
    pub password: String,
}

impl UserPassword {
    /// Reads a mounted Secret with the keys `username` and `password`; one line break at the end of
    /// a value, as editors leave it, is not part of it.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied), naming the file, when one is missing,
    /// unreadable, not UTF-8, or the name is empty.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = directory.join(name);
            let hint = "the Secret named by clientAuthSecret has the keys username and password";
            let bytes = read_optional(directory, name)?
                .ok_or_else(|| Error::denied(format!("{} is missing", path.display())).hint(hint))?;
            let text = String::from_utf8(bytes)
                .map_err(|_| Error::denied(format!("{} is not UTF-8", path.display())).hint(hint))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
        };
        let user = Self { username: read("username")?, password: read("password")? };
        if user.username.is_empty() {
            return Err(Error::denied(format!("{} is empty", directory.join("username").display())));
        }
        Ok(user)
    }
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPassword").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Whether PEM text has at least one certificate: rustls takes a text without any in silence and
/// then trusts nobody.
pub(super) fn holds_certificate(pem: &[u8]) -> bool {
    matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_)))
}

fn read_optional(directory: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = directory.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::denied(format!("cannot read {}: {error}", path.display()))),
    }
}

fn missing(directory: &Path, name: &str, other: &str) -> Error {
    denied(format!("{} is missing, although {other} is there", directory.join(name).display()))
}

fn denied(message: String) -> Error {
    let [a, b] = TLS_FORMS.map(|names| names.join(", "));
    Error::denied(message).hint(format!("the Secret named by clientTLSSecret has the keys {a}; or {b}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// PEM armour around any base64: what is inside is not looked at here.
    const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    #[test]
    fn reads_both_forms_and_prefers_the_operator_s() {
        let kubernetes = directory(&[("tls.crt", CERTIFICATE), ("tls.key", b"k"), ("ca.crt", CERTIFICATE)]);
        let tls = Tls::from_directory(kubernetes.path()).unwrap();
        assert_eq!(tls, Tls { ca: Some(CERTIFICATE.into()), client: Some((CERTIFICATE.into(), b"k".into())) });
        std::fs::write(kubernetes.path().join("etcd-client-ca.crt"), CERTIFICATE).unwrap();
        let tls = Tls::from_directory(kubernetes.path()).unwrap();
        assert_eq!(tls, Tls { ca: Some(CERTIFICATE.into()), client: None });
    }

    #[test]
    fn half_a_pair_names_the_missing_file() {
        for (there, gone) in [("tls.crt", "tls.key"), ("etcd-client.key", "etcd-client.crt")] {
            let error = Tls::from_directory(directory(&[(there, CERTIFICATE)]).path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.message().contains(&format!("{gone} is missing")), "{error}");
        }
    }

    #[test]
    fn nothing_or_no_certificate_is_denied() {
        let error = Tls::from_directory(directory(&[]).path()).unwrap_err();
        assert!(error.message().contains("holds none of etcd-client.crt"), "{error}");
        let error = Tls::from_directory(directory(&[("ca.crt", b"")]).path()).unwrap_err();
        assert!(error.message().ends_with("ca.crt holds no PEM certificate"), "{error}");
    }

    #[test]
    fn user_and_password_lose_one_line_break() {
        let files = directory(&[("username", b"root\n"), ("password", b"se cret\n\n")]);
        let user = UserPassword::from_directory(files.path()).unwrap();
        assert_eq!(user, UserPassword { username: "root".into(), password: "se cret\n".into() });
        let error = UserPassword::from_directory(directory(&[("username", b"root")]).path()).unwrap_err();
        assert!(error.message().ends_with("password is missing"), "{error}");
        let error = UserPassword::from_directory(directory(&[("username", b"\n"), ("password", b"")]).path());
        assert!(error.unwrap_err().message().ends_with("username is empty"));
    }

    #[test]
    fn debug_keeps_secrets() {
        let access = Access {
            tls: Some(Tls { ca: None, client: Some((b"chain".into(), b"SECRETKEY".into())) }),
            auth: Some(UserPassword { username: "root".into(), password: "hunter2".into() }),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
        };
        let text = format!("{access:?}");
        assert!(text.contains("root") && !text.contains("hunter2"), "{text}");
        assert!(!text.contains("SECRET") && !text.contains("83"), "{text}");
    }
}
