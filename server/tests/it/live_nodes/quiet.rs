use serde_json::json;

use super::{SOON, Two};
use crate::checkin::questions;
use crate::live::{hosts, start};
use crate::support::eventually;

/// Steps on the bus that check-ins could cause; looking for events comes round by itself.
async fn steps(two: &Two) -> f64 {
    let mut sum = 0.0;
    for command in ["claim", "unclaim", "answer", "read"] {
        sum += two.b.metric(&format!("muster_bus_commands_total{{command=\"{command}\"")).await;
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_ins_of_hosts_without_live_queries_ask_neither_redis_nor_the_database() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, 2).await;
    two.b.address.draw(&mut agents[0]);
    agents[0].distributed().await;
    let asked = agents[1].agent().identity().uuid.clone();
    for n in 0..100 {
        start(&two.a, json!({ "query": format!("SELECT {n}"), "targets": { "hosts": [asked] } })).await;
    }
    eventually("the other server has them", SOON, async || {
        let listed = two.b.rest.get("live_queries").await.json()["live_queries"].as_array().map_or(0, Vec::len);
        (listed == 100).then_some(())
    })
    .await;
    two.b.run_tasks().await;
    let before = steps(&two).await;
    // A check-in that needed either could not be answered in this time, or at all.
    two.redis.pause();
    let database = two.b.database();
    database.hold();
    for _ in 0..50 {
        assert!(questions(&agents[0].distributed().await).is_empty());
    }
    database.release();
    two.redis.resume();
    assert_eq!(steps(&two).await, before);
    two.b.address.draw(&mut agents[1]);
    let mut answered = 0;
    eventually("the host that is asked works through all of them", SOON, async || {
        answered += questions(&agents[1].distributed().await).len();
        (answered >= 100).then_some(())
    })
    .await;
}
