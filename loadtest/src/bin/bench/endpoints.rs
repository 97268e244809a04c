//! Server CPU per request: one kind of request at a time, on a server and then on the ceiling.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent_compat::TestAgent;
use agent_compat::transport::Trust;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use crate::load::{Load, flags, prepare};
use crate::proc::median;
use crate::process::Cores;
use crate::subject::{ConnectionMode, Programs, ServerAnswers, Snapshot, Subject};

/// From the last enrollment to the window: first configs and first questions are over.
const SETTLE: Duration = Duration::from_millis(1500);

/// How long the load goes on after the window should have ended. A busy server says late that all agents have enrolled, and
/// with connections of their own they keep it busy.
const SPARE: Duration = Duration::from_secs(2);
const SPARE_DIRECT: Duration = Duration::from_secs(8);

/// Timeout for the enrollment of all agents.
const ENROLL: Duration = Duration::from_secs(60);

const ENROLLS: &str = "enroll_agent";
const CONFIGS: &str = "get_client_config";
const READS: &str = "get_distributed_queries";
const WRITES: &str = "submit_distributed_query_results";
const LOGS: &str = "submit_logs";

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeasuredEndpoint {
    /// distributed/read with nothing to do.
    ReadEmpty,
    /// config.
    Config,
    /// config, to an agent whose etag says that it has it. The ceiling's part is an empty read.
    Unchanged,
    /// log, five lines of 400 bytes.
    Log,
    /// distributed/read with questions and the distributed/write that answers them.
    Round,
    /// enroll.
    Enroll,
}

impl MeasuredEndpoint {
    /// In an order in which each needs only what was measured before.
    pub const ALL: [Self; 6] = [Self::ReadEmpty, Self::Config, Self::Unchanged, Self::Log, Self::Round, Self::Enroll];

    pub fn title(self) -> &'static str {
        match self {
            Self::ReadEmpty => "read, empty",
            Self::Config => "config",
            Self::Unchanged => "config, unchanged by etag (ceiling: read, empty)",
            Self::Log => "log, 5 lines of 400 bytes",
            Self::Round => "read with work + its write",
            Self::Enroll => "enroll",
        }
    }

    /// Agents, and what each does how often.
    fn load(self, mode: ConnectionMode) -> (u32, &'static str) {
        match (self, mode.is_direct()) {
            (Self::ReadEmpty, false) => (1500, "--distributed-interval=100ms --config-interval=0 --log-interval=0"),
            (Self::ReadEmpty, true) => (150, "--distributed-interval=100ms --config-interval=0 --log-interval=0"),
            (Self::Config, false) => (1500, "--distributed-interval=0 --config-interval=100ms --log-interval=0"),
            (Self::Config, true) => (150, "--distributed-interval=0 --config-interval=100ms --log-interval=0"),
            (Self::Unchanged, false) => {
                (1500, "--etags --distributed-interval=0 --config-interval=100ms --log-interval=0")
            }
            (Self::Unchanged, true) => {
                (150, "--etags --distributed-interval=0 --config-interval=100ms --log-interval=0")
            }
            (Self::Log, false) => (
                1000,
                "--distributed-interval=0 --config-interval=0 --log-interval=200ms --log-share=1 --status-share=0 --lines=5",
            ),
            (Self::Log, true) => (
                300,
                "--distributed-interval=0 --config-interval=0 --log-interval=200ms --log-share=1 --status-share=0 --lines=5",
            ),
            // Hosts are due again by their next read, so that nearly every read has work.
            (Self::Round, false) => (2000, "--distributed-interval=2100ms --config-interval=0 --log-interval=0"),
            (Self::Round, true) => (1000, "--distributed-interval=2100ms --config-interval=0 --log-interval=0"),
            (Self::Enroll, _) => (1500, "--distributed-interval=0 --config-interval=0 --log-interval=0"),
        }
    }

    fn settings(self) -> Vec<String> {
        match self {
            Self::Round => flags("--osquery_detail_update_interval=1s --osquery_label_update_interval=1s"),
            _ => Vec::new(),
        }
    }

    /// CPU of one such request, from what a window saw; `known` is what was measured before.
    fn cost(self, before: &Snapshot, after: &Snapshot, known: &BTreeMap<Self, f64>) -> Result<f64> {
        let cpu_us = (after.cpu_us - before.cpu_us) as f64;
        let count = |handler| after.requests(handler) - before.requests(handler);
        let known = |endpoint| known.get(&endpoint).copied().context("an endpoint that is measured before is missing");
        let (counted, rest_us) = match self {
            Self::ReadEmpty => (count(READS), 0.0),
            Self::Config | Self::Unchanged => (count(CONFIGS), 0.0),
            Self::Log => (count(LOGS), 0.0),
            Self::Round => (count(WRITES), (count(READS) - count(WRITES)).max(0.0) * known(Self::ReadEmpty)?),
            Self::Enroll => (count(ENROLLS), count(CONFIGS) * known(Self::Config)?),
        };
        anyhow::ensure!(counted > 0.0, "no request of {:?} was answered", self);
        Ok((cpu_us - rest_us) / counted)
    }
}

