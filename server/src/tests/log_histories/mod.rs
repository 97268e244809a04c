//! Random histories of agents that send log lines to two nodes with one Redis, miss acknowledgements and repeat, while
//! leases get old, batches are refused, nodes stop and die, and Redis loses its data or some of it or is away. No line is
//! lost. None is doubled, unless its agent had not seen
//! it acknowledged when a node died or Redis failed, or had hung up when a node stopped.

mod agent;
mod node;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;

use self::agent::{AgentLines, HistoryAgent, Surroundings};
use self::node::HistoryNode;
use super::size::count;
use super::world::World;
use crate::lock::lock;
use crate::redis_processes::RedisProcess;

const HOSTS: usize = 8;
const STEPS: usize = 40;

/// Histories under way at one time.
const AT_ONCE: usize = 4;

/// Longest wait for something to come right again.
const SOON: Duration = Duration::from_secs(30);

/// What happens beside the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A node stops and another one starts.
    Stop,
    /// So much time goes by that no lease is used any more.
    Age,
    /// A node refuses all batches for a while, which it had leases for or not.
    Refuse,
    /// Leases of a node get old while it refuses all batches.
    RefuseOld,
    /// A node dies and another one starts.
    Kill,
    /// Redis loses its data.
    Flush,
    /// Redis loses some leases and locks. Nobody notices until leases are old.
    LoseTurns,
    /// Redis does not answer for a while.
    Silence,
    /// Redis is gone for a while, and its data with it.
    Restart,
}

struct LogHistory {
    redis: RedisProcess,
    origin: World,
    keys: Vec<String>,
    lines: Vec<Arc<Mutex<AgentLines>>>,
    around: Arc<Surroundings>,
    /// All nodes that there were.
    nodes: Vec<Arc<HistoryNode>>,
    random: StdRng,
    /// What Redis had not answered when the last failure was over.
    unanswered: u64,
    /// Whether Redis was late without being made so: then nodes keep batches alone, and nothing is said about doubles.
    was_late: bool,
}

impl LogHistory {
    async fn begin(seed: u64) -> Self {
        let redis = RedisProcess::start().await;
        let address = redis.address();
        let enrolled = async {
            let origin = World::with(|config| {
                config.redis.address = vec![address];
                config.osquery.max_enroll_wait = SOON;
            })
            .await;
            let mut keys = Vec::new();
            for host in 0..HOSTS {
                keys.push(origin.enroll(&format!("host-{host}"), "ubuntu").await);
            }
            (origin, keys)
        };
        let (origin, keys) = tokio::task::LocalSet::new().run_until(enrolled).await;
        let nodes = vec![HistoryNode::start(&origin, &keys), HistoryNode::start(&origin, &keys)];
        for node in &nodes {
            node.uses_redis().await;
        }
        let around = Surroundings {
            nodes: [0, 1].map(|node: usize| Mutex::new(Some(Arc::clone(&nodes[node])))),
            steps: watch::Sender::new(0),
            is_in_doubt: false.into(),
            is_stopping: false.into(),
        };
        let lines = (0..HOSTS).map(|_| Arc::default()).collect();
        let random = StdRng::seed_from_u64(seed);
        Self { redis, origin, keys, lines, around: Arc::new(around), nodes, random, unanswered: 0, was_late: false }
    }

