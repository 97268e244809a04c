//! Check-ins of a whole fleet while a CPU profile of the server is taken, beside the same without one.

use std::time::Duration;

use agent_compat::live::now_ms;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::backend::BackendKind;
use crate::load::{Load, fleet_flags};
use crate::operator::Operator;
use crate::phases::{PhaseLatency, Span, TOGETHER};
use crate::proc::median;
use crate::process::Cores;
use crate::report::grouped;
use crate::subject::{ConnectionMode, Programs, Subject};

/// Between two phases.
const PAUSE: Duration = Duration::from_secs(5);

/// Longest time until the names of a profile are looked up.
const LOOKING_UP: Duration = Duration::from_secs(60);

/// Size of the fleet and length of each phase.
#[derive(Debug, Clone, Copy)]
pub struct ProfilePlan {
    pub agents: u32,
    pub ramp: Duration,
    pub settle: Duration,
    pub pairs: u32,
    pub phase: Duration,
}

impl ProfilePlan {
    pub fn whole() -> Self {
        let [ramp, settle, phase] = [80, 20, 30].map(Duration::from_secs);
        Self { agents: 20_000, ramp, settle, pairs: 5, phase }
    }

    pub fn quick() -> Self {
        let [ramp, settle, phase] = [8, 5, 10].map(Duration::from_secs);
        Self { agents: 2_000, ramp, settle, pairs: 1, phase }
    }

    /// From the end of the ramp until the last phase is over, at the longest.
    fn duration(&self) -> Duration {
        self.settle + (self.phase * 2 + PAUSE * 2 + Duration::from_secs(10)) * self.pairs
    }
}

/// What a profile costs those who check in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileCost {
    pub agents: u32,
    pub seconds: u64,
    /// Without a profile, and while one is taken and its names are looked up, by pair.
    pub pairs: Vec<(PhaseLatency, PhaseLatency)>,
    /// From the end of the sampling to the whole profile, by pair.
    pub look_up_seconds: Vec<f64>,
    /// Resident memory of the server before the first profile and after the last one.
    pub resident_bytes: (f64, f64),
    pub profile_bytes: usize,
}

pub async fn measure(programs: &Programs, kind: BackendKind, plan: ProfilePlan) -> Result<ProfileCost> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &[]).await?;
    server.set_up().await?;
    let operator = Operator::log_in(&server).await?;
    let mut words = fleet_flags(plan.agents, plan.ramp, plan.duration());
    words.push("--slices=1s".to_owned());
    let mut load = Load::start(programs, &server, Cores::All, &words)?;
    load.enrolled(std::slice::from_ref(&server), plan.agents, plan.ramp * 2 + Duration::from_secs(60)).await?;
    sleep(plan.settle).await;
    let before = resident(&server).await?;
    let (mut spans, mut look_up_seconds, mut profile_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..plan.pairs {
        let from_ms = now_ms();
        sleep(plan.phase).await;
        let without = Span { from_ms, to_ms: now_ms() };
        sleep(PAUSE).await;
        let from_ms = now_ms();
        profile_bytes = operator.profile(plan.phase, LOOKING_UP).await?.len();
        let with = Span { from_ms, to_ms: now_ms() };
        look_up_seconds.push((with.to_ms - with.from_ms) as f64 / 1000.0 - plan.phase.as_secs_f64());
        spans.push((without, with));
        sleep(PAUSE).await;
    }
    load.check_running().context("the load ended before the last phase did")?;
    let after = resident(&server).await?;
    let results = load.results().await?;
    results.warn("profile");
    server.stop().await?;
    let mut pairs = Vec::new();
    for (without, with) in spans {
        pairs.push((results.phase(without)?, results.phase(with)?));
    }
    let cost = ProfileCost {
        agents: plan.agents,
        seconds: plan.phase.as_secs(),
        pairs,
        look_up_seconds,
        resident_bytes: (before, after),
        profile_bytes,
    };
    eprint!("{}", cost.render());
    Ok(cost)
}

/// One phase of a pair.
type PhasePick = fn(&(PhaseLatency, PhaseLatency)) -> &PhaseLatency;

fn without(pair: &(PhaseLatency, PhaseLatency)) -> &PhaseLatency {
    &pair.0
}

fn with(pair: &(PhaseLatency, PhaseLatency)) -> &PhaseLatency {
    &pair.1
}

async fn resident(server: &Subject) -> Result<f64> {
    let numbers = server.open().await?;
    numbers.number("process_resident_memory_bytes").context("the server does not say how much memory it has")
}

impl ProfileCost {
    /// As a table.
    pub fn render(&self) -> String {
        let of = |pick: PhasePick, p99: bool| {
            let times = self.pairs.iter().filter_map(|pair| pick(pair).get(TOGETHER));
            median(times.map(|times| if p99 { times.p99_ms } else { times.p50_ms }))
        };
        let mut text = format!(
            "| check-ins of {} balanced hosts, medians of {} | no profile | a profile of {} s is taken | ratio |\n\
             |---|---:|---:|---:|\n",
            grouped(self.agents.into()),
            self.pairs.len(),
            self.seconds
        );
        for (name, p99) in [("p50, ms", false), ("p99, ms", true)] {
            let (without, with) = (of(without, p99), of(with, p99));
            let ratio = with / without.max(f64::MIN_POSITIVE);
            text.push_str(&format!("| {name} | {without:.2} | {with:.2} | {ratio:.2} |\n"));
        }
        let failed = |pick: PhasePick| {
            self.pairs.iter().filter_map(|pair| pick(pair).get(TOGETHER)).map(|times| times.failed).sum::<u64>()
        };
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        text + &format!(
            "| failed | {} | {} | |\n| looking up names, s | | {:.1} | |\n| resident memory, MiB | {:.0} | {:.0} | |\n\
             | size of a profile, KiB | | {} | |\n",
            failed(without),
            failed(with),
            median(self.look_up_seconds.clone()),
            mib(self.resident_bytes.0),
            mib(self.resident_bytes.1),
            self.profile_bytes / 1024
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::Quantiles;

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        let phase = |p99_ms| {
            PhaseLatency::from([(TOGETHER.to_owned(), Quantiles { requests: 9, failed: 1, p50_ms: 1.0, p99_ms })])
        };
        let cost = ProfileCost {
            agents: 20_000,
            seconds: 30,
            pairs: vec![(phase(2.0), phase(2.0)), (phase(2.0), phase(3.0)), (phase(4.0), phase(9.0))],
            look_up_seconds: vec![1.0, 2.0, 9.0],
            resident_bytes: (0.0, 0.0),
            profile_bytes: 2048,
        };
        let text = cost.render();
        assert!(text.contains("| p99, ms | 2.00 | 3.00 | 1.50 |\n| failed | 3 | 3 | |\n"), "{text}");
    }
}
