//! The account and region that a command works in, said before it does anything.

use crate::aws::compute::Compute;
use crate::cli::Ui;
use crate::error::{Error, Result};
use crate::volume::flags::AwsFlags;
use crate::volume::plan::Plan;

/// Opens the clients, and says whose they are.
///
/// # Errors
/// As [`AwsFlags::open`].
pub(super) async fn open(flags: &AwsFlags, ui: &Ui) -> Result<Compute> {
    let compute = flags.open().await?;
    let (account, region) = (&compute.identity.account, &compute.region);
    ui.say(format!("AWS account {account}, region {region}, credentials: {}", compute.credentials));
    Ok(compute)
}

/// The same in the account and region of a plan, and in no other.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for flags that name another region or account; as [`open`].
pub(super) async fn open_for(plan: &Plan, flags: &AwsFlags, ui: &Ui) -> Result<Compute> {
    for (flag, given, planned) in
        [("--region", &flags.region, &plan.region), ("--account", &flags.account, &plan.account)]
    {
        if let Some(other) = given.as_ref().filter(|given| *given != planned) {
            return Err(Error::usage(format!("the plan is for {planned}, and {flag} says {other}"))
                .hint(format!("leave {flag} out, or make another plan")));
        }
    }
    let (region, account) = (Some(plan.region.clone()), Some(plan.account.clone()));
    open(&AwsFlags { region, account, ..flags.clone() }, ui).await
}
