//! Many hosts on one node: what others wait for while all are asked at once, and while unknown hosts enroll.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_compat::live::now_ms;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use crate::load::{LiveResults, Load, LoadResults, fleet_flags};
use crate::newcomers::{Arrivals, Newcomers};
use crate::phases::{PhaseLatency, Span, latency_rows};
use crate::process::Cores;
use crate::report::grouped;
use crate::subject::{ConnectionMode, EMAIL, PASSWORD, Programs, Subject};

/// Between two reads of a host, and how much later the last answer may come.
const INTERVAL: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(2);

/// The part of what the server enrolled at most at which unknown hosts come beside the known ones.
const SHARE: f64 = 0.8;

/// Until the connections of the generator of unknown hosts are open, which those of a load balancer always are.
const CONNECTED: Duration = Duration::from_secs(2);

/// The one agent of the generator that asks the live query.
const ASKING_AGENT: u32 = 900_000;

/// Size of the fleet and length of each phase.
#[derive(Debug, Clone, Copy)]
pub struct CrowdPlan {
    pub agents: u32,
    pub ramp: Duration,
    /// Until first questions are answered, and after each phase until its work is done.
    pub settle: Duration,
    pub undisturbed: Duration,
    /// How long the live query is watched.
    pub live: Duration,
    /// Each rate of enrollments that is tried, and the one of which is told.
    pub step: Duration,
    pub enroll: Duration,
}

impl CrowdPlan {
    pub fn whole() -> Self {
        Self::of(50_000, [150, 20, 60, 30, 10, 30])
    }

    pub fn quick() -> Self {
        Self::of(2_000, [5, 3, 12, 15, 3, 8])
    }

    fn of(agents: u32, seconds: [u64; 6]) -> Self {
        let [ramp, settle, undisturbed, live, step, enroll] = seconds.map(Duration::from_secs);
        Self { agents, ramp, settle, undisturbed, live, step, enroll }
    }

