//! Snapshots of the volumes that go out of use, taken first: the state that somebody wanted to leave, and may want back.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types;

use super::inventory::{self, Snapshot, State, Volume, filter};
use super::plan::Plan;
use super::retag::specification;
use super::run::{Run, Seen, Stage};
use super::state::DiskNow;
use super::tags::{self, Tags};
use crate::error::{Error, Result};

/// EC2 takes about one snapshot of a volume in 15 s (kubernetes-sigs/aws-ebs-csi-driver#1608).
const RATE: (&str, Duration) = ("SnapshotCreationPerVolumeRateExceeded", Duration::from_secs(15));
/// Tries of a call that has no token against repetition.
const TRIES: u32 = 5;

/// A disk whose volume is to be kept as a snapshot.
pub struct Kept<'a> {
    pub disk: &'a DiskNow,
    pub volume: &'a Volume,
}

/// Takes a snapshot of each of `kept` that the set of `reason` lacks. It is enough that they have begun: a snapshot is
/// of the moment at which it begins.
///
/// # Errors
/// As [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn snapshots(run: &Run<'_>, kept: &[Kept<'_>], reason: &str) -> Result<()> {
    run.reached(Stage::Staging);
    let set = run.plan.safety_set(reason);
    for left in (0..TRIES).rev() {
        let there = of_set(run, &set).await?;
        let missing =
            kept.iter().filter(|kept| !there.iter().any(|found| found.disk().as_ref() == Some(&kept.disk.disk)));
        let mut again = None;
        for one in missing {
            match take(run, one, reason).await? {
                Taken::Done => {}
                // another look shows whether it was taken all the same
                Taken::Again(pause, _) if left > 0 => again = Some(pause),
                Taken::Again(_, error) => return Err(error),
            }
        }
        match again {
            None => return Ok(()),
            Some(pause) => tokio::time::sleep(pause).await,
        }
    }
    Ok(())
}

/// Waits until the snapshots of the set of `reason` are complete, so that what they are of may be deleted.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when one failed;
/// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut).
pub async fn complete(run: &Run<'_>, reason: &str) -> Result<()> {
    let set = run.plan.safety_set(reason);
    run.until(|| async {
        let (mut missing, there) = (Vec::new(), of_set(run, &set).await?);
        for snapshot in there {
            match snapshot.state {
                State::Completed => {}
                State::Failed(reason) => {
                    return Err(Error::general(format!("the snapshot {} failed: {reason}", snapshot.id))
                        .hint("the old volumes stay; kubectl etcdbackup volume cleanup deletes them later"));
                }
                _ => missing.push(format!("{} is at {}", snapshot.id, snapshot.progress)),
            }
        }
        Ok(if missing.is_empty() { Seen::Done(()) } else { Seen::Waiting(missing.join(", ")) })
    })
    .await
}

async fn of_set(run: &Run<'_>, set: &str) -> Result<Vec<Snapshot>> {
    let mut found = inventory::snapshots(run.compute, vec![filter(format!("tag:{}", tags::SET), [set])]).await?;
    found.retain(|snapshot| snapshot.is_ours(&run.plan.account) && snapshot.set() == Some(set));
    Ok(found)
}

enum Taken {
    Done,
    Again(Duration, Error),
}

async fn take(run: &Run<'_>, one: &Kept<'_>, reason: &str) -> Result<Taken> {
    let tags = tags_of(run.plan, one, reason);
    let request = run.compute.ec2_once.create_snapshot().volume_id(&one.volume.id);
    let request = request.description(format!("{reason} of {} by the restore {}", one.disk.disk, run.plan.run));
    let taken = request.tag_specifications(specification(types::ResourceType::Snapshot, &tags)).send().await;
    let error = match taken {
        Ok(taken) => {
            let id = taken.snapshot_id().unwrap_or_default();
            run.talk.say(&format!("{id} is taken of {}, {}", one.volume.id, one.disk.disk));
            return Ok(Taken::Done);
        }
        Err(error) => error,
    };
    let pause = pause(&error);
    let explained = run.compute.explain(&error, "ec2", &format!("taking a snapshot of {}", one.volume.id));
    pause.map_or_else(|| Err(explained.clone()), |pause| Ok(Taken::Again(pause, explained.clone())))
}

/// How long to wait before it is tried again; `None` for a refusal.
fn pause<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<Duration> {
    match error {
        SdkError::ServiceError(refused) => match refused.err().code() {
            Some(code) if code == RATE.0 => Some(RATE.1),
            Some("RequestLimitExceeded" | "InternalError" | "Unavailable" | "ServiceUnavailable") => {
                Some(Duration::from_secs(2))
            }
            _ => None,
        },
        SdkError::ConstructionFailure(_) => None,
        _ => Some(Duration::from_secs(1)),
    }
}

/// All that a restore of this set needs.
fn tags_of(plan: &Plan, one: &Kept<'_>, reason: &str) -> Tags {
    let (disk, volume) = (&one.disk.disk, one.volume);
    let members: BTreeSet<&str> =
        plan.disks.iter().filter(|other| other.etcd == disk.etcd).map(|other| other.member.as_str()).collect();
    let etcds: BTreeSet<&str> = plan.disks.iter().map(|other| other.etcd.as_str()).collect();
    let join = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(",");
    let number = |number: Option<i32>| number.map(|number| number.to_string());
    let ours = [
        (tags::MANAGED, Some(tags::MANAGED_VALUE.to_owned())),
        (tags::CLUSTER, Some(disk.cluster.clone())),
        (tags::ETCD, Some(disk.etcd.clone())),
        (tags::MEMBER, Some(disk.member.clone())),
        (tags::MEMBERS, Some(join(members))),
        (tags::ETCDS, Some(join(etcds))),
        (tags::SET, Some(plan.safety_set(reason))),
        (tags::REASON, Some(reason.to_owned())),
        (tags::ZONE, Some(volume.zone.clone())),
        (tags::VOLUME_TYPE, Some(volume.kind.clone())),
        (tags::IOPS, number(volume.iops)),
        (tags::THROUGHPUT, number(volume.throughput)),
        (tags::KMS_KEY, volume.kms_key.clone()),
        (tags::SOURCE_VOLUME, Some(volume.id.clone())),
    ];
    let mut tags: Tags = ours.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    // those in use, which a volume put aside has no more
    for (key, value) in &one.disk.plan.tags {
        if tags.len() < tags::MOST_TAGS {
            tags.insert(key.clone(), value.clone());
        }
    }
    tags
}
