//! The server has forgotten the key: the model agent enrolls again and goes on, as in recordings 37 to 42.

use crate::harness::{CompatServer, Drive, Forgets, checked, lines_of, recording};
use agent_compat::TestAgent;
use agent_compat::agent::{AgentEndpoint, ExchangeStep, LiveResult};
use anyhow::{Context as _, Result};

use crate::{LogLines, assert_lines, one};

/// A server that has just forgotten the key of a model agent that had one.
async fn forgotten() -> Result<(CompatServer, TestAgent)> {
    let mut server = CompatServer::start().await?;
    let mut agent = server.agent(1)?;
    assert!(checked(agent.enroll().await).verdict.is_success());
    assert!(checked(agent.config().await).verdict.is_success());
    server.restart(Forgets::AllNodeKeys).await?;
    Ok((server, agent))
}

fn assert_one_host_with_a_new_key(server: &CompatServer, agent: &TestAgent, old_key: &str) -> Result<()> {
    server.only_host()?;
    assert_ne!(agent.node_key(), old_key);
    assert!(!agent.node_key().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_config_request_was_refused() -> Result<()> {
    let (server, mut agent) = forgotten().await?;
    let old_key = agent.node_key().to_owned();
    let refused = checked(agent.config().await);
    assert!(refused.verdict.is_node_invalid(), "{refused:?}");
    assert!(agent.node_key().is_empty());
    assert!(checked(agent.enroll().await).verdict.is_success());
    assert!(checked(agent.config().await).verdict.is_success());
    assert_one_host_with_a_new_key(&server, &agent, &old_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_read_was_refused() -> Result<()> {
    let (server, mut agent) = forgotten().await?;
    let old_key = agent.node_key().to_owned();
    assert!(checked(agent.read().await).verdict.is_node_invalid());
    assert!(checked(agent.enroll().await).verdict.is_success());
    assert!(checked(agent.read().await).verdict.is_success());
    assert_one_host_with_a_new_key(&server, &agent, &old_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_write_was_refused_with_the_same_results() -> Result<()> {
    let (server, mut agent) = forgotten().await?;
    let old_key = agent.node_key().to_owned();
    let result = LiveResult { id: "w".to_owned(), rows: Vec::new(), status: 0, message: String::new(), cost: None };
    assert!(checked(agent.write([result]).await).verdict.is_node_invalid());
    assert_eq!(agent.agent().unsent_live_results().len(), 1);
    assert!(checked(agent.enroll().await).verdict.is_success());
    assert!(checked(agent.write([]).await).verdict.is_success());
    assert!(agent.agent().unsent_live_results().is_empty());
    assert_one_host_with_a_new_key(&server, &agent, &old_key)
}

/// Results and statuses of recording 41, under way when the server forgot all keys.
fn recorded_lines() -> Result<(LogLines, LogLines)> {
    let recorded = recording("41-reenroll-server-forgot-all-keys.tsv")?;
    let mut logs =
        recorded.iter().map(|(_, request)| request).filter(|request| request.endpoint() == Some(AgentEndpoint::Log));
    let results = logs.next().context("no results")?;
    let statuses = logs.next().context("no statuses")?;
    Ok((lines_of(results)?, lines_of(statuses)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_log_was_refused_and_buffered_lines_arrive_once() -> Result<()> {
    let (server, mut agent) = forgotten().await?;
    let old_key = agent.node_key().to_owned();
    let (results, statuses) = recorded_lines()?;
    for line in &results {
        agent.push_result_line(line);
    }
    for line in &statuses {
        agent.push_status_line(line);
    }
    let before = agent.agent().buffered_lines();
    let refused: Vec<_> = agent.flush_logs().await.into_iter().map(checked).collect();
    assert!(refused.iter().all(|exchange| exchange.verdict.is_node_invalid()), "{refused:?}");
    assert_eq!(agent.agent().buffered_lines(), before, "the agent keeps all of them");
    assert_lines(&server.result_lines()?, &[], "refused results");
    assert!(checked(agent.enroll().await).verdict.is_success());
    assert!(agent.flush_logs().await.into_iter().map(checked).all(|exchange| exchange.verdict.is_success()));
    assert_eq!(agent.agent().buffered_lines(), 0);
    assert_lines(&server.result_lines()?, &results, "results");
    // The agent has something to say of its own, too.
    let mut kept = server.status_lines()?;
    kept.retain(|line| statuses.contains(line));
    assert_lines(&kept, &statuses, "statuses");
    assert_one_host_with_a_new_key(&server, &agent, &old_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_its_own_timers_the_agent_recovers_and_delivers_each_line_once() -> Result<()> {
    let mut server = CompatServer::start().await?;
    let mut agent = server.agent(1)?;
    let now_ms = agent.now_ms();
    let mut drive = Drive::new(agent.agent_mut(), server.transport()?, now_ms);
    drive.until_success(ExchangeStep::Config).await?;
    server.restart(Forgets::AllNodeKeys).await?;
    let lines = lines_of(&one(6)?)?;
    let now_ms = drive.now_ms();
    for line in &lines {
        drive.agent.push_result_line(line.as_slice(), now_ms);
    }
    drive.requests.clear();
    drive.until_success(ExchangeStep::Results).await?;
    drive.until_success(ExchangeStep::Config).await?;
    let enrollments = drive.requests.iter().filter(|endpoint| **endpoint == AgentEndpoint::Enroll).count();
    assert_eq!(enrollments, 1, "{:?}", drive.requests);
    let (mut kept, mut sent) = (server.result_lines()?, lines);
    kept.sort();
    sent.sort();
    assert_lines(&kept, &sent, "results");
    server.only_host()?;
    Ok(())
}
