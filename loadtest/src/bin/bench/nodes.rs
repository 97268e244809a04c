//! The cost of a cluster to its database and its bus, by its number of nodes, when any node gets any request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent_compat::live::now_ms;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::backend::BackendKind;
use crate::load::{Load, fleet_flags};
use crate::phases::{Quantiles, Span, TOGETHER};
use crate::proc::median;
use crate::process::Cores;
use crate::report::{COUNTERS, grouped};
use crate::standard::Window;
use crate::subject::{ConnectionMode, Programs, Snapshot, Stopped, Subject};

/// How often hosts are asked about their details and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Questions {
    Hourly,
    EveryFiveMinutes,
}

impl Questions {
    fn title(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::EveryFiveMinutes => "every 5 min",
        }
    }

    fn interval(self) -> Duration {
        Duration::from_secs(if self == Self::Hourly { 3600 } else { 300 })
    }

    fn settings(self) -> Vec<String> {
        let seconds = self.interval().as_secs();
        ["detail", "label"].map(|kind| format!("--osquery_{kind}_update_interval={seconds}s")).to_vec()
    }
}

/// Sizes of clusters, and length of what is measured.
#[derive(Debug, Clone)]
pub struct NodesPlan {
    pub agents: u32,
    pub nodes: Vec<usize>,
    pub ramp: Duration,
    /// Until the first questions are answered.
    pub answered: Duration,
    /// From then to the first window, for each node: every host has been at every node.
    pub settle: Duration,
    pub windows: u32,
    pub window: Duration,
}

impl NodesPlan {
    pub fn whole() -> Self {
        let [ramp, answered, settle, window] = [60, 20, 75, 30].map(Duration::from_secs);
        Self { agents: 10_000, nodes: vec![1, 2, 4], ramp, answered, settle, windows: 3, window }
    }

    pub fn quick() -> Self {
        let [ramp, answered, settle, window] = [8, 5, 40, 10].map(Duration::from_secs);
        Self { agents: 1_000, nodes: vec![1, 2], ramp, answered, settle, windows: 1, window }
    }
}

/// Medians over the windows, of all nodes together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterCost {
    pub nodes: usize,
    pub hosts: u32,
    pub questions: String,
    pub requests_per_second: f64,
    pub server_us_per_request: f64,
    pub per_1000: BTreeMap<String, f64>,
    pub database_us_per_1000: f64,
    /// Of check-ins in the windows.
    pub latency: Quantiles,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: NodesPlan) -> Result<Vec<ClusterCost>> {
    ensure!(kind == BackendKind::Mariadb, "several nodes need --backend mariadb");
    let mut rows = Vec::new();
    for questions in [Questions::Hourly, Questions::EveryFiveMinutes] {
        for nodes in &plan.nodes {
            let row = cluster(programs, kind, &plan, *nodes, questions).await?;
            eprintln!(
                "{nodes} nodes, asked {}: {:.0} requests/s, {:?} and {:.2} ms of database CPU per 1,000",
                row.questions,
                row.requests_per_second,
                row.per_1000,
                row.database_us_per_1000 / 1000.0
            );
            rows.push(row);
        }
    }
    Ok(rows)
}

