//! The flags that say which sets stay.

use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::shown::count;
use crate::cli::Ui;
use crate::cli::flags::parse_duration;
use crate::error::{Error, Result};
use crate::volume::expiry::Deleted;
use crate::volume::retention::Rules;

const HEADING: &str = "Retention flags";

/// Most snapshots that one run deletes, unless it is said.
const MOST_DELETIONS: usize = 100;

/// What stays: all that any rule keeps.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct KeepFlags {
    /// Keep the newest so many sets
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = HEADING)]
    keep_last: Option<usize>,
    /// Keep the newest of each of so many hours that have any
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = HEADING)]
    keep_hourly: Option<usize>,
    /// Keep the newest of each of so many days that have any (UTC)
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = HEADING)]
    keep_daily: Option<usize>,
    /// Keep the newest of each of so many weeks that have any (UTC)
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = HEADING)]
    keep_weekly: Option<usize>,
    /// Keep all that are younger, such as 36h, 7d or 4w
    #[arg(long, value_name = "AGE", value_parser = parse_age, help_heading = HEADING)]
    keep_within: Option<Duration>,
    /// Delete at most so many snapshots in a run [default: 100]
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = HEADING)]
    max_deletions: Option<usize>,
}

impl KeepFlags {
    /// The rules; `None` where no flag says one.
    pub fn rules(&self) -> Option<Rules> {
        let rules = Rules {
            last: self.keep_last.unwrap_or_default(),
            hourly: self.keep_hourly.unwrap_or_default(),
            daily: self.keep_daily.unwrap_or_default(),
            weekly: self.keep_weekly.unwrap_or_default(),
            within: self.keep_within.and_then(|age| SignedDuration::try_from(age).ok()),
        };
        (rules != Rules::default()).then_some(rules)
    }

    /// Whether any of the flags was given.
    pub fn is_given(&self) -> bool {
        self.rules().is_some() || self.max_deletions.is_some()
    }

    /// Most deletions of this run.
    pub fn most(&self) -> usize {
        self.max_deletions.unwrap_or(MOST_DELETIONS)
    }
}

/// Says how an expiry ended.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) where EC2 refused to delete some.
pub(super) fn report(deleted: &Deleted, ui: &Ui) -> Result<()> {
    let Deleted { gone, refused, left } = deleted;
    if !gone.is_empty() {
        ui.say(format!("expired {}", count(gone.len(), "snapshot")));
    }
    if *left > 0 {
        ui.warn(format!(
            "{} should expire too; --max-deletions leaves that for the next run",
            count(*left, "more snapshot")
        ));
    }
    match refused.len() {
        0 => Ok(()),
        some => Err(Error::general(format!(
            "{some} of {} could not be deleted: {}",
            count(some + gone.len(), "snapshot"),
            refused.join(", ")
        ))
        .hint("see the warnings; a locked snapshot goes when its lock has ended, one in use when its image is gone")),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1: the newest always stays".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("not a number".to_owned()),
    }
}

/// A duration as kubectl takes it, or days or weeks.
fn parse_age(text: &str) -> Result<Duration, String> {
    let (number, seconds) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(days), _) => (days, 86_400),
        (_, Some(weeks)) => (weeks, 7 * 86_400),
        _ => return parse_duration(text).and_then(above_zero),
    };
    let number: u64 = number.parse().map_err(|_| "not an age such as 36h, 7d or 4w".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or("too long".to_owned()).and_then(above_zero)
}

fn above_zero(age: Duration) -> Result<Duration, String> {
    if age.is_zero() { Err("must be above 0".to_owned()) } else { Ok(age) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_may_be_days_and_weeks() {
        let hours = |text| parse_age(text).map(|age| age.as_secs() / 3600);
        assert_eq!([hours("36h"), hours("7d"), hours("2w")], [Ok(36), Ok(168), Ok(336)]);
        for bad in ["0", "0d", "", "d", "-1d", "7", "1.5d", "99999999999999999999d", "9999999999999999w"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_without_a_rule_are_no_rules() {
        let none = KeepFlags { max_deletions: Some(5), ..KeepFlags::default() };
        assert_eq!((none.rules(), none.is_given(), none.most()), (None, true, 5));
        let some = KeepFlags { keep_last: Some(3), ..KeepFlags::default() };
        assert_eq!(some.rules(), Some(Rules { last: 3, ..Rules::default() }));
    }
}
