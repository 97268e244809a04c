//! Which hosts are served the new version of a rollout: computed from their ids and labels, and kept nowhere.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::fleet::hosts::Assignment;

/// The positions among which hosts are spread: a percentage has four digits behind the point.
pub(super) const PLACES: u32 = 1_000_000;

/// The rollouts whose cohorts a host is in, by their positions in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cohorts(u32);

impl Cohorts {
    /// Most rollouts that a plan has.
    pub const MOST: usize = 32;

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn has(self, position: usize) -> bool {
        self.0 >> position & 1 == 1
    }

    #[must_use]
    pub fn with(self, position: usize) -> Self {
        Self(self.0 | 1 << position)
    }

    #[must_use]
    pub fn without(self, position: usize) -> Self {
        Self(self.0 & !(1 << position))
    }
}

/// A cohort of a rollout: hosts in a share of all hosts, or in one of some labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cohort {
    /// Hosts whose position is below this: all of them if it is [`PLACES`].
    positions: u32,
    label_ids: Vec<i64>,
}

impl Cohort {
    /// The hosts in a percentage of all.
    pub fn of_percent(percent: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the positions")]
        let positions = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(PLACES)).round() as u32;
        Self { positions, label_ids: Vec::new() }
    }

    /// The hosts in a label.
    pub fn of_label(label_id: i64) -> Self {
        Self { positions: 0, label_ids: vec![label_id] }
    }

    /// The labels whose hosts are in it.
    pub fn label_ids(&self) -> &[i64] {
        &self.label_ids
    }

    /// The hosts of either cohort.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.positions = self.positions.max(other.positions);
        self.label_ids.extend(&other.label_ids);
        self.label_ids.sort_unstable();
        self.label_ids.dedup();
        self
    }

    pub fn is_everybody(&self) -> bool {
        self.positions >= PLACES
    }

    /// Whether a host is in this cohort of a rollout.
    pub fn has(&self, rollout_id: i64, host_id: i64, assignment: &Assignment) -> bool {
        let is_in = |id: &i64| assignment.label_ids.binary_search(id).is_ok();
        self.is_everybody()
            || self.label_ids.iter().any(is_in)
            || (self.positions > 0 && position(rollout_id, host_id) < self.positions)
    }
}

/// The position of a host in the order in which a rollout reaches hosts. Each rollout has an order of its own, so that it is not
/// always the same hosts that are first; it is the same on every node and for ever.
fn position(rollout_id: i64, host_id: i64) -> u32 {
    let digest = Sha256::new().chain_update(rollout_id.to_le_bytes()).chain_update(host_id.to_le_bytes()).finalize();
    let (first, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    (u64::from_le_bytes(*first) % u64::from(PLACES)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rollout_has_its_own_order_of_hosts() {
        let nobody = Assignment::default();
        let first = |rollout: i64| -> Vec<i64> {
            let cohort = Cohort::of_percent(1.0);
            (1..=10_000).filter(|host| cohort.has(rollout, *host, &nobody)).collect()
        };
        let (one, other) = (first(1), first(2));
        assert!((70..130).contains(&one.len()) && (70..130).contains(&other.len()), "{} {}", one.len(), other.len());
        assert!(one.iter().filter(|host| other.contains(host)).count() < 10);
        // Stored nowhere, so it must never change.
        assert_eq!([position(1, 1), position(1, 2), position(2, 1)], [228033, 405900, 953638]);
    }

    #[test]
    fn cohorts_grow() {
        let assigned = |label| Assignment { label_ids: Box::new([label]), ..Assignment::default() };
        let five = Cohort::of_percent(5.0).or(&Cohort::of_label(7));
        let all = five.clone().or(&Cohort::of_percent(100.0));
        assert!((1..1_000).all(|host| five.has(3, host, &assigned(7)) && all.has(3, host, &assigned(8))));
        assert!(all.is_everybody() && !five.is_everybody());
        let of_five = (1..10_000).filter(|host| five.has(3, *host, &assigned(8))).count();
        assert!((400..600).contains(&of_five), "{of_five}");
        assert!(!Cohort::of_percent(0.0).has(1, 1, &assigned(1)));
    }
}
