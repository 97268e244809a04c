//! A Redis that is away, slow or busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{JOB, SOON, eventually, hears, is_unavailable, share, works_again};
use crate::bus::contract_tests::{claim, soon};
use crate::bus::redis::{AfterBatch, BatchLockReply};
use crate::bus::{BusError, ChangeEvent, LiveBus as _, Notifier as _, Opened, Start};
use crate::redis_processes::{ClusterRedis, RedisProcess, Settings};

#[tokio::test]
async fn a_redis_that_hangs_is_left_alone_until_it_goes_on() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    let mut notifications = shared.notifier.subscribe();
    shared.bus.open(JOB, Start::New).await.unwrap();
    assert!(shared.bus.answer(JOB, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());

    redis.pause();
    is_unavailable(&shared.bus, JOB).await;
    // Nobody else waits: a thousand calls that each took their second would not be through.
    let began = Instant::now();
    for _ in 0..1000 {
        if began.elapsed() < Duration::from_millis(500) {
            is_unavailable(&shared.bus, JOB).await;
        }
    }
    assert!(matches!(shared.bus.read(JOB, 0, 1).await, Err(BusError::Unavailable(_))));
    assert_eq!(shared.batches.begin(7, "r", None, SOON).await, BatchLockReply::Unknown);
    assert!(!shared.batches.end(7, "r", None, SOON, AfterBatch::Free).await);
    shared.notifier.publish(ChangeEvent::Events(1));
    hears(&mut notifications, ChangeEvent::Events(1)).await;

    redis.resume();
    works_again(&shared.bus, JOB).await;
    let lines = eventually("answers are read again", async || shared.bus.read(JOB, 0, 100).await.ok()).await.lines;
    assert_eq!(lines.len(), 1, "it has lost nothing");
    eventually("log batches are shared again", async || {
        matches!(shared.batches.begin(8, "r", None, SOON).await, BatchLockReply::Held { .. }).then_some(())
    })
    .await;
}

/// The server starts first, and Redis comes later.
#[tokio::test]
async fn redis_need_not_be_there_first() {
    let mut redis = RedisProcess::start().await;
    redis.kill();
    let shared = share(&redis.settings());
    let mut notifications = shared.notifier.subscribe();
    is_unavailable(&shared.bus, JOB).await;
    redis.restart().await;
    let opened = eventually("it is found", async || shared.bus.open(JOB, Start::New).await.ok()).await;
    assert_eq!(opened, Opened::Made);
    hears(&mut notifications, ChangeEvent::Missed).await;
}

/// Few reads are sent at one time. The others wait, but no read waits for the timeouts of those before it.
#[tokio::test]
async fn reads_fail_together_when_redis_hangs() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    shared.bus.open(JOB, Start::New).await.unwrap();
    assert!(shared.bus.answer(JOB, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    let read_all = || futures_util::future::join_all((0..20).map(|_| shared.bus.read(JOB, 0, 100)));
    for read in read_all().await {
        assert_eq!(read.unwrap().lines.len(), 1);
    }
    redis.pause();
    let began = Instant::now();
    for read in read_all().await {
        assert!(matches!(read, Err(BusError::Unavailable(_))), "{read:?}");
    }
    // Longer than one timeout, shorter than two.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    redis.resume();
    eventually("reads succeed again", async || shared.bus.read(JOB, 0, 100).await.ok()).await;
}

#[tokio::test]
async fn connections_that_were_cut_are_made_anew() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    shared.bus.open(JOB, Start::New).await.unwrap();
    for host in 1..10 {
        redis.ask(&["client", "kill", "type", "normal"]);
        redis.ask(&["script", "flush"]);
        // At once, not only after a pause.
        assert!(claim(&shared.bus, JOB, host).await);
    }
}

/// Another client keeps Redis busy for longer than a command may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_command_is_no_outage() {
    let redis = Arc::new(RedisProcess::with(&["--enable-debug-command", "yes"]).await);
    let shared = share(&redis.settings());
    shared.bus.open(JOB, Start::New).await.unwrap();
    for host in 1..=2 {
        let slow = Arc::clone(&redis);
        let busy = tokio::task::spawn_blocking(move || slow.ask(&["debug", "sleep", "1.3"]));
        eventually("Redis is busy", async || {
            shared.bus.claim(JOB, host, crate::clock::Moment(0), true, false).await.err()
        })
        .await;
        assert_eq!(busy.await.unwrap().trim(), "OK");
        // At once, not only after a pause.
        assert!(claim(&shared.bus, JOB, 100 + host).await);
        assert!(shared.bus.answer(JOB, host, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    }
}

/// All of them together take Redis longer than one command may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_answers_wait_for_their_turn_and_are_all_kept() {
    let redis = RedisProcess::start().await;
    keeps_large_answers(redis.settings()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_has_as_much_time_for_large_answers() {
    let redis = ClusterRedis::start().await;
    keeps_large_answers(redis.settings()).await;
}

async fn keeps_large_answers(mut settings: Settings) {
    const ANSWER: usize = 8 << 20;
    settings.push(("redis_read_timeout".to_owned(), "200ms".to_owned()));
    let shared = share(&settings);
    shared.bus.open(JOB, Start::New).await.unwrap();
    let line = Bytes::from(vec![b'x'; ANSWER]);
    let answers = (1..=16).map(|host| {
        let (bus, line) = (&shared.bus, line.clone());
        // As agents do: what has found no room in time comes again.
        async move {
            loop {
                let kept = bus.answer(JOB, host, line.clone(), Vec::new(), soon()).await;
                if !matches!(kept, Err(BusError::Busy(_))) {
                    return kept;
                }
            }
        }
    });
    for kept in futures_util::future::join_all(answers).await {
        assert_eq!(kept, Ok(true));
    }
    assert!(claim(&shared.bus, JOB, 1000).await);
}
