use crate::harness::{CompatServer, checked, recording};
use agent_compat::TestAgent;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{one, server_knowing};

/// Agents from 4.3 to 5.23 load nothing larger.
const LARGEST: usize = 1_048_575;
const QUERIES: usize = 1_000;
/// Leaves less to be added than one query may have.
const SQL_BYTES: usize = 850_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_an_object_with_options() -> Result<()> {
    let request = one(3)?;
    let server = server_knowing([&request]).await?;
    let sent = server.send(&request).await?;
    let config = sent.verdict.value().with_context(|| sent.text())?;
    assert_eq!(sent.response.status, 200);
    assert!(config["options"].as_object().is_some_and(|options| !options.is_empty()), "{config}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_config_has_the_same_bytes() -> Result<()> {
    let request = one(3)?;
    let mut server = server_knowing([&request]).await?;
    let first = server.send(&request).await?.response.body;
    assert_eq!(server.send(&request).await?.response.body, first);
    server.restart(crate::harness::Forgets::Nothing).await?;
    assert_eq!(server.send(&request).await?.response.body, first, "agents reload everything when one byte differs");
    Ok(())
}

/// Schedules queries whose SQL together has about `SQL_BYTES`; the first one is longer by `more`.
async fn schedule(server: &CompatServer, more: usize) -> Result<()> {
    let name = |number: usize| format!("query {number:04}");
    let sql = |number: usize| {
        let length = SQL_BYTES / QUERIES + if number == 0 { more } else { 0 };
        format!("select 1 as \"{}\"", "x".repeat(length))
    };
    let queries: Vec<Value> =
        (0..QUERIES).map(|number| json!({ "name": name(number), "query": sql(number) })).collect();
    let scheduled: Vec<Value> = (0..QUERIES).map(|number| json!({ "query": name(number), "interval": 3600 })).collect();
    let pack = json!({ "name": "large", "queries": scheduled, "targets": { "labels": ["All Hosts"] } });
    let documents = queries.into_iter().map(|spec| document("query", &spec)).chain([document("pack", &pack)]);
    let documents: Vec<Value> = documents.collect();
    server.operate("/api/v1/fleet/spec/apply", &json!({ "documents": documents })).await?;
    Ok(())
}

fn document(kind: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": kind, "spec": spec })
}

async fn fetched(agent: &mut TestAgent) -> Result<Vec<u8>> {
    let exchange = checked(agent.config().await);
    anyhow::ensure!(exchange.verdict.is_success(), "{:?}", exchange.verdict);
    Ok(exchange.body().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_config_agents_load_arrives_and_a_larger_one_is_never_served() -> Result<()> {
    let server = CompatServer::start().await?;
    let mut agent = server.agent(1)?;
    checked(agent.enroll().await);
    let empty_hash = {
        fetched(&mut agent).await?;
        agent.agent().config_hash().to_owned()
    };
    schedule(&server, 0).await?;
    let missing = LARGEST - fetched(&mut agent).await?.len();
    schedule(&server, missing).await?;
    let largest = fetched(&mut agent).await?;
    assert_eq!(largest.len(), LARGEST);
    let config: Value = serde_json::from_slice(&largest)?;
    let queries = config.pointer("/packs/large/queries").and_then(Value::as_object).context("no queries")?;
    assert_eq!(queries.len(), QUERIES);
    assert_ne!(agent.agent().config_hash(), empty_hash, "the agent has loaded it");

    let refusal = schedule(&server, missing + 1).await.err().context("it was applied")?;
    assert!(refusal.to_string().contains(&(LARGEST + 1).to_string()), "{refusal}");
    assert_eq!(fetched(&mut agent).await?, largest, "the agent keeps what it had");

    // The agent of recording 54, and what it logged and answered meanwhile.
    let recorded = recording("54-config-too-big.tsv")?;
    let host_id = server.only_host()?;
    for (_, request) in &recorded {
        server.seed_key(request.header_key.as_deref().context("no key")?, host_id)?;
        let sent = server.send(request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
        assert!(sent.response.body.len() <= LARGEST, "{}", request.name);
    }
    Ok(())
}
