//! Everything a bus promises, run on each implementation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roaring::RoaringTreemap;
use tokio::time::Instant;
use uuid::Uuid;

use super::{BusError, Claim, EventPosition, JobChange, JobKey, LiveBus, LivePace, Opened, Start};
use crate::clock::Moment;

const START: EventPosition = EventPosition { number: 0, tag: 0 };

const AT: Moment = Moment(1_768_478_400_000_000);

/// Runs all of them. `again` gives the same bus as another node has it, or as it is after a restart.
pub async fn run<B: LiveBus + 'static>(bus: B, again: impl AsyncFn() -> B) {
    pings(&bus).await;
    claims(&bus, new_job(1)).await;
    answers(&bus, new_job(2)).await;
    let bus = pieces_and_restart(bus, new_job(3), &again).await;
    unknown_jobs(&bus, new_job(4)).await;
    checkpoints(&bus, new_job(5)).await;
    closing(&bus, new_job(6)).await;
    large_ids(&bus, new_job(7)).await;
    lets_go(&bus, new_job(9), new_job(10)).await;
    an_id_that_comes_again(bus, &again).await;
}

fn line(host: i64) -> Vec<u8> {
    format!("{{\"host_id\":{host}}}").into_bytes()
}

pub async fn claim<B: LiveBus>(bus: &B, job: JobKey, host: i64) -> bool {
    bus.claim(job, host, AT, false, false).await.unwrap().is_won()
}

/// Until when answers are to be kept.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Before any job was opened.
async fn pings<B: LiveBus>(bus: &B) {
    bus.ping().await.unwrap();
    let none = bus.events(JobKey::new(0, None), EventPosition::default()).await;
    assert_eq!(none.unwrap_err(), BusError::Lost(0), "a ping makes no job");
}

/// A job that no test and no server has seen before.
pub fn new_job(id: i64) -> JobKey {
    JobKey::new(id, Some(Uuid::now_v7()))
}

async fn claims<B: LiveBus>(bus: &B, job: JobKey) {
    assert_eq!(bus.open(job, Start::New).await.unwrap(), Opened::Made);
    assert_eq!(bus.open(job, Start::New).await.unwrap(), Opened::Found);
    assert!(!bus.unclaim(job, 7).await.unwrap(), "there is no claim to give back");
    assert!(claim(bus, job, 7).await);
    assert!(!claim(bus, job, 7).await, "a claim is given once");
    assert!(claim(bus, job, 8).await, "to each host");
    assert!(bus.unclaim(job, 7).await.unwrap());
    assert!(!bus.unclaim(job, 7).await.unwrap(), "a claim is given back once");
    assert!(claim(bus, job, 7).await, "and is then given again");
}

async fn answers<B: LiveBus>(bus: &B, job: JobKey) {
    bus.open(job, Start::New).await.unwrap();
    assert!(claim(bus, job, 7).await);
    let mut end = bus.watch(job).unwrap();
    end.mark_unchanged();
    assert!(bus.answer(job, 7, line(7).into(), b"note".to_vec(), soon()).await.unwrap());
    assert!(end.has_changed().unwrap(), "watchers hear of it");
    assert_eq!(bus.length(job), *end.borrow());
    assert!(!bus.answer(job, 7, line(70).into(), Vec::new(), soon()).await.unwrap(), "the first answer counts");
    assert!(!claim(bus, job, 7).await, "who has answered is not asked");
    assert!(!bus.unclaim(job, 7).await.unwrap(), "nor asked again");
    assert!(bus.answer(job, 8, line(8).into(), Vec::new(), soon()).await.unwrap(), "an answer needs no claim");
    let lines = bus.read(job, 0, usize::MAX).await.unwrap().lines;
    assert_eq!(lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>(), [line(7), line(8)]);
}

