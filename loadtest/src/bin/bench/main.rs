//! Measures what the server costs, beside the least it could cost, and writes docs/performance.md.

#![expect(clippy::cast_precision_loss, reason = "counts and times of minutes are far below what a float holds exactly")]

mod backend;
mod crowd;
mod directory;
mod endpoints;
mod folder;
mod http;
mod load;
mod memory;
mod newcomers;
mod nodes;
mod open_queries;
mod operator;
mod pages;
mod phases;
mod proc;
mod process;
mod profiled;
mod report;
mod restart;
mod standard;
mod statistics;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum as _};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::backend::BackendKind;
use crate::crowd::CrowdPlan;
use crate::endpoints::Effort;
use crate::memory::MemoryPlan;
use crate::nodes::NodesPlan;
use crate::open_queries::PairsPlan;
use crate::process::Cores;
use crate::profiled::ProfilePlan;
use crate::report::{Book, Measured};
use crate::restart::RestartPlan;
use crate::standard::Plan;
use crate::statistics::CollectionPlan;
use crate::subject::{ConnectionMode, Programs};

/// Measures `muster` with `loadtest`, beside `ceiling`. All three are taken from the folder this program is in.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct BenchOptions {
    /// Databases and caches of the server.
    #[arg(long, value_enum, default_value = "sqlite")]
    backend: BackendKind,
    /// One short run of the most important numbers, shown and not written.
    #[arg(long)]
    quick: bool,
    /// Runs of each kind of request, whose median is taken.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Measure these parts only; what was written of the others stays.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Folder of performance.md and performance.json, where the numbers go.
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// The command to name beside the numbers.
    #[arg(long, default_value = "make bench")]
    command: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Each kind of request.
    Endpoints,
    /// A whole fleet.
    Standard,
    /// Memory of hosts, connections and the generator.
    Memory,
    /// Lists, counts and searches of 500,000 hosts.
    Directory,
    /// Pages of the dashboard with 500,000 hosts.
    Pages,
    /// Check-ins of 50,000 hosts while all are asked a live query, and while unknown hosts enroll.
    Crowd,
    /// A restart under load.
    Restart,
    /// Check-ins while live queries wait for other hosts.
    OpenQueries,
    /// The share of collecting what queries cost.
    Statistics,
    /// Check-ins while a CPU profile is taken.
    Profile,
    /// Work of the database and the bus for 1, 2 and 4 nodes, with --backend mariadb.
    Nodes,
}

