//! Memory per host and per connection, and of the generator itself.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use crate::endpoints;
use crate::load::{Load, flags, prepare};
use crate::proc::rss_bytes;
use crate::process::Cores;
use crate::subject::{ConnectionMode, Programs, Subject};

/// Hosts that are there before the counting begins: pools, caches and buffers have their size.
const FIRST: u32 = 2_000;
const MORE: u32 = 10_000;
const CONNECTIONS: u32 = 1_000;

/// Agents of one generator, at the standard profile.
const CROWD: u32 = 100_000;

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
        format!("| what | resident |\n|---|---:|\n{rows}")
    }
}

pub async fn measure(programs: &Programs, kind: BackendKind) -> Result<Memory> {
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
