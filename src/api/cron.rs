//! Cron schedules as CronJobs take them: checked before they are sent, and when the next run is due. Pure.
//!
//! Kubernetes decides; what is not understood here has no time in a status and still runs. Source: robfig/cron
//! v3.0.1, parser.go (`ParseStandard`), and kubernetes/kubernetes, pkg/apis/batch/validation/validation.go
//! (`validateScheduleFormat`), v1.34.

use std::ops::RangeInclusive;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Days that are looked at: from one 29 February to the next but one, over a year that has none.
const HORIZON: usize = 366 * 9;

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field of a schedule: what it may hold, and names for its numbers from the first one on.
struct Field {
    what: &'static str,
    range: RangeInclusive<u32>,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { what: "minute", range: 0..=59, names: &[] },
    Field { what: "hour", range: 0..=23, names: &[] },
    Field { what: "day of month", range: 1..=31, names: &[] },
    Field { what: "month", range: 1..=12, names: MONTHS },
    Field { what: "day of week", range: 0..=6, names: DAYS },
];

/// Checks a schedule as a CronJob takes it: five fields, or a word such as `@daily`.
///
/// # Errors
/// What is wrong with it.
pub fn check(schedule: &str) -> Result<(), String> {
    Cron::parse(schedule).map(drop)
}

/// A schedule by the clocks of a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// A schedule in a zone, UTC where none is named; `None` for what is not understood, and for zones that this
    /// machine does not know.
    pub fn of(schedule: &str, zone: &str) -> Option<Self> {
        let zone = match zone {
            "" | "UTC" | "Etc/UTC" => TimeZone::UTC,
            name => TimeZone::get(name).ok()?,
        };
        Some(Self { cron: Cron::parse(schedule).ok()?, zone })
    }

    /// The first time after `after`; `None` when there is none, as for 30 February.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next(&self.zone, after)
    }
}

/// The fields of a schedule: each is a set of numbers, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both kinds of days are restricted: then a day of either kind will do.
    either_day: bool,
}

impl Cron {
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains("TZ=") {
            return Err("holds a time zone; give it with --time-zone".to_owned());
        }
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            word if word.starts_with("@every") => {
                return Err("@every has no place in a clock's schedule; use --every".to_owned());
            }
            word if word.starts_with('@') => {
                return Err("unknown; there are @hourly, @daily, @weekly, @monthly and @yearly".to_owned());
            }
            fields => fields,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "has {} fields; minute, hour, day of month, month and day of week are needed",
                fields.len()
            ));
        };
        let [of_hour, of_day, of_month, of_year, of_week] = &FIELDS;
        let open = |text: &str| text.starts_with(['*', '?']);
        Ok(Self {
            minutes: of_hour.set(minutes)?,
            hours: of_day.set(hours)?,
            days: of_month.set(days)?,
            months: of_year.set(months)?,
            weekdays: of_week.set(weekdays)?,
            either_day: !open(days) && !open(weekdays),
        })
    }

    fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(zone.clone()).date();
        let dates = std::iter::successors(Some(start), |date| date.checked_add(Span::new().days(1)).ok());
        let mut dates = dates.take(HORIZON).filter(|date| self.on(*date));
        dates.find_map(|date| self.times(date, zone).find(|time| *time > after))
    }

    fn on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set & (1 << number) != 0;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn times(&self, date: Date, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        let bits = |set: u64, below: i8| (0..below).filter(move |number| set & (1 << number) != 0);
        let minutes = self.minutes;
        let times = bits(self.hours, 24)
            .flat_map(move |hour| bits(minutes, 60).filter_map(move |minute| Time::new(hour, minute, 0, 0).ok()));
        times.filter_map(move |time| Some(date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp()))
    }
}

/// Checks the name of a time zone as a CronJob takes it: capitals matter to Kubernetes.
///
/// # Errors
/// What is wrong with it.
pub fn check_zone(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
    let whole = text.split('/').all(|part| !part.is_empty());
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) || !whole {
        return Err("must be the name of a zone such as Europe/Amsterdam or UTC".to_owned());
    }
    if text.eq_ignore_ascii_case("local") {
        return Err("must name a zone: the controller's own is not known here".to_owned());
    }
    match TimeZone::get(text) {
        Err(_) => Err("is no time zone of the IANA database; there are Europe/Amsterdam, UTC and others".to_owned()),
        Ok(zone) => match zone.iana_name() {
            Some(name) if name != text => Err(format!("must be written {name}")),
            _ => Ok(()),
        },
    }
}

