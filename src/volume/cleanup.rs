//! Deleting volumes that a restore or a rollback put aside, and no other: nothing else of this program deletes a volume.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types;
use jiff::Timestamp;

use super::inventory::{self, Snapshot, State, Volume, filter};
use super::state::{self, is_live_key};
use super::{plan, tags};
use crate::aws::compute::Compute;
use crate::error::{Error, Result};

/// A volume that carries our marks, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub volume: Volume,
    /// Why it stays; `None` when it goes.
    pub stays: Option<String>,
    /// Since when it has been put aside.
    pub since: Option<Timestamp>,
}

/// As [`verdicts`], and a volume stays when snapshots were taken of it first and none of them is completed.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn judge(
    compute: &Compute,
    volumes: &[Volume],
    run: Option<&str>,
    older_than: Duration,
    now: Timestamp,
) -> Result<Vec<Verdict>> {
    let mut verdicts = verdicts(volumes, run, older_than, now);
    if verdicts.iter().any(|verdict| verdict.stays.is_none()) {
        let first = filter(format!("tag:{}", tags::REASON), tags::SAFETY);
        let first = inventory::snapshots(compute, vec![first]).await?;
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.stays.is_none()) {
            verdict.stays = unproved(&verdict.volume, &first);
        }
    }
    Ok(verdicts)
}

/// Which of `volumes`, all of a cluster, go: those put aside at least `older_than` before `now`, by the restore `run`
/// where one is named. Volumes without our marks are not even listed.
fn verdicts(volumes: &[Volume], run: Option<&str>, older_than: Duration, now: Timestamp) -> Vec<Verdict> {
    let of_run = |volume: &&Volume| match (volume.tags.get(tags::RESTORE), run) {
        (Some(of), Some(run)) => of == run,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let verdict = |volume: &Volume| {
        let since = volume.tags.get(tags::PUT_ASIDE).and_then(|since| since.parse::<Timestamp>().ok());
        // one that a restore has made carries the time of its plan
        let since = since.map(|since| volume.created.map_or(since, |created| created.max(since)));
        let stays = reason_to_stay(volume, volumes, since, older_than, now);
        Verdict { volume: volume.clone(), stays, since }
    };
    volumes.iter().filter(of_run).map(verdict).collect()
}

fn reason_to_stay(
    volume: &Volume,
    all: &[Volume],
    since: Option<Timestamp>,
    older_than: Duration,
    now: Timestamp,
) -> Option<String> {
    let Some(since) = since else { return Some("it does not say since when it has been put aside".to_owned()) };
    if volume.tags.keys().any(|key| is_live_key(key)) {
        return Some("it has tags of kops".to_owned());
    }
    if !["available", "error"].contains(&volume.state.as_str()) {
        return Some(format!("it is {}", volume.state));
    }
    let run = volume.tags.get(tags::RESTORE);
    let mut of_run = all.iter().filter(|other| other.tags.get(tags::RESTORE) == run);
    if of_run.any(|other| !is_settled_beside(other, all) || is_half_replaced(other, all)) {
        return Some("its restore has not ended".to_owned());
    }
    let age = u64::try_from(now.as_second() - since.as_second()).unwrap_or_default();
    (age < older_than.as_secs()).then(|| "it is younger".to_owned())
}

/// Whether the disk of a volume that carries our marks has another in use, one without them that can be used.
fn is_settled_beside(volume: &Volume, all: &[Volume]) -> bool {
    let disk = tags::of_ours(&volume.tags);
    let usable = |other: &&Volume| ["in-use", "available"].contains(&other.state.as_str());
    disk.is_some_and(|disk| all.iter().filter(usable).any(|other| state::is_settled(other, &disk)))
}

/// Whether the volume that takes its place waits beside it, out of use. Then what is in use instead is not of us: kops
/// makes a blank volume where it finds none.
fn is_half_replaced(volume: &Volume, all: &[Volume]) -> bool {
    let replaced_by = volume.tags.get(tags::REPLACED_BY);
    let waits = |other: &&Volume| other.tags.get(tags::RESTORE) == volume.tags.get(tags::RESTORE);
    all.iter().filter(waits).any(|other| Some(&other.id) == replaced_by)
}

/// Why the snapshots that were taken of a volume before it went out of use are not enough to delete it; where there are
/// none, somebody wanted none.
fn unproved(volume: &Volume, snapshots: &[Snapshot]) -> Option<String> {
    let first = |reason: &String| tags::SAFETY.contains(&reason.as_str());
    let of_it = |one: &&Snapshot| one.volume == volume.id && one.tags.get(tags::REASON).is_some_and(first);
    let mut of_it: Vec<&Snapshot> = snapshots.iter().filter(of_it).collect();
    of_it.sort_by_key(|one| one.state != State::Completed);
    let best = of_it.first()?;
    match best.state {
        State::Completed => None,
        State::Failed(_) => Some(format!("its snapshot {} failed", best.id)),
        State::Pending | State::Other(_) => Some(format!("its snapshot {} is not completed", best.id)),
    }
}

/// Deletes a volume that has been put aside, after another look: the judgement may be minutes old. One that is gone
/// already is no error.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when it may not go any more; as [`Compute::explain`].
pub async fn delete(compute: &Compute, id: &str) -> Result<()> {
    let found = inventory::volumes(compute, vec![filter("volume-id", [id])]).await?;
    let Some(volume) = found.first().filter(|volume| !["deleting", "deleted"].contains(&volume.state.as_str())) else {
        return Ok(());
    };
    let cluster = volume.tags.get(tags::CLUSTER).map(String::as_str).unwrap_or_default();
    let all = plan::volumes(compute, cluster, &[]).await?;
    let verdicts = judge(compute, &all, None, Duration::ZERO, Timestamp::now()).await?;
    let stays = match verdicts.into_iter().find(|verdict| verdict.volume.id == id) {
        Some(verdict) => verdict.stays,
        None => Some("it is not put aside any more".to_owned()),
    };
    match stays {
        None => delete_now(compute, id).await,
        Some(reason) => Err(Error::general(format!("{id} stays: {reason}"))
            .hint(format!("kubectl etcdbackup volume cleanup --cluster-name {cluster} shows what goes"))),
    }
}

async fn delete_now(compute: &Compute, id: &str) -> Result<()> {
    match compute.ec2.delete_volume().volume_id(id).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().and_then(|error| error.code()) == Some("InvalidVolume.NotFound") => {
            Ok(())
        }
        Err(error) => Err(compute.explain(&error, "ec2", &format!("deleting {id}"))),
    }
}

