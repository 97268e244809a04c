//! Hosts are asked once, whichever servers their requests come to.

use std::sync::Arc;
use std::time::Duration;

use super::{known_to_both, two};
use crate::checkin::{label, questions};

/// Time after which all servers know a new label: whoever is asked before is asked once more.
const TOLD: Duration = Duration::from_secs(15);

#[tokio::test]
async fn what_one_server_asked_another_takes() {
    let (one, other) = two().await;
    one.rest.apply(&[label("l", "SELECT 1")]).await;
    one.clock.advance(TOLD);
    other.run_tasks().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    let read = agent.read().await;
    assert!(read.verdict.is_success());
    other.address.draw(&mut agent);
    assert!(questions(&agent.distributed().await).is_empty(), "it owes its answers to the first server's questions");
    other.run_tasks().await;
    assert!(one.number("SELECT detail_updated_at FROM hosts") > 0, "all is answered");
    assert_eq!(one.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 1);
    // Long after an answer would have been lost, nobody asks again, and nothing is parked.
    for _ in 0..3 {
        one.clock.advance(Duration::from_secs(30));
        for server in [&one, &other] {
            server.address.draw(&mut agent);
            assert!(questions(&agent.distributed().await).is_empty());
            server.run_tasks().await;
        }
    }
    assert_eq!(one.number("SELECT count(*) FROM parked_queries"), 0);
    assert_eq!(one.number("SELECT count(*) FROM hosts WHERE open_round IS NOT NULL"), 0);
}

/// The losses of a question add up over all servers.
#[tokio::test]
async fn a_question_that_stops_the_worker_is_parked_though_servers_take_turns() {
    let (one, other) = two().await;
    let deadly = "SELECT 1 FROM processes WHERE name = 'killer'";
    one.rest.apply(&[label("deadly", deadly), label("harmless", "SELECT 1")]).await;
    other.run_tasks().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    agent.agent_mut().set_killer(Some(Arc::new(|sql: &str| sql.contains("killer"))));
    let mut asked_deadly = 0;
    for round in 0..40 {
        let server = if round % 2 == 0 { &one } else { &other };
        server.address.draw(&mut agent);
        asked_deadly += usize::from(questions(&agent.distributed().await).contains(&"fleet_label_query_8".to_owned()));
        server.run_tasks().await;
        one.clock.advance(Duration::from_secs(25));
    }
    assert!((2..=3).contains(&asked_deadly), "the query that stops the worker was sent {asked_deadly} times");
    assert_eq!(one.number("SELECT count(*) FROM parked_queries"), 1);
    assert_eq!(one.number("SELECT count(*) FROM label_members WHERE label_id = 9"), 1, "the others are answered");
}
