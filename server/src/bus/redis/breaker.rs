use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::lock;

/// How long Redis is left alone after it did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps callers from waiting for a Redis that does not answer: after a failure one of them tries again each second, and
/// the others are told at once.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    #[default]
    Closed,
    OpenUntil(Instant),
    /// Somebody tries.
    Trying,
}

/// Leave to try. Dropped without a word, as when the caller went away, it counts as a failure of the one who was trying
/// for all, and as nothing otherwise.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    /// `None` while Redis is left alone.
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

    /// Says whether it is this failure that lets Redis alone, so that it is told of once.
    pub fn failed(mut self) -> bool {
        let was = std::mem::replace(&mut *lock(&self.breaker.0), BreakerState::OpenUntil(Instant::now() + PAUSE));
        self.is_trial = false;
        was == BreakerState::Closed
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            *lock(&self.breaker.0) = BreakerState::OpenUntil(Instant::now() + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tries_for_all() {
        let breaker = Breaker::default();
        let (one, two) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        assert!(one.failed());
        assert!(!two.failed(), "the second failure is no news");
        assert!(breaker.enter().is_none());
        *lock(&breaker.0) = BreakerState::OpenUntil(Instant::now());
        let trial = breaker.enter().unwrap();
        assert!(breaker.enter().is_none(), "one is enough");
        drop(trial);
        assert!(breaker.enter().is_none(), "who goes away has not been answered");
        *lock(&breaker.0) = BreakerState::OpenUntil(Instant::now());
        breaker.enter().unwrap().answered();
        assert!(breaker.enter().is_some());
    }
}