/// Cost of one endpoint in one mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointCost {
    pub endpoint: String,
    pub mode: String,
    pub server_us: f64,
    pub ceiling_us: f64,
    /// Median of the ratios of the runs, each within itself.
    pub ratio: f64,
    pub generator_us: f64,
    pub runs: usize,
}

/// Number of runs and their length.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub runs: usize,
    pub window: Duration,
}

/// Measures all endpoints in these modes.
pub async fn measure(
    programs: &Programs,
    kind: BackendKind,
    modes: &[ConnectionMode],
    effort: Effort,
) -> Result<Vec<EndpointCost>> {
    let answers = answers(programs, kind).await.context("cannot ask a server for what the ceiling is to answer")?;
    let mut rows = Vec::new();
    for mode in modes {
        let mut runs: BTreeMap<MeasuredEndpoint, Vec<(Cost, f64)>> = BTreeMap::new();
        for run in 1..=effort.runs {
            let (mut of_server, mut of_ceiling) = (BTreeMap::new(), BTreeMap::new());
            for endpoint in MeasuredEndpoint::ALL {
                let server = Subject::server(programs, kind, *mode, Cores::server(), &endpoint.settings()).await?;
                let secret = prepare(programs, &server).await?;
                let served = one(programs, server, endpoint, &secret, effort.window, &of_server).await?;
                of_server.insert(endpoint, served.us);
                let constant = match of_ceiling.get(&MeasuredEndpoint::ReadEmpty) {
                    Some(us) if endpoint == MeasuredEndpoint::Unchanged => *us,
                    _ => {
                        let asks = endpoint == MeasuredEndpoint::Round;
                        let ceiling = Subject::ceiling(programs, *mode, Cores::server(), &answers, asks).await?;
                        one(programs, ceiling, endpoint, "any", effort.window, &of_ceiling).await?.us
                    }
                };
                of_ceiling.insert(endpoint, constant);
                eprintln!(
                    "run {run}: {}, {}: {:.1} us, ceiling {constant:.1} us, generator {:.1} us, {:.0} requests/s",
                    endpoint.title(),
                    mode.title(),
                    served.us,
                    served.generator_us,
                    served.rate
                );
                runs.entry(endpoint).or_default().push((served, constant));
            }
        }
        rows.extend(runs.into_iter().map(|(endpoint, runs)| EndpointCost {
            endpoint: endpoint.title().to_owned(),
            mode: mode.title().to_owned(),
            server_us: median(runs.iter().map(|(server, _)| server.us)),
            ceiling_us: median(runs.iter().map(|(_, ceiling)| *ceiling)),
            ratio: median(runs.iter().map(|(server, ceiling)| server.us / ceiling)),
            generator_us: median(runs.iter().map(|(server, _)| server.generator_us)),
            runs: runs.len(),
        }));
    }
    Ok(rows)
}

