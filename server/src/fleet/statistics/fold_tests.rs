use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Versions of a query are numbered from a hundred times its name on.
fn name_of(version_id: i64) -> Option<i64> {
    Some(version_id / 100)
}

/// What happens on a host.
#[derive(Debug, Clone)]
enum HostEvent {
    /// A query runs so often and takes so much each time.
    Run(i64, u64, u64),
    Restart,
    ChangeSql(i64),
    /// It is not in samples, though the agent still has its counters: its pack is not active, or its name not known.
    Hide(i64),
    /// It leaves the config.
    Leave(i64),
    Return(i64),
    Sample,
}

/// An agent as osquery counts, and what a perfect observer has seen of it.
#[derive(Debug, Clone)]
struct CountingAgent {
    version: AgentVersion,
    pid: u64,
    now: u64,
    sql: BTreeMap<i64, i64>,
    counters: BTreeMap<i64, Counters>,
    hidden: BTreeSet<i64>,
    /// Seconds from one event to the next.
    step: u64,
    /// Runs since the last sample that counters still show.
    unseen: BTreeMap<i64, (u64, u64)>,
    /// Since the last sample of all queries. After both, an agent that keeps its counters does not tell what they begin with.
    has_restarted: bool,
    has_changed: bool,
    may_do_both: bool,
}

impl CountingAgent {
    fn new(version: &str) -> Self {
        Self {
            version: AgentVersion::of(version),
            pid: 1,
            now: 1_700_000_000,
            sql: (1..=3).map(|name| (name, name * 100)).collect(),
            counters: (1..=3).map(|name| (name, Counters::default())).collect(),
            hidden: BTreeSet::new(),
            step: 10,
            unseen: BTreeMap::new(),
            has_restarted: false,
            has_changed: false,
            may_do_both: false,
        }
    }

    fn run(&mut self, name: i64, times: u64, user_ms: u64) {
        let counters = self.counters.entry(name).or_default();
        counters.executions += times;
        counters.user_ms += times * user_ms;
        counters.last_executed = self.now;
        let unseen = self.unseen.entry(name).or_default();
        *unseen = (unseen.0 + times, unseen.1 + times * user_ms);
    }

    fn restart(&mut self) {
        if !self.version.forgets_counters() && self.has_changed && !self.may_do_both {
            return;
        }
        self.has_restarted = true;
        self.pid += 1;
        if self.version.forgets_counters() {
            self.counters.clear();
            self.unseen.clear();
        }
    }

    fn change_sql(&mut self, name: i64) {
        let is_ambiguous = self.has_restarted || self.hidden.contains(&name);
        if !self.version.forgets_counters() && is_ambiguous && !self.may_do_both {
            return;
        }
        self.has_changed = true;
        *self.sql.entry(name).or_default() += 1;
        if !self.version.forgets_counters() {
            self.counters.insert(name, Counters::default());
            self.unseen.remove(&name);
        }
    }

    fn leave(&mut self, name: i64) {
        self.hidden.insert(name);
        // What it begins with when it comes back nobody tells.
        if !self.version.forgets_counters() && self.may_do_both {
            self.counters.insert(name, Counters::default());
        }
    }

