//! The flags that say when, how often and how many: `backupPolicy`.

use std::time::Duration;

use clap::Args as ClapArgs;

use crate::api::cron;
use crate::api::etcdbackup::BackupPolicy;
use crate::cli::flags::parse_duration;

const SCHEDULE: &str = "Schedule flags";

/// The longest interval and time-out that the CRD takes, in seconds: a year.
const LONGEST: u64 = 31_536_000;

/// When, how often and how many.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct ScheduleFlags {
    /// Back up again and again at this interval, from 1m on
    #[arg(long, value_name = "DURATION", value_parser = parse_interval, conflicts_with_all = ["schedule", "wait"], help_heading = SCHEDULE)]
    every: Option<i64>,
    /// Back up by the clock: five fields of cron, or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "CRON", value_parser = parse_cron, conflicts_with = "wait", help_heading = SCHEDULE)]
    schedule: Option<String>,
    /// Time zone of --schedule, such as Europe/Amsterdam [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, requires = "schedule", conflicts_with = "every", help_heading = SCHEDULE)]
    time_zone: Option<String>,
    /// Keep the newest N snapshots of the cluster, delete older [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000_000), help_heading = SCHEDULE)]
    keep: Option<i64>,
    /// Take no backups until this is unset in the object
    #[arg(long, conflicts_with = "wait", help_heading = SCHEDULE)]
    suspend: bool,
    /// Time for one backup with all its retries [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, help_heading = SCHEDULE)]
    backup_timeout: Option<i64>,
}

impl ScheduleFlags {
    /// Whether there will be more than one backup.
    pub(super) fn repeats(&self) -> bool {
        self.every.is_some() || self.schedule.is_some()
    }

    /// Whether no snapshot is ever expired.
    pub(super) fn keeps_all(&self) -> bool {
        self.keep.is_none()
    }

    /// How long one backup may take: the flag, else what the operator takes.
    pub(super) fn one_backup(&self) -> Duration {
        let seconds = self.backup_timeout.and_then(|seconds| u64::try_from(seconds).ok());
        Duration::from_secs(seconds.unwrap_or(600))
    }

    /// The policy; `None` where the flags say nothing.
    pub(super) fn policy(&self) -> Option<BackupPolicy> {
        let policy = BackupPolicy {
            timeout_in_second: self.backup_timeout,
            backup_interval_in_second: self.every,
            schedule: self.schedule.clone().unwrap_or_default(),
            time_zone: self.time_zone.clone().unwrap_or_default(),
            max_backups: self.keep,
            suspend: self.suspend,
            ..BackupPolicy::default()
        };
        (policy != BackupPolicy::default()).then_some(policy)
    }
}

/// An interval: a run in less than a minute is not a schedule but a load test.
fn parse_interval(text: &str) -> Result<i64, String> {
    whole_seconds(text, 60).map_err(|why| format!("{why}; from 1m to 8760h"))
}

fn parse_timeout(text: &str) -> Result<i64, String> {
    whole_seconds(text, 1).map_err(|why| format!("{why}; from 1s to 8760h"))
}

fn whole_seconds(text: &str, least: u64) -> Result<i64, String> {
    let duration = parse_duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err("must be whole seconds".to_owned());
    }
    if !(least..=LONGEST).contains(&duration.as_secs()) {
        return Err("out of range".to_owned());
    }
    i64::try_from(duration.as_secs()).map_err(|_| "out of range".to_owned())
}

fn parse_cron(text: &str) -> Result<String, String> {
    cron::check(text).map(|()| text.to_owned())
}

fn parse_zone(text: &str) -> Result<String, String> {
    cron::check_zone(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_whole_seconds_from_a_minute_to_a_year() {
        assert_eq!((parse_interval("30m"), parse_interval("1m")), (Ok(1800), Ok(60)));
        assert_eq!((parse_interval("8760h"), parse_timeout("1s")), (Ok(31_536_000), Ok(1)));
        for bad in ["59s", "0", "8761h", "60.5s", "30", "daily"] {
            assert!(parse_interval(bad).is_err(), "{bad}");
        }
        assert!(parse_timeout("0").is_err());
    }
}