/// Takes the marks from the snapshots of restores that have no volume left put aside, so that retention may delete
/// them. `left` are the volumes that are still there.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn release(compute: &Compute, runs: &BTreeSet<String>, left: &[Volume]) -> Result<()> {
    let still = |run: &&String| !left.iter().any(|volume| volume.tags.get(tags::RESTORE) == Some(run));
    for run in runs.iter().filter(still) {
        let marked = filter(format!("tag:{}", tags::RESTORED_BY), [run]);
        let snapshots = inventory::snapshots(compute, vec![marked]).await?;
        let marked = |snapshot: &&inventory::Snapshot| snapshot.tags.get(tags::RESTORED_BY) == Some(run);
        let ids: Vec<String> = snapshots.iter().filter(marked).map(|snapshot| snapshot.id.clone()).collect();
        if ids.is_empty() {
            continue;
        }
        // with its value: another restore may have marked them since
        let mark = types::Tag::builder().key(tags::RESTORED_BY).value(run).build();
        let asked = compute.ec2.delete_tags().set_resources(Some(ids)).tags(mark).send().await;
        asked.map_err(|error| compute.explain(&error, "ec2", "deleting tags of snapshots"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::plan::tests::{tags, volume};

    fn aside(id: &str, run: &str, since: &str) -> Volume {
        let ours = [(tags::CLUSTER, "k"), (tags::ETCD, "main"), (tags::MEMBER, "a")];
        let mut tags = tags(&ours);
        tags.extend(self::tags(&[(tags::RESTORE, run), (tags::PUT_ASIDE, since)]));
        let (disk, state, attachments) = (None, "available".to_owned(), Vec::new());
        Volume { disk, state, attachments, tags, ..volume(id, "main", "a") }
    }

    #[test]
    fn only_what_was_put_aside_long_ago_and_is_replaced_goes() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let week = Duration::from_secs(7 * 86_400);
        let (in_use, old) = (volume("vol-0", "main", "a"), aside("vol-1", "r1", "2026-01-01T00:00:00Z"));
        let young = aside("vol-2", "r2", "2026-01-01T00:00:01Z");
        let mut attached = aside("vol-3", "r3", "2025-01-01T00:00:00Z");
        attached.state = "in-use".to_owned();
        let mut live = aside("vol-4", "r4", "2025-01-01T00:00:00Z");
        live.tags.insert("k8s.io/etcd/main".to_owned(), "a/a".to_owned());
        let undated = aside("vol-5", "r5", "yesterday");
        let all = [in_use, old.clone(), young, attached, live, undated];
        let goes = |run: Option<&str>, all: &[Volume]| -> Vec<String> {
            let verdicts = verdicts(all, run, week, now);
            verdicts.into_iter().filter(|one| one.stays.is_none()).map(|one| one.volume.id).collect()
        };
        assert_eq!(goes(None, &all), ["vol-1"]);
        assert_eq!(goes(Some("r2"), &all), Vec::<String>::new());
        // the only one of its disk
        assert_eq!(goes(None, &[old]), Vec::<String>::new());
        assert_eq!(verdicts(&all, None, week, now).len(), 5);
    }

    #[test]
    fn a_blank_volume_of_kops_in_the_middle_of_a_restore_does_not_end_it() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let mut old = aside("vol-1", "r1", "2026-01-01T00:00:00Z");
        old.tags.insert(tags::REPLACED_BY.to_owned(), "vol-2".to_owned());
        let all = [volume("vol-blank", "main", "a"), old, aside("vol-2", "r1", "2026-01-01T00:00:00Z")];
        let verdicts = verdicts(&all, None, Duration::ZERO, now);
        assert!(verdicts.iter().all(|one| one.stays.as_deref() == Some("its restore has not ended")), "{verdicts:?}");
    }

    #[test]
    fn a_volume_that_cannot_be_used_takes_no_place() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let goes = |state: &str| {
            let new = Volume { state: state.to_owned(), ..volume("vol-0", "main", "a") };
            let old = aside("vol-1", "r1", "2026-01-01T00:00:00Z");
            verdicts(&[new, old], None, Duration::ZERO, now)[0].stays.is_none()
        };
        assert_eq!(["in-use", "available"].map(goes), [true; 2]);
        assert_eq!(["creating", "error", "deleting"].map(goes), [false; 3]);
    }

    #[test]
    fn a_volume_stays_until_one_of_the_snapshots_taken_of_it_first_is_completed() {
        let taken = |id: &str, volume: &str, reason: &str, state: State| Snapshot {
            id: id.to_owned(),
            volume: volume.to_owned(),
            owner: "1".to_owned(),
            state,
            progress: String::new(),
            started: None,
            size: 20,
            encrypted: false,
            kms_key: None,
            tier: "standard".to_owned(),
            description: String::new(),
            tags: tags(&[(tags::REASON, reason)]),
        };
        let old = aside("vol-1", "r1", "2026-01-01T00:00:00Z");
        let mut all = vec![
            taken("snap-0", "vol-0", tags::PRE_RESTORE, State::Pending),
            taken("snap-1", "vol-1", "adopted", State::Pending),
        ];
        assert_eq!(unproved(&old, &all), None);
        all.push(taken("snap-2", "vol-1", tags::PRE_RESTORE, State::Failed(String::new())));
        assert_eq!(unproved(&old, &all).as_deref(), Some("its snapshot snap-2 failed"));
        all.insert(0, taken("snap-3", "vol-1", tags::PRE_DELETE, State::Pending));
        assert_eq!(unproved(&old, &all).as_deref(), Some("its snapshot snap-3 is not completed"));
        all.push(taken("snap-4", "vol-1", tags::PRE_DELETE, State::Completed));
        assert_eq!(unproved(&old, &all), None);
    }

    #[test]
    fn a_volume_is_not_older_than_it_is_whatever_its_tag_says() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let mut staged = aside("vol-1", "r1", "2025-01-01T00:00:00Z");
        staged.created = Some(now);
        let verdicts = verdicts(&[volume("vol-0", "main", "a"), staged], None, Duration::from_secs(60), now);
        assert_eq!((verdicts[0].since, verdicts[0].stays.as_deref()), (Some(now), Some("it is younger")));
    }
}
