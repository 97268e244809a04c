//! How far a job is, as it is stored in its row and as nodes pass it to each other.

use super::cost::QueryCost;
use super::states::States;

/// The states of all targets, and the cost on those that are settled. Both are of one moment: a host that is settled in
/// the states is in the cost, so that whoever goes on from here counts each host once.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub states: States,
    pub cost: QueryCost,
}

impl Snapshot {
    /// The cost stands behind the states, where a version that knows none reads no further.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.states.to_bytes();
        if self.cost.has_any() {
            // Writing into memory does not fail.
            let _ = serde_json::to_writer(&mut bytes, &self.cost);
        }
        bytes
    }

    /// `None` for bytes that are no snapshot. One without a cost, or with one that cannot be read, has none.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let states = States::read(&mut bytes)?;
        let cost = match bytes {
            [] => QueryCost::default(),
            bytes => serde_json::from_slice(bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "cost of a live query cannot be read; it is counted anew");
                QueryCost::default()
            }),
        };
        Some(Self { states, cost })
    }
}

#[cfg(test)]
mod tests {
    use muster_api::rest::LiveStats;

    use super::*;

    #[test]
    fn snapshots_read_back_and_count_on() {
        let states = States::pending(1..=3);
        assert!(Snapshot::from_bytes(&states.to_bytes()).unwrap().cost.show().is_none(), "of an older version");
        let mut snapshot = Snapshot { states, ..Snapshot::default() };
        for wall_time_ms in [10, 0, 7_000_000] {
            let before = Snapshot::from_bytes(&snapshot.to_bytes()).unwrap();
            assert_eq!(before.states, snapshot.states);
            assert_eq!(before.cost.show(), snapshot.cost.show());
            snapshot = before;
            snapshot.cost.add(LiveStats { wall_time_ms, user_time_ms: 1, system_time_ms: 2, memory_bytes: 3 });
        }
        assert_eq!(snapshot.cost.show().unwrap().hosts, 3);
        let mut bytes = snapshot.to_bytes();
        assert_eq!(States::read(&mut &bytes[..]), Some(snapshot.states), "a version that knows no cost");
        bytes.pop();
        assert!(Snapshot::from_bytes(&bytes).unwrap().cost.show().is_none());
    }
}
