use proptest::prelude::*;

use super::*;

/// Versions of a query are numbered from a hundred times its name on.
fn name_of(version_id: i64) -> Option<i64> {
    Some(version_id / 100)
}

/// A sample of one query that has run so often, as of a second.
fn at(seconds: u64, executions: u64) -> ResolvedSample {
    let counters = Counters { executions, user_ms: executions * 10, last_executed: seconds, ..Counters::default() };
    let (interval, said_interval) = (60, 60);
    ResolvedSample {
        worker: WorkerId { start_time: 1, pid: 1 },
        unix_time: seconds,
        uptime_secs: seconds - 1_600_000_000,
        version: AgentVersion::of("5.23.0"),
        received: seconds,
        queries: vec![ResolvedQuery { version_id: 100, name_id: 1, added_at: 0, interval, said_interval, counters }],
    }
}

fn first(sample: &ResolvedSample) -> Folded {
    fold(None, sample, 0, name_of).unwrap()
}

fn after(last: &Folded, sample: &ResolvedSample) -> Folded {
    fold(Some(&last.last), sample, 0, name_of).unwrap()
}

const START: u64 = 1_700_000_000;

#[test]
fn counting_begins_with_the_first_sample() {
    let first = first(&at(START, 500));
    assert_eq!((first.runs.len(), first.restart), (0, None));
    let second = after(&first, &at(START + 3600, 503));
    assert_eq!(second.runs[0].runs.runs, 3);
    assert!(second.runs[0].is_new_host);
}

#[test]
fn a_host_counts_once_an_hour() {
    let mut folded = first(&at(START, 0));
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
    let first = first(&at(START, 1));
    let mut denied = at(START + 60, 1);
    denied.queries[0].counters.is_denylisted = true;
    let second = after(&first, &denied);
    assert_eq!((second.denylisted.as_slice(), second.released.as_slice()), (&[100][..], &[][..]));
    (denied.unix_time, denied.received) = (START + 120, START + 120);
    denied.queries[0].version_id = 101;
    let third = after(&second, &denied);
    assert_eq!((third.denylisted.len(), third.released.len()), (0, 0), "other SQL does not lift it");
    assert_eq!(after(&third, &at(START + 180, 2)).released, [100]);
    let empty = |seconds| ResolvedSample { queries: Vec::new(), ..at(seconds, 2) };
    let fourth = after(&third, &empty(START + 180));
    assert_eq!(fourth.released, [0; 0], "its pack may be away for now");
    (denied.unix_time, denied.received) = (START + 240, START + 240);
    assert_eq!(after(&fourth, &denied).denylisted, [0; 0], "it was all the time");
    assert_eq!(after(&fourth, &empty(START + 240)).released, [101], "it left the config");
}

