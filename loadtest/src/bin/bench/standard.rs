//! The standard profile as a whole: what a server with a fleet on it costs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use crate::endpoints;
use crate::load::{Load, account_flags, flags, fleet_flags, prepare};
use crate::proc::{median, rss_bytes};
use crate::process::Cores;
use crate::report::COUNTERS;
use crate::subject::{ConnectionMode, Programs, ServerAnswers, Snapshot, Subject};

const HANDLERS: [&str; 5] =
    ["enroll_agent", "get_client_config", "get_distributed_queries", "submit_distributed_query_results", "submit_logs"];

/// Size, duration and connections of one run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub agents: u32,
    pub mode: ConnectionMode,
    pub ramp: Duration,
    /// From the end of the ramp to the first window. Questions about the host come again a quarter of their interval
    /// after the first ones, so 75 s and more show the steady state.
    pub settle: Duration,
    /// Number of windows, one after the other.
    pub windows: usize,
    pub window: Duration,
}

/// Medians over the windows; what the generator counts is of its whole steady phase, which they lie in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StandardLoad {
    pub mode: String,
    pub agents: u32,
    pub windows: usize,
    pub window_secs: u64,
    pub requests_per_second: f64,
    pub server_us_per_request: f64,
    /// The ceiling's under the same requests, except those about the host; one window.
    pub ceiling_us_per_request: f64,
    /// Cores the server kept busy.
    pub server_cores: f64,
    pub generator_us_per_request: f64,
    /// Median and 99th percentile in milliseconds, by endpoint, counted from when the request was due.
    pub latency_ms: BTreeMap<String, (f64, f64)>,
    pub errors: BTreeMap<String, u64>,
    pub late: u64,
    pub requests: u64,
    pub acknowledged: u64,
    pub lost: u64,
    pub doubled: u64,
    pub per_1000: BTreeMap<String, f64>,
    pub database_us_per_1000: Option<f64>,
    pub rss_bytes: f64,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: Plan) -> Result<StandardLoad> {
    let row = fleet(programs, kind, plan).await?;
    eprintln!(
        "{} agents {}: {:.0} requests/s, {:.1} us of server CPU per request, errors {:?}, {} late, {} lost, {} doubled",
        plan.agents,
        row.mode,
        row.requests_per_second,
        row.server_us_per_request,
        row.errors,
        row.late,
        row.lost,
        row.doubled
    );
    let answers = endpoints::answers(programs, kind).await?;
    Ok(StandardLoad { ceiling_us_per_request: ceiling(programs, plan, &answers).await?, ..row })
}

/// CPU per request of the ceiling under the profile; it has no state to become steady, so it needs less time.
async fn ceiling(programs: &Programs, plan: Plan, answers: &ServerAnswers) -> Result<f64> {
    let (settle, window) = (Duration::from_secs(3), plan.window.min(Duration::from_secs(20)));
    let subject = Subject::ceiling(programs, plan.mode, Cores::All, answers, false).await?;
    let words = vec![
        "--enroll-secret=any".to_owned(),
        "--platforms=ubuntu=1".to_owned(),
        format!("--agents={}", plan.agents),
        format!("--source-addresses={}", plan.mode.source_addresses()),
        format!("--ramp={}s", plan.ramp.as_secs()),
        format!("--duration={}s", (settle + window).as_secs() + 3),
    ];
    let mut load = Load::start(programs, &subject, Cores::All, &words)?;
    tokio::time::sleep(plan.ramp + settle).await;
    let before = subject.open().await?;
    tokio::time::sleep(window).await;
    load.check_running().context("the load ended before the window did")?;
    let after = subject.close().await?;
    load.results().await?.warn("ceiling");
    subject.stop().await?;
    let requests: f64 = HANDLERS.iter().map(|handler| after.requests(handler) - before.requests(handler)).sum();
    anyhow::ensure!(requests > 0.0, "the ceiling answered no request in the window");
    Ok((after.cpu_us - before.cpu_us) as f64 / requests)
}

/// Counts of one window.
pub struct Window {
    pub seconds: f64,
    pub requests: f64,
    pub cpu_us: f64,
    pub database_us: Option<f64>,
    /// Statements, rows and commands per 1,000 requests.
    pub per_1000: BTreeMap<String, f64>,
}

