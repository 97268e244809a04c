use std::time::{Duration, Instant};

use serde_json::json;

use super::Two;
use crate::support::{TestServer, eventually};

const SOON: Duration = Duration::from_secs(60);

/// Makes changes at the first, each as soon as the second goes by the one before, and tells how long that took. A server
/// that only looks every two seconds takes two seconds for each but the first.
async fn changes(a: &TestServer, b: &TestServer, count: u32) -> Duration {
    let mut agent = a.enrolled(1).await;
    b.address.draw(&mut agent);
    let began = Instant::now();
    for period in 1..=count {
        let options = json!({ "config": { "options": { "logger_tls_period": period } } });
        a.rest.apply(&[json!({ "kind": "config", "spec": { "agent_options": options } })]).await;
        eventually("the other server serves the change", SOON, async || {
            let config = agent.config().await;
            let served = &config.verdict.value().unwrap()["options"]["logger_tls_period"];
            (*served == period).then_some(())
        })
        .await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bell_carries_changes_to_the_other_server() {
    let two = Two::start().await;
    let took = changes(&two.a, &two.b, 12).await;
    assert!(took < Duration::from_secs(12), "looks alone take 22 s: {took:?}");
    assert!(two.b.metric("muster_notifications_total{outcome=\"heard\"}").await > 0.0);
}

#[tokio::test]
async fn without_redis_changes_are_seen_at_the_next_look() {
    let mut two = Two::start().await;
    two.redis.kill();
    changes(&two.a, &two.b, 2).await;
}
