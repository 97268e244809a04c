use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::clock::Moment;

/// Signs that an agent has restarted. Agents do not say so, but a new worker fetches its config at once, out of the
/// cadence of the one before. Each node may see only some of the fetches: the gaps it sees are multiples of the
/// cadence, and only a gap shorter than the cadence is a sign.
#[derive(Debug, Default)]
pub struct Restarts {
    fetched: AtomicI64,
    /// In milliseconds, as the next one.
    gap: AtomicU32,
    /// What seems to be the cadence: a gap that came twice in a row. It may be a multiple of it.
    usual_gap: AtomicU32,
    sign: AtomicI64,
}

impl Restarts {
    /// `told_secs`: the cadence its config sets, 0 if that does not.
    pub fn config_fetched(&self, now: Moment, told_secs: i64) {
        let before = self.fetched.swap(now.0, Ordering::Relaxed);
        if before == 0 {
            return;
        }
        let gap = (now.0 - before) / 1_000;
        let learnt = i64::from(self.usual_gap.load(Ordering::Relaxed));
        if told_secs > 0 {
            if gap < told_secs.saturating_mul(1_000) / 10 * 9 {
                self.sign.fetch_max(now.0, Ordering::Relaxed);
            }
        } else if learnt > 0 && gap < learnt / 10 * 9 {
            match cadence_behind(learnt, gap) {
                Some(cadence) => self.usual_gap.store(kept(cadence), Ordering::Relaxed),
                None => {
                    self.sign.fetch_max(now.0, Ordering::Relaxed);
                }
            }
        }
        let last = i64::from(self.gap.swap(kept(gap), Ordering::Relaxed));
        let is_multiple = |known: i64| known > 0 && gap > known / 10 * 11;
        if (gap - last).abs() <= last / 5 && !is_multiple(self.usual_gap.load(Ordering::Relaxed).into()) {
            self.usual_gap.store(kept(gap), Ordering::Relaxed);
        }
    }

    pub fn seen(&self, now: Moment) {
        self.sign.fetch_max(now.0, Ordering::Relaxed);
    }

    pub fn since(&self, moment: Moment) -> bool {
        self.sign.load(Ordering::Relaxed) > moment.0
    }
}

/// A gap as it is kept: of up to 49 days.
fn kept(gap: i64) -> u32 {
    u32::try_from(gap.max(0)).unwrap_or(u32::MAX)
}

/// The cadence both gaps are multiples of, if they seem to be: small multiples, within a twentieth.
fn cadence_behind(longer: i64, shorter: i64) -> Option<i64> {
    (2..=4).map(|parts| longer / parts).find(|cadence| {
        let multiple = (shorter + cadence / 2) / cadence;
        multiple > 0 && (shorter - multiple * cadence).abs() <= cadence / 20
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    fn fetched(restarts: &Restarts, told_secs: i64, all: impl IntoIterator<Item = i64>) {
        all.into_iter().for_each(|seconds| restarts.config_fetched(at(seconds), told_secs));
    }

    #[test]
    fn a_fetch_out_of_cadence_is_a_sign() {
        for told_secs in [0, 60] {
            let restarts = Restarts::default();
            fetched(&restarts, told_secs, [1000, 1060, 1120, 1181]);
            assert!(!restarts.since(at(0)));
            fetched(&restarts, told_secs, [1206]);
            assert!(restarts.since(at(1190)));
            assert!(!restarts.since(at(1207)));
        }
    }

    #[test]
    fn a_host_that_slept_shows_no_sign() {
        let restarts = Restarts::default();
        fetched(&restarts, 0, [1000, 1060, 1120, 30_000, 30_060, 30_120]);
        assert!(!restarts.since(at(0)));
    }

    /// Every pattern of fetches that one of several nodes may see.
    #[test]
    fn fetches_that_went_elsewhere_are_no_sign() {
        for told_secs in [0, 60] {
            for pattern in 1..1_u32 << 14 {
                let restarts = Restarts::default();
                fetched(&restarts, told_secs, (0..14).filter(|n| pattern >> n & 1 == 1).map(|n| 1000 + 60 * n));
                let gaps: Vec<i64> = (0..14).filter(|n| pattern >> n & 1 == 1).collect();
                if gaps.windows(2).all(|pair| pair[1] - pair[0] <= 4) {
                    assert!(!restarts.since(at(0)), "{told_secs} {gaps:?}");
                }
            }
        }
    }
}
