//! Proof, before anything changes, that every change will be allowed: EC2's `DryRun`. Auto Scaling has none.

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::types;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::inventory::Volume;
use super::retag::specification;
use super::run::Run;
use super::stage;
use super::state::DiskNow;
use super::tags::{self, Tags};
use crate::error::Result;

/// What EC2 answers to a dry run of something that is allowed.
const ALLOWED: &str = "DryRunOperation";

/// Of a run, what it will do to volumes and snapshots.
pub struct Wanted<'a> {
    /// Disks for which volumes will be made.
    pub make: Vec<&'a DiskNow>,
    /// Volumes of which snapshots will be taken.
    pub snapshots_of: Vec<&'a Volume>,
    /// Volumes whose tags will be written and deleted.
    pub retag: Vec<&'a Volume>,
    /// Snapshots whose tags will be written.
    pub mark: Vec<String>,
    pub initialization_rate: Option<i32>,
}

/// Asks EC2 for leave to do all that is `wanted`, and does none of it.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for what is not allowed; as
/// [`Compute::explain`](crate::aws::compute::Compute::explain).
pub async fn prove(run: &Run<'_>, wanted: &Wanted<'_>) -> Result<()> {
    let ec2 = &run.compute.ec2;
    // a policy may ask for the mark of a new snapshot
    let mark = Tags::from([(tags::MANAGED.to_owned(), tags::MANAGED_VALUE.to_owned())]);
    for volume in &wanted.snapshots_of {
        let asked = ec2.create_snapshot().volume_id(&volume.id).dry_run(true);
        let asked = asked.tag_specifications(specification(types::ResourceType::Snapshot, &mark)).send().await;
        allowed(run, asked, &format!("to take a snapshot of {}", volume.id))?;
    }
    for disk in &wanted.make {
        let asked = stage::request(run, disk, wanted.initialization_rate).dry_run(true).send().await;
        allowed(run, asked, &format!("to make a volume of {}", disk.plan.snapshot))?;
    }
    let tag = || types::Tag::builder().key(tags::RESTORE).value(&run.plan.run).build();
    let marked = wanted.retag.iter().map(|volume| volume.id.clone()).chain(wanted.mark.iter().cloned());
    for resource in marked {
        let asked = ec2.create_tags().resources(&resource).tags(tag()).dry_run(true).send().await;
        allowed(run, asked, &format!("to tag {resource}"))?;
    }
    for volume in &wanted.retag {
        let asked = ec2.delete_tags().resources(&volume.id).tags(tag()).dry_run(true).send().await;
        allowed(run, asked, &format!("to delete tags of {}", volume.id))?;
    }
    prove_detach(run, &wanted.retag).await
}

/// Asks for leave to delete the volumes that will be put aside. The new ones are marked so until they are in use, and a
/// policy may ask for the mark.
///
/// # Errors
/// As [`prove`].
pub async fn prove_delete(run: &Run<'_>) -> Result<()> {
    let disks = run.look().await?;
    let staged = disks.iter().filter_map(|disk| disk.new.as_ref()).filter(|new| new.tags.contains_key(tags::PUT_ASIDE));
    for volume in staged {
        let asked = run.compute.ec2.delete_volume().volume_id(&volume.id).dry_run(true).send().await;
        allowed(run, asked, "to delete volumes that are put aside")?;
    }
    Ok(())
}

/// Only where volumes may have to be detached by force.
async fn prove_detach(run: &Run<'_>, volumes: &[&Volume]) -> Result<()> {
    for volume in volumes.iter().filter(|volume| run.force_detach && !volume.attachments.is_empty()) {
        let asked = run.compute.ec2.detach_volume().volume_id(&volume.id).force(true).dry_run(true).send().await;
        allowed(run, asked, &format!("to detach {}", volume.id))?;
    }
    Ok(())
}

fn allowed<T, E>(run: &Run<'_>, answer: Result<T, SdkError<E, HttpResponse>>, doing: &str) -> Result<()>
where
    E: ProvideErrorMetadata + std::error::Error + RequestId + 'static,
{
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().and_then(|error| error.code()) == Some(ALLOWED) => Ok(()),
        Err(error) => Err(run.compute.explain(&error, "ec2", &format!("asking for leave {doing}"))),
    }
}