async fn pieces_and_restart<B: LiveBus>(bus: B, job: JobKey, again: &impl AsyncFn() -> B) -> B {
    bus.open(job, Start::New).await.unwrap();
    assert!(bus.read(job, 0, usize::MAX).await.unwrap().lines.is_empty());
    for host in 7..=20 {
        assert!(bus.answer(job, host, line(host).into(), Vec::new(), soon()).await.unwrap());
    }
    let odd = [b"\xff\xfe\x00".to_vec(), vec![b'x'; 300_000], b"small".to_vec()];
    for (host, text) in (21..).zip(&odd) {
        assert!(bus.answer(job, host, text.clone().into(), Vec::new(), soon()).await.unwrap());
    }
    let all = bus.read(job, 0, usize::MAX).await.unwrap();
    assert_eq!(all.lines.len(), 17);
    assert_eq!(all.lines.iter().skip(14).map(|line| &line.text).collect::<Vec<_>>(), odd.iter().collect::<Vec<_>>());
    for max_bytes in [1, 40, 100_000] {
        let mut cursor = 0;
        let mut seen = Vec::new();
        loop {
            let piece = bus.read(job, cursor, max_bytes).await.unwrap();
            let Some(last) = piece.lines.last() else { break };
            assert_eq!(last.cursor, piece.next);
            cursor = piece.next;
            seen.extend(piece.lines);
        }
        assert_eq!(seen, all.lines, "pieces of {max_bytes} give the same lines");
        assert_eq!(bus.read(job, cursor, max_bytes).await.unwrap().next, cursor);
    }
    // Cursors that were never given out still give whole lines.
    let first = all.lines[0].cursor;
    for cursor in 1..first {
        let lines = bus.read(job, cursor, usize::MAX).await.unwrap().lines;
        assert!(lines == all.lines || lines == all.lines[1..], "{cursor}");
    }
    assert!(bus.read(job, all.next + 1, usize::MAX).await.unwrap().lines.is_empty());
    drop(bus);

    let bus = again().await;
    assert_eq!(bus.open(job, Start::New).await.unwrap(), Opened::Found);
    assert_eq!(bus.read(job, 0, usize::MAX).await.unwrap(), all, "a restart loses no answer");
    assert_eq!(bus.length(job), all.next);
    assert!(!bus.answer(job, 9, line(9).into(), Vec::new(), soon()).await.unwrap(), "nor who has answered");
    assert!(claim(&bus, job, 99).await);
    bus
}

async fn unknown_jobs<B: LiveBus>(bus: &B, job: JobKey) {
    assert!(bus.watch(job).is_none());
    let lost = BusError::Lost(job.id);
    assert_eq!(bus.claim(job, 1, AT, true, false).await.unwrap_err(), lost);
    assert_eq!(bus.unclaim(job, 1).await.unwrap_err(), lost);
    assert_eq!(bus.answer(job, 1, line(1).into(), Vec::new(), soon()).await.unwrap_err(), lost);
    assert_eq!(bus.close(job, Vec::new()).await.unwrap_err(), lost);
    assert_eq!(bus.events(job, START).await.unwrap_err(), lost);
    assert_eq!(bus.read(job, 0, 1).await.unwrap_err(), lost);
    bus.remove(job).await.unwrap();

    bus.open(job, Start::New).await.unwrap();
    assert!(bus.answer(job, 1, line(1).into(), Vec::new(), soon()).await.unwrap());
    bus.remove(job).await.unwrap();
    assert!(bus.watch(job).is_none());
    assert_eq!(bus.read(job, 0, 1).await.unwrap_err(), lost);
    assert_eq!(bus.open(job, Start::New).await.unwrap(), Opened::Made);
    assert!(bus.read(job, 0, usize::MAX).await.unwrap().lines.is_empty(), "a removed job has no answers");
    assert!(claim(bus, job, 1).await, "and asks anew");
}

