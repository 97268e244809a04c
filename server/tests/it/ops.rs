//! What machines ask.

use std::time::Duration;

use crate::support::{TestServer, eventually};

#[tokio::test]
async fn health_is_told_without_a_body() {
    let server = TestServer::start().await;
    let answer = server.rest.anonymous().get("/healthz").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn parts_can_be_checked_by_name() {
    let server = TestServer::start().await;
    let rest = server.rest.anonymous();
    for (path, status) in [
        ("/healthz?check=database", 200),
        ("/healthz?check=mysql", 200),
        ("/healthz?check=database&check=nonsense", 400),
        ("/healthz?other=1", 200),
    ] {
        assert_eq!(rest.get(path).await.status, status, "{path}");
    }
    let ready = rest.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["status"], "ready");
    assert_eq!(ready.json()["checks"]["database"], "ok");
}

/// Anybody may ask, as often as they like.
#[tokio::test]
async fn health_checks_share_what_they_ask_the_database() {
    let server = TestServer::start().await;
    let rest = server.rest.anonymous();
    let before = server.metric("muster_sql_statements_total").await;
    let asked = (0..100).flat_map(|_| ["/readyz", "/healthz?check=database"]).map(|path| rest.get(path));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let statements = server.metric("muster_sql_statements_total").await - before;
    // One check in a second, and what periodic tasks have meanwhile: however slow the machine, not one for each request.
    assert!(statements < 60.0, "{statements} statements for 200 requests");
}

/// What the database says of itself (addresses, users, files) is for the log.
#[tokio::test]
async fn health_checks_say_what_is_away_and_not_why() {
    let server = TestServer::start().await;
    let rest = server.rest.anonymous();
    assert_eq!(rest.get("/readyz").await.json()["checks"]["result_log"], "ok");
    assert_eq!(rest.get("/healthz?check=status_log").await.status, 200);
    server.database().execute("ALTER TABLE generations RENAME TO somewhere_else");
    let answer = eventually("the database does not work", Duration::from_secs(30), async || {
        Some(rest.get("/readyz").await).filter(|answer| answer.status == 503)
    })
    .await;
    let expected = "the database does not work; the server's log says why";
    assert_eq!(answer.json()["checks"]["database"], expected);
    let answer = rest.get("/healthz?check=database").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some(expected)));
    assert_eq!(rest.get("/healthz").await.status, 200, "a restart would not help");
}

#[tokio::test]
async fn metrics_count_what_agents_do() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    for line in [r#"{"line":1}"#, r#"{"line":2}"#] {
        agent.push_result_line(line);
    }
    agent.push_status_line(r#"{"status":1}"#);
    assert!(agent.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    assert!(agent.config().await.verdict.is_success());
    server.run_tasks().await;
    for (metric, expected) in [
        (r#"muster_log_lines_total{fate="kept",sink="filesystem",type="result"}"#, 2.0),
        (r#"muster_log_lines_total{fate="kept",sink="filesystem",type="status"}"#, 1.0),
        (r#"muster_enrolls_total{outcome="enrolled"}"#, 1.0),
        (r#"http_requests_total{code="200",handler="enroll_agent"}"#, 1.0),
        (r#"http_requests_total{code="200",handler="submit_logs"}"#, 2.0),
        (r#"http_request_duration_seconds_count{handler="get_client_config"}"#, 1.0),
        ("muster_hosts_in_memory", 1.0),
        ("muster_clones_separated_total", 0.0),
    ] {
        assert_eq!(server.metric(metric).await, expected, "{metric}");
    }
    assert!(server.metric("process_resident_memory_bytes").await > 0.0);
}

/// No numbers of one server in the other's.
#[tokio::test]
async fn two_servers_in_one_process_count_apart() {
    let (one, two) = tokio::join!(TestServer::start(), TestServer::start());
    one.enrolled(1).await;
    let enrolled = r#"muster_enrolls_total{outcome="enrolled"}"#;
    assert_eq!((one.metric(enrolled).await, two.metric(enrolled).await), (1.0, 0.0));
}
