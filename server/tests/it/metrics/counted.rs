//! What the metrics count.

use agent_compat::agent::AgentEndpoint;
use serde_json::json;

use crate::support::{TestServer, log_body};

#[tokio::test]
async fn the_size_of_bodies_is_measured_by_operation() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let body = log_body(&agent, "result", &[json!({ "pad": "x".repeat(100_000) })]);
    let (length, name) = (body.len() as f64, "http_request_size_bytes");
    let exchange = agent.raw(AgentEndpoint::Log, body, &[]).await;
    assert!(exchange.verdict.is_success());
    assert_eq!(server.metric(&format!(r#"{name}_sum{{handler="submit_logs"}}"#)).await, length);
    for (bound, expected) in [("65536", 0.0), ("524288", 1.0), ("+Inf", 1.0)] {
        let bucket = format!(r#"{name}_bucket{{handler="submit_logs",le="{bound}"}}"#);
        assert_eq!(server.metric(&bucket).await, expected, "{bound}");
    }
    let answered = exchange.body().len() as f64;
    assert_eq!(server.metric(r#"http_response_size_bytes_sum{handler="submit_logs"}"#).await, answered);
}

#[tokio::test]
async fn operations_of_operators_are_counted_by_name() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let label = json!({ "name": "counted", "query": "SELECT 1" });
    assert_eq!(server.rest.post("labels", &label).await.status, 200);
    assert_eq!(server.rest.anonymous().post("labels", &label).await.status, 401);
    for (metric, expected) in [
        (r#"http_requests_total{code="200",handler="postLabels"}"#, 1.0),
        (r#"http_requests_total{code="401",handler="postLabels"}"#, 1.0),
        (r#"http_request_duration_seconds_count{handler="postLabels"}"#, 2.0),
        // That of a stranger was not read.
        (r#"http_request_size_bytes_sum{handler="postLabels"}"#, label.to_string().len() as f64),
    ] {
        assert_eq!(server.metric(metric).await, expected, "{metric}");
    }
    // An answer that is sent while it is made, and one that is whole.
    for (path, handler) in [("hosts", "getHosts"), ("labels/1", "getLabelsById"), ("labels/99", "getLabelsById")] {
        let size = format!(r#"http_response_size_bytes_sum{{handler="{handler}"}}"#);
        let before = server.metric(&size).await;
        let answer = server.rest.get(path).await;
        assert_eq!(server.metric(&size).await - before, answer.text.len() as f64, "{path}");
    }
    assert_eq!(server.metric(r#"http_requests_total{code="404",handler="getLabelsById"}"#).await, 1.0);
}

#[tokio::test]
async fn log_lines_are_counted_by_sink() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    for _ in 0..3 {
        agent.push_result_line(r#"{"line":"of 20 B"}"#);
    }
    assert!(agent.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    let written = std::fs::metadata(server.results()).unwrap().len() as f64;
    // Where the file was there is a folder now.
    std::fs::remove_file(server.results()).unwrap();
    std::fs::create_dir(server.results()).unwrap();
    agent.push_result_line(r#"{"line":"refused"}"#);
    assert!(!agent.flush_logs().await.iter().any(|exchange| exchange.verdict.is_success()));
    let labels = r#"sink="filesystem",type="result""#;
    for (metric, expected) in [
        (format!(r#"muster_log_lines_total{{fate="kept",{labels}}}"#), 3.0),
        (format!(r#"muster_log_lines_total{{fate="repeated",{labels}}}"#), 0.0),
        (format!("muster_log_bytes_total{{{labels}}}"), written),
        (format!("muster_log_batches_total{{{labels}}}"), 1.0),
        (format!(r#"muster_log_refusals_total{{reason="sink",{labels}}}"#), 1.0),
        (format!("muster_log_append_duration_seconds_count{{{labels}}}"), 2.0),
        ("muster_log_batches_total{sink=\"filesystem\",type=\"status\"}".to_owned(), 0.0),
    ] {
        assert_eq!(server.metric(&metric).await, expected, "{metric}");
    }
}

#[tokio::test]
async fn check_ins_and_the_directory_are_counted() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    assert_eq!(server.metric("muster_checkins_total").await, 0.0, "an enrollment is none");
    for _ in 0..3 {
        assert!(agent.config().await.verdict.is_success());
    }
    let stranger = server.agent(2);
    stranger.raw(AgentEndpoint::Config, json!({ "node_key": "made-up" }).to_string(), &[]).await;
    assert_eq!(server.metric("muster_checkins_total").await, 3.0);
    server.run_tasks().await;
    assert_eq!(server.metric("muster_directory_hosts").await, 1.0);
}

#[tokio::test]
async fn the_database_is_measured() {
    let server = TestServer::start().await;
    server.rest.get("labels").await;
    let statements = server.metric("muster_sql_statements_total").await;
    assert!(server.metric("muster_sql_statement_duration_seconds_count").await >= statements && statements > 0.0);
    let [open, max] = ["muster_sql_connections{", "muster_sql_connections_max{"].map(|name| server.metric(name));
    let (open, max) = (open.await, max.await);
    assert!(open >= 1.0 && max >= open, "{open} of {max}");
    server.database().execute("ALTER TABLE labels RENAME TO somewhere_else");
    assert_ne!(server.rest.get("labels").await.status, 200);
    assert!(server.metric("muster_sql_failures_total").await >= 1.0);
}

#[tokio::test]
async fn live_queries_are_counted_by_what_became_of_them() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    agent.distributed().await;
    let job = json!({ "query": "SELECT 1 AS one", "targets": { "all": true } });
    assert_eq!(server.rest.post("live_queries", &job).await.status, 200);
    server.run_tasks().await;
    assert_eq!(server.metric("muster_live_queries_open").await, 1.0);
    agent.distributed().await;
    server.run_tasks().await;
    assert_eq!(server.metric(r#"muster_live_targets_settled_total{state="answered"}"#).await, 1.0);
    assert_eq!(server.metric("muster_live_queries_open").await, 0.0);
}

#[tokio::test]
async fn the_process_and_its_allocator_are_shown() {
    let server = TestServer::start().await;
    let [allocated, active, resident, all, started, open] = [
        "muster_allocator_allocated_bytes",
        "muster_allocator_active_bytes",
        "muster_allocator_resident_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
    ]
    .map(|name| format!("{name} "));
    let text = server.rest.get("/metrics").await.text;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("there is no {name}")).parse::<f64>().unwrap()
    };
    // Those of the allocator are of one moment.
    assert!(0.0 < value(&allocated) && value(&allocated) <= value(&active) && value(&active) <= value(&resident));
    assert!([all, started, open].iter().all(|name| value(name) > 0.0), "{text}");
    assert_eq!(server.metric("muster_build_info{").await, 1.0);
}
