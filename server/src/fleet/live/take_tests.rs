//! Writes that find no room for their answers.

use std::fmt::Write as _;

use futures_util::poll;
use muster_api::osquery::WriteIndex;

use super::super::given_up_tests::{start, started};
use super::*;
use crate::bus::contract_tests::soon;
use crate::fleet::hosts::Authenticated;
use crate::redis_processes::RedisProcess;
use crate::tests::world::World;

/// Answers of two reads.
const ANSWERS: usize = 16;

/// How long a request has still when its write is taken: no answer that waits for others can be kept in time.
const LITTLE: Duration = Duration::from_secs(2);

#[actix_web::test]
async fn a_write_whose_answers_wait_for_others_is_refused_any_number_of_times_and_loses_none() {
    let redis = RedisProcess::start().await;
    let world = World::with(|config| config.redis.address = vec![redis.address()]).await;
    let key = world.enroll("zero", "ubuntu").await;
    let live = &world.app.fleet.live;
    let (other, principal) = started(&world).await;
    let mut jobs = Vec::new();
    for _ in 0..ANSWERS {
        jobs.push(start(live, &principal).await);
    }
    let Authenticated::Host(host) = world.app.fleet.hosts.authenticate(&key).await.unwrap() else {
        panic!("the key is good");
    };
    let (mut queries, mut statuses) = (String::new(), String::new());
    for job in &jobs {
        let _ = write!(queries, r#","fleet_distributed_query_{}":[{{"a":"1"}}]"#, job.id);
        let _ = write!(statuses, r#","fleet_distributed_query_{}":0"#, job.id);
    }
    let body = format!(r#"{{"node_key":"{key}","queries":{{{}}},"statuses":{{{}}}}}"#, &queries[1..], &statuses[1..]);
    let index = WriteIndex::read(body.as_bytes()).unwrap();
    let write = index.of(body.as_bytes());
    let take = async |time| world.app.fleet.checkin.write(&host, &write, Instant::now() + time).await;

    // One answer has all the room, and Redis takes its time.
    redis.pause();
    let line = Bytes::from(vec![b'x'; 16 << 20]);
    let mut large =
        live.bus.answer(other.key, other.targets().select(3).unwrap().cast_signed(), line, Vec::new(), soon());
    assert!(poll!(&mut large).is_pending());
    for _ in 0..6 {
        let refused = take(LITTLE).await.unwrap_err();
        assert!(refused.to_string().contains("busy with other answers"), "{refused}");
    }
    redis.resume();
    drop(large);
    while take(Duration::from_secs(20)).await.is_err() {}
    for job in &jobs {
        live.fold(job).await.unwrap();
        let counts = job.counts();
        assert_eq!((counts.answered, counts.results_lost), (1, 0), "{counts:?}");
    }
}