#[test]
fn another_worker_is_told_from_another_start_of_the_host() {
    let first = first(&at(START, 1));
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
    let first = first(&at(START, 5));
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
fn a_query_that_was_away_goes_on_where_it_was() {
    for version in ["5.11.0", "5.12.0"] {
        let with = |mut sample: ResolvedSample| {
            sample.version = AgentVersion::of(version);
            sample
        };
        let mut folded = first(&with(at(START, 5)));
        for number in 1..=3 {
            let mut without = with(at(START + number * 60, 0));
            without.queries.clear();
            folded = after(&folded, &without);
        }
        let back = after(&folded, &with(at(START + 240, 7)));
        assert_eq!(back.runs[0].runs.runs, 2, "{version}");
        assert_eq!(after(&folded, &with(at(START + 240, 2))).runs[0].runs.runs, 2, "its counters began anew");
    }
}

#[test]
fn a_query_is_not_remembered_for_ever() {
    let mut folded = first(&at(START, 5));
    for number in 1..=LONGEST_GONE + 1 {
        let mut without = at(START + number * 60, 0);
        without.queries.clear();
        folded = after(&folded, &without);
    }
    assert_eq!(folded.last.known.queries, []);
    let mut many = at(START, 5);
    many.queries =
        (1..=1_000).map(|name| ResolvedQuery { name_id: name, version_id: name * 100, ..many.queries[0] }).collect();
    let mut without = at(START + 60, 0);
    without.queries.clear();
    assert_eq!(after(&first(&many), &without).last.known.queries.len(), MAX_GONE);
}

#[test]
fn a_query_that_is_new_to_a_host_begins_with_zero_only_if_it_is_new_to_all() {
    let mut without = at(START, 0);
    without.queries.clear();
    let before = first(&without);
    let mut with = at(START + 3600, 30);
    assert_eq!(after(&before, &with).runs, [], "the host may have run it long ago");
    with.queries[0].added_at = START + 3600;
    assert_eq!(after(&before, &with).runs[0].runs.runs, 30);
    with.queries[0].added_at = START;
    (with.version, with.worker) = (AgentVersion::of("5.11.0"), WorkerId { start_time: START + 7, pid: 8 });
    assert_eq!(after(&before, &with).runs[0].runs.runs, 30, "the worker has not run it before it began");
}

#[test]
fn more_than_can_have_run_is_where_counting_begins() {
    let before = first(&at(START, 5));
    let honest = after(&before, &at(START + 3600, 65));
    assert_eq!(honest.runs[0].runs.runs, 60);
    let lie = after(&before, &at(START + 3600, 1 << 52));
    assert_eq!((lie.runs.len(), lie.stalled_since), (0, None));
    assert_eq!(after(&lie, &at(START + 7200, (1 << 52) + 3)).runs[0].runs.runs, 3);
    let with = |change: fn(&mut Counters)| {
        let mut sample = at(START + 3600, 65);
        change(&mut sample.queries[0].counters);
        after(&before, &sample).runs.len()
    };
    assert_eq!(with(|counters| counters.user_ms = 3600 * 1000), 1);
    assert_eq!(with(|counters| counters.user_ms = 1 << 52), 0);
    assert_eq!(with(|counters| counters.wall_ms = 1 << 40), 0);
}

#[test]
fn an_interval_counts_until_the_agent_has_loaded_another() {
    // From once a minute to once an hour: the agent loads that in the middle of the second hour.
    let at = |seconds, executions, said_interval| {
        let mut sample = at(seconds, executions);
        (sample.queries[0].interval, sample.queries[0].said_interval) = (3600, said_interval);
        sample
    };
    let mut known = first(&at(START, 0, 60));
    known.last.known.queries[0].interval = 60;
    let second = after(&known, &at(START + 3600, 60, 60));
    let third = after(&second, &at(START + 7200, 90, 3600));
    let fourth = after(&third, &at(START + 10_800, 91, 3600));
    assert_eq!([&second, &third, &fourth].map(|folded| folded.runs[0].runs.runs), [60, 30, 1]);
    assert_eq!(after(&fourth, &at(START + 14_400, 191, 1)).runs, [], "what it says alone proves nothing");
}

#[test]
fn samples_that_come_too_soon_tell_nothing() {
    let before = first(&at(START, 5));
    let soon = |seconds| fold(Some(&before.last), &at(START + seconds, 6), 900, name_of).is_none();
    assert!(soon(1) && soon(899) && !soon(900));
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    let of_clock = |mut sample: ResolvedSample, unix_time| {
        sample.unix_time = unix_time;
        sample
    };
    let before = first(&at(START, 5));
    let late = of_clock(at(START + 10, 4), START - 60);
    assert_eq!(fold(Some(&before.last), &late, 0, name_of), None, "a late one");
    let back = after(&before, &of_clock(at(START + 60, 6), START - 86_400));
    assert_eq!(back.runs[0].runs.runs, 1);
    let waited = at(START - 86_400, 4);
    assert_eq!(fold(Some(&before.last), &waited, 0, name_of), None, "it has waited at another node");
}

proptest! {
    #[test]
    fn no_host_tells_of_more_than_time_allows(samples in prop::collection::vec(any::<[u64; 5]>(), 2..20)) {
        let mut last: Option<LastSample> = None;
        for (number, [executions, user_ms, wall_ms, pid, version]) in samples.into_iter().enumerate() {
            let mut sample = at(START + number as u64 * 3600, 0);
            let counters = &mut sample.queries[0].counters;
            (counters.executions, counters.user_ms, counters.wall_ms) = (executions >> 12, user_ms >> 12, wall_ms >> 12);
            sample.worker.pid = pid % 2;
            sample.queries[0].version_id += (version % 2).cast_signed();
            sample.queries[0].said_interval = pid % 60;
            let folded = fold(last.as_ref(), &sample, 0, name_of).unwrap();
            for runs in folded.runs.iter().map(|runs| runs.runs) {
                prop_assert!(runs.runs <= 2 + 2 * (3600 + SLACK) / 60 && runs.wall_ms <= 2_000 * (3600 + SLACK));
                prop_assert!(runs.user_ms <= 2_000 * (3600 + SLACK) * MAX_CORES);
            }
            last = Some(folded.last);
        }
    }
}
