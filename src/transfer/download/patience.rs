//! How long a slow or broken request is borne: the floor of bytes per second, and when to try again.

use std::time::Duration;

use tokio::time::Instant;

/// Tries of one part without a single new byte in between.
const TRIES_WITHOUT_PROGRESS: u32 = 6;

/// The longest pause before another try, as a multiple of the first.
const LONGEST_PAUSE: u32 = 12;

/// A clock has no time that is any duration ahead.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Watches the rate of one request.
pub(super) struct Watch {
    timeout: Duration,
    /// Bytes per second.
    floor: u64,
    since: Instant,
    bytes: u64,
    last: Instant,
}

impl Watch {
    /// A watch that bears less than `floor` bytes per second for at most `timeout`.
    pub(super) fn new(timeout: Duration, floor: u64, now: Instant) -> Self {
        Self { timeout: timeout.min(LONGEST_TIMEOUT), floor, since: now, bytes: 0, last: now }
    }

    /// Until when the next bytes have to be there.
    pub(super) fn deadline(&self) -> Instant {
        self.last + self.timeout
    }

    /// How long silence and slowness are borne.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The bytes per second that are asked for.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The next bytes are waited for; the time since the last ones was this side's own.
    pub(super) fn resume(&mut self, now: Instant) {
        self.since += now.duration_since(self.last);
        self.last = now;
    }

    /// Bytes have come; whether they come too slowly.
    pub(super) fn too_slow(&mut self, bytes: u64, now: Instant) -> bool {
        self.last = now;
        self.bytes += bytes;
        if now.duration_since(self.since) < self.timeout {
            return false;
        }
        let least = (self.timeout.as_secs_f64() * self.floor as f64) as u64;
        let too_slow = self.bytes < least;
        (self.since, self.bytes) = (now, 0);
        too_slow
    }
}

/// The tries of one part.
#[derive(Debug)]
pub(super) struct Tries {
    first_pause: Duration,
    in_vain: u32,
}

impl Tries {
    /// Pauses begin with `first_pause` and double.
    pub(super) fn new(first_pause: Duration) -> Self {
        Self { first_pause, in_vain: 0 }
    }

    /// New bytes have come.
    pub(super) fn progress(&mut self) {
        self.in_vain = 0;
    }

    /// The pause before the next try, or `None` when there have been enough; `chance` is from 0 to 1.
    ///
    /// The whole pause is random, so that clients of a busy server do not come back together.
    pub(super) fn pause(&mut self, chance: f64) -> Option<Duration> {
        self.in_vain += 1;
        if self.in_vain >= TRIES_WITHOUT_PROGRESS {
            return None;
        }
        let longest = self.first_pause * 2_u32.pow(self.in_vain - 1).min(LONGEST_PAUSE);
        Some(longest.mul_f64(chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_too_slow_and_a_flow_is_not() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(10), 1000, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!watch.too_slow(10_000, at(5)));
        assert!(!watch.too_slow(1, at(10)), "10001 bytes in 10 s are enough");
        assert!(!watch.too_slow(1, at(15)));
        assert!(watch.too_slow(1, at(20)));
        assert_eq!(watch.deadline(), at(30));
    }

    #[test]
    fn no_patience_is_too_long_for_the_clock() {
        let now = Instant::now();
        assert!(Watch::new(Duration::MAX, u64::MAX, now).deadline() > now);
    }

    #[test]
    fn tries_end_unless_there_is_progress() {
        let mut tries = Tries::new(Duration::from_millis(400));
        let pauses: Vec<_> = std::iter::from_fn(|| tries.pause(1.0)).collect();
        assert_eq!(pauses.len(), 5);
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= Duration::from_secs(5)));
        tries.progress();
        assert_eq!(tries.pause(0.0), Some(Duration::ZERO));
    }
}
