use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Moment;

/// Signs that an agent has restarted: nothing says so, but a new worker fetches its config at once, out of the cadence
/// of the one before.
#[derive(Debug, Default)]
pub struct Restarts {
    fetched: AtomicI64,
    gap: AtomicI64,
    /// The cadence: a gap that came twice in a row.
    usual_gap: AtomicI64,
    sign: AtomicI64,
}

impl Restarts {
    pub fn config_fetched(&self, now: Moment) {
        let before = self.fetched.swap(now.0, Ordering::Relaxed);
        if before == 0 {
            return;
        }
        let gap = now.0 - before;
        let usual = self.usual_gap.load(Ordering::Relaxed);
        if usual > 0 && gap < usual / 10 * 9 {
            self.sign.fetch_max(now.0, Ordering::Relaxed);
        }
        let last = self.gap.swap(gap, Ordering::Relaxed);
        if (gap - last).abs() <= last / 5 {
            self.usual_gap.store(gap, Ordering::Relaxed);
        }
    }

    pub fn seen(&self, now: Moment) {
        self.sign.fetch_max(now.0, Ordering::Relaxed);
    }

    pub fn since(&self, moment: Moment) -> bool {
        self.sign.load(Ordering::Relaxed) > moment.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    #[test]
    fn a_fetch_out_of_cadence_is_a_sign() {
        let restarts = Restarts::default();
        for seconds in [1000, 1060, 1120, 1181] {
            restarts.config_fetched(at(seconds));
        }
        assert!(!restarts.since(at(0)));
        restarts.config_fetched(at(1200));
        assert!(restarts.since(at(1190)));
        assert!(!restarts.since(at(1201)));
    }

    #[test]
    fn a_host_that_slept_shows_no_sign() {
        let restarts = Restarts::default();
        for seconds in [1000, 1060, 1120, 30_000, 30_060, 30_120] {
            restarts.config_fetched(at(seconds));
        }
        assert!(!restarts.since(at(0)));
    }
}
