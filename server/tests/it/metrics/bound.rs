use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use agent_compat::TestAgent;

use super::{assert_described, assert_promtool_likes, exposition};
use crate::checkin::statistics::{first_sampled, sampled};
use crate::rest::hosts::add_hosts_to;
use crate::rest::{DOCUMENTS, operations};
use crate::support::{TestServer, count};

const QUERIES: usize = 500;

/// Queries that stop the worker of one agent, as many as one is believed; of two agents they are more than are shown.
const DENYLISTED: usize = 32;

/// Queries that are shown at most.
const SHOWN: usize = 50;

const MAX_SERIES: usize = 5_500;

/// A pack of many queries, and the delimiter of their names: an operation before may have changed it.
fn pack() -> String {
    let mut text = "kind: options\nspec: {config: {options: {pack_delimiter: /}}}\n---\nkind: pack\nspec:\n  name: many\n  targets: {labels: [All Hosts]}\n  queries:\n".to_owned();
    for query in 0..QUERIES {
        let _ = writeln!(text, "  - {{query: q{query}, interval: 60}}");
    }
    for query in 0..QUERIES {
        let _ = write!(text, "---\nkind: query\nspec: {{name: q{query}, query: SELECT {query} AS number}}\n");
    }
    text
}

/// Runs each query once; some of them stop the worker.
async fn run_all(agent: &mut TestAgent, deadly: Range<usize>) {
    let sql: BTreeSet<String> = deadly.clone().map(|query| format!("SELECT {query} AS number")).collect();
    agent.agent_mut().set_killer(Some(Arc::new(move |asked: &str| sql.contains(asked))));
    let (stopping, others): (Vec<_>, Vec<_>) = (0..QUERIES).partition(|query| deadly.contains(query));
    for query in stopping {
        agent.run_scheduled(&format!("pack/many/q{query}"));
        assert!(agent.config().await.verdict.is_success(), "as a new worker does");
    }
    others.iter().for_each(|query| agent.run_scheduled(&format!("pack/many/q{query}")));
}

/// However large the fleet, its queries and what operators do: a bounded number of series, none of which names a host.
#[tokio::test]
async fn series_are_bounded() {
    let mut server = TestServer::with(|config| {
        config.statistics.interval = Duration::from_secs(60);
        config.statistics.write_interval = Duration::ZERO;
    })
    .await;
    add_hosts_to(&mut server, count(2_000, 20_000)).await;
    // More platforms than are shown.
    server.database().execute("UPDATE hosts SET platform = id % 80");
    server.restart().await;
    let (agent, other) = (server.enrolled(1).await, server.enrolled(2).await);
    server.rest.apply_yaml(DOCUMENTS).await;
    // Not the administrator, whose session the last of them ends.
    for rest in [server.rest.anonymous(), server.user("admin")] {
        for operation in operations::all(&server).await {
            rest.send(operation.method, operation.path, operation.body.as_ref()).await;
        }
    }
    server.rest.apply_yaml(&pack()).await;
    let mut agents = [agent, other];
    for (agent, deadly) in agents.iter_mut().zip([0..DENYLISTED, DENYLISTED..2 * DENYLISTED]) {
        first_sampled(&server, agent).await;
        run_all(agent, deadly).await;
        sampled(&server, agent).await;
    }
    server.run_tasks().await;
    let text = server.rest.anonymous().get("/metrics").await.text;
    let families = exposition::parse(&text);
    assert_described(&families);
    assert_promtool_likes(&text);
    let series =
        |name: &str| families.iter().find(|family| family.name == name).map_or(0, |family| family.samples.len());
    assert_eq!(series("muster_hosts_by_platform"), 51);
    assert_eq!((series("muster_query_cpu_seconds"), series("muster_query_denylisted_hosts")), (2 * SHOWN, SHOWN));
    let all: usize = families.iter().map(|family| family.samples.len()).sum();
    let handlers = series("http_request_size_bytes") / 9;
    eprintln!("{all} series of {} metrics after {handlers} operations", families.len());
    assert!(handlers > 80, "{handlers} operations");
    assert!(all < MAX_SERIES, "{all} series");
    for sample in families.iter().flat_map(|family| &family.samples) {
        let is_host = |value: &String| value.contains("host-0") || value.starts_with("id-");
        assert!(!sample.labels.values().any(is_host), "{sample:?}");
    }
}
