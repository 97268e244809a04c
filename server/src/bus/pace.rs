//! How fast hosts are given the query of a job.

use super::CLOCKS_DIFFER_US;
use crate::clock::Moment;

/// The pace of a job, which all nodes share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LivePace {
    /// Most hosts a second that are given the query; 0 is no limit.
    pub rate: u32,
    /// Whether no further host is given the query.
    pub is_paused: bool,
    /// Set while only the canaries are given the query: until when they are waited for.
    pub canaries_until: Option<Moment>,
    /// How often the pace was set. The one that was set later counts, in whatever order nodes hear of them; 0 is the pace
    /// of a job that never had one.
    pub changes: u64,
}

/// The outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The caller is the one to send the host the query.
    Won,
    /// The host is not pending, or the job is over.
    Taken,
    /// The pace holds the host back: until this moment, or, without one, until the pace is another.
    Held(Option<Moment>),
}

impl Claim {
    #[cfg(test)]
    pub fn is_won(self) -> bool {
        self == Self::Won
    }
}

impl LivePace {
    /// Whether no host may be given the query but canaries, or none at all.
    pub fn is_held(self) -> bool {
        self.is_paused || self.canaries_until.is_some()
    }

    /// Whether the canaries may be given the query, and nobody else.
    pub(super) fn is_for_canaries(self) -> bool {
        !self.is_paused && self.canaries_until.is_some()
    }

    /// Whether hosts of one kind may not be given the query, however much room there is.
    pub fn holds_back(self, is_canary: bool) -> bool {
        self.is_held() && !(is_canary && self.is_for_canaries())
    }

    /// Takes the room for one more host at `now`. `due` is when the last room that was taken had come: it grows by an even
    /// part of a second for each host, and what was not taken for more than a second is gone. `claim.lua` does the same.
    ///
    /// # Errors
    /// When there is none: the claim is held, and nothing is taken.
    pub(super) fn take(self, due: &mut i64, now: Moment, is_canary: bool) -> Result<(), Claim> {
        if self.holds_back(is_canary) {
            return Err(Claim::Held(None));
        }
        if self.rate == 0 {
            return Ok(());
        }
        let rate = i64::from(self.rate);
        let each = 1_000_000_u64.div_ceil(u64::from(self.rate)).cast_signed();
        // A moment further ahead comes from a node whose clock is wrong.
        let known = if *due > now.0 + CLOCKS_DIFFER_US.cast_signed() { now.0 - each } else { *due };
        let next = known.max(now.0 - rate * each) + each;
        if next > now.0 {
            return Err(Claim::Held(Some(Moment(next))));
        }
        *due = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of many hosts that ask at one moment are given the query.
    fn given(pace: LivePace, due: &mut i64, now: i64) -> u32 {
        (0..100_000).map(|_| u32::from(pace.take(due, Moment(now), false).is_ok())).sum()
    }

    #[test]
    fn as_many_are_given_the_query_as_the_rate_allows_and_none_who_was_missed_is_made_up_for() {
        for rate in [1, 3, 10, 7_001] {
            let (pace, mut due, start) = (LivePace { rate, ..LivePace::default() }, 0, 1_768_478_400_000_000);
            assert_eq!(given(pace, &mut due, start), rate, "those of one second");
            assert_eq!(given(pace, &mut due, start), 0);
            let until = pace.take(&mut due, Moment(start), false).unwrap_err();
            let Claim::Held(Some(Moment(until))) = until else { panic!("{until:?}") };
            assert_eq!(given(pace, &mut due, until - 1), 0);
            assert_eq!(given(pace, &mut due, until), 1, "held no longer than it says");
            assert_eq!(given(pace, &mut due, start + 3_600_000_000), rate, "not those of an hour");
        }
        assert_eq!(given(LivePace::default(), &mut 0, 0), 100_000);
        assert_eq!(given(LivePace { is_paused: true, ..LivePace::default() }, &mut 0, 0), 0);
    }

    #[test]
    fn while_canaries_are_waited_for_nobody_else_is_given_the_query_and_a_pause_stops_them_too() {
        let waiting = LivePace { canaries_until: Some(Moment(9)), ..LivePace::default() };
        assert_eq!(given(waiting, &mut 0, 0), 0);
        assert_eq!(waiting.take(&mut 0, Moment(0), true), Ok(()));
        let paused = LivePace { is_paused: true, ..waiting };
        assert_eq!(paused.take(&mut 0, Moment(0), true), Err(Claim::Held(None)));
        let slow = LivePace { rate: 1, ..waiting };
        let mut due = 0;
        assert_eq!(slow.take(&mut due, Moment(10_000_000), true), Ok(()));
        assert_eq!(
            slow.take(&mut due, Moment(10_000_000), true),
            Err(Claim::Held(Some(Moment(11_000_000)))),
            "a rate counts for canaries"
        );
    }

    #[test]
    fn a_node_whose_clock_is_far_ahead_stops_nobody_else() {
        let (pace, mut due, now) = (LivePace { rate: 2, ..LivePace::default() }, 0, 1_768_478_400_000_000);
        assert_eq!(given(pace, &mut due, now + 86_400_000_000), 2);
        assert_eq!(given(pace, &mut due, now), 1);
        assert_eq!(given(pace, &mut due, now + 500_000), 1, "they go on at the rate");
    }
}
