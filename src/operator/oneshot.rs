//! What to do next about an EtcdBackup that asks for one backup: pure decisions over its attempts.

use std::time::Duration;

use jiff::Timestamp;

use super::outcome::{Outcome, Start};
use crate::api::RunReport;

/// Wait after the first failure; doubles with every further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// Least time that an attempt gets; with less than that left nothing is started.
const LEAST: Duration = Duration::from_secs(10);

/// How the agent's reason begins when S3 does not take the credentials: no later attempt fares better.
const CREDENTIALS_REFUSED: &str = "CredentialsRefused:";

/// The newest attempt at the present generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Counted from 1.
    pub number: u32,
    pub job: String,
    pub outcome: Outcome,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the Job of this attempt; its agent gets `timeout`.
    Start { number: u32, timeout: Duration },
    /// An attempt is running.
    Watch { number: u32, job: String, start: Start },
    /// The last attempt failed; try again after `wait`.
    Retry { number: u32, reason: String, silent: bool, at: Timestamp, wait: Duration },
    /// A proved snapshot is stored.
    Succeed { report: RunReport, at: Timestamp },
    /// The last attempt failed and the time is up.
    GiveUp { reason: String, silent: bool, at: Timestamp },
}

/// What is known besides the newest attempt.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When the work on this generation began.
    pub since: Option<Timestamp>,
    /// Up to when the status tells how attempts ended.
    pub told: Option<Timestamp>,
    /// Time for all attempts.
    pub timeout: Duration,
    pub now: Timestamp,
}

/// Decides. No attempt follows a failure that the status does not tell yet.
pub fn decide(newest: Option<Newest>, clock: Clock) -> Step {
    let Clock { since, told, timeout, now } = clock;
    let left = left(since, timeout, now);
    let Some(Newest { number, job, outcome }) = newest else {
        // EtcdNotFound is what gives up before a first attempt
        return Step::Start { number: 1, timeout: left.max(LEAST.min(timeout)) };
    };
    match outcome {
        Outcome::Running(start) => Step::Watch { number, job, start },
        Outcome::Stored { report, at } => Step::Succeed { report, at },
        Outcome::Failed { reason, at, silent } => {
            let wait = back_off(number).saturating_sub(elapsed(at, now));
            let told = told.is_some_and(|told| told.as_second() >= at.as_second());
            if left < wait + LEAST || reason.starts_with(CREDENTIALS_REFUSED) {
                Step::GiveUp { reason, silent, at }
            } else if wait.is_zero() && told {
                Step::Start { number: number + 1, timeout: left }
            } else {
                Step::Retry { number, reason, silent, at, wait }
            }
        }
    }
}

/// What is left of `timeout`.
pub fn left(since: Option<Timestamp>, timeout: Duration, now: Timestamp) -> Duration {
    since.map_or(timeout, |since| timeout.saturating_sub(elapsed(since, now)))
}

/// How long to wait before etcd is looked for again, when it has been looked for since `since`.
pub fn look_again(since: Option<Timestamp>, now: Timestamp) -> Duration {
    let looked = since.map_or(Duration::ZERO, |since| elapsed(since, now));
    (looked / 2).clamp(Duration::from_secs(5), Duration::from_secs(60))
}

fn back_off(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    FIRST_BACK_OFF.saturating_mul(doubled).min(LONGEST_BACK_OFF)
}

/// The time from `then` to `now`; none when the clocks of two machines disagree about the order.
fn elapsed(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{at, stored};
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn clock(since: Option<i64>, told: Option<i64>, now: i64) -> Clock {
        Clock { since: since.map(at), told: told.map(at), timeout: TEN_MINUTES, now: at(now) }
    }

    fn newest(number: u32, outcome: Outcome) -> Option<Newest> {
        Some(Newest { number, job: "j".to_owned(), outcome })
    }

    fn failed(number: u32, ended: i64, now: i64) -> Step {
        let outcome = Outcome::Failed { reason: "no".to_owned(), at: at(ended), silent: false };
        decide(newest(number, outcome), clock(Some(0), Some(ended), now))
    }

    #[test]
    fn starts_at_once_and_then_watches() {
        assert_eq!(decide(None, clock(None, None, 0)), Step::Start { number: 1, timeout: TEN_MINUTES });
        let running = newest(1, Outcome::Running(Start::Over));
        let want = Step::Watch { number: 1, job: "j".to_owned(), start: Start::Over };
        assert_eq!(decide(running, clock(Some(0), None, 9999)), want);
        let done = newest(1, Outcome::Stored { report: stored(), at: at(5) });
        assert_eq!(decide(done, clock(Some(0), None, 9999)), Step::Succeed { report: stored(), at: at(5) });
    }

    #[test]
    fn a_failure_is_retried_with_back_off_within_the_timeout() {
        assert!(matches!(failed(1, 30, 33), Step::Retry { wait, .. } if wait == Duration::from_secs(7)));
        assert_eq!(failed(1, 30, 40), Step::Start { number: 2, timeout: Duration::from_secs(560) });
        assert!(matches!(failed(3, 100, 100), Step::Retry { wait, .. } if wait == Duration::from_secs(40)));
        assert!(matches!(failed(99, 100, 100), Step::Retry { wait, .. } if wait == LONGEST_BACK_OFF));
    }

    #[test]
    fn a_failure_is_told_before_it_is_retried() {
        let outcome = Outcome::Failed { reason: "no".to_owned(), at: at(30), silent: false };
        let step = decide(newest(1, outcome), clock(Some(0), Some(29), 40));
        assert!(matches!(step, Step::Retry { wait: Duration::ZERO, .. }), "{step:?}");
    }

    #[test]
    fn gives_up_when_the_time_is_used_up() {
        assert!(matches!(failed(1, 595, 596), Step::GiveUp { .. }));
        assert!(matches!(failed(1, 30, 9999), Step::GiveUp { .. }));
        // the back-off alone would outlast it
        assert!(matches!(failed(6, 350, 350), Step::GiveUp { .. }));
    }

    #[test]
    fn credentials_that_are_refused_are_not_tried_again() {
        let outcome = Outcome::Failed { reason: "CredentialsRefused: no".to_owned(), at: at(5), silent: false };
        assert!(matches!(decide(newest(1, outcome), clock(Some(0), None, 6)), Step::GiveUp { .. }));
    }

    #[test]
    fn clocks_that_disagree_do_no_harm() {
        assert_eq!(left(Some(at(60)), TEN_MINUTES, at(0)), TEN_MINUTES);
        assert_eq!(look_again(Some(at(60)), at(0)), Duration::from_secs(5));
        assert_eq!(look_again(Some(at(0)), at(9999)), Duration::from_secs(60));
    }
}
