//! Memory per host and per connection, and of the generator itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use crate::endpoints;
use crate::load::{Load, flags, fleet_flags, prepare};
use crate::proc::rss_bytes;
use crate::process::Cores;
use crate::report::grouped;
use crate::subject::{ConnectionMode, Programs, Subject};

/// Hosts that are there before the counting begins: pools, caches and buffers have their size.
const FIRST: u32 = 2_000;
const MORE: u32 = 10_000;
const CONNECTIONS: u32 = 1_000;

/// Agents of one generator, at the standard profile.
const CROWD: u32 = 100_000;

/// Connections of a generator whose hosts a server holds.
const HELD_CONNECTIONS: u32 = 256;

/// The fleet whose hosts a server holds: how long they take to enroll, and how long they work then.
#[derive(Debug, Clone, Copy)]
pub struct MemoryPlan {
    pub agents: u32,
    pub ramp: Duration,
    pub works: Duration,
}

impl MemoryPlan {
    pub fn whole() -> Self {
        Self { agents: CROWD, ramp: Duration::from_secs(300), works: Duration::from_secs(90) }
    }

    pub fn quick() -> Self {
        Self { agents: CROWD / 20, ramp: Duration::from_secs(15), works: Duration::from_secs(30) }
    }
}

/// Memory of a server with many hosts that work.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct AtSize {
    pub hosts: u32,
    pub start_bytes: u64,
    pub resident_bytes: u64,
    pub connections: u32,
}

impl AtSize {
    /// Bytes of each host, with all there is but connections.
    fn per_host(&self, per_connection: u64) -> f64 {
        let connections = u64::from(self.connections) * per_connection;
        let hosts = self.resident_bytes.saturating_sub(self.start_bytes).saturating_sub(connections);
        hosts as f64 / f64::from(self.hosts)
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// Resident after the start and the first 2,000 hosts.
    pub first_bytes: u64,
    /// Added by 10,000 more hosts.
    pub per_10_000_hosts_bytes: u64,
    pub per_connection_tls_bytes: u64,
    pub per_connection_plain_bytes: u64,
    /// The most that the generator held with 100,000 agents, and how many requests a second it made.
    pub generator_bytes: u64,
    pub generator_rate: f64,
    #[serde(default)]
    pub at_size: Option<AtSize>,
}

impl Memory {
    /// As a table.
    pub fn render(&self) -> String {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0));
        let kib = |bytes: u64| format!("{:.1} KiB", bytes as f64 / 1024.0);
        let crowd = format!("the generator, with 100,000 agents that made {:.0} requests/s", self.generator_rate);
        let rows = [
            ("after the start and the first 2,000 hosts", mib(self.first_bytes)),
            ("10,000 hosts more", mib(self.per_10_000_hosts_bytes)),
            ("an idle connection, TLS", kib(self.per_connection_tls_bytes)),
            ("an idle connection, plain", kib(self.per_connection_plain_bytes)),
            (&crowd, mib(self.generator_bytes)),
        ];
        let rows: String = rows.iter().map(|(what, size)| format!("| {what} | {size} |\n")).collect();
        let at_size = self.at_size.map(|at| {
            format!(
                "| {} hosts at the standard profile | {} |\n| each of them, without {} before and {} connections | {:.0} bytes |\n",
                grouped(at.hosts.into()),
                mib(at.resident_bytes),
                mib(at.start_bytes),
                at.connections,
                at.per_host(self.per_connection_tls_bytes),
            )
        });
        format!("| what | resident |\n|---|---:|\n{rows}{}", at_size.unwrap_or_default())
    }
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: MemoryPlan) -> Result<Memory> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &[]).await?;
    let secret = prepare(programs, &server).await?;
    live(programs, &server, &secret, 0, FIRST).await?;
    let first_bytes = rss_bytes(server.process.pid)?;
    live(programs, &server, &secret, FIRST, MORE).await?;
    let per_10_000_hosts_bytes = rss_bytes(server.process.pid)?.saturating_sub(first_bytes);
    server.stop().await?;
    let (generator_bytes, generator_rate) = crowd(programs, kind).await?;
    Ok(Memory {
        generator_bytes,
        generator_rate,
        first_bytes,
        per_10_000_hosts_bytes,
        per_connection_tls_bytes: per_connection(programs, kind, ConnectionMode::BalancedTls).await?,
        per_connection_plain_bytes: per_connection(programs, kind, ConnectionMode::BalancedPlain).await?,
        at_size: Some(at_size(programs, kind, plan).await?),
    })
}

