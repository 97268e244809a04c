//! Load: a fleet of light agents in one process, measured from when each request was due.
//!
//! [`run`] makes a run and returns its [`Report`]; [`Verifier`] counts afterwards what became of every log line. The
//! agents send what [`agent_compat::Agent`] sends: the model writes requests once per kind of host, and they are kept as
//! templates.

mod buffer;
mod engine;
mod etags;
mod fleet;
mod given;
mod ledger;
mod lines;
mod live;
mod measure;
mod options;
mod prepare;
mod process;
mod profile;
mod report;
mod rest;
mod schedule_rows;
mod server_url;
mod setup;
mod slices;
mod template;
#[cfg(test)]
mod tests;
mod verify;
mod wheel;
mod wire;
mod work;

use std::{
    collections::HashMap,
    fs::File,
    io::BufWriter,
    path::Path,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep_until};

pub use self::{
    buffer::LineCount,
    ledger::{Account, Ledger},
    lines::Stream,
    live::LiveCurve,
    measure::{Endpoint, Fault, Tally},
    options::{Mode, Options},
    process::Usage,
    report::Report,
    verify::{Examples, Verified, Verifier},
};
use self::{
    engine::{Engine, Gauges, micros},
    fleet::{Fleet, ThreadReport},
    rest::Rest,
    slices::Slices,
    template::{Ground, Template},
};
use agent_compat::live::now_ms;

/// Time that threads have for preparations before the common start.
const HEAD_START: Duration = Duration::from_millis(200);

/// Period at which a run checks whether all agents have come.
const LOOK: Duration = Duration::from_millis(100);

/// Receives lines about what is going on.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Bad input: what is wrong with the options, in words.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadOptions(pub Vec<String>);

/// Makes a run. `say` gets news when there is some, `progress` the state of the run every second.
///
/// # Errors
/// [`BadOptions`] for contradicting options; otherwise when the run could not be made.
pub async fn run(options: &Options, say: Say<'_>, progress: Say<'_>) -> anyhow::Result<Report> {
    let (server, target) = prepare::target(options)?;
    let rest = Rest::new(target.clone(), &server.host, &server.prefix);
    let (rest, secret) = prepare::operator(options, rest, say).await?;
    let run = uuid::Uuid::new_v4().as_fields().0;
    let mut fleets = Vec::new();
    let start = Instant::now() + HEAD_START;
    let start_unix_ms = now_ms() + u64::try_from(HEAD_START.as_millis()).unwrap_or(0);
    let end = options.ramp + options.duration;
    for part in 0..options.threads {
        let gauges = Arc::new(Gauges::default());
        let engine = Engine {
            target: target.clone(),
            connections: part_of(options.connections(), part, options.threads) as usize,
            keeps: options.mode == Mode::Balanced,
            start: start.into_std(),
            end: micros(end),
            gauges: Arc::clone(&gauges),
        };
        let (options, server, secret) = (options.clone(), server.clone(), secret.clone());
        let thread = std::thread::Builder::new().name(format!("agents-{part}")).spawn(move || {
            let profile = prepare::profile(&options, &server, run, start_unix_ms);
            let seconds = |time: Duration| time.as_secs();
            let flags = template::flags(
                &secret,
                seconds(options.distributed_interval),
                seconds(options.config_interval),
                seconds(options.log_interval),
            );
            let ground = Ground { seed: options.seed, flags: &flags, prefix: &server.prefix, now_ms: start_unix_ms };
            let templates = Template::all(&ground, &options.platforms);
            engine.run(Fleet::new(Rc::new(profile), templates, part, options.threads))
        });
        fleets.push((thread.context("cannot start a thread")?, gauges));
    }
    let gauges: Vec<_> = fleets.iter().map(|(_, gauges)| Arc::clone(gauges)).collect();
    let steady_from = start + options.ramp;
    let live = ask(options, rest.as_ref(), start, &gauges);
    let watched = watch(options, start, steady_from, &gauges, progress);
    let (live, (before, after)) = tokio::join!(live, watched);
    let outcomes = tokio::task::spawn_blocking(move || {
        let joined = fleets.into_iter().map(|(thread, _)| match thread.join() {
            Ok(outcomes) => outcomes.context("a thread of agents failed"),
            Err(_) => bail!("a thread of agents panicked"),
        });
        joined.collect::<anyhow::Result<Vec<ThreadReport>>>()
    })
    .await
    .context("waiting for the agents")??;
    let sum =
        |gauge: fn(&Gauges) -> &std::sync::atomic::AtomicU64| gauges.iter().map(|all| gauge(all).load(Relaxed)).sum();
    let mut report = Report {
        settings: prepare::settings(options),
        run,
        start_unix_ms,
        mode: options.mode,
        elapsed: start.elapsed(),
        steady: options.duration,
        agents: [options.agents.into(), sum(|gauges| &gauges.enrolled_agents), sum(|gauges| &gauges.configured)],
        tallies: Default::default(),
        lines: Default::default(),
        slices: Slices::new(micros(options.slices)),
        generator: before.own.zip(after.own),
        connections_opened: sum(|gauges| &gauges.connections),
        server: options
            .server_pid
            .zip(before.server)
            .zip(after.server)
            .map(|((pid, before), after)| (pid, before, after)),
        live,
        verified: None,
        failed: Vec::new(),
    };
    let ledger = collect(&mut report, outcomes);
    if let Some(path) = &options.ledger {
        let file = File::create(path).with_context(|| format!("--ledger {}", path.display()))?;
        ledger.write(BufWriter::new(file)).with_context(|| format!("--ledger {}", path.display()))?;
    }
    if !options.destination.is_empty() {
        report.verified = Some(verify([ledger], &options.destination)?);
    }
    report.judge(options);
    Ok(report)
}

