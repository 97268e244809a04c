use muster_api::rest::TargetState;

use super::{GuardFile, rule};
use crate::live::{answers, ask, hosts};
use crate::support::TestServer;

const FIVE: &str = "WITH n AS (VALUES (1), (2), (3), (4), (5)) SELECT n.*, version FROM osquery_info, n";

async fn server(keys: &str) -> (GuardFile, TestServer) {
    let file = GuardFile::new(&rule("enforce", keys).replace("curl", "osquery_info"));
    let server = TestServer::with(|config| file.set(config)).await;
    (file, server)
}

#[tokio::test]
async fn rows_beyond_the_limit_of_a_rule_are_cut_off_and_it_is_said() {
    let (_file, mut server) = server("rows: 2").await;
    let mut agents = hosts(&server, 2).await;
    let id = ask(&server, FIVE).await.id;
    let other = ask(&server, "SELECT 1 AS one").await.id;
    agents[0].distributed().await;
    // The limit is a part of the live query.
    server.restart().await;
    agents[1].distributed().await;
    let kept = answers(&server, id, 0).await;
    assert_eq!(kept.len(), 2);
    for answer in kept {
        assert_eq!((answer.state, answer.rows.len()), (TargetState::Answered, 2));
        assert_eq!((answer.truncated, answer.rows_sent), (true, Some(5)));
        let error = answer.error.unwrap();
        assert_eq!(error, "cut off: the table guard keeps 2 rows of the answer of a host");
    }
    let whole = &answers(&server, other, 0).await[0];
    assert_eq!((whole.truncated, &whole.error), (false, &None));
    assert!(server.metric("muster_limit_hits_total{limit=\"guard_rows\"}").await >= 1.0);
}

#[tokio::test]
async fn bytes_beyond_the_limit_of_a_rule_are_cut_off_and_it_is_said() {
    let (_file, server) = server("bytes: 150").await;
    let mut agents = hosts(&server, 1).await;
    let id = ask(&server, FIVE).await.id;
    agents[0].distributed().await;
    let answer = &answers(&server, id, 0).await[0];
    assert!((1..5).contains(&answer.rows.len()), "{answer:?}");
    assert!(answer.error.as_deref().unwrap().contains("keeps 150 bytes"), "{answer:?}");
}

#[tokio::test]
async fn a_rule_that_warns_limits_nothing() {
    let file = GuardFile::new(&rule("warn", "rows: 2").replace("curl", "osquery_info"));
    let server = TestServer::with(|config| file.set(config)).await;
    let mut agents = hosts(&server, 1).await;
    let started = ask(&server, FIVE).await;
    assert!(started.warnings[0].contains("results would be limited"), "{started:?}");
    agents[0].distributed().await;
    assert_eq!(answers(&server, started.id, 0).await[0].rows.len(), 5);
}
