//! The query of `/v1/backup`.
//!
//! Source: coreos/etcd-operator, pkg/backup/backup_service.go at v0.6.1 (`serveBackup`), whose texts are kept,
//! spelling mistake included: scripts match them.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use semver::Version;

use super::answer::Refusal;

/// Which snapshot a request asks for; the newest when nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// `etcdVersion`: the etcd that is to be restored, or with a revision the snapshot's own version.
    pub version: Option<Version>,
    /// `etcdRevision`, decimal, signed as in etcd.
    pub revision: Option<i64>,
    /// `history`: a name or `latest`.
    pub history: Option<String>,
}

/// Reads the query; unknown parameters are ignored, and of a repeated one the first counts, as in Go.
///
/// # Errors
/// 400 with upstream's text.
pub(super) fn parse(uri: &Uri) -> Result<Asked, Refusal> {
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| bad(error.body_text()))?;
    let first =
        |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty());
    let (version, revision) = (first("etcdVersion"), first("etcdRevision"));
    let revision = revision.map(str::parse::<i64>).transpose();
    let revision = revision.map_err(|_| bad("revision is not a vaild integer".to_owned()))?;
    if revision.is_some() && version.is_none() {
        return Err(bad("version must be provided when revision is provided.".to_owned()));
    }
    let parsed =
        |text: &str| Version::parse(text).map_err(|error| bad(format!("invalid param 'version' ({text}): {error}")));
    let version = version.map(parsed).transpose()?;
    Ok(Asked { version, revision, history: first("history").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<Asked, String> {
        parse(&format!("/v1/backup?{query}").parse().unwrap()).map_err(|refusal| refusal.text)
    }

    #[test]
    fn reads_what_clients_send() {
        assert_eq!(read(""), Ok(Asked::default()));
        assert_eq!(read("etcdVersion=&etcdRevision=&history=&other=1"), Ok(Asked::default()));
        let asked = read("etcdVersion=3.1.0-alpha.1%2Bx&etcdRevision=15&history=latest&etcdRevision=16").unwrap();
        assert_eq!(asked.version, Some(Version::parse("3.1.0-alpha.1+x").unwrap()));
        assert_eq!((asked.revision, asked.history.as_deref()), (Some(15), Some("latest")));
    }

    #[test]
    fn refuses_in_upstreams_words_and_order() {
        assert_eq!(read("etcdRevision=0xf").unwrap_err(), "revision is not a vaild integer");
        assert_eq!(read("etcdRevision=9223372036854775808").unwrap_err(), "revision is not a vaild integer");
        assert_eq!(read("etcdRevision=15").unwrap_err(), "version must be provided when revision is provided.");
        for bad in ["3.1", "v3.1.0", "%00", "..%2f"] {
            let text = read(&format!("etcdVersion={bad}")).unwrap_err();
            assert!(text.starts_with("invalid param 'version' ("), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_a_panic(query in "[ -~]{0,80}") {
            if let Ok(uri) = format!("/v1/backup?{query}").parse::<Uri>() {
                let _ = parse(&uri);
            }
        }
    }
}
