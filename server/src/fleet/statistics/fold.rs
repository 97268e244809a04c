//! A sample of a host put over its last one: what has run since and what that cost, what the agent has denylisted, whether
//! its worker is another one, and whether its schedule stands still.

use std::collections::{HashMap, HashSet};

use super::agent_version::AgentVersion;
use super::difference::{Runs, Since, difference};
use super::known::{KnownQuery, KnownSchedule};
use super::sample::{Counters, WorkerId};

/// Seconds by which a sample may have been overtaken by one that came before it. One that is older by more comes from a host
/// whose clock was set back.
pub(super) const LATE: u64 = 900;

/// Seconds by which the moment of a host's start may seem to move, as clocks are set.
const BOOT_MOVES: u64 = 120;

/// Samples in a row without a single run after which a host counts as stalled.
const STILL: u64 = 2;

/// Seconds by which the first run of a query may be late.
const SLACK: u64 = 120;

/// Most queries that are remembered although they are not in the sample, and for how many samples.
const MAX_GONE: usize = 200;
const LONGEST_GONE: u64 = 48;

/// Samples in a row without a query after which it counts as denylisted no more.
const RELEASED: u64 = 2;

/// Most queries of one sample that are told to be denylisted. An agent denylists one each time its worker is stopped.
const MAX_DENYLISTED: usize = 32;

/// Cores of the largest host: no query takes more CPU time than these have.
const MAX_CORES: u64 = 256;

/// A sample whose queries are known.
#[derive(Debug, Clone, Default)]
pub(super) struct ResolvedSample {
    pub worker: WorkerId,
    /// By the clock of the host, in seconds; 0 if it did not say.
    pub unix_time: u64,
    pub uptime_secs: u64,
    pub version: AgentVersion,
    /// When it came, in seconds by the clock of the server.
    pub received: u64,
    pub queries: Vec<ResolvedQuery>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ResolvedQuery {
    pub version_id: i64,
    /// The same for all versions of a query.
    pub name_id: i64,
    /// When the version was first met on any host, in seconds.
    pub added_at: u64,
    /// In seconds: that of the config, and that which the agent says; 0 if it does not.
    pub interval: u64,
    pub said_interval: u64,
    pub counters: Counters,
}

/// The last sample of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LastSample {
    pub worker: WorkerId,
    pub unix_time: u64,
    /// When it came, in seconds by the clock of the server.
    pub received: u64,
    pub known: KnownSchedule,
}

impl LastSample {
    /// The versions of queries that it names.
    pub fn version_ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.known.queries.iter().map(|query| query.version_id)
    }
}

/// What a sample says beside the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folded {
    pub last: LastSample,
    pub runs: Vec<QueryRuns>,
    /// Versions of queries that are denylisted now and were not before, and the other way round.
    pub denylisted: Vec<i64>,
    pub released: Vec<i64>,
    pub restart: Option<Restart>,
    /// Since when nothing has run, in seconds, if the host is stalled.
    pub stalled_since: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueryRuns {
    pub version_id: i64,
    pub runs: Runs,
    /// The host has not been counted for the query in this hour.
    pub is_new_host: bool,
}

/// Another worker without a restart of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restart {
    /// When the worker was started by the clock of the host, in seconds; 0 if it did not say.
    pub started_at: u64,
    /// The agent is of another version than before.
    pub is_upgrade: bool,
}

/// Folds a sample over the last one. `None` if that one is as new: it has counted everything; or if it came less than so many
/// seconds before. `name_of` gives what is the same for all versions of a query. The first sample of a host is only where
/// counting begins.
pub(super) fn fold(
    last: Option<&LastSample>,
    sample: &ResolvedSample,
    shortest_gap: u64,
    name_of: impl Fn(i64) -> Option<i64>,
) -> Option<Folded> {
    if last.is_some_and(|last| is_too_soon(last, sample, shortest_gap) || is_overtaken(last, sample)) {
        return None;
    }
    let mut folding = SampleFold::of(last, sample, name_of);
    let mut names = HashSet::new();
    for query in &sample.queries {
        // To the agent, queries of one name are one.
        if names.insert(query.name_id) {
            folding.take(query);
        }
    }
    folding.leave_gone(&names);
    let SampleFold { mut folded, has_moved, .. } = folding;
    folded.last.known.queries.sort_by_key(|query| query.version_id);
    folded.released.sort_unstable();
    folded.denylisted.truncate(MAX_DENYLISTED);
    note_movement(&mut folded, last, sample, has_moved);
    Some(folded)
}

