//! The queries in force and what is remembered about each.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    chance::{below, hash_text},
    document::{Document, Interval, Query},
    flags::Flags,
    version::Version,
};
use crate::tables::Cost;

/// Seconds for which rows of a query that left the configuration are kept.
const KEEP_ROWS_S: u64 = 592_200;

/// Everything about scheduled queries.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    document: Arc<Document>,
    pub packs: Vec<PackState>,
    pub entries: Vec<Entry>,
    states: BTreeMap<Arc<str>, QueryState>,
}

/// State of a pack on one host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PackState {
    /// Its filters admit this host.
    pub admitted: bool,
    /// Whether the host admits the pack and all its discovery queries returned rows.
    pub active: bool,
    /// When discovery ran, Unix seconds.
    pub discovered_s: u64,
    pub discovery_runs: u64,
    pub discovery_cache_hits: u64,
}

/// A query that this host would run if its pack is active.
#[derive(Debug)]
pub(super) struct Entry {
    /// Name with pack prefix.
    pub name: Arc<str>,
    pub pack: usize,
    pub query: usize,
    pub interval_s: u64,
    pub splayed_s: u64,
}

/// State that an agent keeps under the full name of a query.
#[derive(Debug, Default)]
pub(super) struct QueryState {
    pub sql: Option<Arc<str>>,
    pub stats: Stats,
    /// Epoch, counter and rows of the previous run of a differential query.
    pub previous: Option<Previous>,
    /// Refused until this time because it killed the process, Unix seconds.
    pub denied_until_s: Option<u64>,
    left_at_s: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Previous {
    pub sql: u64,
    pub epoch: u64,
    pub counter: u64,
    pub rows: Vec<Box<str>>,
}

/// The numbers of `osquery_schedule`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stats {
    pub executions: u64,
    pub last_executed_s: u64,
    pub output_bytes: u64,
    pub wall_s: u64,
    pub total: Cost,
    pub last: Cost,
    pub average_memory_bytes: u64,
}

impl Stats {
    /// Counts one run that ended at `now_s`.
    pub fn add(&mut self, cost: Cost, output_bytes: u64, now_s: u64, version: Version) {
        if cost.memory_bytes > 0 {
            self.average_memory_bytes =
                (self.average_memory_bytes * self.executions + cost.memory_bytes) / (self.executions + 1);
            self.last.memory_bytes = cost.memory_bytes;
        }
        self.executions += 1;
        self.last_executed_s = now_s;
        if version.at_least(5, 3, 0) || !version.at_least(3, 4, 0) {
            self.output_bytes += output_bytes;
        }
        self.wall_s += cost.wall_ms / 1000;
        self.total.wall_ms += cost.wall_ms;
        self.total.user_ms += cost.user_ms;
        self.total.system_ms += cost.system_ms;
        self.last.wall_ms = cost.wall_ms;
        // These two keep the latest value that was not zero.
        if cost.user_ms > 0 {
            self.last.user_ms = cost.user_ms;
        }
        if cost.system_ms > 0 {
            self.last.system_ms = cost.system_ms;
        }
    }
}

impl Schedule {
    pub fn document(&self) -> Arc<Document> {
        Arc::clone(&self.document)
    }

    pub fn query(&self, entry: &Entry) -> Option<&Query> {
        self.document.packs.get(entry.pack)?.queries.get(entry.query)
    }

    pub fn state(&self, name: &str) -> Option<&QueryState> {
        self.states.get(name)
    }

    pub fn state_mut(&mut self, name: &Arc<str>) -> &mut QueryState {
        self.states.entry(Arc::clone(name)).or_default()
    }

    /// Entries of active packs.
    pub fn active(&self) -> impl Iterator<Item = (&Entry, &Query)> {
        self.entries
            .iter()
            .filter(|entry| self.packs.get(entry.pack).is_some_and(|pack| pack.active))
            .filter_map(|entry| Some((entry, self.query(entry)?)))
    }

    /// Takes over a configuration. Packs and entries are filled in by the caller.
    pub fn replace(&mut self, document: Arc<Document>, packs: Vec<PackState>, entries: Vec<Entry>) {
        self.document = document;
        self.packs = packs;
        self.entries = entries;
    }