fn main() -> ExitCode {
    let options = BenchOptions::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(until_stopped(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Dropping the work ends what it has started and removes its folders.
async fn until_stopped(options: &BenchOptions) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        outcome = bench(options) => outcome,
        _ = interrupt.recv() => anyhow::bail!("stopped"),
        _ = terminate.recv() => anyhow::bail!("stopped"),
    }
}

async fn bench(options: &BenchOptions) -> Result<()> {
    folder::sweep();
    let beside = std::env::current_exe()?;
    let beside = beside.parent().context("this program is in no folder")?;
    let programs =
        Programs { muster: beside.join("muster"), ceiling: beside.join("ceiling"), loadtest: beside.join("loadtest") };
    let keys = Command::new(&programs.muster).args(["config", "keys"]).output().await;
    let keys = keys.with_context(|| format!("cannot run {}", programs.muster.display()))?;
    let keys = String::from_utf8_lossy(&keys.stdout).into_owned();
    if !options.backend.is_known_by(&keys) {
        eprintln!("skipped: this server cannot use {} yet", options.backend.title());
        return Ok(());
    }
    let begun = Instant::now();
    let title = options.backend.title();
    let pinning = match Cores::server() {
        Cores::Only(_) => {
            "Server or ceiling on the first core, generator on the second, except for whole fleets and memory, where both share all cores."
        }
        Cores::All => "One core for everything: server and generator disturb each other.",
    };
    let (book, page) = (options.docs.join("performance.json"), options.docs.join("performance.md"));
    let mut all = if options.quick { Book::new() } else { report::read(&book)? };
    let before = all.remove(title).unwrap_or_default();
    let command = if before.command.is_empty() { options.command.clone() } else { before.command };
    let mut measured = Measured { command, machine: proc::machine(), pinning: pinning.to_owned(), ..before };
    for part in options.parts() {
        measure(part, options, &programs, &mut measured).await?;
        measured.commands.insert(part.word(), options.command.clone());
        if !options.quick {
            // Written at once: a later part may fail, and this one took long.
            all.insert(title.to_owned(), measured.clone());
            report::write(&book, &page, &all)?;
        }
    }
    eprintln!("took {:.0} s", begun.elapsed().as_secs_f64());
    if options.quick { print(&report::render(title, &measured)) } else { Ok(()) }
}

impl BenchOptions {
    fn parts(&self) -> Vec<Part> {
        match (&*self.only, self.quick) {
            ([], true) => vec![Part::Endpoints, Part::Standard],
            ([], false) => {
                let all = Part::value_variants().iter().rev();
                all.filter(|part| **part != Part::Nodes || self.backend == BackendKind::Mariadb).copied().collect()
            }
            (only, _) => only.to_vec(),
        }
    }
}

impl Part {
    /// As on the command line.
    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

async fn measure(part: Part, options: &BenchOptions, programs: &Programs, measured: &mut Measured) -> Result<()> {
    let kind = options.backend;
    match part {
        Part::Endpoints => {
            // How connections are made does not depend on what is behind the server.
            let modes: &[ConnectionMode] = match kind {
                BackendKind::Sqlite if !options.quick => {
                    &[ConnectionMode::BalancedTls, ConnectionMode::BalancedPlain, ConnectionMode::DirectTls]
                }
                _ => &[ConnectionMode::BalancedTls],
            };
            let effort = match options.quick {
                true => Effort { runs: 1, window: Duration::from_secs(2) },
                false => Effort { runs: options.runs, window: Duration::from_secs(3) },
            };
            measured.endpoints = endpoints::measure(programs, kind, modes, effort).await?;
        }
        Part::Directory => measured.directory = Some(directory::measure(programs, kind).await?),
        Part::Pages => measured.pages = Some(pages::measure(programs, kind).await?),
        Part::Memory => {
            let plan = if options.quick { MemoryPlan::quick() } else { MemoryPlan::whole() };
            measured.memory = Some(memory::measure(programs, kind, plan).await?);
        }
        Part::Crowd => {
            let plan = if options.quick { CrowdPlan::quick() } else { CrowdPlan::whole() };
            measured.crowd = Some(crowd::measure(programs, kind, plan).await?);
        }
        Part::Restart => {
            let plan = if options.quick { RestartPlan::quick() } else { RestartPlan::whole() };
            measured.restart = Some(restart::measure(programs, kind, plan).await?);
        }
        Part::OpenQueries => {
            let plan = if options.quick { PairsPlan::quick() } else { PairsPlan::whole() };
            measured.open_queries = Some(open_queries::measure(programs, kind, plan).await?);
        }
        Part::Statistics => {
            let plan = if options.quick { CollectionPlan::quick() } else { CollectionPlan::whole() };
            measured.statistics = Some(statistics::measure(programs, kind, plan).await?);
        }
        Part::Profile => {
            let plan = if options.quick { ProfilePlan::quick() } else { ProfilePlan::whole() };
            measured.profile = Some(profiled::measure(programs, kind, plan).await?);
        }
        Part::Nodes => {
            let plan = if options.quick { NodesPlan::quick() } else { NodesPlan::whole() };
            measured.nodes = nodes::measure(programs, kind, plan).await?;
        }
        Part::Standard => {
            measured.standard.clear();
            for (agents, mode, ramp) in
                [(20_000, ConnectionMode::BalancedTls, 80), (3_000, ConnectionMode::DirectTls, 10)]
            {
                let (settle, windows, window) = if options.quick { (3, 1, 8) } else { (75, 3, 30) };
                let plan = Plan {
                    agents: if options.quick { agents / 10 } else { agents },
                    mode,
                    ramp: Duration::from_secs(if options.quick { 5 } else { ramp }),
                    settle: Duration::from_secs(settle),
                    windows,
                    window: Duration::from_secs(window),
                };
                measured.standard.push(standard::measure(programs, kind, plan).await?);
            }
        }
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
