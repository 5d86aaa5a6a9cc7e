//! When a CronJob starts next.
//!
//! Source of the form: robfig/cron v3 (`ParseStandard`), which kubernetes/kubernetes uses in
//! pkg/controller/cronjob at v1.34: five fields, or a word such as `@daily`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Days that are looked at: a schedule for the 29th of February may wait for eight years.
const DAYS: usize = 366 * 8 + 1;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One field: its values as bits, and whether it was `*`.
#[derive(Clone, Copy)]
struct Field {
    bits: u64,
    any: bool,
}

/// The first start after `after`; `None` for a schedule or a zone that is not understood, and for `@every`.
pub(super) fn next(schedule: &str, zone: &str, after: Timestamp) -> Option<Timestamp> {
    let zone = if zone.is_empty() { TimeZone::UTC } else { TimeZone::get(zone).ok()? };
    let schedule = match schedule.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let texts: Vec<&str> = schedule.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = texts.as_slice() else { return None };
    let minutes = field(minute, 0, 59, &[])?;
    let hours = field(hour, 0, 23, &[])?;
    let (days, months) = (field(day, 1, 31, &[])?, field(month, 1, 12, &MONTHS)?);
    let weekdays = field(weekday, 0, 6, &WEEKDAYS)?;
    let first = after.to_zoned(zone.clone()).date();
    let dates = first.series(1.day()).take(DAYS).filter(|date| on(*date, days, months, weekdays));
    for date in dates {
        let times =
            (0..24i8).filter(|hour| has(hours, *hour)).flat_map(|hour| (0..60i8).map(move |minute| (hour, minute)));
        let starts = times.filter(|(_, minute)| has(minutes, *minute));
        let mut starts = starts.filter_map(|(hour, minute)| date.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok());
        if let Some(start) = starts.find(|start| start.timestamp() > after) {
            return Some(start.timestamp());
        }
    }
    None
}

fn on(date: Date, days: Field, months: Field, weekdays: Field) -> bool {
    let (day, weekday) = (has(days, date.day()), has(weekdays, date.weekday().to_sunday_zero_offset()));
    // where both are given, either will do
    let today = if days.any || weekdays.any { day && weekday } else { day || weekday };
    has(months, date.month()) && today
}

fn has(field: Field, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| field.bits & (1 << value) != 0)
}

/// `*`, `5`, `1-5`, `*/15`, `10-50/20`, names, and lists of these.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Option<Field> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((from, to)) => (value(from, least, names)?, value(to, least, names)?),
            None => {
                let from = value(range, least, names)?;
                (from, if step.is_some() { most } else { from })
            }
        };
        if from < least || to > most || from > to {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1u64 << value);
    }
    Some(Field { bits, any: text.starts_with('*') || text.starts_with('?') })
}

fn value(text: &str, least: u32, names: &[&str]) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let named = names.iter().position(|name| *name == lower).and_then(|index| u32::try_from(index).ok());
    named.map(|index| index + least).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Thursday.
    const NOW: &str = "2026-01-01T10:30:00Z";

    fn after(schedule: &str, zone: &str) -> Option<String> {
        next(schedule, zone, NOW.parse().unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn the_next_start_is_strictly_later() {
        for (schedule, expected) in [
            ("* * * * *", "2026-01-01T10:31:00Z"),
            ("30 10 * * *", "2026-01-02T10:30:00Z"),
            ("*/15 * * * *", "2026-01-01T10:45:00Z"),
            ("10-50/20 9,11 * * *", "2026-01-01T11:10:00Z"),
            ("0 0 * * SUN", "2026-01-04T00:00:00Z"),
            ("0 0 29 feb *", "2028-02-29T00:00:00Z"),
            ("0 0 13 * fri", "2026-01-02T00:00:00Z"),
            ("0 0 13 * *", "2026-01-13T00:00:00Z"),
            ("@hourly", "2026-01-01T11:00:00Z"),
            ("@yearly", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(after(schedule, "").as_deref(), Some(expected), "{schedule}");
        }
    }

    #[test]
    fn what_is_not_understood_has_no_next_start() {
        for bad in ["", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "0 0 31 2 *", "@every 1h"] {
            assert_eq!(after(bad, ""), None, "{bad}");
        }
        assert_eq!(after("* * * * *", "Nowhere/Land"), None);
    }
}
