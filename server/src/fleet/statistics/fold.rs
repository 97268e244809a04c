//! A sample of a host put over its last one: what has run since and what that cost, what the agent has denylisted, whether
//! its worker is another one, and whether its schedule stands still.

use std::collections::{HashMap, HashSet};

use super::agent_version::AgentVersion;
use super::difference::{Runs, Since, difference};
use super::known::{KnownQuery, KnownSchedule};
use super::sample::{Counters, WorkerId};

/// Seconds by which a sample may have been overtaken by a later one. One that is older by more comes from a host whose
/// clock was set back.
const LATE: u64 = 900;

/// Seconds by which the moment of a host's start may seem to move, as clocks are set.
const BOOT_MOVES: u64 = 120;

/// Samples in a row without a single run after which a host counts as stalled.
const STILL: u64 = 2;

/// Seconds by which the first run of a query may be late.
const SLACK: u64 = 120;

/// Most queries that are remembered although they are not in the sample.
const MAX_GONE: usize = 1_000;

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
    /// In seconds.
    pub interval: u64,
    pub counters: Counters,
}

/// The last sample of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LastSample {
    pub worker: WorkerId,
    pub unix_time: u64,
    pub known: KnownSchedule,
}

/// What a sample says beside the last one.
#[derive(Debug, Default, PartialEq, Eq)]
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

/// Folds a sample over the last one. `None` if that one is as new: it has counted everything. `name_of` gives what is the
/// same for all versions of a query. The first sample of a host is only where counting begins.
pub(super) fn fold(last: Option<&LastSample>, sample: &ResolvedSample, name_of: impl Fn(i64) -> i64) -> Option<Folded> {
    if last.is_some_and(|last| is_overtaken(last, sample)) {
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
    let mut folded = folding.folded;
    folded.last.known.queries.sort_by_key(|query| query.version_id);
    folded.released.sort_unstable();
    note_movement(&mut folded, last, sample);
    Some(folded)
}

/// A sample that is being folded.
struct SampleFold<'a> {
    /// Queries of the last sample, by name.
    before: HashMap<i64, &'a KnownQuery>,
    is_first: bool,
    is_other_worker: bool,
    forgets_counters: bool,
    is_same_hour: bool,
    folded: Folded,
}

impl<'a> SampleFold<'a> {
    fn of(last: Option<&'a LastSample>, sample: &ResolvedSample, name_of: impl Fn(i64) -> i64) -> Self {
        let hour = sample.received / 3600;
        let says_boot = sample.unix_time > 0 && sample.uptime_secs > 0;
        let booted_at = if says_boot { sample.unix_time.saturating_sub(sample.uptime_secs) } else { 0 };
        let known = KnownSchedule { version: sample.version, booted_at, hour, ..KnownSchedule::default() };
        let now = LastSample { worker: sample.worker, unix_time: sample.unix_time, known };
        let restart = last.and_then(|last| restart(last, &now));
        let known = last.map(|last| &last.known);
        Self {
            before: (known.iter().flat_map(|known| &known.queries))
                .map(|query| (name_of(query.version_id), query))
                .collect(),
            is_first: last.is_none(),
            is_other_worker: last.is_some_and(|last| last.worker != sample.worker),
            forgets_counters: sample.version.forgets_counters()
                || known.is_some_and(|known| known.version.forgets_counters()),
            is_same_hour: known.is_some_and(|known| known.hour == hour),
            folded: Folded { last: now, restart, ..Folded::default() },
        }
    }

    fn take(&mut self, query: &ResolvedQuery) {
        let ResolvedQuery { version_id, counters, .. } = *query;
        let before = self.before.get(&query.name_id).copied().copied();
        let is_other_sql = before.is_some_and(|before| before.version_id != version_id);
        let Self { is_other_worker, forgets_counters, .. } = *self;
        let since = Since { is_other_worker, is_other_sql, forgets_counters };
        // A query that was not there before begins at zero; of all that a first sample says nobody knows when it ran.
        let base = before.map_or_else(Counters::default, |before| before.counters);
        let runs = (!self.is_first).then(|| difference(&base, &counters, since)).filter(|runs| runs.runs > 0);
        let was_counted = self.is_same_hour && !is_other_sql && before.is_some_and(|before| before.is_counted);
        if let Some(runs) = runs {
            self.folded.runs.push(QueryRuns { version_id, runs, is_new_host: !was_counted });
        }
        match (base.is_denylisted, counters.is_denylisted) {
            (false, true) => self.folded.denylisted.push(version_id),
            (true, false) => self.folded.released.push(version_id),
            _ => {}
        }
        let is_counted = was_counted || runs.is_some();
        self.folded.last.known.queries.push(KnownQuery { version_id, counters, is_counted, is_gone: false });
    }

    /// Takes leave of queries that are not in the sample. A worker that keeps its counters in memory still has theirs.
    fn leave_gone(&mut self, names: &HashSet<i64>) {
        let gone = self.before.iter().filter(|(name, _)| !names.contains(*name)).map(|(_, query)| **query);
        let mut gone: Vec<KnownQuery> = gone.collect();
        let denylisted = gone.iter().filter(|query| query.counters.is_denylisted);
        self.folded.released.extend(denylisted.map(|query| query.version_id));
        if !self.forgets_counters || self.is_other_worker {
            return;
        }
        gone.sort_by_key(|query| query.version_id);
        for mut query in gone.into_iter().take(MAX_GONE) {
            query.is_gone = true;
            query.counters.is_denylisted = false;
            self.folded.last.known.queries.push(query);
        }
    }
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
fn note_movement(folded: &mut Folded, last: Option<&LastSample>, sample: &ResolvedSample) {
    let known = &mut folded.last.known;
    let soonest = sample.queries.iter().filter(|query| !query.counters.is_denylisted).map(|query| query.interval).min();
    let (Some(last), Some(soonest), true) = (last, soonest, folded.runs.is_empty()) else {
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
#[path = "fold_tests.rs"]
mod tests;
