//! Which stored snapshot answers a request.

use axum::http::StatusCode;

use super::answer::Refusal;
use super::query::Asked;
use crate::error::ErrorKind;
use crate::source::{StoredSnapshot, Wanted, select};

/// What the store has to look for so that [`choose`] can choose.
pub(super) fn wanted(asked: &Asked) -> Wanted {
    Wanted {
        revision: asked.revision.map(i64::unsigned_abs),
        etcd_version: asked.version.clone(),
        history: asked.history.clone(),
    }
}

/// Chooses the snapshot.
///
/// # Errors
/// 404 when there is none; 409 with the candidates, one a line, when more than one history holds
/// snapshots and none is named; 400 when the newest does not suit the version.
pub(super) fn choose<'a>(stored: &'a [StoredSnapshot], asked: &Asked) -> Result<&'a StoredSnapshot, Refusal> {
    let wanted = Wanted { history: asked.history.clone(), ..Wanted::default() };
    if asked.history.is_none() && more_than_one_history(stored) {
        let text = select(stored, &wanted).err().map(|error| error.message().to_owned());
        return Err(Refusal::new(StatusCode::CONFLICT, text.unwrap_or_default()));
    }
    let newest = pick(stored, &wanted)?;
    match (asked.revision, &asked.version) {
        (Some(revision), Some(version)) => {
            let exact = |snapshot: &&StoredSnapshot| {
                let name = &snapshot.name;
                snapshot.history == newest.history
                    && i64::try_from(name.revision()) == Ok(revision)
                    && name.version() == version
            };
            let found = stored.iter().filter(exact).max_by(|a, b| a.name.cmp(&b.name));
            found.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "backup not found"))
        }
        _ => pick(stored, &Wanted { etcd_version: asked.version.clone(), ..wanted }),
    }
}

fn pick<'a>(stored: &'a [StoredSnapshot], wanted: &Wanted) -> Result<&'a StoredSnapshot, Refusal> {
    select(stored, wanted).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Refusal::new(StatusCode::NOT_FOUND, error.message()),
        // upstream's sentence, and on a line of its own the older one that suits
        _ => {
            let suiting = error.hints().iter().find(|hint| hint.contains("--revision"));
            let text = suiting.map(|hint| format!("{}\n{hint}", error.message()));
            Refusal::new(StatusCode::BAD_REQUEST, text.unwrap_or_else(|| error.message().to_owned()))
        }
    })
}

fn more_than_one_history(stored: &[StoredSnapshot]) -> bool {
    stored.first().is_some_and(|first| stored.iter().any(|other| other.history != first.history))
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;
    use crate::snapshot::{History, SnapshotName};

    fn stored(name: &str, history: History) -> StoredSnapshot {
        let name = SnapshotName::parse(name).unwrap();
        StoredSnapshot { location: name.to_string(), name, history, size: None, etag: None, modified: None }
    }

    fn ask(
        stored: &[StoredSnapshot],
        version: &str,
        revision: Option<i64>,
        history: Option<&str>,
    ) -> Result<u64, (u16, String)> {
        let version = (!version.is_empty()).then(|| Version::parse(version).unwrap());
        let asked = Asked { version, revision, history: history.map(str::to_owned) };
        let found = choose(stored, &asked).map_err(|refusal| (refusal.status.as_u16(), refusal.text))?;
        Ok(found.name.revision())
    }

    #[test]
    fn upstreams_own_vectors() {
        let all = [
            stored("3.0.15_000000000000000a_etcd.backup", History::First),
            stored("2.3.7_01_etcd.backup", History::First),
        ];
        for compatible in ["3.0.15", "3.0.0", "3.1.0-alpha.1", "3.1.0", ""] {
            assert_eq!(ask(&all, compatible, None, None), Ok(10), "{compatible}");
        }
        let text = |version: &str| format!("requested version ({version}) is not compatible with the backup (3.0)");
        assert_eq!(ask(&all, "3.2.0", None, None), Err((400, text("3.2"))));
        let suiting = text("2.3") + "\nthe newest that suits is --revision 1";
        assert_eq!(ask(&all, "2.3.7", None, None), Err((400, suiting)));
    }

    #[test]
    fn compatibility_has_no_end() {
        let all = [stored("3.5.21_0f_etcd.backup", History::First)];
        assert_eq!(ask(&all, "3.6.1", None, None), Ok(15));
        assert_eq!(ask(&all, "3.7.0", None, None).unwrap_err().0, 400);
    }

    #[test]
    fn a_revision_is_taken_exactly_or_not_at_all() {
        let all = [stored("3.4.0_0f_etcd.backup", History::First), stored("3.6.0_10_etcd.backup", History::First)];
        assert_eq!(ask(&all, "3.4.0", Some(15), None), Ok(15));
        for (version, revision) in [("3.4.1", 15), ("3.4.0", 16), ("3.4.0", -15), ("3.4.0", i64::MIN)] {
            assert_eq!(ask(&all, version, Some(revision), None), Err((404, "backup not found".to_owned())));
        }
        assert_eq!(ask(&[], "3.4.0", Some(15), None).unwrap_err().0, 404);
        assert_eq!(ask(&[], "", None, None).unwrap_err().0, 404);
    }

    #[test]
    fn two_histories_have_to_be_chosen_from() {
        let later = || History::Later("20260101T000000Z_ab".to_owned());
        let all = [stored("3.5.0_ff_etcd.backup", History::First), stored("3.5.0_02_etcd.backup", later())];
        let (status, text) = ask(&all, "", None, None).unwrap_err();
        assert_eq!(status, 409);
        assert!(text.lines().any(|line| line.contains("20260101T000000Z_ab: newest 3.5.0_02_etcd.backup")), "{text}");
        assert_eq!(ask(&all, "3.5.0", Some(2), None).unwrap_err().0, 409);
        assert_eq!(ask(&all, "", None, Some("latest")), Ok(2));
        assert_eq!(ask(&all, "3.5.0", Some(255), Some("first")), Ok(255));
        assert_eq!(ask(&all, "3.5.0", Some(255), Some("latest")).unwrap_err().0, 404);
        assert_eq!(ask(&all, "", None, Some("nope")).unwrap_err().0, 404);
    }
}
