use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::hosts::AgentIntervals;

/// The intervals of a host in seconds: those that its config names or that it reports itself, and those that the database
/// has.
#[derive(Debug)]
pub struct HostIntervals {
    distributed: IntervalPair,
    config_refresh: IntervalPair,
    logger: IntervalPair,
}

/// An interval as it is reported and as it is written, each a half of one number.
#[derive(Debug)]
struct IntervalPair(AtomicU64);

impl HostIntervals {
    /// Intervals that the database has.
    pub fn new(written: AgentIntervals) -> Self {
        let pair = |secs| IntervalPair(AtomicU64::new(joined(half(secs), half(secs))));
        let AgentIntervals { distributed, config_refresh, logger } = written;
        Self { distributed: pair(distributed), config_refresh: pair(config_refresh), logger: pair(logger) }
    }

    pub fn reported(&self) -> AgentIntervals {
        self.all(|(reported, _)| reported)
    }

    pub fn written(&self) -> AgentIntervals {
        self.all(|(_, written)| written)
    }

    /// Takes over intervals from the row where no config has named others since.
    pub fn take_over(&self, row: AgentIntervals) {
        self.change(row, |row, (reported, written)| (if reported == written { row } else { reported }, row));
    }

    /// Notes the intervals of a config that is served. 0 stands for an interval that the config does not name; it stays.
    pub fn are_named(&self, named: AgentIntervals) {
        self.change(named, |named, (reported, written)| (if named > 0 { named } else { reported }, written));
    }

    /// Notes intervals that the database has now.
    pub fn are_written(&self, intervals: AgentIntervals) {
        self.change(intervals, |written, (reported, _)| (reported, written));
    }

    fn all(&self, of: impl Fn((i32, i32)) -> i32) -> AgentIntervals {
        let one = |pair: &IntervalPair| of(halves(pair.0.load(Ordering::Relaxed))).into();
        AgentIntervals {
            distributed: one(&self.distributed),
            config_refresh: one(&self.config_refresh),
            logger: one(&self.logger),
        }
    }

    /// Changes each pair, given a number for it.
    fn change(&self, numbers: AgentIntervals, changed: impl Fn(i32, (i32, i32)) -> (i32, i32)) {
        let AgentIntervals { distributed, config_refresh, logger } = numbers;
        for (pair, secs) in
            [(&self.distributed, distributed), (&self.config_refresh, config_refresh), (&self.logger, logger)]
        {
            let _ = pair.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pair| {
                let (reported, written) = changed(half(secs), halves(pair));
                let after = joined(reported, written);
                (after != pair).then_some(after)
            });
        }
    }
}

/// An interval of at most 68 years.
fn half(secs: i64) -> i32 {
    i32::try_from(secs.clamp(i32::MIN.into(), i32::MAX.into())).unwrap_or_default()
}

fn joined(reported: i32, written: i32) -> u64 {
    u64::from(reported.cast_unsigned()) << 32 | u64::from(written.cast_unsigned())
}

fn halves(pair: u64) -> (i32, i32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default().cast_signed();
    (half(pair >> 32), half(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals(distributed: i64, config_refresh: i64, logger: i64) -> AgentIntervals {
        AgentIntervals { distributed, config_refresh, logger }
    }

    #[test]
    fn what_a_config_names_stays_until_it_is_written_and_the_row_wins_otherwise() {
        let host = HostIntervals::new(intervals(10, -1, 0));
        assert_eq!((host.reported(), host.written()), (intervals(10, -1, 0), intervals(10, -1, 0)));
        host.are_named(intervals(20, 0, 4));
        assert_eq!((host.reported(), host.written()), (intervals(20, -1, 4), intervals(10, -1, 0)));
        host.take_over(intervals(11, 60, 0));
        assert_eq!((host.reported(), host.written()), (intervals(20, 60, 4), intervals(11, 60, 0)));
        host.are_written(intervals(20, 60, 4));
        host.take_over(intervals(30, 60, 4));
        assert_eq!((host.reported(), host.written()), (intervals(30, 60, 4), intervals(30, 60, 4)));
        host.take_over(intervals(i64::MAX, i64::MIN, 4));
        host.take_over(intervals(i64::MAX, i64::MIN, 4));
        assert_eq!(host.reported(), host.written());
    }
}
