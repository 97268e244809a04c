use std::sync::atomic::{AtomicU32, Ordering};

use crate::store::hosts::AgentIntervals;

/// Intervals of up to 34 years are told apart.
const LONGEST: i64 = i32::MAX as i64 / 2;

/// The intervals of a host in seconds, as its config names them or the host reports them itself, and whether the database
/// has them.
#[derive(Debug)]
pub struct HostIntervals {
    distributed: Interval,
    config_refresh: Interval,
    logger: Interval,
}

/// An interval; its lowest bit is set while the database may have another one.
#[derive(Debug)]
struct Interval(AtomicU32);

impl HostIntervals {
    /// Intervals that the database has.
    pub fn new(written: AgentIntervals) -> Self {
        let interval = |secs| Interval(AtomicU32::new(joined(limited(secs), false)));
        let AgentIntervals { distributed, config_refresh, logger } = written;
        Self { distributed: interval(distributed), config_refresh: interval(config_refresh), logger: interval(logger) }
    }

    pub fn reported(&self) -> AgentIntervals {
        let one = |interval: &Interval| parts(interval.0.load(Ordering::Relaxed)).0.into();
        AgentIntervals {
            distributed: one(&self.distributed),
            config_refresh: one(&self.config_refresh),
            logger: one(&self.logger),
        }
    }

    /// The intervals, if the database may have others.
    pub fn unwritten(&self) -> Option<AgentIntervals> {
        let is_unwritten = |interval: &Interval| parts(interval.0.load(Ordering::Relaxed)).1;
        let all = [&self.distributed, &self.config_refresh, &self.logger];
        all.into_iter().any(is_unwritten).then(|| self.reported())
    }

    /// Takes over intervals from the row where no config has named others since.
    pub fn take_over(&self, row: AgentIntervals) {
        self.change(row, |row, (reported, is_unwritten)| match is_unwritten {
            true => (reported, reported != row),
            false => (row, false),
        });
    }

    /// Notes the intervals of a config that is served. 0 stands for an interval that the config does not name; it stays.
    pub fn are_named(&self, named: AgentIntervals) {
        self.change(named, |named, (reported, is_unwritten)| match named {
            ..=0 => (reported, is_unwritten),
            _ => (named, is_unwritten || named != reported),
        });
    }

    /// Notes intervals that the database has now.
    pub fn are_written(&self, intervals: AgentIntervals) {
        self.change(intervals, |written, (reported, _)| (reported, reported != written));
    }

    /// Changes each interval, given a number for it.
    fn change(&self, numbers: AgentIntervals, changed: impl Fn(i32, (i32, bool)) -> (i32, bool)) {
        let AgentIntervals { distributed, config_refresh, logger } = numbers;
        for (interval, secs) in
            [(&self.distributed, distributed), (&self.config_refresh, config_refresh), (&self.logger, logger)]
        {
            let _ = interval.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                let (reported, is_unwritten) = changed(limited(secs), parts(before));
                let after = joined(reported, is_unwritten);
                (after != before).then_some(after)
            });
        }
    }
}

fn limited(secs: i64) -> i32 {
    i32::try_from(secs.clamp(-LONGEST, LONGEST)).unwrap_or_default()
}

fn joined(secs: i32, is_unwritten: bool) -> u32 {
    secs.cast_unsigned() << 1 | u32::from(is_unwritten)
}

fn parts(interval: u32) -> (i32, bool) {
    (interval.cast_signed() >> 1, interval & 1 == 1)
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
        let state = || (host.reported(), host.unwritten().is_some());
        assert_eq!(state(), (intervals(10, -1, 0), false));
        host.are_named(intervals(10, 0, 0));
        assert_eq!(state(), (intervals(10, -1, 0), false));
        host.are_named(intervals(20, 0, 4));
        assert_eq!(state(), (intervals(20, -1, 4), true));
        host.take_over(intervals(11, 60, 0));
        assert_eq!(state(), (intervals(20, 60, 4), true));
        host.take_over(intervals(20, 60, 0));
        assert_eq!(state(), (intervals(20, 60, 4), true));
        host.are_written(intervals(20, 60, 5));
        assert_eq!(state(), (intervals(20, 60, 4), true));
        host.are_written(intervals(20, 60, 4));
        host.take_over(intervals(30, 60, 4));
        assert_eq!(state(), (intervals(30, 60, 4), false));
        host.take_over(intervals(i64::MAX, i64::MIN, 4));
        assert_eq!(state(), (intervals(LONGEST, -LONGEST, 4), false));
        host.are_written(intervals(i64::MAX, i64::MIN, 4));
        assert_eq!(host.unwritten(), None);
    }
}