    /// From the end of the ramp until the last phase is over, at the longest.
    fn duration(&self) -> Duration {
        let steps = Newcomers::longest(self.step, self.settle / 2);
        let phases = self.undisturbed + self.live + steps + Newcomers::one(self.enroll);
        phases + self.settle * 3 + Duration::from_secs(20)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Crowd {
    pub hosts: u32,
    pub undisturbed: PhaseLatency,
    pub live: LivePhase,
    /// Rates that were tried, the last of which was too much.
    pub steps: Vec<Arrivals>,
    pub arrivals: Arrivals,
    pub enroll: PhaseLatency,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LivePhase {
    pub targets: u64,
    /// Percent that had answered or failed within one interval and the grace.
    pub in_time_percent: f64,
    pub all_after_seconds: Option<f64>,
    pub states: BTreeMap<String, u64>,
    pub latency: PhaseLatency,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: CrowdPlan) -> Result<Crowd> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &[]).await?;
    let secret = server.set_up().await?;
    let mut words = fleet_flags(plan.agents, plan.ramp, plan.duration());
    words.push("--slices=1s".to_owned());
    let mut load = Load::start(programs, &server, Cores::All, &words)?;
    load.enrolled(std::slice::from_ref(&server), plan.agents, plan.ramp * 2 + Duration::from_secs(60)).await?;
    tokio::time::sleep(plan.settle).await;
    let undisturbed = phase(tokio::time::sleep(plan.undisturbed)).await.1;
    let asked = ask(programs, &server, plan.live).await?;
    tokio::time::sleep(plan.settle).await;
    let mut newcomers = Newcomers::new(programs, &server, secret);
    let steps = newcomers.saturate(plan.step, plan.settle / 2).await?;
    let most = steps.iter().map(|step| step.enrolled).fold(0.0, f64::max);
    anyhow::ensure!(most > 0.0, "no unknown host was enrolled");
    let (arrivals, mut enroll) = phase(newcomers.come(most * SHARE, plan.enroll)).await;
    // Nobody comes any more in what follows.
    enroll.to_ms = enroll.from_ms + u64::try_from(plan.enroll.as_millis())?;
    enroll.from_ms += u64::try_from(CONNECTED.as_millis())?;
    load.check_running().context("the load ended before the last phase did")?;
    let results = load.results().await?;
    results.warn("crowd");
    server.stop().await?;
    Ok(Crowd {
        hosts: plan.agents,
        undisturbed: results.phase(undisturbed)?,
        live: live_phase(&asked, &results)?,
        steps,
        arrivals: arrivals?,
        enroll: results.phase(enroll)?,
    })
}

/// Does something, and says when it was done.
async fn phase<T>(work: impl Future<Output = T>) -> (T, Span) {
    let from_ms = now_ms();
    let done = work.await;
    (done, Span { from_ms, to_ms: now_ms() })
}

/// Asks one live query of all hosts, by a generator of its own that watches it for so long.
async fn ask(programs: &Programs, server: &Subject, watched: Duration) -> Result<LoadResults> {
    let words = [
        format!("--email={EMAIL}"),
        format!("--password={PASSWORD}"),
        format!("--first-agent={ASKING_AGENT}"),
        format!("--duration={}s", watched.as_secs()),
        "--agents=1".to_owned(),
        "--ramp=100ms".to_owned(),
        "--live=1".to_owned(),
    ];
    Load::start(programs, server, Cores::All, &words)?.results().await
}

fn live_phase(asked: &LoadResults, fleet: &LoadResults) -> Result<LivePhase> {
    let live = asked.live.first().context("no live query was asked")?;
    anyhow::ensure!(live.error.is_none() && live.targets > 0, "the live query has failed: {live:?}");
    let in_time = (INTERVAL + GRACE).as_millis() as u64;
    let from_ms = asked.start_unix_ms + live.asked_at_ms;
    let span = Span { from_ms, to_ms: from_ms + live.t100_ms.unwrap_or(in_time).max(in_time) };
    let phase = LivePhase {
        targets: live.targets,
        in_time_percent: settled(live, in_time) as f64 * 100.0 / live.targets as f64,
        all_after_seconds: live.t100_ms.map(|ms| ms as f64 / 1000.0),
        states: live.states.clone(),
        latency: fleet.phase(span)?,
    };
    eprintln!(
        "live query: {:.2} % of {} within {in_time} ms, all after {:?} s, {:?}",
        phase.in_time_percent, phase.targets, phase.all_after_seconds, phase.states
    );
    Ok(phase)
}

/// Targets that were settled so many milliseconds after the question.
fn settled(live: &LiveResults, after_ms: u64) -> u64 {
    live.curve.iter().take_while(|(at, _)| *at <= after_ms).last().map_or(0, |(_, settled)| *settled)
}

impl Crowd {
    /// As a table.
    pub fn render(&self) -> String {
        let counted = |counts: &BTreeMap<String, u64>| {
            let each = counts.iter().map(|(name, count)| format!("{} {}", grouped(*count), name.replace('_', " ")));
            if counts.is_empty() { "none".to_owned() } else { each.collect::<Vec<_>>().join(", ") }
        };
        let rows = latency_rows(&[&self.undisturbed, &self.live.latency, &self.enroll]);
        let all_after = self.live.all_after_seconds.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s"));
        let most = self.steps.iter().map(|step| step.enrolled).fold(0.0, f64::max);
        let last = self.steps.last().map_or(0.0, |step| step.offered);
        let arrivals = &self.arrivals;
        format!(
            "| {} balanced hosts | undisturbed | a live query to all | unknown hosts enroll |\n|---|---:|---:|---:|\n{rows}\
             | answered within {} s | | {:.2} % of {} | |\n\
             | all answered after | | {all_after} | |\n\
             | how they ended | | {} | |\n\
             | enrolled at most, hosts/s | | | {most:.0}, when {last:.0} came |\n\
             | came / enrolled, hosts/s | | | {:.0} / {:.0} |\n\
             | enroll: p50 / p99, ms | | | {:.1} / {:.1} |\n\
             | refused enrollments | | | {} |\n",
            grouped(self.hosts.into()),
            (INTERVAL + GRACE).as_secs(),
            self.live.in_time_percent,
            grouped(self.live.targets),
            counted(&self.live.states),
            arrivals.offered,
            arrivals.enrolled,
            arrivals.p50_ms,
            arrivals.p99_ms,
            counted(&arrivals.refused),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_settled_is_read_from_the_curve() {
        let live = LiveResults {
            targets: 10,
            asked_at_ms: 0,
            t100_ms: None,
            states: BTreeMap::new(),
            curve: vec![(250, 0), (500, 4), (12_250, 9)],
            error: None,
        };
        assert_eq!([100, 500, 12_000, 13_000].map(|at| settled(&live, at)), [0, 4, 4, 9]);
    }

    #[test]
    fn a_run_is_long_enough_for_all_phases() {
        let plan = CrowdPlan::of(1, [1, 1, 60, 30, 10, 30]);
        assert!(plan.duration() > Duration::from_secs(60 + 30 + 10 * 16 + 36));
    }
}
