//! Cron schedules, checked as far as Kubernetes will check them in a CronJob.
//!
//! Source: robfig/cron v3.0.1, parser.go (`ParseStandard`), and kubernetes/kubernetes,
//! pkg/apis/batch/validation/validation.go (`validateScheduleFormat`), v1.34.

use std::ops::RangeInclusive;

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

/// A schedule that a CronJob takes: five fields, or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`,
/// `@yearly`, `@annually`.
///
/// # Errors
/// What is wrong with it, for clap.
pub(super) fn parse(text: &str) -> Result<String, String> {
    if text.contains("TZ=") {
        return Err("holds a time zone; give it with --time-zone".to_owned());
    }
    if let Some(word) = text.strip_prefix('@') {
        return match word {
            "hourly" | "daily" | "midnight" | "weekly" | "monthly" | "yearly" | "annually" => Ok(text.to_owned()),
            _ if word.starts_with("every") => Err("@every has no place in a clock's schedule; use --every".to_owned()),
            _ => Err("unknown; there are @hourly, @daily, @weekly, @monthly and @yearly".to_owned()),
        };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "has {} fields; minute, hour, day of month, month and day of week are needed",
            fields.len()
        ));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        text.split(',').try_for_each(|item| check(item, field))?;
    }
    Ok(text.to_owned())
}

/// An item: `*`, `?`, `N` or `N-M`, each with `/STEP` or without.
fn check(item: &str, field: &Field) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{item:?} is no {}: {why}", field.what));
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    if step.is_some_and(|step| !is_step(step)) {
        return wrong("the step must be a number from 1");
    }
    if range == "*" || range == "?" {
        return Ok(());
    }
    let (first, last) = range.split_once('-').map_or((range, None), |(first, last)| (first, Some(last)));
    let (Some(first), Some(last)) = (number(first, field), number(last.unwrap_or(first), field)) else {
        return wrong(&format!("must be {} to {}", field.range.start(), field.range.end()));
    };
    if first > last { wrong("the range goes backwards") } else { Ok(()) }
}

fn is_step(text: &str) -> bool {
    digits(text).is_some_and(|step| step > 0)
}

/// Digits alone: the standard parser also takes a sign.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn number(text: &str, field: &Field) -> Option<u32> {
    let named = || {
        let index = field.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
        u32::try_from(index).ok().map(|index| index + field.range.start())
    };
    digits(text).or_else(named).filter(|number| field.range.contains(number))
}

/// The name of a time zone as a CronJob takes it; whether there is such a zone only its controller knows.
///
/// # Errors
/// What is wrong with it, for clap.
pub(super) fn parse_zone(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
    let whole = text.split('/').all(|part| !part.is_empty());
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) || !whole {
        return Err("must be the name of a zone such as Europe/Amsterdam or UTC".to_owned());
    }
    if text.eq_ignore_ascii_case("local") {
        return Err("must name a zone: the controller's own is not known here".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_a_cronjob_takes() {
        for good in ["0 * * * *", "*/15 0-6,22 1 jan-MAR mon", "? ? ? ? ?", "5/10 1-9/2 31 12 0-6", "@hourly", "@daily"]
        {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn schedules_that_a_cronjob_refuses() {
        for (bad, says) in [
            ("", "has 0 fields"),
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
            let error = parse(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn zones_are_names() {
        for good in ["UTC", "Europe/Amsterdam", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(parse_zone(good).as_deref(), Ok(good));
        }
        for bad in ["", "Local", "../etc/passwd", "/UTC", "Europe/ Paris"] {
            assert!(parse_zone(bad).is_err(), "{bad}");
        }
    }
}