impl Field {
    /// A list of items.
    fn set(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |found, item| Ok(found | self.item(item)?))
    }

    /// `*`, `?`, `N` or `N-M`, each with `/STEP` or without.
    fn item(&self, item: &str) -> Result<u64, String> {
        let wrong = |why: &str| format!("{item:?} is no {}: {why}", self.what);
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(digits(step).filter(|step| *step > 0))),
            None => (item, None),
        };
        let Some(steps) = step.unwrap_or(Some(1)) else { return Err(wrong("the step must be a number from 1")) };
        let (low, high) = (*self.range.start(), *self.range.end());
        let (first, last) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (Some(low), Some(high)),
            (_, Some((first, last))) => (self.number(first), self.number(last)),
            // `5/15` is `5-59/15`
            (_, None) => (self.number(range), if step.is_some() { Some(high) } else { self.number(range) }),
        };
        let (Some(first), Some(last)) = (first, last) else {
            return Err(wrong(&format!("must be {low} to {high}")));
        };
        if first > last {
            return Err(wrong("the range goes backwards"));
        }
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        Ok((first..=last).step_by(steps).fold(0, |found, number| found | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = || {
            let index = self.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
            u32::try_from(index).ok().map(|index| index + self.range.start())
        };
        digits(text).or_else(named).filter(|number| self.range.contains(number))
    }
}

/// Digits alone: the standard parser also takes a sign.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> Option<String> {
        Timetable::of(schedule, "")?.next(after.parse().unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn the_next_time_is_the_controllers() {
        for (schedule, after, want) in [
            ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("5/15 * * * *", "2026-01-01T00:06:00Z", "2026-01-01T00:20:00Z"),
            ("10-50/20 9,11 * * *", "2026-01-01T10:30:00Z", "2026-01-01T11:10:00Z"),
            ("30 2 1,15 * ?", "2026-01-02T00:00:00Z", "2026-01-15T02:30:00Z"),
            ("0 0 * * mon-FRI", "2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z"),
            // both days are restricted: the 13th or a Friday
            ("0 0 13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z"),
            ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
            ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@yearly", "2026-01-01T10:30:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, after).as_deref(), Some(want), "{schedule}");
        }
        assert_eq!(next("0 0 30 feb *", "2026-01-01T00:00:00Z"), None);
    }

    #[test]
    fn schedules_that_a_cronjob_takes() {
        for good in ["0 * * * *", "*/15 0-6,22 1 jan-MAR mon", "? ? ? ? ?", "5/10 1-9/2 31 12 0-6", "@hourly", "@daily"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn schedules_that_a_cronjob_refuses() {
        for (bad, says) in [
            ("", "has 0 fields"),
            ("* * * *", "has 4 fields"),
            ("0 0 * * * *", "has 6 fields"),
            ("60 * * * *", "no minute: must be 0 to 59"),
            ("* 24 * * *", "no hour"),
            ("* * 0 * *", "no day of month: must be 1 to 31"),
            ("* * * foo *", "no month"),
            ("* * * * 7", "no day of week"),
            ("*/0 * * * *", "step"),
            ("*/x * * * *", "step"),
            ("5-1 * * * *", "backwards"),
            ("1,,2 * * * *", "no minute"),
            ("+1 * * * *", "no minute"),
            ("* * L * *", "no day of month"),
            ("99999999999 * * * *", "no minute"),
            ("@every 1h", "--every"),
            ("@reboot", "unknown"),
            ("TZ=UTC 0 * * * *", "--time-zone"),
            ("CRON_TZ=UTC 0 * * * *", "--time-zone"),
        ] {
            let error = check(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn zones_are_names() {
        for good in ["UTC", "Europe/Amsterdam", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(check_zone(good), Ok(()));
        }
        for bad in ["", "Local", "../etc/passwd", "/UTC", "Europe/ Paris"] {
            assert!(check_zone(bad).is_err(), "{bad}");
        }
        assert_eq!(Timetable::of("@daily", "Mars/Olympus"), None);
        assert!(check_zone("Mars/Olympus").unwrap_err().starts_with("is no time zone"));
        assert_eq!(check_zone("europe/berlin").unwrap_err(), "must be written Europe/Berlin");
    }

    #[test]
    fn the_zones_are_in_the_program_itself() {
        // the operator's image has no /usr/share/zoneinfo
        let bundled = jiff::tz::TimeZoneDatabase::bundled();
        assert!(bundled.get("Europe/Berlin").is_ok());
        let next = |after: &str| {
            let table = Timetable::of("0 3 * * *", "Europe/Berlin").unwrap();
            table.next(after.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(next("2026-01-01T12:00:00Z"), "2026-01-02T02:00:00Z");
        assert_eq!(next("2026-07-01T12:00:00Z"), "2026-07-02T01:00:00Z");
    }
}
