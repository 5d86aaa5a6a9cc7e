//! What a sidecar's answer means.

use std::ops::Range;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, StatusCode};
use semver::Version;

use super::request::Base;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::layout::{Entry, classify};
use crate::snapshot::{History, SnapshotName};
use crate::source::{CHOOSE_HISTORY, StoredSnapshot, Wanted};

/// A snapshot as the headers of an answer describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub snapshot: StoredSnapshot,
    /// The sidecar is ours: it names the history and selects exactly for every etcd version.
    pub modern: bool,
}

impl Seen {
    /// Reads the headers; the size is left open.
    ///
    /// # Errors
    /// [`ErrorKind::General`] when they do not describe a snapshot: then something else answered.
    pub(super) fn read(headers: &HeaderMap, base: &Base) -> Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let odd = |what: &str| Error::general(format!("{}: no backup sidecar answered ({what})", base.shown));
        let version = text("x-etcd-version").and_then(|version| Version::parse(version).ok());
        let version = version.ok_or_else(|| odd("no usable X-etcd-Version"))?;
        // decimal, although the name in the store is hexadecimal
        let revision = text("x-revision").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let revision = revision.and_then(|text| text.parse::<i64>().ok()).and_then(|number| u64::try_from(number).ok());
        let name = SnapshotName::new(version, revision.ok_or_else(|| odd("no usable X-Revision"))?);
        let history = match headers.get("x-etcdbackup-history") {
            None => None,
            Some(value) => {
                let history = value.to_str().ok().and_then(|text| history(text, &name));
                Some(history.ok_or_else(|| odd("no usable X-Etcdbackup-History"))?)
            }
        };
        let modern = history.is_some();
        let snapshot = StoredSnapshot {
            history: history.unwrap_or(History::First),
            location: base.url(),
            size: None,
            etag: text(ETAG.as_str()).map(str::to_owned),
            modified: None,
            name,
        };
        Ok(Self { snapshot, modern })
    }

    /// Whether this is the snapshot that was chosen.
    pub(super) fn is_still(&self, chosen: &StoredSnapshot) -> bool {
        self.snapshot.name == chosen.name && self.snapshot.history == chosen.history
    }

    /// Whether this is what was asked for; an old sidecar ignores what it does not know.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::General`] when it is not.
    pub(super) fn check(&self, wanted: &Wanted, base: &Base) -> Result<()> {
        let found = self.snapshot.name.revision();
        if let Some(revision) = wanted.revision.filter(|revision| *revision != found) {
            // before v0.3.1 the parameter was not read at all
            let sentence = format!("{}: asked for revision {revision} and was offered {found}", base.shown);
            return Err(Error::not_found(sentence).hint("use --from s3, which reads every revision"));
        }
        match wanted.history.as_deref() {
            None => Ok(()),
            Some("latest") if self.modern => Ok(()),
            Some(name) if name == self.snapshot.history.name() => Ok(()),
            Some(name) => Err(Error::general(format!("{}: this sidecar knows no history {name:?}", base.shown))
                .hint("use --from s3, which reads every history")),
        }
    }
}

/// The form in which a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Zstd,
}

impl Coding {
    /// Reads the headers.
    ///
    /// # Errors
    /// [`ErrorKind::General`] for a coding that was not asked for.
    pub(super) fn read(headers: &HeaderMap, base: &Base) -> Result<Self> {
        match headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("unreadable")) {
            None | Some("identity") => Ok(Self::Identity),
            Some("zstd") => Ok(Self::Zstd),
            Some(other) => Err(Error::general(format!("{}: the bytes come coded as {other:?}", base.shown))
                .hint("what stands before the service must pass the bytes on as they are")),
        }
    }

    /// Whether a body in this form holds what was asked for: all of `size` bytes, where that is known, or `range` of
    /// them, which is never coded.
    pub(super) fn holds(self, headers: &HeaderMap, range: Option<&Range<u64>>, size: Option<u64>) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (announced, expected) = match (self, range, size) {
            (Self::Identity, None, _) => (length(headers), size),
            (Self::Identity, Some(range), Some(size)) => {
                let expected = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                if text(CONTENT_RANGE.as_str()) != Some(&expected) {
                    return false;
                }
                (length(headers), Some(range.end - range.start))
            }
            (Self::Zstd, None, Some(_)) => (text("x-snapshot-size").and_then(|size| size.parse().ok()), size),
            _ => return false,
        };
        announced.is_none() || expected.is_none() || announced == expected
    }
}

