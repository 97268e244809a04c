use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Versions of a query are numbered from a hundred times its name on.
fn name_of(version_id: i64) -> i64 {
    version_id / 100
}

/// What happens on a host.
#[derive(Debug, Clone)]
enum HostEvent {
    /// A query runs so often and takes so much each time.
    Run(i64, u64, u64),
    Restart,
    ChangeSql(i64),
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
    /// Runs since the last sample that counters still show.
    unseen: BTreeMap<i64, (u64, u64)>,
    /// Since the last sample. After both, an agent that keeps its counters does not tell what they begin with.
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
        if !self.version.forgets_counters() && self.has_restarted && !self.may_do_both {
            return;
        }
        self.has_changed = true;
        *self.sql.entry(name).or_default() += 1;
        if !self.version.forgets_counters() {
            self.counters.insert(name, Counters::default());
            self.unseen.remove(&name);
        }
    }

    fn sample(&mut self) -> ResolvedSample {
        (self.has_restarted, self.has_changed) = (false, false);
        let query = |(name, sql): (&i64, &i64)| ResolvedQuery {
            version_id: *sql,
            name_id: *name,
            interval: 60,
            counters: self.counters.get(name).copied().unwrap_or_default(),
        };
        ResolvedSample {
            worker: WorkerId { start_time: self.pid, pid: self.pid },
            unix_time: self.now,
            uptime_secs: self.now - 1_600_000_000,
            version: self.version,
            received: self.now,
            queries: self.sql.iter().map(query).collect(),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<HostEvent>> {
    let step = prop_oneof![
        6 => (1..=3_i64, 1..20_u64, 0..500_u64).prop_map(|(name, times, user_ms)| HostEvent::Run(name, times, user_ms)),
        1 => Just(HostEvent::Restart),
        1 => (1..=3_i64).prop_map(HostEvent::ChangeSql),
        3 => Just(HostEvent::Sample),
    ];
    prop::collection::vec(step, 0..80)
}

fn take(agent: &mut CountingAgent, step: &HostEvent) -> Option<ResolvedSample> {
    agent.now += 10;
    match step {
        HostEvent::Run(name, times, user_ms) => agent.run(*name, *times, *user_ms),
        HostEvent::Restart => agent.restart(),
        HostEvent::ChangeSql(name) => agent.change_sql(*name),
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
    let Some(folded) = fold(last.as_ref(), sample, name_of) else { return false };
    for runs in &folded.runs {
        add(counted, name_of(runs.version_id), (runs.runs.runs, runs.runs.user_ms));
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
        let (mut last, mut counted, mut expected) = (None, CountedRuns::new(), CountedRuns::new());
        for step in &steps {
            let Some(sample) = take(&mut agent, step) else { continue };
            let unseen = std::mem::take(&mut agent.unseen);
            if last.is_some() {
                unseen.into_iter().for_each(|(name, runs)| add(&mut expected, name, runs));
            }
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
    fn samples_that_come_late_or_twice_change_nothing(steps in steps(), order in prop::collection::vec(any::<bool>(), 80)) {
        // Without restarts and changes every later sample says all that an earlier one does.
        let mut agent = CountingAgent::new("5.12.0");
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

/// A sample of one query that has run so often, as of a second.
fn at(seconds: u64, executions: u64) -> ResolvedSample {
    let mut agent = CountingAgent::new("5.23.0");
    agent.now = seconds;
    agent.sql.retain(|name, _| *name == 1);
    agent.run(1, executions, 10);
    agent.sample()
}

fn after(last: &Folded, sample: &ResolvedSample) -> Folded {
    fold(Some(&last.last), sample, name_of).unwrap()
}

const START: u64 = 1_700_000_000;

#[test]
fn counting_begins_with_the_first_sample() {
    let first = fold(None, &at(START, 500), name_of).unwrap();
    assert_eq!((first.runs.len(), first.restart), (0, None));
    let second = after(&first, &at(START + 3600, 503));
    assert_eq!(second.runs[0].runs.runs, 3);
    assert!(second.runs[0].is_new_host);
}

#[test]
fn a_host_counts_once_an_hour() {
    let mut folded = fold(None, &at(START, 0), name_of).unwrap();
    let mut hosts = 0;
    for number in 1..=60 {
        folded = after(&folded, &at(START + number * 180, number));
        hosts += folded.runs.iter().filter(|runs| runs.is_new_host).count();
    }
    // The samples are of three hours and the rest of another one.
    assert_eq!(hosts, 4);
}

#[test]
fn a_query_is_denylisted_and_released() {
    let first = fold(None, &at(START, 1), name_of).unwrap();
    let mut denied = at(START + 60, 1);
    denied.queries[0].counters.is_denylisted = true;
    let second = after(&first, &denied);
    assert_eq!((second.denylisted.as_slice(), second.released.as_slice()), (&[100][..], &[][..]));
    denied.unix_time += 60;
    denied.queries[0].version_id = 101;
    let third = after(&second, &denied);
    assert_eq!((third.denylisted.len(), third.released.len()), (0, 0), "other SQL does not lift it");
    assert_eq!(after(&third, &at(START + 180, 2)).released, [100]);
    let mut empty = at(START + 180, 2);
    empty.queries.clear();
    assert_eq!(after(&third, &empty).released, [101], "it left the config");
}

#[test]
fn another_worker_is_told_from_another_start_of_the_host() {
    let first = fold(None, &at(START, 1), name_of).unwrap();
    let mut next = at(START + 60, 1);
    next.worker = WorkerId { start_time: START + 50, pid: 99 };
    let restart = Restart { started_at: START + 50, is_upgrade: false };
    assert_eq!(after(&first, &next).restart, Some(restart));
    next.version = AgentVersion::of("5.24.0");
    assert_eq!(after(&first, &next).restart, Some(Restart { is_upgrade: true, ..restart }));
    next.uptime_secs = 20;
    assert_eq!(after(&first, &next).restart, None, "the host was restarted");
    next.worker = WorkerId::default();
    assert_eq!(after(&first, &next).restart, None, "it does not say");
}

#[test]
fn a_schedule_that_stands_still_is_found_with_the_second_sample() {
    let first = fold(None, &at(START, 5), name_of).unwrap();
    let moved = after(&first, &at(START + 3600, 6));
    let once = after(&moved, &at(START + 7200, 6));
    assert_eq!(once.stalled_since, None, "a host may have slept");
    let twice = after(&once, &at(START + 10_800, 6));
    assert_eq!(twice.stalled_since, Some(START + 3600));
    assert_eq!(after(&twice, &at(START + 14_400, 7)).stalled_since, None);
    let mut seldom = at(START + 10_800, 6);
    seldom.queries[0].interval = 86_400;
    assert_eq!(after(&once, &seldom).stalled_since, None);
    let mut all_denied = at(START + 10_800, 6);
    all_denied.queries[0].counters.is_denylisted = true;
    assert_eq!(after(&once, &all_denied).stalled_since, None);
}

#[test]
fn a_pack_that_comes_back_to_the_same_worker_goes_on_where_it_was() {
    for (version, expected) in [("5.11.0", 2), ("5.12.0", 7)] {
        let with = |mut sample: ResolvedSample| {
            sample.version = AgentVersion::of(version);
            sample
        };
        let first = fold(None, &with(at(START, 5)), name_of).unwrap();
        let mut without = with(at(START + 60, 0));
        without.queries.clear();
        let gone = after(&first, &without);
        let back = after(&gone, &with(at(START + 120, 7)));
        assert_eq!(back.runs[0].runs.runs, expected, "{version}");
    }
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    let first = fold(None, &at(START, 5), name_of).unwrap();
    assert_eq!(fold(Some(&first.last), &at(START - 60, 4), name_of), None, "a late one");
    let back = after(&first, &at(START - 86_400, 6));
    assert_eq!(back.runs[0].runs.runs, 1);
}
