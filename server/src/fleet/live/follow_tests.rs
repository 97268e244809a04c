//! Reading answers that a failover of Redis loses.

use muster_api::rest::TargetState;

use super::super::given_up_tests::{settled_as, started};
use super::*;
use crate::bus::contract_tests::soon;
use crate::redis_processes::RedisProcess;
use crate::tests::world::World;

/// Keeps a copy of the first job's keys, or goes back to it, as a promoted replica goes back to what it had.
const COPY: &str = "for _, name in ipairs({'meta', 'events', 'lines', 'hosts:0'}) do \
    local key, copy = '{muster:live:1}:' .. name, '{muster:live:1}:copy:' .. name \
    if ARGV[1] == 'back' then key, copy = copy, key end \
    redis.call('COPY', key, copy, 'REPLACE') end";

#[actix_web::test]
async fn an_answer_that_ends_where_a_lost_one_ended_is_given_though_the_lost_one_was_read_before_it_was_folded() {
    let redis = RedisProcess::start().await;
    let world = World::with(|config| config.redis.address = vec![redis.address()]).await;
    let (job, principal) = started(&world).await;
    assert_eq!(job.id, 1);
    let live = &world.app.fleet.live;
    let hosts: Vec<i64> = job.targets().iter().map(u64::cast_signed).collect();
    let line = |host: i64| format!("{{\"host_id\":{host},\"rows\":[]}}").into_bytes();
    let note = |host| settled_as(TargetState::Answered).with_line(&line(host)).to_bytes();
    let answer = async |host| live.bus.answer(job.key, host, line(host).into(), note(host), soon()).await;
    assert_eq!(answer(hosts[0]).await, Ok(true));
    redis.ask(&["eval", COPY, "0", "keep"]);
    let mut follower = live.follow_job(Arc::clone(&job), 0).await.unwrap();
    // Another node takes it, and this one reads it before it hears of the event.
    assert_eq!(answer(hosts[1]).await, Ok(true));
    assert_eq!(follower.read().await.unwrap().len(), 2);
    redis.ask(&["eval", COPY, "0", "back"]);
    assert_eq!(answer(hosts[2]).await, Ok(true));
    live.look().await.unwrap();
    let given = follower.read().await.unwrap();
    assert_eq!(given.iter().filter_map(ResultLine::host).collect::<Vec<_>>(), [hosts[2].cast_unsigned()]);
    assert_eq!(live.get(&principal, job.id).await.unwrap().counts.pending, 1, "who has lost an answer is asked again");
}