/// The length that a body is announced with.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn history(text: &str, name: &SnapshotName) -> Option<History> {
    if text == History::First.name() {
        return Some(History::First);
    }
    // the rule for a history's name is the layout's
    match classify(&format!("history/{text}/{name}")) {
        Entry::Snapshot(history @ History::Later(_), _) => Some(history),
        _ => None,
    }
}

/// The error that a status other than 200 and its text mean.
///
/// Source of the texts: coreos/etcd-operator, pkg/backup/backup_service.go, s3backend and filebackend at v0.6.1.
/// Our own sidecar says on a second line what would suit.
pub(super) fn refuse(status: StatusCode, text: &str, shown: &str) -> Error {
    let text = clean(text);
    let said = if text.is_empty() { status.to_string() } else { text };
    let error = |kind| Error::new(kind, format!("{shown}: {said}"));
    match status.as_u16() {
        401 | 403 => error(ErrorKind::Denied),
        404 if said.contains("404 page not found") => Error::not_found(format!("{shown}: no backup is stored"))
            .hint("the first one comes after a whole interval; `kubectl etcdbackup create` takes one now"),
        404 if said.starts_with("no history ") => error(ErrorKind::NotFound).hint(CHOOSE_HISTORY),
        404 => error(ErrorKind::NotFound),
        408 | 504 => error(ErrorKind::TimedOut),
        409 => error(ErrorKind::NotFound).hint(CHOOSE_HISTORY),
        400 if said.contains(INCOMPATIBLE) => {
            let (sentence, suiting) = said.split_once('\n').unwrap_or((&said, "leave out --etcd-version to take it"));
            Error::general(format!("{shown}: {sentence}")).hint(suiting)
        }
        500 => broken_store(&said, shown).unwrap_or_else(|| error(ErrorKind::General)),
        _ => error(ErrorKind::General),
    }
}

const INCOMPATIBLE: &str = "is not compatible with the backup";

/// What the old sidecar says when the fault is in its store; its status is 500 for all of it.
fn broken_store(said: &str, shown: &str) -> Option<Error> {
    if said.contains("NoSuchKey") {
        // the original takes only a file system's "not found" for one
        return Some(Error::not_found(format!("{shown}: no such backup is stored: {said}")));
    }
    if said.starts_with("failed to list ") {
        let error = Error::general(format!("{shown}: the backup service cannot read its store: {said}"));
        return Some(error.hint("look into its log, or read the store yourself with --from s3"));
    }
    if said.starts_with("fail to parse etcd version") {
        let error =
            Error::general(format!("{shown}: the newest backup has a name that the service cannot read: {said}"));
        return Some(error.hint("use --from s3, which skips such names"));
    }
    None
}