    /// Lets agents work while so many events of these kinds happen. Gives how many leases have ended for other nodes' sake.
    async fn run(mut self, seed: u64, events: usize, kinds: &[Event]) -> u64 {
        let mut agents = tokio::task::JoinSet::new();
        for (host, lines) in self.lines.iter().enumerate() {
            let seed = seed * HOSTS as u64 + host as u64;
            agents.spawn(HistoryAgent::new(host, seed, Arc::clone(lines), Arc::clone(&self.around)).run(STEPS));
        }
        let mut steps = self.around.steps.subscribe();
        for event in 1..=events {
            let _ = steps.wait_for(|steps| *steps >= event * HOSTS * STEPS / (events + 1)).await;
            let kind = *kinds.choose(&mut self.random).unwrap();
            self.happen(kind).await;
        }
        while let Some(ended) = agents.join_next().await {
            ended.unwrap();
        }
        self.look_for_delays();
        self.check(seed);
        self.nodes.iter().map(|node| node.leases_ended("revoked")).sum()
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Stop => {
                self.around.is_stopping.store(true, Ordering::SeqCst);
                self.doubt_where(|lines| lines.has_hung_up);
                self.replace(async |node| node.stop().await).await;
                self.around.is_stopping.store(false, Ordering::SeqCst);
            }
            Event::Age => self.nodes_now().iter().for_each(|node| node.is_later()),
            Event::Refuse | Event::RefuseOld => {
                let node = self.nodes_now().choose(&mut self.random).map(Arc::clone).unwrap();
                node.refuse(true);
                if event == Event::RefuseOld {
                    node.is_later();
                }
                self.agents_go_on().await;
                node.refuse(false);
            }
            Event::Kill | Event::Flush | Event::LoseTurns | Event::Silence | Event::Restart => self.fail(event).await,
        }
    }

    /// What is under way may be doubled.
    async fn fail(&mut self, event: Event) {
        self.look_for_delays();
        self.around.is_in_doubt.store(true, Ordering::SeqCst);
        self.doubt();
        match event {
            Event::Stop | Event::Age | Event::Refuse | Event::RefuseOld => {}
            Event::Kill => self.replace(async |node| node.kill()).await,
            Event::Flush => drop(self.redis.ask(&["FLUSHALL"])),
            Event::LoseTurns => {
                let locks = self.redis.ask(&["KEYS", "*:turn"]);
                let lost = locks.lines().filter(|_| self.random.random_ratio(1, 2));
                drop(self.redis.ask(&std::iter::once("DEL").chain(lost).collect::<Vec<_>>()));
                self.agents_go_on().await;
                self.nodes_now().iter().for_each(|node| node.is_later());
            }
            Event::Silence => {
                self.redis.pause();
                self.agents_go_on().await;
                self.redis.resume();
            }
            Event::Restart => {
                self.redis.kill();
                self.agents_go_on().await;
                self.redis.restart().await;
            }
        }
        for node in self.nodes_now() {
            node.uses_redis().await;
        }
        self.doubt();
        self.around.is_in_doubt.store(false, Ordering::SeqCst);
        self.doubt();
        self.unanswered = self.unanswered_now();
    }

    fn unanswered_now(&self) -> u64 {
        self.nodes.iter().map(|node| node.unanswered()).sum()
    }

    fn look_for_delays(&mut self) {
        self.was_late |= self.unanswered_now() > self.unanswered;
    }

    fn nodes_now(&self) -> [Arc<HistoryNode>; 2] {
        [0, 1].map(|node: usize| lock(&self.around.nodes[node]).clone().unwrap())
    }

    /// Ends a node and starts another one in its place.
    async fn replace(&mut self, end: impl AsyncFn(&HistoryNode)) {
        let slot = self.random.random_range(0..2);
        let node = lock(&self.around.nodes[slot]).take().unwrap();
        end(&node).await;
        let node = HistoryNode::start(&self.origin, &self.keys);
        *lock(&self.around.nodes[slot]) = Some(Arc::clone(&node));
        self.nodes.push(node);
    }

    async fn agents_go_on(&self) {
        let mut steps = self.around.steps.subscribe();
        let wanted = *steps.borrow() + HOSTS * 2;
        let enough = HOSTS * STEPS;
        let _ = steps.wait_for(|steps| *steps >= wanted.min(enough)).await;
    }

    fn doubt(&self) {
        self.doubt_where(|_| true);
    }

    fn doubt_where(&self, is_doubtful: impl Fn(&AgentLines) -> bool) {
        for lines in &self.lines {
            let mut lines = lock(lines);
            if is_doubtful(&lines) {
                lines.doubt();
            }
        }
    }

    fn check(&self, seed: u64) {
        let files: Vec<PathBuf> = self.nodes.iter().map(|node| node.results()).collect();
        let mut kept: HashMap<(usize, u64), usize> = HashMap::new();
        for line in files.iter().flat_map(lines_in) {
            *kept.entry(line).or_default() += 1;
        }
        let (mut doubled, mut doubtful) = (0, 0);
        for (host, lines) in self.lines.iter().enumerate() {
            let lines = lock(lines);
            doubtful += lines.doubtful.len();
            for line in 0..lines.made {
                let times = kept.get(&(host, line)).copied().unwrap_or(0);
                assert!(times > 0, "history {seed}: line {line} of host {host} is lost");
                doubled += usize::from(times > 1);
                let may_be_doubled = lines.doubtful.contains(&line);
                assert!(
                    times == 1 || may_be_doubled || self.was_late,
                    "history {seed}: line {line} of host {host} is there {times} times"
                );
            }
        }
        let late = if self.was_late { ", Redis was late" } else { "" };
        eprintln!("history {seed}: {} lines, {doubled} doubled of {doubtful} in doubt{late}", kept.len());
    }
}

/// Host and number of each line of a file.
fn lines_in(file: &PathBuf) -> Vec<(usize, u64)> {
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["host"].as_u64().unwrap() as usize, line["counter"].as_u64().unwrap())
    };
    text.lines().map(line).collect()
}

/// Runs histories, some at one time and each on a thread of its own, and checks that leases were taken away in them.
fn run_all(seeds: std::ops::Range<u64>, events: usize, kinds: &[Event]) {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async { Box::pin(LogHistory::begin(seed)).await.run(seed, events, kinds).await })
    };
    let next = AtomicU64::new(seeds.start);
    let run_some = || {
        let mine = std::iter::repeat_with(|| next.fetch_add(1, Ordering::SeqCst)).take_while(|seed| *seed < seeds.end);
        mine.map(run).sum::<u64>()
    };
    let revoked: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(run_some)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(revoked > 0, "no lease was taken, or none was wanted");
}

#[test]
fn without_a_failure_no_line_is_lost_or_doubled() {
    run_all(0..count(4, 200), 3, &[Event::Stop, Event::Age, Event::Refuse, Event::RefuseOld]);
}

#[test]
fn with_failures_only_lines_in_doubt_are_doubled() {
    let all = [
        Event::Stop,
        Event::Age,
        Event::Refuse,
        Event::RefuseOld,
        Event::Kill,
        Event::Flush,
        Event::LoseTurns,
        Event::Silence,
        Event::Restart,
    ];
    run_all(1000..1000 + count(4, 200), 4, &all);
}
