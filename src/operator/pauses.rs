//! How long watches wait before they are tried again.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// The longest wait. A watch that broke off costs one request.
const LONGEST: Duration = Duration::from_secs(3);

/// kube's own waits, cut. They grow to 30 s and are shared by all watches of a controller, and after a restart of the
/// API server each watch fails once more, because its place in the history is gone: results of runs would be told
/// minutes late.
#[derive(Default)]
pub struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_do_not_end_and_stay_short() {
        let pauses: Vec<Duration> = Pauses::default().take(50).collect();
        assert!(pauses.len() == 50 && pauses.iter().all(|pause| *pause <= LONGEST), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&LONGEST));
    }
}
