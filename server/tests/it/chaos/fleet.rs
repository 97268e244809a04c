use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_compat::Flags;
use agent_compat::agent::{AgentEndpoint, Counters, Request, Thread};
use agent_compat::live::{self, SharedAgent};
use agent_compat::transport::{Direct, Response, Transport, TransportError};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use crate::support::{ENROLL_SECRET, Ledger, eventually};

/// How often each agent has something new to say.
const NEW_LINES: Duration = Duration::from_millis(500);

/// Agents that live by their own timers, with osqueryd's attempts and pauses, and come to any server with each request.
pub struct Fleet {
    pub agents: Vec<SharedAgent>,
    pub front: Arc<Front>,
    pub book: Book,
    pub ledger: Ledger,
    lives: JoinSet<()>,
    stop: watch::Sender<bool>,
    is_talking: Arc<AtomicBool>,
}

impl Fleet {
    /// So many agents, enrolled, told about themselves and at work.
    pub async fn start(cluster: &Cluster, count: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut fleet = Self {
            agents: Vec::new(),
            front: Arc::default(),
            book: Book::default(),
            ledger: Ledger::default(),
            lives: JoinSet::new(),
            stop,
            is_talking: Arc::new(AtomicBool::new(true)),
        };
        for index in 0..count {
            let flags = Flags {
                enroll_secret: ENROLL_SECRET.into(),
                logger_tls_period: 1,
                logger_tls_backoff_max: 1,
                distributed_interval: 1,
                config_refresh: 2,
                config_accelerated_refresh: 1,
                ..Flags::default()
            };
            let ways = [0, 1].map(|server| cluster.address(server).living(index, flags.clone()));
            let [(mut agent, one), (_, other)] = ways;
            agent.observe(Box::new(fleet.ledger.clone()));
            let agent: SharedAgent = Arc::new(Mutex::new(agent));
            let way = AnyServer { ways: [one, other], front: Arc::clone(&fleet.front), book: fleet.book.clone() };
            fleet.lives.spawn(live::run(Arc::clone(&agent), way, stopped.clone()));
            fleet.agents.push(agent);
        }
        fleet.lives.spawn(talk(fleet.agents.clone(), Arc::clone(&fleet.is_talking), stopped));
        // Both servers shall know all of them.
        for server in [0, 1] {
            fleet.front.set(server, true);
            fleet.front.set(1 - server, false);
            fleet.all_succeed("a new fleet is at work", Duration::from_secs(60)).await;
        }
        fleet.front.set(0, true);
        let page = fleet.book.take();
        assert!(page.wrong.is_empty(), "{page}: {:?}", page.wrong);
        eventually("all hosts have told about themselves", Duration::from_secs(60), async || {
            let refreshed = "SELECT count(*) FROM hosts WHERE detail_updated_at > 0";
            (cluster.number(refreshed) == i64::from(count)).then_some(())
        })
        .await;
        fleet
    }

    pub fn counters(&self) -> Vec<Counters> {
        self.agents.iter().map(|agent| *live::lock(agent).counters()).collect()
    }

    /// Waits until every agent has succeeded with everything it does all the time, counted from now.
    pub async fn all_succeed(&self, what: &str, within: Duration) {
        let before = self.counters();
        eventually(what, within, async || {
            let after = self.counters();
            let has_gone_on = |(before, after): (&Counters, &Counters)| {
                [AgentEndpoint::Config, AgentEndpoint::Log, AgentEndpoint::DistributedRead]
                    .into_iter()
                    .all(|endpoint| after.endpoint(endpoint).successes > before.endpoint(endpoint).successes)
            };
            before.iter().zip(&after).all(has_gone_on).then_some(())
        })
        .await;
    }

    /// Has no more to say, and waits until all it said is taken.
    pub async fn is_delivered(&self) {
        self.is_talking.store(false, Ordering::Relaxed);
        eventually("all lines are delivered without help", Duration::from_secs(60), async || {
            self.agents.iter().all(|agent| live::lock(agent).buffered_lines() == 0).then_some(())
        })
        .await;
    }

    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.lives.join_next().await {
            ended.unwrap();
        }
    }
}

