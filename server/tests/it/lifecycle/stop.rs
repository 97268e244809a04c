use std::time::{Duration, Instant};

use crate::support::{KeptLines, Load, Raw, Rest, ServerSetup, deliver_all, eventually};

/// `server.shutdown_timeout` of these servers is 5 s; machines may be slow.
const STOPPED_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_server_that_is_told_to_stop_under_load_keeps_its_word() {
    let setup = ServerSetup::new(&[]);
    let mut server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let load = Load::start((0..10).map(|index| setup.address().agent(index)), 100);
    eventually("agents are at work", Duration::from_secs(20), async || (load.rounds() > 3).then_some(())).await;
    let start = Instant::now();
    server.signal("TERM");
    let status = server.ended(STOPPED_WITHIN).await;
    eprintln!("stopped after {:?}", start.elapsed());
    assert_eq!(status.code(), Some(0), "{}", server.said());
    assert!(server.said().contains("stopped"), "{}", server.said());

    let _next = setup.start().await;
    let rounds = load.rounds();
    eventually("agents go on", Duration::from_secs(20), async || (load.rounds() > rounds + 2).then_some(())).await;
    let (mut agents, report, ledger) = load.finish().await;
    assert_eq!((report.node_invalid, report.empty), (0, 0), "{report:?}");
    deliver_all(&mut agents, Duration::from_secs(10)).await;
    let kept = KeptLines::read(&setup.results());
    assert_eq!(ledger.results().missing_in(&kept), [""; 0]);
    assert!(kept.doubled_over(&ledger.results()) <= report.unsure_lines);
}

/// Load balancers learn that it stops before anybody is refused.
#[tokio::test]
async fn a_server_that_stops_says_so_and_goes_on_until_that_has_been_noticed() {
    let setup = ServerSetup::new(&["server_drain=60s", "server_shutdown_timeout=70s"]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let mut agent = setup.address().enrolled(1).await;
    assert_eq!(rest.get("/readyz").await.status, 200);
    server.signal("TERM");
    let health = eventually("the server says that it stops", Duration::from_secs(5), async || {
        Some(rest.get("/healthz").await).filter(|answer| answer.status == 503)
    })
    .await;
    assert!(health.json()["error"].is_string());
    let ready = rest.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["status"].clone()), (503, "stopping".into()));
    assert!(agent.config().await.verdict.is_success());
    agent.push_result_line(r#"{"line":1}"#);
    assert!(agent.flush_logs().await[0].verdict.is_success());
    assert!(setup.address().agent(2).enroll().await.verdict.is_success());
    // Whoever cannot wait says it again.
    server.signal("TERM");
    server.ended(STOPPED_WITHIN).await;
}

/// What cannot be finished in time is refused in words, and not cut off.
#[tokio::test]
async fn a_request_that_does_not_end_is_refused_in_words() {
    let setup = ServerSetup::new(&["server_tls=false", "server_shutdown_timeout=4s"]);
    let mut server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let mut raw = Raw::connect(&setup.address().url).await;
    let head = Raw::head("/api/v1/osquery/log", &[("Content-Length", "100")]);
    raw.write((head + r#"{"data":[{"late":1}],"#).as_bytes()).await;
    // The request has been seen when another one, sent later, has been answered.
    assert_eq!(Rest::new(&setup.address()).get("/healthz").await.status, 200);
    server.signal("TERM");
    let exchange = raw.answer().await;
    let body: serde_json::Value = serde_json::from_slice(exchange.body()).unwrap();
    assert!(body["error"].as_str().is_some_and(|error| error.contains("stopping")), "{body}");
    assert!(body.get("node_invalid").is_none(), "{body}");
    assert_eq!(server.ended(STOPPED_WITHIN).await.code(), Some(0), "{}", server.said());
}

/// A request whose body is still on its way is answered before the server ends.
#[tokio::test]
async fn a_request_under_way_is_answered() {
    let setup = ServerSetup::new(&["server_tls=false"]);
    let mut server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let agent = setup.address().enrolled(1).await;
    let body = format!(r#"{{"data":[{{"late":1}}],"log_type":"result","node_key":"{}"}}"#, agent.node_key());
    let (first, second) = body.split_at(20);
    let mut raw = Raw::connect(&setup.address().url).await;
    let head = Raw::head("/api/v1/osquery/log", &[("Content-Length", &body.len().to_string())]);
    raw.write((head + first).as_bytes()).await;
    // The request has been seen when another one, sent later, has been answered.
    assert_eq!(Rest::new(&setup.address()).get("/healthz").await.status, 200);
    server.signal("TERM");
    eventually("the signal is noticed", Duration::from_secs(5), async || {
        server.said().contains("stopping").then_some(())
    })
    .await;
    raw.write(second.as_bytes()).await;
    let exchange = raw.answer().await;
    let kept = KeptLines::read(&setup.results()).total();
    // Kept and told so, or refused in words; never a word that is not true.
    assert!(exchange.response.is_some(), "no answer; {kept} lines kept");
    assert_eq!(exchange.verdict.is_success(), kept == 1, "{exchange:?}; {kept} lines kept");
    assert_eq!(server.ended(STOPPED_WITHIN).await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_keep_it_from_stopping() {
    let setup = ServerSetup::new(&["server_tls=false", "server_agent_keepalive=always"]);
    let mut server = setup.start().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(Raw::connect(&setup.address().url).await);
    }
    server.signal("INT");
    assert_eq!(server.ended(STOPPED_WITHIN).await.code(), Some(0), "{}", server.said());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let setup = ServerSetup::new(&["server_tls=false", "server_shutdown_timeout=60s"]);
    let mut server = setup.start().await;
    let mut raw = Raw::connect(&setup.address().url).await;
    raw.write(Raw::head("/api/v1/osquery/log", &[("Content-Length", "100")]).as_bytes()).await;
    assert_eq!(Rest::new(&setup.address()).get("/healthz").await.status, 200);
    server.signal("TERM");
    eventually("the signal is noticed", Duration::from_secs(5), async || {
        server.said().contains("stopping").then_some(())
    })
    .await;
    server.signal("TERM");
    server.ended(STOPPED_WITHIN).await;
}

/// Contacts that were noted in memory only are written before the end.
#[tokio::test]
async fn when_hosts_were_last_seen_survives_a_stop() {
    let mut server = crate::support::TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    server.clock.advance(Duration::from_secs(25));
    assert!(agent.config().await.verdict.is_success());
    server.restart().await;
    assert_eq!(crate::nodes::seen_at(&server, 1).await, server.clock.now().0);
}

#[tokio::test]
async fn the_program_that_started_it_takes_it_along() {
    let setup = ServerSetup::new(&["server_tls=false"]);
    let mut server = setup.start().await;
    server.close_stdin();
    assert_eq!(server.ended(STOPPED_WITHIN).await.code(), Some(0), "{}", server.said());
}
