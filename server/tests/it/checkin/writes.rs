use std::sync::LazyLock;
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::{label, names};
use crate::support::{TestServer, count, object};

static HOSTS: LazyLock<u32> = LazyLock::new(|| count(200, 1000));
const LABELS: u32 = 50;

/// Hosts that check in at one time.
const TOGETHER: usize = 40;

/// Whether a host is in a label: half are, and one in twenty changes from hour to hour.
fn is_member(host: u32, label: u32, hour: u32) -> bool {
    let flips = (1..=hour).filter(|hour| (host * 31 + label * 17 + hour * 7).is_multiple_of(20)).count();
    (host + label).is_multiple_of(2) ^ !flips.is_multiple_of(2)
}

/// Answers whatever the host is asked. Says how many labels it was asked about.
async fn check_in(agent: &TestAgent, host: u32, hour: u32) -> usize {
    let key = agent.node_key().to_owned();
    let body = json!({ "node_key": key }).to_string();
    let asked = names(&object(&agent.raw(AgentEndpoint::DistributedRead, body, &[]).await));
    let mut queries = Map::new();
    let mut statuses = Map::new();
    let mut labels = 0;
    for name in asked {
        let rows = match name.strip_prefix("fleet_label_query_") {
            Some(id) => {
                labels += 1;
                let is_in = is_member(host, id.parse::<u32>().unwrap(), hour);
                if is_in { json!([{ "1": "1" }]) } else { json!([]) }
            }
            None => json!([]),
        };
        queries.insert(name.clone(), rows);
        statuses.insert(name, Value::from(0));
    }
    let body = json!({ "node_key": key, "queries": queries, "statuses": statuses }).to_string();
    assert!(agent.raw(AgentEndpoint::DistributedWrite, body, &[]).await.verdict.is_success());
    labels
}

#[tokio::test]
async fn only_memberships_that_change_are_written() {
    let server = TestServer::with(|config| {
        config.server.tls = false;
        config.osquery.enrolls_per_second = 10_000;
        config.osquery.enrolls_per_second_per_secret = 10_000;
    })
    .await;
    let labels: Vec<Value> = (0..LABELS).map(|n| label(&format!("label {n}"), &format!("SELECT {n}"))).collect();
    server.rest.apply(&labels).await;
    let first_label = 8;
    let mut agents = Vec::new();
    for host in 0..*HOSTS {
        agents.push(server.enrolled(host).await);
    }
    let ids = || first_label..first_label + LABELS;
    let mut expected_added = 0;
    let mut expected_removed = 0;
    for hour in 0..3 {
        // Hosts that come together are asked together, without waiting for others.
        for (host, several) in (0..*HOSTS).step_by(TOGETHER).zip(agents.chunks(TOGETHER)) {
            let asked = join_all((host..).zip(several).map(|(host, agent)| check_in(agent, host, hour))).await;
            assert_eq!(asked, vec![LABELS as usize; several.len()], "hosts from {host} on in hour {hour}");
        }
        for host in 0..*HOSTS {
            for id in ids() {
                let was = hour > 0 && is_member(host, id, hour - 1);
                match (was, is_member(host, id, hour)) {
                    (false, true) => expected_added += 1,
                    (true, false) => expected_removed += 1,
                    _ => {}
                }
            }
        }
        server.run_tasks().await;
        server.clock.advance(Duration::from_secs(2 * 3600));
    }
    assert!(expected_removed > 0 && expected_added > 0);
    assert_eq!(server.metric(r#"muster_label_changes_total{change="added"}"#).await, f64::from(expected_added));
    assert_eq!(server.metric(r#"muster_label_changes_total{change="removed"}"#).await, f64::from(expected_removed));
    let members: u32 = (0..*HOSTS).map(|host| ids().filter(|id| is_member(host, *id, 2)).count() as u32).sum();
    let written = server.number("SELECT count(*) FROM label_members WHERE label_id >= 8");
    assert_eq!(written, i64::from(members));
}
