//! The state of every target: each is in exactly one, so the counts always add up.

use muster_api::rest::{LiveCounts, TargetState};
use roaring::RoaringTreemap;

/// All states, in the order they are stored. What comes later goes to the end: rows that were stored before end
/// earlier.
const STATES: [TargetState; 11] = [
    TargetState::Pending,
    TargetState::Sent,
    TargetState::Answered,
    TargetState::Failed,
    TargetState::Denylisted,
    TargetState::Suspect,
    TargetState::Lost,
    TargetState::Expired,
    TargetState::Cancelled,
    TargetState::Gone,
    TargetState::Skipped,
];

/// How many states are stored before the truncated hosts; the others are stored behind them.
const FIRST: usize = 10;

/// Hosts by state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct States {
    hosts: [RoaringTreemap; STATES.len()],
    truncated: RoaringTreemap,
    /// Hosts that are counted, and whose answers are not kept.
    unkept: RoaringTreemap,
}

/// States of hosts that have a line in the results.
const WITH_ANSWER: [TargetState; 6] = [
    TargetState::Answered,
    TargetState::Failed,
    TargetState::Denylisted,
    TargetState::Suspect,
    TargetState::Lost,
    TargetState::Skipped,
];

/// The word of metrics for a state.
pub(super) fn state_word(state: TargetState) -> &'static str {
    match state {
        TargetState::Pending => "pending",
        TargetState::Sent => "sent",
        TargetState::Answered => "answered",
        TargetState::Failed => "failed",
        TargetState::Denylisted => "denylisted",
        TargetState::Skipped => "skipped",
        TargetState::Suspect => "suspect",
        TargetState::Lost => "lost",
        TargetState::Expired => "expired",
        TargetState::Cancelled => "cancelled",
        TargetState::Gone => "gone",
    }
}

fn position(state: TargetState) -> usize {
    STATES.iter().position(|other| *other == state).unwrap_or(0)
}

impl States {
    /// All targets, not asked yet.
    pub fn pending(targets: impl IntoIterator<Item = i64>) -> Self {
        let mut states = Self::default();
        states.hosts[position(TargetState::Pending)].extend(targets.into_iter().map(i64::cast_unsigned));
        states
    }

    /// Whether a host is in this state.
    pub fn has(&self, host: i64, state: TargetState) -> bool {
        self.hosts[position(state)].contains(host.cast_unsigned())
    }

    /// How many of these hosts are in a state.
    pub fn count_among(&self, state: TargetState, hosts: &RoaringTreemap) -> u64 {
        self.hosts[position(state)].intersection_len(hosts)
    }

    /// Moves a host on, if it is in one of `from`. True if it was.
    pub fn advance(&mut self, host: i64, from: &[TargetState], to: TargetState) -> bool {
        let id = host.cast_unsigned();
        let was = from.iter().find(|state| self.hosts[position(**state)].remove(id));
        if was.is_some() {
            self.hosts[position(to)].insert(id);
        }
        was.is_some()
    }

    /// Moves everybody who is in one of `from`.
    pub fn advance_all(&mut self, from: &[TargetState], to: TargetState) {
        for state in from {
            let moved = std::mem::take(&mut self.hosts[position(*state)]);
            self.hosts[position(to)] |= moved;
        }
    }

    pub fn mark_truncated(&mut self, host: i64) {
        self.truncated.insert(host.cast_unsigned());
    }

    pub fn mark_unkept(&mut self, host: i64) {
        self.unkept.insert(host.cast_unsigned());
    }

    /// All answers are gone.
    pub fn lose_answers(&mut self) {
        self.unkept = self.said();
    }

    /// Whether any answer is there.
    pub fn has_answers(&self) -> bool {
        !(self.said() - &self.unkept).is_empty()
    }

    fn said(&self) -> RoaringTreemap {
        WITH_ANSWER.iter().fold(RoaringTreemap::new(), |all, state| all | &self.hosts[position(*state)])
    }

