//! Many hosts enroll at one time.

use std::time::Duration;

use futures_util::future::join_all;

use crate::checkin::{label, questions};
use crate::support::{TestServer, assert_refused, count, eventually};

/// With the first questions and their answers, by the server's own count.
#[tokio::test]
async fn hosts_that_enroll_together_share_their_statements() {
    let server = TestServer::with(|config| config.server.tls = false).await;
    server.rest.apply(&[label("all", "SELECT 1"), label("none", "SELECT 1 WHERE 1 = 0")]).await;
    let hosts = count(150, 600);
    let mut agents: Vec<_> = (0..hosts).map(|index| server.agent(index)).collect();
    let statements = async || server.metric("muster_sql_statements_total").await;
    let rows = async || server.metric("muster_rows_written_total").await;
    let before = (statements().await, rows().await);
    let asked = join_all(agents.iter_mut().map(async |agent| {
        assert!(agent.enroll().await.verdict.is_success());
        questions(&agent.distributed().await).len()
    }));
    assert!(asked.await.into_iter().all(|questions| questions > 2), "each is asked about itself and both labels");
    server.run_tasks().await;
    let (statements, rows) = (statements().await - before.0, rows().await - before.1);
    let each = |total: f64| total / f64::from(hosts);
    eprintln!("{hosts} hosts: {:.2} statements and {:.2} rows written for each", each(statements), each(rows));
    assert!(each(statements) <= 3.0, "{statements} statements for {hosts} hosts");
    // The host, its key and three built-in labels; its questions; its answers, a label and word of both to other nodes; and
    // when it was seen.
    assert!(each(rows) <= 12.0, "{rows} rows written for {hosts} hosts");
    assert_eq!(server.number("SELECT count(*) FROM hosts WHERE detail_updated_at > 0"), i64::from(hosts));
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), i64::from(hosts));
}

/// Whoever got a key has a host, and whoever was refused gets a key afterwards.
#[tokio::test]
async fn a_database_that_is_held_while_hosts_enroll_loses_nothing() {
    let server = TestServer::start().await;
    let mut agents: Vec<_> = (0..60).map(|index| server.agent(index)).collect();
    let (first, second) = agents.split_at_mut(30);
    let database = server.database();
    let wave = join_all(first.iter_mut().map(|agent| agent.enroll()));
    let hold = async {
        eventually("some have enrolled", Duration::from_secs(10), async || {
            (server.number("SELECT count(*) FROM hosts") > 0).then_some(())
        })
        .await;
        database.hold();
        join_all(second.iter_mut().map(|agent| agent.enroll())).await
    };
    let (one, other) = tokio::join!(wave, hold);
    for exchange in &other {
        assert_refused(exchange, "while the database is held");
    }
    database.release();
    for exchange in one.iter().filter(|exchange| !exchange.verdict.is_success()) {
        assert_refused(exchange, "while the database is held");
    }
    for agent in &mut agents {
        if agent.node_key().is_empty() {
            assert!(agent.enroll().await.verdict.is_success());
        }
        assert!(agent.config().await.verdict.is_success());
        assert_eq!(agent.counters().node_invalid(), 0);
    }
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 60);
}

#[tokio::test]
async fn more_than_may_wait_are_refused_in_words() {
    let server = TestServer::with(|config| config.osquery.max_enrolls_waiting = 2).await;
    let database = server.database();
    database.hold();
    let mut agents: Vec<_> = (0..12).map(|index| server.agent(index)).collect();
    let answers = join_all(agents.iter_mut().map(|agent| agent.enroll())).await;
    database.release();
    let full = answers.iter().filter(|exchange| exchange.status() == 429).count();
    assert!(full > 0, "{answers:?}");
    answers.iter().for_each(|exchange| assert_refused(exchange, "while the database is held"));
    let metric = async |outcome: &str| server.metric(&format!(r#"muster_enrolls_total{{outcome="{outcome}"}}"#)).await;
    assert_eq!(metric("queue_full").await, full as f64);
    assert_eq!(metric("too_late").await + metric("failed").await, (12 - full) as f64);
    assert_eq!(server.metric(r#"muster_limit_hits_total{limit="max_enrolls_waiting"}"#).await, full as f64);
    // The batch that the database held takes its room until it is over.
    eventually("there is room again", Duration::from_secs(30), async || {
        server.agent(0).enroll().await.verdict.is_success().then_some(())
    })
    .await;
}
