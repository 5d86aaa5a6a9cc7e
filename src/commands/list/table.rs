//! Tables, ages and sizes as kubectl prints them: pure text.
//!
//! Source: kubernetes/cli-runtime, pkg/printers/tablegenerator.go (three spaces between columns), and
//! kubernetes/apimachinery, pkg/util/duration/duration.go (`ShortHumanDuration`), v0.34.

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use crate::cli::ui::one_line;

/// What kubectl prints where there is nothing.
pub(in crate::commands) const NONE: &str = "<none>";

const GAP: usize = 3;

/// Rows under headers, each line without blanks at its end.
pub(in crate::commands) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a line of headers, or without one.
    pub fn new(headers: &[&str], shown: bool) -> Self {
        let headers = headers.iter().map(|header| (*header).to_owned()).collect();
        Self { rows: if shown { vec![headers] } else { Vec::new() } }
    }

    /// Adds a row; a line break in a cell would be a row of its own.
    pub fn row(&mut self, cells: Vec<String>) {
        let one_line = |cell: String| match cell.as_str() {
            "" => NONE.to_owned(),
            _ => one_line(&cell),
        };
        self.rows.push(cells.into_iter().map(one_line).collect());
    }

    /// The text, with a line break after every row.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.width()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, widest) in row.iter().zip(&widths) {
                let pad = widest.saturating_sub(cell.width()) + GAP;
                line.push_str(cell);
                line.push_str(&" ".repeat(pad));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// How long ago: `5s`, `12m`, `3h`, `29d`, `2y`; two seconds of the future are a clock that is off.
pub(in crate::commands) fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else { return NONE.to_owned() };
    let seconds = now.as_second() - then.as_second();
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ => span(seconds.unsigned_abs()),
    }
}

/// A number of seconds in one unit.
pub(in crate::commands) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "m")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(|| format!("{seconds}s"), |(length, name)| format!("{}{name}", seconds / length))
}

/// Bytes in decimal units: `512B`, `25kB`, `1.2GB`.
pub(in crate::commands) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    // 999.5 of a unit would be printed as 1000
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_three_blanks_apart_and_lines_end_with_text() {
        let mut table = Table::new(&["NAME", "AGE", "REASON"], true);
        table.row(vec!["étcd-a".to_owned(), "5m".to_owned(), String::new()]);
        table.row(vec!["b".to_owned(), "12m".to_owned(), "a\nb".to_owned()]);
        assert_eq!(table.render(), "NAME     AGE   REASON\nétcd-a   5m    <none>\nb        12m   a b\n");
        assert_eq!(Table::new(&["NAME"], false).render(), "");
    }

    #[test]
    fn what_is_escaped_in_a_cell_still_stands_in_its_column() {
        let mut table = Table::new(&["NAME", "AGE"], true);
        table.row(vec!["a\u{1b}[2J\u{202e}".to_owned(), "5m".to_owned()]);
        assert_eq!(table.render(), "NAME                 AGE\na\\u{1b}[2J\\u{202e}   5m\n");
    }

    #[test]
    fn ages_are_kubectls() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(now.as_second() - seconds).ok(), now);
        let ages = [0, 59, 60, 3599, 3600, 86399, 86400, 365 * 86400 - 1, 365 * 86400, -1, -2].map(ago);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "364d", "1y", "0s", "<invalid>"]);
        assert_eq!(age(None, now), "<none>");
    }

    #[test]
    fn sizes_have_a_unit_and_at_most_three_digits() {
        let sizes = [0, 999, 1000, 24608, 999_499, 999_500, 1_250_000_000].map(size);
        assert_eq!(sizes, ["0B", "999B", "1.0kB", "25kB", "999kB", "1.0MB", "1.2GB"]);
    }
}
