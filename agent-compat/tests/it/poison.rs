//! Bodies with bytes that are not UTF-8. A server that refuses them is sent them for ever: see recording 56.

use crate::harness::{CompatServer, checked, lines_of, recording};
use agent_compat::agent::AgentEndpoint;
use anyhow::{Context as _, Result};

use crate::{assert_lines, one, server_knowing};

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_not_utf8_are_accepted_every_time_they_are_sent() -> Result<()> {
    let recorded = recording("56-strict-json-server-poison.tsv")?;
    let server = server_knowing(recorded.iter().map(|(_, request)| request)).await?;
    let mut poisonous = 0;
    for (_, request) in &recorded {
        let sent = server.send(request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
        let is_write = request.endpoint() == Some(AgentEndpoint::DistributedWrite);
        poisonous += usize::from(is_write && std::str::from_utf8(&request.body).is_err());
    }
    assert_eq!(poisonous, 15, "the recording has that many");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_utf8_is_accepted_at_first_sight() -> Result<()> {
    let request = one(15)?;
    let server = server_knowing([&request]).await?;
    let sent = server.send(&request).await?;
    assert!(sent.verdict.is_success(), "{}", sent.text());
    assert_lines(&server.result_lines()?, &lines_of(&request)?, &request.name);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_agent_gets_rid_of_such_lines_and_goes_on() -> Result<()> {
    let server = CompatServer::start().await?;
    let mut agent = server.agent(1)?;
    checked(agent.enroll().await);
    let poison = lines_of(&one(15)?)?;
    for line in &poison {
        agent.push_result_line(line);
    }
    let exchanges: Vec<_> = agent.flush_logs().await.into_iter().map(checked).collect();
    assert!(exchanges.first().context("nothing was sent")?.verdict.is_success());
    agent.push_result_line(r#"{"name":"next","action":"added"}"#);
    agent.flush_logs().await.into_iter().for_each(|exchange| drop(checked(exchange)));
    assert_eq!(agent.agent().buffered_lines(), 0);
    let expected = [poison, vec![br#"{"name":"next","action":"added"}"#.to_vec()]].concat();
    assert_lines(&server.result_lines()?, &expected, "poison, then another line");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_is_not_utf8_can_enroll() -> Result<()> {
    let server = CompatServer::start().await?;
    let request = one(1)?;
    let at = request.body.windows(4).position(|window| window == br#""vm""#).context("no computer name")?;
    let mut body = request.body.clone();
    body[at + 1] = 0xff;
    let sent = server.send(&request.with_body(body)).await?;
    assert!(sent.verdict.is_success(), "{}", sent.text());
    Ok(())
}
