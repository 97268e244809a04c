//! A Redis that has lost something.

use super::{JOB, eventually, hears, is_unavailable, rings_through, share, works_again};
use crate::bus::contract_tests::{claim, new_job, soon};
use crate::bus::{
    BusError, ChangeEvent, Claim, EventPosition, JobChange, JobEvent, JobKey, LiveBus as _, Notifier as _, Opened,
    Start,
};
use crate::redis_processes::{ClusterRedis, RedisProcess, SentinelRedis};

#[tokio::test]
async fn a_redis_that_came_back_empty_has_lost_its_jobs() {
    let mut redis = RedisProcess::start().await;
    let (shared, other) = (share(&redis.settings()), share(&redis.settings()));
    let (mut here, mut there) = (shared.notifier.subscribe(), other.notifier.subscribe());
    rings_through(&other, &mut here, ChangeEvent::Jobs).await;
    rings_through(&shared, &mut there, ChangeEvent::Sessions).await;
    shared.bus.open(JOB, Start::New).await.unwrap();
    for host in 1..=3 {
        assert!(shared.bus.answer(JOB, host, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    }
    let before = shared.bus.length(JOB);

    redis.kill();
    is_unavailable(&shared.bus, JOB).await;
    redis.restart().await;
    let lost = eventually("Redis is used again", async || {
        let claimed = shared.bus.claim(JOB, 9, crate::clock::Moment(0), true, false).await;
        claimed.err().filter(|error| !matches!(error, BusError::Unavailable(_)))
    })
    .await;
    assert_eq!(lost, BusError::Lost(JOB.id));
    hears(&mut here, ChangeEvent::Missed).await;
    hears(&mut there, ChangeEvent::Missed).await;

    let checkpoint = || Start::Checkpoint { settled: (1..=2).collect(), note: Vec::new(), covered: 0 };
    let opened = [
        shared.bus.open(JOB, checkpoint()).await.unwrap(),
        eventually("the other one is back", async || other.bus.open(JOB, checkpoint()).await.ok()).await,
    ];
    assert_eq!(opened, [Opened::Made, Opened::Found]);
    assert!(!claim(&other.bus, JOB, 1).await, "who was settled stays so");
    assert!(claim(&other.bus, JOB, 3).await, "who was not yet written down is asked again");
    // Who has read up to the old end goes on from there and misses nothing.
    assert!(shared.bus.answer(JOB, 3, b"new".to_vec().into(), Vec::new(), soon()).await.unwrap());
    let piece = shared.bus.read(JOB, before, 1).await.unwrap();
    assert_eq!(piece.lines.len(), 1);
    assert!(piece.next > before);
    shared.notifier.publish(ChangeEvent::Schedule);
    hears(&mut there, ChangeEvent::Schedule).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed() {
    let mut redis = SentinelRedis::start().await;
    let (shared, other) = (share(&redis.settings()), share(&redis.settings()));
    let mut there = other.notifier.subscribe();
    rings_through(&shared, &mut there, ChangeEvent::Sessions).await;
    shared.bus.open(JOB, Start::New).await.unwrap();
    assert!(shared.bus.answer(JOB, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    // What the replica does not have yet is lost with the master.
    redis.redis[1].until("1", &["xlen", "{muster:live:1}:lines"]).await;
    redis.redis[0].kill();
    redis.failed_over_to(1).await;
    works_again(&shared.bus, JOB).await;
    assert!(!claim(&shared.bus, JOB, 7).await, "the replica knew of the answer");
    assert_eq!(shared.bus.read(JOB, 0, 100).await.unwrap().lines.len(), 1);
    hears(&mut there, ChangeEvent::Missed).await;
    shared.notifier.publish(ChangeEvent::Hosts);
    hears(&mut there, ChangeEvent::Hosts).await;
}

/// The replica that is promoted has not heard of the newest events, and other events take their positions before anybody
/// looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_ahead_of_the_promoted_replica_begins_anew() {
    let mut redis = SentinelRedis::start().await;
    let shared = share(&redis.settings());
    let job = new_job(1);
    shared.bus.open(job, Start::New).await.unwrap();
    for host in 1..=5 {
        assert!(shared.bus.answer(job, host, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    }
    redis.redis[1].until("5", &["xlen", "{muster:live:1}:lines"]).await;
    // Its master refuses it from now on.
    redis.redis[1].ask(&["config", "set", "masterauth", "wrong"]);
    redis.redis[0].ask(&["client", "kill", "type", "replica"]);
    redis.redis[1].until("master_link_status:down", &["info", "replication"]).await;
    for host in 6..=10 {
        assert!(shared.bus.answer(job, host, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    }
    let seen = shared.bus.events(job, EventPosition::default()).await.unwrap().events;
    let (last, cursor) = (seen.last().unwrap().position, shared.bus.read(job, 0, 1000).await.unwrap().next);
    assert_eq!(last.number, 10);
    redis.redis[0].kill();
    redis.failed_over_to(1).await;
    for host in 20..30 {
        eventually("answers are taken again", async || {
            shared.bus.answer(job, host, b"{}".to_vec().into(), Vec::new(), soon()).await.ok()
        })
        .await;
    }

    let piece = shared.bus.events(job, last).await.unwrap();
    assert!(piece.is_from_start, "another event stands at the last position");
    assert_eq!(hosts(&piece.events), (1..=5).chain(20..30).collect::<Vec<_>>());
    let last = piece.events.last().unwrap().position;
    for host in 6..=10 {
        assert!(
            shared.bus.answer(job, host, b"again".to_vec().into(), Vec::new(), soon()).await.unwrap(),
            "its answer is lost"
        );
    }
    let piece = shared.bus.events(job, last).await.unwrap();
    assert_eq!((piece.is_from_start, hosts(&piece.events)), (false, (6..=10).collect()));
    let read = shared.bus.read(job, cursor, usize::MAX).await.unwrap();
    let again = read.lines.iter().filter(|line| line.text == b"again").count();
    assert_eq!(again, 5, "what comes then lies behind every cursor that was given out");
    let kept: usize =
        shared.bus.read(job, 0, usize::MAX).await.unwrap().lines.iter().map(|line| line.text.len() + 1).sum();
    assert_eq!(shared.bus.length(job), kept as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_may_restart() {
    const JOBS: std::ops::Range<i64> = 1..30;
    let mut redis = ClusterRedis::start().await;
    let shared = share(&redis.settings());
    for job in JOBS.map(|id| JobKey::new(id, None)) {
        assert_eq!(shared.bus.open(job, Start::New).await.unwrap(), Opened::Made);
    }
    redis.nodes[1].kill();
    // Jobs of the other nodes go on, those of this one have to wait.
    let (mut going_on, mut waiting) = (0, 0);
    for job in JOBS.map(|id| JobKey::new(id, None)) {
        match shared.bus.claim(job, 1, crate::clock::Moment(0), true, false).await {
            Ok(Claim::Won) => going_on += 1,
            Err(BusError::Unavailable(_)) => waiting += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(going_on > 0 && waiting > 0, "{going_on} go on, {waiting} wait");
    redis.nodes[1].restart().await;
    redis.is_whole().await;
    let mut lost = 0;
    for job in JOBS.map(|id| JobKey::new(id, None)) {
        let claimed = eventually("the job is there again", async || {
            match shared.bus.claim(job, 2, crate::clock::Moment(0), true, false).await {
                Err(BusError::Unavailable(_)) => None,
                outcome => Some(outcome),
            }
        })
        .await;
        if claimed == Err(BusError::Lost(job.id)) {
            lost += 1;
            let opened = shared
                .bus
                .open(job, Start::Checkpoint { settled: (1..2).collect(), note: Vec::new(), covered: 0 })
                .await
                .unwrap();
            assert_eq!(opened, Opened::Made);
            assert!(claim(&shared.bus, job, 2).await);
        }
    }
    assert_eq!(lost, waiting, "what the node had was in memory only");
}

/// Keeps a copy of the first job's keys, or goes back to it, as a promoted replica goes back to what it had.
const COPY: &str = "for _, name in ipairs({'meta', 'events', 'lines', 'hosts:0'}) do \
    local key, copy = '{muster:live:1}:' .. name, '{muster:live:1}:copy:' .. name \
    if ARGV[1] == 'back' then key, copy = copy, key end \
    redis.call('COPY', key, copy, 'REPLACE') end";

fn hosts(events: &[JobEvent]) -> Vec<i64> {
    let host = |event: &JobEvent| match &event.change {
        JobChange::Settled { host, .. } => Some(*host),
        _ => None,
    };
    events.iter().filter_map(host).collect()
}

/// Answers grow the positions faster than time does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_only_grow_however_often_something_is_lost_and_however_much_was_written_between() {
    const LARGE: usize = 8 << 20;
    let redis = RedisProcess::start().await;
    let (bus, other) = (share(&redis.settings()).bus, share(&redis.settings()).bus);
    let job = new_job(1);
    bus.open(job, Start::New).await.unwrap();
    other.open(job, Start::New).await.unwrap();
    assert!(bus.answer(job, 1, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    let copy = |what: &str| redis.ask(&["eval", COPY, "0", what]);
    copy("keep");
    let (mut host, mut kept) = (1, vec![1]);
    let mut last = EventPosition::default();
    for round in 0..4 {
        host += 1;
        assert!(bus.answer(job, host, b"lost".to_vec().into(), Vec::new(), soon()).await.unwrap());
        let piece = bus.events(job, last).await.unwrap();
        assert_eq!(piece.is_from_start, round == 0);
        last = piece.last;
        let cursor = bus.read(job, 0, usize::MAX).await.unwrap().lines.last().unwrap().cursor;
        copy("back");
        let piece = bus.events(job, last).await.unwrap();
        assert!(piece.is_from_start, "what was read is lost, round {round}");
        assert_eq!(hosts(&piece.events), kept);
        last = piece.last;
        // Much more than one byte for each microsecond.
        for line in [vec![b'x'; LARGE], b"small".to_vec()] {
            host += 1;
            assert_eq!(bus.answer(job, host, line.into(), Vec::new(), soon()).await, Ok(true), "round {round}");
            kept.push(host);
        }
        let read = bus.read(job, cursor, usize::MAX).await.unwrap();
        assert_eq!(read.lines.len(), 2, "they lie behind every cursor that was given out");
        let piece = bus.events(job, last).await.unwrap();
        assert_eq!((piece.is_from_start, hosts(&piece.events)), (false, kept[kept.len() - 2..].to_vec()));
        last = piece.last;
        copy("keep");
    }
    let piece = other.events(job, EventPosition::default()).await.unwrap();
    assert_eq!(hosts(&piece.events), kept, "each answer that was taken is there");
    let lines = other.read(job, 0, usize::MAX).await.unwrap().lines;
    assert_eq!(lines.len(), kept.len());
}

/// As Redis comes back that has lost everything, when the job had counted far ahead of time.
#[tokio::test]
async fn a_job_that_is_made_anew_counts_from_beyond_what_was_heard() {
    let redis = RedisProcess::start().await;
    let bus = share(&redis.settings()).bus;
    let checkpoint = || Start::Checkpoint { settled: (1..=1).collect(), note: Vec::new(), covered: 0 };
    let mut cursor = 0;
    for round in 0..3 {
        assert_eq!(bus.open(JOB, checkpoint()).await.unwrap(), Opened::Made);
        assert!(bus.answer(JOB, 2, vec![b'x'; 8 << 20].into(), Vec::new(), soon()).await.unwrap());
        let read = bus.read(JOB, cursor, usize::MAX).await.unwrap();
        assert_eq!(read.lines.len(), 1, "round {round}");
        cursor = read.next;
        redis.ask(&["flushall"]);
    }
}

/// A newer version may write events that this one cannot read.
#[tokio::test]
async fn events_that_cannot_be_read_end_no_piece() {
    let redis = RedisProcess::start().await;
    let mut settings = redis.settings();
    settings.push(("redis_read_timeout".to_owned(), "20s".to_owned()));
    let bus = share(&settings).bus;
    bus.open(JOB, Start::New).await.unwrap();
    let add = "for _ = 1, 10001 do \
        local n = redis.call('HINCRBY', '{muster:live:1}:meta', 'n', 1) \
        redis.call('XADD', '{muster:live:1}:events', n .. '-0', 'e', 'zz', 't', '1') end";
    redis.ask(&["eval", add, "0"]);
    assert!(bus.answer(JOB, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    let first = bus.events(JOB, EventPosition::default()).await.unwrap();
    assert!(first.events.is_empty() && !first.is_last);
    let second = bus.events(JOB, first.last).await.unwrap();
    assert_eq!((hosts(&second.events), second.is_last, second.is_from_start), (vec![7], true, false));
    let none = bus.events(JOB, second.last).await.unwrap();
    assert!(none.events.is_empty() && none.is_last && none.last == second.last);
}