async fn checkpoints<B: LiveBus>(bus: &B, job: JobKey) {
    let settled: RoaringTreemap = [1, 40_000, 70_000].into_iter().collect();
    assert_eq!(
        bus.open(job, Start::Checkpoint { settled, note: b"states".to_vec(), covered: 0 }).await.unwrap(),
        Opened::Made
    );
    for host in [1, 40_000, 70_000] {
        assert!(!claim(bus, job, host).await, "{host} is settled");
        assert!(!bus.answer(job, host, line(host).into(), Vec::new(), soon()).await.unwrap());
    }
    for host in [2, 39_999, 40_001, 69_999, 70_001] {
        assert!(claim(bus, job, host).await, "{host} is not");
        assert!(bus.answer(job, host, line(host).into(), Vec::new(), soon()).await.unwrap());
    }
    let lines = bus.read(job, 0, usize::MAX).await.unwrap().lines;
    assert_eq!(lines.len(), 5);
    let kept: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    assert_eq!(bus.length(job), kept as u64, "wherever the cursors begin");
    let events = bus.events(job, START).await.unwrap().events;
    assert_eq!(events[0].change, JobChange::Restored { note: b"states".to_vec() });
    assert!(events.windows(2).all(|pair| pair[0].position.number + 1 == pair[1].position.number));
    assert!(bus.answer(job, 9, Bytes::new(), b"only counted".to_vec(), soon()).await.unwrap());
    assert!(!bus.answer(job, 9, line(9).into(), Vec::new(), soon()).await.unwrap(), "it is settled");
    assert_eq!(bus.read(job, 0, usize::MAX).await.unwrap().lines, lines, "without an answer");
    let settled = (0..100).collect();
    assert_eq!(
        bus.open(job, Start::Checkpoint { settled, note: b"states".to_vec(), covered: 0 }).await.unwrap(),
        Opened::Found
    );
    assert!(claim(bus, job, 3).await, "a checkpoint does not change a job that is there");
}

async fn closing<B: LiveBus>(bus: &B, job: JobKey) {
    bus.open(job, Start::New).await.unwrap();
    assert!(claim(bus, job, 1).await);
    assert!(bus.answer(job, 2, line(2).into(), Vec::new(), soon()).await.unwrap());
    assert!(bus.close(job, b"why".to_vec()).await.unwrap());
    assert!(!bus.close(job, b"later".to_vec()).await.unwrap(), "the first reason counts");
    assert!(!claim(bus, job, 3).await);
    assert!(!bus.answer(job, 1, line(1).into(), Vec::new(), soon()).await.unwrap());
    assert!(!bus.unclaim(job, 1).await.unwrap());
    assert_eq!(bus.read(job, 0, usize::MAX).await.unwrap().lines.len(), 1, "what was answered stays");
}

async fn large_ids<B: LiveBus>(bus: &B, job: JobKey) {
    bus.open(job, Start::New).await.unwrap();
    for host in [1, i64::from(u32::MAX) + 5, i64::MAX] {
        assert!(claim(bus, job, host).await, "{host}");
        assert!(!claim(bus, job, host).await, "{host}");
        assert!(bus.answer(job, host, line(host).into(), Vec::new(), soon()).await.unwrap());
        assert!(!bus.answer(job, host, line(host).into(), Vec::new(), soon()).await.unwrap());
    }
}

/// What a node holds of jobs that others have removed does not grow.
async fn lets_go<B: LiveBus>(bus: &B, known: JobKey, removed: JobKey) {
    for job in [known, removed] {
        bus.open(job, Start::New).await.unwrap();
        assert!(bus.answer(job, 1, line(1).into(), Vec::new(), soon()).await.unwrap());
    }
    assert!(bus.held().is_superset(&[known, removed].into()));
    bus.let_go(&[removed].into());
    assert!(bus.watch(removed).is_none() && bus.watch(known).is_some());
    assert_eq!(bus.open(removed, Start::New).await.unwrap(), Opened::Found, "what is shared stays");
    assert_eq!(bus.read(removed, 0, usize::MAX).await.unwrap().lines.len(), 1);
}

