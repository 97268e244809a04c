//! Writes of agents that answer live queries while something is away, or that this node has not heard of.

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use muster_api::rest::LiveStatus;
use serde_json::{Map, Value, json};

use super::{SOON, Two};
use crate::live::{ask, counts, hosts, job};
use crate::support::eventually;

/// Sends answers to all of these live queries in one write. True if it is taken.
async fn answer_all(agent: &TestAgent, ids: impl IntoIterator<Item = i64>) -> bool {
    let (mut queries, mut statuses) = (Map::new(), Map::new());
    for id in ids {
        let name = format!("fleet_distributed_query_{id}");
        queries.insert(name.clone(), json!([{ "a": "1" }]));
        statuses.insert(name, Value::from(0));
    }
    let body = json!({ "node_key": agent.node_key(), "queries": queries, "statuses": statuses });
    agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await.verdict.is_success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_with_many_answers_is_refused_once_while_redis_is_away() {
    let mut two = Two::start().await;
    let mut agents = hosts(&two.a, 1).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(ask(&two.a, &format!("SELECT {n}")).await.id);
    }
    agents[0].read().await;
    two.both(ids[2], "it was sent", |job| job.counts.sent == 1).await;
    two.redis.kill();
    let mut taken = Vec::new();
    for _ in 0..6 {
        taken.push(answer_all(&agents[0], ids.iter().copied()).await);
    }
    assert_eq!(taken, [false, true, false, true, false, true], "never twice in a row, however many answers there are");
    two.redis.restart().await;
    for id in &ids {
        eventually("the answers are kept again", SOON, async || {
            answer_all(&agents[0], ids.iter().copied()).await;
            (counts(&two.a, *id).await.answered == 1).then_some(())
        })
        .await;
    }
    for id in ids {
        two.both(id, "it counts", |job| job.status == LiveStatus::Complete).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_an_unknown_live_query_is_refused_once_while_the_rows_cannot_be_read() {
    let two = Two::start().await;
    let agents = hosts(&two.a, 1).await;
    let database = two.a.database();
    database.execute("ALTER TABLE live_queries RENAME TO live_queries_away");
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(answer_all(&agents[0], [1_000_000, 1_000_001]).await);
    }
    database.execute("ALTER TABLE live_queries_away RENAME TO live_queries");
    assert_eq!(taken, [false, true, false, true]);
    assert!(answer_all(&agents[0], [1_000_000]).await, "it is known to be none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_an_agent_makes_up_cost_few_reads_of_the_database() {
    const MADE_UP: i64 = 1000;
    let two = Two::start().await;
    let agents = hosts(&two.a, 1).await;
    let unknown = two.a.metric("muster_unknown_answers_total").await;
    let statements = two.a.metric("muster_sql_statements_total").await;
    assert!(answer_all(&agents[0], 1_000_000..1_000_000 + MADE_UP).await);
    let statements = two.a.metric("muster_sql_statements_total").await - statements;
    assert!(statements < 100.0, "{statements} statements, with those of what else goes on");
    assert!(two.a.metric("muster_unknown_answers_total").await - unknown >= 1000.0);
}

/// Ids are not committed in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_live_query_with_a_lower_id_than_the_newest_counts() {
    let two = Two::start().await;
    let agents = hosts(&two.a, 1).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    let copy_as = |new: i64| {
        const REST: &str =
            "query, query_name, author_id, author_email, created_at, deadline, status, stop_reason, states";
        let database = two.a.database();
        database.execute(&format!(
            "INSERT INTO live_queries (id, {REST}) SELECT {new}, {REST} FROM live_queries WHERE id = {id}"
        ));
    };
    copy_as(1000);
    two.both(1000, "both have the newest", |job| job.counts.pending == 1).await;
    // Whoever looks at the open rows every two seconds does not find all of these before the answer comes.
    for lower in 500..505 {
        copy_as(lower);
        assert!(answer_all(&agents[0], [lower]).await);
        assert_eq!(job(&two.a, lower).await.counts.answered, 1, "{lower}");
    }
}