struct Cost {
    us: f64,
    generator_us: f64,
    rate: f64,
}

async fn one(
    programs: &Programs,
    subject: Subject,
    endpoint: MeasuredEndpoint,
    secret: &str,
    window: Duration,
    known: &BTreeMap<MeasuredEndpoint, f64>,
) -> Result<Cost> {
    let (agents, words) = endpoint.load(subject.mode);
    let mut load_flags = flags(words);
    load_flags.extend([format!("--agents={agents}"), format!("--enroll-secret={secret}")]);
    // The ceiling has the questions and the config for hosts of one kind only.
    load_flags.push("--platforms=ubuntu=1".to_owned());
    let is_enroll = endpoint == MeasuredEndpoint::Enroll;
    // An enrollment is what the ramp consists of; the others begin when it is over.
    let (ramp, duration) = if is_enroll {
        (window, Duration::from_secs(1))
    } else {
        let spare = if subject.mode.is_direct() { SPARE_DIRECT } else { SPARE };
        (Duration::from_secs(2), SETTLE + window + spare)
    };
    load_flags.extend([format!("--ramp={}ms", ramp.as_millis()), format!("--duration={}ms", duration.as_millis())]);
    let mut before = subject.open().await?;
    let mut begun = Instant::now();
    let mut load = Load::start(programs, &subject, Cores::generator(), &load_flags)?;
    load.enrolled(std::slice::from_ref(&subject), agents, ENROLL).await?;
    if !is_enroll {
        tokio::time::sleep(SETTLE).await;
        before = subject.open().await?;
        begun = Instant::now();
        tokio::time::sleep(window).await;
        load.check_running().context("the load ended before the window did")?;
    }
    let after = subject.close().await?;
    let seconds = begun.elapsed().as_secs_f64();
    let results = load.results().await?;
    results.warn(endpoint.title());
    let us = endpoint.cost(&before, &after, known)?;
    let requests =
        [ENROLLS, CONFIGS, READS, WRITES, LOGS].map(|handler| after.requests(handler) - before.requests(handler));
    subject.stop().await?;
    let rate = requests.iter().sum::<f64>() / seconds;
    Ok(Cost { us, generator_us: results.generator.cpu_us_per_request, rate })
}

/// Answers of a real server with the standard profile to a host that has just enrolled.
pub async fn answers(programs: &Programs, kind: BackendKind) -> Result<ServerAnswers> {
    let server = Subject::server(programs, kind, ConnectionMode::BalancedTls, Cores::All, &[]).await?;
    let secret = prepare(programs, &server).await?;
    let (cert, key) = (server.folder().join("tls/server.crt"), server.folder().join("tls/server.key"));
    let mut agent = TestAgent::simulated(1, &secret, &server.address.url(), &Trust::CaFile(cert.clone()))?;
    agent.enroll().await;
    let config = agent.config().await.body().to_vec();
    let read = agent.read().await.body().to_vec();
    let answers = ServerAnswers { cert: std::fs::read(cert)?, key: std::fs::read(key)?, config, read };
    anyhow::ensure!(answers.config.len() > 100, "the server gave no config");
    anyhow::ensure!(answers.read.len() > 100, "the server asked nothing");
    server.stop().await?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_requests_cost_is_subtracted() {
        let numbers = [(READS, 100.0), (WRITES, 40.0)]
            .map(|(handler, count)| (format!("http_requests_total{{code=\"200\",handler=\"{handler}\"}}"), count));
        let after = Snapshot { cpu_us: 10_000, numbers: numbers.into(), ..Snapshot::default() };
        let known = BTreeMap::from([(MeasuredEndpoint::ReadEmpty, 20.0)]);
        let cost = MeasuredEndpoint::Round.cost(&Snapshot::default(), &after, &known).unwrap();
        // 60 reads were empty.
        assert!((cost - (10_000.0 - 60.0 * 20.0) / 40.0).abs() < 1e-9);
        assert!(MeasuredEndpoint::Log.cost(&Snapshot::default(), &after, &known).is_err());
    }
}
