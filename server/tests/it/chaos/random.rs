//! Faults that follow each other at random, with all invariants checked: `make chaos`. The seed of a run repeats its
//! faults.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_api::rest::LiveStatus;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::certificates::Authority;
use super::cluster::{Cluster, LiveJob};
use super::faults::{Strike, are_served};
use super::fleet::{Fleet, Page};
use super::invariants::{Checked, Doubled, check};
use super::servers::balance;
use super::{RECOVERED_WITHIN, cluster_permit};
use crate::support::eventually_ok;

/// Seconds that hosts have to answer a live query.
const DEADLINE: u64 = 60;

/// How long a live query may be open after its deadline: until the sweep that ends it.
const OVER_WITHIN: Duration = Duration::from_secs(DEADLINE + 60);

/// Most live queries at one time: what a server allows, less one for the operator.
const MAX_OPEN: usize = 5;

/// How a run is chosen.
struct ChaosRun {
    seed: u64,
    agents: u32,
    /// Begins no further faults after so long, or after so many.
    lasts: Duration,
    rounds: usize,
    /// The longest that faults last.
    longest: Duration,
    report: Option<PathBuf>,
}

/// What came of a run, as it is written into the report.
#[derive(Default)]
struct ChaosReport {
    faults: BTreeMap<String, usize>,
    rounds: usize,
    accepted: usize,
    refused: usize,
    unanswered: usize,
    slowest_recovery: Duration,
    live_queries: usize,
    /// Targets of live queries by state.
    targets: BTreeMap<&'static str, u64>,
}

impl ChaosReport {
    fn add(&mut self, strike: &Strike, page: &Page, recovery: Duration) {
        for fault in &strike.faults {
            *self.faults.entry(fault.to_string()).or_default() += 1;
        }
        self.rounds += 1;
        self.accepted += page.accepted;
        self.refused += page.refused.len();
        self.unanswered += page.unanswered.len();
        self.slowest_recovery = self.slowest_recovery.max(recovery);
    }

    fn text(&self, run: &ChaosRun, took: Duration, checked: &Checked) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(text, "| {name} | {value} |").unwrap();
        line("result", &"---");
        line("seed", &run.seed);
        line("time", &format_args!("{} min {} s", took.as_secs() / 60, took.as_secs() % 60));
        line("agents", &run.agents);
        line("rounds of faults", &self.rounds);
        line("requests accepted", &self.accepted);
        line("requests refused, which agents repeat", &self.refused);
        line("requests without an answer", &self.unanswered);
        line("log lines acknowledged", &checked.acknowledged);
        line("acknowledged log lines lost", &0);
        line("log lines kept twice", &checked.doubled);
        line("wrong answers, `node_invalid` among them", &0);
        line("live queries", &self.live_queries);
        for (state, targets) in &self.targets {
            line(&format!("targets {state}"), targets);
        }
        line("slowest recovery", &format_args!("{:.1} s", self.slowest_recovery.as_secs_f64()));
        text.push_str("\n| fault | times |\n| --- | --- |\n");
        for (fault, times) in &self.faults {
            writeln!(text, "| {fault} | {times} |").unwrap();
        }
        text
    }
}

/// Says how a run that fails is repeated.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("chaos: this run failed; repeat its faults with `make chaos SEED={}`", self.0);
        }
    }
}

async fn run(run: ChaosRun) {
    let _permit = cluster_permit().await;
    let _seed = Seed(run.seed);
    eprintln!("chaos: seed {}, {} agents", run.seed, run.agents);
    let (mut random, authority) = (StdRng::seed_from_u64(run.seed), Authority::new());
    let mut cluster = Cluster::start_furnished(&["server_drain=1s"], |setup| {
        authority.issue(setup.folder());
        setup.trust(authority.file());
        setup.survive_full_disks();
    })
    .await;
    let fleet = Fleet::start(&cluster, run.agents).await;
    let balancer = tokio::spawn(balance(cluster.rest.clone(), Arc::clone(&fleet.front)));
    let (began, mut report, mut jobs) = (Instant::now(), ChaosReport::default(), Vec::new());
    fleet.book.take();
    while began.elapsed() < run.lasts && report.rounds < run.rounds {
        let mut strike = Strike::pick(&mut random, run.longest);
        jobs.extend(ask(&cluster, report.rounds % 2).await);
        let all: Vec<String> = strike.faults.iter().map(ToString::to_string).collect();
        eprintln!("chaos: {:>4} s: {} for {:?}", began.elapsed().as_secs(), all.join(" and "), strike.lasts);
        strike.begin(&mut cluster, &authority).await;
        watch(&cluster, &fleet, &jobs, strike.lasts).await;
        strike.end(&mut cluster).await;
        let ended = Instant::now();
        cluster.is_ready().await;
        are_served(&cluster, RECOVERED_WITHIN).await;
        fleet.all_succeed("all agents work again", RECOVERED_WITHIN).await;
        let page = fleet.book.take();
        eprintln!("chaos:         recovered after {:?}: {page}", ended.elapsed());
        assert!(page.wrong.is_empty(), "{:?}", page.wrong);
        report.add(&strike, &page, ended.elapsed());
        if jobs.len() >= MAX_OPEN {
            end_all(&cluster, &mut jobs, &mut report).await;
        }
    }
    end_all(&cluster, &mut jobs, &mut report).await;
    let took = began.elapsed();
    let checked = check("chaos", &cluster, fleet, 0, Doubled::InFlight).await;
    balancer.abort();
    let text = report.text(&run, took, &checked);
    eprintln!("{text}");
    if let Some(file) = &run.report {
        std::fs::write(file, text).unwrap();
    }
}

