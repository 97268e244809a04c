//! Shapes older agents send; invented after the description of each release, since only one release was recorded.

use crate::harness::{RecordedRequest, checked};
use anyhow::Result;

use crate::{assert_lines, one, server_knowing};

/// Agents before 5.23 have no `Authorization` header.
fn old(number: u32, body: &str) -> Result<RecordedRequest> {
    let mut request = one(number)?.with_body(body);
    request.header_key = None;
    Ok(request)
}

const WRITES: [(&str, &str); 6] = [
    ("3.0: nothing found", r#"{"queries":{"c17":""},"statuses":{"c17":"0"},"node_key":"nodekey-s1-main-1"}"#),
    ("3.0: rows", r#"{"queries":{"c17":[{"pid":"1"}]},"statuses":{"c17":"0"},"node_key":"nodekey-s1-main-1"}"#),
    ("3.0: failed", r#"{"queries":{"c17":""},"statuses":{"c17":"1"},"node_key":"nodekey-s1-main-1"}"#),
    ("3.0: nothing at all", r#"{"queries":"","statuses":"","node_key":"nodekey-s1-main-1"}"#),
    ("3.2: no messages", r#"{"queries":{"c17":[]},"statuses":{"c17":0},"node_key":"nodekey-s1-main-1"}"#),
    (
        "4.4: no stats",
        r#"{"queries":{"c17":[]},"statuses":{"c17":1},"messages":{"c17":"no such table: x"},"node_key":"nodekey-s1-main-1"}"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_older_agents_are_accepted() -> Result<()> {
    let server = server_knowing([&one(18)?]).await?;
    for (what, body) in WRITES {
        let sent = server.send(&old(18, body)?).await?;
        assert!(sent.verdict.is_success(), "{what}: {}", sent.text());
    }
    Ok(())
}

/// Numbers as text, one escape per byte, members that came and went, spaces between tokens.
const RESULT_LINES: [&str; 6] = [
    r#"{"name":"pack/base/ports","hostIdentifier":"web-7","calendarTime":"Thu Jan  1 00:10:00 2026 UTC","unixTime":"1767226200","epoch":"0","counter":"3","columns":{"pid":"812","port":"443"},"action":"added"}"#,
    r#"{"name":"names","hostIdentifier":"web-7","unixTime":"1767226200","columns":{"user":"\u00c3\u00a9"},"action":"added"}"#,
    r#"{"name":"empty","hostIdentifier":"web-7","unixTime":"1767226200","snapshot":"","action":"snapshot"}"#,
    r#"{"name":"diff","hostIdentifier":"web-7","unixTime":"1767226200","diffResults":{"added":"","removed":""}}"#,
    r#"{"name":"numbers","hostIdentifier":"web-7","unixTime":1767226200,"epoch":0,"counter":0,"logNumericsAsNumbers":true,"columns":{"a":1.50,"b":1E3,"c":-0},"action":"added"}"#,
    r#"{ "name" : "spaces" , "columns" : { "a" : "1" } }"#,
];

/// The line of an agent before 5.10, and the same of a newer one.
const STATUS_LINES: [&str; 2] = [
    r#"{"hostIdentifier":"web-7","calendarTime":"Thu Jan  1 00:10:01 2026 UTC","unixTime":"1767226201","severity":"1","filename":"config.cpp","line":"354","message":"Scheduled query may have failed: up","version":"4.9.0","decorations":{"role":"edge"}}"#,
    r#"{"hostIdentifier":"web-7","calendarTime":"Thu Jan  1 00:10:01 2026 UTC","unixTime":1767226201,"severity":1,"filename":"config.cpp","line":354,"message":"Scheduled query may have failed: up","version":"5.12.2"}"#,
];

fn batch(log_type: &str, lines: &[&str]) -> String {
    format!(r#"{{"data":[{}],"log_type":"{log_type}","node_key":"nodekey-s1-main-1"}}"#, lines.join(","))
}

fn bytes(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn result_lines_of_older_agents_are_kept_as_they_came() -> Result<()> {
    let server = server_knowing([&one(7)?]).await?;
    let sent = server.send(&old(7, &batch("result", &RESULT_LINES))?).await?;
    assert!(sent.verdict.is_success(), "{}", sent.text());
    assert_lines(&server.result_lines()?, &bytes(&RESULT_LINES), "results");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_lines_of_older_agents_are_kept_as_they_came() -> Result<()> {
    let server = server_knowing([&one(4)?]).await?;
    let sent = server.send(&old(4, &batch("status", &STATUS_LINES))?).await?;
    assert!(sent.verdict.is_success(), "{}", sent.text());
    assert_lines(&server.status_lines()?, &bytes(&STATUS_LINES), "statuses");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_written_as_text_is_no_line() -> Result<()> {
    let server = server_knowing([&one(7)?]).await?;
    let body = r#"{"data":"","log_type":"result","node_key":"nodekey-s1-main-1"}"#;
    assert!(server.send(&old(7, body)?).await?.verdict.is_success());
    assert_lines(&server.result_lines()?, &[], "results");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_of_every_generation_is_served() -> Result<()> {
    for version in ["3.0.0", "3.2.3", "4.2.0", "4.9.0", "5.9.1", "5.22.1", "5.23.1"] {
        let server = crate::harness::CompatServer::start().await?;
        let mut identity = server.agent(1)?.agent().identity().clone();
        identity.osquery_version = version.to_owned();
        let flags = server.agent(1)?.agent().flags().clone();
        let mut agent = agent_compat::TestAgent::with_tables(
            identity,
            flags,
            Box::new(agent_compat::SqliteHost::new()),
            server.transport()?,
        );
        assert!(checked(agent.enroll().await).verdict.is_success(), "{version}");
        assert!(checked(agent.config().await).verdict.is_success(), "{version}");
        agent.push_result_line(RESULT_LINES[0]);
        agent.push_status_line(STATUS_LINES[0]);
        assert!(
            agent.flush_logs().await.into_iter().map(checked).all(|exchange| exchange.verdict.is_success()),
            "{version}"
        );
        assert!(checked(agent.read().await).verdict.is_success(), "{version}");
        assert!(server.result_lines()?.contains(&RESULT_LINES[0].as_bytes().to_vec()), "{version}");
        assert!(server.status_lines()?.contains(&STATUS_LINES[0].as_bytes().to_vec()), "{version}");
    }
    Ok(())
}