/// Lets hosts enroll, take their config, answer the first questions and deliver some lines.
async fn live(programs: &Programs, server: &Subject, secret: &str, first: u32, agents: u32) -> Result<()> {
    let mut words = flags("--ramp=20s --duration=20s --distributed-interval=2s --config-interval=0 --log-interval=4s");
    words.extend([format!("--agents={agents}"), format!("--first-agent={first}"), format!("--enroll-secret={secret}")]);
    let mut load = Load::start(programs, server, Cores::All, &words)?;
    let before = server.open().await?.requests("enroll_agent");
    let all = agents + if first == 0 { 0 } else { before as u32 };
    load.enrolled(std::slice::from_ref(server), all, Duration::from_secs(120)).await?;
    load.results().await?;
    Ok(())
}

/// Lets a large fleet enroll and work.
async fn at_size(programs: &Programs, kind: BackendKind, plan: MemoryPlan) -> Result<AtSize> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &[]).await?;
    prepare(programs, &server).await?;
    let start_bytes = rss_bytes(server.process.pid)?;
    let mut words = fleet_flags(plan.agents, plan.ramp, plan.works);
    words.push(format!("--connections={HELD_CONNECTIONS}"));
    let mut load = Load::start(programs, &server, Cores::All, &words)?;
    load.enrolled(std::slice::from_ref(&server), plan.agents, plan.ramp + plan.works / 2).await?;
    tokio::time::sleep(plan.works / 3).await;
    load.check_running().context("the load ended too early")?;
    let resident_bytes = rss_bytes(server.process.pid)?;
    load.results().await?.warn("many hosts");
    server.stop().await?;
    Ok(AtSize { hosts: plan.agents, start_bytes, resident_bytes, connections: HELD_CONNECTIONS })
}

/// The most that a generator of 100,000 agents holds, and its requests a second. The ceiling answers it.
async fn crowd(programs: &Programs, kind: BackendKind) -> Result<(u64, f64)> {
    let answers = endpoints::answers(programs, kind).await?;
    let ceiling = Subject::ceiling(programs, ConnectionMode::BalancedTls, Cores::All, &answers, false).await?;
    let mut words = flags("--enroll-secret=any --platforms=ubuntu=1 --ramp=30s --duration=20s");
    words.push(format!("--agents={CROWD}"));
    let results = Load::start(programs, &ceiling, Cores::All, &words)?.results().await?;
    results.warn("100,000 agents");
    ceiling.stop().await?;
    Ok((results.generator.peak_rss_bytes, results.total.rate))
}

async fn per_connection(programs: &Programs, kind: BackendKind, mode: ConnectionMode) -> Result<u64> {
    let server = Subject::server(programs, kind, mode, Cores::All, &[]).await?;
    let mut open = Vec::new();
    // Some first, so that what they need once is there.
    for _ in 0..CONNECTIONS / 10 {
        open.push(server.address.used_connection().await?);
    }
    let before = rss_bytes(server.process.pid)?;
    for _ in 0..CONNECTIONS {
        open.push(server.address.used_connection().await?);
    }
    let after = rss_bytes(server.process.pid)?;
    drop(open);
    server.stop().await?;
    Ok(after.saturating_sub(before) / u64::from(CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_the_start_are_no_part_of_hosts() {
        let at = AtSize { hosts: 10, start_bytes: 1000, resident_bytes: 5000, connections: 2 };
        assert!((at.per_host(500) - 300.0).abs() < 1e-9);
    }
}
