//! What collecting statistics costs the server of a whole fleet.
//!
//! At the usual interval of an hour the cost is too small to be told from noise, so hosts are asked more often and the
//! difference is divided.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::backend::BackendKind;
use crate::load::{Load, flags, fleet_flags, prepare};
use crate::proc::median;
use crate::process::Cores;
use crate::standard::Window;
use crate::subject::{ConnectionMode, Programs, Subject};

/// Seconds between two samples of a host: of the measurement, and usual.
const INTERVAL: u64 = 60;
const USUAL_INTERVAL: u64 = 3600;

/// Intervals after the ramp until every host has been sampled twice.
const SETTLED: u32 = 2;

/// Size and duration of one measurement.
#[derive(Debug, Clone, Copy)]
pub struct CollectionPlan {
    pub agents: u32,
    pub ramp: Duration,
    pub pairs: usize,
    pub window: Duration,
}

impl CollectionPlan {
    pub fn whole() -> Self {
        Self { agents: 20_000, ramp: Duration::from_secs(80), pairs: 2, window: Duration::from_secs(60) }
    }

    pub fn quick() -> Self {
        Self { agents: 2_000, ramp: Duration::from_secs(8), pairs: 1, window: Duration::from_secs(30) }
    }
}

/// Microseconds of CPU for a request, of the server and of its database if that is another process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CollectionWindow {
    pub server_us: f64,
    pub database_us: Option<f64>,
    /// For 1,000 requests.
    pub statements: f64,
    pub rows: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectionCost {
    pub agents: u32,
    /// Without collection, and with it, by pair.
    pub pairs: Vec<(CollectionWindow, CollectionWindow)>,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: CollectionPlan) -> Result<CollectionCost> {
    let mut pairs = Vec::new();
    for _ in 0..plan.pairs {
        let without = window(programs, kind, plan, 0).await?;
        let with = window(programs, kind, plan, INTERVAL).await?;
        eprintln!("a request: {:.1} us, with samples every {INTERVAL} s {:.1} us", without.server_us, with.server_us);
        pairs.push((without, with));
    }
    Ok(CollectionCost { agents: plan.agents, pairs })
}

/// A fleet at the standard profile, asked hourly about itself, on a fresh server that collects at this interval.
async fn window(
    programs: &Programs,
    kind: BackendKind,
    plan: CollectionPlan,
    interval: u64,
) -> Result<CollectionWindow> {
    let settings = flags(&format!("--statistics_interval={interval}s"));
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &settings).await?;
    prepare(programs, &server).await?;
    let settle = Duration::from_secs(INTERVAL) * SETTLED + Duration::from_secs(15);
    let words = fleet_flags(plan.agents, plan.ramp, settle + plan.window + Duration::from_secs(5));
    let mut load = Load::start(programs, &server, Cores::All, &words)?;
    sleep(plan.ramp + settle).await;
    let before = server.open().await?;
    sleep(plan.window).await;
    load.check_running()?;
    let after = server.close().await?;
    load.results().await?.warn("statistics");
    server.stop().await?;
    let window = Window::between(&before, &after, plan.window.as_secs_f64())?;
    let per_1000 = |name: &str| window.per_1000.get(name).copied().unwrap_or(0.0);
    Ok(CollectionWindow {
        server_us: window.cpu_us / window.requests,
        database_us: window.database_us.map(|us| us / window.requests),
        statements: per_1000("muster_sql_statements_total"),
        rows: per_1000("muster_rows_written_total"),
    })
}

impl CollectionCost {
    /// As a table.
    pub fn render(&self) -> String {
        let of = |value: &dyn Fn(&CollectionWindow) -> Option<f64>| {
            let of_all = |one: &dyn Fn(&(CollectionWindow, CollectionWindow)) -> CollectionWindow| {
                self.pairs.iter().map(|pair| value(&one(pair))).collect::<Option<Vec<f64>>>().map(median)
            };
            of_all(&|pair| pair.0).zip(of_all(&|pair| pair.1))
        };
        let hosts = crate::report::grouped(u64::from(self.agents));
        let mut text = format!(
            "| {hosts} balanced hosts, medians of {} | no collection | a sample each {INTERVAL} s | share of collection, at an hour |\n\
             |---|---:|---:|---:|\n",
            self.pairs.len()
        );
        let mut line = |name: &str, value: &dyn Fn(&CollectionWindow) -> Option<f64>| {
            if let Some((without, with)) = of(value) {
                let added = (with - without) * INTERVAL as f64 / USUAL_INTERVAL as f64;
                let share = added / (without + added).max(f64::MIN_POSITIVE) * 100.0;
                text.push_str(&format!("| {name} | {without:.1} | {with:.1} | {share:.2} % |\n"));
            }
        };
        line("server CPU per request, µs", &|window| Some(window.server_us));
        line("database CPU per request, µs", &|window| window.database_us);
        line("SQL statements per 1,000 requests", &|window| Some(window.statements));
        line("rows written per 1,000 requests", &|window| Some(window.rows));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_an_hour() {
        let window = |server_us| CollectionWindow { server_us, database_us: None, statements: 10.0, rows: 0.0 };
        let cost = CollectionCost { agents: 20_000, pairs: vec![(window(49.0), window(109.0))] };
        let text = cost.render();
        assert!(text.contains("| server CPU per request, µs | 49.0 | 109.0 | 2.00 % |"), "{text}");
        assert!(!text.contains("database"), "{text}");
    }
}
