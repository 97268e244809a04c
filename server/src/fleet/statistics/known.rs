//! The last sample of a host as bytes in the database: a format, what is known of the agent, and a row for each query, in
//! some 27 bytes.

use super::agent_version::AgentVersion;
use super::bytes::{put, put_signed, take, take_signed};
use super::sample::Counters;

/// The first byte.
const FORMAT: u8 = 1;

/// Most queries that are read back.
const MAX_QUERIES: u64 = 20_000;

const IS_DENYLISTED: u64 = 1;
const IS_COUNTED: u64 = 2;
/// Above the flags stands the number of samples.
const GONE: u32 = 2;

/// What is remembered of the last sample of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownSchedule {
    pub version: AgentVersion,
    /// When the host was started by its own clock, in seconds; 0 if it did not say.
    pub booted_at: u64,
    /// The hour in which the sample came, since 1970.
    pub hour: u64,
    /// When executions of any query last moved, in seconds; and how many samples since have shown none.
    pub moved_at: u64,
    pub still_samples: u64,
    /// By version of the query.
    pub queries: Vec<KnownQuery>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KnownQuery {
    pub version_id: i64,
    pub counters: Counters,
    /// In seconds.
    pub interval: u64,
    /// Whether the host counts among those of the query in this hour.
    pub is_counted: bool,
    /// The number of samples since it was in one. The agent may still have its counters.
    pub gone: u64,
}

impl KnownSchedule {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        let head = [self.version.packed(), self.booted_at, self.hour, self.moved_at, self.still_samples];
        for number in head.into_iter().chain([self.queries.len() as u64]) {
            put(&mut bytes, number);
        }
        let mut before = 0;
        for query in &self.queries {
            put_signed(&mut bytes, query.version_id.wrapping_sub(before));
            before = query.version_id;
            let flags = [(query.counters.is_denylisted, IS_DENYLISTED), (query.is_counted, IS_COUNTED)];
            let flags: u64 = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
            put(&mut bytes, flags | query.gone << GONE);
            put(&mut bytes, query.interval);
            query.put_counters(&mut bytes, self.moved_at);
        }
        bytes
    }

    /// `None` for bytes of another format and broken ones: then the host counts as one without a sample.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, mut rest) = bytes.split_first()? else { return None };
        let rest = &mut rest;
        let mut known = Self {
            version: AgentVersion::unpacked(take(rest)?),
            booted_at: take(rest)?,
            hour: take(rest)?,
            moved_at: take(rest)?,
            still_samples: take(rest)?,
            queries: Vec::new(),
        };
        let mut before = 0_i64;
        for _ in 0..take(rest).filter(|count| *count <= MAX_QUERIES)? {
            let version_id = before.wrapping_add(take_signed(rest)?);
            before = version_id;
            let (flags, interval) = (take(rest)?, take(rest)?);
            let mut counters = take_counters(rest, known.moved_at)?;
            counters.is_denylisted = flags & IS_DENYLISTED != 0;
            let (is_counted, gone) = (flags & IS_COUNTED != 0, flags >> GONE);
            known.queries.push(KnownQuery { version_id, counters, interval, is_counted, gone });
        }
        rest.is_empty().then_some(known)
    }
}

impl KnownQuery {
    /// Puts the numbers; the last run in seconds from `moved_at`.
    fn put_counters(&self, bytes: &mut Vec<u8>, moved_at: u64) {
        let Counters { executions, last_executed, is_denylisted: _, user_ms, system_ms, wall_ms, .. } = self.counters;
        let Counters { output_bytes, average_memory, last_memory, .. } = self.counters;
        put(bytes, executions);
        if executions > 0 {
            put_signed(bytes, last_executed.wrapping_sub(moved_at).cast_signed());
        }
        for number in [user_ms, system_ms, wall_ms, output_bytes, average_memory, last_memory] {
            put(bytes, number);
        }
    }
}

fn take_counters(bytes: &mut &[u8], moved_at: u64) -> Option<Counters> {
    let mut counters = Counters { executions: take(bytes)?, ..Counters::default() };
    if counters.executions > 0 {
        counters.last_executed = moved_at.wrapping_add_signed(take_signed(bytes)?);
    }
    let Counters { user_ms, system_ms, wall_ms, output_bytes, average_memory, last_memory, .. } = &mut counters;
    for number in [user_ms, system_ms, wall_ms, output_bytes, average_memory, last_memory] {
        *number = take(bytes)?;
    }
    Some(counters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(version_id: i64, seed: u64) -> KnownQuery {
        let counters = Counters {
            executions: 1 + seed % 3_000,
            last_executed: 1_700_000_000 - seed % 3_600,
            is_denylisted: seed.is_multiple_of(17),
            user_ms: seed % 900_000,
            system_ms: seed % 300_000,
            wall_ms: seed % 2_000_000,
            output_bytes: seed % 60_000_000,
            average_memory: seed % 30_000_000,
            last_memory: (seed % 8_000) * 4096,
        };
        KnownQuery { version_id, counters, interval: 3600, is_counted: true, gone: seed % 7 }
    }

    proptest! {
        #[test]
        fn samples_read_back(seeds in prop::collection::vec(any::<u64>(), 0..200), moved_at in 1_600_000_000..1_900_000_000_u64) {
            let queries = seeds.iter().zip(1..).map(|(seed, id)| query(id * 3, *seed)).collect();
            let known =
                KnownSchedule { version: AgentVersion::of("5.9.1"), booted_at: 7, hour: 472_222, moved_at, still_samples: 1, queries };
            prop_assert_eq!(KnownSchedule::decode(&known.encode()), Some(known));
        }

        #[test]
        fn no_bytes_are_too_broken(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = KnownSchedule::decode(&bytes);
        }
    }

    #[test]
    fn a_hundred_queries_take_few_bytes() {
        let mixed = |id: i64| id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let queries = (1..=100).map(|id| query(id, mixed(id))).collect();
        let known = KnownSchedule { moved_at: 1_700_000_000, hour: 472_222, queries, ..KnownSchedule::default() };
        assert!(known.encode().len() < 2_900, "{}", known.encode().len());
    }
}