/// Text of a server as a terminal may see it: lines, but nothing else that controls.
fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.trim().chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pairs: &[(&'static str, &str)]) -> Result<Seen> {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Seen::read(&headers, &Base::of_service("etcd-a-backup-sidecar", "ns"))
    }

    #[test]
    fn an_old_answer_has_a_name_and_nothing_else() {
        let old = seen(&[("x-etcd-version", "3.1.0"), ("x-revision", "15")]).unwrap();
        assert_eq!(old.snapshot.name.as_str(), "3.1.0_000000000000000f_etcd.backup");
        assert_eq!(
            (old.snapshot.history, old.snapshot.size, old.snapshot.etag, old.modern),
            (History::First, None, None, false)
        );
    }

    #[test]
    fn answers_of_something_else_are_refused() {
        let version = ("x-etcd-version", "3.1.0");
        for revision in ["", "-1", "+1", "0xf", "9223372036854775808"] {
            assert!(seen(&[version, ("x-revision", revision)]).is_err(), "{revision:?}");
        }
        for version in ["", "3.1", "v3.1.0", "../3.1.0"] {
            assert!(seen(&[("x-etcd-version", version), ("x-revision", "1")]).is_err(), "{version:?}");
        }
        for history in ["", "..", "a/b", "a b"] {
            assert!(seen(&[version, ("x-revision", "1"), ("x-etcdbackup-history", history)]).is_err(), "{history:?}");
        }
        assert!(seen(&[version]).is_err());
    }

    #[test]
    fn an_answer_that_ignores_the_question_is_none() {
        let base = Base::of_service("s", "ns");
        let history = |name: &str| Wanted { history: Some(name.to_owned()), ..Wanted::default() };
        let pairs = [("x-etcd-version", "3.1.0"), ("x-revision", "15")];
        let old = seen(&pairs).unwrap();
        assert!(old.check(&Wanted::default(), &base).is_ok() && old.check(&history("first"), &base).is_ok());
        assert!(old.check(&history("latest"), &base).is_err() && old.check(&history("x"), &base).is_err());
        assert!(old.check(&Wanted { revision: Some(16), ..Wanted::default() }, &base).is_err());
        let later = seen(&[pairs[0], pairs[1], ("x-etcdbackup-history", "20260101T000000Z_ab")]).unwrap();
        assert!(
            later.check(&history("latest"), &base).is_ok()
                && later.check(&history("20260101T000000Z_ab"), &base).is_ok()
        );
        assert!(later.check(&history("first"), &base).is_err());
    }

    #[test]
    fn a_body_holds_all_or_just_the_range() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let holds = |coding: Coding, pairs: &[(&'static str, &str)], range: Option<Range<u64>>| {
            coding.holds(&headers(pairs), range.as_ref(), Some(100))
        };
        let part = || Some(10..20);
        assert!(holds(Coding::Identity, &[], None) && holds(Coding::Identity, &[("content-length", "100")], None));
        assert!(!holds(Coding::Identity, &[("content-length", "99")], None));
        assert!(holds(Coding::Identity, &[("content-range", "bytes 10-19/100")], part()));
        for other in ["bytes 0-19/100", "bytes 10-19/101", "bytes 10-19/*"] {
            assert!(!holds(Coding::Identity, &[("content-range", other)], part()), "{other}");
        }
        assert!(!holds(Coding::Identity, &[("content-length", "10")], part()));
        assert!(holds(Coding::Zstd, &[("x-snapshot-size", "100"), ("content-length", "7")], None));
        assert!(!holds(Coding::Zstd, &[("x-snapshot-size", "101")], None));
        assert!(!holds(Coding::Zstd, &[("content-range", "bytes 10-19/100")], part()));
        assert!(!Coding::Zstd.holds(&headers(&[]), None, None));
        let read = |coding: &str| Coding::read(&headers(&[("content-encoding", coding)]), &Base::of_service("s", "ns"));
        assert_eq!((read("zstd"), read("identity")), (Ok(Coding::Zstd), Ok(Coding::Identity)));
        assert!(read("gzip").is_err() && read("zstd, zstd").is_err());
    }

    #[test]
    fn refusals_keep_the_servers_words_and_get_an_exit_code() {
        let refused = |status: u16, text: &str| refuse(StatusCode::from_u16(status).unwrap(), text, "service s");
        let cases = [
            (400, "requested version (3.2) is not compatible with the backup (3.0)\n", ErrorKind::General),
            (401, "use a port-forward\n", ErrorKind::Denied),
            (404, "backup not found\n", ErrorKind::NotFound),
            (409, "2 histories hold snapshots\n  first: newest x\n", ErrorKind::NotFound),
            (502, "s3: access denied\n", ErrorKind::General),
            (504, "slow\n", ErrorKind::TimedOut),
        ];
        for (status, text, kind) in cases {
            let error = refused(status, text);
            assert_eq!((error.kind(), error.message()), (kind, format!("service s: {}", text.trim()).as_str()));
        }
        assert_eq!(refused(404, "404 page not found\n").message(), "service s: no backup is stored");
        let old = [
            ("failed to list s3 bucket: RequestError: x\n", ErrorKind::General, "cannot read its store"),
            ("failed to list dir (/var/etcd-backup): error (x)\n", ErrorKind::General, "cannot read its store"),
            ("NoSuchKey: The specified key does not exist.\n", ErrorKind::NotFound, "no such backup"),
            ("fail to parse etcd version from file (x_1_etcd.backup): x\n", ErrorKind::General, "cannot read: fail"),
        ];
        for (text, kind, says) in old {
            let error = refused(500, text);
            assert!(error.kind() == kind && error.message().contains(says), "{error}");
        }
        let suiting = refused(400, "requested version (3.5) is not compatible with the backup (3.6)\nthe newest: 7\n");
        assert_eq!((suiting.message().lines().count(), suiting.hints()), (1, &["the newest: 7".to_owned()][..]));
        assert_eq!(refused(500, "").message(), "service s: 500 Internal Server Error");
        assert_eq!(refused(500, "a\u{1b}[2Jb").message(), "service s: a [2Jb");
        for (status, text) in [(409, "x"), (404, "no history \"x\" (found: first)")] {
            assert_eq!(refused(status, text).hints(), [CHOOSE_HISTORY]);
        }
    }
}
