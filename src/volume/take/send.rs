//! Sends one call until it is known to be done.

use std::time::Duration;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::types::{CopyTagsFromSource, InstanceSpecification, ResourceType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::calls::Call;
use super::{Made, Tell, made, of_set};
use crate::aws::compute::Compute;
use crate::error::{Error, Result};
use crate::volume::inventory::Snapshot;
use crate::volume::marks::{self, Run};
use crate::volume::retag::{self, specification};
use crate::volume::selection::Wanted;

/// Tries of one call.
const TRIES: u32 = 8;
/// Looks for what a call without a reply may have made: EC2 shows new things late.
const LOOKS: u32 = 3;
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The first pause after a refusal for being too fast; each further one is longer by as much. A volume may be
/// snapshotted about once in 15 s (aws-ebs-csi-driver#1608).
const SLOW_DOWN: Duration = Duration::from_secs(3);

pub struct Sender<'a> {
    pub compute: &'a Compute,
    pub run: Run<'a>,
    pub tell: Tell<'a>,
    /// What an earlier run of the same set left: no call of this one made it.
    pub before: &'a [Snapshot],
}

/// What a call came to that brought no reply with snapshots.
enum Trouble {
    /// Not done, and the same may work later.
    Later(Error),
    /// Perhaps done.
    Unknown(Error),
    Refused(Error),
}

impl Trouble {
    /// `doing` says what was asked for.
    fn of<E>(compute: &Compute, error: &SdkError<E, HttpResponse>, doing: &str) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + RequestId + 'static,
    {
        let explained = compute.explain(error, "ec2", doing);
        let SdkError::ServiceError(answer) = error else {
            return match error {
                SdkError::ConstructionFailure(_) => Self::Refused(explained),
                _ => Self::Unknown(explained),
            };
        };
        match answer.err().code().unwrap_or_default() {
            "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "SnapshotCreationPerVolumeRateExceeded" => {
                Self::Later(explained)
            }
            _ if answer.raw().status().is_server_error() => Self::Unknown(explained),
            _ => Self::Refused(explained),
        }
    }
}

impl Sender<'_> {
    /// Makes the snapshots of one call.
    ///
    /// # Errors
    /// As [`Compute::explain`].
    pub async fn send(&self, call: Call<'_>) -> Result<Vec<Made>> {
        let of: Vec<&Wanted> = match &call {
            Call::One(one) => vec![one],
            Call::Together { of, .. } => of.clone(),
        };
        let mut tried = 0;
        loop {
            tried += 1;
            let trouble = match self.once(&call).await {
                Ok(made) => return self.marked(&call, made).await,
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Refused(error) => return Err(error),
                Trouble::Later(error) if tried < TRIES => {
                    let pause = SLOW_DOWN * tried;
                    (self.tell)(format!("{}; trying again in {} s", error.message(), pause.as_secs()));
                    tokio::time::sleep(pause).await;
                }
                Trouble::Unknown(error) => {
                    (self.tell)(format!("{}; looking whether it was done", error.message()));
                    let found = self.look(&of).await?;
                    if found.len() == of.len() {
                        return self.marked(&call, found).await;
                    }
                    if tried >= TRIES {
                        return Err(error);
                    }
                }
                Trouble::Later(error) => return Err(error),
            }
        }
    }

    async fn once(&self, call: &Call<'_>) -> std::result::Result<Vec<Made>, Trouble> {
        match call {
            Call::One(one) => self.one(one).await,
            Call::Together { instance, others, of } => self.together(instance, others, of).await,
        }
    }

    async fn one(&self, one: &Wanted) -> std::result::Result<Vec<Made>, Trouble> {
        let request = self.compute.ec2_once.create_snapshot().volume_id(&one.volume.id);
        let request = request.description(format!("etcdbackup: {}, set {}", one.disk, self.run.set));
        let request =
            request.tag_specifications(specification(ResourceType::Snapshot, &marks::of_snapshot(one, self.run).tags));
        let doing = format!("taking a snapshot of {} ({})", one.volume.id, one.disk);
        let answer = request.send().await.map_err(|error| Trouble::of(self.compute, &error, &doing))?;
        match answer.snapshot_id() {
            Some(id) => Ok(vec![made(one, id)]),
            None => Err(Trouble::Unknown(Error::general(format!("ec2: the answer names no snapshot, {doing}")))),
        }
    }

    async fn together(
        &self,
        instance: &str,
        others: &[String],
        of: &[&Wanted],
    ) -> std::result::Result<Vec<Made>, Trouble> {
        let which = InstanceSpecification::builder().instance_id(instance).exclude_boot_volume(true);
        let which = which.set_exclude_data_volume_ids((!others.is_empty()).then(|| others.to_vec())).build();
        let cluster = of.first().map(|one| one.disk.cluster.as_str()).unwrap_or_default();
        let request = self.compute.ec2_once.create_snapshots().instance_specification(which);
        let request = request.description(format!("etcdbackup: {instance}, set {}", self.run.set));
        let request = request.copy_tags_from_source(CopyTagsFromSource::Volume);
        let request =
            request.tag_specifications(specification(ResourceType::Snapshot, &marks::of_run(cluster, self.run)));
        let doing = format!("taking snapshots of the volumes of {instance}");
        let answer = request.send().await.map_err(|error| Trouble::of(self.compute, &error, &doing))?;
        let (mut made_here, mut lost) = (Vec::new(), Vec::new());
        for one in of {
            let of_it = answer.snapshots().iter().find(|it| it.volume_id() == Some(&one.volume.id));
            match of_it.and_then(|it| it.snapshot_id()) {
                Some(id) => made_here.push(made(one, id)),
                None => lost.push(one.volume.id.as_str()),
            }
        }
        let others =
            answer.snapshots().iter().filter(|it| !of.iter().any(|one| it.volume_id() == Some(&one.volume.id)));
        for other in others {
            let (id, volume) = (other.snapshot_id().unwrap_or_default(), other.volume_id().unwrap_or_default());
            (self.tell)(format!("EC2 also made {id} of {volume}, which was not asked for; it stays"));
        }
        match &lost[..] {
            [] => Ok(made_here),
            lost => Err(Trouble::Refused(Error::general(format!("ec2: no snapshot of {}, {doing}", lost.join(", "))))),
        }
    }

    /// The snapshots of this run that are there of these volumes.
    async fn look(&self, of: &[&Wanted]) -> Result<Vec<Made>> {
        let mut found = Vec::new();
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_AGAIN).await;
            let mut there = of_set(self.compute, self.run.set).await?;
            there.retain(|it| self.before.iter().all(|before| before.id != it.id));
            let of_it = |one: &&Wanted| Some(made(one, &there.iter().find(|it| it.volume == one.volume.id)?.id));
            found = of.iter().filter_map(of_it).collect();
            if found.len() == of.len() {
                break;
            }
        }
        Ok(found)
    }

    /// Writes the tags that snapshots of one call could not get with it.
    async fn marked(&self, call: &Call<'_>, made: Vec<Made>) -> Result<Vec<Made>> {
        let Call::Together { of, .. } = call else { return Ok(made) };
        for made in &made {
            let Some(one) = of.iter().find(|one| one.volume.id == made.volume) else { continue };
            retag::create(self.compute, std::slice::from_ref(&made.id), &marks::of_snapshot(one, self.run).tags)
                .await?;
        }
        Ok(made)
    }
}
