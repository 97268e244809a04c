use muster_api::rest::LiveStats;

use super::super::cost::CpuBudget;
use super::super::notes::Settlement;
use super::super::progress::tests::begun_with;
use super::super::states::States;
use super::*;
use crate::bus::{JobChange, LivePace};

const RULES: CanaryRules = CanaryRules { suspects: 2 };
const UNTIL: Moment = Moment(1_000_000);
const EARLY: Moment = Moment(1);

/// Ten canaries of a thousand targets.
fn canaries() -> RoaringTreemap {
    (1..=10).collect()
}

fn waiting() -> JobProgress {
    let mut progress = begun_with(States::pending(1..=1000));
    progress.budget = CpuBudget { host_ms: 1_000, fleet_ms: 1_000_000 };
    progress
        .apply(JobChange::Paced(LivePace { canaries_until: Some(UNTIL), changes: 1, ..LivePace::default() }), EARLY);
    progress
}

fn send(progress: &mut JobProgress, hosts: impl IntoIterator<Item = i64>) {
    for host in hosts {
        progress.apply(JobChange::Sent { host, at: EARLY, is_alone: false }, EARLY);
    }
}

fn settle(progress: &mut JobProgress, hosts: impl IntoIterator<Item = i64>, state: TargetState, cpu_ms: Option<u64>) {
    for host in hosts {
        let stats =
            cpu_ms.map(|user_time_ms| LiveStats { wall_time_ms: 1, user_time_ms, system_time_ms: 0, memory_bytes: 0 });
        let note = Settlement { state, truncated: false, unkept: false, stats, bytes: 0, at: 0 }.to_bytes();
        progress.apply(JobChange::Settled { host, note }, EARLY);
    }
}

fn judged(progress: &JobProgress, now: Moment) -> LiveVerdict {
    progress.judge(&canaries(), RULES, now)
}

fn reason(progress: &JobProgress, now: Moment) -> String {
    match judged(progress, now) {
        LiveVerdict::Stop(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn others_follow_when_those_that_were_given_it_have_answered_and_few_are_missing() {
    let mut progress = waiting();
    assert_eq!(judged(&progress, EARLY), LiveVerdict::GoOn);
    send(&mut progress, 1..=8);
    settle(&mut progress, 1..=7, TargetState::Answered, Some(1_000));
    assert_eq!(judged(&progress, EARLY), LiveVerdict::GoOn, "one that was given it has not answered");
    settle(&mut progress, 8..=8, TargetState::Failed, None);
    let LiveVerdict::LetOthersFollow(tally) = judged(&progress, EARLY) else {
        panic!("{:?}", judged(&progress, EARLY))
    };
    assert_eq!((tally.all, tally.settled, tally.answered, tally.failed, tally.silent), (10, 8, 7, 1, 0));
    progress.apply(JobChange::Paced(LivePace { changes: 2, ..LivePace::default() }), EARLY);
    assert_eq!(judged(&progress, EARLY), LiveVerdict::GoOn, "once");
}

#[test]
fn too_few_answers_are_waited_for_until_the_time_is_over_and_a_pause_is_not_overruled() {
    let mut progress = waiting();
    send(&mut progress, 1..=7);
    settle(&mut progress, 1..=7, TargetState::Answered, None);
    assert_eq!(judged(&progress, EARLY), LiveVerdict::GoOn);
    assert!(matches!(judged(&progress, UNTIL), LiveVerdict::LetOthersFollow(_)));
    let paused = LivePace { is_paused: true, canaries_until: Some(UNTIL), changes: 2, ..LivePace::default() };
    progress.apply(JobChange::Paced(paused), EARLY);
    assert_eq!(judged(&progress, UNTIL), LiveVerdict::GoOn);
    assert!(matches!(judged(&waiting(), UNTIL), LiveVerdict::LetOthersFollow(_)), "of canaries that never came");
}

#[test]
fn harm_to_canaries_stops_it_and_is_named() {
    let mut killed = waiting();
    settle(&mut killed, 3..=3, TargetState::Suspect, None);
    assert_eq!(judged(&killed, EARLY), LiveVerdict::GoOn, "one does not decide");
    settle(&mut killed, 4..=4, TargetState::Denylisted, None);
    let said = reason(&killed, EARLY);
    assert!(
        said.starts_with("stopped at its canaries, because it probably stopped the agents of hosts 3, 4"),
        "{said}"
    );
    assert!(said.ends_with("; 990 hosts were not given it"), "{said}");

    let mut heavy = waiting();
    settle(&mut heavy, 3..=3, TargetState::Answered, Some(u64::MAX));
    assert_eq!(judged(&heavy, EARLY), LiveVerdict::GoOn, "whatever one says");
    settle(&mut heavy, 4..=4, TargetState::Answered, Some(1_001));
    let said = reason(&heavy, EARLY);
    assert!(
        said.contains("more than 1 s of CPU time on each of the hosts 3 (18446744073709551.615 s), 4 (1.001 s);"),
        "{said}"
    );

    let mut silent = waiting();
    send(&mut silent, 1..=9);
    settle(&mut silent, 1..=4, TargetState::Answered, None);
    assert_eq!(judged(&silent, EARLY), LiveVerdict::GoOn);
    let said = reason(&silent, UNTIL);
    assert!(said.contains("5 of 9 canaries that were given it have not answered"), "{said}");
    settle(&mut silent, 5..=5, TargetState::Answered, None);
    assert!(matches!(judged(&silent, UNTIL), LiveVerdict::LetOthersFollow(_)), "most have answered");
}

#[test]
fn what_the_fleet_reports_is_watched_all_along() {
    let mut progress = begun_with(States::pending(1..=1000));
    progress.budget = CpuBudget { host_ms: 1_000, fleet_ms: 0 };
    settle(&mut progress, 1..=300, TargetState::Answered, Some(10));
    settle(&mut progress, 301..=303, TargetState::Answered, Some(1_001));
    assert_eq!(judged(&progress, EARLY), LiveVerdict::GoOn, "three of three hundred are not one in a hundred");
    settle(&mut progress, 304..=304, TargetState::Answered, Some(1_001));
    let said = reason(&progress, EARLY);
    assert!(
        said.starts_with("stopped, because it took more than 1 s of CPU time on each of the hosts 301 (1.001 s)"),
        "{said}"
    );

    let mut sum = begun_with(States::pending(1..=1000));
    sum.budget = CpuBudget { host_ms: 0, fleet_ms: 3_000 };
    settle(&mut sum, 1..=1, TargetState::Answered, Some(1_000_000));
    settle(&mut sum, 2..=3, TargetState::Answered, Some(1_000));
    assert_eq!(judged(&sum, EARLY), LiveVerdict::GoOn);
    settle(&mut sum, 4..=4, TargetState::Answered, Some(1));
    assert_eq!(
        reason(&sum, EARLY),
        "stopped, because it took 3.001 s of CPU time on all hosts together and may take 3 s"
    );

    let mut killed = begun_with(States::pending(1..=1000));
    settle(&mut killed, 1..=2, TargetState::Suspect, None);
    settle(&mut killed, 3..=9, TargetState::Denylisted, None);
    assert_eq!(judged(&killed, EARLY), LiveVerdict::GoOn);
    settle(&mut killed, 10..=10, TargetState::Suspect, None);
    assert_eq!(reason(&killed, EARLY), "stopped, because it probably stopped the agents of hosts 1, 2, 10");
}
