//! What the pages of the dashboard take with a large fleet whose hosts have told for a week what a hundred queries cost them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::backend::BackendKind;
use crate::directory::{self, HOSTS, LOADED_WITHIN};
use crate::load::{Load, flags, fleet_flags};
use crate::operator::Operator;
use crate::process::Cores;
use crate::subject::{ConnectionMode, Programs, Stopped, Subject};

/// Scheduled queries of every host.
const QUERIES: usize = 100;

/// Hosts that really run them; the others have samples and costs like theirs.
const AGENTS: u32 = 100;

/// Hours of costs.
const HOURS: u32 = 7 * 24;

/// Pairs of host and query that are denylisted, and replaced workers.
const EVENTS: u32 = 1_000;

/// Requests for each page, whose median is taken.
const REQUESTS: usize = 21;

/// Longest wait until the costs of an hour are together.
const CLOSED_WITHIN: Duration = Duration::from_secs(120);

/// Pages, and how they are called in the table.
const PAGES: [(&str, &str); 17] = [
    ("overview", "/"),
    ("hosts", "/hosts"),
    ("hosts by text", "/hosts?query=HOST-1000499999"),
    ("missing hosts", "/hosts?status=missing"),
    ("a host", "/hosts/250000"),
    ("queries of a host", "/hosts/250000/queries"),
    ("config of a host", "/hosts/250000/config"),
    ("queries", "/queries"),
    ("cost of a query", "/queries/cost?pack=bench&name=query-7"),
    ("saved queries", "/queries/saved"),
    ("live queries", "/live"),
    ("watchdog", "/watchdog"),
    ("packs", "/packs"),
    ("labels", "/labels"),
    ("activity", "/activity"),
    ("users", "/users"),
    ("about", "/about"),
];

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageCost {
    pub page: String,
    /// From the beginning of the request to the end of the answer, on a connection of its own.
    pub millis: f64,
    /// Compressed.
    pub bytes: u64,
    /// Fewest of all requests, because the server also works on its own.
    pub statements: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageCosts {
    pub hosts: u64,
    pub queries: usize,
    pub pages: Vec<PageCost>,
}

impl PageCosts {
    /// As a table.
    pub fn render(&self) -> String {
        let mut text = String::from("| page | ms | KB, compressed | SQL statements |\n|---|---:|---:|---:|\n");
        for page in &self.pages {
            let kilobytes = page.bytes as f64 / 1000.0;
            text += &format!("| {} | {:.1} | {kilobytes:.1} | {} |\n", page.page, page.millis, page.statements);
        }
        let hosts = crate::report::grouped(self.hosts);
        text + &format!("\nWith {hosts} hosts, {} scheduled queries, and a week of what they cost.\n", self.queries)
    }
}

pub async fn measure(programs: &Programs, kind: BackendKind) -> Result<PageCosts> {
    let settings = flags("--statistics_interval=10s --statistics_write_interval=5s");
    let server = Subject::server(programs, kind, ConnectionMode::BalancedPlain, Cores::All, &settings).await?;
    server.set_up().await?;
    let operator = Operator::log_in(&server).await?;
    operator.ask("POST", "spec/apply", &schedule().to_string()).await?;
    let words = fleet_flags(AGENTS, Duration::from_secs(2), Duration::from_secs(60));
    let load = Load::start(programs, &server, Cores::All, &words)?;
    load.results().await?.warn("hosts that run the queries");
    let server = closed(server).await?;
    let [label, platform] =
        [directory::label_id(&operator, "All Linux").await?, directory::label_id(&operator, "Ubuntu Linux").await?];
    let stopped = server.stopped().await?;
    directory::fill(&stopped, AGENTS.into(), label, platform).await?;
    spread(&stopped).await?;
    let begun = Instant::now();
    let server = stopped.start().await?;
    while operator.ask("GET", "hosts/count", "").await.is_err() {
        ensure!(begun.elapsed() < LOADED_WITHIN, "the hosts are not loaded within {} s", LOADED_WITHIN.as_secs());
    }
    let mut pages = Vec::new();
    for (page, path) in PAGES {
        let (mut times, mut bytes, mut statements) = (Vec::new(), 0, u64::MAX);
        for _ in 0..REQUESTS {
            let before = statements_of(&server).await?;
            let begun = Instant::now();
            let answer = operator.page(path).await?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            statements = statements.min(statements_of(&server).await? - before);
            bytes = answer.len() as u64;
        }
        times.sort_by(f64::total_cmp);
        pages.push(PageCost { page: page.to_owned(), millis: times[REQUESTS / 2], bytes, statements });
    }
    server.stop().await?;
    Ok(PageCosts { hosts: HOSTS, queries: QUERIES, pages })
}

async fn statements_of(server: &Subject) -> Result<u64> {
    let numbers = server.close().await?;
    Ok(numbers.number("muster_sql_statements_total").context("the server counts no statements")? as u64)
}

/// A pack for all hosts, with many queries that run often.
fn schedule() -> Value {
    let name = |number: usize| format!("query-{number}");
    let sql = |number: usize| format!("SELECT pid, name FROM processes WHERE pid > {number}");
    let document = |kind: &str, spec: Value| json!({ "apiVersion": "v1", "kind": kind, "spec": spec });
    let queries = (0..QUERIES).map(|number| document("query", json!({ "name": name(number), "query": sql(number) })));
    let scheduled: Vec<Value> =
        (0..QUERIES).map(|number| json!({ "query": name(number), "name": name(number), "interval": 5 })).collect();
    let pack = json!({ "name": "bench", "targets": { "labels": ["All Hosts"] }, "queries": scheduled });
    json!({ "documents": queries.chain([document("pack", pack)]).collect::<Vec<_>>() })
}

/// Moves what was counted into the hour before, and waits until the server has put the parts of that hour together.
async fn closed(server: Subject) -> Result<Subject> {
    let stopped = server.stopped().await?;
    stopped.execute("UPDATE cost_parts SET hour = hour - 1").await?;
    let server = stopped.start().await?;
    let deadline = Instant::now() + CLOSED_WITHIN;
    let line = "muster_task_runs_total{outcome=\"done\",task=\"close_statistics\"}";
    while server.close().await?.number(line).is_none_or(|runs| runs < 1.0) {
        ensure!(Instant::now() < deadline, "the costs of an hour were not put together");
        sleep(Duration::from_secs(1)).await;
    }
    Ok(server)
}

/// Gives all hosts a sample like that of the first one, and all hours of a week the costs of the last one.
async fn spread(stopped: &Stopped) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros();
    let samples = "INSERT INTO schedule_samples (host_id, received_at, unix_time, start_time, pid, sample) \
         SELECT hosts.id, one.received_at, one.unix_time, one.start_time, one.pid, one.sample FROM hosts, \
             (SELECT * FROM schedule_samples WHERE host_id = (SELECT MIN(host_id) FROM schedule_samples)) AS one \
         WHERE hosts.id NOT IN (SELECT host_id FROM schedule_samples)";
    let numbers = |count: u32| {
        format!(
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n) AS n"
        )
    };
    let costs = format!(
        "INSERT INTO query_costs (query_version_id, span, bucket, costs) \
         SELECT query_version_id, span, bucket - i, costs FROM query_costs, {} WHERE span = 0",
        numbers(HOURS)
    );
    let counts = format!(
        "INSERT INTO host_counts (span, bucket, counts) SELECT span, bucket - i, counts FROM host_counts, {} WHERE span = 0",
        numbers(HOURS)
    );
    let name = stopped.joined(&["'query-'", "(i % 100)"]);
    let denylisted = format!(
        "INSERT INTO denylisted_queries (host_id, pack, name, since) SELECT i * 7, 'bench', {name}, {now} - i * 1000000 FROM {}",
        numbers(EVENTS)
    );
    let suspects = stopped.joined(&["'[[\"bench\",\"query-'", "(i % 100)", "'\"]]'"]);
    let restarts = format!(
        "INSERT INTO worker_restarts (host_id, seen_at, started_at, is_upgrade, is_reported, suspects) \
         SELECT i * 7, {now} - i * 1000000, 0, 0, 0, {suspects} FROM {}",
        numbers(EVENTS)
    );
    for statement in [samples, &costs, &counts, &denylisted, &restarts] {
        stopped.execute(statement).await?;
    }
    Ok(())
}
