//! One agent driven step by step.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    agent::{
        Agent, AgentEndpoint, Counters, ExchangeStep, Flags, Identity, LiveResult, Platform, Request, Thread, Verdict,
    },
    live::now_ms,
    tables::{SqliteHost, Tables},
    transport::{Direct, Response, SetupError, Transport, TransportError, Trust, outcome},
};

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Judgement of an agent.
    pub verdict: Verdict,
    /// The answer; `None` if there was none.
    pub response: Option<Response>,
}

impl Exchange {
    /// Status code; 0 if there was no answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.as_ref().map_or(0, |response| response.status)
    }

    /// Body of the answer; empty if there was none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.response.as_ref().map_or(&[], |response| &response.body)
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.as_ref()?.header(name)
    }
}

/// Exchanges of one round of live queries.
#[derive(Clone, Debug)]
pub struct LiveRound {
    /// The read.
    pub read: Exchange,
    /// The write; `None` if there was nothing to write.
    pub write: Option<Exchange>,
}

/// An agent whose steps happen when a test says so, whatever its timers, attempts and back-off would say.
///
/// Each method makes one request per step, without repetition and without enrolling by itself.
#[derive(Debug)]
pub struct TestAgent {
    agent: Agent,
    transport: Direct,
    now_ms: Option<u64>,
    timeout: Duration,
}

impl TestAgent {
    /// An agent of this identity with real SQL tables.
    ///
    /// # Errors
    /// If the address or the certificates cannot be used.
    pub fn new(
        identity: impl Into<Arc<Identity>>,
        flags: impl Into<Arc<Flags>>,
        base_url: &str,
        trust: &Trust,
    ) -> Result<Self, SetupError> {
        Ok(Self::with_tables(identity, flags, Box::new(SqliteHost::new()), Direct::new(base_url, trust)?))
    }

    /// A simulated Linux host number `index` with this enroll secret.
    ///
    /// # Errors
    /// If the address or the certificates cannot be used.
    pub fn simulated(index: u32, enroll_secret: &str, base_url: &str, trust: &Trust) -> Result<Self, SetupError> {
        let flags = Flags { enroll_secret: enroll_secret.into(), ..Flags::default() };
        Self::new(Identity::simulated(1, index, Platform::Linux), flags, base_url, trust)
    }

    /// An agent with its own source of answers and its own way to the server.
    pub fn with_tables(
        identity: impl Into<Arc<Identity>>,
        flags: impl Into<Arc<Flags>>,
        tables: Box<dyn Tables>,
        transport: Direct,
    ) -> Self {
        let agent = Agent::new(identity, flags, tables, now_ms());
        Self { agent, transport, now_ms: None, timeout: Duration::from_secs(16) }
    }

    /// The agent itself.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The agent itself, to change it.
    pub fn agent_mut(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// Counts since the agent was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.agent.counters()
    }

    /// Fixes this agent's clock, Unix milliseconds; `None` for the system's clock.
    pub fn set_now(&mut self, now_ms: Option<u64>) {
        self.now_ms = now_ms;
    }

    /// Goes on with another server, as behind a load balancer.
    pub fn go_by(&mut self, transport: Direct) {
        self.transport = transport;
    }

