//! How the bytes are fetched, and how people write revisions and versions.

use std::time::Duration;

use clap::Args as ClapArgs;
use semver::Version;

use crate::cli::flags::parse_duration;
use crate::transfer::download::How;

/// How the bytes are fetched.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct TransferFlags {
    /// Requests at a time [default: 8, or 2 for a service on this network]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help_heading = TRANSFER)]
    concurrency: Option<u8>,
    /// MiB of each request [default: 4, or 8 for a service on this network]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = TRANSFER)]
    part_size: Option<u16>,
    /// Ask again for a part that brings next to nothing for so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s", help_heading = TRANSFER)]
    stall_timeout: Duration,
}

const TRANSFER: &str = "Transfer flags";

impl TransferFlags {
    /// `how`, except for what was given.
    pub(super) fn over(&self, how: How) -> How {
        How {
            concurrency: self.concurrency.map_or(how.concurrency, usize::from),
            part_size: self.part_size.map_or(how.part_size, |mib| u64::from(mib) << 20),
            stall_timeout: self.stall_timeout,
            open_timeout: how.open_timeout.max(self.stall_timeout),
            ..how
        }
    }
}

/// A revision as people write it.
pub(super) fn parse_revision(text: &str) -> Result<u64, String> {
    // the names of snapshots hold it in hexadecimal, filled up with zeros
    let pasted = text.len() > 1 && text.starts_with('0') || text.contains(|c: char| c.is_ascii_alphabetic());
    if pasted && !text.starts_with("0x") && u64::from_str_radix(text, 16).is_ok() {
        let digits = text.trim_start_matches('0');
        return Err(format!(
            "looks hexadecimal, which is written with 0x: 0x{}",
            if digits.is_empty() { "0" } else { digits }
        ));
    }
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed
        .ok()
        .filter(|&revision| revision <= i64::MAX as u64)
        .ok_or_else(|| "not a revision such as 15 or 0xf".to_owned())
}

/// An etcd version, with or without a `v`.
pub(super) fn parse_version(text: &str) -> Result<Version, String> {
    Version::parse(text.trim_start_matches('v')).map_err(|_| "not a full version such as 3.5.21".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_decimal_unless_marked() {
        assert_eq!(parse_revision("15"), Ok(15));
        assert_eq!(parse_revision("0xf"), Ok(15));
        assert!(parse_revision("0000000000000010").unwrap_err().ends_with(": 0x10"));
        assert!(parse_revision("2f").unwrap_err().ends_with(": 0x2f"));
        for bad in ["", "f", "-1", "0x", "9223372036854775808", "1e3"] {
            assert!(parse_revision(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_may_have_a_v() {
        assert_eq!(parse_version("v3.5.21"), Ok(Version::new(3, 5, 21)));
        assert!(parse_version("3.5").is_err());
    }
}
