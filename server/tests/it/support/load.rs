use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent_compat::agent::AgentEndpoint;
use agent_compat::{Exchange, TestAgent, Verdict};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Ledger;

/// Between two rounds of an agent.
const PACE: Duration = Duration::from_millis(20);

/// An agent adds no lines while more than this many wait, so that batches stay small enough to be told apart.
const MAX_WAITING: usize = 200;

/// Agents that never rest. Each round adds lines no other line equals, delivers what waits, fetches the config and
/// asks for live queries; an agent without a key enrolls first.
pub struct Load {
    stop: watch::Sender<bool>,
    working: JoinSet<(TestAgent, Report)>,
    rounds: Vec<Arc<AtomicUsize>>,
    pub ledger: Ledger,
}

/// What agents were answered.
#[derive(Debug, Default)]
pub struct Report {
    pub accepted: usize,
    pub node_invalid: usize,
    /// Requests without an answer.
    pub unanswered: usize,
    /// Answers of no bytes, which agents take for success.
    pub empty: usize,
    /// Refusals: endpoint and words.
    pub refused: Vec<(AgentEndpoint, String)>,
    /// Result lines in log requests that got no answer: they may or may not have been kept.
    pub unsure_lines: usize,
}

impl Report {
    fn note(&mut self, endpoint: AgentEndpoint, exchange: &Exchange) {
        match (&exchange.verdict, &exchange.response) {
            (_, None) => self.unanswered += 1,
            (_, Some(response)) if response.body.is_empty() => self.empty += 1,
            (Verdict::Success(_), _) => self.accepted += 1,
            (Verdict::NodeInvalid, _) => self.node_invalid += 1,
            (Verdict::Failure(reason), _) => self.refused.push((endpoint, reason.clone())),
        }
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.node_invalid += other.node_invalid;
        self.unanswered += other.unanswered;
        self.empty += other.empty;
        self.refused.extend(other.refused);
        self.unsure_lines += other.unsure_lines;
    }
}

impl Load {
    /// Sets agents to work. KeptLines are padded to about `line_bytes`.
    pub fn start(agents: impl IntoIterator<Item = TestAgent>, line_bytes: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ledger = Ledger::default();
        let mut load = Self { stop, working: JoinSet::new(), rounds: Vec::new(), ledger: ledger.clone() };
        for (number, mut agent) in agents.into_iter().enumerate() {
            agent.agent_mut().observe(Box::new(ledger.clone()));
            let rounds = Arc::new(AtomicUsize::new(0));
            load.rounds.push(Arc::clone(&rounds));
            load.working.spawn(work(agent, number, line_bytes, rounds, stopped.clone()));
        }
        load
    }

    /// Rounds made by the agent that made fewest.
    pub fn rounds(&self) -> usize {
        self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// Lets all agents finish their round, and gives them back.
    pub async fn finish(mut self) -> (Vec<TestAgent>, Report, Ledger) {
        self.stop.send_replace(true);
        let (mut agents, mut report) = (Vec::new(), Report::default());
        while let Some(worked) = self.working.join_next().await {
            let (agent, answers) = worked.unwrap();
            agents.push(agent);
            report.add(answers);
        }
        (agents, report, self.ledger)
    }
}

async fn work(
    mut agent: TestAgent,
    number: usize,
    line_bytes: usize,
    rounds: Arc<AtomicUsize>,
    stopped: watch::Receiver<bool>,
) -> (TestAgent, Report) {
    let mut report = Report::default();
    let padding = "x".repeat(line_bytes.saturating_sub(40));
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut produced = 0;
    while !*stopped.borrow() {
        pace.tick().await;
        if agent.node_key().is_empty() {
            let exchange = agent.enroll().await;
            report.note(AgentEndpoint::Enroll, &exchange);
            continue;
        }
        for _ in 0..5 {
            if agent.agent().buffered_lines() < MAX_WAITING {
                let time = agent.now_ms() / 1000;
                agent.push_result_line(format!(
                    r#"{{"agent":{number},"unixTime":{time},"counter":{produced},"padding":"{padding}"}}"#
                ));
                produced += 1;
            }
        }
        let waiting = agent.agent().buffered_lines();
        for exchange in agent.flush_logs().await {
            report.note(AgentEndpoint::Log, &exchange);
            if exchange.response.is_none() {
                report.unsure_lines += waiting;
            }
        }
        let exchange = agent.config().await;
        report.note(AgentEndpoint::Config, &exchange);
        let exchange = agent.read().await;
        report.note(AgentEndpoint::DistributedRead, &exchange);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    (agent, report)
}

/// Lets agents deliver what they still have, until nothing waits.
pub async fn deliver_all(agents: &mut [TestAgent], within: Duration) {
    super::eventually("all lines are delivered", within, async || {
        for agent in agents.iter_mut().filter(|agent| agent.agent().buffered_lines() > 0) {
            if agent.node_key().is_empty() {
                agent.enroll().await;
            }
            agent.flush_logs().await;
        }
        agents.iter().all(|agent| agent.agent().buffered_lines() == 0).then_some(())
    })
    .await;
}