impl Window {
    pub fn between(before: &Snapshot, after: &Snapshot, seconds: f64) -> Result<Self> {
        let requests: f64 = HANDLERS.iter().map(|handler| after.requests(handler) - before.requests(handler)).sum();
        anyhow::ensure!(requests > 0.0, "no request was answered in the window");
        let database = after.database_cpu_us.zip(before.database_cpu_us);
        Ok(Self {
            seconds,
            requests,
            cpu_us: (after.cpu_us - before.cpu_us) as f64,
            database_us: database.map(|(after, before)| (after - before) as f64),
            per_1000: per_1000(before, after, requests),
        })
    }
}

async fn fleet(programs: &Programs, kind: BackendKind, plan: Plan) -> Result<StandardLoad> {
    let settings = flags("--osquery_detail_update_interval=5m --osquery_label_update_interval=5m");
    let server = Subject::server(programs, kind, plan.mode, Cores::All, &settings).await?;
    prepare(programs, &server).await?;
    let all_windows = plan.window * u32::try_from(plan.windows)?;
    // Some more for what lies before the ramp: logging in and applying the profile.
    let duration = plan.settle + all_windows + Duration::from_secs(5);
    let mut words = fleet_flags(plan.agents, plan.ramp, duration);
    words.push(format!("--source-addresses={}", plan.mode.source_addresses()));
    words.extend(account_flags(&server));
    let mut load = Load::start(programs, &server, Cores::All, &words)?;
    tokio::time::sleep(plan.ramp + plan.settle).await;
    let enrolled = server.open().await?.requests("enroll_agent");
    anyhow::ensure!(
        enrolled >= f64::from(plan.agents),
        "only {enrolled} of {} agents have enrolled within {:?}",
        plan.agents,
        plan.ramp + plan.settle
    );
    let mut windows = Vec::new();
    for _ in 0..plan.windows {
        let (before, begun) = (server.open().await?, Instant::now());
        tokio::time::sleep(plan.window).await;
        load.check_running().context("the load ended before the window did")?;
        let seconds = begun.elapsed().as_secs_f64();
        windows.push(Window::between(&before, &server.close().await?, seconds)?);
    }
    let rss_bytes = rss_bytes(server.process.pid)? as f64;
    let results = load.results().await?;
    results.warn(plan.mode.title());
    server.stop().await?;
    let mid = |value: fn(&Window) -> f64| median(windows.iter().map(value));
    let of_all = |name: &String| median(windows.iter().filter_map(|window| window.per_1000.get(name).copied()));
    let database: Vec<f64> =
        windows.iter().filter_map(|window| Some(window.database_us? * 1000.0 / window.requests)).collect();
    let verify = results.verify.as_ref();
    Ok(StandardLoad {
        mode: plan.mode.title().to_owned(),
        agents: plan.agents,
        windows: windows.len(),
        window_secs: plan.window.as_secs(),
        requests_per_second: mid(|window| window.requests / window.seconds),
        server_us_per_request: mid(|window| window.cpu_us / window.requests),
        ceiling_us_per_request: 0.0,
        server_cores: mid(|window| window.cpu_us / 1e6 / window.seconds),
        generator_us_per_request: results.generator.cpu_us_per_request,
        latency_ms: results
            .endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.requests > 0)
            .map(|(name, endpoint)| (name.clone(), (endpoint.latency_ms.p50, endpoint.latency_ms.p99)))
            .collect(),
        errors: results.errors(),
        late: results.total.late,
        requests: results.total.requests,
        acknowledged: verify.map_or(0, |verify| verify.acknowledged),
        lost: verify.map_or(0, |verify| verify.lost),
        doubled: verify.map_or(0, |verify| verify.doubled),
        per_1000: windows
            .first()
            .into_iter()
            .flat_map(|window| window.per_1000.keys())
            .map(|name| (name.clone(), of_all(name)))
            .collect(),
        database_us_per_1000: (!database.is_empty()).then(|| median(database)),
        rss_bytes,
    })
}

/// Metrics of the work behind requests, for servers that have them.
fn per_1000(before: &Snapshot, after: &Snapshot, requests: f64) -> BTreeMap<String, f64> {
    let counted = COUNTERS.into_iter().filter_map(|(_, name)| {
        let is_by_command = name == "muster_bus_commands_total";
        // A counter by command does not show before the first of one.
        let end = after.number(name).or(is_by_command.then_some(0.0))?;
        Some((name.to_owned(), (end - before.number(name).unwrap_or(0.0)) * 1000.0 / requests))
    });
    counted.collect()
}
