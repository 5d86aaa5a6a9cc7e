//! How long a command that has another way waits for the API server: over all of its requests, not for each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Error;

/// Longest wait in all for an API server that does not answer.
pub const TOTAL: Duration = Duration::from_secs(5);

/// What is left of the wait, shared by all sessions of a command. The default is that of commands which need
/// Kubernetes: every request has a time-out of its own and nothing is counted.
#[derive(Debug, Clone, Default)]
pub struct Patience(Option<Arc<Left>>);

#[derive(Debug)]
struct Left {
    left: Mutex<Duration>,
    /// Whether waiting for answers counts too, because the other way is known to be open.
    strict: bool,
    /// Whether the first answer lifts it, because what follows has no other way.
    until_answered: bool,
    /// What was said when it ran out.
    last: Mutex<Option<Error>>,
    answered: AtomicBool,
    lifted: AtomicBool,
}

impl Patience {
    /// [`TOTAL`]. Without `strict` only waits that no answer ended are counted: an API server that is slow and
    /// lives is the only way there is.
    pub fn short(strict: bool) -> Self {
        Self::new(strict, false)
    }

    /// [`TOTAL`] until an API server answers, and from then on every request has a time-out of its own again.
    pub fn until_answered() -> Self {
        Self::new(false, true)
    }

    fn new(strict: bool, until_answered: bool) -> Self {
        let (answered, lifted) = (AtomicBool::new(false), AtomicBool::new(false));
        let (left, last) = (Mutex::new(TOTAL), Mutex::new(None));
        Self(Some(Arc::new(Left { left, last, strict, until_answered, answered, lifted })))
    }

    /// From here on every request has a time-out of its own again.
    pub fn lift(&self) {
        if let Some(shared) = &self.0 {
            shared.lifted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether an API server answered anything but that it cannot.
    pub fn answered(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.answered.load(Ordering::Relaxed))
    }

    /// The longest wait for the next request; `None` for its own time-out.
    pub(super) fn left(&self) -> Option<Duration> {
        let shared = self.0.as_ref().filter(|shared| !shared.lifted.load(Ordering::Relaxed))?;
        Some(*shared.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what was said of a wait that took all that was left, and returns it.
    pub(super) fn ran_out(&self, error: Error) -> Error {
        if let Some(shared) = &self.0 {
            *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
        error
    }

    /// What was said when it ran out; `None` while something is left.
    pub(super) fn over(&self) -> Option<Error> {
        self.left().filter(Duration::is_zero)?;
        self.0.as_ref()?.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another way is known to be open, so that even what goes on is not waited for.
    pub(super) fn is_strict(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.strict)
    }

    /// Counts a login that ended, which is no answer of the API server and no wait in vain either.
    pub(super) fn spend_on_login(&self, waited: Duration) {
        if self.is_strict() {
            self.spend(waited, false);
        }
    }

    /// Counts a wait that ended with an answer or without one.
    pub(super) fn spend(&self, waited: Duration, answered: bool) {
        let Some(shared) = &self.0 else { return };
        if answered {
            shared.answered.store(true, Ordering::Relaxed);
            if shared.until_answered {
                self.lift();
            }
        }
        if !answered || shared.strict {
            let mut left = shared.left.lock().unwrap_or_else(PoisonError::into_inner);
            *left = left.saturating_sub(waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_add_up_over_all_that_share_it() {
        let patience = Patience::short(false);
        let other = patience.clone();
        patience.spend(4 * SECOND, false);
        assert_eq!((other.left(), other.answered()), (Some(SECOND), false));
        other.spend(2 * SECOND, false);
        assert_eq!((patience.left(), patience.over()), (Some(Duration::ZERO), None));
        patience.ran_out(Error::timed_out("silence"));
        assert_eq!(other.over(), Some(Error::timed_out("silence")));
        patience.lift();
        assert_eq!((other.left(), other.over()), (None, None));
    }

    #[test]
    fn an_answer_costs_only_where_there_is_another_way() {
        for (strict, left) in [(false, TOTAL), (true, TOTAL - SECOND)] {
            let patience = Patience::short(strict);
            patience.spend(SECOND, true);
            assert_eq!((patience.left(), patience.answered()), (Some(left), true), "{strict}");
        }
    }

    #[test]
    fn a_login_costs_only_where_there_is_another_way() {
        for (strict, left) in [(false, TOTAL), (true, TOTAL - SECOND)] {
            let patience = Patience::short(strict);
            patience.spend_on_login(SECOND);
            assert_eq!((patience.left(), patience.answered()), (Some(left), false), "{strict}");
        }
    }

    #[test]
    fn an_answer_lifts_it_where_nothing_else_is_a_way_on() {
        let patience = Patience::until_answered();
        patience.spend(SECOND, false);
        assert_eq!((patience.left(), patience.answered()), (Some(TOTAL - SECOND), false));
        patience.spend(SECOND, true);
        assert_eq!((patience.left(), patience.answered()), (None, true));
    }

    #[test]
    fn a_command_that_needs_kubernetes_counts_nothing() {
        let patience = Patience::default();
        patience.spend(SECOND, true);
        assert_eq!((patience.left(), patience.answered()), (None, false));
    }
}