async fn cluster(
    programs: &Programs,
    kind: BackendKind,
    plan: &NodesPlan,
    count: usize,
    questions: Questions,
) -> Result<ClusterCost> {
    let mode = ConnectionMode::BalancedTls;
    let first = Subject::server(programs, kind, mode, Cores::All, &questions.settings()).await?;
    first.set_up().await?;
    let mut nodes = vec![first];
    while nodes.len() < count {
        nodes.push(nodes[0].another().await?);
    }
    let settle = plan.settle * u32::try_from(count)?;
    let duration = plan.answered + settle + plan.window * plan.windows + Duration::from_secs(30);
    let mut words = fleet_flags(plan.agents, plan.ramp, duration);
    words.push("--slices=1s".to_owned());
    words.extend(nodes.iter().skip(1).map(|node| format!("--server={}", node.address.url())));
    let mut load = Load::start(programs, &nodes[0], Cores::All, &words)?;
    load.enrolled(&nodes, plan.agents, plan.ramp + Duration::from_secs(60)).await?;
    sleep(plan.answered).await;
    nodes = as_if_long_enrolled(nodes, questions.interval() / 4).await?;
    sleep(settle).await;
    let from_ms = now_ms();
    let mut windows = Vec::new();
    for _ in 0..plan.windows {
        let (before, begun) = (counters(&nodes, true).await?, Instant::now());
        sleep(plan.window).await;
        let seconds = begun.elapsed().as_secs_f64();
        windows.push(Window::between(&before, &counters(&nodes, false).await?, seconds)?);
    }
    let span = Span { from_ms, to_ms: now_ms() };
    load.check_running().context("the load ended before the last window did")?;
    let latency = load.results().await?.phase(span)?.remove(TOGETHER).unwrap_or_default();
    // The first one has the database.
    for node in nodes.into_iter().rev() {
        node.stop().await?;
    }
    let mid = |value: &dyn Fn(&Window) -> f64| median(windows.iter().map(value));
    let per_1000 = |name: &str| mid(&|window| window.per_1000.get(name).copied().unwrap_or(0.0));
    Ok(ClusterCost {
        nodes: count,
        hosts: plan.agents,
        questions: questions.title().to_owned(),
        requests_per_second: mid(&|window| window.requests / window.seconds),
        server_us_per_request: mid(&|window| window.cpu_us / window.requests),
        per_1000: COUNTERS.iter().map(|(_, name)| ((*name).to_owned(), per_1000(name))).collect(),
        database_us_per_1000: mid(&|window| window.database_us.unwrap_or(0.0) * 1000.0 / window.requests),
        latency,
    })
}

/// Starts the nodes again with hosts, and labels, that look older. Hosts are asked again at a time of their own, a
/// quarter of the interval after they enrolled and later; a fleet that has just come would show no questions for long.
async fn as_if_long_enrolled(nodes: Vec<Subject>, by: Duration) -> Result<Vec<Subject>> {
    let mut stopped: Vec<Stopped> = Vec::new();
    for node in nodes {
        stopped.push(node.stopped().await?);
    }
    let micros = by.as_micros();
    let hosts = ["detail_updated_at", "label_updated_at"]
        .map(|column| format!("UPDATE hosts SET {column} = {column} - {micros} WHERE {column} > {micros}"));
    let labels =
        format!("UPDATE labels SET updated_at = updated_at - {} WHERE updated_at > {}", micros * 2, micros * 2);
    for statement in hosts.iter().chain([&labels]) {
        stopped[0].execute(statement).await?;
    }
    let mut started = Vec::new();
    for node in stopped {
        started.push(node.start().await?);
    }
    Ok(started)
}

/// The counters of all nodes together, at the beginning of a window or at its end.
async fn counters(nodes: &[Subject], opens: bool) -> Result<Snapshot> {
    let mut sum = Snapshot::default();
    for node in nodes {
        sum.add(&if opens { node.open().await? } else { node.close().await? });
    }
    Ok(sum)
}

/// As a table.
pub fn render(rows: &[ClusterCost]) -> String {
    let mut text = String::from(
        "| nodes | hosts | questions | requests/s | SQL statements | rows written | bus commands | database CPU, ms | server CPU per request, µs | p50 / p99, ms | failed |\n\
         |---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let counted: String = COUNTERS
            .iter()
            .map(|(_, name)| format!(" {:.1} |", row.per_1000.get(*name).copied().unwrap_or(0.0)))
            .collect();
        text += &format!(
            "| {} | {} | {} | {:.0} |{counted} {:.2} | {:.1} | {} | {} |\n",
            row.nodes,
            grouped(row.hosts.into()),
            row.questions,
            row.requests_per_second,
            row.database_us_per_1000 / 1000.0,
            row.server_us_per_request,
            row.latency.beside(None),
            grouped(row.latency.failed),
        );
    }
    text + "\nStatements, rows, commands and the database's CPU are per 1,000 requests of agents.\n"
}