    /// Hosts in a state, in order of their ids.
    pub fn hosts(&self, state: TargetState) -> impl Iterator<Item = i64> + '_ {
        self.hosts[position(state)].iter().map(u64::cast_signed)
    }

    pub fn count(&self, state: TargetState) -> u64 {
        self.hosts[position(state)].len()
    }

    /// Targets without a final state.
    pub fn open(&self) -> RoaringTreemap {
        &self.hosts[position(TargetState::Pending)] | &self.hosts[position(TargetState::Sent)]
    }

    /// Targets with a final state.
    pub fn settled(&self) -> RoaringTreemap {
        let all = self.hosts.iter().fold(RoaringTreemap::new(), |all, hosts| all | hosts);
        all - self.open()
    }

    pub fn all(&self) -> RoaringTreemap {
        self.hosts.iter().fold(RoaringTreemap::new(), |all, some| all | some)
    }

    /// All targets, one by one.
    pub fn targets(&self) -> impl Iterator<Item = i64> + '_ {
        self.hosts.iter().flat_map(RoaringTreemap::iter).map(u64::cast_signed)
    }

    /// Whether nobody is left to answer.
    pub fn is_settled(&self) -> bool {
        self.hosts[position(TargetState::Pending)].is_empty() && self.hosts[position(TargetState::Sent)].is_empty()
    }

    pub fn counts(&self) -> LiveCounts {
        let count = |state| self.count(state);
        LiveCounts {
            targets: self.hosts.iter().map(RoaringTreemap::len).sum(),
            pending: count(TargetState::Pending),
            sent: count(TargetState::Sent),
            answered: count(TargetState::Answered),
            failed: count(TargetState::Failed),
            denylisted: count(TargetState::Denylisted),
            skipped: count(TargetState::Skipped),
            suspect: count(TargetState::Suspect),
            lost: count(TargetState::Lost),
            expired: count(TargetState::Expired),
            cancelled: count(TargetState::Cancelled),
            gone: count(TargetState::Gone),
            truncated: self.truncated.len(),
            results_lost: self.unkept.len(),
        }
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (first, later) = self.hosts.split_at(FIRST);
        for hosts in first.iter().chain([&self.truncated]).chain(later).chain([&self.unkept]) {
            // Writing into memory does not fail.
            let _ = hosts.serialize_into(&mut bytes);
        }
        bytes
    }

    /// Reads states, and leaves what is stored behind them. `None` for bytes that are not states.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut states = Self::default();
        let (first, later) = states.hosts.split_at_mut(FIRST);
        for hosts in first.iter_mut().chain([&mut states.truncated]) {
            *hosts = RoaringTreemap::deserialize_from(&mut *bytes).ok()?;
        }
        for hosts in later.iter_mut().chain([&mut states.unkept]) {
            if bytes.is_empty() {
                break;
            }
            *hosts = RoaringTreemap::deserialize_from(&mut *bytes).ok()?;
        }
        Some(states)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn states_add_up_whatever_happens(steps in proptest::collection::vec((0_i64..40, 0_usize..11, 0_usize..11), 0..300)) {
            let mut states = States::pending(0..30);
            for (host, from, to) in steps {
                let was = states.has(host, STATES[from]);
                let moved = states.advance(host, &[STATES[from]], STATES[to]);
                prop_assert_eq!(moved, was);
                let is_in = STATES.into_iter().filter(|state| states.has(host, *state)).count();
                prop_assert_eq!(is_in, usize::from(host < 30), "targets are in exactly one state");
                prop_assert!(!moved || states.has(host, STATES[to]));
                let counts = states.counts();
                prop_assert_eq!(counts.targets, 30);
                let sum: u64 = STATES.iter().map(|state| states.hosts(*state).count() as u64).sum();
                prop_assert_eq!(sum, 30);
            }
            prop_assert_eq!(States::read(&mut &states.to_bytes()[..]), Some(states));
        }
    }

    #[test]
    fn rows_stored_before_there_were_skips_are_read() {
        let mut states = States::pending(0..4);
        states.advance(1, &[TargetState::Pending], TargetState::Gone);
        states.mark_truncated(2);
        let mut bytes = Vec::new();
        for hosts in states.hosts[..FIRST].iter().chain([&states.truncated]) {
            hosts.serialize_into(&mut bytes).unwrap();
        }
        assert_eq!(States::read(&mut &bytes[..]), Some(states));
        assert_eq!(States::read(&mut &bytes[..bytes.len() - 1]), None, "cut off");
    }
}
