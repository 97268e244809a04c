//! `fleetctl top`: what burdens the fleet now.

use std::cmp::Reverse;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use muster_api::rest::{
    Denylist, Denylisted, FleetCosts, FleetQueryCost, LiveHost, LiveHosts, LiveQueries, LiveQuery, QueryCostReport,
    StalledHosts, WorkerRestart, WorkerRestarts,
};
use serde::Serialize;

use super::stop_signal::StopSignal;
use super::{ClientSession, costs};
use crate::rest::RestClient;
use crate::{output, table};

/// Clears the screen and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Queries, and live queries, whose hosts are looked up.
const LOOKED_INTO: usize = 5;

const EXAMPLES: &str = "\
Examples:
  # Watch what burdens the fleet
  fleetctl top

  # Print the five queries that cost most, once
  fleetctl top --once -n 5";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Rows of each table
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Seconds between refreshes
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    every: u16,
    /// Print one line of JSON for each refresh
    #[arg(long)]
    json: bool,
    /// Print once and exit, as if the output were no terminal
    #[arg(long)]
    once: bool,
}

/// What `top` shows.
#[derive(Serialize)]
struct Top {
    at: DateTime<Utc>,
    /// Most expensive first, of today and yesterday.
    queries: Vec<FleetQueryCost>,
    /// Hosts on which runs of these queries cost most.
    hosts: Vec<TopHost>,
    /// The latest first.
    denylist: Vec<Denylisted>,
    /// The latest first.
    restarts: Vec<WorkerRestart>,
    /// Live queries that stopped workers or that agents refuse, the latest first.
    live_queries: Vec<TopLiveQuery>,
    /// Hosts that check in and run no scheduled query.
    stalled_hosts: usize,
}

/// A host on which a run of a query costs much.
#[derive(Serialize)]
struct TopHost {
    host_id: i64,
    hostname: String,
    pack: String,
    name: String,
    /// CPU time of a run, in milliseconds.
    cpu_time: f64,
    executions: u64,
}

/// A live query that agents have stopped.
#[derive(Serialize)]
struct TopLiveQuery {
    #[serde(flatten)]
    live_query: LiveQuery,
    /// Hosts whose worker it has probably stopped.
    suspects: Vec<LiveHost>,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    // Into a pipe, JSON goes on line by line, and a text is printed once.
    let refreshes = !args.once && (args.json || std::io::stdout().is_terminal());
    let is_screen = refreshes && !args.json;
    let mut stop = StopSignal::listen()?;
    let mut refresh = tokio::time::interval(Duration::from_secs(args.every.into()));
    loop {
        tokio::select! {
            _ = refresh.tick() => {}
            () = stop.requested() => return Ok(()),
        }
        let top = tokio::select! {
            top = read(&server, args.count.into()) => top?,
            () = stop.requested() => return Ok(()),
        };
        if args.json {
            output::line(&serde_json::to_string(&top).context("cannot print the response")?)?;
        } else {
            output::data(&format!("{}{}", if is_screen { CLEAR } else { "" }, top.text()))?;
        }
        if !refreshes {
            return Ok(());
        }
    }
}

async fn read(server: &RestClient, count: usize) -> anyhow::Result<Top> {
    let FleetCosts { to: at, mut queries, .. } = costs::of_fleet(server).await?;
    queries.truncate(count);
    let mut hosts = Vec::new();
    for query in queries.iter().filter(|query| query.cost.executions > 0).take(LOOKED_INTO) {
        let report: QueryCostReport = server.get(&costs::query_path(&query.pack, &query.name)).await?;
        hosts.extend(report.worst_hosts.into_iter().map(|host| TopHost {
            host_id: host.host_id,
            hostname: host.hostname,
            pack: query.pack.clone(),
            name: query.name.clone(),
            cpu_time: host.cpu_time,
            executions: host.executions,
        }));
    }
    hosts.sort_by(|one, other| other.cpu_time.total_cmp(&one.cpu_time));
    hosts.truncate(count);
    let page = format!("page=0&per_page={count}");
    let denylist: Denylist = server.get(&format!("statistics/denylist?{page}")).await?;
    let restarts: WorkerRestarts = server.get(&format!("statistics/restarts?{page}")).await?;
    let stalled: StalledHosts = server.get("statistics/stalled").await?;
    let live: LiveQueries = server.get("live_queries?status=all").await?;
    let stops_workers = |live: &LiveQuery| live.counts.suspect + live.counts.denylisted > 0;
    let mut stopped: Vec<_> = live.live_queries.into_iter().filter(stops_workers).collect();
    stopped.sort_by_key(|live| Reverse(live.created_at));
    let mut live_queries = Vec::new();
    for live_query in stopped.into_iter().take(count.min(LOOKED_INTO)) {
        let found: LiveHosts = server.get(&format!("live_queries/{}/hosts?state=suspect", live_query.id)).await?;
        live_queries.push(TopLiveQuery { live_query, suspects: found.hosts });
    }
    Ok(Top {
        at,
        live_queries,
        queries,
        hosts,
        denylist: denylist.denylist,
        restarts: restarts.restarts,
        stalled_hosts: stalled.hosts.len(),
    })
}

impl Top {
    fn text(&self) -> String {
        let stalled = match self.stalled_hosts {
            1 => "1 host checks in and runs nothing".to_owned(),
            hosts => format!("{hosts} hosts check in and run nothing"),
        };
        let at = self.at.format("%Y-%m-%d %H:%M:%S");
        let mut text = format!("{at} UTC; CPU of runs today and yesterday. {stalled}.\n");
        let queries = self.queries.iter().map(|query| {
            vec![
                costs::full_name(&query.pack, &query.name),
                costs::impact(query.impact).to_owned(),
                costs::percentile(query.cost.cpu_time.as_ref(), |cpu| cpu.p95, costs::millis),
                format!("{:.1} s", query.cost.cpu_seconds),
                format!("{:.1} %", query.share * 100.0),
                query.cost.hosts.to_string(),
                query.denylisted_hosts.to_string(),
            ]
        });
        let columns = ["query", "impact", "cpu p95", "cpu in all", "share", "hosts", "denylisted"];
        section(&mut text, &columns, queries.collect());
        let hosts = self.hosts.iter().map(|host| {
            vec![host.hostname.clone(), costs::full_name(&host.pack, &host.name), costs::millis(host.cpu_time)]
        });
        section(&mut text, &["host", "query", "cpu of a run"], hosts.collect());
        let denylist = self.denylist.iter().map(|denylisted| {
            let query = costs::full_name(&denylisted.pack, &denylisted.name);
            vec![denylisted.since.to_string(), query, denylisted.hostname.clone()]
        });
        section(&mut text, &["denylisted since", "query", "host"], denylist.collect());
        let restarts = self.restarts.iter().map(|restart| {
            vec![restart.seen_at.to_string(), super::get::restart_cause(restart), restart.hostname.clone()]
        });
        section(&mut text, &["worker replaced", "cause", "host"], restarts.collect());
        let live_queries = self.live_queries.iter().map(|TopLiveQuery { live_query: live, suspects }| {
            let hosts: Vec<&str> = suspects.iter().map(|host| host.hostname.as_str()).collect();
            vec![live.created_at.to_string(), live.query.clone(), hosts.join(", "), live.counts.denylisted.to_string()]
        });
        section(&mut text, &["live query of", "sql", "stopped the worker of", "refused by"], live_queries.collect());
        text
    }
}

fn section(text: &mut String, columns: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table::grid(columns, rows));
    }
}