    /// Sets the timeout of requests, which is 16 s at first, as with every agent.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Unix time in milliseconds by this agent's clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.unwrap_or_else(now_ms)
    }

    /// The node key; empty while there is none.
    #[must_use]
    pub fn node_key(&self) -> &str {
        self.agent.export_key().unwrap_or_default()
    }

    /// Enrolls. On success the accepted value is `{"node_key": ...}`.
    pub async fn enroll(&mut self) -> Exchange {
        self.step(ExchangeStep::Enroll).await
    }

    /// Fetches and applies the configuration.
    pub async fn config(&mut self) -> Exchange {
        self.step(ExchangeStep::Config).await
    }

    /// Asks for live queries and stores those that discovery admits, without running them.
    pub async fn read(&mut self) -> Exchange {
        self.step(ExchangeStep::Read).await
    }

    /// Delivers these results, together with any that were not accepted before.
    pub async fn write(&mut self, results: impl IntoIterator<Item = LiveResult>) -> Exchange {
        for result in results {
            self.agent.push_live_result(result);
        }
        self.step(ExchangeStep::Write).await
    }

    /// Asks for live queries, runs them and delivers all results.
    pub async fn distributed(&mut self) -> LiveRound {
        let read = self.read().await;
        let now_ms = self.now_ms();
        let ran = self.agent.run_live_queries(now_ms).is_some();
        let write = if ran && !self.agent.unsent_live_results().is_empty() {
            Some(self.step(ExchangeStep::Write).await)
        } else {
            None
        };
        LiveRound { read, write }
    }

    /// Delivers one window of log lines: results if there are any, then status lines if there are any.
    pub async fn flush_logs(&mut self) -> Vec<Exchange> {
        let (results, statuses) = self.agent.select_lines();
        let mut exchanges = Vec::new();
        if results > 0 {
            exchanges.push(self.step(ExchangeStep::Results).await);
        }
        if statuses > 0 {
            exchanges.push(self.step(ExchangeStep::Statuses).await);
        }
        let now_ms = self.now_ms();
        self.agent.purge_lines(now_ms);
        exchanges
    }

    /// Stores a result line to be delivered by the next flush.
    pub fn push_result_line(&mut self, line: impl AsRef<[u8]>) {
        let now_ms = self.now_ms();
        self.agent.push_result_line(line.as_ref(), now_ms);
    }

    /// Stores a status line to be delivered by the next flush.
    pub fn push_status_line(&mut self, line: impl AsRef<[u8]>) {
        let now_ms = self.now_ms();
        self.agent.push_status_line(line.as_ref(), now_ms);
    }

    /// Runs the scheduled queries that came due since the last call.
    pub fn tick(&mut self) {
        let now_ms = self.now_ms();
        self.agent.tick(now_ms);
    }

    /// Runs one scheduled query by its full name, due or not.
    pub fn run_scheduled(&mut self, name: &str) {
        let now_ms = self.now_ms();
        self.agent.run_scheduled(name, now_ms);
    }

    /// Posts any body to a endpoint. The agent's state does not change.
    ///
    /// The usual headers are sent too, except those of which `headers` has another value.
    pub async fn raw(
        &self,
        endpoint: AgentEndpoint,
        body: impl Into<Bytes>,
        headers: &[(&'static str, &str)],
    ) -> Exchange {
        self.post(&self.agent.path(endpoint), endpoint, body, headers).await
    }

    /// Posts any body to any path, judged like the answer of `endpoint`. The agent's state does not change.
    pub async fn post(
        &self,
        path: &str,
        endpoint: AgentEndpoint,
        body: impl Into<Bytes>,
        headers: &[(&'static str, &str)],
    ) -> Exchange {
        let mut all = self.agent.headers(endpoint, false);
        all.retain(|(usual, _)| !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(usual)));
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let request = Request { endpoint, path: path.into(), headers: all, body: body.into(), deadline_ms: u64::MAX };
        let result = self.transport.send(thread_of(endpoint), &request, self.timeout).await;
        let verdict = match &result {
            Ok(response) if endpoint == AgentEndpoint::Enroll => match Verdict::judge_enroll(&response.body) {
                Ok(key) => Verdict::Success(serde_json::json!({ "node_key": key })),
                Err(reason) => Verdict::Failure(reason),
            },
            Ok(response) => self.agent.judge(&response.body),
            Err(error) => Verdict::Failure(error.to_string()),
        };
        Exchange { verdict, response: result.ok() }
    }

    async fn step(&mut self, step: ExchangeStep) -> Exchange {
        let request = self.agent.request(step, self.now_ms());
        self.agent.count_sent(&request);
        let result: Result<Response, TransportError> =
            self.transport.send(thread_of(request.endpoint), &request, self.timeout).await;
        let now_ms = self.now_ms();
        let verdict = self.agent.absorb(step, &outcome(&result), now_ms);
        Exchange { verdict, response: result.ok() }
    }
}

fn thread_of(endpoint: AgentEndpoint) -> Thread {
    match endpoint {
        AgentEndpoint::Enroll | AgentEndpoint::Config => Thread::Config,
        AgentEndpoint::Log => Thread::Logger,
        AgentEndpoint::DistributedRead | AgentEndpoint::DistributedWrite => Thread::Distributed,
    }
}
