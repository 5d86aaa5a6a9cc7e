//! Cron schedules as the CronJob controller reads them, to tell people when the next run is due: pure.
//!
//! Kubernetes decides; what is not understood here has no time in the status and still runs. Source of the
//! syntax: robfig/cron v3, `ParseStandard`, which kubernetes/kubernetes uses in pkg/controller/cronjob (v1.34).

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Days that are looked at: from one 29 February to the next but one, over a year that has none.
const HORIZON: usize = 366 * 9;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule in a time zone. Each field is a set of numbers, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both kinds of days are restricted: then a day of either kind will do.
    either_day: bool,
    zone: TimeZone,
}

impl Cron {
    /// Reads the five fields or a name such as `@daily`. `None` for what is not understood, `@every` and time
    /// zones that this machine does not know among it.
    pub fn parse(schedule: &str, zone: &str) -> Option<Self> {
        let zone = if zone == super::plan::UTC { TimeZone::UTC } else { TimeZone::get(zone).ok()? };
        let schedule = match schedule.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            fields => fields,
        };
        let fields: Vec<&str> = schedule.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return None };
        let open = |text: &str| text.starts_with(['*', '?']);
        Some(Self {
            minutes: set(minutes, 0, 59, &[])?,
            hours: set(hours, 0, 23, &[])?,
            days: set(days, 1, 31, &[])?,
            months: set(months, 1, 12, &MONTHS)?,
            weekdays: set(weekdays, 0, 6, &DAYS)?,
            either_day: !open(days) && !open(weekdays),
            zone,
        })
    }

    /// The first time after `after`; `None` when there is none, as for 30 February.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(self.zone.clone()).date();
        let dates = std::iter::successors(Some(start), |date| date.checked_add(Span::new().days(1)).ok());
        dates.take(HORIZON).filter(|date| self.on(*date)).find_map(|date| self.times(date).find(|time| *time > after))
    }

    fn on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set & (1 << number) != 0;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn times(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        let bits = |set: u64, below: i8| (0..below).filter(move |number| set & (1 << number) != 0);
        let minutes = self.minutes;
        let times = bits(self.hours, 24)
            .flat_map(move |hour| bits(minutes, 60).filter_map(move |minute| Time::new(hour, minute, 0, 0).ok()));
        times.filter_map(move |time| Some(date.to_datetime(time).to_zoned(self.zone.clone()).ok()?.timestamp()))
    }
}

/// A field: a list of numbers, names, ranges and steps.
fn set(text: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    text.split(',').try_fold(0, |found, part| Some(found | part_of_set(part, low, high, names)?))
}

fn part_of_set(text: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = named.and_then(|at| u32::try_from(at).ok().map(|at| at + low)).or_else(|| text.parse().ok())?;
        (low..=high).contains(&number).then_some(number)
    };
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
        None => (text, None),
    };
    let (first, last) = match (range, range.split_once('-')) {
        ("*" | "?", _) => (low, high),
        (_, Some((first, last))) => (number(first)?, number(last)?),
        // `5/15` is `5-59/15`
        (_, None) => (number(range)?, if step.is_some() { high } else { number(range)? }),
    };
    let step = usize::try_from(step.unwrap_or(1)).ok()?;
    (first <= last).then(|| (first..=last).step_by(step).fold(0, |found, number| found | 1 << number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> Option<String> {
        let cron = Cron::parse(schedule, super::super::plan::UTC)?;
        cron.next(after.parse().unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn the_next_time_is_the_controllers() {
        for (schedule, after, want) in [
            ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("5/15 * * * *", "2026-01-01T00:06:00Z", "2026-01-01T00:20:00Z"),
            ("30 2 1,15 * ?", "2026-01-02T00:00:00Z", "2026-01-15T02:30:00Z"),
            ("0 0 * * mon-FRI", "2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z"),
            // both days are restricted: the 13th or a Friday
            ("0 0 13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z"),
            ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
            ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, after).as_deref(), Some(want), "{schedule}");
        }
    }

    #[test]
    fn what_is_not_understood_has_no_time() {
        for schedule in ["", "* * * *", "60 * * * *", "* * * * mon-", "*/0 * * * *", "5-1 * * * *", "@every 1h"] {
            assert_eq!(Cron::parse(schedule, super::super::plan::UTC), None, "{schedule}");
        }
        assert_eq!(Cron::parse("@daily", "Mars/Olympus"), None);
        assert_eq!(next("0 0 30 feb *", "2026-01-01T00:00:00Z"), None);
    }
}
