//! Load from the `loadtest` program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::folder;
use crate::phases::{PhaseLatency, SliceResults, Span};
use crate::process::{Cores, Process};
use crate::subject::{EMAIL, PASSWORD, Programs, Subject};

/// A run of `loadtest` under way.
pub struct Load {
    process: Process,
    folder: TempDir,
}

/// The part of the JSON results of `loadtest` that the bench uses.
#[derive(Debug, Deserialize)]
pub struct LoadResults {
    pub start_unix_ms: u64,
    /// Of the steady phase.
    pub endpoints: BTreeMap<String, EndpointResults>,
    pub whole_run: BTreeMap<String, EndpointResults>,
    #[serde(default)]
    pub live: Vec<LiveResults>,
    pub slices: Option<SliceResults>,
    pub total: Total,
    pub generator: Generator,
    pub verify: Option<VerifyResults>,
    #[serde(default)]
    pub failed: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct EndpointResults {
    pub requests: u64,
    pub latency_ms: Latency,
    #[serde(default)]
    pub errors_by_kind: BTreeMap<String, u64>,
    #[serde(default)]
    pub examples: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

#[derive(Debug, Deserialize)]
pub struct Total {
    pub requests: u64,
    pub rate: f64,
    pub late: u64,
}

#[derive(Debug, Deserialize)]
pub struct Generator {
    pub cpu_us_per_request: f64,
    pub peak_rss_bytes: u64,
}

/// How a live query went.
#[derive(Debug, Deserialize)]
pub struct LiveResults {
    pub targets: u64,
    /// Since the start of the run.
    pub asked_at_ms: u64,
    /// Milliseconds until all targets were settled.
    pub t100_ms: Option<u64>,
    pub states: BTreeMap<String, u64>,
    /// Milliseconds since it was asked, and targets settled.
    pub curve: Vec<(u64, u64)>,
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct VerifyResults {
    pub acknowledged: u64,
    pub lost: u64,
    pub doubled: u64,
}

impl LoadResults {
    /// The latency of check-ins in a phase of a run with slices.
    pub fn phase(&self, span: Span) -> Result<PhaseLatency> {
        let slices = self.slices.as_ref().context("the load was not measured in slices")?;
        Ok(slices.within(self.start_unix_ms, span))
    }

    /// Errors of all endpoints by kind.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for (kind, count) in self.endpoints.values().flat_map(|endpoint| &endpoint.errors_by_kind) {
            if *count > 0 {
                *all.entry(kind.clone()).or_default() += count;
            }
        }
        all
    }

    /// Says what went wrong, so that numbers are not taken for better than they are.
    pub fn warn(&self, of: &str) {
        for failed in &self.failed {
            eprintln!("{of}: {failed}");
        }
        for (name, endpoint) in self.endpoints.iter().filter(|(_, endpoint)| !endpoint.examples.is_empty()) {
            eprintln!("{of}: {name}: {:?}, such as {:?}", endpoint.errors_by_kind, endpoint.examples);
        }
    }
}

impl Load {
    pub fn start(programs: &Programs, subject: &Subject, cores: Cores, flags: &[String]) -> Result<Self> {
        let folder = folder::new()?;
        let mut words = vec![programs.loadtest.display().to_string(), "run".to_owned(), "--quiet".to_owned()];
        words.extend(subject.target());
        words.push(format!("--json={}", results_file(&folder).display()));
        words.extend(flags.iter().cloned());
        let process = Process::start("loadtest", &words, cores, folder.path())?;
        Ok(Self { process, folder })
    }

    /// Waits until the nodes have answered so many enrollments together.
    pub async fn enrolled(&mut self, nodes: &[Subject], agents: u32, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let mut enrolled = 0.0;
            for node in nodes {
                enrolled += node.open().await?.requests("enroll_agent");
            }
            if enrolled >= f64::from(agents) {
                return Ok(());
            }
            self.check_running()?;
            if Instant::now() > deadline {
                bail!("only {enrolled} of {agents} agents have enrolled within {within:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn check_running(&mut self) -> Result<()> {
        self.process.check_running()
    }

    /// Waits for its end and reads its results. Thresholds that were passed are among them.
    pub async fn results(mut self) -> Result<LoadResults> {
        let status = self.process.ended().await?;
        // 1 says that a threshold was passed.
        if !matches!(status.code(), Some(0 | 1)) {
            bail!("loadtest ended ({status}): {}", self.process.said());
        }
        let text = std::fs::read(results_file(&self.folder))
            .with_context(|| format!("loadtest left no results: {}", self.process.said()))?;
        serde_json::from_slice(&text).context("the results of loadtest are not as expected")
    }
}

fn results_file(folder: &TempDir) -> PathBuf {
    folder.path().join("load.json")
}

/// Flags for a fleet that lives the standard profile, which it applies before. The server has its operator.
pub fn fleet_flags(agents: u32, ramp: Duration, duration: Duration) -> Vec<String> {
    vec![
        "--setup".to_owned(),
        format!("--email={EMAIL}"),
        format!("--password={PASSWORD}"),
        format!("--agents={agents}"),
        format!("--ramp={}s", ramp.as_secs()),
        format!("--duration={}s", duration.as_secs()),
    ]
}

/// Flags with which the lines that a server has acknowledged are looked for in its files.
pub fn account_flags(server: &Subject) -> Vec<String> {
    let path = |name: &str| server.folder().join(name).display().to_string();
    vec![format!("--ledger={}", path("ledger")), "--destination".to_owned(), path("results"), path("statuses")]
}

/// Makes the operator, applies the standard profile, and returns the enroll secret.
pub async fn prepare(programs: &Programs, subject: &Subject) -> Result<String> {
    let secret = subject.set_up().await?;
    let mut flags = vec![format!("--email={EMAIL}"), format!("--password={PASSWORD}"), "--setup".to_owned()];
    // One agent that hardly lives: the profile is what matters here.
    flags.extend(["--agents=1", "--ramp=100ms", "--duration=200ms", "--first-agent=9000000"].map(str::to_owned));
    let results = Load::start(programs, subject, Cores::generator(), &flags)?.results().await?;
    anyhow::ensure!(results.failed.is_empty(), "the standard profile does not work: {:?}", results.failed);
    Ok(secret)
}

/// Flags from words divided by spaces.
pub fn flags(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}