    fn sample(&mut self) -> ResolvedSample {
        if self.hidden.is_empty() {
            (self.has_restarted, self.has_changed) = (false, false);
        }
        let query = |(name, sql): (&i64, &i64)| ResolvedQuery {
            version_id: *sql,
            name_id: *name,
            added_at: 0,
            interval: 1,
            said_interval: 1,
            counters: self.counters.get(name).copied().unwrap_or_default(),
        };
        ResolvedSample {
            worker: WorkerId { start_time: self.pid, pid: self.pid },
            unix_time: self.now,
            uptime_secs: self.now - 1_600_000_000,
            version: self.version,
            received: self.now,
            queries: self.sql.iter().filter(|(name, _)| !self.hidden.contains(name)).map(query).collect(),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<HostEvent>> {
    let step = prop_oneof![
        6 => (1..=3_i64, 1..4_u64, 0..500_u64).prop_map(|(name, times, user_ms)| HostEvent::Run(name, times, user_ms)),
        1 => Just(HostEvent::Restart),
        1 => (1..=3_i64).prop_map(HostEvent::ChangeSql),
        1 => (1..=3_i64).prop_map(HostEvent::Hide),
        1 => (1..=3_i64).prop_map(HostEvent::Leave),
        2 => (1..=3_i64).prop_map(HostEvent::Return),
        3 => Just(HostEvent::Sample),
    ];
    prop::collection::vec(step, 0..80)
}

fn take(agent: &mut CountingAgent, step: &HostEvent) -> Option<ResolvedSample> {
    agent.now += agent.step;
    match step {
        HostEvent::Run(name, times, user_ms) => agent.run(*name, *times, *user_ms),
        HostEvent::Restart => agent.restart(),
        HostEvent::ChangeSql(name) => agent.change_sql(*name),
        HostEvent::Hide(name) => drop(agent.hidden.insert(*name)),
        HostEvent::Leave(name) => agent.leave(*name),
        HostEvent::Return(name) => drop(agent.hidden.remove(name)),
        HostEvent::Sample => return Some(agent.sample()),
    }
    None
}

/// Runs and CPU time by name of the query, as folding has counted them.
type CountedRuns = BTreeMap<i64, (u64, u64)>;

fn add(counted: &mut CountedRuns, name: i64, (runs, user_ms): (u64, u64)) {
    if runs > 0 {
        let all = counted.entry(name).or_default();
        *all = (all.0 + runs, all.1 + user_ms);
    }
}

/// Folds a sample. Whether it was later than the last one.
fn fold_over(last: &mut Option<LastSample>, sample: &ResolvedSample, counted: &mut CountedRuns) -> bool {
    let Some(folded) = fold(last.as_ref(), sample, 0, name_of) else { return false };
    for runs in &folded.runs {
        add(counted, runs.version_id / 100, (runs.runs.runs, runs.runs.user_ms));
    }
    *last = Some(folded.last);
    true
}

proptest! {
    #[test]
    fn every_run_that_agents_still_count_is_counted_once(
        steps in steps(),
        version in prop_oneof![Just("5.11.0"), Just("3.4.0"), Just("5.12.0"), Just("5.23.1")],
    ) {
        let mut agent = CountingAgent::new(version);
        let mut shown = BTreeSet::new();
        let (mut last, mut counted, mut expected) = (None, CountedRuns::new(), CountedRuns::new());
        for step in &steps {
            let Some(sample) = take(&mut agent, step) else { continue };
            let is_other_worker = last.as_ref().is_some_and(|last: &LastSample| last.worker != sample.worker);
            for name in sample.queries.iter().map(|query| query.name_id) {
                let Some(runs) = agent.unseen.remove(&name) else { continue };
                // Where counting begins with this sample, nobody knows when it ran.
                if shown.contains(&name) || (is_other_worker && agent.version.forgets_counters()) {
                    add(&mut expected, name, runs);
                }
            }
            shown.extend(sample.queries.iter().map(|query| query.name_id));
            prop_assert!(fold_over(&mut last, &sample, &mut counted));
        }
        prop_assert_eq!(counted, expected);
    }

    #[test]
    fn never_more_is_counted_than_has_run(steps in steps()) {
        let mut agent = CountingAgent { may_do_both: true, ..CountingAgent::new("5.12.0") };
        let (mut last, mut counted, mut ran) = (None, CountedRuns::new(), CountedRuns::new());
        for step in &steps {
            let Some(sample) = take(&mut agent, step) else { continue };
            std::mem::take(&mut agent.unseen).into_iter().for_each(|(name, runs)| add(&mut ran, name, runs));
            prop_assert!(fold_over(&mut last, &sample, &mut counted));
        }
        for (name, (runs, user_ms)) in counted {
            let (all, all_ms) = ran[&name];
            prop_assert!(runs <= all && user_ms <= all_ms, "{} of {}", runs, all);
        }
    }

    #[test]
    fn samples_that_come_late_or_twice_change_nothing(
        steps in steps(),
        order in prop::collection::vec(any::<bool>(), 80),
        step in prop_oneof![Just(10), Just(700), Just(5_000)],
    ) {
        // Without restarts and changes every later sample says all that an earlier one does.
        let mut agent = CountingAgent { step, ..CountingAgent::new("5.12.0") };
        let runs = |step: &&HostEvent| matches!(step, HostEvent::Run(..) | HostEvent::Sample);
        let samples: Vec<ResolvedSample> = steps.iter().filter(runs).filter_map(|step| take(&mut agent, step)).collect();
        let mut late = samples.clone();
        for (at, is_swapped) in order.iter().enumerate().take(late.len().saturating_sub(2)) {
            if *is_swapped {
                late.swap(at + 1, at + 2);
            }
        }
        let total = |samples: &[ResolvedSample]| {
            let (mut last, mut counted) = (None, CountedRuns::new());
            for sample in samples {
                fold_over(&mut last, sample, &mut counted);
                assert!(!fold_over(&mut last, sample, &mut counted), "the same sample again");
            }
            counted
        };
        let mut all = late;
        all.extend(samples.last().cloned());
        let mut in_order = samples.clone();
        in_order.extend(samples.last().cloned());
        in_order.dedup_by_key(|sample| sample.unix_time);
        let counted = |samples: &[ResolvedSample]| {
            let (mut last, mut counted) = (None, CountedRuns::new());
            samples.iter().for_each(|sample| { fold_over(&mut last, sample, &mut counted); });
            counted
        };
        prop_assert_eq!(total(&in_order), counted(&all));
    }
}
