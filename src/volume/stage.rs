//! New volumes beside the old ones: made and ready before anything is stopped. They have none of the tags by which
//! etcd's manager would take them.

use aws_sdk_ec2::operation::create_volume::builders::CreateVolumeFluentBuilder;
use aws_sdk_ec2::types;

use super::plan::Plan;
use super::retag::specification;
use super::run::{Run, Seen, Stage};
use super::state::{DiskNow, is_live};
use super::tags::{self, Disk, Tags};
use crate::error::{Error, Result};
use crate::sha256::{Hex, Sha256};

/// Makes the volumes that are missing, and waits until all can be used.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) for a volume that fails, as with a key of KMS that may not
/// be used; [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut);
/// as [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn volumes(run: &Run<'_>, disks: &[DiskNow], initialization_rate: Option<i32>) -> Result<()> {
    run.reached(Stage::Staging);
    let mut ids = Vec::new();
    for disk in disks {
        let id = match &disk.new {
            Some(new) => new.id.clone(),
            None => make(run, disk, initialization_rate).await?,
        };
        ids.push(id);
    }
    run.until(|| ready(run, &ids)).await?;
    run.talk.say(&format!("{} new volumes are ready: {}", ids.len(), ids.join(" ")));
    Ok(())
}

async fn make(run: &Run<'_>, disk: &DiskNow, initialization_rate: Option<i32>) -> Result<String> {
    let made = request(run, disk, initialization_rate).send().await;
    let doing = format!("making a volume of {} for {}", disk.plan.snapshot, disk.disk);
    let made = made.map_err(|error| run.compute.explain(&error, "ec2", &doing))?;
    let id = made.volume_id().unwrap_or_default().to_owned();
    run.talk.say(&format!("{id} is made of {} for {}", disk.plan.snapshot, disk.disk));
    Ok(id)
}

/// The call that makes the new volume of `disk`. Its token makes EC2 answer a repetition with the same volume, as long
/// as all else is the same too: so the time on it is the plan's.
pub fn request(run: &Run<'_>, disk: &DiskNow, initialization_rate: Option<i32>) -> CreateVolumeFluentBuilder {
    let new = &disk.plan.new;
    let marks = marks(run.plan, &disk.disk);
    run.compute
        .ec2
        .create_volume()
        .snapshot_id(&disk.plan.snapshot)
        .availability_zone(&new.zone)
        .volume_type(types::VolumeType::from(new.kind.as_str()))
        .size(new.size)
        .set_iops(new.iops)
        .set_throughput(new.throughput)
        .set_encrypted(new.encrypted.then_some(true))
        .set_kms_key_id(new.kms_key.clone())
        .set_volume_initialization_rate(initialization_rate)
        .client_token(token(&run.plan.run, &disk.disk.to_string()))
        .tag_specifications(specification(types::ResourceType::Volume, &marks))
}

fn marks(plan: &Plan, disk: &Disk) -> Tags {
    let mut marks = plan.marks(disk);
    marks.insert(tags::PUT_ASIDE.to_owned(), plan.made.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    marks.insert(tags::NAME.to_owned(), format!("{disk} staged by restore {}", plan.run));
    marks
}

/// At most 64 characters (EC2 API, "Ensuring idempotency").
fn token(run: &str, disk: &str) -> String {
    let hash = Sha256::of(format!("{run}/{disk}").as_bytes());
    Hex(&hash[..16]).to_string()
}

/// A key of KMS is looked at after the call has ended well: the volume then fails, or is gone.
async fn ready(run: &Run<'_>, ids: &[String]) -> Result<Seen<()>> {
    let disks = run.look().await?;
    let mut missing = Vec::new();
    for (disk, id) in disks.iter().zip(ids) {
        match &disk.new {
            Some(new) if new.state == "available" || is_live(new, &disk.disk) => {}
            Some(new) if new.state == "error" => return Err(failed(id, &disk.plan.snapshot)),
            Some(new) => missing.push(format!("{} is {}", new.id, new.state)),
            None => missing.push(format!("{id} is not there; EC2 drops it when the key of KMS may not be used")),
        }
    }
    Ok(if missing.is_empty() { Seen::Done(()) } else { Seen::Waiting(missing.join(", ")) })
}

fn failed(id: &str, snapshot: &str) -> Error {
    Error::general(format!("EC2 could not make {id} of {snapshot}"))
        .hint("an encrypted snapshot needs kms:CreateGrant, kms:Decrypt, kms:DescribeKey and kms:GenerateDataKeyWithoutPlaintext on its key")
        .hint("make another plan after that: nothing was stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::plan::tests::plan;

    #[test]
    fn a_later_run_asks_for_the_same_volume_in_the_same_words() {
        let plan = plan();
        let marks = marks(&plan, &plan.disk(&plan.disks[0]));
        assert_eq!(marks[tags::PUT_ASIDE], "1970-01-01T00:00:00Z");
        assert_eq!(marks[tags::NAME], "a.etcd-main.k staged by restore r1");
    }

    #[test]
    fn a_token_is_the_same_for_the_same_volume_only() {
        assert_eq!(token("r", "a"), token("r", "a"));
        assert_ne!(token("r", "a"), token("r", "b"));
        assert_ne!(token("r", "a"), token("s", "a"));
        assert!(token("r", "a").len() <= 64);
    }
}
