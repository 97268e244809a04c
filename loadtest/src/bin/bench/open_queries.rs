//! The cost of a check-in while live queries wait for other hosts.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::sleep;

use crate::backend::BackendKind;
use crate::load::{Load, flags, prepare};
use crate::operator::Operator;
use crate::proc::median;
use crate::process::Cores;
use crate::subject::{ConnectionMode, Programs, Subject};

/// Live queries, each of one host that never asks.
const QUERIES: u32 = 200;

/// The hosts that ask, ten times a second each, and the first of those that never do.
const ASKING: u32 = 1_500;
const SILENT_FIRST: u32 = 500_000;

/// After live queries were opened or cancelled.
const SETTLE: Duration = Duration::from_secs(1);

/// Longest time to open or cancel them all.
const CHANGE: Duration = Duration::from_secs(20);

/// Pairs of windows and their length.
#[derive(Debug, Clone, Copy)]
pub struct PairsPlan {
    pub pairs: u32,
    pub window: Duration,
}

impl PairsPlan {
    pub fn whole() -> Self {
        Self { pairs: 7, window: Duration::from_secs(5) }
    }

    pub fn quick() -> Self {
        Self { pairs: 2, window: Duration::from_secs(3) }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenQueries {
    pub queries: u32,
    /// Microseconds of CPU for an empty read, without and with open live queries, by pair.
    pub pairs_us: Vec<(f64, f64)>,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: PairsPlan) -> Result<OpenQueries> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::server(), &[]).await?;
    let secret = prepare(programs, &server).await?;
    let operator = Operator::log_in(&server).await?;
    let hosts = silent_hosts(programs, &server, &secret, &operator).await?;
    let mut words = flags("--ramp=2s --distributed-interval=100ms --config-interval=0 --log-interval=0");
    let longest = (plan.window * 2 + SETTLE * 2 + CHANGE * 2) * plan.pairs + Duration::from_secs(60);
    words.extend([
        format!("--agents={ASKING}"),
        format!("--duration={}s", longest.as_secs()),
        format!("--enroll-secret={secret}"),
    ]);
    let mut load = Load::start(programs, &server, Cores::generator(), &words)?;
    load.enrolled(std::slice::from_ref(&server), ASKING + QUERIES + 1, Duration::from_secs(60)).await?;
    sleep(SETTLE).await;
    let mut pairs_us = Vec::new();
    for pair in 0..plan.pairs {
        let without_first = pair % 2 == 0;
        let first = if without_first { window(&server, plan.window).await? } else { 0.0 };
        let open = open(&operator, &hosts).await?;
        sleep(SETTLE).await;
        let with = window(&server, plan.window).await?;
        cancel(&operator, &open).await?;
        sleep(SETTLE).await;
        let without = if without_first { first } else { window(&server, plan.window).await? };
        load.check_running().context("the load ended before the windows did")?;
        eprintln!("an empty read: {without:.1} us, with {QUERIES} live queries {with:.1} us");
        pairs_us.push((without, with));
    }
    // It goes on for longer than is needed.
    drop(load);
    server.stop().await?;
    Ok(OpenQueries { queries: QUERIES, pairs_us })
}

/// Lets hosts enroll that never ask for work, and returns their names.
async fn silent_hosts(programs: &Programs, server: &Subject, secret: &str, operator: &Operator) -> Result<Vec<String>> {
    let mut words = flags("--ramp=1s --duration=1s --distributed-interval=0 --config-interval=0 --log-interval=0");
    words.extend([
        format!("--agents={QUERIES}"),
        format!("--first-agent={SILENT_FIRST}"),
        format!("--enroll-secret={secret}"),
    ]);
    Load::start(programs, server, Cores::generator(), &words)?.results().await?;
    let listed = operator.json("GET", "hosts?per_page=10000", "").await?;
    let names = listed["hosts"].as_array().into_iter().flatten().filter_map(|host| host["uuid"].as_str());
    let hosts: Vec<String> = names.take(QUERIES as usize).map(str::to_owned).collect();
    ensure!(hosts.len() == QUERIES as usize, "only {} of {QUERIES} silent hosts are listed", hosts.len());
    Ok(hosts)
}

/// Asks each host a live query of its own, and returns their ids.
async fn open(operator: &Operator, hosts: &[String]) -> Result<Vec<i64>> {
    let work = async {
        let mut ids = Vec::new();
        for host in hosts {
            let question = json!({ "query": "SELECT 1", "targets": { "hosts": [host] }, "deadline_seconds": 3600 });
            let answer = operator.json("POST", "live_queries", &question.to_string()).await?;
            let live = &answer["live_query"];
            ensure!(live["status"] == "open", "a live query is not open: {live}");
            ids.push(live["id"].as_i64().context("a live query has no id")?);
        }
        Ok(ids)
    };
    tokio::time::timeout(CHANGE, work).await.context("live queries could not be opened in time")?
}

async fn cancel(operator: &Operator, ids: &[i64]) -> Result<()> {
    let work = async {
        for id in ids {
            operator.ask("POST", &format!("live_queries/{id}/cancel"), "").await?;
        }
        Ok(())
    };
    tokio::time::timeout(CHANGE, work).await.context("live queries could not be cancelled in time")?
}

/// Microseconds of the server's CPU for a read.
async fn window(server: &Subject, length: Duration) -> Result<f64> {
    let before = server.open().await?;
    sleep(length).await;
    let after = server.close().await?;
    let handler = "get_distributed_queries";
    let reads = after.requests(handler) - before.requests(handler);
    ensure!(reads > 0.0, "no read was answered in the window");
    Ok((after.cpu_us - before.cpu_us) as f64 / reads)
}

impl OpenQueries {
    /// As a table.
    pub fn render(&self) -> String {
        format!(
            "| an empty read | server µs |\n|---|---:|\n| no live query is open | {:.1} |\n\
             | {} live queries of other hosts are open | {:.1} |\n| median ratio of {} pairs | {:.2} |\n",
            median(self.pairs_us.iter().map(|pair| pair.0)),
            self.queries,
            median(self.pairs_us.iter().map(|pair| pair.1)),
            self.pairs_us.len(),
            median(self.pairs_us.iter().map(|(without, with)| with / without)),
        )
    }
}
