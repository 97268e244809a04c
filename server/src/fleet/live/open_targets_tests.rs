use muster_api::rest::TargetState;

use super::super::notes::Settlement;
use super::super::snapshot::Snapshot;
use super::super::states::States;
use super::*;
use crate::bus::{JobChange, JobKey};
use crate::store::entity::live_queries::{LiveStatusWord, Model};

const HOST: i64 = 7;

/// Another target, so that no job is complete when this host has answered.
const OTHER: i64 = 8;

fn at(seconds: i64) -> Moment {
    Moment(seconds * 1_000_000)
}

fn job(id: i64, is_discovering: bool) -> Arc<Job> {
    let states = States::pending([HOST, OTHER]);
    let row = Model {
        id,
        query: "SELECT 1".to_owned(),
        discovery: is_discovering.then(|| "SELECT 1".to_owned()),
        query_name: String::new(),
        author_id: None,
        author_email: String::new(),
        created_at: at(0),
        deadline: at(3600),
        finished_at: None,
        watched_until: None,
        status: LiveStatusWord::Open,
        stop_reason: String::new(),
        states: states.to_bytes(),
        results_bytes: 0,
        bus_key: None,
        rate: 0,
        is_paused: false,
        pace_changes: 0,
        canaries: None,
        canaries_until: None,
        is_paused_early: false,
        host_cpu_ms: 0,
        fleet_cpu_ms: 0,
        row_limit: 0,
        byte_limit: 0,
        guard_warnings: None,
    };
    Arc::new(Job::new(
        row,
        JobKey::new(id, None),
        Snapshot { states, ..Snapshot::default() },
        roaring::RoaringTreemap::new(),
    ))
}

fn plain(ids: impl IntoIterator<Item = i64>) -> Vec<Arc<Job>> {
    ids.into_iter().map(|id| job(id, false)).collect()
}

fn candidates(jobs: &[Arc<Job>], now: Moment) -> Vec<i64> {
    OpenTargets::of(HOST, jobs, now).candidates(now).iter().map(|job| job.id).collect()
}

fn send_all(jobs: &[Arc<Job>], now: Moment) -> Vec<i64> {
    let sent = OpenTargets::of(HOST, jobs, now).candidates(now);
    let change = JobChange::Sent { host: HOST, at: now, is_alone: sent.len() == 1 };
    sent.iter().for_each(|job| assert!(job.apply([change.clone()], now).is_changed));
    sent.iter().map(|job| job.id).collect()
}

fn settle(job: &Job) {
    let settlement = Settlement {
        state: TargetState::Answered,
        truncated: false,
        unkept: false,
        stats: None,
        bytes: 0,
        at: at(0).0,
    };
    let change = JobChange::Settled { host: HOST, note: settlement.to_bytes() };
    assert!(job.apply([change], at(0)).is_changed);
}

fn carry_out(verdicts: &[(SentTarget, OverdueVerdict)]) {
    for (sent, verdict) in verdicts {
        match verdict {
            OverdueVerdict::RetryAlone => assert!(sent.job.pending_again(HOST)),
            _ => settle(&sent.job),
        }
    }
}

fn ids(verdicts: &[(SentTarget, OverdueVerdict)]) -> Vec<(i64, OverdueVerdict)> {
    verdicts.iter().map(|(sent, verdict)| (sent.job.id, *verdict)).collect()
}

fn overdue(jobs: &[Arc<Job>], now: Moment, has_restarted: bool) -> Vec<(SentTarget, OverdueVerdict)> {
    OpenTargets::of(HOST, jobs, now).overdue(now, &HostLiveState::default(), |_| has_restarted)
}

/// Decides, and carries that out at once.
fn decide(jobs: &[Arc<Job>], now: Moment, has_restarted: bool) -> Vec<(i64, OverdueVerdict)> {
    let verdicts = overdue(jobs, now, has_restarted);
    carry_out(&verdicts);
    ids(&verdicts)
}

#[test]
fn a_settled_host_has_no_open_targets() {
    let jobs = plain([1]);
    assert!(!OpenTargets::of(HOST, &jobs, at(0)).is_empty());
    assert!(OpenTargets::of(99, &jobs, at(0)).is_empty(), "no target");
    send_all(&jobs, at(0));
    assert!(!OpenTargets::of(HOST, &jobs, at(0)).is_empty(), "sent is open, too");
    settle(&jobs[0]);
    assert!(OpenTargets::of(HOST, &jobs, at(0)).is_empty());
}

#[test]
fn a_read_takes_the_oldest_jobs_and_no_more_than_fit() {
    let jobs = plain(1..=20);
    assert_eq!(send_all(&jobs, at(0)), (1..=8).collect::<Vec<_>>());
    assert_eq!(send_all(&jobs, at(1)), (9..=16).collect::<Vec<_>>());
    assert_eq!(send_all(&jobs, at(2)), (17..=20).collect::<Vec<_>>());
}

