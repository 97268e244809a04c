use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::lock;

/// Failures in a row, without any answer between them, after which Redis is left alone. Commands that were under way at
/// one time count once, so these are as many timeouts one after the other: a slow command is no outage.
const FAILURES: u32 = 3;

/// Time after the last of these in which Redis is not asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps callers from waiting for a Redis that does not answer: after some failures in a row one caller tries again each
/// second, and the others fail at once.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    /// Failures in a row.
    failures: u32,
    failed_at: Option<Instant>,
    /// When the last of these failures was counted.
    counted_at: Option<Instant>,
    answered_at: Option<Instant>,
    pause: Option<Pause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    Until(Instant),
    /// One caller tries; the others fail at once.
    Trying,
}

/// Permission to ask Redis. Dropping it without an outcome, as when a request is cancelled, counts as a failure if its
/// caller was the one that tries, and as nothing otherwise.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    began: Instant,
    is_trial: bool,
}

impl Breaker {
    /// Gives a pass, or `None` while Redis is not asked. A caller that has waited since `since` for its turn is not let
    /// through either when those before it have failed meanwhile: it need not find out once more.
    pub fn enter(&self, since: Instant, now: Instant) -> Option<Pass<'_>> {
        let mut state = lock(&self.0);
        let is_trial = match state.pause {
            Some(Pause::Trying) => return None,
            Some(Pause::Until(then)) if now < then => return None,
            Some(Pause::Until(_)) => true,
            None if state.failures > 0 && state.failed_at.is_some_and(|at| at > since) => return None,
            None => false,
        };
        if is_trial {
            state.pause = Some(Pause::Trying);
        }
        Some(Pass { breaker: self, began: now, is_trial })
    }

    /// Redis has answered a command of another purpose: one caller may try now.
    pub fn try_soon(&self, now: Instant) {
        let mut state = lock(&self.0);
        if let Some(Pause::Until(then)) = &mut state.pause {
            *then = now.min(*then);
        }
    }
}

impl Pass<'_> {
    /// Redis has answered, which ends any pause.
    pub fn answered(mut self, now: Instant) {
        self.is_trial = false;
        *lock(&self.breaker.0) = BreakerState { answered_at: Some(now), ..BreakerState::default() };
    }

    /// Notes that there was no answer. False if Redis has answered another command since this one began: then it is slow,
    /// not away, and this is no failure.
    pub fn failed(mut self, now: Instant) -> bool {
        let mut state = lock(&self.breaker.0);
        if state.answered_at.is_some_and(|at| at > self.began) {
            return false;
        }
        // why the counted one: callers that overlap each other without end would never be more than one failure.
        let was_under_way = state.counted_at.is_some_and(|at| at > self.began);
        if !was_under_way {
            state.failures += 1;
            state.counted_at = Some(now);
        }
        state.failed_at = Some(now);
        if self.is_trial || state.failures >= FAILURES {
            state.pause = Some(Pause::Until(now + PAUSE));
        }
        drop(state);
        self.is_trial = false;
        true
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Without this, a cancelled trial would leave the breaker in `Trying` for good.
        if self.is_trial {
            let mut state = lock(&self.breaker.0);
            if state.pause == Some(Pause::Trying) {
                state.pause = Some(Pause::Until(Instant::now() + PAUSE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn one_caller_tries_again_after_failures_in_a_row() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..FAILURES {
            let pass = breaker.enter(now, now).unwrap();
            now += TIMEOUT;
            assert!(pass.failed(now));
        }
        assert!(breaker.enter(now, now).is_none());
        now += PAUSE;
        let trial = breaker.enter(now, now).unwrap();
        assert!(breaker.enter(now, now).is_none(), "one caller tries at a time");
        now += TIMEOUT;
        assert!(trial.failed(now));
        assert!(breaker.enter(now, now).is_none(), "a trial that fails is enough");
        now += PAUSE;
        breaker.enter(now, now).unwrap().answered(now);
        assert!(breaker.enter(now, now).is_some());
    }

    #[test]
    fn an_answer_to_another_purpose_lets_one_caller_try_at_once() {
        let now = Instant::now();
        let breaker = Breaker(Mutex::new(BreakerState {
            failures: FAILURES,
            failed_at: Some(now),
            pause: Some(Pause::Until(now + PAUSE)),
            ..BreakerState::default()
        }));
        assert!(breaker.enter(now, now).is_none());
        breaker.try_soon(now);
        let trial = breaker.enter(now, now).unwrap();
        breaker.try_soon(now);
        assert!(breaker.enter(now, now).is_none(), "one at a time");
        trial.answered(now);
        assert!(breaker.enter(now, now).is_some());
    }

    #[test]
    fn a_cancelled_trial_is_a_failure() {
        let breaker =
            Breaker(Mutex::new(BreakerState { pause: Some(Pause::Until(Instant::now())), ..BreakerState::default() }));
        let now = Instant::now();
        drop(breaker.enter(now, now).unwrap());
        assert!(breaker.enter(now, now).is_none());
        let later = now + 2 * PAUSE;
        assert!(breaker.enter(later, later).is_some());
    }

    #[test]
    fn commands_under_way_at_one_time_are_one_failure() {
        let breaker = Breaker::default();
        let began = Instant::now();
        let passes: Vec<_> = (0..100).map(|_| breaker.enter(began, began).unwrap()).collect();
        for (n, pass) in (0..).zip(passes) {
            assert!(pass.failed(began + TIMEOUT + Duration::from_millis(n)));
        }
        let now = began + 2 * TIMEOUT;
        assert!(breaker.enter(now, now).is_some(), "Redis was slow once");
        assert!(breaker.enter(began, now).is_none(), "who has waited for those that failed does not wait again");
    }

    #[test]
    fn callers_that_overlap_all_the_time_count_as_those_one_after_the_other() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        let mut before = breaker.enter(now, now).unwrap();
        for _ in 0..2 * FAILURES - 2 {
            now += TIMEOUT / 2;
            let next = breaker.enter(now, now).unwrap();
            now += TIMEOUT / 2;
            assert!(std::mem::replace(&mut before, next).failed(now));
        }
        assert!(before.failed(now + TIMEOUT / 2));
        assert!(breaker.enter(now + TIMEOUT / 2, now + TIMEOUT / 2).is_none());
    }

    #[test]
    fn a_slow_command_beside_others_that_are_answered_is_no_failure() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..2 * FAILURES {
            let slow = breaker.enter(now, now).unwrap();
            let quick = breaker.enter(now, now).unwrap();
            now += TIMEOUT / 2;
            quick.answered(now);
            now += TIMEOUT / 2;
            assert!(!slow.failed(now));
        }
        assert!(breaker.enter(now, now).is_some());
    }

    #[test]
    fn an_answer_ends_a_row_of_failures() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..2 * FAILURES {
            let pass = breaker.enter(now, now).unwrap();
            now += TIMEOUT;
            assert!(pass.failed(now));
            breaker.enter(now, now).unwrap().answered(now);
        }
        assert!(breaker.enter(now, now).is_some());
    }
}
