//! A restart under load: what it costs the server afterwards, and what agents wait for.

use std::time::Duration;

use agent_compat::live::now_ms;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use crate::backend::BackendKind;
use crate::load::{Load, account_flags, fleet_flags};
use crate::phases::{PhaseLatency, Span, TOGETHER, latency_rows};
use crate::proc::cpu_us;
use crate::process::Cores;
use crate::report::grouped;
use crate::subject::{ConnectionMode, Programs, Subject};

/// How many such times of the server that was started again are measured.
const TIMES: u32 = 3;

/// Size of the fleet and length of what is compared.
#[derive(Debug, Clone, Copy)]
pub struct RestartPlan {
    pub agents: u32,
    pub ramp: Duration,
    pub settle: Duration,
    /// CPU is compared over so long: a minute.
    pub time: Duration,
}

impl RestartPlan {
    pub fn whole() -> Self {
        let [ramp, settle, time] = [80, 30, 60].map(Duration::from_secs);
        Self { agents: 20_000, ramp, settle, time }
    }

    pub fn quick() -> Self {
        let [ramp, settle, time] = [5, 3, 10].map(Duration::from_secs);
        Self { agents: 2_000, ramp, settle, time }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restart {
    pub hosts: u32,
    /// Length of what is compared.
    pub seconds: u64,
    /// CPU of the server before the restart, and in the times after it.
    pub steady_cpu_seconds: f64,
    pub cpu_seconds: Vec<f64>,
    /// From the signal until the server listened again.
    pub away_seconds: f64,
    /// Check-ins that failed, from a second before the signal on.
    pub failed: u64,
    /// Agents that enrolled again.
    pub enrolled: u64,
    pub before: PhaseLatency,
    pub after: PhaseLatency,
    pub acknowledged: u64,
    pub lost: u64,
    pub doubled: u64,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: RestartPlan) -> Result<Restart> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &[]).await?;
    server.set_up().await?;
    // The longest stop and start, and some time to end in.
    let duration = plan.settle + plan.time * (TIMES + 1) + Duration::from_secs(60);
    let mut words = fleet_flags(plan.agents, plan.ramp, duration);
    words.push("--slices=1s".to_owned());
    words.extend(account_flags(&server));
    let mut load = Load::start(programs, &server, Cores::All, &words)?;
    load.enrolled(std::slice::from_ref(&server), plan.agents, plan.ramp + Duration::from_secs(60)).await?;
    sleep(plan.settle).await;
    let (cpu_before, from_ms) = (cpu_us(server.process.pid)?, now_ms());
    sleep(plan.time).await;
    let steady_cpu_seconds = (cpu_us(server.process.pid)? - cpu_before) as f64 / 1e6;
    let before = Span { from_ms, to_ms: now_ms() };
    let stopping = Instant::now();
    let stopped = server.stopped().await?;
    let started = Instant::now();
    let server = stopped.start().await?;
    let (away_seconds, from_ms) = (stopping.elapsed().as_secs_f64(), now_ms());
    let mut used = vec![0];
    for time in 1..=TIMES {
        sleep_until(started + plan.time * time).await;
        used.push(cpu_us(server.process.pid)?);
    }
    let after = Span { from_ms, to_ms: now_ms() };
    let disturbed = Span { from_ms: before.to_ms.saturating_sub(1000), ..after };
    load.check_running().context("the load ended before the last minute did")?;
    let enrolled = server.open().await?.requests("enroll_agent") as u64;
    let results = load.results().await?;
    results.warn("restart");
    server.stop().await?;
    let verify = results.verify.as_ref();
    Ok(Restart {
        hosts: plan.agents,
        seconds: plan.time.as_secs(),
        steady_cpu_seconds,
        cpu_seconds: used.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect(),
        away_seconds,
        failed: results.phase(disturbed)?.get(TOGETHER).map_or(0, |times| times.failed),
        enrolled,
        before: results.phase(before)?,
        after: results.phase(after)?,
        acknowledged: verify.map_or(0, |verify| verify.acknowledged),
        lost: verify.map_or(0, |verify| verify.lost),
        doubled: verify.map_or(0, |verify| verify.doubled),
    })
}

impl Restart {
    /// As a table.
    pub fn render(&self) -> String {
        let rows = latency_rows(&[&self.before, &self.after]);
        let each = self.cpu_seconds.iter().map(|seconds| format!("{seconds:.1} s")).collect::<Vec<_>>().join(", ");
        let largest = self.cpu_seconds.iter().copied().fold(0.0, f64::max);
        format!(
            "| {} balanced hosts | before | after |\n|---|---:|---:|\n\
             | server CPU in {} s | {:.1} s | {each} (× {:.2} at most) |\n{rows}\
             | away for | | {:.1} s |\n\
             | failed, from the signal on | | {} |\n\
             | enrollments | | {} |\n\
             | log lines acknowledged / lost / doubled | | {} / {} / {} |\n",
            grouped(self.hosts.into()),
            self.seconds,
            self.steady_cpu_seconds,
            largest / self.steady_cpu_seconds,
            self.away_seconds,
            grouped(self.failed),
            grouped(self.enrolled),
            grouped(self.acknowledged),
            grouped(self.lost),
            grouped(self.doubled),
        )
    }
}