/// Asks all hosts, if the server can.
async fn ask(cluster: &Cluster, server: usize) -> Option<LiveJob> {
    let request = json!({ "query": "SELECT 1 AS one", "targets": { "all": true }, "deadline_seconds": DEADLINE });
    let answer = cluster.rest[server].post("live_queries", &request).await;
    if answer.status == 503 {
        return None;
    }
    assert_eq!(answer.status, 200, "{}", answer.text);
    Some(LiveJob { id: answer.json()["live_query"]["id"].as_i64().unwrap() })
}

/// Looks at live queries and at what agents are told while faults last. Every target is in exactly one state.
async fn watch(cluster: &Cluster, fleet: &Fleet, jobs: &[LiveJob], lasts: Duration) {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(250));
    while began.elapsed() < lasts {
        looks.tick().await;
        assert_eq!(fleet.book.wrong_answers(), 0, "{:?}", fleet.book.take().wrong);
        for (rest, server) in cluster.rest.iter().zip(&cluster.servers) {
            for job in jobs.iter().rev().take(usize::from(server.is_some())) {
                job.look(rest).await;
            }
        }
    }
}

/// Waits until all live queries are over, with every target in a final state that both servers agree on.
async fn end_all(cluster: &Cluster, jobs: &mut Vec<LiveJob>, report: &mut ChaosReport) {
    for job in jobs.drain(..) {
        let over = eventually_ok(OVER_WITHIN, async || {
            let looks = [job.look(&cluster.rest[0]).await, job.look(&cluster.rest[1]).await];
            match &looks {
                [Some(one), Some(other)]
                    if one.status != LiveStatus::Open
                        && other.status != LiveStatus::Open
                        && one.counts == other.counts =>
                {
                    Ok(one.counts)
                }
                _ => Err(looks),
            }
        });
        let counts = match over.await {
            Ok(counts) => counts,
            Err(looks) => panic!("a live query is not over within {OVER_WITHIN:?}: {looks:#?}\n{}", cluster.said()),
        };
        assert_eq!(counts.pending + counts.sent, 0, "{counts:?}");
        report.live_queries += 1;
        for (state, targets) in [
            ("answered", counts.answered),
            ("expired", counts.expired),
            ("lost", counts.lost),
            ("failed", counts.failed),
            ("suspect", counts.suspect),
            ("skipped", counts.skipped),
            ("gone", counts.gone),
        ] {
            *report.targets.entry(state).or_default() += targets;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_faults_break_no_promise() {
    let lasts = Duration::from_secs(600);
    run(ChaosRun { seed: 1, agents: 20, lasts, rounds: 3, longest: Duration::from_secs(3), report: None }).await;
}

/// A number that the environment chooses.
fn chosen(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map_or(usual, |text| text.parse().unwrap_or_else(|error| panic!("{name}={text:?} is no number: {error}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is asked to: make chaos"]
async fn faults_break_no_promise() {
    run(ChaosRun {
        seed: chosen("MUSTER_CHAOS_SEED", rand::random_range(1..1_000_000)),
        agents: u32::try_from(chosen("MUSTER_CHAOS_AGENTS", 100)).unwrap(),
        lasts: Duration::from_secs(60 * chosen("MUSTER_CHAOS_MINUTES", 10)),
        rounds: usize::MAX,
        longest: Duration::from_secs(8),
        report: std::env::var_os("MUSTER_CHAOS_REPORT").map(PathBuf::from),
    })
    .await;
}
