use std::sync::Arc;
use std::time::Duration;

use agent_compat::agent::{Flags, Identity, Platform};
use agent_compat::tables::{Context, Cost, Row, Tables};
use agent_compat::transport::Direct;
use agent_compat::{SqliteHost, TestAgent};

use crate::checkin::{questions, settle};
use crate::support::{ENROLL_SECRET, TestServer};

const QUESTION: &str = "fleet_detail_query_scheduled_query_stats";

/// The query that stops workers.
const KILLER: &str = "SELECT path, sha256 FROM hash WHERE path LIKE '/usr/%%'";

/// Seconds of CPU that a run takes are told by its number.
const DOCUMENTS: &str = "
kind: query
spec: {name: processes, description: What runs, query: 'SELECT pid, name, path FROM processes'}
---
kind: query
spec: {name: open sockets, query: 'SELECT pid, remote_address FROM process_open_sockets'}
---
kind: query
spec: {name: system info, observer_can_run: true, query: 'SELECT hostname, cpu_brand FROM system_info'}
---
kind: query
spec: {name: file hashes, description: Hashes of everything, query: \"SELECT path, sha256 FROM hash WHERE path LIKE '/usr/%%'\"}
---
kind: query
spec: {name: uptime, query: 'SELECT total_seconds FROM uptime'}
---
kind: label
spec: {name: web servers, description: Those that face the world, query: \"SELECT 1 FROM system_info WHERE hostname LIKE '%1%'\"}
---
kind: pack
spec:
  name: monitoring
  description: How hosts are
  targets: {labels: [All Hosts]}
  queries:
  - {query: processes, interval: 60}
  - {query: open sockets, interval: 60}
  - {query: system info, interval: 60}
  - {query: uptime, interval: 60}
---
kind: pack
spec:
  name: integrity
  targets: {labels: [All Hosts]}
  queries:
  - {query: file hashes, interval: 60}
  - {query: processes, name: processes again, interval: 60, platform: windows}
---
kind: rollout
spec:
  name: sockets of servers
  cohorts: [{percent: 50}, {percent: 100}]
  documents:
  - kind: pack
    spec:
      name: servers
      platform: windows
      targets: {labels: [web servers]}
      queries:
      - {query: open sockets, name: sockets of servers, interval: 600}
";

/// A host whose queries cost what their tables suggest.
struct CostlyHost {
    tables: SqliteHost,
    factor: u64,
    cost: Cost,
    runs: u64,
}

impl Tables for CostlyHost {
    fn query(&mut self, sql: &str, context: &Context<'_>) -> Result<Vec<Row>, String> {
        self.runs += 1;
        let base = match sql {
            sql if sql.contains("FROM hash") => 4_600,
            sql if sql.contains("process_open_sockets") => 2_300,
            sql if sql.contains("FROM processes") => 240,
            sql if sql.contains("FROM uptime") => 3,
            _ => 35,
        };
        // The same on every run of a test, and not the same twice.
        let user_ms = base * self.factor / 10 + base * (self.runs * 7 % 11) / 20;
        self.cost =
            Cost { wall_ms: user_ms * 3 / 2, user_ms, system_ms: user_ms / 5, memory_bytes: 400_000 + user_ms * 900 };
        self.tables.query(sql, context)
    }

    fn last_cost(&self) -> Cost {
        self.cost
    }
}

/// A server with settings for a lively fleet.
pub async fn server() -> TestServer {
    let server = TestServer::with(|config| {
        config.statistics.interval = Duration::from_secs(600);
        config.statistics.write_interval = Duration::ZERO;
        config.osquery.detail_update_interval = Duration::from_secs(30 * 24 * 3600);
        config.osquery.label_update_interval = Duration::from_secs(30 * 24 * 3600);
    })
    .await;
    server.rest.apply_yaml(DOCUMENTS).await;
    // Hosts that are asked before are asked about its labels once more.
    server.clock.advance(Duration::from_secs(15));
    server
}

/// Lets hosts live for some hours: all run their queries, the second's worker is stopped by one, the third's stand still.
pub async fn fleet(server: &TestServer, count: u32, hours: u32) -> Vec<TestAgent> {
    let mut agents = Vec::new();
    for index in 0..count {
        let platform = [Platform::Linux, Platform::Darwin, Platform::Linux, Platform::Windows][index as usize % 4];
        let mut agent = agent(server, Identity::simulated(1, index, platform), index);
        assert!(agent.enroll().await.verdict.is_success());
        agent.set_now(Some(u64::try_from(server.clock.now().0 / 1000).unwrap()));
        assert!(agent.config().await.verdict.is_success());
        settle(&mut agent).await;
        agents.push(agent);
    }
    server.run_tasks().await;
    for hour in 0..hours {
        server.clock.advance(Duration::from_secs(3600));
        for (index, agent) in agents.iter_mut().enumerate() {
            agent.set_now(Some(agent.now_ms() + 3_600_000));
            run(agent, index, hour);
            sampled(server, agent).await;
        }
        server.run_tasks().await;
    }
    agents
}

fn agent(server: &TestServer, identity: Identity, index: u32) -> TestAgent {
    let flags = Flags { enroll_secret: ENROLL_SECRET.into(), ..Flags::default() };
    let transport = Direct::new(&server.address.url, &server.address.trust).unwrap();
    let factor = 4 + u64::from(index * 13 % 29);
    let tables = CostlyHost { tables: SqliteHost::new(), factor, cost: Cost::default(), runs: u64::from(index) };
    TestAgent::with_tables(identity, flags, Box::new(tables), transport)
}

/// Runs the queries of an hour.
fn run(agent: &mut TestAgent, index: usize, hour: u32) {
    if index == 2 && hour > 0 {
        return;
    }
    let names = ["monitoring/processes", "monitoring/open sockets", "monitoring/system info", "monitoring/uptime"];
    for name in names {
        for _ in 0..5 {
            agent.run_scheduled(&format!("pack/{name}"));
        }
    }
    let is_stopped = index == 1 && hour == 1;
    if is_stopped {
        agent.agent_mut().set_killer(Some(Arc::new(|sql| sql == KILLER)));
    }
    if index != 1 || is_stopped {
        agent.run_scheduled("pack/integrity/file hashes");
    }
}

/// Lets an agent check in until it was asked for statistics.
async fn sampled(server: &TestServer, agent: &mut TestAgent) {
    assert!(agent.config().await.verdict.is_success());
    for _ in 0..6 {
        let asked = questions(&agent.distributed().await);
        if asked.contains(&QUESTION.to_owned()) {
            server.run_tasks().await;
            return;
        }
    }
    panic!("the host is not asked");
}