/// A sample that is being folded.
struct SampleFold<'a> {
    last: Option<&'a LastSample>,
    /// Queries of the last sample, by name. Those that nobody knows any more are left out.
    before: HashMap<i64, &'a KnownQuery>,
    is_other_worker: bool,
    forgets_counters: bool,
    is_same_hour: bool,
    /// Whether any query has run since.
    has_moved: bool,
    folded: Folded,
}

impl<'a> SampleFold<'a> {
    fn of(last: Option<&'a LastSample>, sample: &ResolvedSample, name_of: impl Fn(i64) -> Option<i64>) -> Self {
        let hour = sample.received / 3600;
        let says_boot = sample.unix_time > 0 && sample.uptime_secs > 0;
        let booted_at = if says_boot { sample.unix_time.saturating_sub(sample.uptime_secs) } else { 0 };
        let known = KnownSchedule { version: sample.version, booted_at, hour, ..KnownSchedule::default() };
        let (worker, unix_time, received) = (sample.worker, sample.unix_time, sample.received);
        let now = LastSample { worker, unix_time, received, known };
        let restart = last.and_then(|last| restart(last, &now));
        let known = last.map(|last| &last.known);
        Self {
            last,
            before: (known.iter().flat_map(|known| &known.queries))
                .filter_map(|query| Some((name_of(query.version_id)?, query)))
                .collect(),
            is_other_worker: last.is_some_and(|last| last.worker != sample.worker),
            forgets_counters: sample.version.forgets_counters()
                || known.is_some_and(|known| known.version.forgets_counters()),
            is_same_hour: known.is_some_and(|known| known.hour == hour),
            has_moved: false,
            folded: Folded { last: now, restart, ..Folded::default() },
        }
    }

    fn take(&mut self, query: &ResolvedQuery) {
        let ResolvedQuery { version_id, counters, .. } = *query;
        let before = self.before.get(&query.name_id).copied().copied();
        let is_other_sql = before.is_some_and(|before| before.version_id != version_id);
        // An agent that has not loaded the config yet goes on with the interval that it had.
        let held = before.map(|before| before.interval).filter(|interval| *interval == query.said_interval);
        let interval = held.unwrap_or(query.interval);
        let shortest = before.map_or(interval, |before| before.interval.min(interval));
        let runs = self.runs(before.as_ref(), query, is_other_sql);
        self.has_moved |= runs.is_some_and(|runs| runs.runs > 0);
        let runs = runs.filter(|runs| runs.runs > 0 && self.is_possible(runs, shortest));
        let was_counted = self.is_same_hour && !is_other_sql && before.is_some_and(|before| before.is_counted);
        if let Some(runs) = runs.filter(|_| self.is_told(before.as_ref(), query)) {
            self.folded.runs.push(QueryRuns { version_id, runs, is_new_host: !was_counted });
        }
        match (before.is_some_and(|before| before.counters.is_denylisted), counters.is_denylisted) {
            (false, true) => self.folded.denylisted.push(version_id),
            (true, false) => self.folded.released.push(version_id),
            _ => {}
        }
        let is_counted = was_counted || self.folded.runs.last().is_some_and(|runs| runs.version_id == version_id);
        self.folded.last.known.queries.push(KnownQuery { version_id, counters, interval, is_counted, gone: 0 });
    }

    /// The runs since the last sample, if there is one.
    fn runs(&self, before: Option<&KnownQuery>, query: &ResolvedQuery, is_other_sql: bool) -> Option<Runs> {
        self.last?;
        let Self { is_other_worker, forgets_counters, .. } = *self;
        let base = before.map_or_else(Counters::default, |before| before.counters);
        Some(difference(&base, &query.counters, Since { is_other_worker, is_other_sql, forgets_counters }))
    }

