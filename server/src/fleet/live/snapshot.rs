//! How far a job is, as it is stored in its row and as nodes pass it to each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::cost::QueryCost;
use super::states::States;

/// The states of all targets, the cost on those that are settled, and who of the others has lost an answer. All are of one
/// moment: a host that is settled in the states is in the cost, so that whoever goes on from here counts each host once.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub states: States,
    pub cost: QueryCost,
    /// Open targets whose answer was lost once.
    pub retry_alone: RoaringTreemap,
}

/// The fields behind the states. A version that knows only the cost ignores the other field.
#[derive(Serialize)]
struct TailToWrite<'a> {
    #[serde(flatten)]
    cost: Option<&'a QueryCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_alone: Option<String>,
}

/// The field `hosts` tells whether the fields of the cost are there.
#[derive(Default, Deserialize)]
struct TailRead {
    hosts: Option<u64>,
    #[serde(default)]
    retry_alone: String,
}

impl Snapshot {
    /// The rest stands behind the states, where a version that knows none reads no further.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.states.to_bytes();
        let cost = self.cost.has_any().then_some(&self.cost);
        let retry_alone = (!self.retry_alone.is_empty()).then(|| {
            let mut hosts = Vec::new();
            // Writing into memory does not fail.
            let _ = self.retry_alone.serialize_into(&mut hosts);
            STANDARD.encode(hosts)
        });
        if cost.is_some() || retry_alone.is_some() {
            let _ = serde_json::to_writer(&mut bytes, &TailToWrite { cost, retry_alone });
        }
        bytes
    }

    /// `None` for bytes that are no snapshot. Without what stands behind the states, or when that cannot be read, there is no
    /// cost, and nobody has lost an answer.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let states = States::read(&mut bytes)?;
        let unreadable = |error: serde_json::Error| {
            tracing::warn!(%error, "cost of a live query cannot be read; it is counted anew");
        };
        let tail: TailRead = match bytes {
            [] => TailRead::default(),
            bytes => serde_json::from_slice(bytes).map_err(unreadable).unwrap_or_default(),
        };
        let cost = match tail.hosts {
            None => QueryCost::default(),
            Some(_) => serde_json::from_slice(bytes).map_err(unreadable).unwrap_or_default(),
        };
        let retry_alone = STANDARD.decode(tail.retry_alone).unwrap_or_default();
        let retry_alone = RoaringTreemap::deserialize_from(&retry_alone[..]).unwrap_or_default();
        Some(Self { states, cost, retry_alone })
    }
}

#[cfg(test)]
mod tests {
    use muster_api::rest::LiveStats;

    use super::super::cost::CpuBudget;
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
            snapshot.cost.add(
                1,
                LiveStats { wall_time_ms, user_time_ms: 1, system_time_ms: 2, memory_bytes: 3 },
                CpuBudget::default(),
            );
        }
        assert_eq!(snapshot.cost.show().unwrap().hosts, 3);
        let mut bytes = snapshot.to_bytes();
        assert_eq!(States::read(&mut &bytes[..]), Some(snapshot.states), "a version that knows no cost");
        bytes.pop();
        assert!(Snapshot::from_bytes(&bytes).unwrap().cost.show().is_none());
    }

    /// The cost as the version before reads it.
    fn cost_before(snapshot: &Snapshot) -> serde_json::Result<QueryCost> {
        let bytes = snapshot.to_bytes();
        let mut rest = &bytes[..];
        States::read(&mut rest).unwrap();
        serde_json::from_slice(rest)
    }

    #[test]
    fn who_has_lost_an_answer_reads_back_and_hides_no_cost_from_a_version_before() {
        let retry_alone: RoaringTreemap = [2, 5_000_000_000].into_iter().collect();
        let mut snapshot = Snapshot { states: States::pending(1..=3), retry_alone, ..Snapshot::default() };
        let read = Snapshot::from_bytes(&snapshot.to_bytes()).unwrap();
        assert_eq!((&read.retry_alone, read.cost.show()), (&snapshot.retry_alone, None));
        assert!(cost_before(&snapshot).is_err(), "which counts anew from none, as here");
        snapshot.cost.add(
            1,
            LiveStats { wall_time_ms: 1, user_time_ms: 1, system_time_ms: 2, memory_bytes: 3 },
            CpuBudget::default(),
        );
        let read = Snapshot::from_bytes(&snapshot.to_bytes()).unwrap();
        assert_eq!((&read.retry_alone, read.cost.show()), (&snapshot.retry_alone, snapshot.cost.show()));
        assert_eq!(cost_before(&snapshot).unwrap().show(), snapshot.cost.show());
    }
}
