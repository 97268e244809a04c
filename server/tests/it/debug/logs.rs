use agent_compat::agent::{Flags, Identity, Platform};
use muster_api::rest::debug::{LatestLogs, LogLevelNow, LoggedErrors};
use serde_json::json;

use super::{SHOWN_WITHIN, send_as, started};
use crate::support::{Rest, TestServer, eventually};

/// Logs in with a wrong password, which is logged.
async fn fail_to_log_in(rest: &Rest, id: &str) -> crate::support::Answer {
    let login = json!({ "email": "admin@example.com", "password": "planted-wrong-password" });
    send_as(id, rest.posting("login", &login)).await
}

#[tokio::test]
async fn log_lines_and_answers_have_the_id_of_their_request() {
    let (setup, process, rest) = started(&[]).await;
    let answer = fail_to_log_in(&rest, "trace-7f3/1").await;
    assert_eq!(answer.headers["x-request-id"], "trace-7f3/1");
    eventually("the line of the request", SHOWN_WITHIN, async || {
        process.said().contains("request_id=trace-7f3/1").then_some(())
    })
    .await;
    let made = async |answer: crate::support::Answer| answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let one = made(rest.get("packs").await).await;
    let other = made(send_as(&"x".repeat(65), rest.getting("packs")).await).await;
    assert!(one != other && other.len() < 40, "{one} {other}");
    assert!(rest.get("/debug/requests").await.headers.contains_key("x-request-id"));
    // Of agents, in the lines alone.
    let mut agent = setup.address().agent_with(
        Identity::simulated(1, 1, Platform::Linux),
        Flags { enroll_secret: "planted-wrong-secret".into(), ..Flags::default() },
    );
    let refused = agent.enroll().await;
    assert!(!refused.verdict.is_success());
    let line = eventually("the line of the agent", SHOWN_WITHIN, async || {
        let said = process.said();
        said.lines().find(|line| line.contains("request of an agent refused")).map(str::to_owned)
    });
    let line = line.await;
    assert!(line.contains(" request_id="), "{line}");

    let logs: LatestLogs = rest.get("/debug/logs").await.read();
    let kept = logs.lines.iter().find(|line| line.line.contains("trace-7f3/1")).unwrap();
    assert_eq!(kept.level, "WARN");
    assert!(kept.target.starts_with("muster"), "{kept:?}");
    let errors: Vec<LoggedErrors> = rest.get("/debug/errors?flush=true").await.read();
    let error = errors.iter().find(|error| error.chain[0].message == "request of an agent refused").unwrap();
    assert_eq!((error.level.as_str(), error.count), ("WARN", 1));
    assert!(error.chain.len() > 1 && error.first_seen == error.last_seen, "{error:?}");
    let errors: Vec<LoggedErrors> = rest.get("/debug/errors").await.read();
    assert!(errors.iter().all(|error| error.chain[0].message != "request of an agent refused"), "{errors:?}");
}

#[tokio::test]
async fn the_log_level_changes_while_the_server_runs_and_goes_back_by_itself() {
    let (setup, process, rest) = started(&[]).await;
    let now: LogLevelNow = rest.get("/debug/log-level").await.read();
    assert_eq!((now.until, &now.filter), (None, &now.configured));
    assert!(!process.said().contains(" DEBUG "));
    let change = json!({ "filter": "debug", "for_seconds": 600 });
    let changed: LogLevelNow = rest.send("PUT", "/debug/log-level", Some(&change)).await.read();
    assert_eq!((changed.filter.as_str(), &changed.configured), ("debug", &now.configured));
    assert!(changed.until.is_some());
    eventually("a line of debugging", SHOWN_WITHIN, async || {
        // A new connection says something.
        Rest::new(&setup.address()).get("/healthz").await;
        process.said().contains(" DEBUG ").then_some(())
    })
    .await;
    let short = json!({ "filter": "info", "for_seconds": 1 });
    let _: LogLevelNow = rest.send("PUT", "/debug/log-level", Some(&short)).await.read();
    eventually("the level is back", SHOWN_WITHIN, async || {
        process.said().contains("the log level is that of the configuration again").then_some(())
    })
    .await;
    assert_eq!(rest.get("/debug/log-level").await.read::<LogLevelNow>(), now);
    for bad in
        [json!({ "filter": "trace" }), json!({ "filter": "debug", "for_seconds": 86_401 }), json!({ "level": "debug" })]
    {
        let answer = rest.send("PUT", "/debug/log-level", Some(&bad)).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.json()["error"].is_string(), "{}", answer.text);
    }
}