/// Many callers at one time, over one or two nodes: each claim and each answer has one winner.
pub async fn races<B: LiveBus + 'static>(buses: Vec<Arc<B>>, job: JobKey) {
    const HOSTS: i64 = 40;
    const CALLERS: usize = 8;
    let mut opening = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let bus = Arc::clone(&buses[caller % buses.len()]);
        opening.spawn(async move { bus.open(job, Start::New).await.unwrap() });
    }
    let opened = opening.join_all().await;
    assert_eq!(opened.iter().filter(|opened| **opened == Opened::Made).count(), 1, "one makes it");

    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let bus = Arc::clone(&buses[caller % buses.len()]);
        callers.spawn(async move {
            let (mut claims, mut again, mut kept) = (0, 0, 0);
            for step in 0..HOSTS {
                // Half of them begin at the other end.
                let host = if caller < CALLERS / 2 { step } else { HOSTS - 1 - step };
                claims += usize::from(claim(&*bus, job, host).await);
                if host % 4 == 0 {
                    again += usize::from(bus.unclaim(job, host).await.unwrap());
                }
                kept += usize::from(bus.answer(job, host, line(host).into(), line(host), soon()).await.unwrap());
            }
            (claims, again, kept, usize::from(bus.close(job, Vec::new()).await.unwrap()))
        });
    }
    let done = callers.join_all().await;
    let hosts = usize::try_from(HOSTS).unwrap();
    let again: usize = done.iter().map(|done| done.1).sum();
    let closed: usize = done.iter().map(|done| done.3).sum();
    assert_eq!(closed, 1);
    let claims: usize = done.iter().map(|done| done.0).sum();
    let kept: usize = done.iter().map(|done| done.2).sum();
    assert!(claims >= again && claims <= hosts + again, "{claims} claims, {again} given back");
    let lines = buses[0].read(job, 0, usize::MAX).await.unwrap().lines;
    assert_eq!(lines.len(), kept);
    let mut texts: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), kept, "each host once");
    for bus in &buses[1..] {
        assert_eq!(bus.read(job, 0, usize::MAX).await.unwrap().lines, lines, "nodes agree");
        assert_eq!(bus.events(job, START).await.unwrap(), buses[0].events(job, START).await.unwrap());
    }
}

/// What nodes tell each other adds up to what happened.
pub async fn events<B: LiveBus>(bus: &B, other: &B, job: JobKey) {
    bus.open(job, Start::New).await.unwrap();
    assert!(other.events(job, START).await.unwrap().events.is_empty());
    assert!(bus.claim(job, 7, AT, true, false).await.unwrap().is_won());
    assert!(bus.unclaim(job, 7).await.unwrap());
    assert!(other.claim(job, 7, AT, false, false).await.unwrap().is_won());
    assert!(!bus.claim(job, 7, AT, true, false).await.unwrap().is_won());
    assert!(bus.answer(job, 7, line(7).into(), b"note \xff".to_vec(), soon()).await.unwrap());
    assert!(!other.answer(job, 7, line(7).into(), Vec::new(), soon()).await.unwrap());
    assert!(other.close(job, b"why".to_vec()).await.unwrap());
    let expected = [
        JobChange::Sent { host: 7, at: AT, is_alone: true },
        JobChange::Pending { host: 7 },
        JobChange::Sent { host: 7, at: AT, is_alone: false },
        JobChange::Settled { host: 7, note: b"note \xff".to_vec() },
        JobChange::Closed { note: b"why".to_vec() },
    ];
    for node in [bus, other] {
        let piece = node.events(job, START).await.unwrap();
        assert!(piece.is_from_start);
        let events = piece.events;
        assert_eq!(events.iter().map(|event| event.position.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(events.iter().map(|event| event.change.clone()).collect::<Vec<_>>(), expected);
        for (behind, rest) in [(2, &events[3..]), (4, &[])] {
            let piece = node.events(job, events[behind].position).await.unwrap();
            assert_eq!((piece.events.as_slice(), piece.is_from_start), (rest, false));
        }
    }
}

/// A rate and a pause hold for all nodes together, and the one that was set later counts.
pub async fn paces<B: LiveBus + 'static>(bus: Arc<B>, other: Arc<B>, job: JobKey) {
    const HOSTS: i64 = 100;
    let pace = |rate, is_paused, changes| LivePace { rate, is_paused, canaries_until: None, changes };
    let asked = async |at: i64| {
        let mut claims = tokio::task::JoinSet::new();
        for host in 1..=HOSTS {
            let bus = Arc::clone(if host % 2 == 0 { &bus } else { &other });
            claims.spawn(async move {
                bus.claim(job, host, AT.plus(Duration::from_millis(at.unsigned_abs())), false, false).await
            });
        }
        claims.join_all().await.into_iter().map(Result::unwrap).collect::<Vec<Claim>>()
    };
    let given = |claims: &[Claim]| claims.iter().filter(|claim| claim.is_won()).count();
    bus.open(job, Start::New).await.unwrap();
    assert!(bus.pace(job, pace(10, false, 1)).await.unwrap());
    let claims = asked(0).await;
    assert_eq!(given(&claims), 10);
    let until = Some(AT.plus(Duration::from_millis(100)));
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Held(until)).count(), 90);
    let claims = asked(200).await;
    assert_eq!(given(&claims), 2);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Taken).count(), 10, "who was asked is not asked again");

    assert!(other.pace(job, pace(10, true, 2)).await.unwrap());
    assert!(!bus.pace(job, pace(0, false, 2)).await.unwrap(), "another was set before");
    let claims = asked(10_000).await;
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Held(None)).count(), 88);
    assert!(bus.answer(job, HOSTS, line(HOSTS).into(), Vec::new(), soon()).await.unwrap(), "answers still count");
    let waiting = LivePace { canaries_until: Some(AT), ..pace(0, false, 3) };
    assert!(bus.pace(job, waiting).await.unwrap());
    assert_eq!(given(&asked(10_000).await), 0, "nobody but canaries, whatever the rate");
    assert_eq!(other.claim(job, 3_001, AT, false, true).await, Ok(Claim::Won));
    assert_eq!(bus.claim(job, 3_001, AT, false, true).await, Ok(Claim::Taken), "a canary once");
    let stopped = LivePace { is_paused: true, changes: 4, ..waiting };
    assert!(bus.pace(job, stopped).await.unwrap());
    assert_eq!(other.claim(job, 3_002, AT, false, true).await, Ok(Claim::Held(None)), "nor canaries of a paused one");
    assert!(bus.pace(job, pace(0, false, 5)).await.unwrap());
    let claims = asked(10_000).await;
    assert!(given(&claims) >= 87 && !claims.iter().any(|claim| matches!(claim, Claim::Held(_))));
    assert!(bus.close(job, Vec::new()).await.unwrap());
    assert!(!bus.pace(job, pace(1, true, 6)).await.unwrap(), "it is over");
    let events = other.events(job, START).await.unwrap().events;
    let paced = events.into_iter().filter_map(|event| match event.change {
        JobChange::Paced(pace) => Some(pace),
        _ => None,
    });
    assert_eq!(paced.collect::<Vec<_>>(), [pace(10, false, 1), pace(10, true, 2), waiting, stopped, pace(0, false, 5)]);
    assert_eq!(bus.pace(JobKey::new(0, None), pace(1, true, 1)).await.unwrap_err(), BusError::Lost(0));
}