#[test]
fn a_job_that_was_made_anew_is_pending_and_not_overdue() {
    let jobs = plain([1]);
    send_all(&jobs, at(0));
    assert_eq!(ids(&overdue(&jobs, at(30), false)), [(1, OverdueVerdict::RetryAlone)]);
    let change = JobChange::Restored { note: jobs[0].restored().to_bytes() };
    assert!(jobs[0].apply([change], at(30)).is_restored);
    assert_eq!(ids(&overdue(&jobs, at(30), false)), []);
    assert_eq!(send_all(&jobs, at(30)), [1]);
}

#[test]
fn a_restart_after_a_lone_query_makes_it_suspect() {
    let jobs = plain([1]);
    send_all(&jobs, at(0));
    assert_eq!(decide(&jobs, at(10), true), [], "still within the time an agent retries");
    assert_eq!(decide(&jobs, at(30), true), [(1, OverdueVerdict::Suspect)]);
}

#[test]
fn several_lost_at_once_are_sent_again_one_by_one() {
    let jobs = plain(1..=3);
    assert_eq!(send_all(&jobs, at(0)), [1, 2, 3]);
    settle(&jobs[2]);
    assert_eq!(decide(&jobs, at(30), true), [(1, OverdueVerdict::RetryAlone), (2, OverdueVerdict::RetryAlone)]);
    assert_eq!(send_all(&jobs, at(30)), [1]);
    assert_eq!(candidates(&jobs, at(30)), [0; 0], "the second waits for the first");
    assert_eq!(decide(&jobs, at(60), true), [(1, OverdueVerdict::Suspect)]);
    assert_eq!(send_all(&jobs, at(60)), [2]);
    settle(&jobs[1]);
    assert!(OpenTargets::of(HOST, &jobs, at(0)).is_empty());
}

#[test]
fn two_losses_without_a_restart_are_lost() {
    let jobs = plain([1]);
    send_all(&jobs, at(0));
    assert_eq!(decide(&jobs, at(30), false), [(1, OverdueVerdict::RetryAlone)]);
    send_all(&jobs, at(30));
    assert_eq!(decide(&jobs, at(60), false), [(1, OverdueVerdict::Lost)]);
    assert!(OpenTargets::of(HOST, &jobs, at(0)).is_empty());
}

#[test]
fn a_verdict_stands_until_it_is_carried_out() {
    let jobs = plain(1..=2);
    send_all(&jobs, at(0));
    let both = overdue(&jobs, at(30), true);
    assert_eq!(ids(&both), [(1, OverdueVerdict::RetryAlone), (2, OverdueVerdict::RetryAlone)]);
    assert_eq!(candidates(&jobs, at(30)), [0; 0], "nothing is sent again before that");
    carry_out(&both[..1]);
    assert!(!both[0].0.is_current(HOST) && both[1].0.is_current(HOST));
    let left = overdue(&jobs, at(60), true);
    assert_eq!(ids(&left), [(2, OverdueVerdict::RetryAlone)], "the one that is left was not alone");
    assert_eq!(candidates(&jobs, at(60)), [1], "and holds up nobody");
    settle(&jobs[1]);
    assert_eq!(ids(&overdue(&jobs, at(90), true)), [], "its answer has come after all");
    assert_eq!(candidates(&jobs, at(90)), [1]);
}

#[test]
fn a_job_with_a_discovery_query_is_sent_alone() {
    let jobs: Vec<_> = (1..=4).map(|id| job(id, id % 2 == 0)).collect();
    assert_eq!(send_all(&jobs, at(0)), [1, 3]);
    assert_eq!(candidates(&jobs, at(0)), [0; 0]);
    settle(&jobs[0]);
    settle(&jobs[2]);
    assert_eq!(send_all(&jobs, at(1)), [2]);
    assert_eq!(candidates(&jobs, at(1)), [0; 0]);
    settle(&jobs[1]);
    assert_eq!(send_all(&jobs, at(2)), [4]);
}

#[test]
fn of_several_that_were_too_large_together_each_is_sent_alone() {
    let (jobs, host) = (plain(1..=2), HostLiveState::default());
    let thrown_away = |now| {
        let open = OpenTargets::of(HOST, &jobs, at(0));
        host.answers_thrown_away(&open.sent().iter().map(|sent| (sent.job.id, sent.at)).collect::<Vec<_>>());
        open.overdue(now, &host, |_| false)
    };
    send_all(&jobs, at(0));
    let both = thrown_away(at(0));
    assert_eq!(ids(&both), [(1, OverdueVerdict::RetryAlone), (2, OverdueVerdict::RetryAlone)]);
    let later = OpenTargets::of(HOST, &jobs, at(0)).overdue(at(0), &host, |_| false);
    assert_eq!(ids(&later), ids(&both), "until that is carried out");
    carry_out(&later);
    (1..=2).for_each(|job| host.moved_on(job));
    assert_eq!(send_all(&jobs, at(0)), [1]);
    assert_eq!(ids(&OpenTargets::of(HOST, &jobs, at(0)).overdue(at(0), &host, |_| false)), [], "sent anew");
    assert_eq!(ids(&thrown_away(at(0))), [(1, OverdueVerdict::TooLarge)]);
    settle(&jobs[0]);
    assert_eq!(send_all(&jobs, at(1)), [2]);
}