/// Where something else logs, as in these tests.
#[tokio::test]
async fn a_server_that_does_not_log_by_itself_says_so() {
    let server = TestServer::start().await;
    assert_eq!(server.rest.get("/debug/log-level").await.status, 501);
}

#[tokio::test]
async fn no_secret_is_in_a_log_line_or_in_what_is_told_of_requests() {
    let flags = [
        "logging_debug=true",
        "mysql_password=planted-database-password",
        "redis_password=planted-redis-password",
        "prometheus_basic_auth_username=prometheus",
        "prometheus_basic_auth_password=planted-metrics-password",
    ];
    let (setup, process, rest) = started(&flags).await;
    let secret = |secret: &str| json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": secret }] } });
    rest.apply(&[secret("planted-enroll-secret-1234567890")]).await;
    let mut agent = setup.address().agent_with(
        Identity::simulated(1, 1, Platform::Linux),
        Flags { enroll_secret: "planted-enroll-secret-1234567890".into(), ..Flags::default() },
    );
    assert!(agent.enroll().await.verdict.is_success());
    let (node_key, token) = (agent.node_key().to_owned(), rest.token().to_owned());
    assert!(agent.config().await.verdict.is_success() && agent.read().await.verdict.is_success());
    fail_to_log_in(&rest, "id").await;
    // Bodies that are not what they should be, and paths that say too much.
    let bodies = [
        format!(r#"{{"enroll_secret":["planted-enroll-secret-1234567890"],"node_key":"{node_key}"}}"#),
        format!(r#""planted-enroll-secret-1234567890 {node_key}""#),
        format!(r#"{{"node_key":{{"planted-enroll-secret-1234567890":"{node_key}"}}}}"#),
        format!(r#"{{"node_key":"{node_key}","data":"planted-enroll-secret-1234567890","log_type":"result"}}"#),
        format!(r#"{{"node_key":"{node_key}","queries":"planted-enroll-secret-1234567890"}}"#),
    ];
    for endpoint in ["enroll", "config", "log", "distributed/read", "distributed/write", "nothing"] {
        for body in &bodies {
            let path =
                format!("/api/v1/osquery/{endpoint}?enroll_secret=planted-enroll-secret-1234567890&key={node_key}");
            rest.post_untyped(&path, body.clone()).await;
        }
    }
    for path in
        [format!("/debug/errors?token={token}"), format!("hosts?token={token}"), format!("hosts/{node_key}?x={token}")]
    {
        rest.get(&path).await;
    }
    rest.post_bytes("spec/apply", "application/json", r#"{"documents":"planted-enroll-secret-1234567890"}"#).await;
    rest.post_bytes("users", "application/json", r#"{"password":["planted-wrong-password"]}"#).await;
    let mut shown = process.said();
    for item in [
        "requests",
        "waits",
        "pprof/goroutine",
        "pprof/block",
        "pprof/trace?seconds=1",
        "errors",
        "logs",
        "log-level",
        "",
    ] {
        let answer = rest.get(&format!("/debug/{item}")).await;
        assert_eq!(answer.status, 200, "{item}: {}", answer.text);
        shown.push_str(&answer.text);
    }
    shown.push_str(&process.said());
    assert!(shown.contains("DEBUG") && shown.contains("request of an agent refused"));
    for secret in ["planted-", &node_key, &token] {
        let line = shown.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
