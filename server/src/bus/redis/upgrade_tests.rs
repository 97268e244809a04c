//! What nodes of the version before, which know jobs by their ids alone, have left in Redis or write there beside this
//! one.

use crate::bus::contract_tests::{claim, new_job, soon};
use crate::bus::{BusError, Claim, EventPosition, JobChange, JobKey, LiveBus as _, LivePace, Opened, Start};
use crate::redis_processes::RedisProcess;

use super::tests::share;

const ID: i64 = 9;
const META: &str = "{muster:live:9}:meta";
const EVENTS: &str = "{muster:live:9}:events";
const LINES: &str = "{muster:live:9}:lines";

/// Makes a job as such a node does: from a checkpoint, since it did not start it.
fn open_as_older_node(redis: &RedisProcess, moment_us: u64) {
    let first = moment_us.to_string();
    redis.ask(&["hset", META, "closed", "0", "n", &first, "end", &first, "first", &first]);
    redis.ask(&["pexpire", META, "3600000"]);
    append_as_older_node(redis, "rstates");
}

fn append_as_older_node(redis: &RedisProcess, event: &str) {
    let n = redis.ask(&["hincrby", META, "n", "1"]);
    redis.ask(&["xadd", EVENTS, n.trim(), "e", event]);
}

/// Host 7 answers.
fn answer_as_older_node(redis: &RedisProcess) {
    redis.ask(&["bitfield", "{muster:live:9}:hosts:0", "set", "u2", "#7", "2"]);
    redis.ask(&["hset", META, "{muster:live:9}:hosts:0", ""]);
    append_as_older_node(redis, "d7 note");
    let end = redis.ask(&["hincrby", META, "end", "3"]);
    redis.ask(&["xadd", LINES, end.trim(), "l", "{}"]);
}

fn checkpoint() -> Start {
    Start::Checkpoint { settled: std::iter::empty::<u64>().collect(), note: b"states".to_vec(), covered: 0 }
}

fn now_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

/// It reads the row before the node that started the job has opened it, or makes the job anew after Redis was emptied.
#[tokio::test]
async fn a_job_that_an_older_node_has_opened_goes_on_with_its_answers() {
    for start in [Start::New, checkpoint()] {
        let redis = RedisProcess::start().await;
        let shared = share(&redis.settings());
        let job = new_job(ID);
        open_as_older_node(&redis, now_us());
        answer_as_older_node(&redis);
        assert_eq!(shared.bus.claim(job, 7, crate::clock::Moment(0), true, false).await, Err(BusError::Lost(ID)));
        assert_eq!(shared.bus.open(job, start).await.unwrap(), Opened::Found);
        assert_eq!(shared.bus.read(job, 0, 100).await.unwrap().lines.len(), 1);
        assert!(!claim(&shared.bus, job, 7).await, "it has answered");
        assert!(claim(&shared.bus, job, 8).await);
        // They take turns.
        append_as_older_node(&redis, "a8");
        let events = shared.bus.events(job, EventPosition::default()).await.unwrap().events;
        assert_eq!(events.len(), 4);
        assert_eq!(events[1].change, JobChange::Settled { host: 7, note: b"note".to_vec() });
        for event in &events {
            assert!(!shared.bus.events(job, event.position).await.unwrap().is_from_start, "{event:?}");
        }
    }
}

#[tokio::test]
async fn what_an_older_node_has_left_of_an_earlier_job_is_no_answer() {
    for start in [Start::New, checkpoint()] {
        let redis = RedisProcess::start().await;
        let shared = share(&redis.settings());
        open_as_older_node(&redis, now_us() - 3_600_000_000);
        answer_as_older_node(&redis);
        let job = new_job(ID);
        assert_eq!(shared.bus.open(job, start).await.unwrap(), Opened::Made);
        assert!(shared.bus.read(job, 0, 100).await.unwrap().lines.is_empty());
        assert!(claim(&shared.bus, job, 7).await);
        for key in [META, EVENTS] {
            assert!(redis.ask(&["pttl", key]).trim().parse::<i64>().unwrap() > 0, "{key} would stay for ever");
        }
    }
}

/// An older node has inserted the row.
#[tokio::test]
async fn a_job_without_a_key_goes_by_its_id_and_takes_nothing_of_one_with_a_key() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    let (earlier, job) = (new_job(ID), JobKey::new(ID, None));
    shared.bus.open(earlier, Start::New).await.unwrap();
    assert!(shared.bus.answer(earlier, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    assert_eq!(shared.bus.open(job, checkpoint()).await.unwrap(), Opened::Made);
    assert!(claim(&shared.bus, job, 7).await);
    answer_as_older_node(&redis);
    assert_eq!(shared.bus.open(job, checkpoint()).await.unwrap(), Opened::Found);
    assert_eq!(shared.bus.read(job, 0, 100).await.unwrap().lines.len(), 1);
}

/// An older node knows no pace. It gives the query to its hosts, and what they answer counts.
#[tokio::test]
async fn a_paused_job_takes_what_an_older_node_claims_and_answers() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    let job = new_job(ID);
    shared.bus.open(job, Start::New).await.unwrap();
    let pace = LivePace { rate: 5, is_paused: true, canaries_until: None, changes: 1 };
    assert!(shared.bus.pace(job, pace).await.unwrap());
    answer_as_older_node(&redis);
    append_as_older_node(&redis, "s8 0 0");
    redis.ask(&["bitfield", "{muster:live:9}:hosts:0", "set", "u2", "#8", "1"]);
    assert_eq!(shared.bus.claim(job, 9, crate::clock::Moment(0), true, false).await, Ok(Claim::Held(None)));
    assert!(shared.bus.answer(job, 8, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    assert!(!shared.bus.answer(job, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    let events = shared.bus.events(job, EventPosition::default()).await.unwrap().events;
    assert_eq!(events.len(), 4);
    assert_eq!(events[0].change, JobChange::Paced(pace));
    assert_eq!(shared.bus.read(job, 0, 100).await.unwrap().lines.len(), 2);
}

/// Redis has dropped one key of a job and kept the others.
#[tokio::test]
async fn a_job_whose_state_is_lost_asks_its_hosts_again() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    let job = new_job(ID);
    shared.bus.open(job, Start::New).await.unwrap();
    // They lie on two pages, and the checkpoint speaks of one.
    assert!(claim(&shared.bus, job, 7).await && claim(&shared.bus, job, 40_000).await);
    assert!(shared.bus.answer(job, 8, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    for key in [META, EVENTS] {
        redis.ask(&["del", key]);
        assert_eq!(shared.bus.events(job, EventPosition::default()).await.unwrap_err(), BusError::Lost(ID), "{key}");
        let start = Start::Checkpoint { settled: std::iter::once(8).collect(), note: b"states".to_vec(), covered: 0 };
        assert_eq!(shared.bus.open(job, start).await.unwrap(), Opened::Made);
        for host in [7, 40_000] {
            assert!(claim(&shared.bus, job, host).await, "an old claim holds up nobody: {host}");
        }
        assert!(!claim(&shared.bus, job, 8).await, "who is settled stays so");
    }
}