    /// Updates what is remembered after the set of active queries changed; returns names whose numbers were reset.
    pub fn settle(&mut self, now_s: u64, version: Version) -> Vec<Arc<str>> {
        let persistent = version.at_least(5, 12, 0);
        let active: BTreeMap<Arc<str>, Arc<str>> =
            self.active().map(|(entry, query)| (Arc::clone(&entry.name), Arc::clone(&query.sql))).collect();
        let mut reset = Vec::new();
        for (name, sql) in &active {
            let state = self.states.entry(Arc::clone(name)).or_default();
            state.left_at_s = None;
            if state.sql.as_ref().is_some_and(|old| old != sql) && persistent {
                state.stats = Stats::default();
                reset.push(Arc::clone(name));
            }
            state.sql = Some(Arc::clone(sql));
        }
        self.states.retain(|name, state| {
            if active.contains_key(name) {
                return true;
            }
            let left_at_s = *state.left_at_s.get_or_insert(now_s);
            state.sql = None;
            if persistent {
                state.stats = Stats::default();
            }
            if now_s.saturating_sub(left_at_s) > KEEP_ROWS_S {
                state.previous = None;
            }
            let denied = state.denied_until_s.is_some_and(|until_s| until_s > now_s);
            denied || state.previous.is_some() || state.stats.executions > 0
        });
        reset
    }

    /// The process was replaced: nothing is scheduled until a configuration arrives.
    pub fn restart(&mut self, version: Version) {
        self.replace(Arc::default(), Vec::new(), Vec::new());
        for state in self.states.values_mut() {
            state.sql = None;
            if !version.at_least(5, 12, 0) {
                state.stats = Stats::default();
            }
        }
    }
}

/// The interval that a query asks for, or the text of the refused one.
pub(super) fn interval_s(query: &Query, flags: &Flags) -> Result<u64, String> {
    match &query.interval {
        Interval::Default => Ok(flags.schedule_default_interval.max(1)),
        Interval::Seconds(seconds) => Ok(*seconds),
        Interval::Invalid(text) => Err(text.clone()),
    }
}

/// The interval after the once drawn deviation of this host.
#[must_use]
pub fn splayed_s(seed: u64, bare_name: &str, interval_s: u64, percent: u64) -> u64 {
    let percent = if percent <= 1 { 10 } else { percent };
    if percent > 100 {
        return interval_s.max(1);
    }
    let deviation = interval_s * percent / 100;
    let lowest = interval_s.saturating_sub(deviation).max(1);
    lowest + below(seed ^ hash_text(bare_name), interval_s, interval_s + deviation - lowest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_splay_stays_within_its_bounds_and_is_drawn_once() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let splayed = splayed_s(seed, "q", 60, 10);
            assert!((54..=66).contains(&splayed));
            assert_eq!(splayed, splayed_s(seed, "q", 60, 10));
            seen.insert(splayed);
        }
        assert_eq!(seen.len(), 13);
        assert_eq!(splayed_s(3, "q", 60, 101), 60);
        assert_eq!(splayed_s(3, "q", 5, 10), 5);
        assert_eq!(splayed_s(9, "q", 60, 0), splayed_s(9, "q", 60, 10));
        assert!(splayed_s(5, "q", 1, 100) >= 1);
    }

    #[test]
    fn statistics_follow_the_agents_rules() {
        let version = Version::parse("5.12.0");
        let mut stats = Stats::default();
        let cost = Cost { wall_ms: 1500, user_ms: 10, system_ms: 0, memory_bytes: 4096 };
        stats.add(cost, 100, 50, version);
        stats.add(Cost { wall_ms: 700, ..Cost::default() }, 100, 60, version);
        assert_eq!((stats.executions, stats.last_executed_s, stats.output_bytes), (2, 60, 200));
        assert_eq!((stats.wall_s, stats.total.wall_ms, stats.last.wall_ms), (1, 2200, 700));
        assert_eq!((stats.last.user_ms, stats.last.memory_bytes, stats.average_memory_bytes), (10, 4096, 4096));
        let mut old = Stats::default();
        old.add(cost, 100, 50, Version::parse("4.9.0"));
        assert_eq!(old.output_bytes, 0);
    }
}