/// What a job has left does not belong to a later one with the same id, whoever opens that one first and however.
async fn an_id_that_comes_again<B: LiveBus>(mut bus: B, again: &impl AsyncFn() -> B) {
    const ID: i64 = 8;
    let checkpoint = || Start::Checkpoint { settled: RoaringTreemap::new(), note: b"states".to_vec(), covered: 0 };
    for start in [Start::New, checkpoint()] {
        let earlier = new_job(ID);
        bus.open(earlier, start.clone()).await.unwrap();
        assert!(bus.answer(earlier, 1, line(1).into(), Vec::new(), soon()).await.unwrap());
        assert!(claim(&bus, earlier, 2).await);
        assert!(bus.close(earlier, b"why".to_vec()).await.unwrap());
        for start in [Start::New, checkpoint()] {
            // As after a restart over an older copy of the database.
            drop(bus);
            bus = again().await;
            let job = new_job(ID);
            assert!(bus.watch(job).is_none());
            for lost in [
                bus.claim(job, 1, AT, true, false).await.unwrap_err(),
                bus.unclaim(job, 2).await.unwrap_err(),
                bus.answer(job, 1, line(1).into(), Vec::new(), soon()).await.unwrap_err(),
                bus.close(job, Vec::new()).await.unwrap_err(),
                bus.events(job, START).await.unwrap_err(),
                bus.read(job, 0, usize::MAX).await.unwrap_err(),
            ] {
                assert_eq!(lost, BusError::Lost(ID), "the earlier one is not this one");
            }
            assert_eq!(bus.open(job, start).await.unwrap(), Opened::Made);
            assert!(bus.read(job, 0, usize::MAX).await.unwrap().lines.is_empty(), "no answer of the earlier one");
            assert_eq!(bus.length(job), 0);
            assert!(claim(&bus, job, 1).await && claim(&bus, job, 2).await, "its hosts are asked");
            assert!(bus.answer(job, 1, line(100).into(), Vec::new(), soon()).await.unwrap());
            assert_eq!(bus.read(job, 0, usize::MAX).await.unwrap().lines[0].text, line(100));
            assert!(bus.close(job, Vec::new()).await.unwrap(), "it is not over yet");
        }
    }
}
