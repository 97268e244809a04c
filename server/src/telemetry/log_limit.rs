use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Moment;
use crate::lock::lock;

/// Most kinds of lines that are told apart; those beyond share one limit.
const MAX_KINDS: usize = 256;

/// Lets one log line of a kind pass in a period and counts those it leaves out. So a line for each failed request fills no
/// disk, and a kind that comes often hides no other.
///
/// Write the line only if [`LogLimit::pass`] allows it, with the number of lines that were left out before it. Ask
/// [`LogLimit::overdue`] now and then for those that no line has counted yet.
#[derive(Debug)]
pub struct LogLimit<K> {
    every: Duration,
    kinds: Mutex<HashMap<Option<K>, Passed>>,
}

/// When a line of a kind last passed, and how many were left out since.
#[derive(Debug, Clone, Copy)]
struct Passed {
    at: Moment,
    left_out: u64,
}

impl<K: Eq + Hash + Copy> LogLimit<K> {
    pub fn new(every: Duration) -> Self {
        Self { every, kinds: Mutex::default() }
    }

    /// Whether a line of this kind may be written now, and how many were left out since the last one.
    pub fn pass(&self, kind: K, now: Moment) -> Option<u64> {
        let mut kinds = lock(&self.kinds);
        let kind = Some(kind).filter(|kind| kinds.len() < MAX_KINDS || kinds.contains_key(&Some(*kind)));
        let Some(passed) = kinds.get_mut(&kind) else {
            kinds.insert(kind, Passed { at: now, left_out: 0 });
            return Some(0);
        };
        if now.since(passed.at) < self.every {
            passed.left_out += 1;
            return None;
        }
        passed.at = now;
        Some(std::mem::take(&mut passed.left_out))
    }

    /// The kinds of which lines were left out and none has passed for a period, with their number; they count as told. The
    /// kind is `None` for those beyond the bound.
    pub fn overdue(&self, now: Moment) -> Vec<(Option<K>, u64)> {
        let mut overdue = Vec::new();
        lock(&self.kinds).retain(|kind, passed| {
            let is_over = now.since(passed.at) >= self.every;
            if is_over && passed.left_out > 0 {
                overdue.push((*kind, passed.left_out));
            }
            !is_over
        });
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(1_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn one_line_of_a_kind_passes_in_a_period_and_says_what_was_left_out() {
        let limit = LogLimit::new(Duration::from_secs(10));
        assert_eq!(limit.pass("a", at(0)), Some(0));
        assert_eq!((1..10).filter_map(|second| limit.pass("a", at(second))).count(), 0);
        assert_eq!(limit.pass("b", at(5)), Some(0), "another kind");
        assert_eq!(limit.pass("a", at(10)), Some(9));
        assert_eq!(limit.pass("a", at(11)), None);
        assert_eq!(limit.overdue(at(19)), []);
        assert_eq!(limit.overdue(at(20)), [(Some("a"), 1)]);
        assert_eq!(limit.overdue(at(40)), []);
        assert_eq!(limit.pass("a", at(41)), Some(0));
    }

    #[test]
    fn kinds_are_bounded() {
        let limit = LogLimit::new(Duration::from_secs(10));
        let passed = (0..MAX_KINDS * 2).filter_map(|kind| limit.pass(kind, at(0))).count();
        assert_eq!(passed, MAX_KINDS + 1);
        assert_eq!(limit.overdue(at(10)), [(None, MAX_KINDS as u64 - 1)]);
    }
}
