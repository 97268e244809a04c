use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::lock;

/// Time after a failure in which Redis is not asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps callers from waiting for a Redis that does not answer: after a failure one caller tries again each second, and
/// the others fail at once.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    #[default]
    Closed,
    OpenUntil(Instant),
    /// One caller tries; the others fail at once.
    Trying,
}

/// Permission to ask Redis. Dropping it without an outcome, as when a request is cancelled, counts as a failure if its
/// caller was the one that tries, and as nothing otherwise.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    /// Gives a pass, or `None` while Redis is not asked.
    pub fn enter(&self) -> Option<Pass<'_>> {
        let mut state = lock(&self.0);
        let is_trial = match *state {
            BreakerState::Closed => false,
            BreakerState::OpenUntil(then) if Instant::now() >= then => true,
            BreakerState::OpenUntil(_) | BreakerState::Trying => return None,
        };
        if is_trial {
            *state = BreakerState::Trying;
        }
        Some(Pass { breaker: self, is_trial })
    }
}

impl Pass<'_> {
    pub fn answered(mut self) {
        if self.is_trial {
            self.is_trial = false;
            *lock(&self.breaker.0) = BreakerState::Closed;
        }
    }

    /// Opens the breaker. True when it was closed before, so that one failure of many is reported.
    pub fn failed(mut self) -> bool {
        let was = std::mem::replace(&mut *lock(&self.breaker.0), BreakerState::OpenUntil(Instant::now() + PAUSE));
        self.is_trial = false;
        was == BreakerState::Closed
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Without this, a cancelled trial would leave the breaker in `Trying` for good.
        if self.is_trial {
            *lock(&self.breaker.0) = BreakerState::OpenUntil(Instant::now() + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_tries_again_after_a_failure() {
        let breaker = Breaker::default();
        let (one, two) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        assert!(one.failed());
        assert!(!two.failed(), "the breaker was open already");
        assert!(breaker.enter().is_none());
        *lock(&breaker.0) = BreakerState::OpenUntil(Instant::now());
        let trial = breaker.enter().unwrap();
        assert!(breaker.enter().is_none(), "one caller tries at a time");
        drop(trial);
        assert!(breaker.enter().is_none(), "a cancelled trial is a failure");
        *lock(&breaker.0) = BreakerState::OpenUntil(Instant::now());
        breaker.enter().unwrap().answered();
        assert!(breaker.enter().is_some());
    }
}
