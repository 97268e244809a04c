use crate::harness::{RecordedRequest, golden};
use agent_compat::agent::AgentEndpoint;
use anyhow::Result;
use serde_json::Value;

use crate::{one, server_knowing};

fn requests(endpoint: AgentEndpoint) -> Result<Vec<RecordedRequest>> {
    let mut all = golden(17..=36)?;
    all.retain(|request| request.endpoint() == Some(endpoint));
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_read_is_answered_with_queries() -> Result<()> {
    let requests = requests(AgentEndpoint::DistributedRead)?;
    assert_eq!(requests.len(), 3);
    let server = server_knowing(&requests).await?;
    for request in &requests {
        let sent = server.send(request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
        let answer = sent.json();
        assert!(answer["queries"].is_object(), "{answer}");
        // Text would be misread from 3.2.3 on, and a query that is no text voids the whole answer.
        assert!(answer.get("accelerate").is_none_or(Value::is_u64), "{answer}");
        assert!(answer["queries"].as_object().into_iter().flatten().all(|(_, sql)| sql.is_string()), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_write_is_accepted() -> Result<()> {
    let requests = requests(AgentEndpoint::DistributedWrite)?;
    assert_eq!(requests.len(), 12);
    let server = server_knowing(&requests).await?;
    for request in &requests {
        let sent = server.send(request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
        assert_eq!(sent.text(), "{}", "{}", request.name);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_come_again_are_accepted_again() -> Result<()> {
    let request = one(18)?;
    let server = server_knowing([&request]).await?;
    for _ in 0..3 {
        assert!(server.send(&request).await?.verdict.is_success());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_megabytes_is_accepted() -> Result<()> {
    // The largest write seen had 3.7 MB; this one repeats a recorded row up to twice that.
    let request = one(18)?;
    let server = server_knowing([&request]).await?;
    let row = r#"{"path":"/etc/services","sha256":"0123456789abcdef0123456789abcdef"}"#;
    let rows = vec![row; 8_000_000 / row.len()].join(",");
    let body = format!(
        r#"{{"queries":{{"large":[{rows}]}},"statuses":{{"large":0}},"messages":{{"large":""}},"stats":{{}},"node_key":"nodekey-s1-main-1"}}"#
    );
    let sent = server.send(&request.with_body(body)).await?;
    assert!(sent.verdict.is_success(), "{}", sent.text());
    Ok(())
}