    /// Whether it is known with what the counters of a query began after the last sample: it was in that, or had not run
    /// before. Otherwise nobody knows when it ran, and counting begins with this sample.
    fn is_told(&self, before: Option<&KnownQuery>, query: &ResolvedQuery) -> bool {
        let is_new = self.last.is_some_and(|last| query.added_at > last.received);
        before.is_some() || is_new || (self.forgets_counters && self.is_other_worker)
    }

    /// Whether a query can have run so often, and taken so much, since the last sample. Twice what its interval allows is
    /// taken, as agents splay it.
    fn is_possible(&self, runs: &Runs, interval: u64) -> bool {
        let since = self.last.map_or(0, |last| self.folded.last.received.saturating_sub(last.received));
        let seconds = since.saturating_add(SLACK).saturating_mul(2);
        let milliseconds = seconds.saturating_mul(1000);
        runs.runs <= seconds / interval.max(1) + 2
            && runs.wall_ms <= milliseconds
            && runs.user_ms.saturating_add(runs.system_ms) <= milliseconds.saturating_mul(MAX_CORES)
    }

    /// Remembers queries that are not in the sample: a pack may only be away for now, and the agent may still have their
    /// counters.
    fn leave_gone(&mut self, names: &HashSet<i64>) {
        let is_gone = |(name, _): &(&i64, &&KnownQuery)| !names.contains(*name);
        let mut gone: Vec<KnownQuery> = self.before.iter().filter(is_gone).map(|(_, query)| **query).collect();
        gone.sort_by_key(|query| (query.gone, query.version_id));
        for (at, mut query) in gone.into_iter().enumerate() {
            query.gone += 1;
            let is_kept = at < MAX_GONE && query.gone <= LONGEST_GONE;
            if query.counters.is_denylisted && (query.gone >= RELEASED || !is_kept) {
                query.counters.is_denylisted = false;
                self.folded.released.push(query.version_id);
            }
            if self.forgets_counters && self.is_other_worker {
                query.counters = Counters { is_denylisted: query.counters.is_denylisted, ..Counters::default() };
            }
            if is_kept {
                self.folded.last.known.queries.push(query);
            }
        }
    }
}

/// Whether so little time has passed since the last sample came that the next one tells the same. By the clock of the server,
/// so that a host's own says nothing; and a sample that waited at another node is never put over one that came after it.
fn is_too_soon(last: &LastSample, sample: &ResolvedSample, shortest_gap: u64) -> bool {
    sample.received < last.received.saturating_add(shortest_gap)
}

/// Whether the last sample is the same one, or was taken later.
fn is_overtaken(last: &LastSample, sample: &ResolvedSample) -> bool {
    if last.unix_time == 0 || sample.unix_time == 0 {
        return false;
    }
    if last.unix_time == sample.unix_time {
        return last.worker == sample.worker;
    }
    last.unix_time > sample.unix_time && last.unix_time - sample.unix_time <= LATE
}

fn restart(last: &LastSample, now: &LastSample) -> Option<Restart> {
    let is_said = |worker: WorkerId| worker != WorkerId::default();
    if last.worker == now.worker || !is_said(last.worker) || !is_said(now.worker) {
        return None;
    }
    let (before, after) = (last.known.booted_at, now.known.booted_at);
    if before > 0 && after > 0 && before.abs_diff(after) > BOOT_MOVES {
        return None;
    }
    let is_upgrade = last.known.version != now.known.version;
    Some(Restart { started_at: now.worker.start_time, is_upgrade })
}

/// Notes when anything has last run, and whether that is too long ago.
fn note_movement(folded: &mut Folded, last: Option<&LastSample>, sample: &ResolvedSample, has_moved: bool) {
    let known = &mut folded.last.known;
    let soonest = sample.queries.iter().filter(|query| !query.counters.is_denylisted).map(|query| query.interval).min();
    let (Some(last), Some(soonest), true) = (last, soonest, !has_moved) else {
        known.moved_at = sample.received;
        return;
    };
    known.moved_at = last.known.moved_at;
    known.still_samples = last.known.still_samples.saturating_add(1);
    let longest = soonest.saturating_mul(2).saturating_add(SLACK);
    if known.still_samples >= STILL && sample.received.saturating_sub(known.moved_at) >= longest {
        folded.stalled_since = Some(known.moved_at);
    }
}

#[cfg(test)]
#[path = "fold_cases.rs"]
mod cases;

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