/// Reads destinations and compares them with ledgers.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(
    ledgers: impl IntoIterator<Item = Ledger>,
    destinations: &[impl AsRef<Path>],
) -> anyhow::Result<Verified> {
    let mut verifier = Verifier::new(ledgers);
    for path in destinations.iter().map(AsRef::as_ref) {
        verifier.read_file(path).with_context(|| format!("--destination {}", path.display()))?;
    }
    Ok(verifier.finish())
}

/// Asks the live queries, each at its time; but while agents are still to come, not in the first half of it.
async fn ask(options: &Options, rest: Option<&Rest>, start: Instant, gauges: &[Arc<Gauges>]) -> Vec<LiveCurve> {
    let Some(rest) = rest else { return Vec::new() };
    let end = start + options.ramp + options.duration;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..options.live {
        // The last one has as much time as there is between two.
        let at = start + options.ramp + options.duration * number / options.live.max(1);
        let latest = at + options.duration / (options.live * 2);
        let (rest, gauges, agents) = (rest.clone(), gauges.to_vec(), u64::from(options.agents));
        asking.spawn(async move {
            sleep_until(at).await;
            let configured = || gauges.iter().map(|all| all.configured.load(Relaxed)).sum::<u64>();
            while configured() < agents && Instant::now() < latest {
                sleep_until(Instant::now() + LOOK).await;
            }
            (number, live::watch(&rest, number, start, end).await)
        });
    }
    let mut curves = asking.join_all().await;
    curves.sort_by_key(|curve| curve.0);
    curves.into_iter().map(|curve| curve.1).collect()
}

#[derive(Clone, Copy, Default)]
struct Usages {
    own: Option<Usage>,
    server: Option<Usage>,
}

/// Reports progress each second; returns CPU time and memory at the beginning and at the end of the steady phase.
async fn watch(
    options: &Options,
    start: Instant,
    steady_from: Instant,
    gauges: &[Arc<Gauges>],
    progress: Say<'_>,
) -> (Usages, Usages) {
    let usages = || Usages { own: Usage::own(), server: options.server_pid.and_then(Usage::of) };
    let end = steady_from + options.duration;
    let mut before = None;
    let mut last = (start, 0);
    let mut next = start + Duration::from_secs(1);
    loop {
        let due = if before.is_none() { steady_from.min(next) } else { next.min(end) };
        sleep_until(due).await;
        let now = Instant::now();
        if before.is_none() && now >= steady_from {
            before = Some(usages());
        }
        if now >= end {
            return (before.unwrap_or_default(), usages());
        }
        if now < next {
            continue;
        }
        next += Duration::from_secs(1);
        let sum = |gauge: fn(&Gauges) -> &std::sync::atomic::AtomicU64| {
            gauges.iter().map(|all| gauge(all).load(Relaxed)).sum::<u64>()
        };
        let requests = sum(|gauges| &gauges.requests);
        let rate = (requests - last.1) as f64 / now.duration_since(last.0).as_secs_f64();
        last = (now, requests);
        progress(&format!(
            "{:>4} s {}  {rate:>7.0}/s  enrolled {}  configured {}  in flight {}  waiting {}  late {}  slow {}  errors {}",
            now.duration_since(start).as_secs(),
            if now < steady_from { "ramp  " } else { "steady" },
            sum(|gauges| &gauges.enrolled_agents),
            sum(|gauges| &gauges.configured),
            sum(|gauges| &gauges.in_flight),
            sum(|gauges| &gauges.waiting),
            sum(|gauges| &gauges.late),
            sum(|gauges| &gauges.slow),
            sum(|gauges| &gauges.errors),
        ));
    }
}

fn collect(report: &mut Report, outcomes: Vec<ThreadReport>) -> Ledger {
    let mut accounts = HashMap::new();
    let none = || Endpoint::ALL.iter().map(|_| Tally::default()).collect::<Vec<_>>();
    report.tallies = [none(), none()];
    for outcome in outcomes {
        for (mine, theirs) in report.tallies.iter_mut().flatten().zip(outcome.tallies.iter().flatten()) {
            mine.add(theirs);
        }
        for (mine, theirs) in report.lines.iter_mut().zip(outcome.lines) {
            mine.made += theirs.made;
            mine.acknowledged += theirs.acknowledged;
            mine.dropped += theirs.dropped;
        }
        report.slices.add(&outcome.slices);
        accounts.extend(outcome.ledger);
    }
    Ledger { run: report.run, accounts }
}

/// The share of one part when things are dealt out.
fn part_of(all: u32, part: u32, parts: u32) -> u32 {
    all / parts + u32::from(part < all % parts)
}
