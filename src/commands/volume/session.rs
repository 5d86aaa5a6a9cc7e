//! The clients of a `volume` command, and the line that says whose account they change.

use crate::aws::compute::Compute;
use crate::cli::Ui;
use crate::error::Result;
use crate::volume::flags::AwsFlags;

/// Makes the clients, and says the account, the region and the credentials.
///
/// # Errors
/// As [`AwsFlags::open`].
pub(super) async fn open(flags: &AwsFlags, ui: &Ui) -> Result<Compute> {
    let compute = flags.open().await?;
    let (account, region, credentials) = (&compute.identity.account, &compute.region, &compute.credentials);
    ui.say(format!("AWS account {account}, region {region}, credentials: {credentials}"));
    Ok(compute)
}