/// Gives every agent a line now and then that no other equals.
async fn talk(agents: Vec<SharedAgent>, is_talking: Arc<AtomicBool>, stopped: watch::Receiver<bool>) {
    let mut pace = tokio::time::interval(NEW_LINES);
    for number in 0_u64.. {
        pace.tick().await;
        if *stopped.borrow() {
            return;
        }
        for (agent, shared) in agents.iter().enumerate().filter(|_| is_talking.load(Ordering::Relaxed)) {
            let now = live::now_ms();
            let time = now / 1000;
            let line = format!(r#"{{"agent":{agent},"unixTime":{time},"counter":{number}}}"#).into_bytes();
            let mut shared = live::lock(shared);
            match number % 4 {
                3 => shared.push_status_line(line, now),
                _ => shared.push_result_line(line, now),
            }
        }
    }
}

/// Where requests may go. At first to both servers.
#[derive(Debug)]
pub struct Front([AtomicBool; 2]);

impl Default for Front {
    fn default() -> Self {
        Self([AtomicBool::new(true), AtomicBool::new(true)])
    }
}

impl Front {
    pub fn set(&self, server: usize, is_in: bool) {
        self.0[server].store(is_in, Ordering::Relaxed);
    }

    pub fn has(&self, server: usize) -> bool {
        self.0[server].load(Ordering::Relaxed)
    }

    /// One of those that are in; any when none is.
    fn pick(&self) -> usize {
        match (self.has(0), self.has(1)) {
            (true, false) => 0,
            (false, true) => 1,
            _ => usize::from(rand::random::<bool>()),
        }
    }
}

/// A load balancer's choice for each request, and a book of what came of it.
struct AnyServer {
    ways: [Direct; 2],
    front: Arc<Front>,
    book: Book,
}

impl Transport for AnyServer {
    async fn send(&self, thread: Thread, request: &Request, within: Duration) -> Result<Response, TransportError> {
        let began = Instant::now();
        let result = self.ways[self.front.pick()].send(thread, request, within).await;
        self.book.note(request, &result, began.elapsed());
        result
    }
}

/// What all agents were answered, since it was last taken.
#[derive(Debug, Clone, Default)]
pub struct Book {
    page: Arc<Mutex<Page>>,
    /// Result and status lines in requests without an answer: they may or may not have been kept.
    unsure_lines: Arc<[AtomicU64; 2]>,
    /// What must never be, over all time.
    wrong: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
pub struct Page {
    pub accepted: usize,
    pub refused: Vec<(AgentEndpoint, String)>,
    /// Requests without an answer.
    pub unanswered: Vec<(AgentEndpoint, String)>,
    /// Answers of no bytes, or not what agents understand, or that a key is unknown.
    pub wrong: Vec<(AgentEndpoint, String)>,
    pub slowest: [Duration; AgentEndpoint::ALL.len()],
}

impl Book {
    /// What was noted since the last time.
    pub fn take(&self) -> Page {
        std::mem::take(&mut *self.page.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Result and status lines in requests without an answer.
    pub fn unsure_lines(&self) -> [u64; 2] {
        [0, 1].map(|log| self.unsure_lines[log].load(Ordering::Relaxed))
    }

    pub fn wrong_answers(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    fn note(&self, request: &Request, result: &Result<Response, TransportError>, took: Duration) {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = request.endpoint;
        let slowest = &mut page.slowest[endpoint as usize];
        *slowest = took.max(*slowest);
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                if endpoint == AgentEndpoint::Log {
                    let (is_status, lines) = lines_in(&request.body);
                    self.unsure_lines[usize::from(is_status)].fetch_add(lines, Ordering::Relaxed);
                }
                page.unanswered.push((endpoint, error.to_string()));
                return;
            }
        };
        let text = String::from_utf8_lossy(&response.body).into_owned();
        match serde_json::from_slice::<Value>(&response.body) {
            Ok(Value::Object(members)) if members.get("node_invalid").is_none_or(|is| is == &Value::Bool(false)) => {
                match members.get("error") {
                    None => page.accepted += 1,
                    Some(reason) => page.refused.push((endpoint, reason.to_string())),
                }
            }
            _ => {
                self.wrong.fetch_add(1, Ordering::Relaxed);
                page.wrong.push((endpoint, text));
            }
        }
    }
}

impl Page {
    /// Everybody was answered, and nobody was told anything wrong.
    pub fn assert_no_silence(&self) {
        assert!(self.unanswered.is_empty() && self.wrong.is_empty(), "{self}: {:?} {:?}", self.unanswered, self.wrong);
    }

    /// Nobody noticed anything.
    pub fn assert_undisturbed(&self) {
        self.assert_no_silence();
        assert!(self.refused.is_empty(), "{self}: {:?}", self.refused);
    }

    pub fn slowest(&self) -> Duration {
        self.slowest.into_iter().max().unwrap_or_default()
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refused, unanswered, wrong) = (self.refused.len(), self.unanswered.len(), self.wrong.len());
        write!(f, "{} accepted, {refused} refused, {unanswered} unanswered, {wrong} wrong, slowest", self.accepted)?;
        for (endpoint, slowest) in AgentEndpoint::ALL.iter().zip(self.slowest) {
            write!(f, " {endpoint:?} {} ms", slowest.as_millis())?;
        }
        Ok(())
    }
}

/// Whether it is the status log, and how many lines there are.
fn lines_in(body: &[u8]) -> (bool, u64) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    (body["log_type"] == "status", body["data"].as_array().map_or(0, |lines| lines.len() as u64))
}
