use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;

use super::node::HistoryNode;
use crate::lock::lock;

/// The nodes that take requests.
pub type Nodes = [Mutex<Option<Arc<HistoryNode>>>; 2];

/// What all agents of a history share.
pub struct Surroundings {
    pub nodes: Nodes,
    /// Steps that all agents have made.
    pub steps: watch::Sender<usize>,
    /// Whether something is happening that may double lines whose acknowledgement an agent has not seen.
    pub is_in_doubt: AtomicBool,
    /// Whether a node stops. Nobody waits then for what it does for agents that have hung up.
    pub is_stopping: AtomicBool,
}

/// The lines of an agent.
#[derive(Debug, Default)]
pub struct AgentLines {
    pub made: u64,
    /// Those it has not seen acknowledged, which it sends with every batch.
    pub buffer: Vec<u64>,
    /// Whether it has hung up on a request, and has had no acknowledgement since.
    pub has_hung_up: bool,
    /// Those that may be kept twice.
    pub doubtful: BTreeSet<u64>,
}

/// An agent that sends its lines to one node for a while, then to the other, and misses some acknowledgements.
pub struct HistoryAgent {
    host: usize,
    node: usize,
    random: StdRng,
    lines: Arc<Mutex<AgentLines>>,
    around: Arc<Surroundings>,
}

impl AgentLines {
    pub fn doubt(&mut self) {
        self.doubtful.extend(self.buffer.iter().copied());
    }
}

impl HistoryAgent {
    pub fn new(host: usize, seed: u64, lines: Arc<Mutex<AgentLines>>, around: Arc<Surroundings>) -> Self {
        Self { host, node: host % 2, random: StdRng::seed_from_u64(seed), lines, around }
    }

    /// Sends so many batches, and then what is left until that is acknowledged.
    pub async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step().await;
            self.around.steps.send_modify(|steps| *steps += 1);
        }
        while !lock(&self.lines).buffer.is_empty() {
            if self.send(false).await {
                self.is_delivered();
            }
        }
    }

    async fn step(&mut self) {
        {
            let mut lines = lock(&self.lines);
            for _ in 0..self.random.random_range(1..4) {
                let line = lines.made;
                lines.made += 1;
                lines.buffer.push(line);
            }
        }
        if self.random.random_ratio(1, 16) {
            self.node = 1 - self.node;
        }
        let hangs_up = self.random.random_ratio(1, 12);
        let is_acknowledged = self.send(hangs_up).await;
        if is_acknowledged && self.random.random_ratio(1, 4) {
            // It was not: the repeat goes anywhere.
            self.node = self.random.random_range(0..2);
            return;
        }
        if is_acknowledged {
            self.is_delivered();
        }
    }

    fn hang_up(&self) {
        let mut lines = lock(&self.lines);
        lines.has_hung_up = true;
        if self.around.is_stopping.load(Ordering::SeqCst) {
            lines.doubt();
        }
    }

    fn is_delivered(&self) {
        let mut lines = lock(&self.lines);
        lines.buffer.clear();
        lines.has_hung_up = false;
    }

    /// Sends everything in the buffer. True if it was acknowledged.
    async fn send(&mut self, hangs_up: bool) -> bool {
        let batch: Vec<String> = {
            let mut lines = lock(&self.lines);
            if self.around.is_in_doubt.load(Ordering::SeqCst) {
                lines.doubt();
            }
            lines.buffer.iter().map(|line| line_of(self.host, *line)).collect()
        };
        let node = lock(&self.around.nodes[self.node]).clone();
        let Some(sent) = node.and_then(|node| node.send(self.host, &batch)) else {
            self.node = 1 - self.node;
            tokio::task::yield_now().await;
            return false;
        };
        if hangs_up {
            for _ in 0..self.random.random_range(0..40) {
                tokio::task::yield_now().await;
            }
            self.hang_up();
            sent.abort();
            self.node = self.random.random_range(0..2);
            return false;
        }
        matches!(sent.await, Ok(Ok(())))
    }
}

fn line_of(host: usize, line: u64) -> String {
    format!("{{\"unixTime\":1,\"counter\":{line},\"host\":{host}}}\n")
}
