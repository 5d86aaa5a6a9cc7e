//! Snapshots on a PersistentVolume: `--from pv`. A helper pod mounts it where it is, and is gone when the command ends.

mod claim;
mod helpers;
mod reading;

use std::time::Duration;

use clap::Args as ClapArgs;

use super::Args;
use super::find::{Found, warn_of_foreign};
use super::item::Item;
use crate::cli::flags::parse_duration;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::Session;
use crate::kubernetes::reader::Identity;
use crate::kubernetes::volume::{self, plan};
use crate::source::{self, Listing, StoredSnapshot, Wanted, counted};
pub(super) use claim::told as told_by_backups;
pub(in crate::commands) use helpers::Helpers;
use reading::Disk;
pub(in crate::commands) use reading::Reading;

/// The heading in `--help`.
const HEADING: &str = "PersistentVolume flags";

/// How a volume is found and read.
#[derive(Debug, Clone, Default, PartialEq, Eq, ClapArgs)]
pub(in crate::commands) struct PvFlags {
    /// Claim that holds the snapshots [default: the EtcdBackup's, else CLUSTER-pvc]
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    claim: Option<String>,
    /// Image of the helper that mounts it [default: the operator's]
    #[arg(long, value_name = "IMAGE", help_heading = HEADING)]
    helper_image: Option<String>,
    /// Longest life of the helper [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = HEADING)]
    helper_deadline: Option<Duration>,
    /// Print how to reach the files by hand, and start nothing
    #[arg(long, help_heading = HEADING)]
    pub print_manual: bool,
}

impl PvFlags {
    /// The first flag that was given, for messages.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.claim.is_some(), "--claim"),
            (self.helper_image.is_some(), "--helper-image"),
            (self.helper_deadline.is_some(), "--helper-deadline"),
            (self.print_manual, "--print-manual"),
        ];
        given.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }

    /// Refuses what goes with no volume. A flag of its own means the volume where `--from` says nothing; `other` is a
    /// flag of another source.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage).
    pub fn check(&self, from_pv: bool, from_auto: bool, other: Option<&str>) -> Result<()> {
        match (self.first_given(), other) {
            (Some(flag), _) if !from_pv && !from_auto => {
                Err(Error::usage(format!("{flag} is about --from pv")).hint("leave one of them out"))
            }
            (flag, Some(other)) if from_pv || flag.is_some() => {
                let own = flag.unwrap_or("--from pv");
                Err(Error::usage(format!("{other} cannot be used with {own}, which reads a PersistentVolume"))
                    .hint("leave one of them out"))
            }
            _ => Ok(()),
        }
    }
}

/// Prints the steps for a person.
///
/// # Errors
/// Those of [`claim::choose`] and [`volume::find`]; [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) where the
/// volume may not be read.
pub(in crate::commands) async fn print_manual(cluster: &str, flags: &PvFlags, kube: &KubeFlags, ui: &Ui) -> Result<()> {
    let session = Session::connect(kube).await?;
    let found = volume::find(&session, &claim::choose(cluster, flags, &session, ui).await?).await?;
    match (&found.volume, found.unread.first()) {
        (Some(volume), _) => ui.data(volume::manual(cluster, &found, volume)),
        (None, Some(unread)) => Err(Error::verbatim(crate::error::ErrorKind::Denied, unread)
            .hint("needs verb get on persistentvolumes in the whole cluster (see RBAC in --help)")),
        (None, None) => Err(plan(&found).err().unwrap_or_else(|| Error::not_found("the volume of the claim is gone"))),
    }
}

/// Starts a helper and lists what is on the volume.
///
/// # Errors
/// Those of [`claim::choose`], [`volume::find`], [`plan`], [`Disk::read`].
pub(in crate::commands) async fn open(
    cluster: &str,
    flags: &PvFlags,
    kube: &KubeFlags,
    helpers: &Helpers,
    ui: &Ui,
) -> Result<Reading> {
    Disk::find(cluster, flags, kube, helpers, ui).await?.read(ui).await
}

/// Finds what is wanted. What only root may read, as old sidecars wrote it, is read by a helper that is root.
pub(super) async fn find(args: &Args, wanted: &Wanted, kube: &KubeFlags, ui: &Ui, helpers: &Helpers) -> Result<Found> {
    let disk = Disk::find(args.cluster(), &args.pv, kube, helpers, ui).await?;
    let mut reading = disk.read(ui).await?;
    let mut chosen = chosen(&reading.listing, wanted)?;
    if chosen.etag.is_none() && reading.identity == Identity::Nobody {
        ui.say(format!("pv: {} may be read by its owner only", chosen.name));
        drop(reading);
        reading = disk.read_as_root(ui).await?;
        chosen = self::chosen(&reading.listing, wanted)?;
    }
    if chosen.etag.is_none() {
        return Err(Error::denied(format!(
            "{}: neither our user nor root without capabilities may read it",
            chosen.location
        ))
        .hint("--print-manual says how to read the disk by hand"));
    }
    ui.say(format!("pv: {} on claim {}", counted(reading.listing.snapshots.len()), reading.claim));
    warn_of_foreign(&reading.listing, ui);
    let older = source::next_older(&reading.listing.snapshots, &chosen);
    let item = Item::of_pv(&chosen, &reading.claim, reading.volume.as_deref());
    Ok(Found::on_volume(item, older, reading, chosen))
}

fn chosen(listing: &Listing, wanted: &Wanted) -> Result<StoredSnapshot> {
    source::select(&listing.snapshots, wanted).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_the_volume_is_enough_and_goes_with_no_other_source() {
        let none = PvFlags::default();
        let claim = PvFlags { claim: Some("c".to_owned()), ..PvFlags::default() };
        assert!(none.check(true, false, None).is_ok() && none.check(false, true, Some("--bucket")).is_ok());
        assert!(claim.check(false, true, None).is_ok() && claim.check(true, false, None).is_ok());
        assert_eq!(claim.check(false, false, None).unwrap_err().message(), "--claim is about --from pv");
        for flags in [&none, &claim] {
            assert!(flags.check(true, false, Some("--bucket")).is_err());
        }
        assert!(claim.check(false, true, Some("--bucket")).is_err());
    }
}
