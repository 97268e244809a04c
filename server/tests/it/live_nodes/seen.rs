//! When hosts were last seen goes from server to server over Redis, and through the database while Redis is away.

use std::time::Duration;

use super::{SOON, Two};
use crate::nodes::seen_at;
use crate::support::eventually;

/// Between two messages of a server.
const PERIOD: Duration = Duration::from_secs(5);

impl Two {
    /// Lets the servers do their work once, and waits until each has heard the other, if it can.
    async fn exchange(&self, is_redis_there: bool) {
        self.a.clock.advance(PERIOD);
        let heard = "muster_seen_messages_total{outcome=\"heard\"}";
        for (server, other) in [(&self.a, &self.b), (&self.b, &self.a)] {
            let before = other.metric(heard).await;
            server.run_tasks().await;
            if is_redis_there {
                eventually("the message arrives", SOON, async || (other.metric(heard).await > before).then_some(()))
                    .await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_seen_times_go_over_redis_and_through_the_database_without_it() {
    let mut two = Two::start().await;
    for server in [&two.a, &two.b, &two.a] {
        server.run_tasks().await;
    }
    // Both have listened long enough to be sure that they miss nothing.
    for _ in 0..10 {
        two.exchange(true).await;
    }
    let mut agent = two.a.enrolled(1).await;
    let revision = || two.a.number("SELECT COALESCE(MAX(revision), 0) FROM seen_pages");
    for _ in 0..6 {
        let stored = revision();
        assert!(agent.config().await.verdict.is_success());
        let now = two.a.clock.now().0;
        two.exchange(true).await;
        let seen = seen_at(&two.b, 1).await;
        assert!(seen <= now && seen >= now - 15_000_000, "{seen} {now}");
        assert!(revision() <= stored + 1, "only the leader stores, and rarely");
    }

    two.redis.kill();
    for _ in 0..10 {
        assert!(agent.config().await.verdict.is_success());
        two.exchange(false).await;
        let (seen, now) = (seen_at(&two.b, 1).await, two.a.clock.now().0);
        assert!(seen <= now && seen >= now - 45_000_000, "{seen} {now}");
    }
    assert!(two.a.metric("muster_seen_messages_total{outcome=\"failed\"}").await > 0.0);
}
