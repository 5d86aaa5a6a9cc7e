//! The flags of `create` that say where the snapshots go, if not to S3.

use clap::{Args as ClapArgs, ValueEnum};

use crate::api::etcdbackup::PersistentVolumeSource;
use crate::error::{Error, Result};

/// The heading in `--help`.
const HEADING: &str = "PersistentVolume flags";

/// The largest claim that the CRD takes, in MiB.
const MOST_MEBIBYTES: u64 = 1 << 30;

/// Where the snapshots go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StorageType {
    #[value(name = "S3")]
    S3,
    #[value(name = "PersistentVolume")]
    PersistentVolume,
}

/// The storage, and the claim of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, ClapArgs)]
pub(super) struct StorageFlags {
    /// Where to keep the snapshots [default: S3, or what --claim or --volume-size says]
    #[arg(long, value_name = "TYPE", value_enum, ignore_case = true)]
    storage_type: Option<StorageType>,
    /// Existing claim that gets the snapshots
    #[arg(long, value_name = "NAME", conflicts_with = "volume_size", help_heading = HEADING)]
    pub claim: Option<String>,
    /// Size of the claim CLUSTER-pvc, such as 10Gi; made if it is not there
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = HEADING)]
    volume_size: Option<i64>,
    /// StorageClass of the claim that is made [default: the cluster's]
    #[arg(long, value_name = "NAME", requires = "volume_size", conflicts_with = "claim", help_heading = HEADING)]
    storage_class: Option<String>,
}

impl StorageFlags {
    /// Whether the snapshots go to a volume.
    pub(super) fn is_volume(&self) -> bool {
        self.storage_type == Some(StorageType::PersistentVolume) || self.volume_flag().is_some()
    }

    fn volume_flag(&self) -> Option<&'static str> {
        self.claim.as_ref().map(|_| "--claim").or(self.volume_size.map(|_| "--volume-size"))
    }

    /// Refuses flags of both storages together; `s3` is one of S3.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage).
    pub(super) fn check(&self, s3: Option<&str>) -> Result<()> {
        let own = self.volume_flag();
        let contradiction = |flag: &str, other: &str| {
            Err(Error::usage(format!("{flag} cannot be used with {other}")).hint("leave one of them out"))
        };
        match (self.storage_type, own, s3) {
            (Some(StorageType::S3), Some(flag), _) => contradiction(flag, "--storage-type S3"),
            (_, Some(flag), Some(s3)) => contradiction(s3, flag),
            (Some(StorageType::PersistentVolume), None, Some(s3)) => {
                contradiction(s3, "--storage-type PersistentVolume")
            }
            (Some(StorageType::PersistentVolume), None, None) => {
                Err(Error::usage("--storage-type PersistentVolume needs --claim NAME or --volume-size SIZE")
                    .hint("--claim names a claim that is there; --volume-size 10Gi has one made"))
            }
            _ => Ok(()),
        }
    }

    /// The volume of the object; `None` for S3.
    pub(super) fn volume(&self) -> Option<PersistentVolumeSource> {
        self.is_volume().then(|| PersistentVolumeSource {
            claim_name: self.claim.clone().unwrap_or_default(),
            volume_size_in_mb: self.volume_size,
            storage_class: self.storage_class.clone().unwrap_or_default(),
        })
    }
}

/// A size as Kubernetes writes it, in whole MiB, rounded up: the object knows no smaller unit.
fn parse_size(text: &str) -> Result<i64, String> {
    let units = [("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("M", 1_000_000), ("G", 1_000_000_000_u64)];
    let found = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, bytes) = found.ok_or("must end with Mi, Gi, Ti, M or G, such as 10Gi")?;
    let number: u64 = number.parse().map_err(|_| "must be a whole number and a unit, such as 10Gi".to_owned())?;
    let mebibytes = number.checked_mul(bytes).map(|bytes| bytes.div_ceil(1 << 20));
    match mebibytes.filter(|size| (1..=MOST_MEBIBYTES).contains(size)) {
        Some(size) => i64::try_from(size).map_err(|error| error.to_string()),
        None => Err("must be between 1Mi and 1024Ti".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_whole_mebibytes_and_never_less_than_asked_for() {
        assert_eq!([parse_size("512Mi"), parse_size("10Gi"), parse_size("1Ti")], [Ok(512), Ok(10240), Ok(1 << 20)]);
        assert_eq!([parse_size("1M"), parse_size("1G"), parse_size("1024Ti")], [Ok(1), Ok(954), Ok(1 << 30)]);
        for bad in
            ["", "512", "0Gi", "-1Gi", "1.5Gi", "Gi", "1025Ti", "99999999999999999999Gi", "18446744073709551615Ti"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_of_two_storages_are_refused() {
        let claim = StorageFlags { claim: Some("c".to_owned()), ..StorageFlags::default() };
        let bare = |kind| StorageFlags { storage_type: Some(kind), ..StorageFlags::default() };
        assert!(claim.check(None).is_ok() && StorageFlags::default().check(Some("--bucket")).is_ok());
        assert!(bare(StorageType::S3).check(Some("--bucket")).is_ok());
        let both = StorageFlags { storage_type: Some(StorageType::S3), ..claim.clone() };
        assert!(both.check(None).unwrap_err().message().ends_with("--claim cannot be used with --storage-type S3"));
        assert!(
            claim.check(Some("--bucket")).unwrap_err().message().starts_with("--bucket cannot be used with --claim")
        );
        let volume = bare(StorageType::PersistentVolume);
        assert!(volume.check(Some("--bucket")).is_err());
        assert!(volume.check(None).unwrap_err().message().contains("needs --claim NAME or --volume-size SIZE"));
    }
}
