//! Progress of a transfer: a bar on a terminal, a line in ten seconds otherwise, nothing when quiet.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Ui;
use super::ui::one_line;

const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one transfer.
pub struct Progress {
    ui: Ui,
    what: String,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    done: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Progress of `what`, of `total` bytes if that is known.
    pub fn new(ui: &Ui, what: impl Into<String>, total: Option<u64>) -> Self {
        let what = one_line(&what.into());
        let bar = ui.draws().then(|| bar(&what, total));
        let now = Instant::now();
        Self { ui: ui.clone(), what, bar, total, done: 0, started: now, last_line: now }
    }

    /// So many more bytes are there.
    pub fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.ui.say(self.line());
        }
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> String {
        let rate = self.done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let of = self.total.map(|total| format!(" of {}", HumanBytes(total))).unwrap_or_default();
        format!("{}: {}{of}, {}/s", self.what, HumanBytes(self.done), HumanBytes(rate as u64))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(what: &str, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(20));
    let template = match total {
        Some(_) => "{prefix} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{prefix} {spinner} {bytes}, {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    bar
}
